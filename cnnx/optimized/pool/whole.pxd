# Max pooling's gradient where the window is the image, whose numbers lie in one piece: the place of the first maximum,
# in several vectors of maxima side by side, none of which waits for the one before. And for windows of any size.

from cython cimport floating
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from ..runtime.integers cimport min_of
from ..simd.select cimport broadcast_index, first_winner, maximum, update_maximum
from ..simd.vector cimport MAX_LANES, broadcast, doubles, floats, lanes_in, lanes_of, load, store, vector
from .row cimport NONE
from .window cimport Window, column_begin, column_end, row_begin, row_end

cdef enum:
    CHAINS = 4
    SEVERAL = 256  # numbers of an image for which that pays


cdef inline bint is_whole(const Window* g) noexcept nogil:
    # Whether the one window has all of an image that is not too small.
    return g.H * g.W >= SEVERAL and g.P == 1 and g.Q == 1 and g.R - g.p_h >= g.H and g.S - g.p_w >= g.W


cdef inline floating largest_of(const floating* z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    cdef floating most = z[0]
    for j in range(1, n):
        most = z[j] if z[j] > most or (z[j] != z[j] and most == most) else most
    return most


cdef inline Py_ssize_t first_largest_in(const void* Z, Py_ssize_t n, vector* tag) noexcept nogil:
    # The place of the first maximum of n numbers, or of the first NaN; n is a vector's lanes at least.
    cdef Py_ssize_t lanes = lanes_in(tag), at = 0, i, place, least = n
    cdef int j
    cdef vector m[CHAINS]
    cdef vector k[CHAINS]
    cdef vector y, first
    cdef float narrow[MAX_LANES]
    cdef double wide[MAX_LANES]
    for j in range(CHAINS):
        m[j] = load(Z, 0, tag)
        k[j] = broadcast_index(0, tag)
    while at + CHAINS * lanes <= n:
        for j in range(CHAINS):
            update_maximum(load(Z, at + j * lanes, tag), broadcast_index(at + j * lanes, tag), &m[j], &k[j])
        at += CHAINS * lanes
    while at < n:
        i = min_of(at, n - lanes)  # some numbers a second time
        update_maximum(load(Z, i, tag), broadcast_index(i, tag), &m[0], &k[0])
        at += lanes
    y = maximum(maximum(m[1], m[0]), maximum(m[3], m[2]))
    if vector is floats:
        store(y, narrow, 0)
        narrow[0] = largest_of(narrow, lanes)
        y = broadcast(narrow, 0, tag)
    else:
        store(y, wide, 0)
        wide[0] = largest_of(wide, lanes)
        y = broadcast(wide, 0, tag)
    first = broadcast_index(NONE, tag)
    for j in range(CHAINS):
        first = first_winner(m[j], y, first, k[j], 0)
    if vector is floats:
        store(first, narrow, 0)
    else:
        store(first, wide, 0)
    for i in range(lanes):
        if vector is floats:
            place = (<int32_t*>narrow)[i]
        else:
            place = (<int64_t*>wide)[i]
        least = min_of(least, place + i)
    return least


cdef inline Py_ssize_t first_largest(const floating* Z, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t at = 0, i
    if n < lanes_of(Z):
        for i in range(1, n):
            at = i if Z[i] > Z[at] or (Z[i] != Z[i] and Z[at] == Z[at]) else at
        return at
    if floating is float:
        return first_largest_in[floats](Z, n, NULL)
    else:
        return first_largest_in[doubles](Z, n, NULL)


cdef inline void dZ_whole(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t begin, Py_ssize_t end,
                          Py_ssize_t pixels) noexcept nogil:
    # P2 for the planes begin ... end - 1.
    cdef Py_ssize_t i
    for i in range(begin, end):
        memset(dZ + i * pixels, 0, pixels * sizeof(floating))
        dZ[i * pixels + first_largest(Z + i * pixels, pixels)] += Delta[i]


cdef inline Py_ssize_t first_maximum(const floating* Z, Py_ssize_t p, Py_ssize_t q, const Window* g) noexcept nogil:
    # Where it lies in the plane: the first NaN, if there is one.
    cdef Py_ssize_t at = row_begin(g, p) * g.W + column_begin(g, q), h, w
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(column_begin(g, q), column_end(g, q)):
            if Z[h * g.W + w] > Z[at] or (Z[h * g.W + w] != Z[h * g.W + w] and Z[at] == Z[at]):
                at = h * g.W + w
    return at


cdef inline void dZ_plane(const floating* Delta, const floating* Z, floating* dZ, const Window* g) noexcept nogil:
    # Window by window, in the order of the sums: for windows in which an offset may take more bits than a float has.
    cdef Py_ssize_t p, q
    memset(dZ, 0, g.H * g.W * sizeof(floating))
    for p in range(g.P):
        for q in range(g.Q):
            dZ[first_maximum(Z, p, q, g)] += Delta[p * g.Q + q]
