/* Processes, as many as told, whose two threads end at the same moment. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int there;

static void *ends(void *unused)
{
	__sync_fetch_and_add(&there, 1);
	while (there < 2)
		;
	syscall(SYS_exit, 0);
	return unused;
}

int main(int count, char **arguments)
{
	int processes = count > 1 ? atoi(arguments[1]) : 0;

	for (int process = 0; process < processes; process++) {
		pthread_t thread;

		if (fork()) {
			wait(NULL);
			continue;
		}
		pthread_create(&thread, NULL, ends, NULL);
		ends(NULL);
	}
	return 0;
}
