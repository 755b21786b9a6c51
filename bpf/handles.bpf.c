/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TLS handles: each SSL* of a process, from its birth or the first time we see it to its end.
 *
 * SSL_free gives up one reference, and we do not see how many there are: it is the end for us. A
 * handle that is used after it opens again, as one that is joined late, on the same connection.
 */
#include "common.h"

struct handle {
	u64 id;
	u64 start_ns;
	u64 connection; /* 0: not tied yet */
	u64 bytes_sent;
	u64 bytes_received;
	u32 calls;
	u32 last_post; /* the last call that began a POST */
	u32 image;     /* of the process: exec leaves pid and start_ns, and no handle */
	u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct handle_key);
	__type(value, struct handle);
} handles SEC(".maps");

/* Handles by what they were when SSL_free was called. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct handle_key);
	__type(value, struct handle);
} freed SEC(".maps");

static __always_inline bool belongs_to(struct handle *handle, struct process *process)
{
	return handle->start_ns == process->start_ns && handle->image == process->images;
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
	struct handle fresh = {
		.id = unique_id(),
		.start_ns = process->start_ns,
		.image = process->images,
	};
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

/* The socket that carries a handle is known. */
static __always_inline void set_connection(struct process *process, struct handle *handle,
					   u64 connection)
{
	struct tls_tie_record *record;

	if (!handle->connection && process->untied)
		__sync_fetch_and_add(&process->untied, -1);
	handle->connection = connection;
	record = reserve(&payload, sizeof(*record), LOSS_TIE);
	if (!record)
		return;
	fill_head(&record->head, RECORD_TLS_TIE, sizeof(*record), process->start_ns);
	record->tls = handle->id;
	record->connection = connection;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* The handle of an SSL*; one not seen at SSL_new is older than our probes, or lives on. */
static __always_inline struct handle *handle_of(void *ctx, struct process *process,
						struct handle_key *key)
{
	struct handle *handle = bpf_map_lookup_elem(&handles, key), *before;

	if (handle && belongs_to(handle, process))
		return handle;
	handle = add_handle(ctx, process, key, FLAG_LATE);
	before = bpf_map_lookup_elem(&freed, key);
	if (handle && before && before->connection && belongs_to(before, process))
		set_connection(process, handle, before->connection);
	return handle;
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
	/* One that a dead process with this pid or a former image left behind is not counted in. */
	if (!handle->connection && belongs_to(handle, process) && process->untied)
		__sync_fetch_and_add(&process->untied, -1);
	bpf_map_delete_elem(&handles, key);
}

static __always_inline void init_key(struct handle_key *key, u64 ssl)
{
	key->ssl = ssl;
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->reserved = 0;
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
	bpf_map_delete_elem(&freed, &key);
	add_handle(ctx, process, &key, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_free_enter, u64 ssl)
{
	struct process *process = watched();
	struct handle_key key;
	struct handle *handle;

	if (!process || !ssl)
		return 0;
	init_key(&key, ssl);
	handle = bpf_map_lookup_elem(&handles, &key);
	if (!handle)
		return 0;
	bpf_map_update_elem(&freed, &key, handle, BPF_ANY);
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
	struct process *process;
	u32 tgid;

	if (!key || !value)
		return 0;
	tgid = key->tgid; /* a helper takes no pointer into the iterator's key */
	process = bpf_map_lookup_elem(&processes, &tgid);
	if (!process || !belongs_to(value, process))
		return 0;
	fill_head(&record.head, RECORD_TLS_COUNTERS, sizeof(record), value->start_ns);
	record.head.pid = tgid;
	record.head.tid = tgid;
	record.tls = value->id;
	record.bytes_sent = value->bytes_sent;
	record.bytes_received = value->bytes_received;
	record.calls = value->calls;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}
