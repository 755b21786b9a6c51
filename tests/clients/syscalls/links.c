/* Makes, names, links, lists and removes files and directories. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

int main(void)
{
	char text[256], many[4096];
	struct stat status;
	struct statx wide;
	struct statfs system;

	mkdir("folder", 0755);
	mkdir("folder", 0700);
	mkdirat(AT_FDCWD, "folder/inner", 0700);
	int folder = open("folder", O_RDONLY | O_DIRECTORY);
	close(openat(folder, "one", O_CREAT | O_RDWR, 0644));
	symlink("one", "folder/soft");
	symlinkat("one", folder, "soft2");
	link("folder/one", "folder/hard");
	linkat(folder, "one", folder, "hard2", 0);
	readlink("folder/soft", text, sizeof text);
	readlinkat(folder, "soft2", text, sizeof text);
	readlink("folder/one", text, sizeof text);
	rename("folder/hard", "folder/harder");
	renameat(folder, "harder", AT_FDCWD, "out");
	renameat2(folder, "one", AT_FDCWD, "out", RENAME_NOREPLACE);
	access("out", R_OK | W_OK);
	access("absent", F_OK);
	faccessat(folder, "one", X_OK, 0);
	syscall(SYS_faccessat2, folder, "one", R_OK, AT_EACCESS);
	chmod("out", 0600);
	fchmod(folder, 0711);
	fchmodat(folder, "one", 0444, 0);
	chown("out", -1, 0);
	fchown(folder, 0, 0);
	lchown("folder/soft", 0, -1);
	fchownat(folder, "soft", 0, 0, AT_SYMLINK_NOFOLLOW);
	umask(027);
	mknod("fifo", S_IFIFO | 0600, 0);
	mknodat(folder, "device", S_IFCHR | 0600, 0x103);
	syscall(SYS_stat, "out", &status);
	syscall(SYS_lstat, "folder/soft", &status);
	syscall(SYS_fstat, folder, &status);
	stat("/dev/null", &status);
	stat("absent", &status);
	fstatat(folder, "soft", &status, AT_SYMLINK_NOFOLLOW);
	statx(AT_FDCWD, "/etc/passwd", AT_STATX_SYNC_AS_STAT, STATX_BASIC_STATS, &wide);
	statx(folder, "soft", AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_ALL, &wide);
	statfs("/proc", &system);
	fstatfs(folder, &system);
	struct timespec times[2] = {{1000000000, 5}, {0, UTIME_OMIT}};
	utimensat(folder, "one", times, 0);
	futimens(folder, NULL);
	struct timeval old[2] = {{1000000000, 5}, {1000000001, 6}};
	syscall(SYS_utimes, "out", old);
	syscall(SYS_getdents64, folder, many, sizeof many);
	syscall(SYS_getdents64, folder, many, sizeof many);
	setxattr("out", "user.name", "value", 5, XATTR_CREATE);
	getxattr("out", "user.name", text, sizeof text);
	getxattr("out", "user.absent", text, sizeof text);
	listxattr("out", text, sizeof text);
	fgetxattr(folder, "user.name", NULL, 0);
	removexattr("out", "user.name");
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
	close(syscall(SYS_openat2, folder, "one", &how, sizeof how));
	int notes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	inotify_add_watch(notes, "folder", IN_CREATE | IN_DELETE);
	inotify_rm_watch(notes, 1);
	getcwd(text, sizeof text);
	getcwd(text, 1);
	chdir("folder");
	open("one", O_RDONLY);
	fchdir(folder);
	chdir("..");
	chdir("absent");
	unlink("out");
	unlink("fifo");
	unlinkat(folder, "one", 0);
	unlinkat(folder, "inner", AT_REMOVEDIR);
	rmdir("folder");
	chroot("/absent");
	sync();
	return 0;
}
