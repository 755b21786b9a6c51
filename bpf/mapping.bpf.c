/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Files not seen before: their first executable mapping, and the hold until probes are in.
 *
 * A process that maps an unknown file gets SIGSTOP, which takes effect before the first
 * instruction of the new mapping runs (exec: before the image's first). The recorder looks into
 * the file, attaches, marks it known and lets go. Known files cost one look-up.
 */
#include "common.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct file_key);
	__type(value, u32);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct hold);
} held SEC(".maps");

/* 1: nobody is held from now on. Taking the programs off lasts two of the kernel's grace periods. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} holding_ended SEC(".maps");

/*
 * Whom a stop would disturb: a tracer takes SIGSTOP for its own, and a shell with job control
 * (its child on the terminal in a process group of its own) would say "Stopped" and go on.
 */
static __always_inline bool may_hold(struct task_struct *task, struct process *process)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct signal_struct *above = BPF_CORE_READ(task, real_parent, signal);

	u32 zero = 0, *ended = bpf_map_lookup_elem(&holding_ended, &zero);

	if (!configuration.hold_enabled || (process->flags & PROCESS_NEVER_HELD))
		return false;
	if (!ended || *ended)
		return false;
	if (BPF_CORE_READ(task, tgid) == 1 || BPF_CORE_READ(task, ptrace))
		return false;
	if (!BPF_CORE_READ(signal, tty))
		return true;
	return BPF_CORE_READ(signal, pids[2]) == BPF_CORE_READ(above, pids[2]) ||
	       BPF_CORE_READ(signal, pids[3]) != BPF_CORE_READ(above, pids[3]);
}

/* Returns 0, or -EEXIST where another thread was first. A note that is there keeps what it knows of others' signals. */
static __always_inline int note_hold(u32 tgid, u64 now_ns)
{
	struct hold hold = { .since_ns = now_ns };
	int error = bpf_map_update_elem(&held, &tgid, &hold, BPF_NOEXIST); /* see enter_call */

	if (error && error != -EEXIST)
		lose(LOSS_MAPPING, LOSS_MAP_FULL);
	return error;
}

/* Stops the current process. Noted first: a stop that nobody knows of would last. */
static __always_inline bool hold_current(u64 now_ns)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	int error = note_hold(tgid, now_ns);

	if (error && error != -EEXIST)
		return false;
	if (!bpf_send_signal_thread(SIGSTOP)) {
		/* Again: for another thread's file it may have been let go before the stop landed. */
		note_hold(tgid, now_ns);
		return true;
	}
	/* Not counted here: the recorder does, where the file turns out to matter. */
	if (!error)
		bpf_map_delete_elem(&held, &tgid);
	return false;
}

static __always_inline void file_mapped(struct process *process, struct file *file, s32 fd)
{
	struct task_struct *task = current_task();
	u32 pending = FILE_PENDING, *state;
	struct mapping_record *record;
	struct file_key key = {};

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG)
		return;
	file_identity(file, &key);
	state = bpf_map_lookup_elem(&files, &key);
	if (state && *state == FILE_KNOWN)
		return;
	if (!state && bpf_map_update_elem(&files, &key, &pending, BPF_ANY))
		lose(LOSS_MAPPING, LOSS_MAP_FULL);

	/* Reserved before the stop: a process must not be held that nobody would let go. */
	record = reserve(&lifecycle, sizeof(*record), LOSS_MAPPING);
	if (!record)
		return;
	fill_head(&record->head, RECORD_MAPPING, sizeof(*record), process->start_ns);
	record->inode = key.inode;
	record->device = key.device;
	record->ctime_ns = key.ctime_ns;
	record->fd = fd;
	record->reserved = 0;
	if (may_hold(task, process) && hold_current(record->head.time_ns))
		record->head.flags |= FLAG_HELD;
	/* A ring whose other records do not wake needs a forced one: the adaptive wakeup is lost. */
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
}

/*
 * mmap: looked at on entry, where the file descriptor is at hand. The stop takes effect when the
 * call returns: the mapping is there and the descriptor still open.
 */
SEC("tracepoint/syscalls/sys_enter_mmap")
int enter_mmap(struct trace_event_raw_sys_enter *ctx)
{
	struct process *process;
	s32 fd = (s32)BPF_CORE_READ(ctx, args[4]);

	if (!(BPF_CORE_READ(ctx, args[2]) & PROT_EXEC) || fd < 0)
		return 0;
	if (BPF_CORE_READ(ctx, args[3]) & MAP_ANONYMOUS)
		return 0; /* of no file, whatever the descriptor */
	process = watched();
	if (process)
		file_mapped(process, file_of(current_task(), fd), fd);
	return 0;
}

/*
 * A stop or a continue that somebody else sent to a process that we hold: theirs must count.
 * Ours come from the kernel itself (SEND_SIG_PRIV, 1) or from the recorder.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(foreign_signal, int signal, void *info, struct task_struct *task)
{
	u32 tgid;
	struct hold *hold;

	if (signal != SIGCONT && signal != SIGSTOP && signal != SIGTSTP && signal != SIGTTIN &&
	    signal != SIGTTOU)
		return 0;
	tgid = task->tgid;
	hold = bpf_map_lookup_elem(&held, &tgid);
	if (!hold || (bpf_get_current_pid_tgid() >> 32) == configuration.recorder_tgid)
		return 0;
	if (signal == SIGCONT)
		hold->foreign_continue = 1;
	else if ((unsigned long)info != 1 || signal != SIGSTOP)
		hold->foreign_stop = 1;
	return 0;
}
