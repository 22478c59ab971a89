"""Cross entropy of a softmax: E3 in typed loops, in double.

A cost is one number: its rows are summed in order by one thread, whatever the thread count.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport exp, log

from ._row cimport row_maximum, row_partition
from ._threads cimport EXP, threads_for


cdef inline double E_row(const floating[:, ::1] Z, const floating[:, ::1] t, Py_ssize_t n) noexcept nogil:
    # -sum_i t_i log y_i; 0 log 0 is 0, but a NaN is not lost with its term.
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[n, 0], M, 1)
    cdef double log_total = log(row_partition(&Z[n, 0], M, 1, most))
    cdef double total = 0
    for i in range(M):
        if t[n, i] != 0 or Z[n, i] != Z[n, i]:
            total = total - t[n, i] * ((Z[n, i] - most) - log_total)
    return total


cdef inline void dZ_row(const floating[:, ::1] Z, const floating[:, ::1] t, floating[:, ::1] dZ,
                        Py_ssize_t n, Py_ssize_t divisor) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[n, 0], M, 1)
    cdef double total = row_partition(&Z[n, 0], M, 1, most)
    cdef double sum_t = 0
    for i in range(M):
        sum_t = sum_t + t[n, i]
    for i in range(M):
        dZ[n, i] = <floating>((exp(Z[n, i] - most) / total * sum_t - t[n, i]) / divisor)


cdef inline double E_index_row(const floating[:, ::1] Z, Py_ssize_t t, Py_ssize_t n) noexcept nogil:
    cdef double most = row_maximum(&Z[n, 0], Z.shape[1], 1)
    return -((Z[n, t] - most) - log(row_partition(&Z[n, 0], Z.shape[1], 1, most)))


cdef inline void dZ_index_row(const floating[:, ::1] Z, Py_ssize_t t, floating[:, ::1] dZ,
                              Py_ssize_t n, Py_ssize_t divisor) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[n, 0], M, 1)
    cdef double total = row_partition(&Z[n, 0], M, 1, most)
    for i in range(M):
        dZ[n, i] = <floating>((exp(Z[n, i] - most) / total - (i == t)) / divisor)


def cross_entropy(const floating[:, ::1] Z, const floating[:, ::1] t, /, double[::1] E, *, Py_ssize_t divisor):
    cdef Py_ssize_t n
    cdef double total = 0
    with nogil:
        for n in range(Z.shape[0]):
            total += E_row(Z, t, n)
    E[0] = total / divisor


def cross_entropy_grad_input(const floating[:, ::1] Z, const floating[:, ::1] t, /, floating[:, ::1] dZ, *,
                             Py_ssize_t divisor):
    cdef Py_ssize_t n
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    for n in prange(Z.shape[0], nogil=True, schedule="static", num_threads=threads):
        dZ_row(Z, t, dZ, n, divisor)


def cross_entropy_index(const floating[:, ::1] Z, const Py_ssize_t[::1] t, /, double[::1] E, *, Py_ssize_t divisor):
    cdef Py_ssize_t n
    cdef double total = 0
    with nogil:
        for n in range(Z.shape[0]):
            total += E_index_row(Z, t[n], n)
    E[0] = total / divisor


def cross_entropy_index_grad_input(const floating[:, ::1] Z, const Py_ssize_t[::1] t, /, floating[:, ::1] dZ, *,
                                   Py_ssize_t divisor):
    cdef Py_ssize_t n
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    for n in prange(Z.shape[0], nogil=True, schedule="static", num_threads=threads):
        dZ_index_row(Z, t[n], dZ, n, divisor)
