/* Many callers at the same time, regions of many sizes, with and without spinning: each part is computed once, and what it
   wrote is there when the region has ended. Prints "ok"; with -fsanitize=thread every race is a report. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#ifdef REFUSED /* the system gives no thread */
#include <pthread.h>
static int refuse(pthread_t *thread, const pthread_attr_t *how, void *(*function)(void *), void *argument) {
    return (void)thread, (void)how, (void)function, (void)argument, 11;
}
#define pthread_create refuse
#endif
#define CNNX_TAKES_OVER 1
#include "cnnx/optimized/runtime/team.h"
#undef pthread_create

enum { MOST = 9, CALLERS = 4 };

struct sums {
    int counts[MOST];   /* one for each part, written by whoever runs it */
    int sizes[MOST];
    unsigned work;
};

static void part_of(void *data, int part, int parts) {
    struct sums *sums = data;
    volatile unsigned x = 1;
    for (unsigned i = 0; i < sums->work * (unsigned)(part + 1); i++)
        x = x * 1664525u + 1013904223u;
    sums->counts[part]++;
    sums->sizes[part] = parts;
}

static int wrong(int regions, unsigned seed) {
    int bad = 0;
    for (int i = 0; i < regions; i++) {
        struct sums sums = {.work = 0};
        int parts = 2 + rand_r(&seed) % (MOST - 1);
        sums.work = rand_r(&seed) % 4 ? rand_r(&seed) % 50 : rand_r(&seed) % 5000;
        if (rand_r(&seed) % 64 == 0) { /* long enough for workers to fall asleep */
            struct timespec pause = {0, 200000};
            nanosleep(&pause, NULL);
        }
        cnnx_run(part_of, &sums, parts);
        for (int part = 0; part < MOST; part++)
            bad += sums.counts[part] != (part < parts) || sums.sizes[part] != (part < parts ? parts : 0);
    }
    return bad;
}

static int regions;

static void *call(void *seed) {
    return (void *)(intptr_t)wrong(regions, (unsigned)(intptr_t)seed);
}

static int by_all_callers(void) {
    pthread_t callers[CALLERS];
    void *bad;
    int all = 0;
    for (intptr_t i = 0; i < CALLERS; i++)
        if (pthread_create(&callers[i], NULL, call, (void *)(i + 1)))
            return 1;
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], &bad);
        all += (int)(intptr_t)bad;
    }
    return all;
}

int main(int count, char **arguments) {
    static const int64_t spins[] = {50000, 0, 2000};
    static const int processors[] = {1, 2, 5};
    int bad = 0, status = 0;
    regions = count > 1 ? atoi(arguments[1]) : 2000;
    pthread_atfork(NULL, NULL, cnnx_forget_workers);
    for (int i = 0; i < 3; i++) {
        __atomic_store_n(&cnnx_team.spin, spins[i], __ATOMIC_RELAXED);
        __atomic_store_n(&cnnx_team.processors, processors[i], __ATOMIC_RELAXED);
        bad += by_all_callers();
    }
#ifdef REFUSED
    bad += cnnx_team.started != 0 || !cnnx_team.refused;
#else
    if (cnnx_team.started < 1 || cnnx_team.started > MOST - 1) {
        printf("%d threads for regions of at most %d\n", cnnx_team.started, MOST);
        bad++;
    }
#endif
    if (count > 2) { /* a child starts anew */
        pid_t child = fork();
        if (child == 0)
            _exit(cnnx_team.started != 0 || wrong(200, 7) != 0);
        if (waitpid(child, &status, 0) != child || status)
            bad++;
    }
    puts(bad ? "wrong" : "ok");
    return bad != 0;
}
