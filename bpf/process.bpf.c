/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Processes: fork, exec and exit of what is in scope, and the inheritance of scope.
 */
#include "common.h"
#include "path.h"

#define PATHS_ROOM (2 * PATH_MAX_BYTES + NAME_BYTES)

struct exec_scratch {
	struct exec_record record;
	char text[PATHS_ROOM + ARGV_MAX_BYTES];
	u32 used; /* of text */
	struct path_walk walk;
};

/* Tracepoint programs run without preemption and exec does not nest: one scratch a CPU is safe. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

/* Executables whose processes are in scope (watch --exe), by (inode, device, 0). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct file_key);
	__type(value, u8);
} scope_exes SEC(".maps");

/* Above the nanoseconds since 6.13: somebody asked for the time (I_CTIME_QUERIED, 4e40eff0b573). */
#define CTIME_NSEC_MASK 0x3fffffff

static __always_inline u64 inode_ctime_ns(struct inode *inode)
{
	/* i_ctime became __i_ctime in 6.6 (13bc24457850) and two fields in 6.11 (3aa63a569c64). */
	if (bpf_core_field_exists(inode->i_ctime_sec))
		return BPF_CORE_READ(inode, i_ctime_sec) * 1000000000ULL +
		       (BPF_CORE_READ(inode, i_ctime_nsec) & CTIME_NSEC_MASK);
	if (bpf_core_field_exists(inode->__i_ctime))
		return BPF_CORE_READ(inode, __i_ctime.tv_sec) * 1000000000ULL +
		       BPF_CORE_READ(inode, __i_ctime.tv_nsec);
	return BPF_CORE_READ(inode, i_ctime.tv_sec) * 1000000000ULL +
	       BPF_CORE_READ(inode, i_ctime.tv_nsec);
}

static __always_inline void file_identity(struct file *file, struct file_key *key)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	key->inode = BPF_CORE_READ(inode, i_ino);
	key->device = BPF_CORE_READ(inode, i_sb, s_dev);
	key->ctime_ns = inode_ctime_ns(inode);
}

/* Verified once and not for each component; with numbers only, as 5.10 has it. */
__noinline int append_exec_component(u32 paths_before)
{
	struct exec_scratch *scratch;
	u32 zero = 0;

	scratch = bpf_map_lookup_elem(&exec_scratch, &zero);
	if (!scratch)
		return COMPONENT_CUT;
	if (paths_before)
		return append_component((u8 *)scratch->text, &scratch->used, 2 * PATH_MAX_BYTES,
					&scratch->walk);
	return append_component((u8 *)scratch->text, &scratch->used, PATH_MAX_BYTES, &scratch->walk);
}

