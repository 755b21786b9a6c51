/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A file that was opened in the folder that a descriptor of the call stands for: its path is its
 * name and the folder's, which is among the chunks from the entry. So there is one walk for both.
 */
#ifndef PROCTOR_TRACE_FOLDER_H
#define PROCTOR_TRACE_FOLDER_H

#include "file.h"

#define RETURNED 6 /* the argument of chunks about what the call returned */
#define FOLDER_PATH_BYTES 2048
/* What was said of the folder at the entry is said of the file only that long. */
#define MOMENT_NS 100000

/* at: where the folder's chunk begins in entry memory; used: what file_at_entry returned. */
static __always_inline void note_folder(struct thread *thread, struct path *path, u32 at, int used)
{
	if (!TYPED_LOADS || used < 0 || !(used & PATH_WHOLE))
		return;
	thread->folder = TYPED(struct path, path)->dentry;
	thread->folder_mount = TYPED(struct path, path)->mnt;
	thread->folder_at = at;
}

/*
 * The file's chunk. at: where the folder's is, in the record's chunks. False, and nothing appended,
 * where the file is not in that folder, or another dentry has taken the folder's place in memory.
 */
static __always_inline bool append_below(struct sink *sink, struct path *path, u64 folder_address,
					 u64 mount_address, u64 at)
{
	struct dentry *dentry = TYPED(struct path, path)->dentry;
	struct vfsmount *mount = TYPED(struct path, path)->mnt;
	struct trace_file *described, *folder;
	struct trace_chunk *chunk;
	struct path_walk walk = {};
	u64 above, end;
	long name;
	u8 *room;

	read_dentry(&walk.left.links, sizeof(walk.left), dentry);
	if ((u64)walk.left.links.d_parent != folder_address || (u64)mount != mount_address ||
	    (u64)dentry == folder_address || TYPED(struct vfsmount, mount)->mnt_root == dentry)
		return false;
	CLAMP(at, RING_LAST_START);
	chunk = (struct trace_chunk *)(sink->memory + at);
	folder = (struct trace_file *)(chunk + 1);
	above = chunk->bytes - sizeof(*folder);
	if (chunk->kind != CHUNK_KERNEL_FILE || above > FOLDER_PATH_BYTES ||
	    folder->inode != TYPED(struct dentry, folder_address)->d_inode->i_ino)
		return false;
	room = chunk_room(sink);
	if (!room)
		return false;
	described = (struct trace_file *)(room + sizeof(*chunk));
	describe_inode(described, TYPED(struct dentry, dentry)->d_inode);
	walk.left.read_later = dentry;
	walk.short_length = short_length(&walk.left.links, dentry);
	if (walk.short_length)
		name = append_short((u8 *)(described + 1), &walk);
	else
		name = bpf_probe_read_kernel_str(described + 1, NAME_BYTES, walk.left.links.d_name);
	if (name < 0)
		return false;
	end = name;
	CLAMP(end, NAME_BYTES);
	CLAMP(above, FOLDER_PATH_BYTES);
	bpf_probe_read_kernel((u8 *)(described + 1) + end, above, folder + 1);
	end_chunk(sink, room, RETURNED, CHUNK_KERNEL_FILE, 0, 0, sizeof(*described) + end + above);
	return true;
}

/* Whether it was appended. A function of its own, as append_kernel_file. */
__noinline int append_in_folder(u64 file, u64 folder, u64 mount, u64 at)
{
	struct work *work = current_work();
	struct sink sink;

	return TYPED_LOADS && work && open_ring_sink(&sink, work) &&
	       append_below(&sink, (struct path *)path_of_file(file), folder, mount, at);
}

static __always_inline bool opened_in_folder(struct thread *thread, u64 file, u64 duration_ns)
{
	if (!TYPED_LOADS || !thread->folder || duration_ns > MOMENT_NS)
		return false;
	return append_in_folder(file, (u64)thread->folder, (u64)thread->folder_mount,
				(u64)thread->short_bytes + thread->folder_at);
}

#endif
