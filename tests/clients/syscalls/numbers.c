/* Numbers that are names, of several fields, negative, or wider than most. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <net/ethernet.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void offsets(void)
{
	char data[8] = "";
	struct iovec vector = {data, sizeof(data)};
	int fd = open("positions", O_CREAT | O_RDWR, 0600);

	pwritev(fd, &vector, 1, 0x500000003LL);
	preadv(fd, &vector, 1, 0x500000003LL);
	syscall(SYS_preadv2, fd, &vector, 1, -1L, -1L, 0);
	syscall(SYS_pwritev2, fd, &vector, 1, -1L, -1L, 0);
	syscall(SYS_pwritev2, fd, &vector, 1, 0x7fffffffffL, 0L, 0x400);
	close(fd);
}

static void enumerations(void)
{
	struct rusage usage;
	struct timespec now;

	getrusage(RUSAGE_CHILDREN, &usage);
	getrusage(RUSAGE_THREAD, &usage);
	getrusage(7, &usage);
	syscall(SYS_getrusage, -7, &usage);
	clock_gettime(-2, &now);
	clock_gettime(-6, &now);
	clock_gettime(-1, &now);
	clock_gettime(1000, &now);
	clock_gettime((~5 << 3) | 3, &now);
	clock_gettime(~getpid() << 3 | 2, &now);
	syscall(SYS_waitid, -1, 0, 0, WEXITED, 0);
	syscall(SYS_waitid, 7, 0, 0, 0x10000000, 0);
	syscall(SYS_getpriority, -1, 0);
	syscall(SYS_lseek, 1, 0, -1);
	syscall(SYS_setitimer, -1, 0, 0);
	syscall(SYS_madvise, 0, 0, -1);
	syscall(SYS_sched_get_priority_max, -1);
	syscall(SYS_prlimit64, 0, -1, 0, 0);
	syscall(SYS_shutdown, -1, -1);
	syscall(SYS_socket, -1, -1, -1);
	syscall(SYS_timerfd_create, -1, 0);
	syscall(SYS_epoll_ctl, -1, -1, -1, 0);
	syscall(SYS_rt_sigprocmask, -1, "12345678", 0, 8);
	syscall(SYS_getsockopt, -1, 1, -1, 0, 0);
	syscall(SYS_keyctl, -1, 0, 0, 0, 0);
	syscall(SYS_membarrier, -1, 0, 0);
	syscall(SYS_ioprio_get, -1, 0);
	syscall(SYS_fsconfig, -1, -1, 0, 0, 0);
	syscall(SYS_kcmp, -1, -1, -1, 0, 0);
	syscall(SYS_fadvise64, -1, 0, 0, -1);
}

static void mounts(void)
{
	struct {
		unsigned long set, clear, propagation, userns;
	} attributes = {.clear = 2};

	syscall(SYS_fsmount, -1, 1, 2 | 4);
	syscall(SYS_fsmount, -1, 1, 0);
	syscall(SYS_fsmount, -1, 1, 0x10);
	syscall(SYS_fsmount, -1, 1, 0x12);
	syscall(SYS_fsmount, -1, 1, 0x70);
	syscall(SYS_fsmount, -1, 1, 0x40);
	syscall(SYS_mount_setattr, -1, "x", 0x8000, &attributes, 32);
	attributes.set = 0x20, attributes.clear = 0x70;
	syscall(SYS_mount_setattr, -1, "x", 0, &attributes, 32);
	attributes.set = 0, attributes.clear = 0, attributes.propagation = 1 << 18;
	syscall(SYS_mount_setattr, -1, "x", 0, &attributes, 32);
	mount("a", "/nonexistent-b", "c", 0xC0ED0000 | MS_RDONLY | MS_NOSUID, 0);
	mount("a", "/nonexistent-b", "c", 0xC0ED0000, 0);
	mount("a", "/nonexistent-b", "c", 0, 0);
}

static void pages(void)
{
	mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26, -1, 0);
	mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 30 << 26, -1, 0);
	mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 21 << 26, -1, 0);
	mmap(0, 0, PROT_READ, 0, -1, 0);
	syscall(SYS_memfd_create, "x", MFD_HUGETLB | 21 << 26 | 0x1000);
	syscall(SYS_memfd_create, "x", MFD_HUGETLB | 30U << 26 | 0x1000);
	syscall(SYS_memfd_create, "x", 30U << 26);
	syscall(SYS_shmget, 0, 0, 04000 | 21 << 26 | 0600);
}

static void watched(void)
{
	int fd = syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);

	syscall(SYS_fanotify_mark, fd, FAN_MARK_ADD, FAN_OPEN | FAN_EVENT_ON_CHILD, AT_FDCWD, ".");
	syscall(SYS_fanotify_mark, fd, FAN_MARK_ADD | FAN_MARK_MOUNT,
		FAN_OPEN | FAN_CLOSE | FAN_ONDIR, AT_FDCWD, "/nonexistent");
	syscall(SYS_fanotify_mark, -1, 0, 1L, AT_FDCWD, "x");
	syscall(SYS_fanotify_mark, -1, FAN_MARK_FLUSH, 0L, 1, NULL);
	close(fd);
	/* With a flag that there is not: nothing is made. */
	for (int said = 0; said < 5; said++)
		syscall(SYS_fanotify_init, 0x8000000 | (int[]){FAN_CLASS_CONTENT | FAN_NONBLOCK,
			FAN_CLASS_PRE_CONTENT | FAN_REPORT_FID, FAN_CLASS_NOTIF | FAN_REPORT_NAME,
			FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS, FAN_ENABLE_AUDIT}[said],
			(int[]){O_RDONLY, O_RDWR | O_CLOEXEC, 0, 3, 0}[said]);
	fd = open(".", O_RDONLY);
	signal(SIGIO, SIG_IGN);
	fcntl(fd, F_NOTIFY, DN_CREATE | DN_MODIFY | DN_MULTISHOT);
	fcntl(fd, F_NOTIFY, 0);
	fcntl(fd, F_NOTIFY, DN_ACCESS);
	close(fd);
}

