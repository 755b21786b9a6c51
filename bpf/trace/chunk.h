/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Chunks, and where they go: at the entry of a call into the thread's entry memory, at its exit
 * straight into the memory ring. The code that fetches is the same for both, verified for each.
 */
#ifndef PROCTOR_TRACE_CHUNK_H
#define PROCTOR_TRACE_CHUNK_H

#include "ring.h"

#define ENTRIES_BY_TID 2048
#define ENTRY_LAST_START TRACE_ENTRY_BYTES
#define RING_LAST_START (TRACE_SLACK_BYTES - TRACE_TEXT_BYTES - 16)

/* A piece that begins within TRACE_ENTRY_BYTES may run past them. */
struct entry {
	u64 used;
	u64 left; /* see struct sink */
	u64 cut;
	u8 bytes[TRACE_ENTRY_BYTES + sizeof(struct trace_chunk) + TRACE_PIECE_BYTES];
};

/* Of threads that made a call with entry memory. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct entry);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES_BY_TID);
	__type(key, u32);
	__type(value, struct entry);
} entries_by_tid SEC(".maps");

/* Something to make a hash's value from: 12 KiB are too much for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct entry);
} empty_entry SEC(".maps");

/* What appends to entry memory returns the bytes of it now used, or one of these. */
#define NOT_READABLE -1
#define NO_ROOM -2
#define ENTRY_CUT 0x10000 /* beside the bytes: something is missing */
#define PATH_WHOLE 0x20000 /* likewise: nothing of the path is */

/* Where chunks go. All but `memory` and the pointers are constants to the verifier. */
struct sink {
	u8 *memory;
	volatile u32 *used;
	volatile u64 *left; /* bytes of a vector's data still to come; in a map, to keep the verifier short */
	volatile u32 *cut;  /* set where something found no room */
	u32 last_start;   /* a piece may begin here, not later */
	u32 piece_bytes;  /* at most */
	u8 flags;         /* enum chunk_flag of each chunk */
};

static __always_inline struct entry *current_entry(bool create)
{
	if (configuration.task_storage)
		return bpf_task_storage_get(&entries, bpf_get_current_task_btf(), 0,
					    create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);

	u32 tid = bpf_get_current_pid_tgid(), zero = 0;
	struct entry *entry = bpf_map_lookup_elem(&entries_by_tid, &tid);

	if (!entry && create) {
		entry = bpf_map_lookup_elem(&empty_entry, &zero);
		if (entry)
			bpf_map_update_elem(&entries_by_tid, &tid, entry, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&entries_by_tid, &tid);
	}
	return entry;
}

/* As it was left. */
static __always_inline struct entry *entry_sink(struct sink *sink)
{
	struct entry *entry = current_entry(true);

	if (!entry)
		return NULL;
	sink->memory = entry->bytes;
	sink->used = (u32 *)&entry->used;
	sink->left = &entry->left;
	sink->cut = (u32 *)&entry->cut;
	sink->last_start = ENTRY_LAST_START;
	sink->piece_bytes = TRACE_PIECE_BYTES;
	sink->flags = 0;
	return entry;
}

/* `used`: bytes of chunks that are there. */
static __always_inline bool open_entry_sink(struct sink *sink, u32 used)
{
	struct entry *entry = entry_sink(sink);

	if (!entry)
		return false;
	entry->used = used;
	entry->cut = 0;
	return true;
}

/* The block where the chunks of the record being made lie. */
static __always_inline bool open_ring_sink(struct sink *sink, struct work *work)
{
	u32 block = (work->position / TRACE_BLOCK_BYTES) & (configuration.memory_blocks - 1);
	u32 slot = bpf_get_smp_processor_id() * configuration.memory_blocks + block;
	struct memory_block *found;

	if (work->full) {
		work->flags |= TRACE_MEMORY_LOST;
		return false;
	}
	found = bpf_map_lookup_elem(&memory, &slot);
	if (!found)
		return false;
	sink->memory = found->bytes + (work->position & (TRACE_BLOCK_BYTES - 1));
	sink->used = &work->used;
	sink->left = &work->left;
	sink->cut = &work->cut;
	sink->last_start = RING_LAST_START;
	sink->piece_bytes = TRACE_TEXT_BYTES;
	sink->flags = CHUNK_AT_EXIT;
	return true;
}

/* Room for a chunk with its header, or NULL. */
static __always_inline u8 *chunk_room(struct sink *sink)
{
	u64 at = *sink->used;

	if (at > sink->last_start) {
		*sink->cut = 1;
		return NULL;
	}
	/* Once more: before 5.11 what was compared says nothing of the copy that is used. */
	if (sink->last_start == ENTRY_LAST_START)
		CLAMP(at, ENTRY_LAST_START);
	else
		CLAMP(at, RING_LAST_START);
	return sink->memory + at;
}

static __always_inline void end_chunk(struct sink *sink, u8 *room, u8 arg, u8 kind, u8 flags, u8 part,
				      u32 bytes)
{
	struct trace_chunk *chunk = (struct trace_chunk *)room;

	chunk->arg = arg;
	chunk->kind = kind;
	chunk->flags = sink->flags | flags;
	chunk->part = part;
	chunk->bytes = bytes;
	*sink->used += sizeof(*chunk) + ALIGN8(bytes);
}

#endif
