"""What no kernel can beat: multiply-adds that need no memory, and a copy that needs no arithmetic.

For cnnx.bench, at this process's instruction set and number of threads, in float32. No
memoryviews: they would make this module five times as large.
"""

from cython.parallel cimport prange
from libc.string cimport memcpy

from cnnx.optimized._threads cimport threads_for
from cnnx.optimized.simd.vector cimport broadcast, floats, fma_broadcast, vector

cdef extern from "cnnx/optimized/simd/instruction_set.h":
    bint FMA "CNNX_FMA"

cdef enum:
    CHAINS = 12  # of sums that do not wait for each other: more than latency x throughput, fewer than registers


cdef inline float chains(Py_ssize_t steps, vector* tag) noexcept nogil:
    # CHAINS vectors, a <- term + factor a, over and over. They start from different numbers (none of them 2, which
    # stays 2), or one would do for all, and their sum is returned, or none would.
    cdef vector a[CHAINS]
    cdef vector summand
    cdef float factor = 0.5, term = 1, start
    cdef Py_ssize_t _step
    cdef int i
    for i in range(CHAINS):
        start = i + <float>0.25
        a[i] = broadcast(&start, 0, tag)
    summand = broadcast(&term, 0, tag)
    for _step in range(steps):
        for i in range(CHAINS):
            a[i] = fma_broadcast(summand, &factor, 0, a[i])
    for i in range(1, CHAINS):
        a[0] = fma_broadcast(a[0], &factor, 0, a[i])
    memcpy(&start, a, sizeof(float))
    return start


def multiply_adds(Py_ssize_t steps):
    """Every thread does `steps` times in_one_step() multiply-adds. Returns the number of threads."""
    cdef int threads = threads_for(1e18), _i
    cdef double total = 0
    for _i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        total += chains[floats](steps, NULL)
    return threads if total != 0 else 0


def has_fma():
    """Whether a multiply-add is rounded once: where it is not, kernels give other bits."""
    return FMA


def in_one_step():
    """How many multiply-adds a step is."""
    return CHAINS * (sizeof(floats) // sizeof(float))


cdef void copies(char* target, const char* source, size_t size, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t _i
    for _i in range(count):
        memcpy(target, source, size)


def copy(size_t source, size_t target, size_t size, Py_ssize_t count=1):
    """Copy `size` bytes from one address to another, `count` times over, in a part for each thread.

    The caller vouches for the addresses.
    """
    cdef int threads = threads_for(1e18), i
    cdef size_t part = (size + threads - 1) // threads, first
    for i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        first = min(i * part, size)
        copies(<char*>target + first, <const char*>source + first, min(part, size - first), count)
