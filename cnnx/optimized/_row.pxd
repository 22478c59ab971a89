# Softmax of one row, with the maximum shifted out: for softmax and cross entropy alike.
# A row is M numbers, `step` apart, so that it may lie along any axis.

from cython cimport floating
from libc.math cimport exp


cdef inline double row_maximum(const floating* z, Py_ssize_t M, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating most = z[0]
    for j in range(1, M):
        if z[j * step] > most:
            most = z[j * step]
    return most


cdef inline double row_partition(const floating* z, Py_ssize_t M, Py_ssize_t step, double most) noexcept nogil:
    # sum_j exp(z_j - max z).
    cdef Py_ssize_t j
    cdef double total = 0
    for j in range(M):
        total = total + exp(z[j * step] - most)
    return total
