# A copy of an image in which a window moves over contiguous columns: for every kernel column a copy of its own,
# shifted and strided so that the outputs q lie side by side (S copies, not the R S of an unrolled matrix), and the
# rows of one phase of the stride one after the other, so that output positions run flat over P Q. A single row of
# outputs needs but one copy, whose rows are longer.

from cython cimport floating
from libc.stdlib cimport free, malloc

from ..microkernel.strided_rows cimport MAX_VECTOR_STRIDE, StridedRows
from ..microkernel.table cimport Microkernels
from ..runtime.integers cimport SATURATED, ceil_div, end_output, first_output, max_of, min_of, plus, times
from ..simd.vector cimport lanes_of
from .shift cimport shift_plane

cdef enum:
    L1_PLANE = 16_384  # numbers of the largest plane that is still in the first cache when its rows' ends are cleared


cdef struct Taps:
    # A sum over C planes of H x W and over row offsets and column offsets: output (p, q) takes row u p + down[r] and
    # column v q + right[s]. What lies outside counts as zero.
    Py_ssize_t C, H, W, P, Q, u, v, R, S
    Py_ssize_t* down
    Py_ssize_t* right
    const Microkernels* kernels
    const void* source  # the array that holds the planes, and its end
    const void* source_end
    # Where things lie in the copy, in numbers.
    Py_ssize_t copies  # of a plane: S, or one in whose rows all kernel columns find theirs
    Py_ssize_t plane  # from one (c, s) to the next
    Py_ssize_t pitch  # from one row to the next
    Py_ssize_t left  # the least column offset, if there is one copy of several columns
    Py_ssize_t phases  # of the row stride that rows are taken from, at most R
    Py_ssize_t* phase  # rows u i + phase[a]
    Py_ssize_t* begin  # of the phase's rows
    Py_ssize_t* first  # the least i of the phase
    Py_ssize_t* count  # rows of the phase
    Py_ssize_t* low  # of them low ... high - 1 lie within the image
    Py_ssize_t* high
    Py_ssize_t* start  # of the outputs q those from start to end - 1 take a column within the image
    Py_ssize_t* end
    Py_ssize_t* tap  # offset of the term (c, r, s), C R S of them; then those of as many vectors side by side


cdef inline Py_ssize_t floor_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a // b if a >= 0 else -((b - 1 - a) // b)


