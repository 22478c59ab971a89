# The gradient of pooling, row by row of the image: dZ[h,w] is the sum over the windows that hold (h,w), in order, of
# what Delta[p,q] gives it. The rows p that a row h takes from, Delta's and the key's beside it, lie in a ring of slots,
# with zeros in place of outputs that do not exist, so that every sum is one of whole vectors:
#
#     w + p_w = v j + f,  dZ[h,w] = sum_p sum_t Delta[p,j-t] [(h,w) wins in R[p,j-t]],  with s = f + v t < S

from cython cimport floating
from libc.string cimport memset

from ..runtime.integers cimport ceil_div, end_output, first_output, max_of, min_of
from ..simd.select cimport broadcast_index, load_strided, store_partial, where_equal, where_index
from ..simd.shuffle cimport interleave
from ..simd.vector cimport VECTOR_BYTES, doubles, floats, lanes_in, lanes_of, load, store, vector
from .window cimport Window

# Who wins: every member of the window; those that equal the key; the one whose offset is the key.
cdef enum:
    EVERY = 0
    EQUAL = 1
    OFFSET = 2

cdef enum:
    # Numbers before and behind a slot's row: two vectors, and as many outputs as hold one column.
    MARGIN = 48
    ASKED = 4  # windows over a pixel
    COVERING = 16  # with more of them than this, or a larger stride, a row is summed number by number

cdef struct Ring:
    void* slots
    Py_ssize_t mask  # slots less one; their number is a power of two
    Py_ssize_t size  # of a slot's row, margins and all
    Py_ssize_t plane, h  # of the image: the row in hand
    Py_ssize_t p, end  # output rows whose windows hold it
    Py_ssize_t next_row  # the first row that is not in the ring yet


cdef inline bint gathers_winners(const Window* g, const floating* tag) noexcept nogil:
    # Whether vectors that ask every window over a pixel for its winner are faster than going from window to window.
    return g.v == 1 and g.W >= lanes_of(tag) and 2 <= g.S <= ASKED and ceil_div(g.R, g.u) <= ASKED // g.S


cdef inline Py_ssize_t ring_slots(const Window* g) noexcept nogil:
    # The rows p that hold one row h, and one ahead: what was just written is slow to read at another offset.
    cdef Py_ssize_t n = 2
    while n < g.P + 1 and (n - 1) * g.u < g.R:
        n *= 2
    return n


cdef inline Py_ssize_t ring_length(const Window* g) noexcept nogil:
    return ring_slots(g) * 2 * (g.Q + 2 * MARGIN)


cdef inline floating* slot(const Ring* ring, Py_ssize_t p, floating* tag) noexcept nogil:
    # Delta's row p; the key's lies ring.size further.
    return <floating*>ring.slots + (p & ring.mask) * 2 * ring.size + MARGIN


cdef inline void start_plane(Ring* ring, const Window* g) noexcept nogil:
    # The rows that give to h are those p with 0 <= h + p_h - u p < R. Any h.
    ring.p = ring.next_row = first_output(ring.h + g.p_h - g.R + 1, g.u)
    ring.end = end_output(ring.h + g.p_h + 1, g.u, g.P)


