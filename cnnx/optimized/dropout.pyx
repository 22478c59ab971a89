"""Dropout: equations.md section 4 in typed loops."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport uint8_t

from ._threads cimport threads_for


cdef inline floating kept(floating z, uint8_t mask, double rate) noexcept nogil:
    return <floating>(z / (1 - rate)) if mask else <floating>0


def dropout(const floating[::1] Z, const uint8_t[::1] mask, /, floating[::1] Y, *, double rate):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(Y.shape[0])):
        Y[i] = kept(Z[i], mask[i], rate)


def dropout_grad_input(const floating[::1] Delta, const uint8_t[::1] mask, /, floating[::1] dZ, *, double rate):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(dZ.shape[0])):
        dZ[i] = kept(Delta[i], mask[i], rate)
