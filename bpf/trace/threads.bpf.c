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
		thread->scope = *scope;
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

/* After all else is detached: a record of each call under way, followed by its chunks. */
SEC("iter/task")
int calls_under_way(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct trace_record record = {};
	struct thread *thread;
	struct entry *entry;
	u64 bytes, before;
	u32 tid;

	if (!task)
		return 0;
	tid = task->pid;
	thread = configuration.task_storage ? bpf_task_storage_get(&threads, task, 0, 0)
					    : bpf_map_lookup_elem(&threads_by_tid, &tid);
	if (!thread || thread->call != CALL_UNDER_WAY || !(thread->scope & SCOPE_TRACED))
		return 0;
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
	bytes = thread->entry_bytes;
	entry = configuration.task_storage ? bpf_task_storage_get(&entries, task, 0, 0)
					   : bpf_map_lookup_elem(&entries_by_tid, &tid);
	if (!entry)
		bytes = 0;
	CLAMP(bytes, sizeof(entry->bytes));
	before = thread->short_bytes;
	CLAMP(before, sizeof(thread->piece));
	record.memory_bytes = before + bytes;
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	if (before)
		bpf_seq_write(ctx->meta->seq, thread->piece, before);
	if (entry && bytes)
		bpf_seq_write(ctx->meta->seq, entry->bytes, bytes);
	return 0;
}
