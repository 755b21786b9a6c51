/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Walks over all threads: those in scope when tracing begins and while it goes on, and calls under way when it ends.
 */
#include "chunk.h"

/* Writes nothing: gives the threads of processes in scope_tgids their entry. */
SEC("iter/task")
int mark_threads(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *thread;
	u32 tgid;
	u8 *scope;

	if (!task)
		return 0;
	tgid = task->tgid;
	scope = bpf_map_lookup_elem(&scope_tgids, &tgid);
	if (!scope)
		return 0;
	thread = make_thread(task);
	if (thread)
		thread->scope = *scope | SCOPE_GIVEN;
	return 0;
}

/* The pid of each thread's process, of those in scope. Who has ended may still be among them. */
SEC("iter/task")
int processes_in_scope(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *thread;
	u32 tid, pid;

	if (!task)
		return 0;
	tid = task->pid;
	pid = task->tgid;
	thread = configuration.task_storage ? bpf_task_storage_get(&threads, task, 0, 0)
					    : bpf_map_lookup_elem(&threads_by_tid, &tid);
	if (thread && thread->scope & SCOPE_TRACED)
		bpf_seq_write(ctx->meta->seq, &pid, sizeof(pid));
	return 0;
}

/* Its thread's entry. Who slept since before tracing began was not seen yet with the host or cgroups in scope. */
static __always_inline struct thread *thread_of(struct task_struct *task)
{
	struct thread *thread;
	u32 tid = task->pid;

	thread = configuration.task_storage ? bpf_task_storage_get(&threads, task, 0, 0)
					    : bpf_map_lookup_elem(&threads_by_tid, &tid);
	if (thread || !(configuration.scope_host || configuration.scope_cgroups_set) ||
	    task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return thread;
	thread = make_thread(task);
	if (thread)
		decide_scope(thread, task);
	return thread;
}

/*
 * Whether registers are those of a call that has not returned. x86 puts -ENOSYS where the result will
 * be, and another number than the call's whenever the kernel is entered in another way. arm64 leaves
 * the call's number there, so only who sleeps is taken to be in it still.
 */
static __always_inline bool in_call(struct task_struct *task, struct pt_regs *regs)
{
	if (number_in(regs) < 0 || task->flags & PF_EXITING)
		return false;
#ifdef __TARGET_ARCH_arm64
	return task->__state & (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
#else
	return result_in(regs) == -ENOSYS;
#endif
}

/* Whether a descriptor among the arguments is of a wanted place: paths in memory can't be read here. */
static __always_inline bool file_wanted(struct task_struct *task, struct thread *thread,
					struct trace_rule *rule)
{
	if (!configuration.paths_set)
		return true;
	for (u32 i = 0; i < 6; i++) {
		u64 path = 0;

		if (rule->fd_arguments >> i & 1)
			path = path_in_task(task, (s32)thread->args[i]);
		if (path && lies_in_place(path))
			return true;
	}
	return false;
}

/* A thread that made no call since tracing began: false if it is in none, or in one that is not wanted. */
static __always_inline bool note_older(struct task_struct *task, struct thread *thread)
{
	struct trace_rule *rule;
	struct pt_regs *regs;
	u8 abi;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!in_call(task, regs))
		return false;
	abi = abi_of(task, number_in(regs));
	note_unseen(thread, regs, abi, plain_number(number_in(regs), abi));
	rule = rule_of(thread->abi, thread->number);
	return rule && rule->selected && fd_wanted(thread, rule) && file_wanted(task, thread, rule);
}

/* What its descriptors stand for, in the memory of who reads this: it makes no call that is traced. */
static __always_inline void note_files_of(struct task_struct *task, struct thread *thread)
{
	struct trace_rule *rule = rule_of(thread->abi, thread->number);

	for (u32 i = 0; rule && i < 6; i++) {
		u64 path = 0;

		if (rule->fd_arguments >> i & 1)
			path = path_in_task(task, (s32)thread->args[i]);
		if (!path)
			continue;
		note_entry_memory(thread, file_at_entry(path, i, thread->entry_bytes));
		thread->flags |= TRACE_FILES_TOLD;
	}
}

static __always_inline struct entry *entry_memory_of(struct task_struct *task)
{
	u32 tid = task->pid;

	return configuration.task_storage ? bpf_task_storage_get(&entries, task, 0, 0)
					  : bpf_map_lookup_elem(&entries_by_tid, &tid);
}

/* A frame of its own: with that of file_at_entry the record is more than a stack holds. */
static __noinline int write_call(struct bpf_iter__task *ctx, struct task_struct *task,
				 struct thread *thread, struct entry *entry)
{
	struct trace_record record = {};
	u64 bytes = entry ? thread->entry_bytes : 0, before = thread->short_bytes;

	record.kind = TRACE_UNDER_WAY;
	record.pid = thread->pid;
	record.tid = thread->tid;
	record.process_start_ns = thread->process_start_ns;
	record.task_sequence = ++thread->sequence;
	record.start_ns = thread->entered_ns;
	record.duration_ns = bpf_ktime_get_ns() - thread->entered_ns;
	for (int i = 0; i < 6; i++)
		record.args[i] = thread->args[i];
	record.number = thread->number;
	record.abi = thread->abi;
	record.flags = thread->flags;
	record.cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	CLAMP(bytes, sizeof(entry->bytes));
	CLAMP(before, sizeof(thread->piece));
	record.memory_bytes = before + bytes;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	if (before)
		bpf_seq_write(ctx->meta->seq, thread->piece, before);
	if (entry && bytes)
		bpf_seq_write(ctx->meta->seq, entry->bytes, bytes);
	return 0;
}

/* What has no result, and returned no file, passes no filter by them: as of calls that never return. */
static __always_inline bool passes_filters(struct thread *thread, bool older)
{
	if (configuration.result_filter)
		return false;
	if (older)
		return true; /* its files were looked at, and how long it runs is not known */
	return !(configuration.paths_set && thread->elsewhere) &&
	       duration_wanted(bpf_ktime_get_ns() - thread->entered_ns);
}

/* After all else is detached: a record of each call under way, followed by its chunks. */
SEC("iter/task")
int calls_under_way(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct thread *thread;
	bool older;

	if (!task)
		return 0;
	thread = thread_of(task);
	if (!thread || !(thread->scope & SCOPE_TRACED))
		return 0;
	older = thread->call == CALL_UNKNOWN;
	if (older ? !note_older(task, thread) : thread->call != CALL_UNDER_WAY)
		return 0;
	if (!passes_filters(thread, older))
		return 0;
	if (older && configuration.descriptors_told)
		note_files_of(task, thread);
	return write_call(ctx, task, thread, older ? current_entry(false) : entry_memory_of(task));
}
