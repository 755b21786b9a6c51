/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Memory behind further pointers: iovec, msghdr, and argument lists. Each function is verified on
 * its own and takes plain numbers, since 5.10 allows no others: it finds its sink by itself. What a
 * loop does is such a function, too: written into the loop, the verifier would go through it for
 * each turn, which took it three quarters of the time that all programs take it.
 */
#ifndef PROCTOR_TRACE_VECTOR_H
#define PROCTOR_TRACE_VECTOR_H

#include "fetch.h"

struct user_iovec_32 { u32 base, length; };
struct user_msghdr_32 { u32 name, name_length, iov, iov_length, control, control_length, flags; };
struct user_msghdr_64 { u64 name, name_length, iov, iov_length, control, control_length, flags; };
struct user_mmsghdr_32 { struct user_msghdr_32 header; u32 moved; };
struct user_mmsghdr_64 { struct user_msghdr_64 header; u32 moved, padding; };

/* FETCH_MESSAGES where the parts are there already. */
#define FETCH_HEADERS 255

struct vector_meta { u8 arg, narrow, kind, part; };

#define PACK_META(arg, narrow, kind) ((arg) | (narrow) << 8 | (kind) << 16)
#define PACK_PART(meta, part) ((meta).arg | (meta).narrow << 8 | (u32)(part) << 24)

static __always_inline struct vector_meta unpack_meta(u32 meta)
{
	struct vector_meta unpacked = { meta, meta >> 8, meta >> 16, meta >> 24 };

	return unpacked;
}

/* What can't be read at the entry makes the whole be read at the exit. */
static __always_inline bool comes_again(struct sink *sink)
{
	return sink->piece_bytes == TRACE_PIECE_BYTES;
}

static __always_inline u64 element_bytes(bool narrow)
{
	return narrow ? sizeof(struct user_iovec_32) : sizeof(struct user_iovec);
}

/* The data of the element that lies in the sink's memory `at` there. False: it is not readable. */
static __always_inline bool append_element(struct sink *sink, u64 at, struct vector_meta meta)
{
	u64 base, length, left = *sink->left;
	u8 *element;

	if (sink->last_start == ENTRY_LAST_START)
		CLAMP(at, ENTRY_LAST_START + VECTOR_PARTS * sizeof(struct user_iovec));
	else
		CLAMP(at, RING_LAST_START + VECTOR_PARTS * sizeof(struct user_iovec));
	element = sink->memory + at;
	if (meta.narrow) {
		base = ((struct user_iovec_32 *)element)->base;
		length = ((struct user_iovec_32 *)element)->length;
	} else {
		base = ((struct user_iovec *)element)->base;
		length = ((struct user_iovec *)element)->length;
	}
	if (length > left)
		length = left;
	*sink->left = left - length;
	if (!length || fetch_bytes(sink, base, length, configuration.text_bytes, meta.arg, CHUNK_BYTES,
				   meta.part))
		return true;
	if (!comes_again(sink))
		append_fault(sink, meta.arg, CHUNK_BYTES, meta.part);
	return false;
}

__noinline int element_at_entry(u32 at, u32 meta)
{
	struct sink sink;

	return entry_sink(&sink) && append_element(&sink, at, unpack_meta(meta));
}

__noinline int element_at_exit(u32 at, u32 meta)
{
	struct work *work = current_work();
	struct sink sink;

	return work && open_ring_sink(&sink, work) && append_element(&sink, at, unpack_meta(meta));
}

/* `left`: bytes that the call moved, spread over the elements. False: nothing appended. */
static __always_inline bool fetch_iovec(struct sink *sink, u64 pointer, u64 elements, u64 left,
					struct vector_meta meta, u8 part, u8 data_part)
{
	u32 size = element_bytes(meta.narrow), at = *sink->used + sizeof(struct trace_chunk);

	if (!chunk_room(sink))
		return true;
	if (elements > 65536)
		elements = 65536;
	if (!fetch_bytes(sink, pointer, elements * size, VECTOR_BYTES, meta.arg, CHUNK_IOVEC, part))
		return false;
	if (!configuration.text_bytes)
		return true;
	*sink->left = left;
	for (u32 i = 0; i < VECTOR_PARTS; i++) {
		if (i >= elements || !*sink->left)
			break;
		if (!comes_again(sink))
			element_at_exit(at + i * size, PACK_PART(meta, data_part + i));
		else if (!element_at_entry(at + i * size, PACK_PART(meta, data_part + i)))
			return false;
	}
	return true;
}

/* Its fields are read from the chunk: on the stack they would be too much. */
#define MESSAGE_FIELD(body, narrow, field)                                                 \
	((narrow) ? ((struct user_msghdr_32 *)(body))->field : ((struct user_msghdr_64 *)(body))->field)

