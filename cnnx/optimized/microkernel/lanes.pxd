# Depthwise convolutions with a lane for each plane: as many planes as a vector has lanes lie side by side, a number of
# each in a vector. Whatever the window, the stride and the width of a plane, loads are aligned and all lanes count.

from ..runtime.integers cimport max_of, min_of
from ..simd.masks cimport MASKED, lanes as some_lanes, lanes_between, load_lanes, store_lanes
from ..simd.shuffle cimport load_zero_filled, transpose_square
from ..simd.select cimport store_partial
from ..simd.vector cimport (
    MAX_LANES, SUM_BYTES, broadcast, doubles, floats, fma, in_register, lanes_in, load, size_of, store, vector,
    vector_at,
)

cdef enum:
    BLOCKS = 5  # sizes of a block of outputs:
    LONGEST = 14  # many a row has 7 numbers, 14, 28 or 56
    MAX_TAPS = 14  # of a block of weights' gradients


cdef struct LanePlanes:
    # x[k plane + i] and y[at[i] + k] (y[lanes i + k] where `at` is NULL), for k < K planes and i < count numbers.
    const void* x
    Py_ssize_t plane, K, count
    void* y
    const Py_ssize_t* at


cdef struct LaneSums:
    # Y[m y_step] = start + sum_{r < R, s < S} w[r w_row + s w_column] x[r x_row + s x_column + m x_step], in vectors;
    # steps are counted in numbers, x_step is the block's own.
    const void* x
    Py_ssize_t x_row, x_column
    const void* w
    Py_ssize_t w_row, w_column, R, S
    const void* start
    void* Y
    Py_ssize_t y_step


cdef struct LaneProducts:
    # sums[(r' sums_row + s' L) + l] += sum_i Delta[i] x[at[i] + r' x_row + s' x_column], in vectors, over the positions
    # i < count of which l is the partial sum, L of them: i mod L, but for the last count mod L positions the last ones.
    const void* x
    const Py_ssize_t* at
    Py_ssize_t x_row, x_column
    const void* Delta
    Py_ssize_t count, L
    void* sums
    Py_ssize_t sums_row


cdef inline int block_of(int size) noexcept nogil:
    # Outputs of a block of that size.
    return LONGEST if size == 0 else 7 if size == 1 else 4 if size == 2 else 2 if size == 3 else 1


cdef inline void spread_block(const LanePlanes* g, Py_ssize_t i, some_lanes within, vector* tag) noexcept nogil:
    # A vector of each plane, from number i on.
    cdef vector a[MAX_LANES]
    cdef Py_ssize_t lanes = lanes_in(tag), k, plane = g.plane, count = min_of(lanes, g.count - i)
    cdef const void* x = vector_at(g.x, i, tag)
    cdef void* y = g.y
    if g.K == lanes and count == lanes:
        for k in range(lanes):
            a[k] = load(x, k * plane, tag)
    elif MASKED:
        for k in range(lanes):
            a[k] = load_lanes(x, min_of(k, g.K - 1) * plane, within, tag)
    else:
        for k in range(lanes):
            load_zero_filled(x, min_of(k, g.K - 1) * plane, count, a + k)
    transpose_square(a)
    if g.at == NULL:
        if count == lanes:
            for k in range(lanes):
                store(a[k], y, (i + k) * lanes)
        else:
            for k in range(lanes):
                if k < count:
                    store(a[k], y, (i + k) * lanes)
    elif count == lanes:
        for k in range(lanes):
            store(a[k], y, g.at[i + k])
    else:
        for k in range(lanes):
            if k < count:
                store(a[k], y, g.at[i + k])


cdef inline void spread_planes(const LanePlanes* g, vector* tag) noexcept nogil:
    # y from x; lanes without a plane hold what the last one does.
    cdef Py_ssize_t lanes = lanes_in(tag), i = 0
    cdef some_lanes within = lanes_between(0, g.count, tag)
    while i < g.count:
        i = max_of(0, min_of(i, g.count - lanes))  # some numbers a second time
        spread_block(g, i, within, tag)
        i += lanes


