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
#include "file_changes.h"
#include "file_uses.h"

#define QUIET_NS 1500000000ULL  /* unused for so long: what it did is told */
#define BUSY_NS 30000000000ULL  /* used all the time: told after so long */

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

/* Another CPU may have noted a time after `now_ns` was read. */
static __always_inline bool is_past(u64 now_ns, u64 since_ns, u64 limit_ns)
{
	return (s64)(now_ns - since_ns) >= (s64)limit_ns;
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

static __always_inline struct file_use *read_of(struct process *process, struct file *file)
{
	u64 magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);

	if (magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC)
		return NULL; /* made up when read: the process asks the kernel */
	return use_of(process, file, false);
}

static __always_inline void count_read(struct process *process, struct file *file, long bytes)
{
	struct file_use *use = file && bytes > 0 ? read_of(process, file) : NULL;

	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.bytes_read, bytes);
	__sync_fetch_and_add(&use->counts.reads, 1);
}

static __always_inline void count_read_mapping(struct process *process, struct file *file)
{
	struct file_use *use = read_of(process, file);

	if (!use)
		return;
	touch(use);
	__sync_fetch_and_add(&use->counts.read_mappings, 1);
}

/* A file opened to be written. Its use so far is over where it is another file or has another name. */
static __always_inline void opened(struct process *process, struct file *file, u64 flags)
{
	struct use_name name;
	struct file_use *use;
	struct use_key key;
	bool created;
	u32 mode;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG)
		return;
	mode = BPF_CORE_READ(file, f_mode);
	created = mode & FMODE_CREATED || flags & __O_TMPFILE; /* a file without a name is new, too */
	fill_key(&key, process, BPF_CORE_READ(file, f_inode));
	use = bpf_map_lookup_elem(&file_uses, &key);
	if (use) {
		read_name(&name, (struct path *)path_of(file));
		if (created || name.dentry != use->name.dentry || name.parent != use->name.parent ||
		    name.text != use->name.text)
			end_use(&key, use);
	}
	if (!created && !(flags & O_TRUNC && mode & FMODE_WRITE))
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

static __always_inline void open_left(struct process *process, struct file_rule *rule,
				      struct pt_regs *regs, long result)
{
	u64 flags = flags_in(rule, regs);
	bool writes = flags & (O_ACCMODE | O_CREAT | O_TRUNC);

	if (result < 0) {
		if (writes || rule->options & FILE_RULE_READS)
			emit_change(process, rule, regs, result);
	} else if (writes) {
		opened(process, file_of(current_task(), result), flags);
	}
}

/* Might be written after mprotect: see protections.bpf.c. */
static __always_inline void note_sharing(struct process *process, u64 address, u64 bytes)
{
	if (!process->sharing_to || address < process->sharing_from)
		process->sharing_from = address;
	if (address + bytes > process->sharing_to)
		process->sharing_to = address + bytes;
}

static __always_inline void mapped(struct process *process, struct file_rule *rule,
				   struct pt_regs *regs, u64 address)
{
	u64 flags = argument_in(regs, rule->flags), protection = argument_in(regs, 2);
	bool reads = rule->options & FILE_RULE_READS && protection & (PROT_READ | PROT_EXEC);
	u32 type = flags & MAP_TYPE;
	bool shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
	struct file *file;

	if (flags & MAP_ANONYMOUS || !(shared || reads))
		return;
	file = file_of(current_task(), (s32)argument_in(regs, rule->file));
	if (!file)
		return;
	if (reads)
		count_read_mapping(process, file);
	if (!shared)
		return;
	if (protection & PROT_WRITE)
		count_mapping(use_of(process, file, false));
	else if (BPF_CORE_READ(file, f_mode) & FMODE_WRITE)
		note_sharing(process, address, argument_in(regs, 1));
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
		mapped(process, rule, regs, result);
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
		emit_change(process, rule, regs, result);
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
