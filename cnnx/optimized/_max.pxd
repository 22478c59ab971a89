# One row of maxima, and of winners, of max pooling: down the columns of the window, then across (see _window.pxd).
#
# m and k point to the row's first column: the maxima of the columns, and r S of the window row r that holds each.

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

from ._lanes cimport earlier, lanes_in, larger, load, put, strided, take, whole
from ._tile cimport doubles, floats, vector, vector_at
from ._window cimport Window, column_begin, column_end, columns_used, narrow, row_begin, row_end

ctypedef fused integer:  # an offset in a lane
    int32_t
    int64_t

cdef enum:
    # The row r S that stands for padding: behind every row of a narrow window.
    BEHIND = 0x40000000
    NONE = 0x7fffffff


cdef inline void largest(vector* y, const void* Z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t n, Py_ssize_t rows,
                         bint full) noexcept nogil:
    # Down n columns from w on: whole vectors, if `full`.
    cdef vector z
    cdef Py_ssize_t r
    load(y, Z, w, n, full)
    for r in range(1, rows):
        load(&z, Z, r * W + w, n, full)
        y[0] = larger(z, y[0])


cdef inline void down_rows(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, void* m,
                           vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), w = 0
    cdef vector y
    if width < lanes:
        largest(&y, Z, W, 0, width, rows, False)
        put(y, m, 0, width, kind)
        return
    while w < width:
        if w + lanes > width:
            w = width - lanes  # some columns a second time
        largest(&y, Z, W, w, lanes, rows, True)
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


