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

    /* After fork() the child has none of the parent's OpenMP threads, and libgomp would wait
       for them for ever: a child computes serially. */
    static volatile int cnnx_forked = 0;
    #ifdef _WIN32
    static int cnnx_watch_forks(void) { return 0; }
    #else
    #include <pthread.h>
    static void cnnx_in_child(void) { cnnx_forked = 1; }
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
    """
    const char* CNNX_COMPILER
    bint CNNX_CHECKED
    int CYTHON_HEX_VERSION
    bint CNNX_HAS_OPENMP
    bint cnnx_forked
    int omp_get_max_threads() nogil
    int cnnx_watch_forks()

# Less work than this, in multiply-adds, stays on one thread: 15 to 30 microseconds of a kernel. Where both cores are
# free, two threads are faster from 5 microseconds on, since a parallel region costs 2 (benchmarks/small_work.py: relu
# of 32,000 elements 5.4 against 5.1 microseconds, of 128,000 16.5 against 10.3, of 256,000 46.6 against 17.3). But
# where other processes want the cores, a region waits for its second thread, whatever its size: 8 to 24 milliseconds
# at best in that measurement. So the gain has to be worth that risk, and many small regions in a row never are:
# a training step of CN's network on ten images, none of whose layers is as large as this, has none.
cdef Py_ssize_t small_work = 1_000_000

cdef int chosen = 0  # how many threads cnnx was told to use; 0: nobody told it
cdef int most = 0  # the most that OpenMP has allowed so far

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
    if chosen == 0 or (allowed < most and allowed < chosen):
        return allowed
    return chosen


cdef int threads_for(double work) noexcept nogil:
    # work is a double because a product of extents may not fit an integer.
    return 1 if work < small_work else threads_now()


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


def build():
    version = CYTHON_HEX_VERSION
    return {
        "compiler": CNNX_COMPILER.decode().strip(),
        "cython": f"{version >> 24}.{version >> 16 & 255}.{version >> 8 & 255}",
        "openmp": bool(CNNX_HAS_OPENMP),
        "checked": bool(CNNX_CHECKED),
    }
