/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What is kept of each thread, and which threads are traced.
 *
 * A tree costs a thread outside of it one look-up a call: who is in it is decided when tracing
 * begins (mark_threads) and at each fork, so a thread without an entry is none of ours. With the
 * host or cgroups in scope a thread gets its entry when it is first seen.
 */
#ifndef PROCTOR_TRACE_TASK_H
#define PROCTOR_TRACE_TASK_H

#include "../kernel.h"
#include "../verifier.h"
#include "trace.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "../registers.h"
#include "../typed.h"

#define CGROUP_LEVELS 16
#define THREADS_BY_TID 32768
#define SHORT_BYTES 48 /* of memory, that a thread has room for beside its chunk's header */

/* Set by the loader before load, so that the verifier drops what is off. */
const volatile struct trace_configuration configuration SEC(".rodata.configuration") = {};

#define TYPED_LOADS configuration.typed_loads

enum call_state {
	CALL_UNKNOWN = 0,    /* maybe in a call that we did not see enter */
	CALL_NONE = 1,
	CALL_UNSELECTED = 2,
	CALL_UNDER_WAY = 3,
	CALL_BORN = 4,       /* a new thread: its first exit is that of the call that made it */
};

struct thread {
	u64 entered_ns;
	u64 args[6];
	u64 process_start_ns;
	u64 cgroup;          /* that `scope` was decided for, with cgroups in scope */
	u32 pid;
	u32 tid;
	u32 sequence;        /* of its records */
	u32 entry_bytes;     /* of entry memory, for the call under way */
	u16 number;
	u8 abi;
	u8 scope;            /* enum trace_scope; 0: not traced */
	u8 call;             /* enum call_state */
	u8 again;            /* bit n: fetch n could not be read at the entry and is tried at the exit */
	u8 flags;            /* enum trace_flag, from the entry */
	u8 elsewhere;        /* the path filter matches no argument: what the call returns decides */
	u32 short_bytes;     /* of `piece`, for the call under way */
	u32 folder_at;       /* in entry memory: the chunk of the descriptor that is the folder below */
	struct dentry *folder;  /* what a descriptor of the call under way stood for, never read through */
	struct vfsmount *folder_mount;
	u64 forgotten;       /* what the verifier shall know nothing of: see forgotten() */
	u32 tally;           /* see tally.h */
	u32 tally_taken;
	u64 executed_ns;     /* names that were read before are those of another program */
	u64 piece[(sizeof(struct trace_chunk) + SHORT_BYTES) / 8]; /* what the first fetch found, if it is short */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

/* The same where tracing programs have no task storage. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_BY_TID);
	__type(key, u32);
	__type(value, struct thread);
} threads_by_tid SEC(".maps");

/* What a thread's entry there begins as: too large for the stack. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct thread);
} empty_thread SEC(".maps");

/* Processes by tgid, with their enum trace_scope: who is in scope, or excluded, from the start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u8);
} scope_tgids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u64);
	__type(value, u8);
} scope_cgroups SEC(".maps");

/*
 * 1 while tracing. One word, so that entries and exits begin at the same moment. A variable and no
 * map's element: it is read at every call, without a look-up.
 */
volatile u32 control SEC(".data.control") = 0;

/* By number of the CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set when loading */
	__type(key, u32);
	__type(value, struct trace_head);
} heads SEC(".maps");

static __always_inline struct trace_head *current_head(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&heads, &cpu);
}

static __always_inline void count(enum trace_count what)
{
	struct trace_head *head = current_head();

	if (head)
		head->counts[what]++;
}

static __always_inline bool tracing(void)
{
	return control;
}

/*
 * The value, of which the verifier knows no more than its type once it comes from a map. So it goes
 * through what follows once, and not for each way there: two fifths of all its work otherwise.
 */
static __always_inline u64 forgotten(struct thread *thread, u64 value)
{
	*(volatile u64 *)&thread->forgotten = value;
	return *(volatile u64 *)&thread->forgotten;
}

/*
 * The current task: a pointer that the verifier trusts where there is task storage, else one to be
 * read with BPF_CORE_READ.
 */
static __always_inline struct task_struct *current(void)
{
	if (configuration.task_storage)
		return bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/*
 * For loads of pointers. Of each that is loaded through a pointer that it trusts, the verifier asks
 * whether it is to be trusted, and goes through the names of all the kernel's types for that
 * (btf_nested_type_is_trusted, since 6.4): a third of the time that our programs took it.
 */
static __always_inline struct task_struct *without_trust(struct task_struct *task)
{
	return TYPED_LOADS ? TYPED(struct task_struct, task) : task;
}

/* In what follows `task` is what current() returned: asking once a program is cheaper. */
static __always_inline u64 current_cgroup(struct task_struct *task)
{
	/* Plain loads take a tenth of the helper's time. */
	if (configuration.task_storage)
		return without_trust(task)->cgroups->dfl_cgrp->kn->id;
	return bpf_get_current_cgroup_id();
}

static __always_inline struct kernfs_node *above(struct kernfs_node *node)
{
	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ(node, parent);
}

/* Not by the helper for ancestors, which tracing programs have from 5.14 on. */
static __always_inline bool in_scope_cgroup(struct task_struct *task)
{
	struct kernfs_node *node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);

	for (int level = 0; level < CGROUP_LEVELS; level++) {
		u64 id = BPF_CORE_READ(node, id);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&scope_cgroups, &id))
			return true;
		node = above(node);
	}
	return false;
}

