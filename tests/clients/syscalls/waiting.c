/* poll, select, epoll, pipes, eventfd, timerfd, splice and io vectors across pipes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
	int ends[2], more[2], value;
	char text[16];
	fd_set in, out;
	struct epoll_event events[4], event = {.events = EPOLLIN | EPOLLET, .data.u32 = 7};
	struct timeval brief = {0, 1000}, none = {0, 0};
	struct timespec ten = {0, 1000000};
	struct itimerspec timer = {{0, 0}, {0, 1000000}};
	unsigned long count;
	sigset_t set;

	syscall(SYS_pipe, ends);
	pipe2(more, O_CLOEXEC | O_NONBLOCK);
	struct pollfd both[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT | POLLERR, 0}};
	poll(both, 2, 100);
	poll(both, 1, 1);
	poll(NULL, 0, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	ppoll(both, 2, &ten, &set);
	write(ends[1], "1234", 4);
	FD_ZERO(&in); FD_ZERO(&out); FD_SET(ends[0], &in); FD_SET(ends[1], &out);
	select(8, &in, &out, NULL, &brief);
	FD_ZERO(&in); FD_SET(more[0], &in);
	select(8, &in, NULL, NULL, &none);
	FD_ZERO(&in); FD_SET(ends[0], &in);
	pselect(8, &in, NULL, NULL, &ten, &set);
	brief.tv_sec = 0, brief.tv_usec = 1000; /* select left what remained */
	select(0, NULL, NULL, NULL, &brief);
	int queue = epoll_create1(EPOLL_CLOEXEC);
	epoll_create(1);
	epoll_ctl(queue, EPOLL_CTL_ADD, ends[0], &event);
	epoll_ctl(queue, EPOLL_CTL_MOD, ends[0], &event);
	epoll_wait(queue, events, 4, 100);
	epoll_pwait(queue, events, 4, 0, &set);
	epoll_ctl(queue, EPOLL_CTL_DEL, ends[0], NULL);
	epoll_wait(queue, events, 4, 0);
	int counter = eventfd(5, EFD_CLOEXEC | EFD_NONBLOCK);
	read(counter, &count, 8);
	read(counter, &count, 8);
	count = 1;
	write(counter, &count, 8);
	int clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(clock, 0, &timer, NULL);
	read(clock, &count, 8);
	timerfd_gettime(clock, &timer);
	tee(ends[0], more[1], 10, SPLICE_F_NONBLOCK);
	splice(ends[0], NULL, more[1], NULL, 2, SPLICE_F_MOVE);
	struct iovec part = {"vm", 2};
	vmsplice(more[1], &part, 1, 0);
	read(more[0], text, 16);
	ioctl(ends[0], FIONREAD, &value);
	ioctl(ends[0], TCGETS, text);
	ioctl(ends[0], FIONBIO, &value);
	ioctl(ends[0], 0xdeadbeef, 5);
	int null = open("/dev/null", O_RDWR);
	struct winsize size = {24, 80, 0, 0};
	struct termios settings;
	ioctl(null, TIOCGWINSZ, &size);
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(master, TIOCSWINSZ, &size);
	ioctl(master, TIOCGWINSZ, &size);
	ioctl(master, TCGETS, &settings);
	ioctl(master, TIOCGPTN, &value);
	int list[2];
	timer_t id;
	struct sigevent how = {.sigev_notify = SIGEV_NONE};
	timer_create(CLOCK_MONOTONIC, &how, &id);
	timer_settime(id, 0, &timer, NULL);
	timer_delete(id);
	socklen_t unused;
	(void)list, (void)unused;
	return 0;
}
