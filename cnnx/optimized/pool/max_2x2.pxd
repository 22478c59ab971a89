# Max pooling by windows of 2 x 2 that lie side by side and within the image, as nearly all networks have it: straight
# from one array into the other, without the rows in between of pool/max_row.pxd and the ring of pool/grad_input.pxd,
# which cost small images more than all else.
#
# A row shorter than a vector is taken for a whole one: the numbers beyond it are read from, or written to, the rows
# behind it, and these are written after it. A thread stops before a vector would leave its part of an array: what is
# left belongs to the general way. Numbers and order of comparisons are those of the general way too.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t

from ..runtime.integers cimport max_of, min_of
from ..simd.prefetch cimport PREFETCH_DISTANCE, prefetch_span
from ..simd.select cimport broadcast_index, first_winner, maximum, update_maximum, where_index
from ..simd.shuffle cimport deinterleave, interleave
from ..simd.vector cimport MAX_LANES, doubles, floats, lanes_in, load, size_of, store, vector, vector_at
from .row cimport LARGEST, NONE, WINNERS, pooling
from .window cimport Window, numbers_ahead


cdef inline bint tiles_2x2(const Window* g) noexcept nogil:
    return (g.R == 2 and g.S == 2 and g.u == 2 and g.v == 2 and g.p_h == 0 and g.p_w == 0
            and 2 * g.P <= g.H and 2 * g.Q <= g.W)


cdef inline bint covers_image(const Window* g) noexcept nogil:
    # Whether every pixel lies in a window.
    return tiles_2x2(g) and 2 * g.P == g.H and 2 * g.Q == g.W


cdef inline void narrow_winners(vector b, int32_t* B, vector* tag) noexcept nogil:
    # A vector of offsets, into int32.
    cdef int64_t wide[MAX_LANES]
    cdef Py_ssize_t j
    if vector is floats:
        store(b, B, 0)
    else:
        store(b, wide, 0)
        for j in range(lanes_in(tag)):
            B[j] = <int32_t>wide[j]


cdef inline vector wide_winners(const int32_t* B, vector* tag) noexcept nogil:
    cdef int64_t wide[MAX_LANES]
    cdef Py_ssize_t j
    if vector is floats:
        return load(B, 0, tag)
    else:
        for j in range(lanes_in(tag)):
            wide[j] = B[j]
        return load(wide, 0, tag)


cdef inline void Y_2x2(const void* z, Py_ssize_t W, void* y, int32_t* b, vector* tag, pooling how) noexcept nogil:
    # P1 for a vector of windows, whose rows begin at z and z + W.
    cdef vector left, right, i, j, low_left, low_right
    deinterleave(load(z, 0, tag), load(z, lanes_in(tag), tag), &left, &right)
    deinterleave(load(z, W, tag), load(z, W + lanes_in(tag), tag), &low_left, &low_right)
    if how == LARGEST:
        store(maximum(maximum(low_right, right), maximum(low_left, left)), y, 0)
        return
    i = j = broadcast_index(0, tag)
    update_maximum(low_left, broadcast_index(2, tag), &left, &i)
    update_maximum(low_right, broadcast_index(2, tag), &right, &j)
    low_left = maximum(right, left)
    store(low_left, y, 0)
    i = first_winner(left, low_left, broadcast_index(NONE, tag), i, 0)
    narrow_winners(first_winner(right, low_left, i, j, 1), b, tag)


cdef inline Py_ssize_t rows_Y_2x2(const void* Z, const void* Z_end, void* Y, int32_t* B, Py_ssize_t begin,
                                  Py_ssize_t end, const Window* g, vector* tag, pooling how) noexcept nogil:
    # As many of the rows begin, ..., end - 1 of all rows of outputs as can be done here; returns the first that is not.
    cdef Py_ssize_t lanes = lanes_in(tag), plane = begin // g.P, row = begin % g.P, i = begin, q
    cdef Py_ssize_t H = g.H, W = g.W, P = g.P, Q = g.Q, ahead  # g itself would be read anew after each store
    cdef const void* z
    if vector is floats:
        ahead = numbers_ahead[float](g, NULL)
    else:
        ahead = numbers_ahead[double](g, NULL)
    while i < end:
        z = vector_at(Z, (plane * H + 2 * row) * W, tag)
        prefetch_span(vector_at(z, ahead, tag), 2 * W * size_of(tag), Z_end)
        if Q < lanes and (i * Q + lanes > end * Q or <const void*>vector_at(z, W + 2 * lanes, tag) > Z_end):
            break
        q = 0
        while q < Q:
            q = max_of(0, min_of(q, Q - lanes))  # some columns a second time
            Y_2x2(vector_at(z, 2 * q, tag), W, vector_at(Y, i * Q + q, tag), B + i * Q + q if how == WINNERS else NULL,
                  tag, how)
            q += lanes
        i += 1
        row += 1
        if row == P:
            row = 0
            plane += 1
    return i