/* The current thread's entry, or NULL. */
static __always_inline struct thread *current_thread(struct task_struct *task)
{
	if (configuration.task_storage)
		return bpf_task_storage_get(&threads, task, 0, 0);

	u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&threads_by_tid, &tid);
}

static __always_inline struct thread *make_thread_by_tid(u32 tid)
{
	u32 zero = 0;
	struct thread *empty = bpf_map_lookup_elem(&empty_thread, &zero);

	if (!empty)
		return NULL;
	bpf_map_update_elem(&threads_by_tid, &tid, empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&threads_by_tid, &tid);
}

/* `task` must be one that the verifier trusts. A fresh entry is all zeroes but for who it is. */
static __always_inline struct thread *make_thread(struct task_struct *task)
{
	struct thread *thread;

	if (configuration.task_storage)
		thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	else
		thread = make_thread_by_tid(task->pid);
	if (!thread) {
		count(TRACE_LOST_TASK);
		return NULL;
	}
	thread->pid = task->tgid;
	thread->tid = task->pid;
	thread->process_start_ns = without_trust(task)->group_leader->start_boottime;
	return thread;
}

static __always_inline struct thread *make_current_thread(struct task_struct *task)
{
	struct thread *thread;
	u64 ids;

	if (configuration.task_storage)
		return make_thread(task);
	ids = bpf_get_current_pid_tgid();
	thread = make_thread_by_tid(ids);
	if (!thread) {
		count(TRACE_LOST_TASK);
		return NULL;
	}
	thread->pid = ids >> 32;
	thread->tid = ids;
	thread->process_start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	return thread;
}

/* Decides on a thread that is seen first, or that may have changed its cgroup. */
static __always_inline void decide_scope(struct thread *thread, struct task_struct *task)
{
	u32 tgid = thread->pid;
	u8 *given = bpf_map_lookup_elem(&scope_tgids, &tgid);

	if (given)
		thread->scope = *given | SCOPE_GIVEN;
	else if (configuration.scope_host)
		thread->scope = SCOPE_TRACED;
	else
		thread->scope = in_scope_cgroup(task) ? SCOPE_TRACED : 0;
}

/* Its cgroup is another one. A call in which it leaves the scope ends outside of it. */
static __always_inline void decide_again(struct thread *thread, struct task_struct *task, u64 cgroup)
{
	thread->cgroup = cgroup;
	decide_scope(thread, task);
	if (thread->scope & (SCOPE_TRACED | SCOPE_FROM_EXEC))
		return;
	if (thread->call == CALL_UNDER_WAY)
		count(TRACE_FILTERED);
	thread->call = CALL_UNKNOWN;
}

/* The current thread if it is traced; the one look-up of those that are not. */
static __always_inline struct thread *traced_thread(struct task_struct *task)
{
	struct thread *thread = current_thread(task);

	if (!thread) {
		if (!configuration.scope_host && !configuration.scope_cgroups_set)
			return NULL;
		thread = make_current_thread(task);
		if (!thread)
			return NULL;
		if (configuration.scope_cgroups_set)
			thread->cgroup = current_cgroup(task);
		decide_scope(thread, task);
	} else if (configuration.scope_cgroups_set && !configuration.scope_host &&
		   !(thread->scope & SCOPE_GIVEN)) {
		u64 cgroup = current_cgroup(task);

		if (thread->cgroup != cgroup)
			decide_again(thread, task, cgroup);
	}
	return thread->scope & (SCOPE_TRACED | SCOPE_FROM_EXEC) ? thread : NULL;
}

#ifdef __TARGET_ARCH_arm64
static __always_inline enum trace_abi abi_by(u64 flags, long number)
{
	return flags & _TIF_32BIT ? ABI_ARM : ABI_ARM64;
}
#define ABI_WORD flags
#define ABI_NATIVE ABI_ARM64
#else
#define X32_SYSCALL_BIT 0x40000000

static __always_inline enum trace_abi abi_by(u64 status, long number)
{
	if (status & TS_COMPAT)
		return ABI_I386;
	return number >= 0 && number & X32_SYSCALL_BIT ? ABI_X32 : ABI_X86_64;
}
#define ABI_WORD status
#define ABI_NATIVE ABI_X86_64
#endif

static __always_inline enum trace_abi abi_of(struct task_struct *task, long number)
{
	return abi_by(BPF_CORE_READ(task, thread_info.ABI_WORD), number);
}

static __always_inline enum trace_abi current_abi(struct task_struct *task, long number)
{
	if (configuration.task_storage)
		return abi_by(task->thread_info.ABI_WORD, number);
	return abi_of(task, number);
}

#endif
