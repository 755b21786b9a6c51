/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* File operations through io_uring, one request at a time, in the working directory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params params;
static struct io_uring_sqe *entry;
static char *queue;
static int ring;

static int request(const char *what, struct io_uring_sqe wanted)
{
	unsigned *places = (unsigned *)(queue + params.sq_off.array);
	unsigned *tail = (unsigned *)(queue + params.sq_off.tail);
	unsigned *head = (unsigned *)(queue + params.cq_off.head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(queue + params.cq_off.cqes);
	int result;

	*entry = wanted;
	places[*tail & 0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	result = done[*head & (params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-result));
		exit(1);
	}
	return result;
}

#define REQUEST(name, ...) \
	request(#name, (struct io_uring_sqe){ .opcode = IORING_OP_##name, .user_data = 7, __VA_ARGS__ })
#define TEXT(text) (unsigned long)(text)

int main(void)
{
	struct statx status;
	int fd, folder = open(".", O_RDONLY | O_DIRECTORY);

	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		return 3;
	queue = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	fd = REQUEST(OPENAT, .fd = AT_FDCWD, .addr = TEXT("made"), .open_flags = O_CREAT | O_RDWR, .len = 0600);
	REQUEST(WRITE, .fd = fd, .addr = TEXT("bytes"), .len = 5, .off = 3);
	REQUEST(NOP);
	REQUEST(CLOSE, .fd = fd);
	REQUEST(STATX, .fd = folder, .addr = TEXT("made"), .off = TEXT(&status), .len = STATX_SIZE);
	REQUEST(MKDIRAT, .fd = folder, .addr = TEXT("folder"), .len = 0700);
	REQUEST(RENAMEAT, .fd = AT_FDCWD, .addr = TEXT("made"), .len = folder, .addr2 = TEXT("named"));
	REQUEST(LINKAT, .fd = folder, .addr = TEXT("named"), .len = AT_FDCWD, .addr2 = TEXT("linked"));
	REQUEST(SYMLINKAT, .fd = folder, .addr = TEXT("to"), .addr2 = TEXT("symbolic"));
	REQUEST(UNLINKAT, .fd = folder, .addr = TEXT("linked"));
	return 0;
}
