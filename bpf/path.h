/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Paths as the kernel knows them: from a dentry upwards over its mounts, up to the root of the
 * mount namespace. Nothing of it can be changed by a program that rewrites the path it passed.
 */
#ifndef PROCTOR_PATH_H
#define PROCTOR_PATH_H

#include "typed.h"

#define PATH_COMPONENTS 48
#define NAME_BYTES 256
#define SHORT_NAME_BYTES 32 /* of a name that lies in the dentry itself; newer kernels have 40 */

/* Whether the kernel has typed loads. Known when the program is loaded; who includes this says where. */
#ifndef TYPED_LOADS
#define TYPED_LOADS false
#endif

/* Neighbours in struct path, struct dentry and struct mount, read at once for speed. */
struct path_links { struct vfsmount *mnt; struct dentry *dentry; };
struct dentry_links { struct dentry *d_parent; u64 hash_length; const unsigned char *d_name; };
struct dentry_names {
	struct dentry_links links;
	struct inode *d_inode;
	union {
		u64 short_name[SHORT_NAME_BYTES / 8];
		struct dentry *read_later; /* with typed loads: where the name is */
	};
};
struct mount_links { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct dentry *mnt_root; };

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	struct mount_links above;
	struct dentry_names left; /* the dentry that the last step left */
	u32 short_length;         /* of its name, where that lies in `left`; else 0 */
};

enum path_step {
	STEP_NAME,  /* to the directory above */
	STEP_MOUNT, /* to where this is mounted */
	STEP_ROOT,  /* there is nothing above */
};

static __always_inline u64 short_name_offset(void)
{
	if (bpf_core_field_exists(struct dentry, d_shortname))
		return bpf_core_field_offset(struct dentry, d_shortname);
	return bpf_core_field_offset(struct dentry, d_iname);
}

/* Kernels built with CONFIG_RANDSTRUCT have other neighbours. Known when the program is loaded. */
static __always_inline bool neighbours_as_written(void)
{
	u64 parent = bpf_core_field_offset(struct dentry, d_parent);

	return bpf_core_field_offset(struct dentry, d_name.name) - parent ==
		       offsetof(struct dentry_links, d_name) &&
	       bpf_core_field_offset(struct dentry, d_inode) - parent ==
		       offsetof(struct dentry_names, d_inode) &&
	       short_name_offset() - parent == offsetof(struct dentry_names, short_name) &&
	       bpf_core_field_offset(struct path, mnt) == offsetof(struct path_links, mnt) &&
	       bpf_core_field_offset(struct path, dentry) == offsetof(struct path_links, dentry) &&
	       bpf_core_field_offset(struct mount, mnt.mnt_root) -
			       bpf_core_field_offset(struct mount, mnt_parent) ==
		       offsetof(struct mount_links, mnt_root);
}

/* `bytes`: of struct dentry_names, where they are neighbours. */
static __always_inline void read_dentry(struct dentry_links *links, u32 bytes,
					struct dentry *dentry)
{
	if (TYPED_LOADS) {
		struct dentry *typed = TYPED(struct dentry, dentry);

		links->d_parent = typed->d_parent;
		links->hash_length = (u64)typed->d_name.len << 32;
		links->d_name = typed->d_name.name;
		return;
	}
	if (!neighbours_as_written()) {
		links->d_parent = BPF_CORE_READ(dentry, d_parent);
		links->d_name = BPF_CORE_READ(dentry, d_name.name);
		return;
	}
	if (bpf_probe_read_kernel(links, bytes,
				  (void *)dentry + bpf_core_field_offset(struct dentry, d_parent)))
		links->d_parent = dentry; /* ends the walk */
}

static __always_inline void read_mount(struct mount_links *links, struct mount *mount)
{
	if (TYPED_LOADS) {
		struct mount *typed = TYPED(struct mount, mount);

		links->mnt_parent = typed->mnt_parent;
		links->mnt_mountpoint = typed->mnt_mountpoint;
		links->mnt_root = typed->mnt.mnt_root;
		return;
	}
	if (!neighbours_as_written()) {
		links->mnt_parent = BPF_CORE_READ(mount, mnt_parent);
		links->mnt_mountpoint = BPF_CORE_READ(mount, mnt_mountpoint);
		links->mnt_root = BPF_CORE_READ(mount, mnt.mnt_root);
		return;
	}
	if (bpf_probe_read_kernel(links, sizeof(*links),
				  (void *)mount + bpf_core_field_offset(struct mount, mnt_parent)))
		links->mnt_parent = mount;
}

