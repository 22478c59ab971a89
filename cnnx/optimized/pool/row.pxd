# A row of max or average pooling in vectors: down the columns of the window rows, then across (see pool/window.pxd).
#
# m and k point to the row's first column: the sums or the maxima of the columns, and r S of the window row r that holds
# each maximum. What is not asked for may be NULL.

from ..simd.select cimport (
    broadcast_index, first_winner, load_partial, load_strided, maximum, store_partial, update_maximum,
)
from ..simd.vector cimport broadcast, fma, lanes_in, load, store, vector

cdef enum pooling:  # a constant wherever these are called
    MEAN
    LARGEST
    WINNERS  # the largest, and which member it is

cdef enum:
    NONE = 0x7fffffff


cdef inline void reduce_rows_at(vector* y, vector* i, const void* Z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t n,
                                Py_ssize_t rows, Py_ssize_t first, Py_ssize_t S, bint full, pooling how) noexcept nogil:
    # Down n columns from w on: whole vectors, if `full`. The first row is `first` = r S.
    cdef vector z
    cdef Py_ssize_t r
    load_partial(y, Z, w, n, full)
    if how == WINNERS:
        i[0] = broadcast_index(first, y)
    for r in range(1, rows):
        load_partial(&z, Z, r * W + w, n, full)
        if how == WINNERS:
            update_maximum(z, broadcast_index(first + r * S, y), y, i)
        elif how == LARGEST:
            y[0] = maximum(z, y[0])
        else:
            y[0] = y[0] + z


cdef inline void reduce_row_vectors(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first,
                                    Py_ssize_t S, void* m, void* k, vector* tag, pooling how) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(tag), w = 0
    cdef vector y, i
    if width < lanes:
        reduce_rows_at(&y, &i, Z, W, 0, width, rows, first, S, False, how)
        store_partial(y, m, 0, width, tag)
        if how == WINNERS:
            store_partial(i, k, 0, width, tag)
        return
    while w < width:
        if w + lanes > width:
            w = width - lanes  # some columns a second time
        reduce_rows_at(&y, &i, Z, W, w, lanes, rows, first, S, True, how)
        store(y, m, w)
        if how == WINNERS:
            store(i, k, w)
        w += lanes


cdef inline void reduce_rows(const void* Z, Py_ssize_t W, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t first,
                             Py_ssize_t S, void* m, void* k, vector* tag, pooling how) noexcept nogil:
    if rows == 2:
        reduce_row_vectors(Z, W, width, 2, first, S, m, k, tag, how)
    elif rows == 3:
        reduce_row_vectors(Z, W, width, 3, first, S, m, k, tag, how)
    else:
        reduce_row_vectors(Z, W, width, rows, first, S, m, k, tag, how)


cdef inline void reduce_column_vectors(const void* m, const void* k, const void* rows, const void* counts, void* Y,
                                       void* B, Py_ssize_t Q, Py_ssize_t S, int v, vector* beyond,
                                       pooling how) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(beyond), q = 0, s
    cdef double zero = 0
    cdef vector x, y, i, bad
    cdef vector* tag = NULL
    if how == MEAN:
        bad = load(beyond, 0, tag)  # a caller's array need not lie as a vector has to
    while q < Q:
        if q + lanes > Q and Q >= lanes:
            q = Q - lanes
        y = load_strided(m, v * q, v, tag)
        for s in range(1, S):
            x = load_strided(m, v * q + s, v, tag)
            y = y + x if how == MEAN else maximum(x, y)
        if how == MEAN:
            bad = fma(bad, y, broadcast(&zero, 0, tag))  # 0, or NaN
            y = y / (broadcast(rows, 0, tag) * load(counts, q, tag))
        if how == WINNERS:
            i = broadcast_index(NONE, tag)
            for s in range(S):
                i = first_winner(load_strided(m, v * q + s, v, tag), y, i, load_strided(k, v * q + s, v, tag), s)
        store_partial(y, Y, q, Q - q, tag)
        if how == WINNERS:
            store_partial(i, B, q, Q - q, tag)
        q += lanes
    if how == MEAN:
        store(bad, beyond, 0)


cdef inline void reduce_columns(const void* m, const void* k, const void* rows, const void* counts, void* Y, void* B,
                                Py_ssize_t Q, Py_ssize_t S, Py_ssize_t v, vector* beyond, pooling how) noexcept nogil:
    # Y[q]: of m[v q + s], s < S, the largest; or the sum by rows[0] counts[q], the number of the window's members.
    # B[q]: the first of the winners, as wide as a lane. Of sums, beyond[0] is no longer 0 once one is infinite or NaN;
    # of maxima it is not read.
    if v == 1 and S == 3:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, 3, 1, beyond, how)
    elif v == 1:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, S, 1, beyond, how)
    elif v == 2 and S == 2:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, 2, 2, beyond, how)
    elif v == 2 and S == 3:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, 3, 2, beyond, how)
    elif v == 2:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, S, 2, beyond, how)
    elif v == 3:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, S, 3, beyond, how)
    else:
        reduce_column_vectors(m, k, rows, counts, Y, B, Q, S, 4, beyond, how)
