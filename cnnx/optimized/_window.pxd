# The window R[p,q], clipped to the image, and the outputs that cover a row: C6 for pooling.

from ._index cimport least, most

cdef struct Window:
    Py_ssize_t R, S, u, v, p_h, p_w


cdef inline Py_ssize_t row_begin(Window* g, Py_ssize_t p) noexcept nogil:
    return most(0, g.u * p - g.p_h)


cdef inline Py_ssize_t row_end(Window* g, Py_ssize_t p, Py_ssize_t H) noexcept nogil:
    return least(H, g.u * p - g.p_h + g.R)


cdef inline Py_ssize_t column_begin(Window* g, Py_ssize_t q) noexcept nogil:
    return most(0, g.v * q - g.p_w)


cdef inline Py_ssize_t column_end(Window* g, Py_ssize_t q, Py_ssize_t W) noexcept nogil:
    return least(W, g.v * q - g.p_w + g.S)
