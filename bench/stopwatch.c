/* stopwatch FILE COPIES REPEATS COMMAND [ARG...]
 *
 * Runs COMMAND, COPIES of it at once and each on a processor of its own if there are several,
 * REPEATS times over, and writes CLOCK_MONOTONIC from before the first to after the last to FILE:
 * "BEGIN_NS END_NS\n". A tracer that starts this traces COMMAND; its own start and its output that
 * comes late lie outside of the two times. The exit status is that of the worst copy.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* To the copy-th of the processors that we may use, around and around. */
static void pin(int copy) {
    cpu_set_t allowed, one;
    sched_getaffinity(0, sizeof allowed, &allowed);
    copy %= CPU_COUNT(&allowed);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && copy-- == 0) CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(int count, char **words) {
    if (count < 5) return 2;
    int copies = atoi(words[2]), worst = 0;
    long long begin = now_ns();
    for (int repeats = atoi(words[3]); repeats > 0; repeats--) {
        for (int copy = 0; copy < copies; copy++) {
            pid_t pid = fork();
            if (pid < 0) return 3;
            if (pid > 0) continue;
            if (copies > 1) pin(copy);
            execvp(words[4], words + 4);
            _exit(127);
        }
        for (int copy = 0; copy < copies; copy++) {
            int status = 0;
            wait(&status);
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            if (code > worst) worst = code;
        }
    }
    long long end = now_ns();
    FILE *file = fopen(words[1], "w");
    if (!file || fprintf(file, "%lld %lld\n", begin, end) < 0 || fclose(file)) return 4;
    return worst;
}
