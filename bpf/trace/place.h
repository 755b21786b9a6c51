/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Filters by what a call is about: its descriptors, and the paths it names or reaches.
 *
 * A path in user memory is compared as it is written, a relative one from the directory that it
 * counts from, if that is above a place, and taken to lie in the place if that does; what a
 * descriptor stands for, or a call returned, is compared by its directories.
 */
#ifndef PROCTOR_TRACE_PLACE_H
#define PROCTOR_TRACE_PLACE_H

#include "file.h"
#include "fetch.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
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

static __always_inline void put_directory(struct trace_path_key *key, struct path *path)
{
	struct inode *inode = BPF_CORE_READ(path, dentry, d_inode);
	u64 number = BPF_CORE_READ(inode, i_ino);

	key->inode[0] = number;
	key->inode[1] = number >> 32;
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
}

/* base: the address of the struct path that a relative path counts from; 0: of none. */
__noinline int names_place(u64 pointer, u64 base)
{
	u32 zero = 0;
	struct trace_path_key *key = bpf_map_lookup_elem(&path_key, &zero);

	if (!key || read_user_text(key->text, TRACE_PREFIX_BYTES, pointer) < 0)
		return 0;
	key->prefix_bits = 8 * (sizeof(*key) - sizeof(key->prefix_bits));
	if (key->text[0] == '/') {
		key->device = key->inode[0] = key->inode[1] = 0;
		return bpf_map_lookup_elem(&filter_paths, key) != NULL;
	}
	if (!base)
		return 0;
	if (key->text[0] == '.' && key->text[1] == '/' &&
	    read_user_text(key->text, TRACE_PREFIX_BYTES, pointer + 2) < 0)
		return 0;
	put_directory(key, (struct path *)base);
	return bpf_map_lookup_elem(&filter_paths, key) != NULL || lies_in_place(base);
}

/* What a path counts from: the descriptor before it, or the working directory. */
static __always_inline u64 base_of(struct thread *thread, struct trace_rule *rule, u32 argument)
{
	bool below = argument && rule->fd_arguments >> (argument - 1) & 1;

	return path_of_descriptor(thread, below ? (s32)thread->args[argument - 1] : AT_FDCWD);
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
	for (u32 i = 0; i < 6; i++)
		if (rule->fd_arguments >> i & 1 &&
		    file_in_place(file_address(thread, (s32)thread->args[i])))
			return true;
	for (u32 i = 0; i < 6; i++)
		if (rule->path_arguments >> i & 1 && thread->args[i] &&
		    names_place(thread->args[i], base_of(thread, rule, i)))
			return true;
	return false;
}

#endif
