/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What every program shares: configuration, rings, loss counters, scope.
 */
#ifndef PROCTOR_COMMON_H
#define PROCTOR_COMMON_H

#include "kernel.h"
#include "proctor.h"
#include "verifier.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* Set by the loader before load, so that the verifier drops what is off. */
const volatile struct configuration configuration SEC(".rodata.configuration") = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} lifecycle SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} payload SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_PROGRAMS * LOSS_REASONS);
	__type(key, u32);
	__type(value, u64);
} losses SEC(".maps");

/* Processes in scope, by tgid; inherited at fork. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u64);
	__type(value, u8);
} scope_cgroups SEC(".maps");

static __always_inline void lose(enum loss_program program, enum loss_reason reason)
{
	u32 key = program * LOSS_REASONS + reason;
	u64 *count = bpf_map_lookup_elem(&losses, &key);

	if (count)
		(*count)++;
}

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

static __always_inline u64 process_start_ns(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline void *reserve(void *ring, u32 size, enum loss_program program)
{
	void *record = bpf_ringbuf_reserve(ring, size, 0);

	if (!record)
		lose(program, LOSS_RING_FULL);
	return record;
}

static __always_inline void fill_head(struct record_head *head, u16 type, u32 length, u64 start_ns)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();

	head->length = length;
	head->type = type;
	head->flags = 0;
	head->time_ns = bpf_ktime_get_boot_ns();
	head->start_ns = start_ns;
	head->pid = pid_tgid >> 32;
	head->tid = (u32)pid_tgid;
	head->cgroup = bpf_get_current_cgroup_id();
}

/* Unique in a recording without a fetch-and-add, which 5.10 lacks: no CPU makes two of a kind in 256 ns. */
static __always_inline u64 unique_id(void)
{
	return (bpf_ktime_get_boot_ns() & ~0xffULL) | (bpf_get_smp_processor_id() & 0xff);
}

static __always_inline struct process *enter_scope(u32 tgid, u64 start_ns, u32 flags)
{
	struct process fresh = { .start_ns = start_ns, .flags = flags };

	if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_ANY)) {
		lose(LOSS_PROCESS, LOSS_MAP_FULL);
		return NULL;
	}
	return bpf_map_lookup_elem(&processes, &tgid);
}

/* The cgroup of the current task or one above it is watched. */
static __always_inline bool cgroup_in_scope(void)
{
	for (int level = 0; level < 12; level++) {
		u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (bpf_map_lookup_elem(&scope_cgroups, &id))
			return true;
	}
	return false;
}

/*
 * The current process if it is watched. A process out of scope costs one look-up
 * where a tree is watched.
 */
static __always_inline struct process *watched(void)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct process *process = bpf_map_lookup_elem(&processes, &tgid);
	struct task_struct *task;

	if (process)
		return process->flags & PROCESS_EXCLUDED ? NULL : process;
	if (!configuration.scope_host && !(configuration.scope_cgroups_set && cgroup_in_scope()))
		return NULL;
	task = current_task();
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return NULL;
	return enter_scope(tgid, process_start_ns(task), 0);
}

static __always_inline struct file *file_of(struct task_struct *task, s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slots, *file = NULL;

	if (fd < 0 || (u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	slots = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

#endif
