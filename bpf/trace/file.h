/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files as the kernel knows them: what a descriptor stands for, with its path from the dentries.
 * Nothing of it can be changed by a program that rewrites the path it passed.
 */
#ifndef PROCTOR_TRACE_FILE_H
#define PROCTOR_TRACE_FILE_H

#include "chunk.h"

#define PATH_COMPONENTS 48
#define NAME_BYTES 256

/* Neighbours in struct dentry and struct mount of every kernel, read at once for speed. */
struct dentry_links { struct dentry *d_parent; u64 hash_length; const unsigned char *d_name; };
struct mount_links { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct dentry *mnt_root; };

static __always_inline struct file *current_file(s32 fd)
{
	struct task_struct *task = current();
	struct fdtable *table = configuration.task_storage ? task->files->fdt
							   : BPF_CORE_READ(task, files, fdt);
	struct file **slots, *file = NULL;

	if (fd < 0 || (u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	slots = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file;
}

static __always_inline void read_dentry(struct dentry_links *links, struct dentry *dentry)
{
	if (bpf_probe_read_kernel(links, sizeof(*links),
				  (void *)dentry + bpf_core_field_offset(struct dentry, d_parent)))
		links->d_parent = dentry; /* ends the walk */
}

static __always_inline void read_mount(struct mount_links *links, struct mount *mount)
{
	if (bpf_probe_read_kernel(links, sizeof(*links),
				  (void *)mount + bpf_core_field_offset(struct mount, mnt_parent)))
		links->mnt_parent = mount;
}

/*
 * A KERNEL_FILE chunk. Its own function, verified once, and with numbers only (as 5.10 has it).
 * `used` lives in the map and not in a register: the verifier would follow every way through the
 * loop that gives it another range.
 */
__noinline int append_kernel_file(u64 file_address, u32 arg)
{
	struct file *file = (struct file *)file_address;
	struct work *work = current_work();
	struct trace_file *described;
	struct dentry_links links;
	struct mount_links above;
	struct dentry *dentry;
	struct mount *mount;
	struct inode *inode;
	struct sink sink;
	u8 *start, flags = CHUNK_MORE;
	u32 before, bytes;

	if (!work || !open_ring_sink(&sink, work))
		return 0;
	start = chunk_room(&sink);
	if (!start)
		return 0;
	before = *sink.used;
	inode = BPF_CORE_READ(file, f_inode);
	described = (void *)start + sizeof(struct trace_chunk);
	described->inode = BPF_CORE_READ(inode, i_ino);
	described->device = BPF_CORE_READ(inode, i_sb, s_dev);
	described->mode = BPF_CORE_READ(inode, i_mode);
	*sink.used = before + sizeof(struct trace_chunk) + sizeof(*described);

	dentry = BPF_CORE_READ(file, f_path.dentry);
	mount = (void *)BPF_CORE_READ(file, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	read_mount(&above, mount);
	for (u32 i = 0; i < PATH_COMPONENTS; i++) {
		u8 *room = chunk_room(&sink);
		long read;

		if (!room)
			break;
		if (dentry == above.mnt_root) {
			if (above.mnt_parent == mount) {
				flags = 0;
				break;
			}
			mount = above.mnt_parent;
			dentry = above.mnt_mountpoint;
			read_mount(&above, mount);
			continue;
		}
		read_dentry(&links, dentry);
		/* Of no place in the tree: a pipe's or socket's own, or what was unmounted. */
		if (links.d_parent == dentry) {
			flags = 0;
			break;
		}
		read = bpf_probe_read_kernel_str(room, NAME_BYTES, links.d_name);
		if (read < 0)
			break;
		*sink.used += read;
		dentry = links.d_parent;
	}
	bytes = *sink.used - before - sizeof(struct trace_chunk);
	*sink.used = before;
	end_chunk(&sink, start, arg, CHUNK_KERNEL_FILE, flags, 0, bytes);
	return 0;
}

#endif
