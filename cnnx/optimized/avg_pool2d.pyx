"""Average pooling: P3, row by row: sums down the columns of the window rows, then across (_window.pxd).

Backward, each row of the image is the sum of the shares of the windows over it (_gather.pxd).
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memset

from ._gather cimport EVERY, Ring, gather, move_on, move_to, ring_in, ring_length, slot
from ._index cimport least, most
from ._lanes cimport lanes_in, load, put, strided
from ._threads cimport threads_for
from ._tile cimport doubles, floats, spread, vector, vector_at
from ._window cimport (
    Window,
    column_begin,
    column_end,
    columns_used,
    lanes_of,
    memory_for,
    narrow,
    row_begin,
    row_end,
    row_length,
    row_margin,
)

cdef enum:
    SHORT = 16  # rows of a window whose sums are taken in the numbers' own type; beyond, in double


cdef struct Pad:
    # Bottom and right padding, and whether padding counts in |R|.
    Py_ssize_t p_b, p_r
    bint counts


cdef inline bint in_vectors(const Window* g) noexcept nogil:
    return narrow(g) and g.R <= SHORT


cdef inline Py_ssize_t rows_count(const Window* g, const Pad* pad, Py_ssize_t p) noexcept nogil:
    # |R[p,q]| is the number of its rows times that of its columns.
    if pad.counts:
        return least(g.R, g.H + pad.p_b + g.p_h - g.u * p)
    return row_end(g, p) - row_begin(g, p)


cdef inline Py_ssize_t counts_length(const Window* g, floating* kind) noexcept nogil:
    # Of the counts, with what vectors read behind them; even, since doubles may lie there next.
    return (g.Q + lanes_of(kind) + 1) // 2 * 2


cdef inline void set_columns_counts(const Window* g, const Pad* pad, floating* counts,
                                    Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(g.Q):
        if pad.counts:
            counts[q] = <floating>least(g.S, g.W + pad.p_r + g.p_w - g.v * q)
        else:
            counts[q] = <floating>(column_end(g, q) - column_begin(g, q))
    for q in range(g.Q, length):
        counts[q] = 1


cdef inline void total(vector* y, const void* Z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t n, Py_ssize_t rows,
                       bint full) noexcept nogil:
    # Down n columns from w on: whole vectors, if `full`.
    cdef vector z
    cdef Py_ssize_t r
    load(y, Z, w, n, full)
    for r in range(1, rows):
        load(&z, Z, r * W + w, n, full)
        y[0] = y[0] + z


cdef inline void down_rows(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, void* m,
                           vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), w = 0
    cdef vector y
    if width < lanes:
        total(&y, Z, W, 0, width, rows, False)
        put(y, m, 0, width, kind)
        return
    while w < width:
        if w + lanes > width:
            w = width - lanes  # some columns a second time
        total(&y, Z, W, w, lanes, rows, True)
        vector_at(m, w, kind)[0] = y
        w += lanes


cdef inline void down(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, void* m,
                      vector* kind) noexcept nogil:
    if rows == 2:
        down_rows(Z, W, width, 2, m, kind)
    elif rows == 3:
        down_rows(Z, W, width, 3, m, kind)
    else:
        down_rows(Z, W, width, rows, m, kind)


cdef inline void across_columns(const void* m, const void* counts, const void* rows, void* Y, Py_ssize_t Q,
                                Py_ssize_t S, int v, vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, s
    cdef vector y, h = spread(rows, 0, kind)
    while q < Q:
        if q + lanes > Q and Q >= lanes:
            q = Q - lanes
        y = strided(m, v * q, v, kind)
        for s in range(1, S):
            y = y + strided(m, v * q + s, v, kind)
        put(y / (h * vector_at(counts, q, kind)[0]), Y, q, Q - q, kind)
        q += lanes


cdef inline void across(const void* m, const void* counts, const void* rows, void* Y, const Window* g,
                        vector* kind) noexcept nogil:
    # Y[q] = the sum over s of m[v q + s], by the rows and columns of the window.
    if g.v == 1 and g.S == 3:
        across_columns(m, counts, rows, Y, g.Q, 3, 1, kind)
    elif g.v == 1:
        across_columns(m, counts, rows, Y, g.Q, g.S, 1, kind)
    elif g.v == 2 and g.S == 2:
        across_columns(m, counts, rows, Y, g.Q, 2, 2, kind)
    elif g.v == 2 and g.S == 3:
        across_columns(m, counts, rows, Y, g.Q, 3, 2, kind)
    elif g.v == 2:
        across_columns(m, counts, rows, Y, g.Q, g.S, 2, kind)
    elif g.v == 3:
        across_columns(m, counts, rows, Y, g.Q, g.S, 3, kind)
    else:
        across_columns(m, counts, rows, Y, g.Q, g.S, 4, kind)


cdef inline void Y_row_in_double(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, double rows,
                                 const Window* g, double* m) noexcept nogil:
    # Any window; wide or tall ones have many terms.
    cdef Py_ssize_t h, w, q
    cdef double y
    for w in range(columns_used(g)):
        m[w] = 0
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(columns_used(g)):
            m[w] += Z[h * g.W + w]
    for q in range(g.Q):
        y = 0
        for w in range(column_begin(g, q), column_end(g, q)):
            y += m[w]
        Y[q] = <floating>(y / (rows * counts[q]))


cdef inline void Y_row(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, floating rows,
                       const Window* g, floating* m) noexcept nogil:
    # P3 for one p; Z is the image's plane, Y the row.
    cdef Py_ssize_t h = row_begin(g, p)
    if not in_vectors(g):
        Y_row_in_double(Z, Y, p, counts, rows, g, <double*>m)
    elif floating is float:
        down[floats](Z + h * g.W, g.W, columns_used(g), row_end(g, p) - h, m, NULL)
        across[floats](m - g.p_w, counts, &rows, Y, g, NULL)
    else:
        down[doubles](Z + h * g.W, g.W, columns_used(g), row_end(g, p) - h, m, NULL)
        across[doubles](m - g.p_w, counts, &rows, Y, g, NULL)


cdef inline void Y_part(const floating* Z, floating* Y, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                        const Pad* pad, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of outputs.
    cdef Py_ssize_t plane = begin // g.P, p = begin % g.P, i, length = counts_length(g, Y)
    cdef floating* m = memory + length + (row_margin(g, lanes_of(Y)) if in_vectors(g) else 0)
    set_columns_counts(g, pad, memory, length)
    memset(memory + length, 0, 2 * row_length(g, lanes_of(Y)) * sizeof(floating))
    for i in range(begin, end):
        Y_row(Z + plane * g.H * g.W, Y + i * g.Q, p, memory, <floating>rows_count(g, pad, p), g, m)
        p += 1
        if p == g.P:
            p = 0
            plane += 1


cdef inline void dZ_part(const floating* Delta, floating* dZ, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                         const Pad* pad, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image.
    cdef Py_ssize_t plane = begin // g.H, h = begin % g.H, i, q, p  # p: the row that the ring lacks
    cdef Ring ring = ring_in(memory, g)
    cdef floating* counts = memory + ring_length(g)
    cdef floating* row
    cdef floating rows
    set_columns_counts(g, pad, counts, g.Q)
    move_to(&ring, g, h)
    p = ring.p
    for i in range(begin, end):
        p = most(p, ring.p)
        while p < least(ring.end + 1, g.P):
            row = slot(&ring, p, dZ)
            rows = <floating>rows_count(g, pad, p)
            for q in range(g.Q):
                row[q] = Delta[(plane * g.P + p) * g.Q + q] / (rows * counts[q])
            p += 1
        gather(&ring, g, EVERY, h, NULL, dZ + i * g.W)
        h += 1
        if h < g.H:
            move_on(&ring, g, h)
        else:
            h = 0
            plane += 1
            move_to(&ring, g, h)
            p = ring.p


def avg_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r,
               bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t rows = Y.shape[0] * Y.shape[1] * Y.shape[2], part, length
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    length = counts_length(&g, &Y[0, 0, 0, 0]) + 2 * row_length(&g, lanes_of(&Y[0, 0, 0, 0]))
    memory = memory_for(threads, length, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Y[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g, &pad,
               memory + part * (length))
    free(memory)


def avg_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                          Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r, bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t rows = dZ.shape[0] * dZ.shape[1] * dZ.shape[2], part, length
    cdef int threads = threads_for(<double>rows * g.W * R * S / (<double>u * v))
    cdef floating* memory
    if rows == 0:
        return
    length = ring_length(&g) + g.Q
    memory = memory_for(threads, length, &dZ[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part(&Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g, &pad,
                memory + part * length)
    free(memory)
