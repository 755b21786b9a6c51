/* linux/if.h wants libc for this alone. */
#ifndef STUB_SOCKADDR
#define STUB_SOCKADDR
struct sockaddr {
	unsigned short sa_family;
	char sa_data[14];
};
#endif
