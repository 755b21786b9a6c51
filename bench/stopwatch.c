/* stopwatch FILE COPIES REPEATS COMMAND [ARG...]
 *
 * Runs COMMAND, COPIES of it at once and each on a processor of its own if there are several,
 * REPEATS times over, and writes to FILE: CLOCK_MONOTONIC before the first and after the last, and
 * the processor time of all, "BEGIN_NS END_NS PROCESSOR_NS\n". A tracer that starts this traces COMMAND; its own start and its output that
 * comes late lie outside of the two times. The exit status is that of the worst copy.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long processor_ns(void) {
    struct rusage of;
    getrusage(RUSAGE_CHILDREN, &of);
    return (of.ru_utime.tv_sec + of.ru_stime.tv_sec) * 1000000000LL +
           (of.ru_utime.tv_usec + of.ru_stime.tv_usec) * 1000LL;
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
    if (!file || fprintf(file, "%lld %lld %lld\n", begin, end, processor_ns()) < 0) return 4;
    if (fclose(file)) return 4;
    return worst;
}