cdef inline Ring ring_at(Py_ssize_t row, floating* memory, const Window* g) noexcept nogil:
    # For a row, counted through all planes. Zeros: what lies beside a row's numbers gives nothing, whatever the key
    # beside it.
    cdef Ring ring = Ring(memory, ring_slots(g) - 1, g.Q + 2 * MARGIN, row // g.H, row % g.H, 0, 0, 0)
    memset(memory, 0, ring_length(g) * sizeof(floating))
    start_plane(&ring, g)
    return ring


cdef inline void next_row(Ring* ring, const Window* g) noexcept nogil:
    # Without a division, but for a new plane.
    ring.h += 1
    if ring.h == g.H:
        ring.h = 0
        ring.plane += 1
        start_plane(ring, g)
        return
    if g.u * ring.p < ring.h + g.p_h - g.R + 1:
        ring.p += 1
    if ring.end < g.P and g.u * ring.end <= ring.h + g.p_h:
        ring.end += 1
    ring.next_row = max_of(ring.next_row, ring.p)


cdef inline void contribution(vector* d, const void* row, Py_ssize_t key, Py_ssize_t j, int wins, vector z,
                              Py_ssize_t offset) noexcept nogil:
    # Gradient contribution of the outputs j, j + 1, ... to the pixels z in their windows, at that offset (of stride 1).
    d[0] = load(row, j, d)
    if wins == EQUAL:
        d[0] = where_equal(d[0], z, load(row, key + j, d))
    elif wins == OFFSET:
        d[0] = where_index(d[0], load(row, key + j, d), broadcast_index(offset, d))


cdef inline void sum_contributions(vector* total, const Ring* ring, const Window* g, int wins, Py_ssize_t S, int v,
                                   int f, Py_ssize_t j, vector z) noexcept nogil:
    # dZ[h, v j + f - p_w] and, in the further lanes, at j + 1, j + 2, ...; z: Z there.
    cdef vector d
    cdef Py_ssize_t p, t
    cdef void* row
    total[0] = broadcast_index(0, total)
    for p in range(ring.p, ring.end):
        if vector is floats:
            row = slot[float](ring, p, NULL)
        else:
            row = slot[double](ring, p, NULL)
        for t in range((S - 1 - f + v) // v - 1, -1, -1):
            contribution(&d, row, ring.size, j - t, wins, z, (ring.h + g.p_h - g.u * p) * S + f + v * t)
            total[0] = total[0] + d


cdef inline void gather_1(const Ring* ring, const Window* g, int wins, Py_ssize_t S, const void* Z,
                          void* dZ, vector* tag) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(tag), w = 0
    cdef vector z = broadcast_index(0, tag), total
    while w < g.W:
        if w + lanes > g.W and g.W >= lanes:
            w = g.W - lanes
        if wins == EQUAL:
            z = load(Z, w, tag)
        sum_contributions(&total, ring, g, wins, S, 1, 0, w + g.p_w, z)
        store_partial(total, dZ, w, g.W - w, tag)
        w += lanes


cdef inline void gather_2(const Ring* ring, const Window* g, int wins, Py_ssize_t S, const void* Z,
                          void* dZ, vector* tag) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(tag), w = 0, j
    cdef vector a = broadcast_index(0, tag), b = a, y = a, z = a
    while w < g.W:
        if w + 2 * lanes > g.W and g.W >= 2 * lanes:
            w = g.W - 2 * lanes
        if wins == EQUAL:
            y = load_strided(Z, w, 2, tag)
            z = load_strided(Z, w + 1, 2, tag)
        j = (w + g.p_w) // 2
        if (w + g.p_w) % 2 == 0:
            sum_contributions(&a, ring, g, wins, S, 2, 0, j, y)
            sum_contributions(&b, ring, g, wins, S, 2, 1, j, z)
        else:
            sum_contributions(&a, ring, g, wins, S, 2, 1, j, y)
            sum_contributions(&b, ring, g, wins, S, 2, 0, j + 1, z)
        interleave(a, b, &a, &b)
        store_partial(a, dZ, w, g.W - w, tag)
        if w + lanes < g.W:
            store_partial(b, dZ, w + lanes, g.W - w - lanes, tag)
        w += 2 * lanes


cdef inline void gather_2_rows(const Ring* ring, const Window* g, int wins, int S, int n, const void* Z,
                               void* dZ, vector* tag) noexcept nogil:
    # gather_2() where n rows give, one or two, S is 2 or 3, and the row holds two vectors at least: few enough of all
    # to stay in registers. S and n are constants wherever this is called.
    cdef Py_ssize_t lanes = lanes_in(tag), w = 0, j, odd
    cdef vector none = broadcast_index(0, tag), a = none, b = none, y = none, z = none, d
    cdef const void* rows[2]
    cdef int i, s
    for i in range(n):
        if vector is floats:
            rows[i] = slot[float](ring, ring.p + i, NULL)
        else:
            rows[i] = slot[double](ring, ring.p + i, NULL)
    while w < g.W:
        if w + 2 * lanes > g.W:
            w = g.W - 2 * lanes
        if wins == EQUAL:
            y = load_strided(Z, w, 2, tag)
            z = load_strided(Z, w + 1, 2, tag)
        # The phases f = 0 and 1 are a and b, or the other way round where w + p_w is odd.
        j = (w + g.p_w) >> 1
        odd = (w + g.p_w) & 1
        if wins == EQUAL and odd:
            y, z = z, y
        for i in range(n):
            for s in range(S - 1, -1, -1):
                contribution(&d, rows[i], ring.size, (j if s % 2 else j + odd) - s // 2, wins, z if s % 2 else y, 0)
                if s % 2:  # sums, as P2 and P4 have them: -0 becomes 0
                    b = (none if i == 0 and s + 2 >= S else b) + d
                else:
                    a = (none if i == 0 and s + 2 >= S else a) + d
        if odd:
            interleave(b, a, &b, &a)
            store(b, dZ, w)
            store(a, dZ, w + lanes)
        else:
            interleave(a, b, &a, &b)
            store(a, dZ, w)
            store(b, dZ, w + lanes)
        w += 2 * lanes


cdef inline void gather_v(const Ring* ring, const Window* g, int wins, const floating* Z, floating* dZ,
                          vector* tag) noexcept nogil:
    # Any stride up to COVERING: each of the v phases f in vectors, then its numbers one by one to their places.
    cdef Py_ssize_t lanes = lanes_in(tag), j = g.p_w // g.v, w, i
    cdef int v = <int>g.v, f
    cdef floating lane[VECTOR_BYTES]  # more than enough; an extent may not be a quotient
    cdef vector z = broadcast_index(0, tag), total
    while v * j - g.p_w < g.W:
        for f in range(v):
            w = v * j + f - g.p_w
            if wins == EQUAL:
                for i in range(lanes):
                    lane[i] = Z[w + v * i] if 0 <= w + v * i < g.W else 0
                z = load(lane, 0, tag)
            sum_contributions(&total, ring, g, wins, g.S, v, f, j, z)
            store(total, lane, 0)
            for i in range(lanes):
                if 0 <= w + v * i < g.W:
                    dZ[w + v * i] = lane[i]
        j += lanes


cdef inline void gather_single(const Ring* ring, const Window* g, int wins, const floating* Z,
                               floating* dZ) noexcept nogil:
    # Number by number.
    cdef Py_ssize_t w, p, q
    cdef floating total
    cdef floating* row
    for w in range(g.W):
        total = 0
        for p in range(ring.p, ring.end):
            row = slot(ring, p, dZ)
            for q in range(first_output(w + g.p_w - g.S + 1, g.v), end_output(w + g.p_w + 1, g.v, g.Q)):
                if wins == EQUAL:
                    total += row[q] if row[ring.size + q] == Z[w] else 0
                else:
                    total += row[q]
        dZ[w] = total


cdef inline void gather_vectors(const Ring* ring, const Window* g, int wins, const void* Z, void* dZ,
                                vector* tag) noexcept nogil:
    cdef Py_ssize_t n
    cdef bint long_row
    if g.v == 2:
        n = ring.end - ring.p
        long_row = g.W >= 2 * lanes_in(tag)
        if g.S == 2 and n == 1 and long_row:
            gather_2_rows(ring, g, wins, 2, 1, Z, dZ, tag)
        elif g.S == 3 and n == 1 and long_row:
            gather_2_rows(ring, g, wins, 3, 1, Z, dZ, tag)
        elif g.S == 3 and n == 2 and long_row:
            gather_2_rows(ring, g, wins, 3, 2, Z, dZ, tag)
        else:
            gather_2(ring, g, wins, g.S, Z, dZ, tag)
    elif g.v == 1:
        if g.S == 3:
            gather_1(ring, g, wins, 3, Z, dZ, tag)
        else:
            gather_1(ring, g, wins, g.S, Z, dZ, tag)
    elif vector is floats:
        gather_v(ring, g, wins, <const float*>Z, <float*>dZ, tag)
    else:
        gather_v(ring, g, wins, <const double*>Z, <double*>dZ, tag)


cdef inline void gather(const Ring* ring, const Window* g, int wins, const floating* Z, floating* dZ) noexcept nogil:
    # The row in hand of dZ. Z is read with wins = EQUAL: the row with 2 * VECTOR_BYTES to read behind it.
    if g.v > COVERING or g.S > COVERING * g.v:
        gather_single(ring, g, wins, Z, dZ)
    elif floating is float:
        gather_vectors[floats](ring, g, wins, Z, dZ, NULL)
    else:
        gather_vectors[doubles](ring, g, wins, Z, dZ, NULL)
