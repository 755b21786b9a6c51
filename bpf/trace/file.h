/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files as the kernel knows them: what a descriptor stands for, with its path from the dentries.
 * Nothing of it can be changed by a program that rewrites the path it passed.
 */
#ifndef PROCTOR_TRACE_FILE_H
#define PROCTOR_TRACE_FILE_H

#include "chunk.h"

#include "../path.h"

/* Where the table of the current task has it; NULL: it does not go that far. */
static __always_inline struct file **current_slot(s32 fd)
{
	struct task_struct *task = without_trust(current());
	struct fdtable *table;
	struct file **slots;
	u32 size;

	if (configuration.task_storage) {
		table = task->files->fdt;
		size = table->max_fds;
		slots = table->fd;
	} else {
		table = BPF_CORE_READ(task, files, fdt);
		size = BPF_CORE_READ(table, max_fds);
		slots = BPF_CORE_READ(table, fd);
	}
	return fd < 0 || (u32)fd >= size ? NULL : &slots[fd];
}

static __always_inline struct file *current_file(s32 fd)
{
	struct file **slot = current_slot(fd), *file = NULL;

	if (slot)
		bpf_probe_read_kernel(&file, sizeof(file), slot);
	return file;
}

/*
 * The same as an address, by a plain load where they are had: of a pointer, as which struct path
 * begins. What it loads is a pointer to the verifier, and a number, as functions of their own take
 * it, once it comes from a map.
 */
static __always_inline u64 file_address(struct thread *thread, s32 fd)
{
	struct file **slot;

	if (!TYPED_LOADS)
		return (u64)current_file(fd);
	slot = current_slot(fd);
	*(void *volatile *)&thread->forgotten = slot ? TYPED(struct path, slot)->mnt : NULL;
	return *(volatile u64 *)&thread->forgotten;
}

static __always_inline u64 path_of_file(u64 file)
{
	return file + bpf_core_field_offset(struct file, f_path);
}

