/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls: noted at the entry, one record at the exit.
 */
#include "filter.h"
#include "folder.h"
#include "place.h"
#include "short.h"
#include "special.h"
#include "stack.h"
#include "vector.h"

static __always_inline void copy_args(u64 *args, struct pt_regs *regs, u8 abi)
{
#ifndef __TARGET_ARCH_arm64
	if (abi == ABI_I386) {
		args[0] = (u32)regs->bx;
		args[1] = (u32)regs->cx;
		args[2] = (u32)regs->dx;
		args[3] = (u32)regs->si;
		args[4] = (u32)regs->di;
		args[5] = (u32)regs->bp;
		return;
	}
#endif
	for (int i = 0; i < 6; i++)
		args[i] = argument_in(regs, i);
}

/* used: what a function that appends to entry memory returned. */
static __always_inline void note_entry_memory(struct thread *thread, int used)
{
	if (used >= 0)
		thread->entry_bytes = used & (ENTRY_CUT - 1);
	if (used < 0 || used & ENTRY_CUT)
		thread->flags |= TRACE_ENTRY_LOST;
}

/* The fetches of a mask. What could not be read at the entry is noted for the exit. */
static __always_inline void fetch_all(struct thread *thread, struct trace_rule *rule, u8 mask,
				      s64 result, bool exiting)
{
	for (u32 i = 0; i < TRACE_FETCHES; i++) {
		struct trace_fetch *fetch = &rule->fetch[i];
		u64 pointer, elements, left = ~0ULL;
		u32 arg = fetch->arg, meta;
		int used;

		if (!(mask >> i))
			break;
		if (!(mask >> i & 1))
			continue;
		CLAMP(arg, 5);
		pointer = thread->args[arg];
		if (!pointer)
			continue;
		meta = forgotten(thread, PACK_META(arg, is_32_bit(thread->abi), fetch->kind));
		elements = fetch->size;
		if (fetch->kind == FETCH_BUFFER || fetch->kind >= FETCH_IOVEC)
			elements = fetch_count(thread, fetch->count_from, result);
		else if (fetch->kind == FETCH_COUNTED)
			elements *= fetch_count(thread, fetch->count_from, result);
		elements = forgotten(thread, elements);
		if (fetch->kind == FETCH_BUFFER && (!elements || !configuration.text_bytes))
			continue;
		if (exiting) {
			if (fetch->when == AT_EXIT_SUCCEEDED || fetch->when == AT_BOTH)
				left = result;
			left = forgotten(thread, left);
			if (fetch->kind != FETCH_MESSAGES)
				fetch_at_exit(pointer, elements, left, meta);
			else if (fetch->when == AT_BOTH && !(thread->again >> i & 1))
				fetch_at_exit(pointer, elements, left,
					      PACK_META(arg, is_32_bit(thread->abi), FETCH_HEADERS));
			else
				messages_at_exit(pointer, elements, meta);
			if (fetch->kind == FETCH_FILES)
				append_pair(pointer, arg);
			continue;
		}
		if (fetch->kind == FETCH_MESSAGES)
			used = messages_at_entry(pointer, elements, meta, thread->entry_bytes);
		else
			used = fetch_at_entry(pointer, elements, left, meta, thread->entry_bytes);
		if (used == NOT_READABLE)
			thread->again |= 1 << i;
		else
			note_entry_memory(thread, used);
	}
}

/* What its descriptors stand for. Asked at the entry: close forgets its own. */
static __always_inline void note_files(struct thread *thread, struct trace_rule *rule)
{
	for (u32 i = 0; i < 6; i++) {
		u64 path;
		u32 at;
		int used;

		if (!(rule->fd_arguments >> i & 1))
			continue;
		path = path_of_descriptor(thread, (s32)thread->args[i]);
		if (!path)
			continue;
		at = thread->entry_bytes;
		used = file_at_entry(path, i, at);
		note_entry_memory(thread, used);
		thread->flags |= TRACE_FILES_TOLD;
		if (rule->returns_file)
			note_folder(thread, (struct path *)path, at, used);
	}
}

/* Which calls on other files or descriptors are left out. Asked at the entry: close forgets its own. */
static __always_inline bool place_wanted(struct thread *thread, struct trace_rule *rule)
{
	thread->elsewhere = 0;
	if (!fd_wanted(thread, rule))
		return false;
	if (!configuration.paths_set || path_wanted(thread, rule))
		return true;
	thread->elsewhere = 1;
	return rule->returns_file;
}

