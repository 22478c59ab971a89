"""Dropout: D1 of equations.md in typed loops."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint8_t

from ._threads cimport threads_for
from .runtime.integers cimport ceil_div

cdef enum:
    CHUNK = 16384  # elements that one thread takes at a time


cdef inline void keep(const floating* Z, const uint8_t* mask, floating* Y, Py_ssize_t length,
                      double rate) noexcept nogil:
    # D1, forward and backward alike.
    # A factor, rounded once too often, does where the product is a double that becomes a float; else it is a division.
    cdef Py_ssize_t i
    cdef double factor = 1 / (1 - rate), share = 1 - rate
    for i in range(length):
        if floating is float:
            Y[i] = <floating>(Z[i] * factor) if mask[i] else <floating>0
        else:
            Y[i] = Z[i] / share if mask[i] else 0


cdef void keep_all(const floating[::1] Z, const uint8_t[::1] mask, floating[::1] Y, double rate) noexcept nogil:
    cdef Py_ssize_t i, count = Y.shape[0]
    cdef int threads = threads_for(<double>count)
    for i in prange(ceil_div(count, CHUNK), schedule="static", num_threads=threads):
        keep(&Z[i * CHUNK], &mask[i * CHUNK], &Y[i * CHUNK], min(CHUNK, count - i * CHUNK), rate)


def dropout(const floating[::1] Z, const uint8_t[::1] mask, /, floating[::1] Y, *, double rate):
    with nogil:
        keep_all(Z, mask, Y, rate)


def dropout_grad_input(const floating[::1] Delta, const uint8_t[::1] mask, /, floating[::1] dZ, *, double rate):
    with nogil:
        keep_all(Delta, mask, dZ, rate)