static __always_inline u64 message_bytes(bool narrow)
{
	return narrow ? sizeof(struct user_mmsghdr_32) : sizeof(struct user_mmsghdr_64);
}

static __always_inline bool fetch_message(struct sink *sink, u64 pointer, u64 left,
					  struct vector_meta meta)
{
	u64 size = meta.narrow ? sizeof(struct user_msghdr_32) : sizeof(struct user_msghdr_64);
	u8 *body = chunk_room(sink);
	u64 field, length;

	if (meta.kind != FETCH_MSGHDR)
		size = message_bytes(meta.narrow);
	if (!body)
		return true;
	if (!fetch_bytes(sink, pointer, size, size, meta.arg, CHUNK_MSGHDR, 0))
		return false;
	body += sizeof(struct trace_chunk);
	field = MESSAGE_FIELD(body, meta.narrow, name);
	length = (u32)MESSAGE_FIELD(body, meta.narrow, name_length); /* an int, and padding after it */
	if (field && length &&
	    !fetch_bytes(sink, field, length, SOCKADDR_BYTES, meta.arg, CHUNK_BYTES, 0)) {
		if (comes_again(sink))
			return false;
		append_fault(sink, meta.arg, CHUNK_BYTES, 0);
	}
	field = MESSAGE_FIELD(body, meta.narrow, control);
	length = MESSAGE_FIELD(body, meta.narrow, control_length);
	if (field && length &&
	    !fetch_bytes(sink, field, length, CONTROL_BYTES, meta.arg, CHUNK_BYTES, 2)) {
		if (comes_again(sink))
			return false;
		append_fault(sink, meta.arg, CHUNK_BYTES, 2);
	}
	field = MESSAGE_FIELD(body, meta.narrow, iov);
	length = MESSAGE_FIELD(body, meta.narrow, iov_length);
	if (field && length && !fetch_iovec(sink, field, length, left, meta, 1, 16)) {
		if (comes_again(sink))
			return false;
		append_fault(sink, meta.arg, CHUNK_IOVEC, 1);
	}
	return true;
}

enum next_string { STRING_APPENDED, STRING_NONE_LEFT, STRING_CUT, STRING_FAULT };

/* The one that the pointer points to which lies at `pointer`. */
static __always_inline enum next_string append_string(struct sink *sink, u64 pointer, bool narrow)
{
	u64 string = 0;
	u8 *room;
	long read;

	if (bpf_probe_read_user(&string, narrow ? sizeof(u32) : sizeof(u64), (void *)pointer))
		return STRING_FAULT;
	if (!string)
		return STRING_NONE_LEFT;
	room = chunk_room(sink);
	if (!room)
		return STRING_CUT;
	read = read_user_text(room, TRACE_PIECE_BYTES, string);
	if (read < 0)
		return STRING_FAULT;
	*sink->used += read;
	return STRING_APPENDED;
}

__noinline int string_at_entry(u64 pointer, u32 narrow)
{
	struct sink sink;

	return entry_sink(&sink) ? append_string(&sink, pointer, narrow) : STRING_CUT;
}

__noinline int string_at_exit(u64 pointer, u32 narrow)
{
	struct work *work = current_work();
	struct sink sink;

	return work && open_ring_sink(&sink, work) ? append_string(&sink, pointer, narrow) : STRING_CUT;
}

/* One chunk with all strings. An element longer than a piece, or past the last that fits, is cut. */
static __always_inline bool fetch_strings(struct sink *sink, u64 pointer, struct vector_meta meta)
{
	u64 size = meta.narrow ? sizeof(u32) : sizeof(u64);
	u8 *start = chunk_room(sink), flags = CHUNK_MORE;
	u32 before = *sink->used, bytes;
	int next;

	if (!start)
		return true;
	*sink->used = before + sizeof(struct trace_chunk);
	for (u32 i = 0; i < STRINGS_ELEMENTS; i++) {
		next = comes_again(sink) ? string_at_entry(pointer + i * size, meta.narrow)
					 : string_at_exit(pointer + i * size, meta.narrow);
		if (next != STRING_APPENDED)
			break;
	}
	if (next == STRING_NONE_LEFT)
		flags = 0;
	if (next == STRING_FAULT)
		flags |= CHUNK_FAULT;
	bytes = *sink->used - before - sizeof(struct trace_chunk);
	*sink->used = before;
	if (flags & CHUNK_FAULT && !bytes)
		return false;
	end_chunk(sink, start, meta.arg, CHUNK_STRINGS, flags, 0, bytes);
	return true;
}

