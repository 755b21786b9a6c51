/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * User memory that arguments point to, one piece a fetch of the syscall's rule.
 *
 * A page that is not in memory can't be read here. At the entry that happens to memory which the
 * program itself has not touched yet (a path in a fresh mapping); the call then brings it in, so
 * what failed at the entry is tried again at the exit, and marked as read there.
 */
#ifndef PROCTOR_TRACE_FETCH_H
#define PROCTOR_TRACE_FETCH_H

#include "chunk.h"
#include "../user_text.h"

#define VECTOR_BYTES 4096 /* of the iovec itself: 256 elements */
#define VECTOR_PARTS 32   /* whose data is read */
#define STRINGS_ELEMENTS 256
#define CONTROL_BYTES 512
#define SOCKADDR_BYTES 128

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ABIS * TRACE_SYSCALLS + 1); /* the last: numbers that we do not know */
	__type(key, u32);
	__type(value, struct trace_rule);
} rules SEC(".maps");

static __always_inline struct trace_rule *rule_of(u32 abi, u32 number)
{
	u32 key = number < TRACE_SYSCALLS ? abi * TRACE_SYSCALLS + number : ABIS * TRACE_SYSCALLS;

	return bpf_map_lookup_elem(&rules, &key);
}

static __always_inline bool is_32_bit(u8 abi)
{
	return abi == ABI_I386 || abi == ABI_ARM;
}

/* Bytes, up to `limit` of those wanted. False: not readable, and nothing appended. */
static __always_inline bool fetch_bytes(struct sink *sink, u64 pointer, u64 wanted, u64 limit, u8 arg,
					u8 kind, u8 part)
{
	u8 *room = chunk_room(sink);
	u64 bytes = wanted;

	if (!room)
		return true; /* cut: told by what is missing and TRACE_ENTRY_LOST */
	if (bytes > limit)
		bytes = limit;
	if (sink->piece_bytes == TRACE_PIECE_BYTES)
		CLAMP(bytes, TRACE_PIECE_BYTES);
	else
		CLAMP(bytes, TRACE_TEXT_BYTES);
	if (bpf_probe_read_user(room + sizeof(struct trace_chunk), bytes, (void *)pointer))
		return false;
	end_chunk(sink, room, arg, kind, bytes < wanted ? CHUNK_MORE : 0, part, bytes);
	return true;
}

/* A string of at most `limit` bytes. False: not readable, and nothing appended. */
static __always_inline bool fetch_string(struct sink *sink, u64 pointer, u64 limit, u8 arg)
{
	u8 *room = chunk_room(sink);
	u64 bytes = limit + 2; /* its NUL, and one more to see whether it goes on */
	long read;

	if (!room)
		return true;
	if (sink->piece_bytes == TRACE_PIECE_BYTES)
		CLAMP(bytes, TRACE_PIECE_BYTES);
	else
		CLAMP(bytes, TRACE_TEXT_BYTES);
	read = read_user_text(room + sizeof(struct trace_chunk), bytes, pointer);
	if (read < 0)
		return false;
	read--;
	end_chunk(sink, room, arg, CHUNK_STRING, read > limit ? CHUNK_MORE : 0, 0,
		  read > limit ? limit : read);
	return true;
}

static __always_inline void append_fault(struct sink *sink, u8 arg, u8 kind, u8 part)
{
	u8 *room = chunk_room(sink);

	if (room)
		end_chunk(sink, room, arg, kind, CHUNK_FAULT, part, 0);
}

/* How many elements a counted fetch has. */
static __always_inline u64 fetch_count(struct thread *thread, u8 from, s64 result)
{
	u32 arg = from & 7;
	u64 held = 0;

	if (from == 6)
		return result > 0 ? result : 0;
	CLAMP(arg, 5);
	if (from < 16)
		return thread->args[arg];
	bpf_probe_read_user(&held, from < 32 ? sizeof(u32) : sizeof(u64), (void *)thread->args[arg]);
	return held;
}

#endif