cdef inline void across_columns(const void* m, void* Y, Py_ssize_t Q, Py_ssize_t S, int v,
                                vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, s
    cdef vector y
    while q < Q:
        if q + lanes > Q and Q >= lanes:
            q = Q - lanes
        y = strided(m, v * q, v, kind)
        for s in range(1, S):
            y = larger(strided(m, v * q + s, v, kind), y)
        put(y, Y, q, Q - q, kind)
        q += lanes


cdef inline void across(const void* m, void* Y, Py_ssize_t Q, Py_ssize_t S, Py_ssize_t v, vector* kind) noexcept nogil:
    # Y[q] = max over s of m[v q + s].
    if v == 1 and S == 3:
        across_columns(m, Y, Q, 3, 1, kind)
    elif v == 1:
        across_columns(m, Y, Q, S, 1, kind)
    elif v == 2 and S == 2:
        across_columns(m, Y, Q, 2, 2, kind)
    elif v == 2 and S == 3:
        across_columns(m, Y, Q, 3, 2, kind)
    elif v == 2:
        across_columns(m, Y, Q, S, 2, kind)
    elif v == 3:
        across_columns(m, Y, Q, S, 3, kind)
    else:
        across_columns(m, Y, Q, S, 4, kind)


cdef inline void across_clipped(const floating* m, floating* Y, const Window* g) noexcept nogil:
    cdef Py_ssize_t q, w
    cdef floating y
    for q in range(g.Q):
        y = m[column_begin(g, q)]
        for w in range(column_begin(g, q) + 1, column_end(g, q)):
            y = m[w] if (m[w] > y) | (m[w] != m[w]) else y
        Y[q] = y


cdef inline void Y_row(const floating* Z, floating* Y, Py_ssize_t p, const Window* g, floating* m) noexcept nogil:
    # P1 for one p; Z is the image's plane, Y the row.
    cdef Py_ssize_t h = row_begin(g, p), rows = row_end(g, p) - h
    if floating is float:
        down[floats](Z + h * g.W, g.W, columns_used(g), rows, m, NULL)
    else:
        down[doubles](Z + h * g.W, g.W, columns_used(g), rows, m, NULL)
    if not narrow(g):
        across_clipped(m, Y, g)
    elif floating is float:
        across[floats](m - g.p_w, Y, g.Q, g.S, g.v, NULL)
    else:
        across[doubles](m - g.p_w, Y, g.Q, g.S, g.v, NULL)


# ---------------------------------------------------------------------------------------- winners


cdef inline void largest_and_row(const void* Z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t n, Py_ssize_t rows,
                                 Py_ssize_t first, Py_ssize_t S, bint full, vector* y, vector* i) noexcept nogil:
    # Down n columns from w on, where the first row is `first` = r S.
    cdef vector z
    cdef Py_ssize_t r
    load(y, Z, w, n, full)
    i[0] = whole(first, y)
    for r in range(1, rows):
        load(&z, Z, r * W + w, n, full)
        take(z, whole(first + r * S, y), y, i)


cdef inline void down_winners_rows(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first,
                                   Py_ssize_t S, void* m, void* k, vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), w = 0
    cdef vector y, i
    if width < lanes:
        largest_and_row(Z, W, 0, width, rows, first, S, False, &y, &i)
        put(y, m, 0, width, kind)
        put(i, k, 0, width, kind)
        return
    while w < width:
        if w + lanes > width:
            w = width - lanes
        largest_and_row(Z, W, w, lanes, rows, first, S, True, &y, &i)
        vector_at(m, w, kind)[0] = y
        vector_at(k, w, kind)[0] = i
        w += lanes


cdef inline void down_winners(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first,
                              Py_ssize_t S, void* m, void* k, vector* kind) noexcept nogil:
    if rows == 2:
        down_winners_rows(Z, W, width, 2, first, S, m, k, kind)
    elif rows == 3:
        down_winners_rows(Z, W, width, 3, first, S, m, k, kind)
    else:
        down_winners_rows(Z, W, width, rows, first, S, m, k, kind)


cdef inline void across_winners_columns(const void* m, const void* k, void* Y, void* B, Py_ssize_t Q, Py_ssize_t S,
                                        int v, vector* kind) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, s
    cdef vector y, i
    while q < Q:
        if q + lanes > Q and Q >= lanes:
            q = Q - lanes
        y = strided(m, v * q, v, kind)
        for s in range(1, S):
            y = larger(strided(m, v * q + s, v, kind), y)
        i = whole(NONE, kind)
        for s in range(S):
            i = earlier(strided(m, v * q + s, v, kind), y, i, strided(k, v * q + s, v, kind), s)
        put(y, Y, q, Q - q, kind)
        put(i, B, q, Q - q, kind)
        q += lanes


cdef inline void across_winners(const void* m, const void* k, void* Y, void* B, Py_ssize_t Q, Py_ssize_t S,
                                Py_ssize_t v, vector* kind) noexcept nogil:
    # Y[q] as across() has it; B[q] is the first of its winners, as wide as a lane.
    if v == 1 and S == 3:
        across_winners_columns(m, k, Y, B, Q, 3, 1, kind)
    elif v == 1:
        across_winners_columns(m, k, Y, B, Q, S, 1, kind)
    elif v == 2 and S == 2:
        across_winners_columns(m, k, Y, B, Q, 2, 2, kind)
    elif v == 2 and S == 3:
        across_winners_columns(m, k, Y, B, Q, 3, 2, kind)
    elif v == 2:
        across_winners_columns(m, k, Y, B, Q, S, 2, kind)
    elif v == 3:
        across_winners_columns(m, k, Y, B, Q, S, 3, kind)
    else:
        across_winners_columns(m, k, Y, B, Q, S, 4, kind)


cdef inline void across_winners_clipped(const floating* m, const integer* k, floating* Y, integer* B,
                                        const Window* g) noexcept nogil:
    cdef Py_ssize_t q, w
    cdef floating y
    cdef integer i, j
    for q in range(g.Q):
        y = m[column_begin(g, q)]
        i = <integer>(k[column_begin(g, q)] + column_begin(g, q) + g.p_w - g.v * q)
        for w in range(column_begin(g, q) + 1, column_end(g, q)):
            j = <integer>(k[w] + w + g.p_w - g.v * q)
            # A tie is won by the row further up.
            if m[w] > y or (m[w] != m[w] and y == y) or (j < i and (m[w] == y or (m[w] != m[w] and y != y))):
                y = m[w]
                i = j
        Y[q] = y
        B[q] = i


cdef inline void winners_row(const floating* Z, floating* Y, void* B, Py_ssize_t p, const Window* g,
                             floating* m, floating* k) noexcept nogil:
    # Y_row() and the winners: B is a row of int32 beside floats, of int64 beside doubles.
    cdef Py_ssize_t h = row_begin(g, p), rows = row_end(g, p) - h, first = (h + g.p_h - g.u * p) * g.S
    if floating is float:
        down_winners[floats](Z + h * g.W, g.W, columns_used(g), rows, first, g.S, m, k, NULL)
        if narrow(g):
            across_winners[floats](m - g.p_w, k - g.p_w, Y, B, g.Q, g.S, g.v, NULL)
        else:
            across_winners_clipped(m, <const int32_t*>k, Y, <int32_t*>B, g)
    else:
        down_winners[doubles](Z + h * g.W, g.W, columns_used(g), rows, first, g.S, m, k, NULL)
        if narrow(g):
            across_winners[doubles](m - g.p_w, k - g.p_w, Y, B, g.Q, g.S, g.v, NULL)
        else:
            across_winners_clipped(m, <const int64_t*>k, Y, <int64_t*>B, g)


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
