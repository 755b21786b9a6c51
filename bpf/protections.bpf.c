/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Mappings of files that mprotect makes writable: from then on they count as those that were
 * mapped writable do. The call names addresses, and what lies there says the kernel since 5.17
 * (bpf_find_vma, 7c7e3d31e785). Native calls only, as these tracepoints are.
 */
#include "file_uses.h"
#include "registers.h"

#define AREAS_MAX 64 /* that one call covers */
#define MNT_NS_INTERNAL -22 /* of a mount in nobody's tree (fs/mount.h) */

/*
 * Overlayfs opens the file below by a mount of its own (clone_private_mount). The bit of the file's
 * mode that says so has not been the same in all versions. Shared memory is in such a
 * mount, too, and has no place.
 */
static __always_inline bool is_backing(struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	void *mount = (void *)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);

	return BPF_CORE_READ(dentry, d_parent) != dentry &&
	       (s64)BPF_CORE_READ((struct mount *)mount, mnt_ns) == MNT_NS_INTERNAL;
}

/*
 * As the program knows the file. What overlayfs maps is a file below it: it has that path in
 * f_path, and since 6.7 (def3ae83da02) beside it.
 */
static __always_inline struct path *path_of_mapped(struct file *file)
{
	struct backing_file *backing = (struct backing_file *)file;

	if (bpf_core_field_exists(struct backing_file, user_path) && is_backing(file))
		return (struct path *)((u64)backing + bpf_core_field_offset(struct backing_file, user_path));
	return (struct path *)path_of(file);
}

/* Runs under the lock of the process's memory: the file stays. */
static long area_found(struct task_struct *task, struct vm_area_struct *area, u64 *end)
{
	struct process *process = watched();
	struct file *file = BPF_CORE_READ(area, vm_file); /* a number: functions take no typed pointers */
	struct path *path;

	(void)task;
	*end = BPF_CORE_READ(area, vm_end);
	/* VM_SHARED is only there where the file was opened to be written. */
	if (!process || !file || ~BPF_CORE_READ(area, vm_flags) & (VM_SHARED | VM_WRITE))
		return 0;
	path = path_of_mapped(file);
	count_mapping(use_at(process, BPF_CORE_READ(path, dentry, d_inode), path, false));
	return 0;
}

/*
 * The area at an address. Returns where it ends, or 0 where there is none, or where another thread
 * holds the lock: a loss, unless all the memory up to `limit` is none of a file's.
 */
__noinline u64 look_at_area(u64 address, u64 limit)
{
	u64 end = 0;
	long error = bpf_find_vma(bpf_get_current_task_btf(), address, area_found, &end, 0);
	struct process *process;

	if (error != -EBUSY)
		return end;
	process = watched();
	if (process && address < process->sharing_to && process->sharing_from < limit)
		lose(LOSS_FILE, LOSS_UNREADABLE);
	return 0;
}

static __always_inline int protected(long result)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	u64 at = argument_in(regs, 0), end = at + argument_in(regs, 1);

	if (result || !(argument_in(regs, 2) & PROT_WRITE) || !watched())
		return 0;
	for (u32 i = 0; i < AREAS_MAX && at && at < end; i++)
		at = look_at_area(at, end);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_mprotect")
int exit_mprotect(struct trace_event_raw_sys_exit *ctx)
{
	return protected(BPF_CORE_READ(ctx, ret));
}

SEC("tracepoint/syscalls/sys_exit_pkey_mprotect")
int exit_pkey_mprotect(struct trace_event_raw_sys_exit *ctx)
{
	return protected(BPF_CORE_READ(ctx, ret));
}