cdef inline Py_ssize_t part_Y_2x2(const floating* Z, const floating* Z_end, floating* Y, int32_t* B, Py_ssize_t begin,
                                  Py_ssize_t end, const Window* g, pooling how) noexcept nogil:
    if not tiles_2x2(g):
        return begin
    if floating is float:
        return rows_Y_2x2[floats](Z, Z_end, Y, B, begin, end, g, NULL, how)
    else:
        return rows_Y_2x2[doubles](Z, Z_end, Y, B, begin, end, g, NULL, how)


cdef inline void dZ_2x2(const void* Delta, const int32_t* B, void* dZ, Py_ssize_t offset, bint second,
                        vector* tag) noexcept nogil:
    # P2 for one row of a vector of windows. offset: of the row's first member; second: the right half is wanted too.
    cdef vector d = load(Delta, 0, tag), b = wide_winners(B, tag), none = broadcast_index(0, tag), left, right
    # A sum, as P2 has it: -0 becomes 0.
    left = none + where_index(d, b, broadcast_index(offset, tag))
    right = none + where_index(d, b, broadcast_index(offset + 1, tag))
    interleave(left, right, &left, &right)
    store(left, dZ, 0)
    if second:
        store(right, dZ, lanes_in(tag))


cdef inline Py_ssize_t rows_dZ_2x2(const void* Delta, const int32_t* B, void* dZ, Py_ssize_t begin, Py_ssize_t end,
                                   Py_ssize_t rows, const Window* g, vector* tag) noexcept nogil:
    # The same for the rows of dZ, where begin is even; `rows` is the number of all of Delta's.
    cdef Py_ssize_t lanes = lanes_in(tag), ahead = PREFETCH_DISTANCE // size_of(tag), i = begin // 2, q, row
    cdef const void* Delta_end = vector_at(Delta, rows * g.Q, tag)
    cdef const void* dZ_end = vector_at(dZ, rows * 2 * g.W, tag)
    cdef bint second = g.W > lanes
    while 2 * i + 2 <= end:
        if g.Q < lanes and ((2 * i + 1) * g.W + (2 if second else 1) * lanes > end * g.W
                            or i * g.Q + lanes > rows * g.Q):
            break
        prefetch_span(vector_at(dZ, 2 * i * g.W + ahead, tag), 2 * g.W * size_of(tag), dZ_end)
        prefetch_span(vector_at(Delta, i * g.Q + ahead // 2, tag), g.Q * size_of(tag), Delta_end)
        prefetch_span(B + i * g.Q + ahead // 2, g.Q * sizeof(int32_t), B + rows * g.Q)
        for row in range(2):
            q = 0
            while q < g.Q:
                q = max_of(0, min_of(q, g.Q - lanes))
                dZ_2x2(vector_at(Delta, i * g.Q + q, tag), B + i * g.Q + q,
                       vector_at(dZ, (2 * i + row) * g.W + 2 * q, tag), 2 * row, second, tag)
                q += lanes
        i += 1
    return 2 * i


cdef inline Py_ssize_t part_dZ_2x2(const floating* Delta, const int32_t* B, floating* dZ, Py_ssize_t begin,
                                   Py_ssize_t end, Py_ssize_t rows, const Window* g) noexcept nogil:
    if floating is float:
        return rows_dZ_2x2[floats](Delta, B, dZ, begin, end, rows, g, NULL)
    else:
        return rows_dZ_2x2[doubles](Delta, B, dZ, begin, end, rows, g, NULL)
