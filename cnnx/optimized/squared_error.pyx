"""Squared error: E1, E2 in typed loops. The sum is taken in order by one thread, in double."""

from cython cimport floating
from cython.parallel cimport prange

from ._threads cimport threads_for


def squared_error(const floating[::1] A, const floating[::1] T, /, double[::1] E, *, Py_ssize_t divisor):
    cdef Py_ssize_t i
    cdef double distance, total = 0
    with nogil:
        for i in range(A.shape[0]):
            distance = <double>T[i] - A[i]
            total += distance * distance
    E[0] = total / 2 / divisor


def squared_error_grad_input(const floating[::1] A, const floating[::1] T, /, floating[::1] dA, *,
                             Py_ssize_t divisor):
    cdef Py_ssize_t i
    for i in prange(dA.shape[0], nogil=True, schedule="static", num_threads=threads_for(dA.shape[0])):
        dA[i] = <floating>((<double>A[i] - T[i]) / divisor)
