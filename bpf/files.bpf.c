/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What processes in scope do to files, at the exit of the syscalls that do it.
 *
 * Through a descriptor the kernel's own file counts, whatever path it was opened by: what is
 * written adds up in file_uses and is told when it has come to rest, so that a million small
 * writes are one record. Calls by path are told one by one.
 *
 * Native syscalls only: a number of another ABI means another call.
 */
#include "common.h"
#include "path.h"
#include "registers.h"

#define QUIET_NS 1500000000ULL  /* unused for so long: what it did is told */
#define BUSY_NS 30000000000ULL  /* used all the time: told after so long */
#define TEXT_LAST_START (4 * PATH_MAX_BYTES)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILE_SYSCALLS);
	__type(key, u32);
	__type(value, struct file_rule);
} file_rules SEC(".maps");

/* 1: nothing more will be read after this: all is told. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} files_ending SEC(".maps");

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

/* A record with its text right after it, whichever it is. */
struct file_scratch {
	union {
		struct {
			u64 before;
			struct file_change_record change;
		};
		struct file_record file;
	};
	u8 text[TEXT_LAST_START + NAME_BYTES];
	u32 used; /* of text */
	u32 cut;
};

_Static_assert(sizeof(struct file_record) == 8 + sizeof(struct file_change_record), "text follows");

/* Programs at a syscall's exit run without preemption and do not nest. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_scratch);
} file_scratch SEC(".maps");

static __always_inline struct file_scratch *current_scratch(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&file_scratch, &zero);
}

static __always_inline bool was_native(void)
{
#ifdef __TARGET_ARCH_arm64
	return !(BPF_CORE_READ(current_task(), thread_info.flags) & _TIF_32BIT);
#else
	return !(BPF_CORE_READ(current_task(), thread_info.status) & TS_COMPAT);
#endif
}

/* Of these a failure is told: somebody was kept from it. */
static __always_inline bool is_refusal(long result)
{
	return result == -EACCES || result == -EPERM || result == -EROFS;
}

/* Appends a struct path's components. Verified once: its argument is a number, as 5.10 has it. */
__noinline int append_place(u64 path_address)
{
	struct file_scratch *scratch = current_scratch();
	volatile u32 *used;
	u32 before;

	if (!scratch)
		return 0;
	used = &scratch->used;
	before = *used;
	if (!append_components(scratch->text, used, TEXT_LAST_START, (struct path *)path_address)) {
		scratch->cut = 1;
		if (*used > before)
			*used -= 1; /* see path_text in records/decode.py */
	}
	return *used - before;
}

/* Appends a text of the program, without its NUL. -1: not readable. */
__noinline int append_text(u64 pointer)
{
	struct file_scratch *scratch = current_scratch();
	long read;
	u64 at;

	if (!scratch)
		return -1;
	at = *(volatile u32 *)&scratch->used;
	barrier_var(at);
	if (at > TEXT_LAST_START + NAME_BYTES - PATH_MAX_BYTES)
		return -1;
	read = bpf_probe_read_user_str(scratch->text + at, PATH_MAX_BYTES, (void *)pointer);
	if (read <= 0)
		return -1;
	scratch->used = at + read - 1;
	return read - 1;
}

static __always_inline u64 path_of(struct file *file)
{
	return (u64)file + bpf_core_field_offset(struct file, f_path);
}

static __always_inline u64 working_directory(void)
{
	u64 fs = (u64)BPF_CORE_READ(current_task(), fs);

	return fs + bpf_core_field_offset(struct fs_struct, pwd);
}

static __always_inline u64 root_directory(void)
{
	u64 fs = (u64)BPF_CORE_READ(current_task(), fs);

	return fs + bpf_core_field_offset(struct fs_struct, root);
}

