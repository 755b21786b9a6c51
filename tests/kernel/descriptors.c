/* Descriptors that change without a call of the one who uses them: one story a word. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int hosts;

static void submit(int ring, struct io_uring_params *parameters, char *queue)
{
	static unsigned submitted;
	unsigned *tail = (unsigned *)(queue + parameters->sq_off.tail);
	unsigned *slots = (unsigned *)(queue + parameters->sq_off.array);

	slots[submitted++ & 7] = 0; /* the first request */
	__atomic_store_n(tail, submitted, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
}

/* A ring closes a descriptor and opens another file, which gets its number. */
static int by_ring(void)
{
	struct io_uring_params parameters = {};
	struct io_uring_sqe *request;
	char *queue, bytes[16];
	int ring = syscall(SYS_io_uring_setup, 8, &parameters);

	if (ring < 0)
		return 2;
	queue = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE,
		     MAP_SHARED, ring, IORING_OFF_SQ_RING);
	request = mmap(NULL, parameters.sq_entries * sizeof(*request), PROT_READ | PROT_WRITE,
		       MAP_SHARED, ring, IORING_OFF_SQES);
	hosts = open("/etc/hosts", O_RDONLY);
	*request = (struct io_uring_sqe){ .opcode = IORING_OP_CLOSE, .fd = hosts };
	submit(ring, &parameters, queue);
	*request = (struct io_uring_sqe){
		.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD,
		.addr = (unsigned long)"/etc/passwd", .open_flags = O_RDONLY,
	};
	submit(ring, &parameters, queue);
	return read(hosts, bytes, sizeof(bytes)) != sizeof(bytes);
}

static void *parts(void *unused)
{
	unshare(CLONE_FS | CLONE_FILES);
	chdir("/etc");
	close(hosts);
	open("/etc/passwd", O_RDONLY);
	return unused;
}

/* A thread gets a table and a directory of its own, and changes them. */
static int by_thread(void)
{
	pthread_t thread;
	char bytes[9];

	hosts = open("/etc/hosts", O_RDONLY);
	pthread_create(&thread, NULL, parts, NULL);
	pthread_join(thread, NULL);
	open("not-here", O_RDONLY);
	return read(hosts, bytes, sizeof(bytes)) != sizeof(bytes);
}

int main(int count, char **words)
{
	return strcmp(words[1], "ring") ? by_thread() : by_ring();
}
