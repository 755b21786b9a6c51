/* Calls that are many in one, by their command: prctl, keyctl; and messages by the dozen. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEY(...) syscall(SYS_keyctl, __VA_ARGS__)

static char found[3][64];

static void options(void)
{
	char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char name[] = "a name";

	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, 4096, name);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, 4096, 0);
	prctl(PR_SET_VMA, 1, page, 4096, name);
	prctl(PR_GET_TSC, page), prctl(PR_SET_TSC, 1);
	prctl(PR_SET_PTRACER, -1), prctl(PR_SET_PTRACER, 1), prctl(PR_GET_TID_ADDRESS, page);
	prctl(PR_SET_MM, PR_SET_MM_ARG_START, page, 0, 0), prctl(PR_SET_MM, 15, page, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 5, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_GET_SECUREBITS), prctl(PR_SET_SECUREBITS, 1), prctl(PR_GET_SECUREBITS);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	prctl(PR_GET_SPECULATION_CTRL, 0, 0, 0, 0), prctl(PR_SET_SPECULATION_CTRL, 0, 2, 0, 0);
	prctl(PR_MCE_KILL, 1, 1, 0, 0), prctl(PR_MCE_KILL_GET, 0, 0, 0, 0);
	prctl(PR_GET_NAME, page), prctl(PR_SET_NAME, "a name that is too long for it");
	prctl(PR_GET_TIMERSLACK), prctl(PR_SET_TIMERSLACK, 50000);
	prctl(PR_TASK_PERF_EVENTS_DISABLE), prctl(PR_GET_PDEATHSIG, page);
	prctl(PR_SET_CHILD_SUBREAPER, 1), prctl(PR_GET_CHILD_SUBREAPER, page);
	prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECCOMP);
	prctl(PR_SVE_GET_VL), prctl(PR_SET_TIMING, 0), prctl(12345, 1, 2, 3, 4);
}

static void keys(void)
{
	int key;

	KEY(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	KEY(KEYCTL_JOIN_SESSION_KEYRING, "name"), KEY(KEYCTL_JOIN_SESSION_KEYRING, 0);
	key = syscall(SYS_add_key, "user", "description", "data", 4, KEY_SPEC_PROCESS_KEYRING);
	KEY(KEYCTL_UPDATE, key, "payload", 7);
	KEY(KEYCTL_UPDATE, key, "a payload that is longer than thirty-two bytes", 45);
	KEY(KEYCTL_DESCRIBE, key, found[0], 64), KEY(KEYCTL_DESCRIBE, key, found[0], 4);
	KEY(KEYCTL_READ, key, found[0], 64), KEY(KEYCTL_READ, key, 0, 0);
	KEY(KEYCTL_SEARCH, KEY_SPEC_PROCESS_KEYRING, "user", "description", 0);
	KEY(KEYCTL_SEARCH, KEY_SPEC_PROCESS_KEYRING, "user", "none", KEY_SPEC_SESSION_KEYRING);
	KEY(KEYCTL_CHOWN, key, 0, -1), KEY(KEYCTL_GET_SECURITY, key, found[0], 64);
	KEY(KEYCTL_LINK, key, KEY_SPEC_SESSION_KEYRING);
	KEY(KEYCTL_UNLINK, key, KEY_SPEC_SESSION_KEYRING);
	KEY(KEYCTL_SET_TIMEOUT, key, 10), KEY(KEYCTL_REVOKE, key), KEY(KEYCTL_INVALIDATE, key);
	KEY(KEYCTL_CLEAR, KEY_SPEC_SESSION_KEYRING), KEY(KEYCTL_SET_REQKEY_KEYRING, -1);
	KEY(KEYCTL_GET_PERSISTENT, -1, KEY_SPEC_SESSION_KEYRING);
	KEY(KEYCTL_ASSUME_AUTHORITY, 0), KEY(KEYCTL_INSTANTIATE, key, "abc", 3, 0);
	KEY(KEYCTL_NEGATE, key, 3, 0), KEY(KEYCTL_REJECT, key, 3, 126, 0);
	KEY(KEYCTL_RESTRICT_KEYRING, KEY_SPEC_SESSION_KEYRING, "asymmetric", "x");
	KEY(KEYCTL_MOVE, key, KEY_SPEC_SESSION_KEYRING, KEY_SPEC_PROCESS_KEYRING, 1);
	KEY(KEYCTL_CAPABILITIES, found[0], 2), KEY(77, 1, 2, 3, 4);
}

static void masks(void)
{
	struct timespec brief = {0, 1000000};
	fd_set in;
	sigset_t set;

	FD_ZERO(&in);
	sigemptyset(&set), sigaddset(&set, SIGUSR1);
	pselect(1, &in, 0, 0, &brief, &set), pselect(0, 0, 0, 0, &brief, 0);
	brief.tv_nsec = 1000;
	syscall(SYS_pselect6, 0, 0, 0, 0, &brief, 0);
	syscall(SYS_pselect6, 0, 0, 0, 0, &brief, 8);
}

static void several(void)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in from[3];
	struct iovec parts[3] = {{"one", 3}, {"a text that is longer than thirty-two", 37}, {"two", 3}};
	struct iovec rooms[3] = {{found[0], 64}, {found[1], 64}, {found[2], 64}};
	struct msghdr to_own = {.msg_name = &own, .msg_namelen = sizeof own, .msg_iov = parts};
	struct mmsghdr given[3] = {{to_own}, {to_own}, {to_own}}, got[3] = {};
	struct msghdr one = {.msg_name = from, .msg_namelen = 128, .msg_iov = rooms, .msg_iovlen = 2};
	struct timespec second = {1, 0};
	socklen_t length = sizeof own;
	int pair[2], error, sock = socket(AF_INET, SOCK_DGRAM, 0);

	bind(sock, (void *)&own, sizeof own), getsockname(sock, (void *)&own, &length);
	given[0].msg_hdr.msg_iovlen = 1, given[1].msg_hdr.msg_iovlen = 3;
	sendmmsg(sock, given, 3, 0), sendmmsg(99, given, 2, 0), sendmmsg(sock, given, 0, 0);
	sendmmsg(sock, (void *)8, 1, 0), sendmmsg(sock, 0, 0, 0);
	given[1].msg_hdr.msg_name = 0;
	sendmmsg(sock, given, 2, 0);
	for (int i = 0; i < 3; i++) {
		struct msghdr room = {.msg_name = from + i, .msg_namelen = 128,
			.msg_iov = rooms + i, .msg_iovlen = 1};
		got[i].msg_hdr = room;
	}
	recvmmsg(sock, got, 2, 0, &second), recvmmsg(sock, got, 3, MSG_DONTWAIT, 0);
	recvmmsg(sock, got, 3, MSG_DONTWAIT, 0), recvmmsg(99, got, 1, 0, 0);
	sendto(sock, "x", 1, 0, (void *)&own, sizeof own), recvmsg(sock, &one, 0);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	one.msg_namelen = 100, write(pair[0], "y", 1), recvmsg(pair[1], &one, 0);
	write(pair[0], "xyz", 3), readv(pair[1], rooms, 3);
	length = sizeof error, getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &length);
	connect(sock, (void *)&own, sizeof own), close(sock);
	sock = socket(AF_INET, SOCK_DGRAM, 0);
	connect(sock, (void *)&own, sizeof own), send(sock, "x", 1, 0), send(sock, "x", 1, 0);
	send(sock, "x", 1, 0), getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &length);
	setsockopt(sock, IPPROTO_IP, 11, (int[]){1}, 4);
}

int main(void)
{
	struct statfs system;

	options(), keys(), masks(), several();
	getrandom(found, 0, GRND_NONBLOCK), fallocate(99, 0, 1, 2), statfs("/", &system);
	return 0;
}