/* Of 32-bit programs the two words only. */
static __always_inline bool fetch_sigset(struct sink *sink, u64 pointer, struct vector_meta meta)
{
	u8 *words = chunk_room(sink);
	u64 set;

	if (!words)
		return true;
	if (!fetch_bytes(sink, pointer, 2 * sizeof(u64), TRACE_PIECE_BYTES, meta.arg, CHUNK_BYTES, 0))
		return false;
	set = *(u64 *)(words + sizeof(struct trace_chunk));
	if (!set || meta.narrow)
		return true;
	if (fetch_bytes(sink, set, sizeof(u64), TRACE_PIECE_BYTES, meta.arg, CHUNK_BYTES, 1))
		return true;
	if (comes_again(sink))
		return false;
	append_fault(sink, meta.arg, CHUNK_BYTES, 1);
	return true;
}

static __always_inline bool fetch(struct sink *sink, u64 pointer, u64 elements, u64 left,
				  struct vector_meta meta)
{
	switch (meta.kind) {
	case FETCH_STRING:
		return fetch_string(sink, pointer, TRACE_PIECE_BYTES - 1, meta.arg);
	case FETCH_TEXT:
		return fetch_string(sink, pointer, configuration.text_bytes, meta.arg);
	case FETCH_BYTES:
	case FETCH_COUNTED:
		return fetch_bytes(sink, pointer, elements, TRACE_PIECE_BYTES, meta.arg, CHUNK_BYTES, 0);
	case FETCH_BUFFER:
		return fetch_bytes(sink, pointer, elements, configuration.text_bytes, meta.arg,
				   CHUNK_BYTES, 0);
	case FETCH_IOVEC:
		return fetch_iovec(sink, pointer, elements, left, meta, 0, 0);
	case FETCH_MSGHDR:
	case FETCH_MESSAGES:
		return fetch_message(sink, pointer, left, meta);
	case FETCH_FILES:
		return fetch_bytes(sink, pointer, 2 * sizeof(s32), TRACE_PIECE_BYTES, meta.arg,
				   CHUNK_BYTES, 0);
	case FETCH_STRINGS:
		return fetch_strings(sink, pointer, meta);
	case FETCH_HEADERS:
		return fetch_bytes(sink, pointer, elements * message_bytes(meta.narrow),
				   TRACE_MESSAGES * sizeof(struct user_mmsghdr_64), meta.arg,
				   CHUNK_MSGHDR, 0);
	case FETCH_SIGSET:
		return fetch_sigset(sink, pointer, meta);
	}
	return true;
}

/* One fetch of a rule. elements: of a vector, else bytes; left: bytes that the call moved. */
__noinline int fetch_at_entry(u64 pointer, u64 elements, u64 left, u32 meta, u32 used)
{
	struct sink sink;

	if (!open_entry_sink(&sink, used))
		return NO_ROOM;
	if (!fetch(&sink, pointer, elements, left, unpack_meta(meta)))
		return NOT_READABLE;
	return *sink.used | (*sink.cut ? ENTRY_CUT : 0);
}

__noinline int fetch_at_exit(u64 pointer, u64 elements, u64 left, u32 meta)
{
	struct work *work = current_work();
	struct sink sink;

	if (!work || !open_ring_sink(&sink, work))
		return 0;
	if (fetch(&sink, pointer, elements, left, unpack_meta(meta)))
		return 0;
	append_fault(&sink, (u8)meta, CHUNK_BYTES, 0);
	work->unreadable++;
	return NOT_READABLE;
}

/* A struct mmsghdr[]. What can't be read of one makes all be read at the exit. */
__noinline int messages_at_entry(u64 pointer, u64 elements, u32 meta, u32 used)
{
	u64 size = message_bytes(unpack_meta(meta).narrow);
	int now = used, cut = 0;

	for (u32 i = 0; i < TRACE_MESSAGES; i++) {
		if (i >= elements)
			break;
		now = fetch_at_entry(pointer + i * size, 1, ~0ULL, meta, now);
		if (now < 0)
			return now;
		cut |= now & ENTRY_CUT;
		now &= ENTRY_CUT - 1;
	}
	return now | cut;
}

__noinline int messages_at_exit(u64 pointer, u64 elements, u32 meta)
{
	bool narrow = unpack_meta(meta).narrow;
	u64 size = message_bytes(narrow);

	for (u32 i = 0; i < TRACE_MESSAGES; i++) {
		u32 moved = 0;

		if (i >= elements)
			break;
		bpf_probe_read_user(&moved, sizeof(moved),
				    (void *)pointer + (narrow ? offsetof(struct user_mmsghdr_32, moved)
							      : offsetof(struct user_mmsghdr_64, moved)));
		if (fetch_at_exit(pointer, 1, moved, meta))
			break;
		pointer += size;
	}
	return 0;
}

#endif
