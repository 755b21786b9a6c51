/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Threads as they come and go: scope is inherited, calls that never return get their record.
 */
#include "file.h"

/* A record of the moment, without memory. */
static __always_inline void fill_moment(struct trace_record *record, u64 now_ns)
{
	record->start_ns = now_ns;
	record->duration_ns = 0;
	for (int i = 0; i < 6; i++)
		record->args[i] = 0;
	record->result = 0;
	record->number = 0;
	record->abi = 0;
	record->flags = 0;
}

static __always_inline struct trace_record *begin_moment(struct ring *ring, struct task_struct *task,
							 struct thread *thread,
							 enum trace_kind kind)
{
	struct trace_record *record;

	if (!open_ring(ring, task))
		return NULL;
	record = begin_record(ring, thread, kind);
	if (record)
		fill_moment(record, bpf_ktime_get_ns());
	return record;
}

/* The forking thread, also where it came into scope only now and made no call since. */
static __always_inline struct thread *forking_thread(struct task_struct *parent)
{
	struct thread *thread = current_thread(parent);
	u32 tgid = parent->tgid;

	if (thread)
		return thread;
	if (!configuration.scope_host && !configuration.scope_cgroups_set &&
	    !bpf_map_lookup_elem(&scope_tgids, &tgid))
		return NULL;
	thread = make_thread(parent);
	if (thread)
		decide_scope(thread, parent);
	return thread;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(thread_forked, struct task_struct *parent, struct task_struct *child)
{
	struct thread *thread, *forked;
	struct trace_record *record;
	struct ring ring;

	if (child->flags & PF_KTHREAD)
		return 0;
	thread = forking_thread(parent);
	if (!thread || !thread->scope)
		return 0;
	forked = make_thread(child);
	if (!forked)
		return 0;
	forked->scope = thread->scope;
	forked->cgroup = thread->cgroup;
	forked->call = tracing() ? CALL_BORN : CALL_UNKNOWN;
	if (!configuration.processes || !(thread->scope & SCOPE_TRACED) || !tracing())
		return 0;
	record = begin_moment(&ring, parent, thread, TRACE_FORK);
	if (!record)
		return 0;
	record->args[0] = forked->pid;
	record->args[1] = forked->tid;
	record->args[2] = forked->process_start_ns;
	record->args[3] = child->files == parent->files;
	record->args[4] = child->fs == parent->fs;
	finish_record(&ring, record);
	return 0;
}

/* exec by a thread that is not the first gives it the first one's tid. */
static __always_inline void rename_thread(struct task_struct *task, u32 old_tid)
{
	struct thread *old, moved;
	struct entry *entry;
	u32 tid = task->pid;

	if (configuration.task_storage || old_tid == tid)
		return;
	old = bpf_map_lookup_elem(&threads_by_tid, &old_tid);
	if (!old)
		return;
	moved = *old;
	bpf_map_update_elem(&threads_by_tid, &tid, &moved, BPF_ANY);
	bpf_map_delete_elem(&threads_by_tid, &old_tid);
	entry = bpf_map_lookup_elem(&entries_by_tid, &old_tid);
	if (!entry)
		return;
	bpf_map_update_elem(&entries_by_tid, &tid, entry, BPF_ANY);
	bpf_map_delete_elem(&entries_by_tid, &old_tid);
}

static __always_inline void append_comm(struct work *work)
{
	struct sink sink;
	u8 *room;

	if (!open_ring_sink(&sink, work))
		return;
	room = chunk_room(&sink);
	if (!room || bpf_get_current_comm(room + sizeof(struct trace_chunk), 16))
		return;
	end_chunk(&sink, room, 7, CHUNK_STRING, 0, 0, 16);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(thread_executed, struct task_struct *task, int old_tid, struct linux_binprm *binary)
{
	struct trace_record *record;
	struct thread *thread;
	struct ring ring;

	rename_thread(task, old_tid);
	thread = traced_thread(task);
	if (!thread)
		return 0;
	thread->tid = task->pid;
	thread->executed_ns = bpf_ktime_get_ns();
	if (thread->scope & SCOPE_FROM_EXEC)
		thread->scope = SCOPE_TRACED | SCOPE_GIVEN;
	if (!configuration.processes || !tracing())
		return 0;
	record = begin_moment(&ring, task, thread, TRACE_EXEC);
	if (!record)
		return 0;
	record->args[0] = old_tid;
	/* Not a plain load: a function verified alone takes numbers, and that is a pointer. */
	append_kernel_file((u64)BPF_CORE_READ(binary, file), 7);
	append_comm(ring.work);
	finish_record(&ring, record);
	return 0;
}

/*
 * io_uring's workers are the kernel's threads in the program's process. With IORING_SETUP_SQPOLL one
 * submits. They come without a fork that is traced, so they are in scope as the process's first
 * thread is, which is there as long as they are.
 */
static __always_inline struct thread *traced_thread_or_worker(struct task_struct *task)
{
	struct thread *thread = traced_thread(task), *first;

	if (thread || !configuration.task_storage || !(task->flags & PF_IO_WORKER))
		return thread;
	first = bpf_task_storage_get(&threads, task->group_leader, 0, 0);
	if (!first || !(first->scope & SCOPE_TRACED))
		return NULL;
	thread = make_thread(task);
	if (thread)
		thread->scope = first->scope;
	return thread;
}

static __always_inline void end_call(struct task_struct *task, struct thread *thread)
{
	u64 duration_ns = bpf_ktime_get_ns() - thread->entered_ns;
	struct trace_record *record;
	struct ring ring;

	if (thread->call != CALL_UNDER_WAY || !open_ring(&ring, task))
		return;
	thread->call = CALL_NONE;
	/* What has no result, and returned no file, passes no filter by them. */
	if (configuration.result_filter || !duration_wanted(duration_ns) ||
	    (configuration.paths_set && thread->elsewhere)) {
		ring.counts[TRACE_FILTERED]++;
		return;
	}
	record = begin_record(&ring, thread, TRACE_NO_RETURN);
	if (!record)
		return;
	fill_call(record, thread, 0, duration_ns);
	append_entry(ring.work, thread);
	finish_record(&ring, record);
}

struct process_key { u64 start_ns; u32 pid; u32 zero; };

/* Processes whose end has been told. Needed for a moment only, so the oldest ones give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, u8);
} ended SEC(".maps");

/*
 * do_exit has counted this thread out before it comes here, so threads that exit at the same time
 * may all see 0: the first of them tells the end of the process.
 */
static __always_inline bool ends_process(struct task_struct *task, struct thread *thread)
{
	struct process_key key = { thread->process_start_ns, thread->pid, 0 };
	u8 one = 1;
	int error; /* before 6.4 maps return an int, whose sign does not reach the upper half of a long */

	if (task->signal->live.counter)
		return false;
	error = bpf_map_update_elem(&ended, &key, &one, BPF_NOEXIST);
	return error != -EEXIST;
}

/*
 * Ended by another thread's exec, which takes its tid over. Before 5.17 the field is also set while a
 * core is dumped, but nobody comes here meanwhile: all wait for the dump before.
 */
static __always_inline bool superseded(struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct task_struct *executing;

	if (task->pid != task->tgid)
		return false;
	if (bpf_core_field_exists(signal->group_exec_task))
		executing = BPF_CORE_READ(signal, group_exec_task);
	else
		executing = BPF_CORE_READ(signal, group_exit_task);
	return executing && executing != task;
}

static __always_inline void emit_exit(struct task_struct *task, struct thread *thread)
{
	struct trace_record *record;
	struct ring ring;
	u32 code = task->exit_code;

	if (task->flags & PF_IO_WORKER) {
		if (task->signal->live.counter)
			return;
		code = BPF_CORE_READ(task, signal, group_exit_code);
	}
	record = begin_moment(&ring, task, thread, TRACE_EXIT);
	if (!record)
		return;
	record->args[0] = code >> 8 & 0xff;
	record->args[1] = code & 0xff; /* 0x80: a core was dumped */
	record->args[2] = ends_process(task, thread);
	record->args[3] = superseded(task);
	finish_record(&ring, record);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(thread_exited, struct task_struct *task)
{
	u32 tid = task->pid, tgid = task->tgid;
	struct thread *thread = NULL;

	if (task->flags & PF_KTHREAD)
		return 0;
	if (tracing() && !configuration.counting)
		thread = traced_thread_or_worker(task);
	if (thread && thread->scope & SCOPE_TRACED) {
		end_call(task, thread);
		if (configuration.processes)
			emit_exit(task, thread);
	}
	/* Its number may be another's next. */
	if (!task->signal->live.counter)
		bpf_map_delete_elem(&scope_tgids, &tgid);
	thread = current_thread(task);
	if (thread)
		thread->call = CALL_NONE;
	if (!configuration.task_storage) {
		bpf_map_delete_elem(&threads_by_tid, &tid);
		bpf_map_delete_elem(&entries_by_tid, &tid);
	}
	return 0;
}
