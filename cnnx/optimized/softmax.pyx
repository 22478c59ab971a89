"""Softmax and its logarithm in typed loops, one row at a time, in double."""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport exp, log

from ._row cimport row_maximum, row_partition
from ._threads cimport EXP, threads_for


cdef inline void softmax_row(const floating[:, :, ::1] Z, floating[:, :, ::1] Y,
                             Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[a, 0, b], M, Z.shape[2])
    cdef double total = row_partition(&Z[a, 0, b], M, Z.shape[2], most)
    for i in range(M):
        Y[a, i, b] = <floating>(exp(Z[a, i, b] - most) / total)


cdef inline void softmax_dZ_row(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z,
                                floating[:, :, ::1] dZ, Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[a, 0, b], M, Z.shape[2])
    cdef double total = row_partition(&Z[a, 0, b], M, Z.shape[2], most)
    cdef double mean = 0  # sum_j Delta_j Y_j
    for i in range(M):
        mean = mean + Delta[a, i, b] * (exp(Z[a, i, b] - most) / total)
    for i in range(M):
        dZ[a, i, b] = <floating>(exp(Z[a, i, b] - most) / total * (Delta[a, i, b] - mean))


cdef inline void log_softmax_row(const floating[:, :, ::1] Z, floating[:, :, ::1] Y,
                                 Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[a, 0, b], M, Z.shape[2])
    cdef double log_total = log(row_partition(&Z[a, 0, b], M, Z.shape[2], most))
    for i in range(M):
        Y[a, i, b] = <floating>((Z[a, i, b] - most) - log_total)


cdef inline void log_softmax_dZ_row(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z,
                                    floating[:, :, ::1] dZ, Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t M = Z.shape[1], i
    cdef double most = row_maximum(&Z[a, 0, b], M, Z.shape[2])
    cdef double total = row_partition(&Z[a, 0, b], M, Z.shape[2], most)
    cdef double sum_Delta = 0
    for i in range(M):
        sum_Delta = sum_Delta + Delta[a, i, b]
    for i in range(M):
        dZ[a, i, b] = <floating>(Delta[a, i, b] - exp(Z[a, i, b] - most) / total * sum_Delta)


def softmax(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y):
    cdef Py_ssize_t B = Z.shape[2], row
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1] * B)
    for row in prange(Z.shape[0] * B, nogil=True, schedule="static", num_threads=threads):
        softmax_row(Z, Y, row // B, row % B)


def softmax_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /, floating[:, :, ::1] dZ):
    cdef Py_ssize_t B = Z.shape[2], row
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1] * B)
    for row in prange(Z.shape[0] * B, nogil=True, schedule="static", num_threads=threads):
        softmax_dZ_row(Delta, Z, dZ, row // B, row % B)


def log_softmax(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y):
    cdef Py_ssize_t B = Z.shape[2], row
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1] * B)
    for row in prange(Z.shape[0] * B, nogil=True, schedule="static", num_threads=threads):
        log_softmax_row(Z, Y, row // B, row % B)


def log_softmax_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /,
                           floating[:, :, ::1] dZ):
    cdef Py_ssize_t B = Z.shape[2], row
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1] * B)
    for row in prange(Z.shape[0] * B, nogil=True, schedule="static", num_threads=threads):
        log_softmax_dZ_row(Delta, Z, dZ, row // B, row % B)
