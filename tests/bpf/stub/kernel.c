/* The task that runs, its machine, and what is to fail. */
#include <setjmp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "internal.h"

#define TAIL_CALLS 33 /* MAX_TAIL_CALL_CNT of linux/bpf.h, kernel 5.16 */

struct stub_now stub_now;
static uint64_t seen[STUB_FAULTS], fail_at[STUB_FAULTS], faulted;
static const char *absent[8];
static jmp_buf tail_call;
static stub_program *tail_target;
static int tail_calls;
static bool letting_go;

void stop(const char *why)
{
	fprintf(stderr, "stub kernel: %s\n", why);
	abort();
}

bool fails(enum stub_fault fault)
{
	if (++seen[fault] != fail_at[fault])
		return false;
	faulted++;
	return true;
}

void stub_fail(enum stub_fault fault, uint64_t nth)
{
	fail_at[fault] = nth ? seen[fault] + nth : 0;
	faulted = 0;
}

uint64_t stub_faulted(void) { return faulted; }
uint64_t stub_seen(enum stub_fault fault) { return seen[fault]; }

__u64 bpf_get_current_task(void) { return stub_now.task; }
struct task_struct *bpf_get_current_task_btf(void) { return (void *)stub_now.task; }
long bpf_task_pt_regs(struct task_struct *task) { (void)task; return stub_now.registers; }
__u64 bpf_get_current_pid_tgid(void) { return stub_now.pid_tgid; }
__u64 bpf_get_current_cgroup_id(void) { return stub_now.cgroup; }
__u32 bpf_get_smp_processor_id(void) { return stub_now.processor; }
__u64 bpf_ktime_get_boot_ns(void) { return stub_now.time_ns; }
__u64 bpf_get_socket_cookie(void *skb) { (void)skb; return stub_now.cookie; }
__u64 bpf_skb_cgroup_id(void *skb) { (void)skb; return stub_now.cgroup; }
__u64 bpf_get_attach_cookie(void *context) { (void)context; return stub_now.cookie; }
__u64 bpf_get_current_ancestor_cgroup_id(int level) { return stub_now.ancestors[level]; }

long bpf_get_current_comm(void *to, __u32 size)
{
	memcpy(to, stub_now.comm, size);
	return 0;
}

void stub_let_go_meanwhile(void) { letting_go = true; }

long bpf_send_signal_thread(__u32 signal)
{
	__u32 tgid = stub_now.pid_tgid >> 32;

	if (fails(STUB_SIGNAL))
		return -EBUSY;
	if (letting_go)
		stub_delete("held", &tgid);
	letting_go = false;
	note(STUB_SIGNALLED, signal, NULL, NULL, 0);
	return 0;
}

bool stub_exists(const char *what)
{
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		if (absent[i] && !strcmp(absent[i], what))
			return false;
	return true;
}

/* Like the kernel's: does not return, unless there were too many. */
long bpf_tail_call(void *context, void *programs, __u32 index)
{
	(void)context;
	if (tail_calls == TAIL_CALLS)
		return -ELOOP;
	tail_calls++;
	tail_target = stub_tail(programs, index);
	if (!tail_target)
		return -ENOENT;
	longjmp(tail_call, 1);
}

static stub_program *program_named(const char *name)
{
	for (const struct stub_named_program *each = stub_programs; each->name; each++)
		if (!strcmp(each->name, name))
			return each->run;
	stop("no program of this name");
	return NULL;
}

int stub_run(const char *program, void *context)
{
	int result;

	tail_calls = 0;
	tail_target = program_named(program);
	(void)setjmp(tail_call);
	result = tail_target(context);
	if (record_is_open())
		stop("a record was reserved and neither submitted nor discarded");
	return result;
}

void stub_absent(const char *what)
{
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		if (!absent[i]) {
			absent[i] = strdup(what);
			return;
		}
	stop("too many absent things");
}

void stub_set_configuration(const void *configuration, uint64_t size_bytes)
{
	uintptr_t page = getpagesize(), start = (uintptr_t)stub_configuration() & ~(page - 1);
	uintptr_t end = (uintptr_t)stub_configuration() + size_bytes;

	if (mprotect((void *)start, end - start, PROT_READ | PROT_WRITE))
		stop("the configuration stays constant");
	memcpy(stub_configuration(), configuration, size_bytes);
}

void stub_reset(void)
{
	reset_maps();
	reset_rings();
	reset_memory();
	for (unsigned int i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		free((void *)absent[i]);
		absent[i] = NULL;
	}
	memset(seen, 0, sizeof(seen));
	memset(fail_at, 0, sizeof(fail_at));
	memset(&stub_now, 0, sizeof(stub_now));
}
