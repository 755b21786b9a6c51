/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Stacks as chunks: addresses, innermost first, found by frame pointers.
 *
 * Libraries are mostly built without: the walk then misses whoever called the function that makes
 * the call, and goes on at the next one that has a frame pointer. So the top of the stack comes with
 * them, for a reader that knows the files' unwind tables.
 */
#ifndef PROCTOR_TRACE_STACK_H
#define PROCTOR_TRACE_STACK_H

#include "chunk.h"

#define STACK_BYTES (127 * 8) /* perf's own limit on the depth, unless an administrator changed it */
/*
 * Of the kernel's stack: our program, bpf_trace_run2 and __bpf_trace_sys_exit. Programs at a
 * syscall's own tracepoint have others above them, or (before 6.x) no kernel stack at all.
 */
#define OWN_FRAMES 3

static __always_inline void append_stack(struct sink *sink, void *ctx, bool user)
{
	u8 *room = chunk_room(sink);
	long bytes, most = user ? STACK_BYTES : STACK_BYTES - 8 * OWN_FRAMES;

	if (!room)
		return;
	bytes = bpf_get_stack(ctx, room + sizeof(struct trace_chunk), STACK_BYTES,
			      user ? BPF_F_USER_STACK : OWN_FRAMES);
	if (bytes > 0)
		end_chunk(sink, room, 7, user ? CHUNK_USER_STACK : CHUNK_KERNEL_STACK,
			  bytes >= most ? CHUNK_MORE : 0, 0, bytes);
}

#ifdef __TARGET_ARCH_arm64
static __always_inline void append_top(struct sink *sink) {}
#else
#define TOP_BYTES 1024

struct stack_top { u64 sp, bp; u8 bytes[]; };

static __always_inline void append_top(struct sink *sink)
{
	u64 sp, bytes = TOP_BYTES;
	struct stack_top *top;
	struct pt_regs *regs;
	u8 *room;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return;
	room = chunk_room(sink);
	if (!room)
		return;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	top = (struct stack_top *)(room + sizeof(struct trace_chunk));
	sp = regs->sp;
	top->sp = sp;
	top->bp = regs->bp;
	if (bpf_probe_read_user(top->bytes, TOP_BYTES, (void *)sp)) {
		bytes = -sp & 4095; /* the stack may end with its page */
		CLAMP(bytes, TOP_BYTES);
		if (bpf_probe_read_user(top->bytes, bytes, (void *)sp))
			return;
	}
	end_chunk(sink, room, 7, CHUNK_STACK_TOP, 0, 0, sizeof(*top) + bytes);
}
#endif

static __always_inline void append_stacks(struct sink *sink, void *ctx)
{
	if (configuration.user_stacks) {
		append_stack(sink, ctx, true);
		append_top(sink);
	}
	if (configuration.kernel_stacks)
		append_stack(sink, ctx, false);
}

static __always_inline bool stacks_wanted(void)
{
	return configuration.user_stacks || configuration.kernel_stacks;
}

#endif
