/* Mounts and what they are made of, and descriptors that only another argument tells. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void old_ones(void)
{
	unsigned long said[] = {0, MS_REMOUNT, MS_BIND | MS_REC, MS_PRIVATE, MS_MOVE,
				MS_REMOUNT | MS_BIND, 0xC0ED0000, 0xC0ED0000 | MS_REMOUNT};

	for (int n = 0; n < sizeof(said) / sizeof(*said); n++)
		mount("a", "/nonexistent-b", "c", said[n], "data=5,more");
	mount("a", "/nonexistent-b", NULL, 0, NULL);
}

static void new_ones(void)
{
	int context = syscall(SYS_fsopen, "tmpfs", 1), mounted;

	syscall(SYS_fsconfig, context, 1, "size", "64k", 0);
	syscall(SYS_fsconfig, context, 0, "ro", NULL, 0);
	syscall(SYS_fsconfig, context, 3, "path", "/tmp", AT_FDCWD);
	syscall(SYS_fsconfig, context, 5, "fd", NULL, 1);
	syscall(SYS_fsconfig, context, 6, NULL, NULL, 0);
	mounted = syscall(SYS_fsmount, context, 1, 2 | 4);
	close(mounted);
	close(context);
	close(syscall(SYS_fspick, AT_FDCWD, "/", 1));
}

static void processes(void)
{
	int child = -1;

	if (!syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &child, 0, 0))
		_exit(0);
	syscall(SYS_waitid, 3, child, NULL, WEXITED, NULL);
	syscall(SYS_waitid, 3, child, NULL, WEXITED, NULL);
	syscall(SYS_waitid, P_PID, child, NULL, WEXITED, NULL);
	close(child);
}

int main(void)
{
	old_ones();
	new_ones();
	processes();
	return 0;
}
