# Pooling of small images, and of any by windows that fit no vector: a lane for each plane. As many planes as a vector
# has lanes are transposed, so that a number of each is a vector; then every window is a few vectors, wherever it lies.
# Numbers and the order of comparisons and sums are those of a row (pool/row.pxd): down the columns, then across.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from ..runtime.integers cimport ceil_div, end_output, first_output, max_of, min_of
from ..simd.reduce cimport LANES, broadcast_sums, sums, sums_in_memory, widen
from ..simd.select cimport broadcast_index, first_winner, maximum, update_maximum
from ..simd.shuffle cimport transpose
from ..simd.vector cimport MAX_LANES, broadcast, doubles, floats, fma, lanes_in, lanes_of, load, store, vector
from .row cimport MEAN, NONE, WINNERS, pooling
from .window cimport Window, column_begin, column_end, columns_used, fits_vectors, row_begin, row_end

cdef enum:
    SMALL = 1024  # pixels of an image that is small
    MOST = 4096  # pixels of one that is transposed at all: a vector each
    WIDE = 32  # columns of an image whose rows are long enough for vectors of their own


cdef inline bint by_planes(const Window* g, Py_ssize_t planes, const floating* tag) noexcept nogil:
    # Whether the planes had better be lanes. By shapes alone, but the same numbers come either way.
    cdef Py_ssize_t pixels = max_of(g.H * g.W, g.P * g.Q)
    return planes >= lanes_of(tag) and (pixels <= SMALL and g.W < WIDE or pixels <= MOST and not fits_vectors(g))


cdef inline Py_ssize_t groups_of(Py_ssize_t planes, const floating* tag) noexcept nogil:
    return ceil_div(planes, lanes_of(tag))


cdef inline Py_ssize_t planes_length(const Window* g, const floating* tag) noexcept nogil:
    # Numbers of memory: the pixels, two rows of them, the outputs and the winners.
    return (max_of(g.H * g.W, g.P * g.Q) + 2 * g.W + 2 * g.P * g.Q) * lanes_of(tag)


cdef inline void to_lanes(const floating* x, Py_ssize_t size, Py_ssize_t planes, floating* y) noexcept nogil:
    # y[i][lane] = x[lane][i] for planes of `size` numbers; lanes without a plane hold 0.
    cdef Py_ssize_t lanes = lanes_of(x), i = 0
    while i < size:
        i = max_of(0, min_of(i, size - lanes))  # some numbers a second time, but whole vectors
        transpose(x + i, size, planes, min_of(lanes, size - i), y + i * lanes, lanes, lanes)
        i += lanes


cdef inline void from_lanes(const floating* y, Py_ssize_t size, Py_ssize_t planes, floating* x) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(x), i = 0, width
    if size == 1:
        memcpy(x, y, planes * sizeof(floating))
        return
    while i < size:
        i = max_of(0, min_of(i, size - lanes))
        width = min_of(lanes, size - i)
        transpose(y + i * lanes, lanes, width, planes, x + i, size, width)
        i += lanes


cdef inline void reduce_planes(const void* z, void* y, void* b, void* m, void* k, const void* rows_counts,
                               const void* columns_counts, const Window* g, vector* beyond,
                               pooling how) noexcept nogil:
    # All outputs of the planes in z: y, and the winners b; m, k: room for a row each. Of means rows_counts[p] times
    # columns_counts[q] is the number of members, and beyond[0] is no longer 0 once a sum is infinite or NaN.
    cdef Py_ssize_t lanes = lanes_in(beyond), p, q, w, h, r, rows, first, left, right
    cdef vector* tag = NULL
    cdef vector a, x, i, none = broadcast_index(0, tag), bad = none
    if how == MEAN:
        bad = load(beyond, 0, tag)
    for p in range(g.P):
        h = row_begin(g, p)
        rows = row_end(g, p) - h
        first = (h + g.p_h - g.u * p) * g.S
        for w in range(columns_used(g)):
            a = load(z, (h * g.W + w) * lanes, tag)
            i = broadcast_index(first, tag)
            for r in range(1, rows):
                x = load(z, ((h + r) * g.W + w) * lanes, tag)
                if how == WINNERS:
                    update_maximum(x, broadcast_index(first + r * g.S, tag), &a, &i)
                else:
                    a = a + x if how == MEAN else maximum(x, a)
            store(a, m, w * lanes)
            if how == WINNERS:
                store(i, k, w * lanes)
        for q in range(g.Q):
            left, right = column_begin(g, q), column_end(g, q)
            a = load(m, left * lanes, tag)
            for w in range(left + 1, right):
                x = load(m, w * lanes, tag)
                a = a + x if how == MEAN else maximum(x, a)
            if how == MEAN:
                if right - left < g.S:
                    a = a + none  # padding's sum
                bad = fma(bad, a, none)  # 0, or NaN
                a = a / (broadcast(rows_counts, p, tag) * broadcast(columns_counts, q, tag))
            if how == WINNERS:
                i = broadcast_index(NONE, tag)
                for w in range(left, right):
                    i = first_winner(load(m, w * lanes, tag), a, i, load(k, w * lanes, tag), w + g.p_w - g.v * q)
                store(i, b, (p * g.Q + q) * lanes)
            store(a, y, (p * g.Q + q) * lanes)
    if how == MEAN:
        store(bad, beyond, 0)


