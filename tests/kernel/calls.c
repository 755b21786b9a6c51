/* Makes the calls that test_trace_object.py and others look for: `calls WHAT [ARGUMENT]`. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void files(const char *path)
{
	char bytes[64];
	int fd = open(path, O_RDWR);
	struct iovec pieces[2] = {{"first ", 6}, {"second", 6}};

	if (fd < 0)
		exit(2);
	read(fd, bytes, sizeof(bytes));
	write(fd, "written by calls.c", 18);
	writev(fd, pieces, 2);
	close(fd);
	open("/nowhere/at/all", O_RDONLY);
}

static void sockets(void)
{
	struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct iovec pieces[2] = {{"one", 3}, {"three", 5}};
	struct msghdr message = {.msg_name = &nobody, .msg_namelen = sizeof(nobody),
				 .msg_iov = pieces, .msg_iovlen = 2};

	nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	connect(fd, (struct sockaddr *)&nobody, sizeof(nobody));
	sendmsg(fd, &message, 0);
}

static void *sleeper(void *unused)
{
	struct timespec long_time = {1000, 0};

	nanosleep(&long_time, NULL);
	return unused;
}

static void sleeping_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, sleeper, NULL);
	usleep(50000);
	exit(0);
}

static pthread_barrier_t together;

static void *ends(void *unused)
{
	pthread_barrier_wait(&together);
	syscall(SYS_exit, 0);
	return NULL;
}

static void threads_end_together(void)
{
	for (int process = 0; process < 30; process++) {
		pthread_t thread;

		if (fork()) {
			wait(NULL);
			continue;
		}
		pthread_barrier_init(&together, NULL, 4);
		for (int i = 0; i < 3; i++)
			pthread_create(&thread, NULL, ends, NULL);
		ends(NULL);
	}
}

static void *executes(void *path)
{
	execl(path, "calls", "nothing", NULL);
	return NULL;
}

static void exec_by_thread(const char *self)
{
	pthread_t thread;

	pthread_create(&thread, NULL, executes, (void *)self);
	pthread_join(thread, NULL);
}

static void many(const char *count)
{
	for (int i = atoi(count); i > 0; i--)
		syscall(SYS_getppid);
}

static void old_abi(void)
{
#ifdef __x86_64__
	long result, path = (long)mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	strcpy((char *)path, "/below/4/GiB");
	/* i386: open(path, O_RDONLY) */
	asm volatile("int $0x80" : "=a"(result) : "a"(5L), "b"(path), "c"(0L), "d"(0L) : "memory");
#endif
}

/* A page that this program never touched: nobody can read it at the entry. */
static void untouched(const char *path)
{
	int fd = open(path, O_RDONLY);
	char *mapped = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);

	madvise(mapped, 4096, MADV_DONTNEED);
	access(mapped, F_OK);
}

static volatile int flipping = 1;
static char flipped[256];

static void *flips(void *unused)
{
	char *last = flipped + strlen(flipped) - 1;

	while (flipping)
		*(volatile char *)last ^= 'a' ^ 'b';
	return unused;
}

/* Opens what another thread rewrites meanwhile, and asks what it got. */
static void flipped_path(const char *path)
{
	pthread_t thread;
	char status[256];

	strcpy(flipped, path);
	pthread_create(&thread, NULL, flips, NULL);
	for (int i = 0; i < 1000; i++) {
		int fd = open(flipped, O_RDONLY);

		syscall(SYS_fstat, fd, status);
		close(fd);
	}
	flipping = 0;
	pthread_join(thread, NULL);
}

/* access() answers EXDEV, which it never does by itself. */
static void forbid_access(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_access, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void denied(void)
{
	forbid_access();
	access("/denied", F_OK);
}

/* Opens a path by io_uring, which no open shows. */
static void through_io_uring(const char *path, unsigned flags)
{
	struct io_uring_params params = {.flags = flags};
	int ring = syscall(SYS_io_uring_setup, 1, &params);
	struct io_uring_sqe *entry;
	unsigned *places, *tail;
	char *queue;

	if (ring < 0)
		exit(3);
	queue = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	entry->opcode = IORING_OP_OPENAT;
	entry->fd = AT_FDCWD;
	entry->addr = (unsigned long)path;
	entry->user_data = 0x1234;
	places = (unsigned *)(queue + params.sq_off.array);
	tail = (unsigned *)(queue + params.sq_off.tail);
	places[0] = 0;
	__atomic_store_n(tail, 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0);
}

int main(int count, char **arguments)
{
	const char *what = arguments[1], *argument = count > 2 ? arguments[2] : NULL;
	char byte;

	if (!strcmp(what, "files"))
		files(argument);
	else if (!strcmp(what, "sockets"))
		sockets();
	else if (!strcmp(what, "sleeping thread"))
		sleeping_thread();
	else if (!strcmp(what, "threads end together"))
		threads_end_together();
	else if (!strcmp(what, "exec by thread"))
		exec_by_thread(arguments[0]);
	else if (!strcmp(what, "many"))
		many(argument);
	else if (!strcmp(what, "old abi"))
		old_abi();
	else if (!strcmp(what, "untouched"))
		untouched(argument);
	else if (!strcmp(what, "flipped path"))
		flipped_path(argument);
	else if (!strcmp(what, "denied"))
		denied();
	else if (!strcmp(what, "denied in a child")) {
		forbid_access();
		if (!fork()) {
			access("/denied", F_OK);
			_exit(0);
		}
		wait(NULL);
	} else if (!strcmp(what, "io_uring"))
		through_io_uring(argument, 0);
	else if (!strcmp(what, "polled io_uring"))
		through_io_uring(argument, IORING_SETUP_SQPOLL);
	else if (!strcmp(what, "open"))
		open(argument, O_RDONLY);
	else if (!strcmp(what, "wait"))
		read(0, &byte, 1);
	else if (!strcmp(what, "signal"))
		signal(SIGUSR1, SIG_IGN), signal(SIGUSR1, exit), raise(SIGUSR1);
	else if (!strcmp(what, "fork") && fork() == 0)
		syscall(SYS_getppid);
	wait(NULL);
	return 0;
}
