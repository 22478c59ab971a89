# Max pooling by windows of 2 x 2 that lie side by side and within the image, as nearly all networks have it: straight
# from one array into the other, without the rows in between of _max.pxd and the ring of _gather.pxd, which cost small
# images more than all else.
#
# A row shorter than a vector is taken for a whole one: the numbers beyond it are read from, or written to, the rows
# behind it, and these are written after it. A thread stops before a vector would leave its part of an array: what is
# left belongs to the general way. Numbers and order of comparisons are those of the general way too.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from ._ahead cimport AHEAD, fetch_span
from ._index cimport least, most
from ._lanes cimport earlier, larger, take, where_whole, whole
from ._pool cimport LARGEST, NONE, WINNERS, pooling
from ._shuffle cimport join, split
from ._vector cimport MOST_LANES, doubles, floats, lanes_in, size_of, vector, vector_at
from ._window cimport Window, numbers_ahead


cdef inline bint in_quads(const Window* g) noexcept nogil:
    return (g.R == 2 and g.S == 2 and g.u == 2 and g.v == 2 and g.p_h == 0 and g.p_w == 0
            and 2 * g.P <= g.H and 2 * g.Q <= g.W)


cdef inline bint cover(const Window* g) noexcept nogil:
    # Whether every pixel lies in a window.
    return in_quads(g) and 2 * g.P == g.H and 2 * g.Q == g.W


cdef inline void narrow_winners(vector b, int32_t* B, vector* kind) noexcept nogil:
    # A vector of offsets, into int32.
    cdef int64_t wide[MOST_LANES]
    cdef Py_ssize_t j
    if vector is floats:
        vector_at(B, 0, kind)[0] = b
    else:
        vector_at(wide, 0, kind)[0] = b
        for j in range(lanes_in(kind)):
            B[j] = <int32_t>wide[j]


cdef inline vector wide_winners(const int32_t* B, vector* kind) noexcept nogil:
    cdef int64_t wide[MOST_LANES]
    cdef Py_ssize_t j
    if vector is floats:
        return vector_at(B, 0, kind)[0]
    else:
        for j in range(lanes_in(kind)):
            wide[j] = B[j]
        return vector_at(wide, 0, kind)[0]


cdef inline void quads_Y(const void* z, Py_ssize_t W, void* y, int32_t* b, vector* kind, pooling how) noexcept nogil:
    # P1 for a vector of windows, whose rows begin at z and z + W.
    cdef vector left, right, i, j, low_left, low_right
    split(vector_at(z, 0, kind)[0], vector_at(z, lanes_in(kind), kind)[0], &left, &right)
    split(vector_at(z, W, kind)[0], vector_at(z, W + lanes_in(kind), kind)[0], &low_left, &low_right)
    if how == LARGEST:
        vector_at(y, 0, kind)[0] = larger(larger(low_right, right), larger(low_left, left))
        return
    i = j = whole(0, kind)
    take(low_left, whole(2, kind), &left, &i)
    take(low_right, whole(2, kind), &right, &j)
    low_left = larger(right, left)
    vector_at(y, 0, kind)[0] = low_left
    i = earlier(left, low_left, whole(NONE, kind), i, 0)
    narrow_winners(earlier(right, low_left, i, j, 1), b, kind)


cdef inline Py_ssize_t quads_rows_Y(const void* Z, const void* Z_end, void* Y, int32_t* B, Py_ssize_t begin,
                                    Py_ssize_t end, const Window* g, vector* kind, pooling how) noexcept nogil:
    # As many of the rows begin, ..., end - 1 of all rows of outputs as can be done here; returns the first that is not.
    cdef Py_ssize_t lanes = lanes_in(kind), plane = begin // g.P, row = begin % g.P, i = begin, q
    cdef Py_ssize_t H = g.H, W = g.W, P = g.P, Q = g.Q, ahead  # g itself would be read anew after each store
    cdef const vector* z
    if vector is floats:
        ahead = numbers_ahead[float](g, NULL)
    else:
        ahead = numbers_ahead[double](g, NULL)
    while i < end:
        z = vector_at(Z, (plane * H + 2 * row) * W, kind)
        fetch_span(vector_at(z, ahead, kind), 2 * W * size_of(kind), Z_end)
        if Q < lanes and (i * Q + lanes > end * Q or <const void*>vector_at(z, W + 2 * lanes, kind) > Z_end):
            break
        q = 0
        while q < Q:
            q = most(0, least(q, Q - lanes))  # some columns a second time
            quads_Y(vector_at(z, 2 * q, kind), W, vector_at(Y, i * Q + q, kind),
                    B + i * Q + q if how == WINNERS else NULL, kind, how)
            q += lanes
        i += 1
        row += 1
        if row == P:
            row = 0
            plane += 1
    return i


