/* TCP, UDP, Unix and netlink sockets with their options and messages, on 127.0.0.1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

int main(void)
{
	char text[64] = "hello, this is a message that is longer than thirty-two";
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in peer;
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "socket"};
	struct sockaddr_un absent = {.sun_family = AF_UNIX, .sun_path = "/absent"};
	struct sockaddr_nl link = {.nl_family = AF_NETLINK};
	socklen_t length = sizeof peer;
	int one = 1, value, pair[2];

	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	bind(server, (void *)&address, sizeof address);
	getsockname(server, (void *)&address, &length);
	listen(server, 5);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	connect(client, (void *)&address, sizeof address);
	int accepted = accept4(server, (void *)&peer, &length, SOCK_CLOEXEC);
	getpeername(client, (void *)&peer, &length);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	length = sizeof value;
	getsockopt(client, SOL_SOCKET, SO_ERROR, &value, &length);
	struct timeval wait = {1, 0};
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	struct linger linger = {1, 2};
	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	send(client, text, 55, MSG_NOSIGNAL);
	ioctl(accepted, FIONREAD, &value);
	recv(accepted, text, 10, MSG_PEEK);
	recvfrom(accepted, text, 64, 0, NULL, NULL);
	recv(accepted, text, 10, MSG_DONTWAIT);
	struct iovec parts[2] = {{"one", 3}, {"second", 6}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	sendmsg(client, &message, 0);
	parts[0].iov_base = text, parts[0].iov_len = 64, message.msg_iovlen = 1;
	recvmsg(accepted, &message, 0);
	shutdown(client, SHUT_WR);
	read(accepted, text, 5);
	close(accepted), close(client);

	int datagram = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
	address.sin_port = 0;
	bind(datagram, (void *)&address, sizeof address);
	length = sizeof address;
	getsockname(datagram, (void *)&address, &length);
	sendto(datagram, "udp", 3, 0, (void *)&address, sizeof address);
	length = sizeof peer;
	recvfrom(datagram, text, 64, 0, (void *)&peer, &length);
	struct mmsghdr several[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1,
			.msg_name = &address, .msg_namelen = sizeof address}}};
	parts[0].iov_len = 4;
	sendmmsg(datagram, several, 1, 0);
	recvmmsg(datagram, several, 1, MSG_DONTWAIT, NULL);
	int six_socket = socket(AF_INET6, SOCK_DGRAM, 0);
	six.sin6_port = htons(9), six.sin6_scope_id = 0;
	connect(six_socket, (void *)&six, sizeof six);

	int unix_server = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(unix_server, (void *)&local, sizeof local);
	listen(unix_server, 1);
	int unix_client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(unix_client, (void *)&absent, sizeof absent);
	connect(unix_client, (void *)&local, sizeof local);
	length = sizeof local;
	accept(unix_server, (void *)&local, &length);
	local.sun_path[0] = 0, strcpy(local.sun_path + 1, "abstract");
	connect(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&local, 11);
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec byte = {"x", 1};
	struct msghdr passing = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&passing);
	head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &server, sizeof server);
	sendmsg(pair[0], &passing, 0);
	byte.iov_base = text;
	passing.msg_controllen = sizeof control;
	recvmsg(pair[1], &passing, MSG_CMSG_CLOEXEC);
	int links = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	bind(links, (void *)&link, sizeof link);
	socket(AF_INET, SOCK_STREAM, 99);
	connect(99, (void *)&address, sizeof address);
	unlink("socket");
	return 0;
}