/* Appends a name as it was passed, and where it counts from. */
static __always_inline void append_name(struct file_scratch *scratch, struct pt_regs *regs, u8 path,
					u8 directory, u16 *path_bytes, u16 *base_bytes)
{
	u64 pointer = path == FILE_NO_ARGUMENT ? 0 : argument_in(regs, path);
	u64 base = working_directory(), at = *(volatile u32 *)&scratch->used;
	s32 fd = directory == FILE_NO_ARGUMENT ? AT_FDCWD : (s32)argument_in(regs, directory);
	int bytes = 0;

	/* None, as of utimensat: the descriptor itself is meant. */
	if (pointer) {
		bytes = append_text(pointer);
		if (bytes < 0) {
			scratch->change.head.flags |= FLAG_UNREADABLE;
			lose(LOSS_FILE, LOSS_UNREADABLE);
			return;
		}
	}
	*path_bytes = bytes;
	barrier_var(at);
	if (bytes > 0 && at <= TEXT_LAST_START && scratch->text[at] == '/') {
		base = root_directory();
	} else if (fd != AT_FDCWD) {
		struct file *file = file_of(current_task(), fd);

		if (!file) {
			scratch->change.head.flags |= FLAG_UNREADABLE;
			return;
		}
		base = path_of(file);
	}
	*base_bytes = append_place(base);
}

static __always_inline void emit_change(struct process *process, struct file_rule *rule,
					struct pt_regs *regs, u32 operation, u32 flags, long result)
{
	struct file_scratch *scratch = current_scratch();
	struct file_change_record *record;
	u64 size;

	if (!scratch)
		return;
	record = &scratch->change;
	fill_head(&record->head, RECORD_FILE_CHANGE, sizeof(*record), process->start_ns);
	record->operation = operation;
	record->flags_given = flags;
	record->error = result < 0 ? -result : 0;
	record->path_bytes = record->base_bytes = 0;
	record->new_path_bytes = record->new_base_bytes = 0;
	record->reserved = 0;
	scratch->used = 0;
	scratch->cut = 0;

	append_name(scratch, regs, rule->path, rule->file, &record->path_bytes, &record->base_bytes);
	if (rule->other_path != FILE_NO_ARGUMENT)
		append_name(scratch, regs, rule->other_path, rule->other, &record->new_path_bytes,
			    &record->new_base_bytes);
	if (*(volatile u32 *)&scratch->cut)
		record->head.flags |= FLAG_TRUNCATED;
	size = sizeof(*record) + *(volatile u32 *)&scratch->used;
	CLAMP(size, sizeof(*record) + sizeof(scratch->text));
	record->head.length = size;
	if (bpf_ringbuf_output(&lifecycle, record, size, BPF_RB_NO_WAKEUP))
		lose(LOSS_FILE, LOSS_RING_FULL);
}

/* Another CPU may have noted a time after `now_ns` was read. */
static __always_inline bool is_past(u64 now_ns, u64 since_ns, u64 limit_ns)
{
	return (s64)(now_ns - since_ns) >= (s64)limit_ns;
}

