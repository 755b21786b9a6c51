/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files as the kernel knows them: what a descriptor stands for, with its path from the dentries.
 * Nothing of it can be changed by a program that rewrites the path it passed.
 */
#ifndef PROCTOR_TRACE_FILE_H
#define PROCTOR_TRACE_FILE_H

#include "chunk.h"
#include "../path.h"

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

/*
 * A KERNEL_FILE chunk. Its own function, verified once, and with numbers only (as 5.10 has it).
 * place: the chunk's arg, and its part times 256.
 */
__noinline int append_kernel_file(u64 file_address, u32 place)
{
	struct file *file = (struct file *)file_address;
	struct work *work = current_work();
	struct trace_file *described;
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

	if (append_components(sink.memory, sink.used, sink.last_start, &file->f_path))
		flags = 0;
	else if (*sink.used > sink.last_start)
		*sink.cut = 1;
	bytes = *sink.used - before - sizeof(struct trace_chunk);
	*sink.used = before;
	end_chunk(&sink, start, place, CHUNK_KERNEL_FILE, flags, place >> 8, bytes);
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

#endif
