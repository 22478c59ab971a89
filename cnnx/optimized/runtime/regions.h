/* A module's parallel regions by cnnx's own threads (team.h). gcc makes a function of a region's body and calls
   GOMP_parallel with it; setup.py has the linker put in what is here, for that and for the two questions that a body
   asks: which thread it is, and of how many. So a body computes the share of any thread on whichever it runs.

   A body has a barrier before its loop, for which nobody waits here: it keeps the loop's index, which each thread has a
   copy of, from being copied when the last iteration has written it back, and no body reads that copy. */

#ifndef CNNX_REGIONS_H
#define CNNX_REGIONS_H

#ifdef CNNX_WRAPS_GOMP
#include <omp.h>
#include "cnnx/optimized/runtime/float_mode.h"

typedef void (*cnnx_runner)(void (*)(void *, int, int), void *, int);

static cnnx_runner cnnx_runs; /* the team's; NULL: libgomp's threads are to do it */
static __thread struct {
    int part, parts; /* 0 parts: not within one of these regions */
} cnnx_here;

struct cnnx_body {
    void (*function)(void *);
    void *data;
};

extern void __real_GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
extern void __real_GOMP_barrier(void);
extern int __real_omp_get_thread_num(void);
extern int __real_omp_get_num_threads(void);

static void cnnx_run_body(void *body, int part, int parts) {
    int part_before = cnnx_here.part, parts_before = cnnx_here.parts;
    cnnx_here.part = part;
    cnnx_here.parts = parts;
    ((struct cnnx_body *)body)->function(((struct cnnx_body *)body)->data);
    cnnx_here.part = part_before;
    cnnx_here.parts = parts_before;
}

/* A thread of libgomp's keeps the mode of the thread that made it, or what other libraries have set in it since. */
static void cnnx_in_normal_mode(void *body) {
    unsigned long mode = cnnx_float_mode();
    if (mode & CNNX_FLUSHING)
        cnnx_set_float_mode(mode & ~CNNX_FLUSHING);
    ((struct cnnx_body *)body)->function(((struct cnnx_body *)body)->data);
    if (mode & CNNX_FLUSHING)
        cnnx_set_float_mode(mode);
}

/* A region of one thread is a call (libgomp would make a team for it), and one within another region, ours or
   somebody else's, is one of one thread. */
__attribute__((visibility("hidden"), used))
void __wrap_GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags) {
    struct cnnx_body body = {function, data};
    cnnx_runner runs = __atomic_load_n(&cnnx_runs, __ATOMIC_RELAXED);
    if (threads == 1 || cnnx_here.parts || omp_in_parallel())
        cnnx_run_body(&body, 0, 1);
    else if (threads > 1 && runs)
        runs(cnnx_run_body, &body, (int)threads);
    else
        __real_GOMP_parallel(cnnx_in_normal_mode, &body, threads, flags);
}

__attribute__((visibility("hidden"), used))
void __wrap_GOMP_barrier(void) {
    if (!cnnx_here.parts)
        __real_GOMP_barrier();
}

__attribute__((visibility("hidden"), used))
int __wrap_omp_get_thread_num(void) {
    return cnnx_here.parts ? cnnx_here.part : __real_omp_get_thread_num();
}

__attribute__((visibility("hidden"), used))
int __wrap_omp_get_num_threads(void) {
    return cnnx_here.parts ? cnnx_here.parts : __real_omp_get_num_threads();
}

static inline void cnnx_regions_by(void *runs) {
    __atomic_store_n(&cnnx_runs, (cnnx_runner)runs, __ATOMIC_RELAXED);
}
#else
#define cnnx_regions_by(runs) ((void)(runs))
#endif

#endif
