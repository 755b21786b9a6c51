/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files in use through descriptors: what adds up for each, and when a use begins and ends.
 */
#ifndef PROCTOR_FILE_USES_H
#define PROCTOR_FILE_USES_H

#include "file_text.h"

/*
 * Inode numbers are reused, so there is the generation; filesystems without it, and those where
 * numbers are only unique in a subvolume, are why the address is in it.
 */
struct use_key {
	u64 inode_address;
	u64 inode;
	u32 generation;
	u32 tgid;
	u32 images; /* another program is another user */
	u32 reserved;
};

struct use_counts {
	u64 bytes_written;
	u64 bytes_read;
	u32 writes;
	u32 reads;
	u32 creations;
	u32 resizes;
	u32 mappings;
	u32 attributes;
	u32 read_mappings;
	u32 reserved;
};

/* Where a dentry stands: a rename changes it. */
struct use_name {
	u64 dentry;
	u64 parent;
	u64 text;
};

/* Programs only add to `counts`, the iterator alone changes `told`: nothing is lost between them. */
struct file_use {
	u64 id;
	u64 start_ns; /* of the process */
	u64 cgroup;
	u64 first_ns; /* of what is untold; 0: there is nothing */
	u64 last_ns;
	struct use_name name;
	struct use_counts counts;
	struct use_counts told;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct use_key);
	__type(value, struct file_use);
} file_uses SEC(".maps");

/* One that begins: the stack has no room for it, where 6.1 adds up what four functions use. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_use);
} fresh_use SEC(".maps");

static __always_inline bool same_counts(struct use_counts *one, struct use_counts *other)
{
	return one->writes == other->writes && one->reads == other->reads &&
	       one->creations == other->creations && one->resizes == other->resizes &&
	       one->mappings == other->mappings && one->attributes == other->attributes &&
	       one->read_mappings == other->read_mappings;
}

/* What is untold of a use. Returns the counts up to which it is told, once the record is out. */
static __always_inline struct use_counts fill_use(struct file_use_record *record,
						  struct file_use *use, u32 tgid)
{
	struct use_counts counts = use->counts, *told = &use->told;

	fill_head(&record->head, RECORD_FILE_USE, sizeof(*record), use->start_ns);
	record->head.time_ns = use->last_ns;
	record->head.pid = tgid;
	record->head.tid = tgid;
	record->head.cgroup = use->cgroup;
	record->use = use->id;
	/* 0 where the last row was written between a use's times and its counts. */
	record->first_ns = use->first_ns ? use->first_ns : use->last_ns;
	record->bytes_written = counts.bytes_written - told->bytes_written;
	record->bytes_read = counts.bytes_read - told->bytes_read;
	record->writes = counts.writes - told->writes;
	record->reads = counts.reads - told->reads;
	record->creations = counts.creations - told->creations;
	record->resizes = counts.resizes - told->resizes;
	record->mappings = counts.mappings - told->mappings;
	record->attributes = counts.attributes - told->attributes;
	if (counts.read_mappings != told->read_mappings)
		record->head.flags |= FLAG_MAPPED_TO_READ;
	return counts;
}

/* The same file under another name, or another file in its place: the use before is over. */
static __always_inline void end_use(struct use_key *key, struct file_use *use)
{
	struct file_use_record *record;

	if (!same_counts(&use->counts, &use->told)) {
		record = reserve(&lifecycle, sizeof(*record), LOSS_FILE);
		if (record) {
			fill_use(record, use, key->tgid);
			bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
		}
	}
	bpf_map_delete_elem(&file_uses, key);
}

static __always_inline void read_name(struct use_name *name, struct path *path)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct dentry_links links = {};

	read_dentry(&links, sizeof(links), dentry);
	name->dentry = (u64)dentry;
	name->parent = (u64)links.d_parent;
	name->text = (u64)links.d_name ^ links.hash_length;
}

/* Tells the path and makes the entry; NULL, and a loss counted, where either has no room. */
static __noinline struct file_use *begin_use(struct process *process, struct path *path,
					      struct use_key *key, struct use_name *name)
{
	struct inode *inode = (struct inode *)key->inode_address;
	struct file_scratch *scratch = current_scratch();
	struct file_record *record;
	struct file_use *fresh;
	u32 zero = 0;
	u64 size;

	fresh = bpf_map_lookup_elem(&fresh_use, &zero);
	if (!scratch || !fresh)
		return NULL;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	fresh->id = unique_id();
	fresh->start_ns = process->start_ns;
	fresh->cgroup = bpf_get_current_cgroup_id();
	fresh->name = *name;
	record = &scratch->file;
	fill_head(&record->head, RECORD_FILE, sizeof(*record), process->start_ns);
	record->use = fresh->id;
	record->inode = key->inode;
	record->device = BPF_CORE_READ(inode, i_sb, s_dev);
	record->mode = BPF_CORE_READ(inode, i_mode);
	record->reserved = 0;
	scratch->used = 0;
	scratch->cut = 0;
	append_place((u64)path);
	if (*(volatile u32 *)&scratch->cut)
		record->head.flags |= FLAG_TRUNCATED;
	size = sizeof(*record) + *(volatile u32 *)&scratch->used;
	CLAMP(size, sizeof(*record) + sizeof(scratch->text));
	record->head.length = size;
	if (bpf_map_update_elem(&file_uses, key, fresh, BPF_ANY)) {
		lose(LOSS_FILE, LOSS_MAP_FULL);
		return NULL;
	}
	if (bpf_ringbuf_output(&lifecycle, record, size, BPF_RB_NO_WAKEUP)) {
		lose(LOSS_FILE, LOSS_RING_FULL);
		bpf_map_delete_elem(&file_uses, key); /* the next use may have more luck */
		return NULL;
	}
	return bpf_map_lookup_elem(&file_uses, key);
}

static __always_inline void fill_key(struct use_key *key, struct process *process, struct inode *inode)
{
	key->inode_address = (u64)inode;
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->generation = BPF_CORE_READ(inode, i_generation);
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->images = process->images;
	key->reserved = 0;
}

/* What a process does with a file, from now on; NULL where that is none that is followed. */
static __always_inline struct file_use *use_at(struct process *process, struct inode *inode,
					       struct path *path, bool directories)
{
	u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	struct use_key key;
	struct use_name name;
	struct file_use *use;

	if (kind != S_IFREG && !(directories && kind == S_IFDIR))
		return NULL;
	fill_key(&key, process, inode);
	use = bpf_map_lookup_elem(&file_uses, &key);
	if (use)
		return use;
	read_name(&name, path);
	if (name.dentry == name.parent)
		return NULL; /* of no place: memfd, shared memory */
	return begin_use(process, path, &key, &name);
}

static __always_inline struct file_use *use_of(struct process *process, struct file *file,
					       bool directories)
{
	return use_at(process, BPF_CORE_READ(file, f_inode), (struct path *)path_of(file),
		      directories);
}

/* Its times. The counts are the caller's. */
static __always_inline void touch(struct file_use *use)
{
	u64 now_ns = bpf_ktime_get_boot_ns();

	if (!use->first_ns)
		use->first_ns = now_ns;
	use->last_ns = now_ns;
}

static __always_inline void count_mapping(struct file_use *use)
{
	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.mappings, 1);
}

#endif