static __always_inline bool same_counts(struct use_counts *one, struct use_counts *other)
{
	return one->writes == other->writes && one->reads == other->reads &&
	       one->creations == other->creations && one->resizes == other->resizes &&
	       one->mappings == other->mappings && one->attributes == other->attributes;
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

static __always_inline void read_name(struct use_name *name, struct file *file)
{
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct dentry_links links = {};

	read_dentry(&links, dentry);
	name->dentry = (u64)dentry;
	name->parent = (u64)links.d_parent;
	name->text = (u64)links.d_name ^ links.hash_length;
}

/* Tells the path and makes the entry; NULL, and a loss counted, where either has no room. */
static __always_inline struct file_use *begin_use(struct process *process, struct file *file,
						  struct use_key *key, struct use_name *name)
{
	struct file_scratch *scratch = current_scratch();
	struct file_record *record;
	struct file_use fresh = {
		.id = unique_id(),
		.start_ns = process->start_ns,
		.cgroup = bpf_get_current_cgroup_id(),
		.name = *name,
	};
	u64 size;

	if (!scratch)
		return NULL;
	record = &scratch->file;
	fill_head(&record->head, RECORD_FILE, sizeof(*record), process->start_ns);
	record->use = fresh.id;
	record->inode = key->inode;
	record->device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	record->mode = BPF_CORE_READ(file, f_inode, i_mode);
	record->reserved = 0;
	scratch->used = 0;
	scratch->cut = 0;
	append_place(path_of(file));
	if (*(volatile u32 *)&scratch->cut)
		record->head.flags |= FLAG_TRUNCATED;
	size = sizeof(*record) + *(volatile u32 *)&scratch->used;
	CLAMP(size, sizeof(*record) + sizeof(scratch->text));
	record->head.length = size;
	if (bpf_map_update_elem(&file_uses, key, &fresh, BPF_ANY)) {
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
static __always_inline struct file_use *use_of(struct process *process, struct file *file,
					       bool directories)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
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
	read_name(&name, file);
	if (name.dentry == name.parent)
		return NULL; /* of no place: memfd, shared memory */
	return begin_use(process, file, &key, &name);
}

/* Its times. The counts are the caller's. */
static __always_inline void touch(struct file_use *use)
{
	u64 now_ns = bpf_ktime_get_boot_ns();

	if (!use->first_ns)
		use->first_ns = now_ns;
	use->last_ns = now_ns;
}

static __always_inline void count_write(struct process *process, struct file *file, long bytes)
{
	struct file_use *use = file && bytes > 0 ? use_of(process, file, false) : NULL;

	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.bytes_written, bytes);
	__sync_fetch_and_add(&use->counts.writes, 1);
}

static __always_inline void count_read(struct process *process, struct file *file, long bytes)
{
	struct file_use *use;
	u64 magic;

	if (!file || bytes <= 0)
		return;
	magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);
	if (magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC)
		return; /* made up when read: the process asks the kernel */
	use = use_of(process, file, false);
	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.bytes_read, bytes);
	__sync_fetch_and_add(&use->counts.reads, 1);
}

/* A file opened to be written. Its use so far is over where it is another file or has another name. */
static __always_inline void opened(struct process *process, struct file *file, bool truncates)
{
	struct use_name name;
	struct file_use *use;
	struct use_key key;
	bool created;
	u32 mode;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG)
		return;
	mode = BPF_CORE_READ(file, f_mode);
	created = mode & FMODE_CREATED;
	fill_key(&key, process, BPF_CORE_READ(file, f_inode));
	use = bpf_map_lookup_elem(&file_uses, &key);
	if (use) {
		read_name(&name, file);
		if (created || name.dentry != use->name.dentry || name.parent != use->name.parent ||
		    name.text != use->name.text)
			end_use(&key, use);
	}
	if (!created && !(truncates && mode & FMODE_WRITE))
		return;
	use = use_of(process, file, false);
	if (!use)
		return;
	touch(use);
	if (created)
		__sync_fetch_and_add(&use->counts.creations, 1);
	else
		__sync_fetch_and_add(&use->counts.resizes, 1);
}

static __always_inline u64 flags_in(struct file_rule *rule, struct pt_regs *regs)
{
	u64 flags, given = rule->flags == FILE_NO_ARGUMENT ? 0 : argument_in(regs, rule->flags);

	if (rule->options & FILE_RULE_FLAGS_IN_MEMORY) {
		if (bpf_probe_read_user(&flags, sizeof(flags), (void *)given)) {
			lose(LOSS_FILE, LOSS_UNREADABLE);
			return 0;
		}
		given = flags;
	}
	if (rule->options & FILE_RULE_TRUNCATES)
		given |= O_CREAT | O_TRUNC;
	return given;
}

static __always_inline void open_left(struct process *process, struct file_rule *rule,
				      struct pt_regs *regs, long result)
{
	u64 flags = flags_in(rule, regs);
	bool writes = flags & (O_ACCMODE | O_CREAT | O_TRUNC);

	if (result < 0) {
		if (writes || rule->options & FILE_RULE_READS)
			emit_change(process, rule, regs, FILE_OPEN, flags, result);
	} else if (writes) {
		opened(process, file_of(current_task(), result), flags & O_TRUNC);
	}
}

static __always_inline void mapped(struct process *process, struct file_rule *rule,
				   struct pt_regs *regs)
{
	u32 type = argument_in(regs, rule->flags) & MAP_TYPE;
	struct file_use *use;
	struct file *file;