static __always_inline void begin_walk(struct path_walk *walk, struct path *path)
{
	struct path_links links = {};

	if (TYPED_LOADS) {
		links.mnt = TYPED(struct path, path)->mnt;
		links.dentry = TYPED(struct path, path)->dentry;
	} else if (neighbours_as_written()) {
		bpf_probe_read_kernel(&links, sizeof(links), path);
	} else {
		links.mnt = BPF_CORE_READ(path, mnt);
		links.dentry = BPF_CORE_READ(path, dentry);
	}
	walk->dentry = links.dentry;
	walk->mount = (void *)links.mnt - bpf_core_field_offset(struct mount, mnt);
	if (TYPED_LOADS)
		walk->mount = TYPED(struct mount, walk->mount); /* as all that follow, to the verifier */
	read_mount(&walk->above, walk->mount);
}

/* Of what read_dentry found at this address: 0 where the name lies elsewhere. */
static __always_inline u32 short_length(struct dentry_links *links, struct dentry *dentry)
{
	u32 length = links->hash_length >> 32;
	bool here = (void *)links->d_name == (void *)dentry + short_name_offset();

	return (TYPED_LOADS || neighbours_as_written()) && here && length < SHORT_NAME_BYTES ? length : 0;
}

static __always_inline enum path_step step_up(struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;

	if (dentry == walk->above.mnt_root) {
		if (walk->above.mnt_parent == walk->mount)
			return STEP_ROOT;
		walk->mount = walk->above.mnt_parent;
		walk->dentry = walk->above.mnt_mountpoint;
		read_mount(&walk->above, walk->mount);
		return STEP_MOUNT;
	}
	read_dentry(&walk->left.links, sizeof(walk->left), dentry);
	/* Of no place in the tree: a pipe's or socket's own, or what was unmounted. */
	if (walk->left.links.d_parent == dentry)
		return STEP_ROOT;
	if (TYPED_LOADS)
		walk->left.read_later = dentry;
	walk->short_length = short_length(&walk->left.links, dentry);
	walk->dentry = walk->left.links.d_parent;
	return STEP_NAME;
}

static __always_inline u64 short_name_word(struct path_walk *walk, u32 word)
{
	struct dentry *typed;

	if (!TYPED_LOADS)
		return walk->left.short_name[word];
	typed = TYPED(struct dentry, walk->left.read_later);
	if (bpf_core_field_exists(struct dentry, d_shortname))
		return ((u64 *)typed->d_shortname.string)[word];
	return ((u64 *)typed->d_iname)[word];
}

/* A name that lies in the dentry goes the way of what was read of it: a helper less for each. */
static __always_inline long append_short(u8 *place, struct path_walk *walk)
{
	u32 length = walk->short_length;

	for (u32 word = 0; word < SHORT_NAME_BYTES / 8; word++)
		((u64 *)place)[word] = short_name_word(walk, word);
	CLAMP(length, SHORT_NAME_BYTES - 1);
	place[length] = 0; /* is there, unless the file is being renamed */
	return length + 1;
}

enum component { COMPONENT_APPENDED, COMPONENT_NONE_LEFT, COMPONENT_CUT };

/*
 * Goes a step up and appends a component, ended by NUL, to memory that is used so far. It begins
 * at `last_start` at the latest: `memory` must have NAME_BYTES after that.
 *
 * `used` lives in a map and not in a register: the verifier would follow every way through the
 * loop that gives it another range.
 */
static __always_inline enum component append_component(u8 *memory, volatile u32 *used,
						       u32 last_start, struct path_walk *walk)
{
	enum path_step step = step_up(walk);
	u64 at = *used;
	long read;

	if (step == STEP_ROOT)
		return COMPONENT_NONE_LEFT;
	if (step == STEP_MOUNT)
		return COMPONENT_APPENDED; /* it has no name */
	/* 5.10 forgets what a comparison of 32 bits says, and clang would make it one. */
	barrier_var(at);
	if (at > last_start)
		return COMPONENT_CUT;
	if (walk->short_length)
		read = append_short(memory + at, walk);
	else
		read = bpf_probe_read_kernel_str(memory + at, NAME_BYTES, walk->left.links.d_name);
	if (read < 0)
		return COMPONENT_CUT;
	*used = at + read;
	return COMPONENT_APPENDED;
}

#endif
