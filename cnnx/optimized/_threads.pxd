cdef extern from *:
    """
    #ifdef CNNX_WRAPS_GOMP
    /* libgomp makes a team for a parallel region of one thread too, which takes a quarter of a microsecond: here such
       a region is a call. setup.py has the linker call this in place of GOMP_parallel. Within a team of somebody
       else's the region does need one of its own, or it would do that thread's part of the loop alone. */
    #include <omp.h>
    extern void __real_GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
    __attribute__((visibility("hidden"), used))
    void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags) {
        if (threads == 1 && !omp_in_parallel())
            body(data);
        else
            __real_GOMP_parallel(body, data, threads, flags);
    }
    #endif
    """

cdef enum:
    # What an element costs, in multiply-adds: one that is read, changed a little and written; one with an exponential
    # in between; one with a power.
    MEMORY = 2
    EXP = 4
    POWER = 16

# How many threads for work of so many multiply-adds.
cdef int threads_for(double work) noexcept nogil