	if (!(argument_in(regs, 2) & PROT_WRITE) || argument_in(regs, rule->flags) & MAP_ANONYMOUS)
		return;
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
		return;
	file = file_of(current_task(), (s32)argument_in(regs, rule->file));
	use = file ? use_of(process, file, false) : NULL;
	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.mappings, 1);
}

static __always_inline void changed_as_a_whole(struct process *process, struct file_rule *rule,
					       struct pt_regs *regs)
{
	struct file *file = file_of(current_task(), (s32)argument_in(regs, rule->file));
	bool attributes = rule->operation == FILE_ATTRIBUTES;
	struct file_use *use = file ? use_of(process, file, attributes) : NULL;

	if (!use)
		return;
	touch(use);
	if (attributes)
		__sync_fetch_and_add(&use->counts.attributes, 1);
	else
		__sync_fetch_and_add(&use->counts.resizes, 1);
}

static __always_inline void used(struct process *process, struct file_rule *rule,
				 struct pt_regs *regs, long result)
{
	struct task_struct *task = current_task();

	switch (rule->operation) {
	case FILE_WRITE:
		count_write(process, file_of(task, (s32)argument_in(regs, rule->file)), result);
		break;
	case FILE_READ:
		count_read(process, file_of(task, (s32)argument_in(regs, rule->file)), result);
		break;
	case FILE_COPY:
		count_write(process, file_of(task, (s32)argument_in(regs, rule->file)), result);
		if (rule->options & FILE_RULE_READS)
			count_read(process, file_of(task, (s32)argument_in(regs, rule->other)), result);
		break;
	case FILE_MAP:
		mapped(process, rule, regs);
		break;
	case FILE_RESIZE:
	case FILE_ATTRIBUTES:
		changed_as_a_whole(process, rule, regs);
		break;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(file_call, struct pt_regs *regs, long result)
{
	u32 number = number_in(regs), operation;
	struct file_rule *rule = bpf_map_lookup_elem(&file_rules, &number);
	struct process *process;
	u64 flags;

	if (!rule || !rule->operation)
		return 0;
	if (result < 0 && !is_refusal(result))
		return 0;
	process = watched();
	if (!process || !was_native())
		return 0;
	operation = rule->operation;
	if (operation == FILE_OPEN) {
		open_left(process, rule, regs, result);
	} else if (operation >= FILE_PATH_ATTRIBUTES ||
		   (result < 0 && operation == FILE_ATTRIBUTES)) {
		flags = flags_in(rule, regs);
		if (operation == FILE_DELETE && flags & AT_REMOVEDIR)
			operation = FILE_DELETE_DIRECTORY;
		emit_change(process, rule, regs, operation, flags, result);
	} else if (result >= 0) {
		used(process, rule, regs, result);
	}
	return 0;
}

/* A row for each use that has come to rest, whose program is over, or that goes on for long. */
SEC("iter/bpf_map_elem")
int file_rows(struct bpf_iter__bpf_map_elem *ctx)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	struct file_use_record record = {};
	struct process *process;
	struct use_key key, *found = ctx->key;
	struct file_use *use;
	u32 zero = 0, *ending;
	bool over;

	if (!found)
		return 0;
	key = *found;
	use = bpf_map_lookup_elem(&file_uses, &key);
	ending = bpf_map_lookup_elem(&files_ending, &zero);
	if (!use || !ending)
		return 0;
	process = bpf_map_lookup_elem(&processes, &key.tgid);
	over = *ending || !process || process->start_ns != use->start_ns ||
	       process->images != (u16)key.images || is_past(now_ns, use->last_ns, QUIET_NS);
	if (!over && !(use->first_ns && is_past(now_ns, use->first_ns, BUSY_NS)))
		return 0;
	if (!same_counts(&use->counts, &use->told)) {
		struct use_counts counts = fill_use(&record, use, key.tgid);

		/* No room in the reader's buffer: the kernel comes back to this element. */
		if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
			return 0;
		use->told = counts;
		use->first_ns = 0;
	}
	/* A use between the look and this, after a second without any, would be lost with it. */
	if (over)
		bpf_map_delete_elem(&file_uses, &key);
	return 0;
}
