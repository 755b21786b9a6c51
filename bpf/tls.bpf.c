/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TLS plaintext at OpenSSL's own functions.
 *
 * A write is copied at entry (what may leave) and committed by what the call returned (what was
 * accepted), so that a retry after WANT_WRITE counts once. A read is copied at return. The length
 * copied is the call's own: pieces of up to 256 KiB, as many as it takes.
 */
#include "common.h"

#define PIECES_A_RUN 64

struct handle {
	u64 id;
	u64 start_ns;
	u64 connection; /* 0: not tied yet */
	u64 bytes_sent;
	u64 bytes_received;
	u32 calls;
	u32 last_post; /* the last call that began a POST */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct handle_key);
	__type(value, struct handle);
} handles SEC(".maps");

/* The TLS call a thread is in; after a handshake, the handle it was about. */
struct call {
	struct handle_key key;
	u64 tls;
	u64 buffer;
	u64 size;      /* as asked for; for a read: as returned */
	u64 out;       /* where the _ex functions put the count */
	u64 position;
	u64 stream_bytes;
	u64 start_ns;
	u32 number;
	u16 record_flags;
	u8 direction;
	u8 tied;
	u8 skipped;
	u8 reserved[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, struct call);
} calls SEC(".maps");

/*
 * Handles without model traffic, by id, with the last call that was looked at: a POST begun later
 * may have turned to a model. Written by the recorder.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, u64);
	__type(value, u32);
} skipped SEC(".maps");

static __always_inline void forget_thread(void)
{
	u64 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&calls, &thread);
}

static __always_inline u64 attach_cookie(void *ctx)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return bpf_get_attach_cookie(ctx);
	return 0;
}

static __always_inline struct handle *add_handle(void *ctx, struct process *process,
						 struct handle_key *key, u16 flags)
{
	struct handle fresh = { .id = unique_id(), .start_ns = process->start_ns };
	struct tls_open_record *record;

	if (bpf_map_update_elem(&handles, key, &fresh, BPF_ANY)) {
		lose(LOSS_TLS, LOSS_MAP_FULL);
		return NULL;
	}
	__sync_fetch_and_add(&process->untied, 1);
	record = reserve(&payload, sizeof(*record), LOSS_TLS);
	if (record) {
		fill_head(&record->head, RECORD_TLS_OPEN, sizeof(*record), process->start_ns);
		record->head.flags = flags;
		record->tls = fresh.id;
		record->pointer = key->ssl;
		record->library = attach_cookie(ctx);
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	return bpf_map_lookup_elem(&handles, key);
}

/* The handle of an SSL*; one not seen at SSL_new is older than our probes. */
static __always_inline struct handle *handle_of(void *ctx, struct process *process,
						struct handle_key *key)
{
	struct handle *handle = bpf_map_lookup_elem(&handles, key);

	if (handle && handle->start_ns == process->start_ns)
		return handle;
	return add_handle(ctx, process, key, FLAG_LATE);
}

static __always_inline void close_handle(struct process *process, struct handle_key *key)
{
	struct handle *handle = bpf_map_lookup_elem(&handles, key);
	struct tls_free_record *record;

	if (!handle)
		return;
	record = reserve(&payload, sizeof(*record), LOSS_TLS);
	if (record) {
		fill_head(&record->head, RECORD_TLS_FREE, sizeof(*record), handle->start_ns);
		record->tls = handle->id;
		record->bytes_sent = handle->bytes_sent;
		record->bytes_received = handle->bytes_received;
		record->calls = handle->calls;
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	}
	/* One that a dead process with this pid left behind was never counted in. */
	if (!handle->connection && handle->start_ns == process->start_ns && process->untied)
		__sync_fetch_and_add(&process->untied, -1);
	bpf_map_delete_elem(&handles, key);
}

static __always_inline void init_key(struct handle_key *key, u64 ssl)
{
	key->ssl = ssl;
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->reserved = 0;
}

/*
 * Wake the reader early where a burst fills the ring faster than its timer comes round: once, by
 * the record that crosses the mark. A forced wakeup costs as much as fifty records without.
 */