cdef inline void gather_block(const LanePlanes* g, Py_ssize_t i, some_lanes within, vector* tag) noexcept nogil:
    cdef vector a[MAX_LANES]
    cdef Py_ssize_t lanes = lanes_in(tag), k, plane = g.plane, count = min_of(lanes, g.count - i)
    cdef void* x = <void*>vector_at(g.x, i, tag)
    cdef const void* y = vector_at(g.y, i * lanes, tag)
    for k in range(lanes):
        a[k] = load(y, k * lanes, tag)
    transpose_square(a)
    if g.K == lanes and count == lanes:
        for k in range(lanes):
            store(a[k], x, k * plane)
    elif MASKED:
        for k in range(lanes):
            if k < g.K:
                store_lanes(a[k], x, k * plane, within)
    else:
        for k in range(lanes):
            if k < g.K:
                store_partial(a[k], x, k * plane, count, tag)


cdef inline void gather_planes(const LanePlanes* g, vector* tag) noexcept nogil:
    # x from y, without `at`. Of y whole squares are read.
    cdef Py_ssize_t lanes = lanes_in(tag), i = 0
    cdef some_lanes within = lanes_between(0, g.count, tag)
    while i < g.count:
        i = max_of(0, min_of(i, g.count - lanes))
        gather_block(g, i, within, tag)
        i += lanes


cdef inline void sum_lanes(const LaneSums* o, vector* tag, int M, int x_step) noexcept nogil:
    # M outputs. The loop over all terms is one: around another one the sums would be an array in memory.
    cdef Py_ssize_t lanes = lanes_in(tag), S = o.S, x_column = o.x_column, w_column = o.w_column, left = S, _t
    cdef Py_ssize_t to_x_row = o.x_row - S * x_column, to_w_row = o.w_row - S * w_column
    cdef vector a[LONGEST]
    cdef vector factor
    cdef const void* x = o.x
    cdef const void* w = o.w
    cdef void* Y
    cdef int m
    for m in range(M):
        a[m] = load(o.start, 0, tag)
    for _t in range(o.R * S):
        factor = in_register(load(w, 0, tag))
        for m in range(M):
            a[m] = fma(a[m], factor, load(x, m * x_step * lanes, tag))
        x, w, left = vector_at(x, x_column, tag), vector_at(w, w_column, tag), left - 1
        if left == 0:
            x, w, left = vector_at(x, to_x_row, tag), vector_at(w, to_w_row, tag), S
    Y = o.Y
    for m in range(M):
        store(a[m], Y, 0)
        Y = vector_at(Y, o.y_step, tag)


cdef inline void add_products(const LaneProducts* o, vector* tag, int R, int S) noexcept nogil:
    # A block of R x S taps.
    cdef Py_ssize_t lanes = lanes_in(tag), L = o.L, whole = o.count // L, rest = o.count % L, part, i, _block
    cdef Py_ssize_t x_row = o.x_row, x_column = o.x_column
    cdef vector a[MAX_TAPS]
    cdef vector d
    cdef double zero = 0
    cdef const Py_ssize_t* at
    cdef const void* x = o.x
    cdef const void* here
    cdef const void* Delta
    cdef void* to
    cdef int e
    for part in range(L):
        for e in range(R * S):
            a[e] = broadcast(&zero, 0, tag)
        at, Delta = o.at + part, vector_at(o.Delta, part * lanes, tag)
        for _block in range(whole):
            d = in_register(load(Delta, 0, tag))
            here = vector_at(x, at[0], tag)
            for e in range(R * S):
                a[e] = fma(a[e], d, load(here, e // S * x_row + e % S * x_column, tag))
            at, Delta = at + L, vector_at(Delta, L * lanes, tag)
        if part >= L - rest:
            i = o.count - L + part
            d = in_register(load(o.Delta, i * lanes, tag))
            here = vector_at(x, o.at[i], tag)
            for e in range(R * S):
                a[e] = fma(a[e], d, load(here, e // S * x_row + e % S * x_column, tag))
        to = vector_at(o.sums, part * lanes, tag)
        for e in range(R * S):
            store(load(to, e // S * o.sums_row + e % S * L * lanes, tag) + a[e], to,
                  e // S * o.sums_row + e % S * L * lanes)


cdef inline void add_up(const void* sums, Py_ssize_t L, void* total, Py_ssize_t count, vector* tag) noexcept nogil:
    # total[t] = sums[t L] + sums[t L + 1] + ..., in this order, in vectors, for t < count.
    cdef Py_ssize_t lanes = lanes_in(tag), t, part
    cdef vector a
    for t in range(count):
        a = load(sums, t * L * lanes, tag)
        for part in range(1, L):
            a = a + load(sums, (t * L + part) * lanes, tag)
        store(a, total, t * lanes)
