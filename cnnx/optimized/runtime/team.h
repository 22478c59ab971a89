/* The threads of the kernels: started when they are first needed, shared by all callers of the process.

   A region of n parts is one call for each part. The caller runs part 0; each worker that is free is offered one of the
   others. Whoever is done takes over what has not begun: a region never waits for a thread that has not woken up, only
   for parts in the middle of which their threads are. Which thread runs a part changes nothing about its result.

   A worker without work spins for some microseconds, then sleeps; so does a caller who waits for the last parts. Once one
   of them finds that it was off the processor while it spun, none spins for a while: others need the processor, and
   spinning would take it from those who have work. Where a region came to take longer than
   on one thread, since a worker lost its processor in the middle of a part, the caller computes alone for as long as
   makes that loss a small one. libgomp's threads spin for milliseconds, and its regions wait for all of their threads.

   Linux, gcc or clang. `cnnx/optimized/_threads.pyx` has the one team of the process. */

#ifndef CNNX_TEAM_H
#define CNNX_TEAM_H

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "float_mode.h"

#define CNNX_MOST_WORKERS 1023
#define CNNX_STACK (1 << 20)       /* whatever ulimit and OMP_STACKSIZE say: kernels keep large panels elsewhere */
#define CNNX_LOST_PROCESSOR 500000 /* nanoseconds between two looks at the clock of a thread that only spins */
#define CNNX_CROWDED 10000000      /* nanoseconds for which nobody spins then */
#define CNNX_LONG 100000           /* nanoseconds of a part after which a worker asks whether it lost its processor */
#define CNNX_ALONE 8               /* times as long as a region lost by its workers */

/* Under gcc's thread sanitizer each part stays with the worker that it was offered to: it sees no race between two parts
   that one thread computes. tests/ops/team.c asks for the usual way all the same. */
#ifndef CNNX_TAKES_OVER
#ifdef __SANITIZE_THREAD__
#define CNNX_TAKES_OVER 0
#else
#define CNNX_TAKES_OVER 1
#endif
#endif

/* A worker's state: a phase, and a number that is another one for each part that it is offered. So a part that is taken
   over is the one that was meant, whatever its worker did since. */
enum {
    CNNX_IDLE,     /* spins, or is about to look here before it sleeps */
    CNNX_SLEEPING, /* has to be woken */
    CNNX_HELD,     /* a caller writes down what it is to do */
    CNNX_READY,    /* may begin, if nobody takes over before */
    CNNX_RUNNING,
    CNNX_PHASES = 8
};

typedef void (*cnnx_part_function)(void *data, int part, int parts);

struct cnnx_worker {
    uint32_t state;
    int part;
    long switches; /* how often it has lost its processor */
    struct cnnx_region *region;
} __attribute__((aligned(64)));

struct cnnx_offer {
    struct cnnx_worker *worker;
    uint32_t ready; /* the worker's state as long as nobody has begun the part */
    uint32_t before;
};

struct cnnx_region {
    cnnx_part_function function;
    void *data;
    int parts, offers;
    int next;           /* the first part that nobody was offered and nobody has begun */
    int preempted;      /* a worker lost its processor */
    uint32_t attached;  /* workers that may still look at this region; with CNNX_WAITED the caller sleeps */
    struct cnnx_offer *offer; /* the worker of part i + 1 */
};
#define CNNX_WAITED 0x80000000u

static struct {
    struct cnnx_worker workers[CNNX_MOST_WORKERS];
    int started, processors, refused;
    int64_t spin;        /* nanoseconds */
    int64_t alone_until, crowded_until; /* by cnnx_now() */
    pthread_mutex_t starting;
} cnnx_team = {.processors = 1, .spin = 200000, .starting = PTHREAD_MUTEX_INITIALIZER};

static inline int64_t cnnx_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void cnnx_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

