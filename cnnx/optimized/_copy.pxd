# A copy of an image in which a window moves over contiguous columns: for every kernel column a copy of its own,
# shifted and strided so that the outputs q lie side by side (S copies, not the R S of an unrolled matrix), and the
# rows of one phase of the stride one after the other, so that output positions run flat over P Q.

from cython cimport floating
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ._index cimport end_output, first_output, least, most, up
from ._tile cimport VECTOR_BYTES, lanes_of

cdef enum:
    NEAR = 16_384  # numbers of a plane that are still near when its rows' ends are cleared


cdef struct Taps:
    # A sum over C planes of H x W and over row offsets and column offsets: output (p, q) takes row u p + down[r] and
    # column v q + right[s]. What lies outside counts as zero.
    Py_ssize_t C, H, W, P, Q, u, v, R, S
    Py_ssize_t* down
    Py_ssize_t* right
    const void* source  # the array that holds the planes, and its end
    const void* source_end
    # Where things lie in the copy, in numbers.
    Py_ssize_t plane  # from one (c, s) to the next
    Py_ssize_t phases  # of the row stride that rows are taken from, at most R
    Py_ssize_t* phase  # rows u i + phase[a]
    Py_ssize_t* begin  # of the phase's rows
    Py_ssize_t* first  # the least i of the phase
    Py_ssize_t* count  # rows of the phase
    Py_ssize_t* tap  # offset of the term (c, r, s), C R S of them; then those of as many vectors side by side
    Py_ssize_t lead  # columns before the image that a window reaches
    Py_ssize_t reach  # the largest column offset, if positive
    Py_ssize_t line  # columns of one phase of a row
    Py_ssize_t pitch  # from one row to the next where a narrow plane is first laid between zeros; else 0


cdef inline Py_ssize_t floor_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a // b if a >= 0 else -((b - 1 - a) // b)


