/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records into the ring of the CPU.
 *
 * Programs on tracepoints run with preemption off (kernels that lifted it for syscalls' and left
 * it to BPF included), and none of ours runs in an interrupt, so one CPU's ring has one writer. Should a
 * kernel differ, the second one finds the ring busy: its record is a counted loss.
 *
 * The head is written after the record. x86 keeps that order; elsewhere a reader may see the head
 * early, so it reads up to a head that it saw one tick before.
 */
#ifndef PROCTOR_TRACE_RING_H
#define PROCTOR_TRACE_RING_H

#include "task.h"

#define ALIGN8(bytes) (((bytes) + 7) & ~7)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* CPUs x record_capacity: set when loading, as those that follow */
	__type(key, u32);
	__type(value, struct trace_record);
} records SEC(".maps");

struct memory_block { u8 bytes[TRACE_BLOCK_BYTES + TRACE_SLACK_BYTES]; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* CPUs x memory_blocks */
	__type(key, u32);
	__type(value, struct memory_block);
} memory SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* CPUs */
	__type(key, u32);
	__type(value, struct trace_tail);
} tails SEC(".maps");

/*
 * Of the record being made on this CPU. Beside the CPU's head, where functions that are verified
 * alone find it: a look-up for both.
 */
struct work {
	u64 position;    /* in the memory ring, where its chunks begin */
	u64 left;        /* see struct sink */
	u32 used;        /* bytes of them */
	u32 flags;       /* enum trace_flag */
	u32 unreadable;  /* chunks */
	u32 busy;
	u32 full;        /* the memory ring: chunks are lost if there are any */
	u32 cut;         /* see struct sink */
	u32 tallies;     /* given away on this CPU: see tally.h */
};

_Static_assert(sizeof(struct work) <= sizeof(((struct trace_head *)0)->reserved), "no room");

struct ring {
	struct task_struct *task; /* the current one */
	struct trace_head *head;
	struct trace_tail *tail;
	u64 *counts;
	struct work *work;
	u32 cpu;
};

static __always_inline struct work *work_of(struct trace_head *head)
{
	return (struct work *)head->reserved;
}

static __always_inline struct work *current_work(void)
{
	struct trace_head *head = current_head();

	return head ? work_of(head) : NULL;
}

static __always_inline bool open_ring(struct ring *ring, struct task_struct *task)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct trace_head *head = bpf_map_lookup_elem(&heads, &cpu);

	ring->tail = bpf_map_lookup_elem(&tails, &cpu);
	if (!head || !ring->tail)
		return false;
	ring->task = task;
	ring->cpu = cpu;
	ring->head = head;
	ring->counts = head->counts;
	ring->work = work_of(head);
	return true;
}

/* A record that is wanted: NULL where there is no room. To be ended with `finish_record`. */
static __always_inline struct trace_record *begin_record(struct ring *ring, struct thread *thread,
							 enum trace_kind kind)
{
	u64 number = ring->head->records, memory_used;
	struct trace_record *record;
	u32 slot, task_sequence;

	task_sequence = ++thread->sequence;
	ring->counts[TRACE_MADE]++;
	if (ring->work->busy || number - *(volatile u64 *)&ring->tail->records >= configuration.record_capacity)
		goto lost;
	slot = ring->cpu * configuration.record_capacity + (number & (configuration.record_capacity - 1));
	record = bpf_map_lookup_elem(&records, &slot);
	if (!record)
		goto lost;
	ring->work->busy = 1;
	record->task_sequence = task_sequence;
	record->cpu_sequence = ring->counts[TRACE_MADE];
	record->kind = kind;
	record->pid = thread->pid;
	record->tid = thread->tid;
	record->process_start_ns = thread->process_start_ns;
	record->cgroup = current_cgroup(ring->task);
	record->memory_bytes = 0;

	ring->work->position = ring->head->memory;
	ring->work->flags = 0;
	ring->work->used = 0;
	ring->work->unreadable = 0;
	memory_used = ring->head->memory - *(volatile u64 *)&ring->tail->memory;
	ring->work->cut = 0;
	ring->work->full =
		memory_used + TRACE_SLACK_BYTES > (u64)configuration.memory_blocks * TRACE_BLOCK_BYTES;
	return record;
lost:
	ring->counts[TRACE_LOST_RECORDS]++;
	return NULL;
}

static __always_inline void finish_record(struct ring *ring, struct trace_record *record)
{
	struct work *work = ring->work;
	u64 position = work->position, next;

	if (work->cut)
		work->flags |= TRACE_ENTRY_LOST;
	record->flags |= work->flags;
	record->memory_position = position;
	if (work->flags & TRACE_MEMORY_LOST)
		ring->counts[TRACE_LOST_MEMORY]++;
	if (work->used) {
		record->memory_bytes = work->used;
		next = position + work->used;
		/* Past the block's end lies slack, not the next block. */
		if (next / TRACE_BLOCK_BYTES != position / TRACE_BLOCK_BYTES)
			next = (position / TRACE_BLOCK_BYTES + 1) * TRACE_BLOCK_BYTES;
		ring->head->memory = next;
	}
	if (work->unreadable)
		ring->counts[TRACE_UNREADABLE] += work->unreadable;
	ring->counts[TRACE_WRITTEN]++;
	barrier();
	*(volatile u64 *)&ring->head->records = ring->head->records + 1;
	work->busy = 0;
}

#endif
