/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TLS plaintext at OpenSSL's own functions.
 *
 * A write is copied at entry (what may leave) and committed by what the call returned (what was
 * accepted), so that a retry after WANT_WRITE counts once. A read is copied at return. The length
 * copied is the call's own: pieces of up to 256 KiB, as many as it takes.
 */
#include "common.h"

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

/* Returns true where there is something to copy. */
static __always_inline bool begin_call(struct pt_regs *ctx, u8 direction, u64 ssl, u64 buffer,
				       u64 size, u64 out, bool handshake)
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
	call.stack = PT_REGS_SP(ctx);
	call.handshake = handshake;
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
	/* TLS inside of TLS: what another handle made goes where this one goes. */
	if (direction == DIRECTION_SENT && handle->connection && process->untied)
		tie(process, handle->connection, buffer, size);
	return enter_call(thread, &call) && direction == DIRECTION_SENT && !call.skipped;
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
static __always_inline void end_call(struct pt_regs *ctx, s64 result)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call = returning_call(thread, PT_REGS_SP(ctx));

	if (!call)
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
	leave_call(thread, call);
}

SEC("uprobe")
int BPF_KPROBE(ssl_write_enter, u64 ssl, u64 buffer, int size)
{
	if (begin_call(ctx, DIRECTION_SENT, ssl, buffer, size > 0 ? size : 0, 0, false))
		bpf_tail_call(ctx, &tails, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_write_ex_enter, u64 ssl, u64 buffer, u64 size, u64 out)
{
	if (begin_call(ctx, DIRECTION_SENT, ssl, buffer, size, out, false))
		bpf_tail_call(ctx, &tails, 0);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_read_enter, u64 ssl, u64 buffer, int size)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, buffer, size > 0 ? size : 0, 0, false);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(ssl_read_ex_enter, u64 ssl, u64 buffer, u64 size, u64 out)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, buffer, size, out, false);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(ssl_return, int result)
{
	end_call(ctx, result);
	return 0;
}

/* The handle that BIO_write below acts for. Node shakes hands inside SSL_read instead. */
SEC("uprobe")
int BPF_KPROBE(ssl_do_handshake_enter, u64 ssl)
{
	begin_call(ctx, DIRECTION_RECEIVED, ssl, 0, 0, 0, true);
	return 0;
}
