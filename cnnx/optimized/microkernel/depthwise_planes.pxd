# Convolutions of planes by a kernel of 3 x 3 each, read where they lie: loads leave out what is beyond a row, and every
# second number is picked in registers. Needs no copy, and where planes are small, a copy takes longer than the sums.

from ..runtime.integers cimport max_of, min_of
from ..simd.masks cimport lanes, lanes_between, load_lanes, store_lanes
from ..simd.prefetch cimport prefetch_l1
from ..simd.shuffle cimport deinterleave
from ..simd.vector cimport broadcast, doubles, floats, fma, in_register, lanes_in, size_of, store, vector, vector_at
from .depthwise cimport vector_start

cdef extern from *:
    """
    #if CNNX_REGISTERS == 32  /* seven: many a plane has 7 rows, 14, 28 or 56 */
    #define CNNX_PLANE_ROWS 7
    #else
    #define CNNX_PLANE_ROWS 4
    #endif
    """
    enum:
        PLANE_ROWS "CNNX_PLANE_ROWS"  # output rows that are summed up together, at most 7


cdef enum:
    MOST_ROWS = 7


cdef struct Planes:
    # Y[n, p, q] = start[step n] + sum_{i, s < 3} w[9 n + place[3 i + s]] x[n, u p + top + i, u q + left + s], for
    # n < count; 0 counts where there is no such row or column of x.
    Py_ssize_t count, H, W, P, Q, top, left, step
    int[9] place
    const void* x
    const void* w
    const void* start
    void* Y


cdef inline void add_terms(vector column, const vector* f, vector* a, int i, int s, int u) noexcept nogil:
    # A vector of row i of those that the output rows need, for all that it is a part of.
    cdef int m
    for m in range(PLANE_ROWS):
        if 0 <= i - u * m < 3:
            a[m] = fma(a[m], f[3 * (i - u * m) + s], column)


cdef inline void add_plane_row(const Planes* g, const void* x, Py_ssize_t h, const lanes* within, const vector* f,
                               vector* a, int i, int u) noexcept nogil:
    # All of row h + i, of which x is the first number that is needed. Without a loop around another one, which would be
    # unrolled too late for the sums to be anything but an array in memory.
    cdef vector column, odd
    cdef Py_ssize_t count = lanes_in(a)
    if i >= u * (PLANE_ROWS - 1) + 3:
        return
    x = <const char*>x + i * g.W * size_of(a)
    if not 0 <= h + i < g.H:
        column = in_register(zero(a))
        add_terms(column, f, a, i, 0, u)
        add_terms(column, f, a, i, 1, u)
        add_terms(column, f, a, i, 2, u)
    elif u == 1:
        add_terms(load_lanes(x, 0, within[0], a), f, a, i, 0, u)
        add_terms(load_lanes(x, 1, within[1], a), f, a, i, 1, u)
        add_terms(load_lanes(x, 2, within[2], a), f, a, i, 2, u)
    else:
        deinterleave(load_lanes(x, 0, within[0], a), load_lanes(x, count, within[1], a), &column, &odd)
        add_terms(column, f, a, i, 0, u)
        add_terms(odd, f, a, i, 1, u)
        deinterleave(load_lanes(x, 2, within[2], a), load_lanes(x, count + 2, within[3], a), &column, &odd)
        add_terms(column, f, a, i, 2, u)


cdef inline vector zero(vector* tag) noexcept nogil:
    cdef double nothing = 0  # of which a float's bytes are 0, too
    return broadcast(&nothing, 0, tag)


cdef inline void prefetch_rows(const void* x, Py_ssize_t step, int rows) noexcept nogil:
    # Of the next plane what this block is of this one: column by column, the processor does not see it coming.
    cdef int i
    for i in range(rows):
        prefetch_l1(<const char*>x + i * step)


cdef inline void depthwise_planes(const Planes* g, vector* tag, int u) noexcept nogil:
    # u: both strides, 1 or 2.
    cdef Py_ssize_t count = lanes_in(tag), Q = g.Q, P = g.P, second = 1 if u == 1 else count, n, p, q, h, column
    cdef vector[MOST_ROWS] a
    cdef vector[9] f
    cdef lanes[4] within
    cdef lanes written
    cdef const void* plane = g.x
    cdef const void* w = g.w
    cdef const void* x
    cdef void* Y = g.Y
    cdef int i
    for n in range(g.count):
        for i in range(9):
            f[i] = in_register(broadcast(w, g.place[i], tag))
        q = 0
        while q < Q:
            q = vector_start(q, Q, count)
            column = u * q + g.left
            if n == 0 or Q > count:  # or they stay the same
                within[0] = lanes_between(-column, g.W - column, tag)
                within[1] = lanes_between(-column - second, g.W - column - second, tag)
                within[2] = lanes_between(-column - 2, g.W - column - 2, tag)
                within[3] = lanes_between(-column - 2 - second, g.W - column - 2 - second, tag)
                written = lanes_between(0, Q - q, tag)
            p = 0
            while p < P:
                p = max_of(0, min_of(p, P - PLANE_ROWS))  # some rows a second time
                h = u * p + g.top
                x = vector_at(plane, h * g.W + column, tag)
                if Q > count:
                    prefetch_rows(vector_at(x, g.H * g.W, tag), g.W * size_of(tag), u * PLANE_ROWS)
                    prefetch_rows(vector_at(Y, (P + p) * Q + q, tag), Q * size_of(tag), PLANE_ROWS)
                for i in range(PLANE_ROWS):
                    a[i] = broadcast(g.start, n * g.step, tag)
                add_plane_row(g, x, h, within, f, a, 0, u)
                add_plane_row(g, x, h, within, f, a, 1, u)
                add_plane_row(g, x, h, within, f, a, 2, u)
                add_plane_row(g, x, h, within, f, a, 3, u)
                add_plane_row(g, x, h, within, f, a, 4, u)
                add_plane_row(g, x, h, within, f, a, 5, u)
                add_plane_row(g, x, h, within, f, a, 6, u)
                add_plane_row(g, x, h, within, f, a, 7, u)
                add_plane_row(g, x, h, within, f, a, 8, u)
                add_plane_row(g, x, h, within, f, a, 9, u)
                add_plane_row(g, x, h, within, f, a, 10, u)
                add_plane_row(g, x, h, within, f, a, 11, u)
                add_plane_row(g, x, h, within, f, a, 12, u)
                add_plane_row(g, x, h, within, f, a, 13, u)
                add_plane_row(g, x, h, within, f, a, 14, u)
                for i in range(PLANE_ROWS):
                    # What is written beyond a row is written again by the next one, if there is one: some processors
                    # take long to leave out lanes.
                    if (p + i) * Q + q + count <= P * Q:
                        store(a[i], Y, (p + i) * Q + q)
                    elif p + i < P:
                        store_lanes(a[i], Y, (p + i) * Q + q, written)
                p += PLANE_ROWS
            q += count
        plane = vector_at(plane, g.H * g.W, tag)
        w = vector_at(w, 9, tag)
        Y = vector_at(Y, P * Q, tag)
