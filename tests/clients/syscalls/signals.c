/* Signals: masks, handlers, delivery, interruption and restart. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void handler(int number) { (void)number; }

int main(void)
{
	struct sigaction action, old;
	sigset_t set, full;
	char byte;
	int ends[2];
	struct timespec brief = {0, 1000};
	siginfo_t info;

	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	sigaddset(&action.sa_mask, SIGUSR2);
	action.sa_flags = SA_RESTART | SA_NODEFER;
	sigaction(SIGUSR1, &action, &old);
	sigaction(SIGUSR1, NULL, &old);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1), sigaddset(&set, SIGTERM), sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	sigpending(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigfillset(&full);
	sigprocmask(SIG_SETMASK, &full, &set);
	sigdelset(&full, SIGUSR1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	kill(getpid(), SIGUSR1);
	kill(getpid(), 0);
	syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR2);
	sigtimedwait(&set, &info, &brief);
	sigtimedwait(&set, NULL, &brief);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	read(signals, &byte, 1);
	stack_t stack = {.ss_flags = SS_DISABLE};
	sigaltstack(&stack, NULL);
	pipe(ends);
	action.sa_flags = 0;
	action.sa_handler = handler;
	sigaction(SIGALRM, &action, NULL);
	struct itimerval timer = {{0, 0}, {0, 20000}};
	setitimer(ITIMER_REAL, &timer, NULL);
	read(ends[0], &byte, 1);
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	struct pollfd one = {ends[0], POLLIN, 0};
	poll(&one, 1, 1000);
	setitimer(ITIMER_REAL, &timer, NULL);
	pause();
	sigemptyset(&set);
	setitimer(ITIMER_REAL, &timer, NULL);
	sigsuspend(&set);
	close(ends[0]);
	write(ends[1], "x", 1);
	*(volatile int *)16 = 1;
	return 0;
}
