/* stopwatch FILE COPIES WARM_UPS REPEATS COMMAND [ARG...]
 *
 * Runs COMMAND, COPIES of it at once and each on a processor of its own if there are several,
 * WARM_UPS times unmeasured and REPEATS times over, and writes to FILE: CLOCK_MONOTONIC before all,
 * before the first that is measured and after the last, and the processor time of those,
 * "STARTED_NS BEGIN_NS END_NS PROCESSOR_NS\n". A tracer that starts this traces COMMAND; its own
 * start and its output that comes late lie outside of the times. The exit status is that of the
 * worst copy.
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

/* All copies, TIMES over. The worst exit status. */
static int run(int copies, int times, char **command) {
    int worst = 0;
    while (times-- > 0) {
        for (int copy = 0; copy < copies; copy++) {
            pid_t pid = fork();
            if (pid < 0) exit(3);
            if (pid > 0) continue;
            if (copies > 1) pin(copy);
            execvp(command[0], command);
            _exit(127);
        }
        for (int copy = 0; copy < copies; copy++) {
            int status = 0;
            wait(&status);
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            if (code > worst) worst = code;
        }
    }
    return worst;
}

int main(int count, char **words) {
    if (count < 6) return 2;
    int copies = atoi(words[2]);
    long long started = now_ns();
    int worst = run(copies, atoi(words[3]), words + 5);
    long long begin = now_ns(), before = processor_ns();
    int status = run(copies, atoi(words[4]), words + 5);
    if (status > worst) worst = status;
    long long end = now_ns(), taken = processor_ns() - before;
    FILE *file = fopen(words[1], "w");
    if (!file || fprintf(file, "%lld %lld %lld %lld\n", started, begin, end, taken) < 0) return 4;
    if (fclose(file)) return 4;
    return worst;
}