static __always_inline void note_stacks(void *ctx, struct thread *thread)
{
	struct sink sink;

	if (open_entry_sink(&sink, thread->entry_bytes)) {
		append_stacks(&sink, ctx);
		thread->entry_bytes = *sink.used;
	}
}

static __always_inline void call_entered(void *ctx, struct pt_regs *regs, long id)
{
	struct task_struct *task = current();
	struct thread *thread = traced_thread(task);
	struct trace_rule *rule;
	u8 abi, at_entry;

	if (!thread || !tracing())
		return;
	abi = current_abi(task, id);
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
	thread->short_bytes = 0;
	thread->again = 0;
	thread->flags = 0;
	thread->folder = NULL;
	copy_args(thread->args, regs, abi);
	if (!place_wanted(thread, rule)) {
		thread->call = CALL_UNSELECTED;
		count(TRACE_FILTERED);
		return;
	}
	at_entry = rule->at_entry;
	if (at_entry & 1 && short_at_entry(thread, rule))
		at_entry &= ~1;
	if (at_entry)
		fetch_all(thread, rule, at_entry, 0, false);
	if (configuration.descriptors_told)
		note_files(thread, rule);
	if (stacks_wanted() && (is_last(abi, thread->number) || is_exec(abi, thread->number)))
		note_stacks(ctx, thread);
	thread->entered_ns = bpf_ktime_get_ns();
}

/* What was read at the entry, first of the record's chunks. */
static __always_inline void append_entry(struct work *work, struct thread *thread)
{
	u64 bytes = thread->entry_bytes, before = thread->short_bytes;
	struct entry *entry;
	struct sink sink;

	if (!(bytes | before) || !open_ring_sink(&sink, work))
		return;
	CLAMP(before, sizeof(thread->piece));
	for (u32 i = 0; i < sizeof(thread->piece) / 8 && i * 8 < before; i++)
		((u64 *)sink.memory)[i] = thread->piece[i];
	work->used = before;
	if (!bytes)
		return;
	entry = current_entry(false);
	if (!entry)
		return;
	CLAMP(bytes, sizeof(entry->bytes));
	bpf_probe_read_kernel(sink.memory + before, bytes, entry->bytes);
	work->used = before + bytes;
}

static __always_inline void fill_call(struct trace_record *record, struct thread *thread, s64 result,
				      u64 duration_ns)
{
	record->start_ns = thread->entered_ns;
	record->duration_ns = duration_ns;
	for (int i = 0; i < 6; i++)
		record->args[i] = thread->args[i];
	record->result = result;
	record->number = thread->number;
	record->abi = thread->abi;
	record->flags = thread->flags;
}

/* The state of a call that we did not see enter, as far as the registers tell it. */
static __always_inline void note_unseen(struct thread *thread, struct pt_regs *regs, u8 abi,
					u16 number)
{
	thread->abi = abi;
	thread->number = number;
	thread->entered_ns = 0;
	thread->entry_bytes = 0;
	thread->short_bytes = 0;
	thread->flags = 0;
	thread->again = 0;
	thread->folder = NULL;
	copy_args(thread->args, regs, thread->abi);
}

static __always_inline bool outcome_wanted(struct thread *thread, u64 returned, s64 result,
					   u64 duration_ns)
{
	if (!result_wanted(result) || !duration_wanted(duration_ns))
		return false;
	return !configuration.paths_set || !thread->elsewhere || file_in_place(returned);
}

/* What is only known at the exit, after the chunks from the entry. */
static __always_inline void append_outcome(void *ctx, struct ring *ring, struct thread *thread,
					   struct trace_rule *rule, u8 mask, u64 returned,
					   s64 result, u64 duration_ns)
{
	struct sink sink;

	if (mask & 1 && short_at_exit(thread, rule, ring->work, result))
		mask &= ~1;
	if (mask)
		fetch_all(thread, rule, mask, result, true);
	if (returned) {
		if (in_other_mounts(ring->task))
			ring->work->flags |= TRACE_OTHER_MOUNTS;
		if (!opened_in_folder(thread, returned, duration_ns))
			append_kernel_file(returned, RETURNED);
	}
	if (stacks_wanted() && !is_exec(thread->abi, thread->number) &&
	    open_ring_sink(&sink, ring->work))
		append_stacks(&sink, ctx);
}

