/* What comes into a trace's scope, leaves it, or hides from it: one story a word. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_for_a_byte(void)
{
	char byte;

	while (read(0, &byte, 1) < 0)
		;
}

static void open_often(int times)
{
	while (times--)
		close(open("/etc/hostname", O_RDONLY));
}

/* Children that open 3 times each, before and after their parent opens once. */
static int tree(void)
{
	for (int child = 0; child < 2; child++) {
		if (!fork()) {
			open_often(3);
			_exit(0);
		}
		wait(NULL);
		if (!child)
			open_often(1);
	}
	return 0;
}

#ifdef __x86_64__
static long raw(unsigned long number, long first, long second)
{
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"(number), "D"(first), "S"(second), "d"(0)
		     : "rcx", "r11", "memory");
	return result;
}

/* Numbers of which the kernel looks at the lower half. */
static int high(void)
{
	long fd = raw(1UL << 32 | SYS_openat, AT_FDCWD, (long)"/etc/hostname");

	raw(5UL << 32 | SYS_getppid, 0, 0);
	return fd < 0;
}

/* A call that a tracer has the kernel skip. */
static int skipped(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unlink, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };
	struct user_regs_struct registers;
	pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
		_exit(syscall(SYS_unlink, "/nothing"));
	}
	waitpid(child, &status, 0);
	ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
	for (;;) {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			ptrace(PTRACE_GETREGS, child, 0, &registers);
			registers.orig_rax = -1;
			registers.rax = 0;
			ptrace(PTRACE_SETREGS, child, 0, &registers);
		}
		ptrace(PTRACE_CONT, child, 0, 0);
		waitpid(child, &status, 0);
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
	}
}
#endif

/* Out of a cgroup and in again, with calls between. */
static int out_and_in(const char *outside, const char *inside)
{
	int out = open(outside, O_WRONLY), in = open(inside, O_WRONLY);

	wait_for_a_byte();
	getppid();
	if (write(out, "0", 1) != 1)
		return 1;
	getpgid(0);
	usleep(100000);
	getpgid(0);
	if (write(in, "0\n", 2) != 2)
		return 2;
	getppid();
	return 0;
}

static int into(const char *folder)
{
	struct clone_args arguments = {
		.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD,
		.cgroup = open(folder, O_RDONLY | O_DIRECTORY),
	};
	long child;

	wait_for_a_byte();
	child = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (!child) {
		getppid();
		_exit(0);
	}
	return child < 0 || wait(NULL) < 0;
}

/* The kernel's thread that polls the ring ends last, or not. */
static int polled(void)
{
	struct io_uring_params parameters = {
		.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 20000,
	};

	if (syscall(SYS_io_uring_setup, 8, &parameters) < 0)
		return 2;
	usleep(100000);
	syscall(SYS_exit_group, 7);
	return 1;
}

/* Nobody waits for its output's end, nor for itself. */
static void left_alone(void)
{
	close(1);
	close(2);
	alarm(20);
}

/* Ends while a child waits for a connection and another opens a pipe that nobody writes to. */
static int blocked(const char *pipe)
{
	if (!fork()) {
		int listening = socket(AF_UNIX, SOCK_STREAM, 0);

		left_alone();
		bind(listening, (struct sockaddr[]){ { AF_UNIX } }, 2);
		listen(listening, 1);
		accept(listening, NULL, NULL);
		_exit(0);
	}
	if (!fork()) {
		left_alone();
		open(pipe, O_RDONLY);
		_exit(0);
	}
	usleep(500000);
	return 0;
}

int main(int count, char **words)
{
	const char *story = words[1];

	if (!strcmp(story, "tree"))
		return tree();
	if (!strcmp(story, "later-tree")) {
		wait_for_a_byte();
		return tree();
	}
	if (!strcmp(story, "later-cat")) {
		wait_for_a_byte();
		execl("/bin/cat", "cat", "/etc/hostname", NULL);
	}
	if (!strcmp(story, "polled"))
		return polled();
	if (!strcmp(story, "blocked"))
		return blocked(words[2]);
	if (!strcmp(story, "into"))
		return into(words[2]);
	if (!strcmp(story, "out-and-in"))
		return out_and_in(words[2], words[3]);
#ifdef __x86_64__
	if (!strcmp(story, "high"))
		return high();
	if (!strcmp(story, "skipped"))
		return skipped();
#endif
	return 99;
}