cdef inline Py_ssize_t padded(Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    # Room for `count` numbers and a vector more, in whole vectors; never a multiple of 4,096 bytes, which would put
    # one column of all planes into the same few lines of the cache.
    cdef Py_ssize_t room = up(count + lanes, lanes) * lanes
    return room + lanes if room % (16 * lanes) == 0 else room


cdef inline void describe(Taps* g, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t P, Py_ssize_t Q,
                          Py_ssize_t u, Py_ssize_t v) noexcept nogil:
    g.C = C
    g.H = H
    g.W = W
    g.P = P
    g.Q = Q
    g.u = u
    g.v = v


cdef inline Py_ssize_t phase_of(Taps* g, Py_ssize_t down) noexcept nogil:
    # Which of the phases found so far holds a row offset; g.phases if none does.
    cdef Py_ssize_t a = 0
    while a < g.phases and g.phase[a] != down - floor_div(down, g.u) * g.u:
        a += 1
    return a


cdef inline bint plan(Taps* g, Py_ssize_t lanes) noexcept nogil:
    # Fill in where things lie; False when there is no memory. unplan() frees it.
    cdef Py_ssize_t a, r, s, c, e, rows = 0
    g.phase = <Py_ssize_t*>malloc((4 * g.R + 2 * g.C * g.R * g.S + 1) * sizeof(Py_ssize_t))
    if g.phase == NULL:
        return False
    g.begin = g.phase + g.R
    g.first = g.begin + g.R
    g.count = g.first + g.R
    g.tap = g.count + g.R
    g.phases = 0
    # However far a tap is from the image, one that meets no pixel may lie just beside it.
    for r in range(g.R):
        g.down[r] = most(-g.u * (g.P - 1) - 1, least(g.H, g.down[r]))
    for s in range(g.S):
        g.right[s] = most(-g.v * (g.Q - 1) - 1, least(g.W, g.right[s]))
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
            g.count[a] = most(g.count[a], e - g.first[a] + g.P)
    for a in range(g.phases):
        g.begin[a] = rows * g.Q
        rows += g.count[a]
    g.plane = padded(rows * g.Q, lanes)
    g.lead = 0
    g.reach = 0
    for s in range(g.S):
        g.lead = most(g.lead, -g.right[s])
        g.reach = most(g.reach, g.right[s])
    # A row of the image between zeros, cut into the phases of a column stride of 2.
    g.line = 0 if g.v > 2 else padded((g.lead + most(g.W, g.reach + (g.Q - 1) * g.v + 1)) // g.v + 1, lanes)
    g.pitch = 0
    if g.v == 1 and g.W < 2 * lanes:
        g.pitch = g.lead + most(g.W, g.reach + g.Q)
        g.line = padded(g.H * g.pitch, lanes)
    for r in range(g.R):
        e = floor_div(g.down[r], g.u)
        a = phase_of(g, g.down[r])
        for c in range(g.C):
            for s in range(g.S):
                g.tap[(c * g.R + r) * g.S + s] = (c * g.S + s) * g.plane + g.begin[a] + (e - g.first[a]) * g.Q
    for c in range(g.C * g.R * g.S):
        g.tap[g.C * g.R * g.S + c] = c * lanes
    return True


cdef inline Py_ssize_t copy_size(Taps* g, Py_ssize_t planes, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a copy of so many planes, with its row buffer.
    return planes * g.S * g.plane + g.v * g.line + lanes


cdef inline void unplan(Taps* g) noexcept nogil:
    free(g.phase)


cdef inline void shift_row(const floating* row, floating* copy, Py_ssize_t Q) noexcept nogil:
    # Whole vectors: what is written beyond the row is written again by the next one, or is slack.
    cdef Py_ssize_t j = 0, lanes = lanes_of(row)
    while j < Q:
        memcpy(copy + j, row + j, VECTOR_BYTES)
        j += lanes


cdef inline void shift_plane(const floating* Z, Py_ssize_t W, Py_ssize_t rows, Py_ssize_t shift,
                             floating* out) noexcept nogil:
    # out[i][q] = Z[i][q + shift], 0 beyond the row, for q < W and a shift of at most W: all rows in one, since what
    # reaches into the next row is cleared afterwards. Nothing else is read or written.
    cdef Py_ssize_t lanes = lanes_of(Z), count = rows * W - (shift if shift > 0 else -shift), j = 0, i, q
    cdef const floating* x = Z + most(0, shift)
    cdef floating* y = out + most(0, -shift)
    if count < lanes:
        for j in range(count):
            y[j] = x[j]
    else:
        while j < count:
            j = least(j, count - lanes)  # some numbers a second time
            memcpy(y + j, x + j, VECTOR_BYTES)
            j += lanes
    for q in range(-shift):  # column by column: few numbers of a row would be a call of memset each
        for i in range(rows):
            out[i * W + q] = 0
    for q in range(most(0, W - shift), W):
        for i in range(rows):
            out[i * W + q] = 0


cdef inline bint within(Taps* g, const floating* row) noexcept nogil:
    # Whether the S copies of a row can be read in whole vectors without leaving the source array.
    cdef Py_ssize_t lanes = lanes_of(row)
    return row - g.lead >= <const floating*>g.source and row + g.reach + g.Q + lanes <= <const floating*>g.source_end


cdef inline void shift_rows(Taps* g, const floating* row, floating* to) noexcept nogil:
    # The S copies of a row that has vectors before and after it, of numbers of its neighbours: they are cleared.
    cdef Py_ssize_t s, q
    for s in range(g.S):
        shift_row(row + g.right[s], to + s * g.plane, g.Q)
        for q in range(least(g.Q, -g.right[s])):
            to[s * g.plane + q] = 0
        for q in range(most(0, g.W - g.right[s]), g.Q):
            to[s * g.plane + q] = 0


cdef inline void pick_row(Taps* g, const floating* row, floating* to, Py_ssize_t offset) noexcept nogil:
    # Every v-th number of a row, from one on; zeros where it does not reach.
    cdef Py_ssize_t q, first = first_output(-offset, g.v), end = end_output(g.W - offset, g.v, g.Q)
    for q in range(least(first, g.Q)):
        to[q] = 0
    for q in range(first, end):
        to[q] = row[g.v * q + offset]
    for q in range(most(first, end), g.Q):
        to[q] = 0


cdef inline void copy_narrow_plane(Taps* g, const floating* Z, floating* copy, floating* between) noexcept nogil:
    # copy_plane() where rows are short: what is read back in vectors was written well before, and clears no edges.
    cdef Py_ssize_t a, i, h, s, low, high
    cdef const floating* row
    memset(between, 0, g.H * g.pitch * sizeof(floating))
    for h in range(g.H):
        memcpy(between + h * g.pitch + g.lead, Z + h * g.W, g.W * sizeof(floating))
    for a in range(g.phases):
        low = least(g.count[a], most(0, -g.first[a]))
        high = most(low, least(g.count[a], floor_div(g.H - 1 - g.phase[a], g.u) + 1 - g.first[a]))
        for s in range(g.S):
            row = between + (g.u * (g.first[a] + low) + g.phase[a]) * g.pitch + g.lead + g.right[s]
            for i in range(low, high):
                shift_row(row, copy + s * g.plane + g.begin[a] + i * g.Q, g.Q)
                row = row + g.u * g.pitch
            if low < high:
                memset(copy + g.begin[a] + s * g.plane + high * g.Q, 0, VECTOR_BYTES)


cdef inline void copy_plane(Taps* g, const floating* Z, floating* copy, floating* line) noexcept nogil:
    # The S copies of one plane into memory that is zero where they have rows beyond the image, and stays so.
    # line: the phases of a row, g.line numbers each; larger strides pick their numbers one by one.
    cdef Py_ssize_t a, i, h, j, s, b, low, high, v = g.v
    cdef floating* to
    if g.u == 1 and v == 1 and g.Q == g.W and g.H * g.W <= NEAR:
        low = least(g.count[0], most(0, -g.first[0]))
        high = most(low, least(g.count[0], g.H - g.first[0]))
        for s in range(g.S if low < high else 0):
            shift_plane(Z + (g.first[0] + low) * g.W, g.W, high - low, g.right[s],
                        copy + s * g.plane + g.begin[0] + low * g.Q)
        return
    if g.pitch > 0:
        copy_narrow_plane(g, Z, copy, line)
        return
    if v > 1 or not (within(g, Z) and within(g, Z + (g.H - 1) * g.W)):
        memset(line, 0, v * g.line * sizeof(floating))
    for a in range(g.phases):
        # Rows low ... high - 1 of the phase lie within the image.
        low = least(g.count[a], most(0, -g.first[a]))
        high = most(low, least(g.count[a], floor_div(g.H - 1 - g.phase[a], g.u) + 1 - g.first[a]))
        for i in range(low, high):
            h = g.u * (g.first[a] + i) + g.phase[a]
            to = copy + g.begin[a] + i * g.Q
            if v == 1 and within(g, Z + h * g.W):
                shift_rows(g, Z + h * g.W, to)
                continue
            if v == 1:
                memcpy(line + g.lead, Z + h * g.W, g.W * sizeof(floating))
            elif v == 2 and g.lead % 2 == 0:
                deinterleave(Z + h * g.W, line + g.lead // 2, line + g.line + g.lead // 2, g.W)
            elif v == 2:
                deinterleave(Z + h * g.W, line + g.line + g.lead // 2, line + g.lead // 2 + 1, g.W)
            else:
                for s in range(g.S):
                    pick_row(g, Z + h * g.W, to + s * g.plane, g.right[s])
                continue
            for s in range(g.S):
                j = g.lead + g.right[s]
                b = j % v
                shift_row(line + b * g.line + j // v, to + s * g.plane, g.Q)
        if low < high:  # the last row's vectors reached into what has to stay zero
            for s in range(g.S):
                memset(copy + g.begin[a] + s * g.plane + high * g.Q, 0, VECTOR_BYTES)


cdef inline void deinterleave(const floating* row, floating* even, floating* odd, Py_ssize_t W) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(W // 2):
        even[j] = row[2 * j]
        odd[j] = row[2 * j + 1]
    if W % 2:
        even[W // 2] = row[W - 1]
