# The tail: the columns that are left when an image's are cut into vectors. Those of several images share a vector.

from cython cimport floating
from libc.string cimport memcpy

from ..microkernel.multiply_accumulate cimport Operands
from ..runtime.integers cimport Span, min_of
from ..simd.vector cimport lanes_of
from .blocks cimport Arrays, Sums, multiply_row_block, row_block, row_blocks, terms, terms_of


cdef inline Py_ssize_t tail_columns(const Sums* m, Py_ssize_t lanes) noexcept nogil:
    # How many columns; 0 if they fill more than half of a vector.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q % lanes
    return columns if m.copied and not m.plane.used and 2 * columns <= lanes else 0


cdef inline void pack_tail(const Sums* m, const floating* x, floating* tail, Py_ssize_t c,
                           Py_ssize_t columns) noexcept nogil:
    # Their terms from the source planes c ..., of which x is the copy.
    cdef Py_ssize_t lanes = lanes_of(x), t, j = 0, taps = m.taps.R * m.taps.S
    cdef Py_ssize_t first = m.taps.P * m.taps.Q - columns
    cdef Py_ssize_t count = min_of(m.planes, m.taps.C - c) * taps
    x += first
    tail += c * taps * lanes
    while j + 4 <= columns:  # a copy of so many bytes is no call
        for t in range(count):
            memcpy(tail + t * lanes + j, x + m.taps.tap[t] + j, 4 * sizeof(floating))
        j += 4
    for j in range(j, columns):
        for t in range(count):
            tail[t * lanes + j] = x[m.taps.tap[t] + j]


cdef inline void sum_tail(const Sums* m, const Arrays* a, const floating* tail, Py_ssize_t y_image, Py_ssize_t images,
                          Py_ssize_t columns, floating* sums) noexcept nogil:
    # a.Y: the first of the images. sums: room for ROWS vectors.
    cdef Py_ssize_t lanes = lanes_of(tail), first = m.taps.P * m.taps.Q - columns, block, n, i, j, c
    cdef floating* Y = <floating*>a.Y + first
    cdef Operands o
    cdef Span k
    for block in range(row_blocks(m.K)):
        k = row_block(m.K, block)
        c = 0
        while c < m.taps.C:
            o.x, o.taps = tail + c * m.taps.R * m.taps.S * lanes, m.taps.tap + terms(m)
            o.Y, o.y_stride = sums, lanes
            multiply_row_block(m, a, &o, block, terms_of(m, c), Span(0, images * columns), 0, tail, Span(0, 0))
            c += m.planes
        for n in range(images):
            for i in range(k.end - k.first):
                for j in range(columns):
                    Y[n * y_image + (k.first + i) * m.y_k + j] = sums[i * lanes + n * columns + j]
