/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls: noted at the entry, one record at the exit.
 */
#include "file.h"
#include "vector.h"

#define RETURNED 6 /* the argument of chunks about what the call returned */

static __always_inline u16 plain_number(long number, u8 abi)
{
	u64 plain = number;

	if (abi == ABI_X32)
		plain &= 0x3fffffff;
	/* A tracer or seccomp may put any number there; -1 says: skip the call. */
	return plain < TRACE_SYSCALLS ? plain : 0xffff;
}

#ifdef __TARGET_ARCH_arm64
static __always_inline void copy_args(u64 *args, struct pt_regs *regs, u8 abi)
{
	args[0] = regs->orig_x0;
	for (int i = 1; i < 6; i++)
		args[i] = regs->user_regs.regs[i];
}

static __always_inline long number_in(struct pt_regs *regs)
{
	return (s32)regs->syscallno;
}

static __always_inline long result_in(struct pt_regs *regs)
{
	return regs->user_regs.regs[0];
}
#else
static __always_inline void copy_args(u64 *args, struct pt_regs *regs, u8 abi)
{
	if (abi == ABI_I386) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
		args[3] = (u32)regs->si;
		args[4] = (u32)regs->di;
		args[5] = (u32)regs->bp;
		return;
	}
	args[0] = regs->di;
	args[1] = regs->si;
	args[2] = regs->dx;
	args[3] = regs->r10;
	args[4] = regs->r8;
	args[5] = regs->r9;
}

static __always_inline long number_in(struct pt_regs *regs)
{
	return regs->orig_ax;
}

static __always_inline long result_in(struct pt_regs *regs)
{
	return regs->ax;
}
#endif

/* The fetches of a mask. What could not be read at the entry is noted for the exit. */
static __always_inline void fetch_all(struct thread *thread, struct trace_rule *rule, u8 mask,
				      s64 result, bool exiting)
{
	for (u32 i = 0; i < TRACE_FETCHES; i++) {
		struct trace_fetch *fetch = &rule->fetch[i];
		u64 pointer, elements, left = ~0ULL;
		u32 arg = fetch->arg, meta;
		int used;

		if (!(mask >> i & 1))
			continue;
		CLAMP(arg, 5);
		pointer = thread->args[arg];
		if (!pointer)
			continue;
		meta = PACK_META(arg, is_32_bit(thread->abi), fetch->kind);
		elements = fetch->size;
		if (fetch->kind == FETCH_BUFFER || fetch->kind >= FETCH_IOVEC)
			elements = fetch_count(thread, fetch->count_from, result);
		else if (fetch->kind == FETCH_COUNTED)
			elements *= fetch_count(thread, fetch->count_from, result);
		if (fetch->kind == FETCH_BUFFER && (!elements || !configuration.text_bytes))
			continue;
		if (exiting) {
			if (fetch->when == AT_EXIT_SUCCEEDED || fetch->when == AT_BOTH)
				left = result;
			fetch_at_exit(pointer, elements, left, meta);
			continue;
		}
		used = fetch_at_entry(pointer, elements, left, meta, thread->entry_bytes);
		if (used >= 0)
			thread->entry_bytes = used;
		else if (used == NOT_READABLE)
			thread->again |= 1 << i;
		else
			thread->flags |= TRACE_ENTRY_LOST;
	}
}

static __always_inline void call_entered(struct pt_regs *regs, long id)
{
	struct thread *thread = traced_thread();
	struct trace_rule *rule;
	u8 abi;

	if (!thread || !tracing())
		return;
	abi = current_abi(id);
	thread->number = plain_number(id, abi);
	thread->abi = abi;
	rule = rule_of(abi, thread->number);
	if (!rule)
		return;
	if (!rule->selected) {
		thread->call = CALL_UNSELECTED;
		return;
	}
	if (thread->call == CALL_UNDER_WAY)
		count(TRACE_LOST_TASK); /* whose exit we were not told of */
	thread->call = CALL_UNDER_WAY;
	thread->entry_bytes = 0;
	thread->again = 0;
	thread->flags = 0;
	copy_args(thread->args, regs, abi);
	if (rule->at_entry)
		fetch_all(thread, rule, rule->at_entry, 0, false);
	thread->entered_ns = bpf_ktime_get_ns();
}

/* What was read at the entry, first of the record's chunks. */
static __always_inline void append_entry(struct work *work, struct thread *thread)
{
	u64 bytes = thread->entry_bytes;
	struct entry *entry;
	struct sink sink;

	if (!bytes || !open_ring_sink(&sink, work))
		return;
	entry = current_entry(false);
	if (!entry)
		return;
	CLAMP(bytes, sizeof(entry->bytes));
	bpf_probe_read_kernel(sink.memory, bytes, entry->bytes);
	work->used = bytes;
}

static __always_inline void fill_call(struct trace_record *record, struct thread *thread, s64 result,
				      u64 now_ns)
{
	record->start_ns = thread->entered_ns;
	record->duration_ns = now_ns - thread->entered_ns;
	for (int i = 0; i < 6; i++)
		record->args[i] = thread->args[i];
	record->result = result;
	record->number = thread->number;
	record->abi = thread->abi;
	record->flags = thread->flags;
}

/* The state of a call that was under way when tracing began, as far as the registers tell it. */
static __always_inline void note_joined(struct thread *thread, struct pt_regs *regs)
{
	long id = number_in(regs);

	thread->abi = current_abi(id);
	thread->number = plain_number(id, thread->abi);
	thread->entered_ns = 0;
	thread->entry_bytes = 0;
	thread->flags = 0;
	copy_args(thread->args, regs, thread->abi);
}

static __always_inline void call_left(struct pt_regs *regs, s64 result)
{
	struct thread *thread = traced_thread();
	struct trace_record *record;
	struct trace_rule *rule;
	struct ring ring;
	u8 before, mask;
	u64 now_ns;

	if (!thread || !tracing())
		return;
	before = thread->call;
	thread->call = CALL_NONE;
	if (before == CALL_NONE || before == CALL_UNSELECTED || thread->scope & SCOPE_FROM_EXEC)
		return;
	now_ns = bpf_ktime_get_ns();
	if (before == CALL_UNKNOWN)
		note_joined(thread, regs);
	rule = rule_of(thread->abi, thread->number);
	if (!rule || !rule->selected)
		return;
	mask = before == CALL_UNKNOWN ? rule->at_entry : thread->again;
	mask |= result >= 0 ? rule->at_exit | rule->at_success : rule->at_exit;

	if (!open_ring(&ring))
		return;
	record = begin_record(&ring, thread, before == CALL_UNKNOWN ? TRACE_JOINED : TRACE_SYSCALL);
	if (!record)
		return;
	fill_call(record, thread, result, now_ns);
	if (before == CALL_UNKNOWN)
		record->duration_ns = 0;
	if (result <= -512 && result >= -516)
		record->flags |= TRACE_RESTARTED;
	append_entry(ring.work, thread);
	if (mask)
		fetch_all(thread, rule, mask, result, true);
	if (rule->returns_file && result >= 0) {
		struct file *file = current_file(result);

		if (file)
			append_kernel_file((u64)file, RETURNED);
	}
	finish_record(&ring, record);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_call, struct pt_regs *regs, long id)
{
	call_entered(regs, id);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave_call, struct pt_regs *regs, long result)
{
	call_left(regs, result);
	return 0;
}
