/* Opens, reads, writes, seeks, copies and maps files, with the failures that belong to each. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
	char text[64] = "", more[64] = ""; /* of all the bytes both of its runs are to write the same */
	struct iovec parts[2] = {{text, 5}, {more, 40}};
	off_t from = 0;

	int file = open("file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	write(file, "a line\n\t\"quoted\" \\ \001\0022\377 and more than thirty-two bytes\n", 54);
	lseek(file, 0, SEEK_SET);
	read(file, text, 16);
	read(file, text, 0);
	pread64(file, text, 40, 3);
	pwrite64(file, "x", 1, 4096);
	lseek(file, -1, SEEK_CUR);
	lseek(file, -1, SEEK_SET);
	lseek(file, 0, SEEK_DATA);
	writev(file, parts, 2);
	lseek(file, 0, SEEK_SET);
	readv(file, parts, 2);
	preadv(file, parts, 2, 1);
	pwritev(file, parts, 1, 2);
	preadv2(file, parts, 2, 1, RWF_HIPRI);
	ftruncate(file, 100);
	truncate("file", 50);
	fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 4096);
	posix_fadvise(file, 0, 100, POSIX_FADV_SEQUENTIAL);
	readahead(file, 0, 10);
	fsync(file);
	fdatasync(file);
	sync_file_range(file, 0, 10, SYNC_FILE_RANGE_WRITE);
	flock(file, LOCK_EX | LOCK_NB);
	flock(file, LOCK_UN);
	int copy = openat(AT_FDCWD, "copy", O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
	sendfile(copy, file, &from, 10);
	copy_file_range(file, NULL, copy, NULL, 10, 0);
	int again = dup(file);
	dup2(file, 20);
	dup3(file, 21, O_CLOEXEC);
	fcntl(file, F_GETFD);
	fcntl(file, F_SETFD, FD_CLOEXEC);
	fcntl(file, F_GETFL);
	fcntl(file, F_SETFL, O_APPEND | O_NONBLOCK);
	fcntl(file, F_DUPFD, 30);
	fcntl(file, F_DUPFD_CLOEXEC, 31);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
	fcntl(file, F_SETLK, &lock);
	fcntl(file, F_GETLK, &lock);
	fcntl(file, F_GETPIPE_SZ);
	fcntl(file, 12345, 1);
	close(again);
	close(20);
	close(20);
	syscall(SYS_close_range, 21, 40, 0);
	read(99, text, 5);
	write(file, (void *)1, 4);
	read(file, (void *)1, 4);
	open("absent", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_PATH);
	open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	open((char *)8, O_RDWR);
	open("tmp", O_WRONLY | O_TMPFILE, 0600);
	open(".", O_WRONLY | O_TMPFILE, 0600);
	creat("made", 0777);
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	msync(map, 4096, MS_SYNC);
	mprotect(map, 4096, PROT_READ);
	madvise(map, 4096, MADV_DONTNEED);
	mlock(map, 4096);
	munlock(map, 4096);
	map = mremap(map, 4096, 8192, MREMAP_MAYMOVE);
	munmap(map, 8192);
	mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	mmap(NULL, 0, PROT_READ, MAP_PRIVATE, file, 0x1000);
	unsigned char seen[1];
	mincore((void *)((long)text & ~4095L), 1, seen);
	int memory = memfd_create("some name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	fcntl(memory, F_GET_SEALS);
	close(memory);
	close(copy);
	return 0;
}
