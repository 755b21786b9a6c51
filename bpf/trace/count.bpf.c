/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counting without records: calls and errors (count_exit alone), or with times and latencies as
 * well (latency_enter and latency_exit). Which of the two are loaded is the loader's choice.
 *
 * A map's element belongs to one thread, which is the only one that writes it: plain additions,
 * no atomics, no copy a CPU. The reader adds up, and takes out what ended threads have left.
 * Part of trace.bpf.c, after calls.bpf.c.
 */
#include "filter.h"
#include "special.h"
#include "tally.h"

/* Entries are made when first needed: most of a map stays memory that was never asked for. */
#define COUNT_ENTRIES 65536

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, COUNT_ENTRIES);
	__type(key, struct trace_count_key);
	__type(value, struct trace_counted);
} call_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, COUNT_ENTRIES);
	__type(key, struct trace_count_key);
	__type(value, struct trace_latency);
} call_latencies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, COUNT_ENTRIES);
	__type(key, struct trace_error_key);
	__type(value, u64);
} call_errors SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ABIS * TRACE_SYSCALLS);
	__type(key, u32);
	__type(value, struct trace_other);
} call_others SEC(".maps");

/* A new entry is made here: too large for the stack. sys_exit runs without preemption. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct trace_latency);
} fresh_latency SEC(".maps");

static __always_inline struct trace_other *other(u8 abi, u16 number)
{
	u32 index = abi * TRACE_SYSCALLS + (number < TRACE_SYSCALLS ? number : TRACE_SYSCALLS - 1);

	return bpf_map_lookup_elem(&call_others, &index);
}

static __always_inline void count_errno(struct trace_count_key *call, u32 pid, s64 result)
{
	struct trace_error_key key = {
		.process_start_ns = call->process_start_ns,
		.tid = call->tid,
		.pid = pid,
		.number = call->number,
		.error = -result,
		.abi = call->abi,
	};
	u64 *calls = bpf_map_lookup_elem(&call_errors, &key), one = 1;
	struct trace_other *unnamed;

	if (calls) {
		(*calls)++;
	} else if (bpf_map_update_elem(&call_errors, &key, &one, BPF_NOEXIST)) {
		unnamed = other(call->abi, call->number);
		if (unnamed)
			unnamed->errors_unnamed++;
	}
}

/* No room for an entry: the call counts under its syscall, without its process. */
static __always_inline void count_other(struct trace_count_key *call, s64 result, u64 duration_ns)
{
	struct trace_other *others = other(call->abi, call->number);

	if (!others)
		return;
	others->calls++;
	others->errors += is_error(result);
	others->total_ns += duration_ns;
}