static __always_inline void emit_call(void *ctx, struct task_struct *task, struct thread *thread,
				      struct trace_rule *rule, s64 result, enum trace_kind kind)
{
	u64 now_ns = bpf_ktime_get_ns(), duration_ns = 0;
	u8 mask = thread->again;
	u64 returned = 0;
	struct trace_record *record;
	struct ring ring;

	if (thread->entered_ns)
		duration_ns = now_ns - thread->entered_ns;
	else
		mask = rule->at_entry;
	mask |= is_error(result) ? rule->at_exit : rule->at_exit | rule->at_success;
	if (is_exec(thread->abi, thread->number) && !is_error(result))
		mask = 0; /* the memory is that of the new program */
	if (rule->returns_file && !is_error(result))
		returned = file_address(thread, result);
	if (!open_ring(&ring, task))
		return;
	if (!outcome_wanted(thread, returned, result, duration_ns)) {
		ring.counts[TRACE_FILTERED]++;
		return;
	}
	record = begin_record(&ring, thread, kind);
	if (!record)
		return;
	fill_call(record, thread, result, duration_ns);
	if (result <= -512 && result >= -516)
		record->flags |= TRACE_RESTARTED;
	if (kind == TRACE_SYSCALL && !thread->entered_ns) {
		record->flags |= TRACE_NOT_ENTERED;
		record->start_ns = now_ns;
	}
	if (kind == TRACE_JOINED)
		record->duration_ns = now_ns; /* so that start and duration say the end, as in all */
	append_entry(ring.work, thread);
	append_outcome(ctx, &ring, thread, rule, mask, returned, result, duration_ns);
	finish_record(&ring, record);
}

/* Whether it is the child's return from the call that made it; at their own tracepoints it may not be seen. */
static __always_inline bool made_thread(struct task_struct *task, u8 before, struct pt_regs *regs,
					s64 result)
{
	long id = number_in(regs);
	u8 abi;

	/* Nobody told us of its birth where it was made before tracing began, or into a cgroup in scope. */
	if (before != CALL_BORN && (before != CALL_UNKNOWN || result))
		return false;
	abi = current_abi(task, id);
	return is_fork(abi, plain_number(id, abi));
}

static __always_inline void call_left(void *ctx, struct pt_regs *regs, s64 result)
{
	struct task_struct *task = current();
	struct thread *thread = traced_thread(task);
	struct trace_rule *rule;
	u8 before, abi;

	if (!thread || !tracing())
		return;
	before = thread->call;
	thread->call = CALL_NONE;
	if (before == CALL_UNSELECTED || thread->scope & SCOPE_FROM_EXEC ||
	    made_thread(task, before, regs, result))
		return;
	if (before != CALL_UNDER_WAY) {
		long id = number_in(regs);

		abi = current_abi(task, id);
		/* With no entry though we would have seen it: seccomp comes before the tracepoint. */
		note_unseen(thread, regs, abi,
			    before == CALL_UNKNOWN ? left_number(id, abi, result) : plain_number(id, abi));
	}
	rule = rule_of(thread->abi, thread->number);
	if (!rule || !rule->selected)
		return;
	if (before != CALL_UNDER_WAY && !place_wanted(thread, rule)) {
		count(TRACE_FILTERED);
		return;
	}
	emit_call(ctx, task, thread, rule, result,
		  before == CALL_UNKNOWN ? TRACE_JOINED : TRACE_SYSCALL);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_call, struct pt_regs *regs, long id)
{
	call_entered(ctx, regs, id);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(leave_call, struct pt_regs *regs, long result)
{
	call_left(ctx, regs, result);
	return 0;
}

/*
 * The same at the tracepoints of single syscalls, so that no other syscall costs anything. What
 * those pass has as many arguments as the syscall; the registers have all of them.
 */
static __always_inline struct pt_regs *current_registers(void)
{
	return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
}

SEC("tracepoint")
int enter_own_tracepoint(void *ctx)
{
	struct pt_regs *regs = current_registers();

	call_entered(ctx, regs, number_in(regs));
	return 0;
}

SEC("tracepoint")
int leave_own_tracepoint(void *ctx)
{
	struct pt_regs *regs = current_registers();

	call_left(ctx, regs, result_in(regs));
	return 0;
}
