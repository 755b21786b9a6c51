/* Forks, executes, waits, limits, identities, time and odds of a process. */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	int status;
	struct rusage usage;
	siginfo_t info = {0}; /* waitid leaves the times in it as they are */
	gid_t groups[2] = {0, 1};
	cpu_set_t cpus;

	if (fork() == 0)
		_exit(3);
	wait4(-1, &status, 0, NULL);
	if (vfork() == 0)
		_exit(300);
	waitpid(-1, &status, WUNTRACED);
	wait4(-1, &status, __WALL, &usage);
	int child = fork();
	if (child == 0) {
		char *argv[] = {"true", "one", "tw\"o", "", "three", NULL};
		execve("/absent", argv, environ);
		execve("/bin/true", argv, NULL);
	}
	syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL);
	waitpid(child, &status, 0);
	child = fork();
	if (child == 0) {
		raise(SIGKILL);
	}
	waitpid(child, &status, 0);
	struct clone_args how = {.flags = CLONE_FS, .exit_signal = SIGCHLD};
	child = syscall(SYS_clone3, &how, sizeof how);
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	wait(NULL);
	int self = syscall(SYS_pidfd_open, getpid(), 0);
	syscall(SYS_pidfd_send_signal, self, 0, NULL, 0);
	close(self);

	getpid(), syscall(SYS_gettid), getppid(), getpgid(0), getpgrp(), getsid(0);
	setpgid(0, 0), getuid(), geteuid(), getgid(), getegid();
	uid_t a, b, c;
	getresuid(&a, &b, &c), getresgid(&a, &b, &c), setresuid(-1, 0, -1), setuid(0);
	setreuid(-1, -1), setgid(0), syscall(SYS_setfsuid, 0);
	getgroups(0, NULL), syscall(SYS_setgroups, 2, groups), syscall(SYS_getgroups, 2, groups);
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	syscall(SYS_capget, &head, data);

	struct rlimit limit = {64, RLIM_INFINITY};
	syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit);
	syscall(SYS_setrlimit, RLIMIT_CORE, &limit);
	prlimit(0, RLIMIT_NPROC, NULL, &limit);
	getrusage(RUSAGE_SELF, &usage);
	getpriority(PRIO_PROCESS, 0), setpriority(PRIO_PROCESS, 0, 5);
	sched_getaffinity(0, sizeof cpus, &cpus), sched_setaffinity(0, sizeof cpus, &cpus);
	sched_yield(), sched_getscheduler(0), sched_get_priority_max(SCHED_FIFO);
	struct sched_param priority;
	sched_getparam(0, &priority);

	struct timespec now, short_time = {0, 1000};
	struct timeval day;
	struct itimerval timer = {{0, 0}, {100, 0}};
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	syscall(SYS_clock_getres, CLOCK_REALTIME, &now);
	syscall(SYS_gettimeofday, &day, NULL);
	syscall(SYS_time, NULL);
	nanosleep(&short_time, NULL);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &short_time, &now);
	setitimer(ITIMER_REAL, &timer, NULL), getitimer(ITIMER_REAL, &timer), alarm(0);
	struct tms used;
	times(&used);
	struct utsname system;
	struct sysinfo memory;
	uname(&system), sysinfo(&memory);
	char random[8];
	syscall(SYS_getrandom, random, 8, GRND_NONBLOCK);
	prctl(PR_SET_NAME, "a name"), prctl(PR_GET_DUMPABLE), prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), prctl(PR_CAPBSET_READ, 5);
	syscall(SYS_getcpu, NULL, NULL, NULL);
	syscall(SYS_membarrier, 0, 0, 0);
	syscall(SYS_personality, 0xffffffff);
	syscall(SYS_futex, &status, 1, 1, NULL, NULL, 0);
	syscall(SYS_futex, &status, 0, status + 1, &short_time, NULL, 0);
	syscall(9999, 1, 2, 3);
	brk(NULL);
	return 7;
}
