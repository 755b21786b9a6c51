/* Threads that share descriptors, and an exec out of one of them. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

static int file;

/* Until the first thread waits: else its calls would depend on who is quicker. */
static void let_it_wait(void)
{
	usleep(500000);
}

static void *reads(void *unused)
{
	char byte;
	let_it_wait();
	read(file, &byte, 1);
	file = open("/etc/hostname", O_RDONLY);
	return unused;
}

static void *executes(void *unused)
{
	char *argv[] = {"true", NULL};
	let_it_wait();
	execve("/bin/true", argv, environ);
	return unused;
}

int main(void)
{
	pthread_t thread;
	char byte;
	file = open("/etc/passwd", O_RDONLY);
	pthread_create(&thread, NULL, reads, NULL);
	pthread_join(thread, NULL);
	read(file, &byte, 1);
	pthread_create(&thread, NULL, executes, NULL);
	pause();
	return 0;
}
