# One row of maxima, and of winners, of max pooling: in vectors (pool/row.pxd) as far as a window allows.

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

from ..simd.vector cimport doubles, floats
from .row cimport LARGEST, WINNERS, reduce_columns, reduce_rows
from .window cimport Window, column_begin, column_end, columns_used, fits_vectors, row_begin, row_end

ctypedef fused integer:  # an offset in a lane
    int32_t
    int64_t

cdef enum:
    # The row r S that stands for padding: behind every row of a narrow window.
    BEHIND = 0x40000000


cdef inline void reduce_columns_clipped(const floating* m, floating* Y, const Window* g) noexcept nogil:
    cdef Py_ssize_t q, w
    cdef floating y
    for q in range(g.Q):
        y = m[column_begin(g, q)]
        for w in range(column_begin(g, q) + 1, column_end(g, q)):
            y = m[w] if (m[w] > y) | (m[w] != m[w]) else y
        Y[q] = y


cdef inline void Y_down(const floating* Z, Py_ssize_t p, const Window* g, floating* m) noexcept nogil:
    # The first step of P1 for one p; Z is the image's plane.
    cdef Py_ssize_t h = row_begin(g, p), rows = row_end(g, p) - h
    if floating is float:
        reduce_rows[floats](Z + h * g.W, g.W, columns_used(g), rows, 0, g.S, m, NULL, NULL, LARGEST)
    else:
        reduce_rows[doubles](Z + h * g.W, g.W, columns_used(g), rows, 0, g.S, m, NULL, NULL, LARGEST)


cdef inline void Y_across(const floating* m, floating* Y, const Window* g) noexcept nogil:
    # The second one; Y is the row.
    if not fits_vectors(g):
        reduce_columns_clipped(m, Y, g)
    elif floating is float:
        reduce_columns[floats](m - g.p_w, NULL, NULL, NULL, Y, NULL, g.Q, g.S, g.v, NULL, LARGEST)
    else:
        reduce_columns[doubles](m - g.p_w, NULL, NULL, NULL, Y, NULL, g.Q, g.S, g.v, NULL, LARGEST)


cdef inline void winners_clipped(const floating* m, const integer* k, floating* Y, integer* B,
                                 const Window* g) noexcept nogil:
    cdef Py_ssize_t q, w
    cdef floating y
    cdef integer i, j
    for q in range(g.Q):
        y = m[column_begin(g, q)]
        i = <integer>(k[column_begin(g, q)] + column_begin(g, q) + g.p_w - g.v * q)
        for w in range(column_begin(g, q) + 1, column_end(g, q)):
            j = <integer>(k[w] + w + g.p_w - g.v * q)
            if m[w] > y or (m[w] != m[w] and y == y):
                y = m[w]
                i = j
            elif j < i and (m[w] == y or (m[w] != m[w] and y != y)):  # a tie is won by the row further up
                i = j
        Y[q] = y
        B[q] = i


cdef inline void winners_row(const floating* Z, floating* Y, void* B, Py_ssize_t p, const Window* g,
                             floating* m, floating* k) noexcept nogil:
    # Y_row() and the winners: B is a row of int32 beside floats, of int64 beside doubles.
    cdef Py_ssize_t h = row_begin(g, p), rows = row_end(g, p) - h, first = (h + g.p_h - g.u * p) * g.S
    if floating is float:
        reduce_rows[floats](Z + h * g.W, g.W, columns_used(g), rows, first, g.S, m, k, NULL, WINNERS)
        if fits_vectors(g):
            reduce_columns[floats](m - g.p_w, k - g.p_w, NULL, NULL, Y, B, g.Q, g.S, g.v, NULL, WINNERS)
        else:
            winners_clipped(m, <const int32_t*>k, Y, <int32_t*>B, g)
    else:
        reduce_rows[doubles](Z + h * g.W, g.W, columns_used(g), rows, first, g.S, m, k, NULL, WINNERS)
        if fits_vectors(g):
            reduce_columns[doubles](m - g.p_w, k - g.p_w, NULL, NULL, Y, B, g.Q, g.S, g.v, NULL, WINNERS)
        else:
            winners_clipped(m, <const int64_t*>k, Y, <int64_t*>B, g)


cdef inline void set_margins(floating* m, floating* k, Py_ssize_t length) noexcept nogil:
    # Padding never wins: no number is less, no row comes later. k may be NULL.
    cdef Py_ssize_t i
    for i in range(length):
        m[i] = -INFINITY
    if k != NULL:
        for i in range(length):
            if floating is float:
                (<int32_t*>k)[i] = BEHIND
            else:
                (<int64_t*>k)[i] = BEHIND