static void several(void)
{
	syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4);
	syscall(SYS_ioprio_set, 1, 0x7ffffff, 2 << 13);
	syscall(SYS_ioprio_set, 1, 0x7ffffff, 0);
	syscall(SYS_ioprio_set, 1, 0x7ffffff, 4);
	syscall(SYS_ioprio_set, 9, 0, 7 << 13 | 0x13);
	syscall(SYS_ioprio_get, 1, 0);
	syscall(SYS_quotactl, QCMD(Q_GETQUOTA, USRQUOTA), "/nonexistent", 5, 0);
	syscall(SYS_quotactl, QCMD(Q_QUOTAON, 2), "/nonexistent", 2, NULL);
	syscall(SYS_quotactl, QCMD(0x5801, 0), "/nonexistent", 2, 0);
	syscall(SYS_quotactl, 0x12345678, "/nonexistent", 2, 0);
	syscall(SYS_quotactl, QCMD(Q_GETQUOTA, 7), "/nonexistent", -1, 0);
	socket(AF_PACKET, SOCK_RAW | 0x100000, htons(3));
	socket(AF_PACKET, 77, htons(0x800));
	socket(AF_PACKET, 77, 3);
	socket(AF_PACKET, 77, 0);
	socket(AF_PACKET, 77, 0x12345);
	socket(AF_BLUETOOTH, 77, 1);
	socket(AF_BLUETOOTH, 77, 99);
	socket(AF_UNIX, 77, 1);
	open("/nonexistent", 3);
	syscall(SYS_dup3, 1, 1, 3);
	syscall(SYS_dup3, 1, 1, 0);
	syscall(SYS_pipe2, 0, 3 | O_NONBLOCK);
	mmap(0, 0, PROT_READ, MAP_ANONYMOUS, -1, 0);
	open("/nonexistent", 3 | O_CLOEXEC | O_NONBLOCK);
	syscall(SYS_swapon, "/nonexistent", SWAP_FLAG_PREFER | 3);
	syscall(SYS_swapon, "/nonexistent", SWAP_FLAG_PREFER);
	syscall(SYS_swapon, "/nonexistent", 0);
	syscall(SYS_swapon, "/nonexistent", 3);
	syscall(SYS_swapon, "/nonexistent", SWAP_FLAG_DISCARD | SWAP_FLAG_PREFER | 0x7fff);
	syscall(SYS_swapon, "/nonexistent", 0x1000000);
	syscall(SYS_delete_module, "no such module", O_RDONLY | O_NONBLOCK);
	syscall(SYS_delete_module, "no such module", O_NONBLOCK | O_TRUNC);
	syscall(SYS_delete_module, "no such module", 0);
	syscall(SYS_delete_module, "no such module", 3);
}

static void orders(void)
{
	struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} action = {SIG_IGN, SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART |
				     SA_NODEFER | SA_RESETHAND};

	close(eventfd(1, EFD_NONBLOCK | EFD_SEMAPHORE));
	close(eventfd(1, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC));
	syscall(SYS_open_tree, -1, "", 1 | O_CLOEXEC | 0x1000 | 0x100 | 0x800 | 0x8000);
	syscall(SYS_waitid, P_PID, -5, 0, WNOHANG | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT, 0);
	syscall(SYS_waitid, P_PID, -5, 0, WNOHANG | WEXITED | 0xe0000000, 0);
	syscall(SYS_wait4, 99999999, 0, 0x20000000 | WUNTRACED | WNOHANG | WCONTINUED, 0);
	msync((void *)1, 1, MS_SYNC | MS_INVALIDATE);
	msync((void *)1, 1, MS_ASYNC | MS_INVALIDATE);
	msync((void *)1, 1, 7);
	syscall(SYS_rt_sigaction, SIGUSR1, &action, 0, 8);
}

int main(void)
{
	offsets();
	enumerations();
	mounts();
	pages();
	watched();
	several();
	orders();
	return 0;
}
