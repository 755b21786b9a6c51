/* Structs and sets that are passed with their size: too short, too long, with what nobody knows. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void sets(void)
{
	unsigned char set[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct timespec none = {0, 0};
	void *masked[2] = {set, (void *)4};

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, set, 0, 4);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, set, set, 16);
	syscall(SYS_rt_sigpending, set, 4);
	syscall(SYS_rt_sigpending, set, 16);
	syscall(SYS_rt_sigsuspend, set, 4);
	syscall(SYS_rt_sigtimedwait, set, 0, &none, 4);
	syscall(SYS_ppoll, 0, 0, &none, set, 4);
	syscall(SYS_signalfd4, -1, set, 4, 0);
	syscall(SYS_epoll_pwait, -1, 0, 0, 0, set, 4);
	syscall(SYS_pselect6, 0, 0, 0, 0, &none, masked);
}

static void structs(void)
{
	uint64_t attributes[6] = {1, 2, 0, 0, 5, 6};
	struct {
		struct open_how known;
		unsigned char rest[32];
	} how = {.rest = {7, [7] = 9}};
	struct {
		struct clone_args known;
		long rest;
	} clone = {.rest = 7};

	char here[1] = "", nothing[] = "nothing"; /* in memory that is there before the call */

	for (int size = 16; size <= 40; size += 8)
		syscall(SYS_mount_setattr, -1, here, 0x8000, attributes, size);
	for (int size = 0; size <= 56; size += 8)
		syscall(SYS_openat2, AT_FDCWD, nothing, &how, size);
	memset(how.rest, 0, sizeof(how.rest));
	syscall(SYS_openat2, AT_FDCWD, nothing, &how, 32);
	syscall(SYS_clone3, &clone, 96);
	clone.rest = 0, clone.known.flags = 1ULL << 63;
	syscall(SYS_clone3, &clone, 56);
	syscall(SYS_clone3, &clone, 64);
	syscall(SYS_clone3, &clone, 96);
	clone.known.flags = CLONE_INTO_CGROUP, clone.known.cgroup = 77;
	syscall(SYS_clone3, &clone, 88);
}

static void handles(void)
{
	struct {
		unsigned bytes;
		int type;
		unsigned char opaque[128];
	} handle = {8, 99, {1, 2, 3}};
	int folder = open(".", O_RDONLY | O_DIRECTORY);

	syscall(SYS_open_by_handle_at, folder, &handle, O_RDONLY);
	handle.bytes = 200;
	syscall(SYS_open_by_handle_at, folder, &handle, O_RDONLY);
	handle.bytes = 0;
	syscall(SYS_open_by_handle_at, folder, &handle, O_RDONLY);
	syscall(SYS_name_to_handle_at, folder, "nothing", &handle, &handle.type, 0);
	close(folder);
}

static void queue(int number, int code, long value)
{
	struct timespec none = {0, 0};
	siginfo_t info = {.si_signo = number, .si_code = code}, found;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	info.si_pid = 5;
	info.si_value.sival_ptr = (void *)value;
	syscall(SYS_rt_sigqueueinfo, getpid(), number, &info);
	sigtimedwait(&set, &found, &none);
}

static void signals(void)
{
	queue(SIGUSR1, SI_QUEUE, 42);
	queue(SIGRTMIN + 1, SI_QUEUE, 0x7fff12345678);
	queue(SIGRTMIN + 1, SI_QUEUE, 0);
	queue(SIGUSR1, SI_MESGQ, -3 & 0xffffffff);
	queue(SIGUSR1, SI_TIMER, 7);
	queue(SIGUSR1, SI_SIGIO, 7);
	queue(SIGUSR1, SI_USER, 7); /* not allowed to programs, except for themselves */
}

static void programs(void)
{
	char *none[] = {NULL}, *one[] = {"", NULL}, *two[] = {"", "", NULL};

	syscall(SYS_execve, "/nonexistent", none, none);
	syscall(SYS_execve, "/nonexistent", one, none);
	syscall(SYS_execve, "/nonexistent", two, one);
	syscall(SYS_execve, "/nonexistent", NULL, NULL);
}

int main(void)
{
	sets();
	structs();
	handles();
	signals();
	programs();
	return 0;
}