cdef inline void mean_planes_in_double(const floating* z, floating* y, double* m, const floating* rows_counts,
                                       const floating* columns_counts, const Window* g) noexcept nogil:
    # Means of the planes in z, whose sums are taken in double; m: room for a row of these.
    cdef Py_ssize_t lanes = lanes_of(z), p, q, w, h
    cdef double total[MAX_LANES]
    cdef sums a[2]
    cdef int n = 2 if floating is float else 1, j  # vectors of doubles that as many numbers take
    for p in range(g.P):
        for w in range(columns_used(g)):
            for j in range(n):
                a[j] = broadcast_sums(0)
            for h in range(row_begin(g, p), row_end(g, p)):
                for j in range(n):
                    a[j] = a[j] + widen(z + (h * g.W + w) * lanes + j * LANES)
            for j in range(n):
                (<sums_in_memory*>(m + w * lanes + j * LANES))[0] = a[j]
        for q in range(g.Q):
            for j in range(n):
                a[j] = broadcast_sums(0)
            for w in range(column_begin(g, q), column_end(g, q)):
                for j in range(n):
                    a[j] = a[j] + (<sums_in_memory*>(m + w * lanes + j * LANES))[0]
            for j in range(n):
                (<sums_in_memory*>(total + j * LANES))[0] = a[j]
            for j in range(<int>lanes):
                y[(p * g.Q + q) * lanes + j] = <floating>(total[j] / (<double>rows_counts[p] * columns_counts[q]))


cdef inline void spread_means(void* d, void* dz, const void* rows_counts, const void* columns_counts, const Window* g,
                              vector* tag) noexcept nogil:
    # P3's gradient: each pixel's sum of the shares of its windows, in their order. d: Delta, of which shares are made.
    cdef Py_ssize_t lanes = lanes_in(tag), p, q, h, w, first_p, end_p, first_q, end_q
    cdef vector total
    for p in range(g.P):
        for q in range(g.Q):
            total = load(d, (p * g.Q + q) * lanes, tag)
            total = total / (broadcast(rows_counts, p, tag) * broadcast(columns_counts, q, tag))
            store(total, d, (p * g.Q + q) * lanes)
    for w in range(g.W):
        first_q, end_q = first_output(w + g.p_w - g.S + 1, g.v), end_output(w + g.p_w + 1, g.v, g.Q)
        first_p, end_p = 0, 0
        for h in range(g.H):
            # The rows p with u p <= h + p_h < u p + R.
            while end_p < g.P and g.u * end_p <= h + g.p_h:
                end_p += 1
            while first_p < end_p and g.u * first_p + g.R <= h + g.p_h:
                first_p += 1
            total = broadcast_index(0, tag)
            for p in range(first_p, end_p):
                for q in range(first_q, end_q):
                    total = total + load(d, (p * g.Q + q) * lanes, tag)
            store(total, dz, (h * g.W + w) * lanes)


cdef inline void pool_planes(const floating* Z, floating* Y, int32_t* B, Py_ssize_t planes, const Window* g,
                             const floating* rows_counts, const floating* columns_counts, void* beyond,
                             floating* memory, pooling how) noexcept nogil:
    # The first planes, as many as a vector has lanes at most. Of means beyond = NULL: in double.
    cdef Py_ssize_t lanes = lanes_of(Y), pixels = g.H * g.W, outputs = g.P * g.Q, i
    cdef floating* m = memory + max_of(pixels, outputs) * lanes
    cdef floating* k = m + g.W * lanes
    cdef floating* y = k + g.W * lanes
    cdef floating* b = y + outputs * lanes
    to_lanes(Z, pixels, planes, memory)
    if how == MEAN and beyond == NULL:
        mean_planes_in_double(memory, y, <double*>m, rows_counts, columns_counts, g)
    elif floating is float:
        reduce_planes(memory, y, b, m, k, rows_counts, columns_counts, g, <floats*>beyond, how)
    else:
        reduce_planes(memory, y, b, m, k, rows_counts, columns_counts, g, <doubles*>beyond, how)
    from_lanes(y, outputs, planes, Y)
    if how == WINNERS:
        if floating is float:
            from_lanes(b, outputs, planes, <float*>B)
        else:
            from_lanes(b, outputs, planes, memory)
            for i in range(planes * outputs):
                B[i] = <int32_t>(<int64_t*>memory)[i]


cdef inline void pool_planes_part(const floating* Z, floating* Y, int32_t* B, Py_ssize_t planes, Py_ssize_t begin,
                                  Py_ssize_t end, const Window* g, floating* memory, pooling how) noexcept nogil:
    # Maxima of the groups begin ... end - 1 of all.
    cdef Py_ssize_t lanes = lanes_of(Y), first = begin * lanes
    while first < min_of(planes, end * lanes):
        pool_planes(Z + first * g.H * g.W, Y + first * g.P * g.Q, B + first * g.P * g.Q if how == WINNERS else NULL,
                    min_of(lanes, planes - first), g, NULL, NULL, NULL, memory, how)
        first += lanes


cdef inline void spread_planes(const floating* Delta, floating* dZ, Py_ssize_t planes, const Window* g,
                               const floating* rows_counts, const floating* columns_counts,
                               floating* memory) noexcept nogil:
    # The same of means' gradients.
    cdef floating* d = memory + g.H * g.W * lanes_of(dZ)
    to_lanes(Delta, g.P * g.Q, planes, d)
    if floating is float:
        spread_means[floats](d, memory, rows_counts, columns_counts, g, NULL)
    else:
        spread_means[doubles](d, memory, rows_counts, columns_counts, g, NULL)
    from_lanes(memory, g.H * g.W, planes, dZ)
