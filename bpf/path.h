/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Paths as the kernel knows them: from a dentry upwards over its mounts, up to the root of the
 * mount namespace. Nothing of it can be changed by a program that rewrites the path it passed.
 */
#ifndef PROCTOR_PATH_H
#define PROCTOR_PATH_H

#define PATH_COMPONENTS 48
#define NAME_BYTES 256

/* Neighbours in struct dentry and struct mount, read at once for speed. */
struct dentry_links { struct dentry *d_parent; u64 hash_length; const unsigned char *d_name; };
struct mount_links { struct mount *mnt_parent; struct dentry *mnt_mountpoint; struct dentry *mnt_root; };

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	struct mount_links above;
	const unsigned char *name; /* of the dentry that the last step left */
};

enum path_step {
	STEP_NAME,  /* to the directory above */
	STEP_MOUNT, /* to where this is mounted */
	STEP_ROOT,  /* there is nothing above */
};

/* Kernels built with CONFIG_RANDSTRUCT have other neighbours. Known when the program is loaded. */
static __always_inline bool neighbours_as_written(void)
{
	return bpf_core_field_offset(struct dentry, d_name.name) -
			       bpf_core_field_offset(struct dentry, d_parent) ==
		       offsetof(struct dentry_links, d_name) &&
	       bpf_core_field_offset(struct mount, mnt.mnt_root) -
			       bpf_core_field_offset(struct mount, mnt_parent) ==
		       offsetof(struct mount_links, mnt_root);
}

static __always_inline void read_dentry(struct dentry_links *links, struct dentry *dentry)
{
	if (!neighbours_as_written()) {
		links->d_parent = BPF_CORE_READ(dentry, d_parent);
		links->d_name = BPF_CORE_READ(dentry, d_name.name);
		return;
	}
	if (bpf_probe_read_kernel(links, sizeof(*links),
				  (void *)dentry + bpf_core_field_offset(struct dentry, d_parent)))
		links->d_parent = dentry; /* ends the walk */
}

static __always_inline void read_mount(struct mount_links *links, struct mount *mount)
{
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
	walk->dentry = BPF_CORE_READ(path, dentry);
	walk->mount = (void *)BPF_CORE_READ(path, mnt) - bpf_core_field_offset(struct mount, mnt);
	read_mount(&walk->above, walk->mount);
}

static __always_inline enum path_step step_up(struct path_walk *walk)
{
	struct dentry_links links;

	if (walk->dentry == walk->above.mnt_root) {
		if (walk->above.mnt_parent == walk->mount)
			return STEP_ROOT;
		walk->mount = walk->above.mnt_parent;
		walk->dentry = walk->above.mnt_mountpoint;
		read_mount(&walk->above, walk->mount);
		return STEP_MOUNT;
	}
	read_dentry(&links, walk->dentry);
	/* Of no place in the tree: a pipe's or socket's own, or what was unmounted. */
	if (links.d_parent == walk->dentry)
		return STEP_ROOT;
	walk->name = links.d_name;
	walk->dentry = links.d_parent;
	return STEP_NAME;
}

/*
 * Appends the components, leaf first, each ended by NUL, to memory that is used so far. One begins
 * at `last_start` at the latest: `memory` must have NAME_BYTES after that. False: it is cut.
 *
 * `used` lives in a map and not in a register: the verifier would follow every way through the
 * loop that gives it another range.
 */
static __always_inline bool append_components(u8 *memory, volatile u32 *used, u32 last_start,
					      struct path *path)
{
	struct path_walk walk = {};

	begin_walk(&walk, path);
	for (u32 i = 0; i < PATH_COMPONENTS; i++) {
		enum path_step step = step_up(&walk);
		u64 at = *used;
		long read;

		if (step == STEP_ROOT)
			return true;
		if (step == STEP_MOUNT)
			continue;
		/* 5.10 forgets what a comparison of 32 bits says, and clang would make it one. */
		barrier_var(at);
		if (at > last_start)
			return false;
		read = bpf_probe_read_kernel_str(memory + at, NAME_BYTES, walk.name);
		if (read < 0)
			return false;
		*used = at + read;
	}
	return false;
}

#endif
