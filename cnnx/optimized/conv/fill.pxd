# Outputs that no term is added to, or whose terms come in several passes.

from cython cimport floating
from libc.string cimport memset


cdef inline void fill(floating* Y, Py_ssize_t plane, Py_ssize_t size, Py_ssize_t K, const floating* b) noexcept nogil:
    cdef Py_ssize_t j
    Y += plane * size
    if b == NULL:
        memset(Y, 0, size * sizeof(floating))
        return
    for j in range(size):
        Y[j] = b[plane % K]