static __always_inline u64 wakeup(u32 size)
{
	u64 waiting = bpf_ringbuf_query(&payload, BPF_RB_AVAIL_DATA);
	u64 mark = bpf_ringbuf_query(&payload, BPF_RB_RING_SIZE) / 8;

	size += BPF_RINGBUF_HDR_SZ;
	return waiting > mark && waiting - size <= mark ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_piece(struct tls_data_record *record, struct call *call, u32 size)
{
	fill_head(&record->head, RECORD_TLS_DATA, sizeof(*record) + size, call->start_ns);
	record->head.flags = call->record_flags;
	record->tls = call->tls;
	record->stream_bytes = call->stream_bytes;
	record->total_bytes = call->size;
	record->position = call->position;
	record->call = call->number;
	record->piece_bytes = size;
	record->direction = call->direction;
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
}

/* Reserved by size class: 5.10 takes constant sizes only, one size for all would waste the ring. */
static __always_inline void emit_piece(struct call *call, u64 size, const u32 class)
{
	struct tls_data_record *record;

	record = reserve(&payload, sizeof(*record) + class, LOSS_TLS);
	if (!record)
		return;
	CLAMP(size, class);
	fill_piece(record, call, size);
	if (bpf_probe_read_user(record + 1, size, (void *)(call->buffer + call->position))) {
		lose(LOSS_TLS, LOSS_UNREADABLE);
		record->head.flags |= FLAG_UNREADABLE;
		record->head.length = sizeof(*record);
	}
	bpf_ringbuf_submit(record, wakeup(sizeof(*record) + class));
}

/* What no loop of this kernel reaches: said with its size. */
static __always_inline void emit_rest(struct call *call)
{
	u64 rest = call->size - call->position;
	struct tls_data_record *record;

	lose(LOSS_TLS, LOSS_CALL_TOO_LONG);
	record = reserve(&payload, sizeof(*record), LOSS_TLS);
	if (!record)
		return;
	fill_piece(record, call, rest > 0xffffffff ? 0xffffffff : rest);
	record->head.flags |= FLAG_UNREADABLE | FLAG_TRUNCATED;
	record->head.length = sizeof(*record);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

int copy_pieces(struct pt_regs *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(u32));
	__array(values, int(void *));
} tails SEC(".maps") = {
	.values = { [0] = (void *)&copy_pieces },
};

/*
 * Copy the buffer of the thread's call. 64 pieces a run and 33 runs (the kernel's bound on tail
 * calls) are 528 MiB, without bpf_loop, which came with 5.17.
 */
SEC("uprobe")
int copy_pieces(struct pt_regs *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	if (!call)
		return 0;
	for (int i = 0; i < PIECES_A_RUN; i++) {
		u64 rest = call->size - call->position;

		if (call->position >= call->size)
			break;
		if (rest >= 196608) {
			emit_piece(call, rest > 262144 ? 262144 : rest, 262144);
			call->position += 262144;
		} else if (rest > 16384) {
			emit_piece(call, rest > 65536 ? 65536 : rest, 65536);
			call->position += 65536;
		} else if (rest > 4096) {
			emit_piece(call, rest, 16384);
			call->position += rest;
		} else if (rest > 512) {
			emit_piece(call, rest, 4096);
			call->position += rest;
		} else {
			emit_piece(call, rest, 512);
			call->position += rest;
		}
	}
	if (call->position < call->size) {
		bpf_tail_call(ctx, &tails, 0);
		emit_rest(call);
	}
	if (call->direction == DIRECTION_RECEIVED)
		bpf_map_delete_elem(&calls, &thread);
	return 0;
}

static __always_inline bool begins_post(u64 buffer, u64 size)
{
	char start[5] = {};

	if (size < sizeof(start))
		return false;
	if (bpf_probe_read_user(start, sizeof(start), (void *)buffer))
		return true; /* it may be one: what copies it will say that it cannot be read */
	return start[0] == 'P' && start[1] == 'O' && start[2] == 'S' && start[3] == 'T' &&
	       start[4] == ' ';
}

static __always_inline bool begin_call(void *ctx, u8 direction, u64 ssl, u64 buffer, u64 size,
				       u64 out)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct process *process = watched();
	struct handle *handle;
	struct call call = {};
	u32 *judged;

	if (!process)
		return false;
	init_key(&call.key, ssl);
	handle = handle_of(ctx, process, &call.key);
	if (!handle)
		return false;
	handle->calls++;
	call.tls = handle->id;
	call.buffer = buffer;
	call.size = size;
	call.out = out;
	call.stream_bytes = direction == DIRECTION_SENT ? handle->bytes_sent : handle->bytes_received;
	call.start_ns = process->start_ns;
	call.number = handle->calls;
	call.direction = direction;
	call.tied = handle->connection != 0;
	judged = bpf_map_lookup_elem(&skipped, &call.tls);
	if (direction == DIRECTION_SENT && begins_post(buffer, size)) {
		handle->last_post = handle->calls;
		if (judged)
			call.record_flags = FLAG_RECONSIDER;
	}
	call.skipped = judged && handle->last_post <= *judged;
	if (bpf_map_update_elem(&calls, &thread, &call, BPF_ANY)) {
		lose(LOSS_TLS, LOSS_MAP_FULL);
		return false;
	}
	return direction == DIRECTION_SENT && !call.skipped;
}

