"""How many threads the kernels use: one number for the process, read by every kernel."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define CNNX_HAS_OPENMP 1
    #else
    #define CNNX_HAS_OPENMP 0
    #define omp_get_max_threads() 1
    #endif

    /* A child of fork() has none of the parent's threads, and libgomp would wait for them for ever: it computes
       serially. */
    static volatile int cnnx_forked = 0;
    #ifdef CNNX_WRAPS_GOMP
    #include "cnnx/optimized/runtime/team.h"
    static void* cnnx_runs_regions(void) {
        /* Who binds OpenMP's threads to processors (OMP_PROC_BIND, OMP_PLACES) gets these. */
        return omp_get_proc_bind() == omp_proc_bind_false ? (void*)cnnx_run : NULL;
    }
    static int cnnx_threads_started(void) { return __atomic_load_n(&cnnx_team.started, __ATOMIC_RELAXED); }
    static void cnnx_set_processors(int n) { __atomic_store_n(&cnnx_team.processors, n, __ATOMIC_RELAXED); }
    #else
    static void* cnnx_runs_regions(void) { return NULL; }
    static void cnnx_forget_workers(void) { }
    static int cnnx_threads_started(void) { return 0; }
    static void cnnx_set_processors(int n) { (void)n; }
    #endif
    #ifdef _WIN32
    static int cnnx_watch_forks(void) { return 0; }
    #else
    #include <pthread.h>
    static void cnnx_in_child(void) { cnnx_forked = 1; cnnx_forget_workers(); }
    static int cnnx_watch_forks(void) { return pthread_atfork(NULL, NULL, cnnx_in_child); }
    #endif

    /* What built this: the compiler knows best. */
    #if defined(__clang__)
    #define CNNX_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define CNNX_COMPILER "gcc " __VERSION__
    #else
    #define CNNX_COMPILER "unknown"
    #endif
    #ifndef CNNX_CHECKED
    #define CNNX_CHECKED 0
    #endif
    #if defined(__SANITIZE_ADDRESS__)
    #define CNNX_SANITIZER "address"
    #elif defined(__SANITIZE_THREAD__)
    #define CNNX_SANITIZER "thread"
    #else
    #define CNNX_SANITIZER "off"
    #endif
    """
    const char* CNNX_COMPILER
    bint CNNX_CHECKED
    const char* CNNX_SANITIZER
    int CYTHON_HEX_VERSION
    bint CNNX_HAS_OPENMP
    bint cnnx_forked
    int omp_get_max_threads() nogil
    int cnnx_watch_forks()
    void* cnnx_runs_regions() nogil
    int cnnx_threads_started()
    void cnnx_set_processors(int n)

# Less work than this, in multiply-adds, stays on one thread: 15 to 30 microseconds of a kernel. A region costs a few
# microseconds, more where its second thread has to be woken, and many small ones in a row do not earn that
# (benchmarks/busy.py --always, two cores, AVX2): split all the same, a training step of CN's network on ten images
# takes 1.2 times as long as on one thread, and 1.4 times with two busy processes beside it; relu of 64,000 elements 0.8
# and 1.15 times.
cdef Py_ssize_t small_work = 1_000_000

cdef int chosen = 0  # how many threads cnnx was told to use; 0: nobody told it
cdef int most = 0  # the most that OpenMP has allowed so far
cdef int usable = 0  # how many processors this process may use, where nobody said how many threads; 0: not known
cdef void* runs = cnnx_runs_regions()

threads_now()  # sees what OpenMP started with, as far as nobody has limited it yet

if cnnx_watch_forks() != 0:
    raise OSError("cnnx: pthread_atfork failed; a forked child could not be kept from hanging")


cdef int threads_now() noexcept nogil:
    # OpenMP's number is the calling thread's own, and whoever limits it (threadpoolctl) sets it for a while. What
    # cnnx was told may lie above OpenMP's number, but not above a limit: a number that is lower than it was before.
    global most
    cdef int allowed = omp_get_max_threads()
    if allowed > most:
        most = allowed
    if cnnx_forked:
        return 1
    if chosen == 0 and 0 < usable < allowed:
        return usable
    if chosen == 0 or (allowed < most and allowed < chosen):
        return allowed
    return chosen


cdef int threads_of(double work) noexcept nogil:
    # work is a double because a product of extents may not fit an integer.
    return 1 if work < small_work else threads_now()


cdef void* runs_regions() noexcept nogil:
    return runs


def get():
    return threads_now()


def set(int n):
    global chosen
    chosen = n


def get_small_work():
    return small_work


def set_small_work(Py_ssize_t work):
    global small_work
    small_work = work


def has_openmp():
    return bool(CNNX_HAS_OPENMP)


def is_forked_child():
    return bool(cnnx_forked)


def set_forked_child(bint forked):
    """Whether threads that were there before a fork() may be missed: of one that was not seen here, or did no harm."""
    global cnnx_forked
    cnnx_forked = forked


def set_processors(int processors, bint limits):
    """How many processors this process may use; whether that limits the threads, where nobody says how many."""
    global usable
    cnnx_set_processors(processors)
    usable = processors if limits else 0


def started():
    """How many threads the kernels have started."""
    return cnnx_threads_started()


def build():
    version = CYTHON_HEX_VERSION
    return {
        "compiler": CNNX_COMPILER.decode().strip(),
        "cython": f"{version >> 24}.{version >> 16 & 255}.{version >> 8 & 255}",
        "openmp": bool(CNNX_HAS_OPENMP),
        "checked": bool(CNNX_CHECKED),
        "sanitizer": CNNX_SANITIZER.decode(),
    }
