/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The copying of a call's buffer: pieces of up to 256 KiB, as many as it takes.
 */
#include "common.h"

#define PIECES_A_RUN 64
#define RUNS 33 /* 528 MiB a call, without bpf_loop, which came with 5.17 */

/*
 * Wake the reader early where a burst fills the ring faster than its timer comes round: once, by
 * the record that crosses the mark. A forced wakeup costs as much as fifty records without.
 */
static __always_inline u64 wakeup(u32 size)
{
	u64 waiting = bpf_ringbuf_query(&payload, BPF_RB_AVAIL_DATA);
	u64 mark = bpf_ringbuf_query(&payload, BPF_RB_RING_SIZE) / PAYLOAD_WAKEUP_SHARE;

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

/* The next piece of the thread's call. 0: there is none. Verified once and not in each round. */
__noinline int copy_piece(u64 thread)
{
	struct call *call = bpf_map_lookup_elem(&calls, &thread);
	u64 rest;

	if (!call || call->position >= call->size)
		return 0;
	rest = call->size - call->position;
	if (rest >= 196608) {
		emit_piece(call, rest > PIECE_MAX_BYTES ? PIECE_MAX_BYTES : rest, PIECE_MAX_BYTES);
		call->position += PIECE_MAX_BYTES;
	} else if (rest > 98304) {
		emit_piece(call, rest > 131072 ? 131072 : rest, 131072);
		call->position += 131072;
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
	return 1;
}

__noinline int copy_run(u64 thread)
{
	for (int i = 0; i < PIECES_A_RUN; i++) {
		if (!copy_piece(thread))
			return 0;
	}
	return 1;
}

/*
 * Copy the buffer of the thread's call. Entered by a tail call, and makes none itself: a program
 * with functions of its own may not, on arm64 before 6.0.
 */
SEC("uprobe")
int copy_pieces(struct pt_regs *ctx)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct call *call;

	for (int i = 0; i < RUNS; i++) {
		if (!copy_run(thread))
			break;
	}
	call = bpf_map_lookup_elem(&calls, &thread);
	if (!call)
		return 0;
	if (call->position < call->size)
		emit_rest(call);
	if (call->direction == DIRECTION_RECEIVED)
		leave_call(thread, call);
	return 0;
}
