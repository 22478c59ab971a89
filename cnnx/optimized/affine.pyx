"""Affine (fully connected) layer: F1-F3 in typed loops."""

from cython cimport floating
from cython.parallel cimport prange

from ._threads cimport threads_for


cdef inline void Y_row(const floating[:, ::1] Z, const floating[:, ::1] w, const floating[::1] b,
                       floating[:, ::1] Y, Py_ssize_t n) noexcept nogil:
    # F1.
    cdef Py_ssize_t i, j
    cdef double total
    for i in range(w.shape[0]):
        total = b[i]
        for j in range(w.shape[1]):
            total = total + <double>w[i, j] * Z[n, j]
        Y[n, i] = <floating>total


cdef inline void dZ_row(const floating[:, ::1] Delta, const floating[:, ::1] w, floating[:, ::1] dZ,
                        Py_ssize_t n) noexcept nogil:
    # F3.
    cdef Py_ssize_t i, j
    for j in range(w.shape[1]):
        dZ[n, j] = 0
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            dZ[n, j] += Delta[n, i] * w[i, j]


cdef inline void dw_row(const floating[:, ::1] Delta, const floating[:, ::1] Z, floating[:, ::1] dw,
                        Py_ssize_t i) noexcept nogil:
    # F2.
    cdef Py_ssize_t n, j
    for j in range(Z.shape[1]):
        dw[i, j] = 0
    for n in range(Z.shape[0]):
        for j in range(Z.shape[1]):
            dw[i, j] += Delta[n, i] * Z[n, j]


cdef inline floating db_element(const floating[:, ::1] Delta, Py_ssize_t i) noexcept nogil:
    # F2.
    cdef Py_ssize_t n
    cdef double total = 0
    for n in range(Delta.shape[0]):
        total = total + Delta[n, i]
    return <floating>total


def affine(const floating[:, ::1] Z, const floating[:, ::1] w, const floating[::1] b, /, floating[:, ::1] Y):
    cdef Py_ssize_t n
    cdef int threads = threads_for(<double>Z.shape[0] * w.shape[0] * w.shape[1])
    for n in prange(Z.shape[0], nogil=True, schedule="static", num_threads=threads):
        Y_row(Z, w, b, Y, n)


def affine_grad_input(const floating[:, ::1] Delta, const floating[:, ::1] w, /, floating[:, ::1] dZ):
    cdef Py_ssize_t n
    cdef int threads = threads_for(<double>Delta.shape[0] * w.shape[0] * w.shape[1])
    for n in prange(Delta.shape[0], nogil=True, schedule="static", num_threads=threads):
        dZ_row(Delta, w, dZ, n)


def affine_grad_weight(const floating[:, ::1] Delta, const floating[:, ::1] Z, /, floating[:, ::1] dw):
    cdef Py_ssize_t i
    cdef int threads = threads_for(<double>Z.shape[0] * dw.shape[0] * dw.shape[1])
    for i in prange(dw.shape[0], nogil=True, schedule="static", num_threads=threads):
        dw_row(Delta, Z, dw, i)


def affine_grad_bias(const floating[:, ::1] Delta, /, floating[::1] db):
    cdef Py_ssize_t i
    cdef int threads = threads_for(<double>Delta.shape[0] * Delta.shape[1])
    for i in prange(db.shape[0], nogil=True, schedule="static", num_threads=threads):
        db[i] = db_element(Delta, i)
