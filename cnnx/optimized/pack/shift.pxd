# A plane moved by some columns.

from cython cimport floating
from libc.string cimport memcpy

from ..runtime.integers cimport max_of, min_of
from ..simd.vector cimport VECTOR_BYTES, lanes_of


cdef inline void shift_plane(const floating* Z, Py_ssize_t W, Py_ssize_t rows, Py_ssize_t shift,
                             floating* out) noexcept nogil:
    # out[i][q] = Z[i][q + shift], 0 beyond the row, for q < W and a shift of at most W: all rows in one, since what
    # reaches into the next row is cleared afterwards. Nothing else is read or written.
    cdef Py_ssize_t lanes = lanes_of(Z), count = rows * W - (shift if shift > 0 else -shift), j = 0, i, q
    cdef const floating* x = Z + max_of(0, shift)
    cdef floating* y = out + max_of(0, -shift)
    if count < lanes:
        for j in range(count):
            y[j] = x[j]
    else:
        memcpy(y, x, VECTOR_BYTES)
        j = lanes - <Py_ssize_t>(<size_t>y % VECTOR_BYTES) // <Py_ssize_t>sizeof(floating)  # stores that cross no line
        while j < count - lanes:
            memcpy(y + j, x + j, VECTOR_BYTES)
            j += lanes
        memcpy(y + count - lanes, x + count - lanes, VECTOR_BYTES)  # some numbers a second time
    for q in range(-shift):  # column by column: few numbers of a row would be a call of memset each
        for i in range(rows):
            out[i * W + q] = 0
    for q in range(max_of(0, W - shift), W):
        for i in range(rows):
            out[i * W + q] = 0