cdef inline Py_ssize_t quads_Y_part(const floating* Z, const floating* Z_end, floating* Y, int32_t* B,
                                    Py_ssize_t begin, Py_ssize_t end, const Window* g, pooling how) noexcept nogil:
    if not in_quads(g):
        return begin
    if floating is float:
        return quads_rows_Y[floats](Z, Z_end, Y, B, begin, end, g, NULL, how)
    else:
        return quads_rows_Y[doubles](Z, Z_end, Y, B, begin, end, g, NULL, how)


cdef inline void quads_dZ(const void* Delta, const int32_t* B, void* dZ, Py_ssize_t offset, bint second,
                          vector* kind) noexcept nogil:
    # P2 for one row of a vector of windows. offset: of the row's first member; second: the right half is wanted too.
    cdef vector d = vector_at(Delta, 0, kind)[0], b = wide_winners(B, kind), none = whole(0, kind), left, right
    # A sum, as P2 has it: -0 becomes 0.
    left = none + where_whole(d, b, whole(offset, kind))
    right = none + where_whole(d, b, whole(offset + 1, kind))
    join(left, right, &left, &right)
    vector_at(dZ, 0, kind)[0] = left
    if second:
        vector_at(dZ, lanes_in(kind), kind)[0] = right


cdef inline Py_ssize_t quads_rows_dZ(const void* Delta, const int32_t* B, void* dZ, Py_ssize_t begin, Py_ssize_t end,
                                     Py_ssize_t rows, const Window* g, vector* kind) noexcept nogil:
    # The same for the rows of dZ, where begin is even; `rows` is the number of all of Delta's.
    cdef Py_ssize_t lanes = lanes_in(kind), ahead = AHEAD // size_of(kind), i = begin // 2, q, row
    cdef const void* Delta_end = vector_at(Delta, rows * g.Q, kind)
    cdef const void* dZ_end = vector_at(dZ, rows * 2 * g.W, kind)
    cdef bint second = g.W > lanes
    while 2 * i + 2 <= end:
        if g.Q < lanes and ((2 * i + 1) * g.W + (2 if second else 1) * lanes > end * g.W
                            or i * g.Q + lanes > rows * g.Q):
            break
        fetch_span(vector_at(dZ, 2 * i * g.W + ahead, kind), 2 * g.W * size_of(kind), dZ_end)
        fetch_span(vector_at(Delta, i * g.Q + ahead // 2, kind), g.Q * size_of(kind), Delta_end)
        fetch_span(B + i * g.Q + ahead // 2, g.Q * sizeof(int32_t), B + rows * g.Q)
        for row in range(2):
            q = 0
            while q < g.Q:
                q = most(0, least(q, g.Q - lanes))
                quads_dZ(vector_at(Delta, i * g.Q + q, kind), B + i * g.Q + q,
                         vector_at(dZ, (2 * i + row) * g.W + 2 * q, kind), 2 * row, second, kind)
                q += lanes
        i += 1
    return 2 * i


cdef inline Py_ssize_t quads_dZ_part(const floating* Delta, const int32_t* B, floating* dZ, Py_ssize_t begin,
                                     Py_ssize_t end, Py_ssize_t rows, const Window* g) noexcept nogil:
    if floating is float:
        return quads_rows_dZ[floats](Delta, B, dZ, begin, end, rows, g, NULL)
    else:
        return quads_rows_dZ[doubles](Delta, B, dZ, begin, end, rows, g, NULL)
