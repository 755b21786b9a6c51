/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Signals as they are delivered to a thread.
 */
#include "ring.h"

struct signal_sender { s32 pid; u32 uid; s32 status; };

/* By the kernel for a fault: an address instead of a sender. */
static __always_inline bool is_fault(int signal, int code)
{
	return code > 0 && (signal == SIGILL || signal == SIGTRAP || signal == SIGBUS ||
			    signal == SIGFPE || signal == SIGSEGV);
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_delivered, int signal, struct kernel_siginfo *info)
{
	struct task_struct *task = current();
	struct thread *thread = traced_thread(task);
	struct signal_sender sender = {};
	struct trace_record *record;
	struct ring ring;
	u64 address = 0;
	int code;
	void *fields;

	if (!thread || !(thread->scope & SCOPE_TRACED) || !tracing())
		return 0;
	record = begin_moment(&ring, task, thread, TRACE_SIGNAL);
	if (!record)
		return 0;
	code = BPF_CORE_READ(info, si_code);
	/* Past si_code and, where pointers have 8 bytes, padding. */
	fields = (void *)info + 16;
	record->args[0] = signal;
	record->args[1] = (s64)code;
	if (is_fault(signal, code)) {
		bpf_probe_read_kernel(&address, sizeof(address), fields);
		record->args[2] = address;
	} else {
		bpf_probe_read_kernel(&sender, sizeof(sender), fields);
		record->args[2] = sender.pid;
		record->args[3] = sender.uid;
		record->args[4] = (s64)sender.status;
	}
	finish_record(&ring, record);
	return 0;
}