/* The entry of this call's thread and syscall, made if need be. */
static __always_inline void *entry_of(void *map, struct trace_count_key *key, u32 pid)
{
	void *entry = bpf_map_lookup_elem(map, key);
	struct trace_latency *fresh;
	u32 zero = 0;

	if (entry)
		return entry;
	fresh = bpf_map_lookup_elem(&fresh_latency, &zero);
	if (!fresh)
		return NULL;
	fresh->counted.pid = pid;
	fresh->counted.min_ns = ~0ULL;
	name_process(&fresh->counted.named_ns, fresh->counted.comm);
	bpf_map_update_elem(map, key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

static __always_inline void count_call(struct trace_counted *counted, struct thread *thread,
				       struct trace_count_key *key, s64 result)
{
	counted->calls++;
	if (counted->named_ns < thread->executed_ns)
		name_process(&counted->named_ns, counted->comm);
	if (is_error(result)) {
		counted->errors++;
		count_errno(key, counted->pid, result);
	}
}

static __always_inline u32 bucket_of(u64 duration_ns)
{
	u64 rest = duration_ns >> TRACE_FIRST_OCTAVE;
	u32 octave = 0;

	if (!rest)
		return duration_ns >> TRACE_LINEAR_SHIFT;
	if (rest >> TRACE_OCTAVES)
		return TRACE_LATENCY_BUCKETS - 1;
	if (rest >> 16) {
		octave += 16;
		rest >>= 16;
	}
	if (rest >> 8) {
		octave += 8;
		rest >>= 8;
	}
	if (rest >> 4) {
		octave += 4;
		rest >>= 4;
	}
	if (rest >> 2) {
		octave += 2;
		rest >>= 2;
	}
	octave += rest >> 1;
	/* The three bits below the highest one. */
	return TRACE_LINEAR_BUCKETS + TRACE_OCTAVE_BUCKETS * octave +
	       (duration_ns >> (octave + TRACE_FIRST_OCTAVE - 3)) % TRACE_OCTAVE_BUCKETS;
}

static __always_inline void count_duration(struct trace_latency *latency, u64 duration_ns)
{
	struct trace_counted *counted = &latency->counted;
	u32 bucket = bucket_of(duration_ns);

	counted->total_ns += duration_ns;
	if (duration_ns < counted->min_ns)
		counted->min_ns = duration_ns;
	if (duration_ns > counted->max_ns)
		counted->max_ns = duration_ns;
	CLAMP(bucket, TRACE_LATENCY_BUCKETS - 1);
	latency->buckets[bucket]++;
}

/* Which call it is, as rules have it. result: at the entry -ENOSYS. False: not one that is wanted. */
static __always_inline bool identify(struct trace_count_key *key, struct task_struct *task,
				     long number, s64 result)
{
	struct trace_rule *rule;

	key->abi = current_abi(task, number);
	key->number = left_number(number, key->abi, result);
	rule = rule_of(key->abi, key->number);
	return rule && rule->selected;
}

static __always_inline void set_thread(struct trace_count_key *key, struct thread *thread)
{
	key->process_start_ns = thread->process_start_ns;
	key->tid = thread->tid;
}

static __always_inline void count_left(struct pt_regs *regs, s64 result)
{
	struct trace_count_key key = {};
	struct task_struct *task = current();
	struct trace_counted *counted;
	struct thread *thread;

	if (!tracing() || !identify(&key, task, number_in(regs), result))
		return;
	thread = traced_thread(task);
	if (!thread || thread->scope & SCOPE_FROM_EXEC || !result_wanted(result))
		return;
	if (!result && is_fork(key.abi, key.number))
		return;
	if (count_in_tally(thread, &key, result))
		return;
	set_thread(&key, thread);
	counted = entry_of(&call_counts, &key, thread->pid);
	if (counted)
		count_call(counted, thread, &key, result);
	else
		count_other(&key, result, 0);
}

/* Whether a call is about the files that are asked for, as records decide it. */
static __always_inline bool counted_here(struct thread *thread, struct pt_regs *regs,
					 struct trace_count_key *key)
{
	struct trace_rule *rule = rule_of(key->abi, key->number);

	if (!configuration.fds_set && !configuration.paths_set)
		return true;
	if (!rule)
		return false;
	copy_args(thread->args, regs, key->abi);
	return place_wanted(thread, rule);
}

static __always_inline bool counted_there(struct thread *thread, struct trace_count_key *key,
					  s64 result)
{
	struct trace_rule *rule;

	if (!configuration.paths_set || !thread->elsewhere)
		return true;
	rule = rule_of(key->abi, key->number);
	return rule && rule->returns_file && !is_error(result) && file_in_place((u64)current_file(result));
}

static __always_inline void latency_entered(struct pt_regs *regs, long number)
{
	struct task_struct *task = current();
	struct trace_count_key key = {};
	struct thread *thread;

	if (!tracing() || !identify(&key, task, number, -ENOSYS))
		return;
	thread = traced_thread(task);
	if (!thread)
		return;
	thread->call = counted_here(thread, regs, &key) ? CALL_UNDER_WAY : CALL_UNSELECTED;
	thread->entered_ns = bpf_ktime_get_ns();
}

/*
 * Calls under way when counting began count without a time, and not at all where it is filtered by;
 * likewise those that seccomp answered before they began.
 */
static __always_inline void latency_left(struct pt_regs *regs, s64 result)
{
	struct task_struct *task = current();
	struct trace_count_key key = {};
	struct trace_latency *latency;
	u64 duration_ns = 0;
	struct thread *thread;
	u8 before;

	if (!tracing() || !identify(&key, task, number_in(regs), result))
		return;
	thread = traced_thread(task);
	if (!thread)
		return;
	before = thread->call;
	thread->call = CALL_NONE;
	if (before == CALL_UNDER_WAY)
		duration_ns = bpf_ktime_get_ns() - thread->entered_ns;
	else if (before == CALL_UNSELECTED || made_thread(task, before, regs, result) ||
		 !counted_here(thread, regs, &key))
		return;
	if (thread->scope & SCOPE_FROM_EXEC || !duration_wanted(duration_ns) ||
	    !result_wanted(result) || !counted_there(thread, &key, result))
		return;
	set_thread(&key, thread);
	latency = entry_of(&call_latencies, &key, thread->pid);
	if (!latency) {
		count_other(&key, result, duration_ns);
		return;
	}
	count_call(&latency->counted, thread, &key, result);
	if (before == CALL_UNDER_WAY)
		count_duration(latency, duration_ns);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(count_exit, struct pt_regs *regs, long result)
{
	count_left(regs, result);
	return 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(latency_enter, struct pt_regs *regs, long number)
{
	latency_entered(regs, number);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(latency_exit, struct pt_regs *regs, long result)
{
	latency_left(regs, result);
	return 0;
}

/* The same at the tracepoints of single syscalls. */
SEC("tracepoint")
int count_own_exit(void *ctx)
{
	struct pt_regs *regs = current_registers();

	count_left(regs, result_in(regs));
	return 0;
}

SEC("tracepoint")
int latency_own_enter(void *ctx)
{
	struct pt_regs *regs = current_registers();

	latency_entered(regs, number_in(regs));
	return 0;
}

SEC("tracepoint")
int latency_own_exit(void *ctx)
{
	struct pt_regs *regs = current_registers();

	latency_left(regs, result_in(regs));
	return 0;
}
