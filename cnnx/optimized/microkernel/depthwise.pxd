# Register blocks of a convolution of one plane by one kernel: a vector of M output rows each, whose weights stay in
# registers too where they are 3 x 3.

from ..simd.select cimport store_partial
from ..simd.vector cimport broadcast, doubles, floats, fma, in_register, lanes_in, load, size_of, vector, vector_at

cdef enum:
    MAX_ROWS = 8  # output rows that are summed up together


cdef struct Band:
    # Y[m Q + q] = start + sum_t w[t] x[taps[t] + u m pitch + q], for q < Q.
    const void* x
    Py_ssize_t pitch, u  # from one row of x to the next; the row stride
    const void* w
    const Py_ssize_t* taps
    Py_ssize_t terms
    Py_ssize_t[3] column  # of 3 x 3 taps, which lie in three rows: where those of a row begin
    const void* start
    void* Y
    Py_ssize_t Q
    Py_ssize_t width  # numbers of a vector that may be written: fewer than it has where Q is smaller and Y ends


cdef inline Py_ssize_t vector_start(Py_ssize_t q, Py_ssize_t Q, Py_ssize_t lanes) noexcept nogil:
    # Where a row's vector begins that is due at q: the last one takes some numbers a second time.
    return q if q + lanes <= Q else Q - lanes if Q > lanes else 0


cdef inline void add_term(const void* x, const vector* f, vector* a, int i, int s, int M, int u) noexcept nogil:
    # A vector of row i of those that M output rows need, for all that it is a part of.
    cdef vector column = in_register(load(x, 0, a))
    cdef int m
    for m in range(M):
        if 0 <= i - u * m < 3:
            a[m] = fma(a[m], f[3 * (i - u * m) + s], column)


cdef inline void add_row(const void* x, const Py_ssize_t* columns, const vector* f, vector* a, int i, int M,
                         int u) noexcept nogil:
    # All of the row. Without a loop around another one, which would be unrolled too late for the sums to be anything
    # but an array in memory.
    if i < u * (M - 1) + 3:
        add_term((<const char*>x) + columns[0], f, a, i, 0, M, u)
        add_term((<const char*>x) + columns[1], f, a, i, 1, M, u)
        add_term((<const char*>x) + columns[2], f, a, i, 2, M, u)


cdef inline void depthwise_3x3(const Band* band, vector* tag, int M, int u) noexcept nogil:
    # M output rows by 3 x 3 weights in the order of their places; the row stride is u.
    cdef Py_ssize_t lanes = lanes_in(tag), q = 0, Q = band.Q, pitch = band.pitch * size_of(tag), width = band.width
    cdef Py_ssize_t[3] columns
    cdef vector[MAX_ROWS] a
    cdef vector[9] f
    cdef const void* rows = band.x
    cdef const void* start = band.start
    cdef void* Y = band.Y
    cdef const char* x
    cdef int i
    for i in range(9):
        f[i] = in_register(broadcast(band.w, i, tag))
    for i in range(3):
        columns[i] = band.column[i] * size_of(tag)
    while q < Q:
        q = vector_start(q, Q, lanes)
        x = <const char*>vector_at(rows, q, tag)
        for i in range(M):
            a[i] = broadcast(start, 0, tag)
        add_row(x, columns, f, a, 0, M, u)
        add_row(x + pitch, columns, f, a, 1, M, u)
        add_row(x + 2 * pitch, columns, f, a, 2, M, u)
        add_row(x + 3 * pitch, columns, f, a, 3, M, u)
        add_row(x + 4 * pitch, columns, f, a, 4, M, u)
        add_row(x + 5 * pitch, columns, f, a, 5, M, u)
        add_row(x + 6 * pitch, columns, f, a, 6, M, u)
        add_row(x + 7 * pitch, columns, f, a, 7, M, u)
        add_row(x + 8 * pitch, columns, f, a, 8, M, u)
        add_row(x + 9 * pitch, columns, f, a, 9, M, u)
        for i in range(M):
            store_partial(a[i], Y, i * Q + q, width, tag)
        q += lanes


cdef inline void depthwise_taps(const Band* band, vector* tag, int M) noexcept nogil:
    # M output rows by any taps.
    cdef Py_ssize_t lanes = lanes_in(tag), q = 0, Q = band.Q, terms = band.terms, pitch = band.u * band.pitch, t
    cdef Py_ssize_t width = band.width
    cdef const Py_ssize_t* taps = band.taps
    cdef const void* x = band.x
    cdef const void* w = band.w
    cdef const void* start = band.start
    cdef void* Y = band.Y
    cdef vector[MAX_ROWS] a
    cdef vector factor
    cdef int m
    while q < Q:
        q = vector_start(q, Q, lanes)
        for m in range(M):
            a[m] = broadcast(start, 0, tag)
        for t in range(terms):
            factor = in_register(broadcast(w, t, tag))
            for m in range(M):
                a[m] = fma(a[m], factor, load(x, taps[t] + q + m * pitch, tag))
        for m in range(M):
            store_partial(a[m], Y, m * Q + q, width, tag)
        q += lanes