/* The address of a struct path; 0 where a descriptor of a task stands for nothing. */
static __always_inline u64 path_in_task(struct task_struct *task, s32 fd)
{
	struct file **slots, *file = NULL;
	struct fdtable *table;
	u64 fs;

	if (fd == AT_FDCWD) {
		fs = (u64)BPF_CORE_READ(task, fs);
		return fs ? fs + bpf_core_field_offset(struct fs_struct, pwd) : 0;
	}
	table = BPF_CORE_READ(task, files, fdt);
	if (fd < 0 || (u32)fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	slots = BPF_CORE_READ(table, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	return file ? path_of_file((u64)file) : 0;
}

static __always_inline u64 path_of_descriptor(struct thread *thread, s32 fd)
{
	u64 file, fs;

	if (fd == AT_FDCWD && configuration.task_storage) {
		*(void *volatile *)&thread->forgotten = without_trust(current())->fs; /* as in file_address() */
		fs = *(volatile u64 *)&thread->forgotten;
		return fs ? fs + bpf_core_field_offset(struct fs_struct, pwd) : 0;
	}
	if (fd == AT_FDCWD)
		return path_in_task((struct task_struct *)bpf_get_current_task(), fd);
	file = file_address(thread, fd);
	return file ? path_of_file(file) : 0;
}

/* Paths are then of other mounts than the tracer sees. */
static __always_inline bool in_other_mounts(struct task_struct *task)
{
	u32 number;

	if (configuration.task_storage)
		number = without_trust(task)->nsproxy->mnt_ns->ns.inum;
	else
		number = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	return number != configuration.mount_namespace;
}

#define INODE_BYTES 72 /* of its beginning, where the fields lie on kernels as they are built */

static __always_inline void describe_inode(struct trace_file *file, struct inode *inode)
{
	u32 mode = bpf_core_field_offset(struct inode, i_mode);
	u32 number = bpf_core_field_offset(struct inode, i_ino);
	u32 block = bpf_core_field_offset(struct inode, i_sb);
	u8 first[INODE_BYTES];

	if (TYPED_LOADS) {
		struct inode *typed = TYPED(struct inode, inode);

		file->inode = typed->i_ino;
		file->mode = typed->i_mode;
		file->device = typed->i_sb->s_dev;
		return;
	}
	if (mode <= INODE_BYTES - 2 && number <= INODE_BYTES - 8 && block <= INODE_BYTES - 8 &&
	    !bpf_probe_read_kernel(first, sizeof(first), inode)) {
		struct super_block *above = *(struct super_block **)(first + block);

		file->inode = *(u64 *)(first + number);
		file->mode = *(u16 *)(first + mode);
		file->device = BPF_CORE_READ(above, s_dev);
		return;
	}
	file->inode = BPF_CORE_READ(inode, i_ino);
	file->device = BPF_CORE_READ(inode, i_sb, s_dev);
	file->mode = BPF_CORE_READ(inode, i_mode);
}

/* Whether the whole path found room. In one piece: a call for each component costs the program time. */
static __always_inline bool append_components(struct sink *sink, struct path *path)
{
	struct path_walk walk = {};

	begin_walk(&walk, path);
	for (u32 i = 0; i < PATH_COMPONENTS; i++) {
		enum component component =
			append_component(sink->memory, sink->used, sink->last_start, &walk);

		if (component != COMPONENT_APPENDED)
			return component == COMPONENT_NONE_LEFT;
	}
	return false;
}

/* A KERNEL_FILE chunk. place: its arg, and its part times 256. False: without all of its path. */
static __always_inline bool append_file(struct sink *sink, struct path *path, u32 place)
{
	u8 *start = chunk_room(sink), flags = CHUNK_MORE;
	struct trace_file *described;
	struct inode *inode;
	u32 before, bytes;

	if (!start)
		return false;
	before = *sink->used;
	described = (void *)start + sizeof(struct trace_chunk);
	/* Before the walk: both at once are more than the stack of three functions before 6.12 holds. */
	if (TYPED_LOADS)
		inode = TYPED(struct path, path)->dentry->d_inode;
	else
		inode = BPF_CORE_READ(path, dentry, d_inode);
	describe_inode(described, inode);
	*sink->used = before + sizeof(struct trace_chunk) + sizeof(*described);

	if (append_components(sink, path))
		flags = 0;
	else if (*sink->used > sink->last_start)
		*sink->cut = 1;
	bytes = *sink->used - before - sizeof(struct trace_chunk);
	*sink->used = before;
	end_chunk(sink, start, place, CHUNK_KERNEL_FILE, flags, place >> 8, bytes);
	return !flags;
}

/* Functions of their own, verified once each, and with numbers only (as 5.10 has it). */
__noinline int append_kernel_file(u64 file, u32 place)
{
	struct path *path = (struct path *)path_of_file(file);
	struct work *work = current_work();
	struct sink sink;

	if (work && open_ring_sink(&sink, work))
		append_file(&sink, path, place);
	return 0;
}

/* What the two descriptors are that a call put into memory. */
__noinline int append_pair(u64 pointer, u32 arg)
{
	s32 made[2];

	if (bpf_probe_read_user(made, sizeof(made), (void *)pointer))
		return 0;
	for (u32 part = 0; part < 2; part++) {
		struct file *file = current_file(made[part]);

		if (file)
			append_kernel_file((u64)file, arg | part << 8);
	}
	return 0;
}

/* Returns what fetch_at_entry does, and PATH_WHOLE. */
__noinline int file_at_entry(u64 path_address, u32 arg, u32 used)
{
	struct sink sink;
	bool whole;

	if (!open_entry_sink(&sink, used))
		return NO_ROOM;
	whole = append_file(&sink, (struct path *)path_address, arg);
	return *sink.used | (*sink.cut ? ENTRY_CUT : 0) | (whole ? PATH_WHOLE : 0);
}

#endif
