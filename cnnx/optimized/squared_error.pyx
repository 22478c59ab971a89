"""Squared error: E1, E2. The sum is taken in double, in parts that the number of terms alone determines."""

from cython cimport floating
from cython.parallel cimport prange

from ._threads cimport threads_for
from .runtime.integers cimport max_of, min_of
from .simd.reduce cimport DISTANCES, sum_runs

cdef enum:
    PARTS = 64  # at the most
    PART = 16384  # terms at the least


cdef inline double part_sum(const floating* T, const floating* A, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    return sum_runs(T + first, A + first, 0, 1, end - first, 0, DISTANCES)


def squared_error(const floating[::1] A, const floating[::1] T, /, double[::1] E, *, Py_ssize_t divisor):
    cdef double sums[PARTS]
    cdef Py_ssize_t count = A.shape[0], parts = min_of(PARTS, max_of(1, count // PART)), part
    cdef double total = 0
    cdef int threads = threads_for(count)
    if count > 0:
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            sums[part] = part_sum(&T[0], &A[0], count * part // parts, count * (part + 1) // parts)
        for part in range(parts):
            total += sums[part]
    # E1, E2
    E[0] = total / 2 / divisor


def squared_error_grad_input(const floating[::1] A, const floating[::1] T, /, floating[::1] dA, *,
                             Py_ssize_t divisor):
    # E1, E2: the divisor is 1 or N.
    cdef Py_ssize_t i
    for i in prange(dA.shape[0], nogil=True, schedule="static", num_threads=threads_for(dA.shape[0])):
        dA[i] = <floating>((<double>A[i] - T[i]) / divisor)
