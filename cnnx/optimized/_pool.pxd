# A row of max or average pooling in vectors: down the columns of the window rows, then across (see _window.pxd).
#
# m and k point to the row's first column: the sums or the maxima of the columns, and r S of the window row r that holds
# each maximum. What is not asked for may be NULL.

from ._lanes cimport earlier, larger, load, put, strided, take, whole
from ._vector cimport lanes_in, spread, vector, vector_at

cdef enum pooling:  # a constant wherever these are called
    MEAN
    LARGEST
    WINNERS  # the largest, and which member it is

cdef enum:
    NONE = 0x7fffffff


cdef inline void down_columns(vector* y, vector* i, const void* Z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t n,
                              Py_ssize_t rows, Py_ssize_t first, Py_ssize_t S, bint full, pooling how) noexcept nogil:
    # Down n columns from w on: whole vectors, if `full`. The first row is `first` = r S.
    cdef vector z
    cdef Py_ssize_t r
    load(y, Z, w, n, full)
    if how == WINNERS:
        i[0] = whole(first, y)
    for r in range(1, rows):
        load(&z, Z, r * W + w, n, full)
        if how == WINNERS:
            take(z, whole(first + r * S, y), y, i)
        elif how == LARGEST:
            y[0] = larger(z, y[0])
        else:
            y[0] = y[0] + z


cdef inline void down_rows(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first,
                           Py_ssize_t S, void* m, void* k, vector* kind, pooling how) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), w = 0
    cdef vector y, i
    if width < lanes:
        down_columns(&y, &i, Z, W, 0, width, rows, first, S, False, how)
        put(y, m, 0, width, kind)
        if how == WINNERS:
            put(i, k, 0, width, kind)
        return
    while w < width:
        if w + lanes > width:
            w = width - lanes  # some columns a second time
        down_columns(&y, &i, Z, W, w, lanes, rows, first, S, True, how)
        vector_at(m, w, kind)[0] = y
        if how == WINNERS:
            vector_at(k, w, kind)[0] = i
        w += lanes


cdef inline void down(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t S,
                      void* m, void* k, vector* kind, pooling how) noexcept nogil:
    if rows == 2:
        down_rows(Z, W, width, 2, first, S, m, k, kind, how)
    elif rows == 3:
        down_rows(Z, W, width, 3, first, S, m, k, kind, how)
    else:
        down_rows(Z, W, width, rows, first, S, m, k, kind, how)


cdef inline void across_columns(const void* m, const void* k, const void* rows, const void* counts, void* Y, void* B,
                                Py_ssize_t Q, Py_ssize_t S, int v, vector* kind, pooling how) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, s
    cdef vector x, y, i
    while q < Q:
        if q + lanes > Q and Q >= lanes:
            q = Q - lanes
        y = strided(m, v * q, v, kind)
        for s in range(1, S):
            x = strided(m, v * q + s, v, kind)
            y = y + x if how == MEAN else larger(x, y)
        if how == MEAN:
            y = y / (spread(rows, 0, kind) * vector_at(counts, q, kind)[0])
        if how == WINNERS:
            i = whole(NONE, kind)
            for s in range(S):
                i = earlier(strided(m, v * q + s, v, kind), y, i, strided(k, v * q + s, v, kind), s)
        put(y, Y, q, Q - q, kind)
        if how == WINNERS:
            put(i, B, q, Q - q, kind)
        q += lanes


cdef inline void across(const void* m, const void* k, const void* rows, const void* counts, void* Y, void* B,
                        Py_ssize_t Q, Py_ssize_t S, Py_ssize_t v, vector* kind, pooling how) noexcept nogil:
    # Y[q]: of m[v q + s], s < S, the largest; or the sum by rows[0] counts[q], the number of the window's members.
    # B[q]: the first of the winners, as wide as a lane.
    if v == 1 and S == 3:
        across_columns(m, k, rows, counts, Y, B, Q, 3, 1, kind, how)
    elif v == 1:
        across_columns(m, k, rows, counts, Y, B, Q, S, 1, kind, how)
    elif v == 2 and S == 2:
        across_columns(m, k, rows, counts, Y, B, Q, 2, 2, kind, how)
    elif v == 2 and S == 3:
        across_columns(m, k, rows, counts, Y, B, Q, 3, 2, kind, how)
    elif v == 2:
        across_columns(m, k, rows, counts, Y, B, Q, S, 2, kind, how)
    elif v == 3:
        across_columns(m, k, rows, counts, Y, B, Q, S, 3, kind, how)
    else:
        across_columns(m, k, rows, counts, Y, B, Q, S, 4, kind, how)
