/*
 * One call, and gone: the process lives a few milliseconds.
 *
 *     short_lived PORT KEY
 *
 * No certificate check, no name: nothing that costs time. Prints what it sent
 * and got as JSON.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		perror("short_lived: connect");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static const char body[] = "{\"model\":\"gpt-demo\",\"messages\":"
				   "[{\"role\":\"user\",\"content\":\"Quick.\"}]}";
	char request[1024], answer[8192];
	int length, sent, got, received = 0;
	SSL_CTX *context;
	SSL *tls;

	if (argc != 3) {
		fprintf(stderr, "usage: short_lived PORT KEY\n");
		return 2;
	}
	length = snprintf(request, sizeof(request),
			  "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
			  "authorization: Bearer %s\r\ncontent-type: application/json\r\n"
			  "connection: close\r\ncontent-length: %zu\r\n\r\n%s",
			  argv[2], sizeof(body) - 1, body);
	context = SSL_CTX_new(TLS_client_method());
	tls = SSL_new(context);
	SSL_set_fd(tls, connect_to(atoi(argv[1])));
	if (SSL_connect(tls) != 1) {
		fprintf(stderr, "short_lived: handshake failed\n");
		return 1;
	}
	sent = SSL_write(tls, request, length);
	while ((got = SSL_read(tls, answer + received, sizeof(answer) - received)) > 0)
		received += got;
	printf("{\"client\": \"short-lived\", \"pid\": %d, \"sent_bytes\": %d, "
	       "\"received_bytes\": %d, \"status\": %d, \"request_body\": ",
	       getpid(), sent, received, received > 12 ? atoi(answer + 9) : 0);
	printf("\"{\\\"model\\\":\\\"gpt-demo\\\",\\\"messages\\\":"
	       "[{\\\"role\\\":\\\"user\\\",\\\"content\\\":\\\"Quick.\\\"}]}\"}\n");
	fflush(stdout);
	_exit(received > 0 ? 0 : 1);
}
