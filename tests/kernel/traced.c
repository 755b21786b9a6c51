/* What programs do that is hard to follow, a word each. Prints "ready" where it waits. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static char flipping[64];
static volatile unsigned flips;

/* On two processors, where there are two: side by side, however busy they are. */
static void run_on(int which)
{
	cpu_set_t all, one;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(all), &all) || CPU_COUNT(&all) < 2)
		return;
	do
		while (!CPU_ISSET(++cpu, &all))
			;
	while (which--);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void *flip(void *files)
{
	run_on(1);
	for (;;) {
		memcpy(flipping, ((char **)files)[0], 32);
		__asm__ volatile("" ::: "memory");
		memcpy(flipping, ((char **)files)[1], 32);
		__asm__ volatile("" ::: "memory");
		flips++;
	}
	return NULL;
}

/* Opens a path that another thread rewrites meanwhile. Both are to be as long, below 32. */
static int opens_what_flips(char **files)
{
	pthread_t thread;

	strcpy(flipping, files[0]);
	pthread_create(&thread, NULL, flip, files);
	run_on(0);
	for (int i = 0; i < 20000; i++) {
		unsigned before = flips;

		for (int spin = 0; flips == before && spin < 10000; spin++)
			; /* until the other runs, but not for ever */

		int fd = open(flipping, O_RDONLY);

		if (fd >= 0)
			close(fd);
	}
	_exit(0);
}

static int flood(int count)
{
	for (int i = 0; i < count; i++)
		syscall(SYS_getppid);
	return 0;
}

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
	if (!strcmp(what, "flip") && argc > 3)
		return opens_what_flips(argv + 2);
	if (!strcmp(what, "flood"))
		return flood(count);
	return 2;
}
