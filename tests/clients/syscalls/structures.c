/* Calls that take structs of their own, and calls whose memory depends on a command. */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/perf_event.h>
#include <mqueue.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utime.h>

struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t least, most;
};

static void scheduling(void)
{
	struct scheduling attributes = {.size = sizeof(attributes)};

	syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0);
	syscall(SYS_sched_setattr, 0, &attributes, 0);
	attributes.policy = 6, attributes.runtime = 1;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void times(void)
{
	struct timeval now;
	struct timezone zone;
	struct utimbuf two = {1000000000, 1000000001};

	close(open("dated", O_CREAT | O_WRONLY, 0600));
	syscall(SYS_gettimeofday, &now, &zone);
	syscall(SYS_utime, "dated", &two);
	syscall(SYS_utime, "dated", NULL);
}

static void locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 3, .l_len = 4};
	int fd = open("locked", O_CREAT | O_RDWR, 0600);

	fcntl(fd, F_GETLK, &lock);
	lock.l_type = F_RDLCK;
	fcntl(fd, F_SETLK, &lock);
	fcntl(fd, F_SETLKW, &lock);
	fcntl(fd, F_OFD_SETLK, &lock);
	fcntl(99, F_SETLK, &lock);
	fcntl(99, F_GETLK, &lock);
	fcntl(fd, F_SETOWN, getpid());
	fcntl(fd, F_GETOWN);
}

static void names(void)
{
	char name[16];
	int number;

	prctl(PR_SET_NAME, "short");
	prctl(PR_SET_NAME, "longer than a name can be");
	prctl(PR_GET_NAME, name);
	prctl(PR_GET_PDEATHSIG, &number);
	prctl(PR_GET_CHILD_SUBREAPER, &number);
	prctl(PR_GET_DUMPABLE);
	prctl(PR_CAPBSET_READ, 5);
}

static void memory(void)
{
	unsigned char pages[256];
	char *mapped = mmap(NULL, 40 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mapped[4096] = 1;
	mincore(mapped, 3 * 4096 - 1, pages);
	mincore(mapped, 40 * 4096, pages);
	mincore(mapped + 1, 4096, pages);
}

static void queues(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
	struct sembuf changes[] = {{0, 1, 0}, {0, -1, IPC_NOWAIT | SEM_UNDO}};
	aio_context_t context = 0;
	struct timespec none = {0, 0};
	struct io_event events[2];

	mqd_t queue = mq_open("/proctor-structures", O_CREAT | O_RDWR, 0600, &attributes);
	mq_getattr(queue, &attributes);
	attributes.mq_flags = O_NONBLOCK;
	mq_setattr(queue, &attributes, NULL);
	mq_unlink("/proctor-structures");
	int semaphores = semget(IPC_PRIVATE, 1, 0600);
	semop(semaphores, changes, 2);
	semctl(semaphores, 0, IPC_RMID);
	syscall(SYS_io_setup, 4, &context);
	syscall(SYS_io_getevents, context, 0, 2, events, &none);
	syscall(SYS_io_destroy, context);
}

static void kernel_objects(void)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
			      .max_entries = 2, .map_name = "numbers"};
	struct perf_event_attr event = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(event),
					.config = PERF_COUNT_SW_CPU_CLOCK, .disabled = 1};
	struct futex_waitv waiters[2] = {{.val = 1, .uaddr = 0, .flags = 2}};
	struct timespec none = {0, 0};

	close(syscall(SYS_bpf, BPF_MAP_CREATE, &map, 72));
	close(syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
	syscall(SYS_futex_waitv, waiters, 2, 0, &none, 1);
	syscall(SYS_add_key, "user", "proctor", "secret", 6L, -2);
	syscall(SYS_request_key, "user", "nobody has this", NULL, -2);
}

static void of_others(void)
{
	char here[4] = "abc", there[4];
	struct iovec own = {there, sizeof(there)}, its[2] = {{here, sizeof(here)}, {here, 0}};
	struct {
		uint64_t access;
		int folder, padding;
	} rule = {4, open(".", O_PATH)};
	uint64_t handled = 4;
	int flags = 0, ruleset = syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);

	syscall(SYS_process_vm_readv, getpid(), &own, 1, its, 2, 0);
	syscall(SYS_process_vm_writev, getpid(), &own, 1, its, 2, 0);
	syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
	rule.access = 1 << 30, rule.folder = 99;
	syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0);
	syscall(SYS_landlock_add_rule, ruleset, 9, &rule, 0);
	close(ruleset);
	ioctl(rule.folder, FS_IOC_GETFLAGS, &flags);
	flags = open("flagged", O_CREAT | O_RDWR, 0600);
	ioctl(flags, FS_IOC_GETFLAGS, &handled);
	flags = FS_NODUMP_FL | FS_NOATIME_FL;
	ioctl(99, FS_IOC_SETFLAGS, &flags);
}

static void others(void)
{
	stack_t stack, off = {.ss_flags = SS_DISABLE};
	unsigned long base;

	sigaltstack(&off, &stack);
	syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
	close(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	dup3(1, 9, O_CLOEXEC);
	syscall(9999, 1, 2, 3, 4, 5, 6);
	syscall(700);
}

int main(void)
{
	scheduling();
	times();
	locks();
	names();
	memory();
	queues();
	of_others();
	kernel_objects();
	others();
	return 0;
}