/* Appends a path to the scratch's text, the first or the second. Returns the bytes appended. */
static __always_inline u16 append_path(struct exec_scratch *scratch, struct path *path,
				       u32 paths_before)
{
	volatile u32 *used = &scratch->used;
	int component = COMPONENT_APPENDED;
	u32 before = *used;

	begin_walk(&scratch->walk, path);
	for (u32 i = 0; i < PATH_COMPONENTS && component == COMPONENT_APPENDED; i++)
		component = append_exec_component(paths_before);
	if (component == COMPONENT_NONE_LEFT)
		return *used - before;
	scratch->record.head.flags |= FLAG_TRUNCATED;
	/* Without its last NUL a path is one cut short: see path_text in records/decode.py. */
	if (*used > before)
		*used -= 1;
	return *used - before;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct process *above, *fresh;
	struct fork_record *record;
	u32 parent_tgid = parent->tgid, tgid = child->tgid;
	u64 start_ns;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	above = bpf_map_lookup_elem(&processes, &parent_tgid);
	if (!above)
		above = watched();
	if (!above)
		return 0;
	/* Never held is a matter of the one process, being ours is inherited. */
	start_ns = child->start_boottime;
	fresh = enter_scope(tgid, start_ns, above->flags & PROCESS_EXCLUDED);
	if (!fresh)
		return 0;
	fresh->sharing_from = above->sharing_from;
	fresh->sharing_to = above->sharing_to;
	if (above->flags & PROCESS_EXCLUDED)
		return 0;

	record = reserve(&lifecycle, sizeof(*record), LOSS_PROCESS);
	if (!record)
		return 0;
	fill_head(&record->head, RECORD_FORK, sizeof(*record), start_ns);
	record->head.pid = tgid;
	record->head.tid = tgid;
	record->parent_pid = parent_tgid;
	record->parent_start_ns = above->start_ns;
	record->reserved = 0;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* argv lies in one piece of user memory. Returns the bytes appended. */
static __always_inline u32 append_argv(struct exec_scratch *scratch, struct task_struct *task)
{
	u64 start = BPF_CORE_READ(task, mm, arg_start), end = BPF_CORE_READ(task, mm, arg_end);
	struct exec_record *record = &scratch->record;
	volatile u32 *used = &scratch->used;
	u32 at = *used;
	u64 size;

	if (end <= start || at > PATHS_ROOM)
		return 0;
	size = end - start;
	record->argv_total_bytes = size > 0xffffffff ? 0xffffffff : size;
	if (size > ARGV_MAX_BYTES)
		record->head.flags |= FLAG_TRUNCATED;
	CLAMP(size, ARGV_MAX_BYTES);
	if (bpf_probe_read_user(scratch->text + at, size, (void *)start)) {
		record->head.flags |= FLAG_UNREADABLE;
		lose(LOSS_PROCESS, LOSS_UNREADABLE);
		return 0;
	}
	*used = at + size;
	return size;
}

static __always_inline void emit_exec(struct task_struct *task, struct process *process,
				      struct file *file)
{
	struct task_struct *parent = BPF_CORE_READ(task, real_parent, group_leader);
	struct exec_scratch *scratch;
	struct exec_record *record;
	u32 zero = 0;
	u64 size;

	scratch = bpf_map_lookup_elem(&exec_scratch, &zero);
	if (!scratch)
		return;
	record = &scratch->record;
	fill_head(&record->head, RECORD_EXEC, sizeof(*record), process->start_ns);
	record->parent_pid = BPF_CORE_READ(parent, tgid);
	record->parent_start_ns = BPF_CORE_READ(parent, start_boottime);
	record->uid = BPF_CORE_READ(task, cred, uid.val);
	record->gid = BPF_CORE_READ(task, cred, gid.val);
	record->argv_total_bytes = 0;
	bpf_get_current_comm(record->comm, sizeof(record->comm));

	scratch->used = 0;
	record->exe_bytes = append_path(scratch, &file->f_path, 0);
	record->cwd_bytes = append_path(scratch, &BPF_CORE_READ(task, fs)->pwd, 1);
	record->argv_bytes = append_argv(scratch, task);
	size = sizeof(*record) + *(volatile u32 *)&scratch->used;
	CLAMP(size, sizeof(*record) + sizeof(scratch->text));
	record->head.length = size;
	if (bpf_ringbuf_output(&lifecycle, scratch, size, BPF_RB_NO_WAKEUP))
		lose(LOSS_PROCESS, LOSS_RING_FULL);
}

static __always_inline bool exe_in_scope(struct file *file)
{
	struct file_key key = {};

	if (!configuration.scope_exes_set)
		return false;
	file_identity(file, &key);
	key.ctime_ns = 0;
	return bpf_map_lookup_elem(&scope_exes, &key) != NULL;
}

/* mapping.bpf.c: look into a file unless it is known, and hold the process meanwhile. */
static __always_inline void file_mapped(struct process *process, struct file *file, s32 fd);

/* Threads that end in a TLS call leave their entry behind: see calls.bpf.c. */
static __always_inline void forget_thread(u64 thread);

/* Its TLS handles, calls and mappings are gone with its memory. */
static __always_inline void start_image(struct process *process, u32 tgid, u32 old_tid)
{
	process->images++;
	process->sharing_from = process->sharing_to = 0;
	process->untied = 0;
	forget_thread((u64)tgid << 32 | old_tid);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_tid, struct linux_binprm *binary)
{
	struct process *process = watched();
	u32 tgid = task->tgid;

	/* One that is in the map and yet not watched is ours. */
	if (!process && !bpf_map_lookup_elem(&processes, &tgid) && exe_in_scope(binary->file))
		process = enter_scope(tgid, process_start_ns(task), 0);
	if (!process)
		return 0;
	start_image(process, tgid, old_tid);
	emit_exec(task, process, binary->file);
	file_mapped(process, binary->file, -1); /* the kernel maps it, without mmap() */
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct process *process = bpf_map_lookup_elem(&processes, &tgid), ended;
	struct exit_record *record;
	int error; /* before 6.4 maps return an int, whose sign does not reach a long's upper half */
	u32 code;

	if (!process)
		return 0;
	forget_thread(bpf_get_current_pid_tgid());
	/* do_exit has already counted this thread out: 0 means that none is left. */
	if (task->signal->live.counter != 0)
		return 0;
	/* Threads that exit at the same time may all see 0: whoever takes the entry out tells it. */
	ended = *process;
	error = bpf_map_delete_elem(&processes, &tgid);
	if (error || ended.flags & PROCESS_EXCLUDED)
		return 0;
	record = reserve(&lifecycle, sizeof(*record), LOSS_PROCESS);
	if (!record)
		return 0;
	code = BPF_CORE_READ(task, exit_code);
	fill_head(&record->head, RECORD_EXIT, sizeof(*record), ended.start_ns);
	record->exit_code = (code >> 8) & 0xff;
	record->signal = code & 0x7f;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("iter/task")
int process_rows(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *parent;
	struct process_row row = {};

	if (!task || task->pid != task->tgid)
		return 0;
	parent = BPF_CORE_READ(task, real_parent, group_leader);
	row.start_ns = task->start_boottime;
	row.parent_start_ns = BPF_CORE_READ(parent, start_boottime);
	row.pid = task->tgid;
	row.parent_pid = BPF_CORE_READ(parent, tgid);
	row.uid = BPF_CORE_READ(task, cred, uid.val);
	row.gid = BPF_CORE_READ(task, cred, gid.val);
	row.kernel_thread = !!(task->flags & PF_KTHREAD);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}
