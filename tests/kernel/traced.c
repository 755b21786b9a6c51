/* What programs do that is hard to follow, a word each. Prints "ready" where it waits. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *calls(void *unused)
{
	for (int i = 0; i < 1000; i++)
		syscall(SYS_getppid);
	return unused;
}

static void *execute(void *unused)
{
	execl("/bin/true", "true", NULL);
	return unused;
}

static int threads(void)
{
	pthread_t thread[16];

	for (int i = 0; i < 16; i++)
		pthread_create(&thread[i], NULL, calls, NULL);
	for (int i = 0; i < 16; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

static int exec_from_thread(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, execute, NULL);
	pthread_join(thread, NULL);
	return 1;
}

static int vforks(void)
{
	for (int i = 0; i < 50; i++) {
		if (vfork() == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		wait(NULL);
	}
	return 0;
}

static int fork_storm(int count)
{
	for (int i = 0; i < count; i++) {
		if (fork() == 0) {
			syscall(SYS_getppid);
			_exit(0);
		}
		if (i % 50 == 49)
			while (wait(NULL) > 0)
				;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}

static int killed_by_seccomp(void)
{
	struct sock_filter kill_getppid[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, kill_getppid };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	syscall(SYS_getppid);
	return 1;
}

static char flipping[32] = "/nowhere/one";

static void *flip(void *unused)
{
	for (;;) {
		strcpy(flipping, "/nowhere/two");
		__asm__ volatile("" ::: "memory");
		strcpy(flipping, "/nowhere/one");
		__asm__ volatile("" ::: "memory");
	}
	return unused;
}

/* Opens a path that another thread rewrites all the time. */
static int opens_what_flips(int count)
{
	pthread_t thread;

	pthread_create(&thread, NULL, flip, NULL);
	while (count--)
		open(flipping, O_RDONLY);
	_exit(0);
}

static char passed[64];
static int faults;

/* Rewrites the path, then gives the faulting page. */
static void *rewrite(void *path)
{
	static char page[4096];
	struct uffdio_copy copy = {.src = (unsigned long)page, .len = sizeof(page)};
	struct uffd_msg fault;

	read(faults, &fault, sizeof(fault));
	strcpy(passed, path);
	copy.dst = fault.arg.pagefault.address & -sizeof(page);
	ioctl(faults, UFFDIO_COPY, &copy);
	return NULL;
}

/* Passes the first path and opens the second. At the call's entry the path can be read and the
 * page of its options is not there; the kernel fetches that page before it reads the path. */
static int opens_what_is_rewritten(char **paths)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register missing = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	void *options = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	missing.range.start = (unsigned long)options;
	missing.range.len = 4096;
	if (ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &missing))
		return 3;
	strcpy(passed, paths[0]);
	pthread_create(&thread, NULL, rewrite, paths[1]);
	return syscall(SYS_openat2, AT_FDCWD, passed, options, sizeof(struct open_how)) < 0;
}

static int flood(int count)
{
	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
	return 0;
}

#ifdef __x86_64__
static long of_i386(long number)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number)
			 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static int abis(void)
{
	enum { I386_GETPPID = 64, X32 = 0x40000000 };

	of_i386(I386_GETPPID);
	of_i386(I386_GETPPID);
	syscall(SYS_getppid);
	syscall(X32 + SYS_getppid);
	of_i386(I386_GETPPID);
	return 0;
}
#endif

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int count = argc > 2 ? atoi(argv[2]) : 0;

	if (!strcmp(what, "threads"))
		return threads();
	if (!strcmp(what, "exec"))
		return exec_from_thread();
	if (!strcmp(what, "vfork"))
		return vforks();
	if (!strcmp(what, "fork"))
		return fork_storm(count);
	if (!strcmp(what, "seccomp"))
		return killed_by_seccomp();
	if (!strcmp(what, "flip"))
		return opens_what_flips(count);
	if (!strcmp(what, "rewrite") && argc > 3)
		return opens_what_is_rewritten(argv + 2);
	if (!strcmp(what, "flood"))
		return flood(count);
#ifdef __x86_64__
	if (!strcmp(what, "abis"))
		return abis();
#endif
	return 2;
}