static inline void cnnx_sleep(uint32_t *word, uint32_t value) { /* while it has this value; may return before */
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static inline void cnnx_wake(uint32_t *word) { /* the address alone counts: what was there may be gone */
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Until the word has another value than this one: true. False: it is time to sleep. */
static inline int cnnx_spin(const uint32_t *word, uint32_t value, int64_t spin) {
    int64_t start, last, now;
    if (spin <= 0)
        return __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
    start = last = cnnx_now();
    if (start < __atomic_load_n(&cnnx_team.crowded_until, __ATOMIC_RELAXED))
        return __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
    for (;;) {
        for (int i = 0; i < 8; i++) {
            if (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value)
                return 1;
            cnnx_pause();
        }
        now = cnnx_now();
        if (now - last > CNNX_LOST_PROCESSOR)
            __atomic_store_n(&cnnx_team.crowded_until, now + CNNX_CROWDED, __ATOMIC_RELAXED);
        if (now - start > spin || now - last > CNNX_LOST_PROCESSOR)
            return __atomic_load_n(word, __ATOMIC_ACQUIRE) != value;
        last = now;
    }
}

static inline void cnnx_detach(struct cnnx_region *region) {
    if (__atomic_fetch_sub(&region->attached, 1, __ATOMIC_ACQ_REL) == (CNNX_WAITED | 1))
        cnnx_wake(&region->attached);
}

/* What has not begun, by a thread that is done with its own part and still attached to the region. */
static void cnnx_take_over(struct cnnx_region *region) {
    int part;
    for (int i = region->offers - 1; i >= 0 && CNNX_TAKES_OVER; i--) {
        uint32_t ready = region->offer[i].ready, idle = ready - CNNX_READY + CNNX_IDLE;
        struct cnnx_worker *worker = region->offer[i].worker;
        /* It was woken or never slept, so it looks before it sleeps: idle and not sleeping. */
        if (__atomic_load_n(&worker->state, __ATOMIC_RELAXED) == ready &&
            __atomic_compare_exchange_n(&worker->state, &ready, idle, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            region->function(region->data, i + 1, region->parts);
            cnnx_detach(region); /* in that worker's place */
        }
    }
    while (__atomic_load_n(&region->next, __ATOMIC_RELAXED) < region->parts &&
           (part = __atomic_fetch_add(&region->next, 1, __ATOMIC_RELAXED)) < region->parts)
        region->function(region->data, part, region->parts);
}

#ifndef RUSAGE_THREAD
#define RUSAGE_THREAD 1 /* Linux, beyond POSIX */
#endif

/* One part; whether the thread was put aside for somebody else meanwhile. Short parts are not worth the question. */
static int cnnx_compute(struct cnnx_worker *worker, struct cnnx_region *region) {
    struct rusage used;
    int64_t start = cnnx_now();
    long before = worker->switches;
    region->function(region->data, worker->part, region->parts);
    if (cnnx_now() - start < CNNX_LONG || getrusage(RUSAGE_THREAD, &used))
        return 0;
    worker->switches = used.ru_nivcsw;
    return worker->switches != before;
}

static void *cnnx_work(void *argument) {
    struct cnnx_worker *worker = argument;
    cnnx_set_float_mode(cnnx_float_mode() & ~CNNX_FLUSHING); /* which the thread has from the one that made it */
    for (;;) {
        uint32_t state = __atomic_load_n(&worker->state, __ATOMIC_ACQUIRE);
        switch (state % CNNX_PHASES) {
        case CNNX_IDLE:
            if (!cnnx_spin(&worker->state, state, __atomic_load_n(&cnnx_team.spin, __ATOMIC_RELAXED)))
                __atomic_compare_exchange_n(&worker->state, &state, state - CNNX_IDLE + CNNX_SLEEPING, 0,
                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
            break;
        case CNNX_SLEEPING:
            cnnx_sleep(&worker->state, state);
            break;
        case CNNX_READY:
            if (__atomic_compare_exchange_n(&worker->state, &state, state - CNNX_READY + CNNX_RUNNING, 0,
                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
                struct cnnx_region *region = worker->region;
                if (cnnx_compute(worker, region))
                    __atomic_store_n(&region->preempted, 1, __ATOMIC_RELAXED);
                cnnx_take_over(region);
                /* First free for the next region, which the caller may begin at once. */
                __atomic_store_n(&worker->state, state - CNNX_READY + CNNX_IDLE, __ATOMIC_RELEASE);
                cnnx_detach(region);
            }
            break;
        default: /* held: for as long as it takes to write an address */
            if (!cnnx_spin(&worker->state, state, 1000))
                sched_yield();
        }
    }
    return NULL;
}

/* One thread more, held for the caller; NULL where there are enough or the system refuses. */
static struct cnnx_worker *cnnx_start(int most) {
    struct cnnx_worker *worker = NULL;
    pthread_attr_t how;
    pthread_t thread;
    sigset_t all, before;
    int failed = EAGAIN;
    pthread_mutex_lock(&cnnx_team.starting);
    if (cnnx_team.started < most && cnnx_team.started < CNNX_MOST_WORKERS) {
        worker = &cnnx_team.workers[cnnx_team.started];
        worker->state = CNNX_HELD;
        if (pthread_attr_init(&how) == 0) {
            pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
            pthread_attr_setstacksize(&how, CNNX_STACK);
            sigfillset(&all); /* signals are for the program's own threads */
            pthread_sigmask(SIG_SETMASK, &all, &before);
            failed = pthread_create(&thread, &how, cnnx_work, worker);
            pthread_sigmask(SIG_SETMASK, &before, NULL);
            pthread_attr_destroy(&how);
        }
        if (failed) {
            static const char words[] = "cnnx: the system refused a thread; its part is computed by the others\n";
            if (!cnnx_team.refused && write(2, words, sizeof words - 1) < 0)
                errno = 0;
            cnnx_team.refused = 1;
            worker = NULL;
        } else {
            __atomic_store_n(&cnnx_team.started, cnnx_team.started + 1, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&cnnx_team.starting);
    return worker;
}

/* Hold workers that are free, those first that were taken before: their caches have what they wrote. */
static void cnnx_hold(struct cnnx_region *region) {
    int wanted = region->parts - 1, processors = __atomic_load_n(&cnnx_team.processors, __ATOMIC_RELAXED);
    int started = __atomic_load_n(&cnnx_team.started, __ATOMIC_ACQUIRE), count = 0;
    /* Callers at the same time share the workers: the process has no more than its largest region or the machine. */
    int most = wanted > processors - 1 ? wanted : processors - 1;
    for (int i = 0; i < started && count < wanted; i++) {
        struct cnnx_worker *worker = &cnnx_team.workers[i];
        uint32_t state = __atomic_load_n(&worker->state, __ATOMIC_RELAXED);
        uint32_t held = state - state % CNNX_PHASES + CNNX_PHASES + CNNX_HELD;
        if (state % CNNX_PHASES <= CNNX_SLEEPING &&
            __atomic_compare_exchange_n(&worker->state, &state, held, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            region->offer[count++] = (struct cnnx_offer){worker, held - CNNX_HELD + CNNX_READY, state};
    }
    while (count < wanted && started < most) {
        struct cnnx_worker *worker = cnnx_start(most);
        if (worker == NULL)
            break;
        region->offer[count++] = (struct cnnx_offer){worker, CNNX_READY, CNNX_IDLE};
    }
    region->offers = count;
}

/* Call function(data, part, parts) for each part, by as many threads as are free; returns when all are done. */
static void cnnx_run(cnnx_part_function function, void *data, int parts) {
    struct cnnx_offer offer[parts];
    struct cnnx_region region = {.function = function, .data = data, .parts = parts, .offer = offer};
    int64_t start = cnnx_now(), spin = __atomic_load_n(&cnnx_team.spin, __ATOMIC_RELAXED), own, lost;
    uint32_t left;
    if (CNNX_TAKES_OVER && start < __atomic_load_n(&cnnx_team.alone_until, __ATOMIC_RELAXED)) {
        for (int part = 0; part < parts; part++)
            function(data, part, parts);
        return;
    }
    cnnx_hold(&region);
    region.next = region.offers + 1;
    region.attached = region.offers;
    for (int i = 0; i < region.offers; i++) {
        offer[i].worker->part = i + 1;
        offer[i].worker->region = &region;
        __atomic_store_n(&offer[i].worker->state, offer[i].ready, __ATOMIC_RELEASE);
        if (offer[i].before % CNNX_PHASES == CNNX_SLEEPING)
            cnnx_wake(&offer[i].worker->state);
    }
    function(data, 0, parts);
    own = cnnx_now() - start;
    cnnx_take_over(&region);
    while ((left = __atomic_load_n(&region.attached, __ATOMIC_ACQUIRE)) != 0 && cnnx_spin(&region.attached, left, spin))
        ;
    if (left == 0)
        return;
    left = __atomic_fetch_or(&region.attached, CNNX_WAITED, __ATOMIC_ACQ_REL);
    while (left & ~CNNX_WAITED) {
        cnnx_sleep(&region.attached, left | CNNX_WAITED);
        left = __atomic_load_n(&region.attached, __ATOMIC_ACQUIRE);
    }
    lost = cnnx_now() - start - parts * own;
    if (lost > 0 && __atomic_load_n(&region.preempted, __ATOMIC_RELAXED))
        __atomic_store_n(&cnnx_team.alone_until, start + parts * own + (CNNX_ALONE + 1) * lost, __ATOMIC_RELAXED);
}

/* In a child of fork(), where the parent's threads are not. */
static void cnnx_forget_workers(void) {
    cnnx_team.started = 0;
    pthread_mutex_init(&cnnx_team.starting, NULL);
}

#endif
