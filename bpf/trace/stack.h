/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Stacks as chunks: addresses, innermost first. */
#ifndef PROCTOR_TRACE_STACK_H
#define PROCTOR_TRACE_STACK_H

#include "chunk.h"

#define STACK_BYTES (127 * 8) /* perf's own limit on the depth, unless an administrator changed it */

static __always_inline void append_stack(struct sink *sink, void *ctx, bool user)
{
	u8 *room = chunk_room(sink);
	long bytes;

	if (!room)
		return;
	bytes = bpf_get_stack(ctx, room + sizeof(struct trace_chunk), STACK_BYTES,
			      user ? BPF_F_USER_STACK : 0);
	if (bytes > 0)
		end_chunk(sink, room, 7, user ? CHUNK_USER_STACK : CHUNK_KERNEL_STACK,
			  bytes == STACK_BYTES ? CHUNK_MORE : 0, 0, bytes);
}

static __always_inline void append_stacks(struct sink *sink, void *ctx)
{
	if (configuration.user_stacks)
		append_stack(sink, ctx, true);
	if (configuration.kernel_stacks)
		append_stack(sink, ctx, false);
}

static __always_inline bool stacks_wanted(void)
{
	return configuration.user_stacks || configuration.kernel_stacks;
}

#endif
