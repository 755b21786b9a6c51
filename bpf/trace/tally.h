/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counts of what most calls are: of the machine's own ABI, and successful. They stand by their
 * number in an array that a thread has for itself, so nothing is hashed, which takes a third of the
 * time that counting a call costs its program. A CPU has some of these arrays to give away, each
 * once: the first threads get them, which are those that a user waits for; others go by the hash.
 */
#ifndef PROCTOR_TRACE_TALLY_H
#define PROCTOR_TRACE_TALLY_H

#include "ring.h"

#define NO_TALLY (~0U)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* CPUs x TRACE_TALLIES: set when loading */
	__type(key, u32);
	__type(value, struct trace_tally);
} tallies SEC(".maps");

/* The name that the process has now. */
static __always_inline void name_process(u64 *named_ns, u8 *comm)
{
	*named_ns = bpf_ktime_get_ns();
	bpf_get_current_comm(comm, 16);
}

/* The number of the one that the thread gets, or NO_TALLY. Programs on tracepoints are alone on their CPU. */
static __always_inline u32 take_tally(struct thread *thread)
{
	struct work *work = current_work();
	struct trace_tally *tally;
	u32 number;

	if (!work || work->tallies >= TRACE_TALLIES)
		return NO_TALLY;
	number = bpf_get_smp_processor_id() * TRACE_TALLIES + work->tallies++;
	tally = bpf_map_lookup_elem(&tallies, &number);
	if (!tally)
		return NO_TALLY;
	tally->process_start_ns = thread->process_start_ns;
	tally->tid = thread->tid;
	name_process(&tally->named_ns, tally->comm);
	tally->pid = thread->pid;
	return number;
}

/* False: it is to be counted as all others. */
static __always_inline bool count_in_tally(struct thread *thread, struct trace_count_key *key,
					   s64 result)
{
	struct trace_tally *tally;
	u32 number = key->number;

	if (key->abi != ABI_NATIVE || number >= TRACE_TALLIED || is_error(result))
		return false;
	if (!thread->tally_taken) {
		thread->tally_taken = 1;
		thread->tally = take_tally(thread);
	}
	tally = bpf_map_lookup_elem(&tallies, &thread->tally);
	if (!tally)
		return false;
	if (tally->named_ns < thread->executed_ns)
		name_process(&tally->named_ns, tally->comm);
	CLAMP(number, TRACE_TALLIED - 1);
	tally->calls[number]++;
	return true;
}

#endif
