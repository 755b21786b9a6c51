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

#define THREAD_BYTES 16384 /* of kernel stack, but for kernels with KASAN */
#define USER_CS 0x33
#define USER_DS 0x2b

struct stack_top { u64 sp, bp; u8 bytes[]; };

/* The program's, which lie where the kernel's stack begins. False where they do not. */
static __always_inline bool user_registers(struct stack_top *top)
{
	struct pt_regs *regs;
	u64 stack;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
		top->sp = regs->sp;
		top->bp = regs->bp;
		return true;
	}
	stack = (u64)BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), stack);
	regs = (struct pt_regs *)(stack + THREAD_BYTES - bpf_core_type_size(struct pt_regs));
	top->sp = BPF_CORE_READ(regs, sp);
	top->bp = BPF_CORE_READ(regs, bp);
	return BPF_CORE_READ(regs, cs) == USER_CS && BPF_CORE_READ(regs, ss) == USER_DS;
}

static __always_inline void append_top(struct sink *sink)
{
	u64 sp, bytes = TOP_BYTES;
	struct stack_top *top;
	u8 *room = chunk_room(sink);

	if (!room)
		return;
	top = (struct stack_top *)(room + sizeof(struct trace_chunk));
	if (!user_registers(top))
		return;
	sp = top->sp;
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
