"""What no kernel can beat: multiply-adds that need no memory, and a copy that needs no arithmetic.

For benchmarks/vs_peers.py, at this process's instruction set and number of threads.
"""

from cnnx.optimized._threads cimport threads_for
from cnnx.optimized._tile cimport doubles, floats, multiply_add, spread, vector
from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy

cdef enum:
    CHAINS = 12  # of sums that do not wait for each other: more than latency x throughput, fewer than registers


cdef inline void chains(floating* sum, Py_ssize_t steps, vector* kind) noexcept nogil:
    # CHAINS vectors, a <- term + factor a, over and over. They start from different numbers (none of them 2, which
    # stays 2), or one would do for all, and their sum is kept, or none would.
    cdef vector a[CHAINS]
    cdef vector summand
    cdef floating factor = 0.5, term = 1, start
    cdef Py_ssize_t _step
    cdef int i
    for i in range(CHAINS):
        start = i + <floating>0.25
        a[i] = spread(&start, 0, kind)
    summand = spread(&term, 0, kind)
    for _step in range(steps):
        for i in range(CHAINS):
            a[i] = multiply_add(summand, &factor, 0, a[i])
    for i in range(1, CHAINS):
        a[0] = multiply_add(a[0], &factor, 0, a[i])
    memcpy(sum, a, sizeof(floating))


def multiply_adds(floating[::1] sums, Py_ssize_t steps):
    """Do `steps` times CHAINS vectors of multiply-adds for each element of `sums`, which are shared out."""
    cdef Py_ssize_t i
    cdef int threads = threads_for(1e18)
    for i in prange(sums.shape[0], nogil=True, schedule="static", num_threads=threads):
        if floating is float:
            chains[float, floats](&sums[i], steps, NULL)
        else:
            chains[double, doubles](&sums[i], steps, NULL)


def in_one_step(const floating[::1] sums):
    """How many multiply-adds a step is."""
    return CHAINS * (sizeof(floats) // sizeof(float) if floating is float else sizeof(doubles) // sizeof(double))


def copy(const floating[::1] source, floating[::1] target):
    """Copy source to target, of one length, in a part for each thread."""
    cdef int threads = threads_for(1e18)
    cdef Py_ssize_t part = (source.shape[0] + threads - 1) // threads, i, first, count
    for i in prange(threads, nogil=True, schedule="static", num_threads=threads):
        first = min(i * part, source.shape[0])
        count = min(part, source.shape[0] - first)
        memcpy(&target[0] + first, &source[0] + first, count * sizeof(floating))
