/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A rule's first fetch, where it is short, as most are: read at the entry it stays with the thread,
 * read at the exit it goes straight into the ring. The look-up of entry memory and the way there
 * take about half as long as reading does.
 */
#ifndef PROCTOR_TRACE_SHORT_H
#define PROCTOR_TRACE_SHORT_H

#include "fetch.h"

/* How many bytes a fetch wants; 0 where they may be too many, or are nothing as simple as that. */
static __always_inline u64 short_bytes(struct thread *thread, struct trace_fetch *fetch, s64 result,
				       u64 *wanted)
{
	u64 bytes;

	if (fetch->kind == FETCH_BUFFER && fetch->count_from < 16)
		*wanted = fetch_count(thread, fetch->count_from, result);
	else if (fetch->kind == FETCH_BYTES)
		*wanted = fetch->size;
	else
		return 0;
	bytes = *wanted;
	if (fetch->kind == FETCH_BUFFER && bytes > configuration.text_bytes)
		bytes = configuration.text_bytes;
	return bytes <= SHORT_BYTES ? bytes : 0;
}

static __always_inline void head_chunk(struct trace_chunk *chunk, u8 arg, u8 kind, u8 flags, u32 bytes)
{
	chunk->arg = arg;
	chunk->kind = kind;
	chunk->flags = flags;
	chunk->part = 0;
	chunk->bytes = bytes;
}

static __always_inline void copy_words(u64 *to, u64 *from, u64 bytes)
{
	for (u32 i = 0; i < SHORT_BYTES / 8 && i * 8 < bytes; i++)
		to[i] = from[i];
}

/*
 * User memory by way of the kernel's own stack. The kernel looks at what it copies user memory to
 * (CONFIG_HARDENED_USERCOPY) and knows its stack at once; of memory that lies in a map, as of the
 * stack that programs with 64 bytes of it and more have for themselves since 6.13, it has to find
 * out whose it is. So these are functions of their own, with less than that.
 */
_Static_assert(SHORT_BYTES <= 48, "rounded up, the kernel's own stack is left at 64 bytes");

/* A string with its NUL; SHORT_BYTES of it where it may be longer. Negative: not readable. */
static __noinline long read_short_text(struct trace_chunk *chunk, u64 pointer)
{
	u64 found[SHORT_BYTES / 8] = {};
	long read = bpf_probe_read_user_str(found, SHORT_BYTES, (void *)pointer);

	if (!read)
		read = 1; /* an empty one: see ../user_text.h */
	if (read > 0)
		copy_words((u64 *)(chunk + 1), found, read - 1);
	return read;
}

static __noinline long read_short(struct trace_chunk *chunk, u64 bytes, u64 pointer)
{
	u64 found[SHORT_BYTES / 8] = {};
	long failed;

	CLAMP(bytes, SHORT_BYTES);
	failed = bpf_probe_read_user(found, bytes, (void *)pointer);
	if (!failed)
		copy_words((u64 *)(chunk + 1), found, bytes);
	return failed;
}

/* False: it is to be fetched as all others. */
static __always_inline bool short_at_entry(struct thread *thread, struct trace_rule *rule)
{
	struct trace_chunk *chunk = (struct trace_chunk *)thread->piece;
	struct trace_fetch *fetch = &rule->fetch[0];
	u64 wanted, bytes, pointer;
	u32 arg = fetch->arg;
	long read;

	CLAMP(arg, 5);
	pointer = thread->args[arg];
	if (!pointer)
		return true;
	if (fetch->kind == FETCH_STRING) {
		read = read_short_text(chunk, pointer);
		if (read == SHORT_BYTES)
			return false;
		if (read > 0) {
			head_chunk(chunk, arg, CHUNK_STRING, 0, read - 1);
			thread->short_bytes = sizeof(*chunk) + ALIGN8(read - 1);
			return true;
		}
	} else {
		bytes = short_bytes(thread, fetch, 0, &wanted);
		if (!bytes)
			return false;
		if (!read_short(chunk, bytes, pointer)) {
			head_chunk(chunk, arg, CHUNK_BYTES, bytes < wanted ? CHUNK_MORE : 0, bytes);
			thread->short_bytes = sizeof(*chunk) + ALIGN8(bytes);
			return true;
		}
	}
	thread->again |= 1;
	return true;
}

/* The same at the exit, where nothing else is in the ring yet. */
static __always_inline bool short_at_exit(struct thread *thread, struct trace_rule *rule,
					  struct work *work, s64 result)
{
	struct trace_fetch *fetch = &rule->fetch[0];
	struct trace_chunk *chunk;
	u64 wanted, bytes;
	u32 arg = fetch->arg;
	struct sink sink;

	CLAMP(arg, 5);
	bytes = short_bytes(thread, fetch, result, &wanted);
	if (!bytes || !thread->args[arg] || work->used || !open_ring_sink(&sink, work))
		return false;
	chunk = (struct trace_chunk *)sink.memory;
	if (read_short(chunk, bytes, thread->args[arg]))
		return false;
	head_chunk(chunk, arg, CHUNK_BYTES, CHUNK_AT_EXIT | (bytes < wanted ? CHUNK_MORE : 0), bytes);
	work->used = sizeof(*chunk) + ALIGN8(bytes);
	return true;
}

#endif