cdef inline Py_ssize_t padded_plane(Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    # Room for `count` numbers and a vector more, in whole vectors; never a multiple of 4,096 bytes, which would put
    # one column of all planes into the same few lines of the cache.
    cdef Py_ssize_t room = plus(count, 2 * lanes - 1) // lanes * lanes
    return room + lanes if room % (16 * lanes) == 0 else room


cdef inline Py_ssize_t copy_of(const Taps* g, Py_ssize_t planes) noexcept nogil:
    # Numbers of the copies of so many planes.
    return times(times(planes, g.copies), g.plane)


cdef inline Py_ssize_t tables_size(const Taps* g) noexcept nogil:
    # Bytes.
    return times(plus(times(2, times(g.C, times(g.R, g.S))), 6 * g.R + 2 * g.S + 1), sizeof(Py_ssize_t))


cdef inline void set_extents(Taps* g, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t P, Py_ssize_t Q,
                             Py_ssize_t u, Py_ssize_t v) noexcept nogil:
    g.C = C
    g.H = H
    g.W = W
    g.P = P
    g.Q = Q
    g.u = u
    g.v = v


cdef inline Py_ssize_t phase_of(const Taps* g, Py_ssize_t down) noexcept nogil:
    # Which of the phases found so far holds a row offset; g.phases if none does.
    cdef Py_ssize_t a = 0
    while a < g.phases and g.phase[a] != down - floor_div(down, g.u) * g.u:
        a += 1
    return a


cdef inline void set_copies(Taps* g) noexcept nogil:
    # Of a single row of outputs a longer copy serves all kernel columns: no output is followed by another row's.
    cdef Py_ssize_t s, right = g.right[0]
    g.copies, g.pitch, g.left = g.S, g.Q, g.right[0]
    if g.P > 1 or g.v > 1 or g.S == 1:
        return
    for s in range(1, g.S):
        g.left = min_of(g.left, g.right[s])
        right = max_of(right, g.right[s])
    if right - g.left <= g.Q:
        g.copies, g.pitch = 1, g.Q + right - g.left


cdef inline bint plan_taps(Taps* g, Py_ssize_t lanes) noexcept nogil:
    # Fill in where things lie; False when there is no memory for tables. free_taps() frees it.
    cdef void* tables = malloc(tables_size(g))
    g.phase = <Py_ssize_t*>tables
    if tables == NULL:
        return False
    place_taps(g, tables, lanes)
    return True


cdef inline void place_taps(Taps* g, void* tables, Py_ssize_t lanes) noexcept nogil:
    # The same in memory for tables_size() bytes.
    cdef Py_ssize_t a, r, s, c, e, rows = 0
    g.phase = <Py_ssize_t*>tables
    g.begin = g.phase + g.R
    g.first = g.begin + g.R
    g.count = g.first + g.R
    g.low = g.count + g.R
    g.high = g.low + g.R
    g.start = g.high + g.R
    g.end = g.start + g.S
    g.tap = g.end + g.S
    g.phases = 0
    # However far a tap is from the image, one that meets no pixel may lie just beside it.
    for r in range(g.R):
        g.down[r] = max_of(-g.u * (g.P - 1) - 1, min_of(g.H, g.down[r]))
    for s in range(g.S):
        g.right[s] = max_of(-g.v * (g.Q - 1) - 1, min_of(g.W, g.right[s]))
        g.start[s] = first_output(-g.right[s], g.v)
        g.end[s] = end_output(g.W - g.right[s], g.v, g.Q)
    for r in range(g.R):
        e = floor_div(g.down[r], g.u)
        a = phase_of(g, g.down[r])
        if a == g.phases:
            g.phase[a] = g.down[r] - e * g.u
            g.first[a] = e
            g.count[a] = g.P
            g.phases += 1
        elif e < g.first[a]:
            g.count[a] += g.first[a] - e
            g.first[a] = e
        else:
            g.count[a] = max_of(g.count[a], e - g.first[a] + g.P)
    set_copies(g)
    for a in range(g.phases):
        g.begin[a] = times(rows, g.pitch)
        g.low[a] = min_of(g.count[a], max_of(0, -g.first[a]))
        g.high[a] = max_of(g.low[a], min_of(g.count[a], floor_div(g.H - 1 - g.phase[a], g.u) + 1 - g.first[a]))
        rows += g.count[a]
    g.plane = padded_plane(times(rows, g.pitch), lanes)
    if copy_of(g, g.C) > SATURATED // 8:  # no memory holds that, and offsets within it would overflow
        return
    for r in range(g.R):
        e = floor_div(g.down[r], g.u)
        a = phase_of(g, g.down[r])
        for c in range(g.C):
            for s in range(g.S):
                g.tap[(c * g.R + r) * g.S + s] = ((c * g.S + s) * g.plane if g.copies == g.S
                                                  else c * g.plane + g.right[s] - g.left)
                g.tap[(c * g.R + r) * g.S + s] += g.begin[a] + (e - g.first[a]) * g.pitch
    for c in range(g.C * g.R * g.S):
        g.tap[g.C * g.R * g.S + c] = c * lanes


cdef inline void free_taps(Taps* g) noexcept nogil:
    free(g.phase)


cdef inline void pack_rows_scalar(const floating* row, Py_ssize_t step, floating* to, Py_ssize_t pitch, Py_ssize_t Q,
                                  Py_ssize_t count, Py_ssize_t start, Py_ssize_t end, Py_ssize_t v) noexcept nogil:
    # pack_rows() one by one, where vectors would leave the array.
    cdef Py_ssize_t i, q
    for i in range(count):
        for q in range(Q):
            to[i * pitch + q] = row[i * step + v * q] if start <= q < end else 0


cdef inline void pack_rows(const Taps* g, const floating* row, Py_ssize_t step, floating* to, Py_ssize_t pitch,
                           Py_ssize_t Q, Py_ssize_t count, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    # to[i pitch + q] = row[i step + g.v q] for i < count, q < Q; 0 where q is not one of start ... end - 1. In vectors
    # wherever they stay within the array, of which row is a part.
    cdef Py_ssize_t reach = g.v * ceil_div(Q, lanes_of(to)) * lanes_of(to), head = 0, body = count
    cdef StridedRows rows
    while body > 0 and (row + head * step < <const floating*>g.source or g.v > MAX_VECTOR_STRIDE):
        head, body = head + 1, body - 1
    while body > 0 and row + (head + body - 1) * step + reach > <const floating*>g.source_end:
        body -= 1
    pack_rows_scalar(row, step, to, pitch, Q, head, start, end, g.v)
    if body > 0:
        rows = StridedRows(row + head * step, step, to + head * pitch, pitch, Q, body, start, end, g.v)
        g.kernels.copy_strided_rows(&rows, NULL)
    head += body
    pack_rows_scalar(row + head * step, step, to + head * pitch, pitch, Q, count - head, start, end, g.v)


cdef inline void pack_plane(const Taps* g, const floating* Z, floating* copy) noexcept nogil:
    # The copies of one plane into memory that is zero where they have rows beyond the image, and stays so.
    cdef Py_ssize_t a, s, step = min_of(g.u, g.H) * g.W  # beyond the image there is no second row of a phase
    cdef bint moved = g.u == 1 and g.v == 1 and g.Q == g.W and g.H * g.W <= L1_PLANE
    for a in range(g.phases):
        if g.copies < g.S and g.low[a] < g.high[a]:
            pack_rows(g, Z + (g.u * (g.first[a] + g.low[a]) + g.phase[a]) * g.W + g.left, step,
                      copy + g.begin[a] + g.low[a] * g.pitch, g.pitch, g.pitch, g.high[a] - g.low[a],
                      max_of(0, min_of(g.pitch, -g.left)), max_of(0, min_of(g.pitch, g.W - g.left)))
            continue
        for s in range(g.S if g.low[a] < g.high[a] else 0):
            if moved:
                shift_plane(Z + (g.first[0] + g.low[0]) * g.W, g.W, g.high[0] - g.low[0], g.right[s],
                            copy + s * g.plane + g.begin[0] + g.low[0] * g.Q)
            else:
                pack_rows(g, Z + (g.u * (g.first[a] + g.low[a]) + g.phase[a]) * g.W + g.right[s], step,
                          copy + s * g.plane + g.begin[a] + g.low[a] * g.Q, g.Q, g.Q, g.high[a] - g.low[a],
                          g.start[s], g.end[s])
