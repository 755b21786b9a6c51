/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Filters by what a call is about: its descriptors, and the paths it names or reaches.
 *
 * A path in user memory is compared as it is written, so a relative one is taken to lie below the
 * working directory; what a descriptor stands for, or a call returned, by its directories.
 */
#ifndef PROCTOR_TRACE_PLACE_H
#define PROCTOR_TRACE_PLACE_H

#include "file.h"
#include "fetch.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 256);
	__type(key, struct trace_path_key);
	__type(value, u8);
} filter_paths SEC(".maps");

/* By (inode, device). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct trace_place);
	__type(value, u8);
} filter_places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u8);
} filter_fds SEC(".maps");

/* A path being compared: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct trace_path_key);
} path_key SEC(".maps");

static __always_inline bool is_place(struct dentry *dentry)
{
	struct trace_place place = {};
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);

	place.inode = BPF_CORE_READ(inode, i_ino);
	place.device = BPF_CORE_READ(inode, i_sb, s_dev);
	return bpf_map_lookup_elem(&filter_places, &place) != NULL;
}

/* Whether a struct path is one of the places or lies below one. */
__noinline int lies_in_place(u64 path_address)
{
	struct path_walk walk = {};

	begin_walk(&walk, (struct path *)path_address);
	for (u32 i = 0; i < PATH_COMPONENTS; i++)
		if (is_place(walk.dentry))
			return 1;
		else if (step_up(&walk) == STEP_ROOT)
			return 0;
	return 0;
}

static __always_inline bool file_in_place(u64 file)
{
	return file && lies_in_place(path_of_file(file));
}

static __always_inline bool working_directory_in_place(void)
{
	u64 path = path_in_task((struct task_struct *)bpf_get_current_task(), AT_FDCWD);

	return path && lies_in_place(path);
}

/* `above`: the path is relative to a descriptor, which is looked at by itself. */
__noinline int names_place(u64 pointer, u32 above)
{
	u32 zero = 0;
	struct trace_path_key *key = bpf_map_lookup_elem(&path_key, &zero);

	if (!key || read_user_text(key->bytes, TRACE_PREFIX_BYTES, pointer) < 0)
		return 0;
	key->prefix_bits = 8 * TRACE_PREFIX_BYTES;
	if (key->bytes[0] != '/')
		return !above && working_directory_in_place();
	return bpf_map_lookup_elem(&filter_paths, key) != NULL;
}

static __always_inline bool fd_wanted(struct thread *thread, struct trace_rule *rule)
{
	if (!configuration.fds_set)
		return true;
	for (u32 i = 0; i < 6; i++) {
		u32 fd = thread->args[i];

		if (rule->fd_arguments >> i & 1 && bpf_map_lookup_elem(&filter_fds, &fd))
			return true;
	}
	return false;
}

static __always_inline bool path_wanted(struct thread *thread, struct trace_rule *rule)
{
	bool above = false;

	for (u32 i = 0; i < 6; i++) {
		u64 file;

		if (!(rule->fd_arguments >> i & 1))
			continue;
		file = file_address(thread, (s32)thread->args[i]);
		if (file_in_place(file))
			return true;
		above |= file != 0;
	}
	for (u32 i = 0; i < 6; i++)
		if (rule->path_arguments >> i & 1 && thread->args[i] &&
		    names_place(thread->args[i], above))
			return true;
	return false;
}

#endif
