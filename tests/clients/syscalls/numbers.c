/* Numbers that are names, of several fields, or wider than most. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void offsets(void)
{
	char data[8] = "";
	struct iovec vector = {data, sizeof(data)};
	int fd = open("positions", O_CREAT | O_RDWR, 0600);

	pwritev(fd, &vector, 1, 0x500000003LL);
	preadv(fd, &vector, 1, 0x500000003LL);
	syscall(SYS_preadv2, fd, &vector, 1, -1L, -1L, 8);
	syscall(SYS_pwritev2, fd, &vector, 1, -1L, 0L, 8);
	syscall(SYS_pwritev2, fd, &vector, 1, 0x7fffffffffL, 99L, 8);
	close(fd);
}

int main(void)
{
	offsets();
	return 0;
}