static __always_inline void end_write(struct call *call, s64 accepted)
{
	struct handle *handle = bpf_map_lookup_elem(&handles, &call->key);
	struct tls_return_record *record;

	if (handle && accepted > 0)
		handle->bytes_sent += accepted;
	if (call->skipped)
		return;
	record = reserve(&payload, sizeof(*record), LOSS_TLS);
	if (!record)
		return;
	fill_head(&record->head, RECORD_TLS_RETURN, sizeof(*record), call->start_ns);
	record->tls = call->tls;
	record->accepted_bytes = accepted;
	record->total_bytes = call->size;
	record->call = call->number;
	record->reserved = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* Returns true where there is something to copy. */
static __always_inline bool end_read(struct call *call, s64 returned)
{
	struct handle *handle;

	if (returned <= 0)
		return false;
	handle = bpf_map_lookup_elem(&handles, &call->key);
	if (handle)
		handle->bytes_received += returned;
	call->size = returned;
	return !call->skipped;
}

/* result: bytes for SSL_read and SSL_write; 1 for the _ex functions, which count elsewhere. */
static __always_inline void end_call(void *ctx, s64 result)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call = bpf_map_lookup_elem(&calls, &thread);

	if (!call || !call->buffer)
		return;
	if (call->out && result > 0) {
		u64 count = 0;

		if (bpf_probe_read_user(&count, sizeof(count), (void *)call->out))
			lose(LOSS_TLS, LOSS_UNREADABLE);
		result = count;
	}
	if (call->direction == DIRECTION_SENT) {
		end_write(call, result);
	} else if (end_read(call, result)) {
		bpf_tail_call(ctx, &tails, 0);
		lose(LOSS_TLS, LOSS_CALL_TOO_LONG);
	}
	bpf_map_delete_elem(&calls, &thread);
}

SEC("uprobe")
int BPF_KPROBE(ssl_write_enter, u64 ssl, u64 buffer, int size)
{
	if (begin_call(ctx, DIRECTION_SENT, ssl, buffer, size > 0 ? size : 0, 0))
		bpf_tail_call(ctx, &tails, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_write_ex_enter, u64 ssl, u64 buffer, u64 size, u64 out)
{
	if (begin_call(ctx, DIRECTION_SENT, ssl, buffer, size, out))
		bpf_tail_call(ctx, &tails, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_read_enter, u64 ssl, u64 buffer, int size)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, buffer, size > 0 ? size : 0, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_read_ex_enter, u64 ssl, u64 buffer, u64 size, u64 out)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, buffer, size, out);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(ssl_return, int result)
{
	end_call(ctx, result);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(ssl_new_return, u64 ssl)
{
	struct process *process = watched();
	struct handle_key key;

	if (!process || !ssl)
		return 0;
	init_key(&key, ssl);
	close_handle(process, &key); /* a reused address whose SSL_free we did not see */
	add_handle(ctx, process, &key, 0);
	return 0;
}

/* The handle that BIO_write below acts for. Node shakes hands inside SSL_read instead. */
SEC("uprobe")
int BPF_KPROBE(ssl_do_handshake_enter, u64 ssl)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, 0, 0, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_free_enter, u64 ssl)
{
	struct process *process = watched();
	struct handle_key key;

	if (!process || !ssl)
		return 0;
	init_key(&key, ssl);
	close_handle(process, &key);
	return 0;
}

/* Plaintext bytes of handles that live. */
SEC("iter/bpf_map_elem")
int handle_rows(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tls_free_record record = {};
	struct handle_key *key = ctx->key;
	struct handle *value = ctx->value;

	if (!key || !value)
		return 0;
	fill_head(&record.head, RECORD_TLS_COUNTERS, sizeof(record), value->start_ns);
	record.head.pid = key->tgid;
	record.head.tid = key->tgid;
	record.tls = value->id;
	record.bytes_sent = value->bytes_sent;
	record.bytes_received = value->bytes_received;
	record.calls = value->calls;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
