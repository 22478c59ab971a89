# What a convolution sums up for one image: pieces of output channels by blocks of columns, which fill the registers.
# Included by conv2d.pyx.

cdef extern from *:
    """
    /* With 16 registers a term has 12 products, and gcc's loop four more instructions than it would need. By itself it
       unrolls no loop whose length it does not know, and asked to (-funroll-loops), it also renames registers until
       they run out. */
    #if defined(__GNUC__) && !defined(__clang__) && !defined(__AVX512F__)
    #define cnnx_unrolled __attribute__((optimize("unroll-loops", "no-web", "no-rename-registers"))) void
    #else
    #define cnnx_unrolled void
    #endif
    """
    ctypedef void unrolled "cnnx_unrolled"  # what a function returns whose loops are unrolled

cdef enum:
    CACHE = 786_432  # bytes of a copy that stay in a core's own cache while the weights pass by
    PANEL_BLOCKS = 8  # that follow one another while some of the weights stay in that cache
    SHARING = 8  # so many pieces make a panel worth its copy


cdef struct Sums:
    # K output planes, each a sum over the taps of a group of source planes.
    Taps taps
    Py_ssize_t K
    Py_ssize_t source  # numbers of a source plane
    Py_ssize_t planes  # of the source that are copied and summed at a time
    bint copied  # False: windows of one number, the source serves as it is
    bint packed  # weights lie as pieces of [term][output channel], otherwise as [output channel][term]
    Py_ssize_t y, y_k  # where the output planes begin, and from one to the next
    Py_ssize_t w, w_group  # where the weights begin, and from one group to the next
    Plane plane  # of a sum from one plane to one


cdef inline Py_ssize_t terms(Sums* m) noexcept nogil:
    return m.taps.C * m.taps.R * m.taps.S


cdef inline Py_ssize_t copy_size(Sums* m, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a copy, or of a band of one.
    if m.plane.alone:
        return band_size(&m.plane, &m.taps, lanes)
    return m.planes * m.taps.S * m.taps.plane + lanes


cdef inline Py_ssize_t pieces(Py_ssize_t K) noexcept nogil:
    # Output channels are taken ROWS at a time; what is left in one or two pieces of at most half as many.
    cdef Py_ssize_t left = K % ROWS
    return K // ROWS + (left > 0) + (2 * left > ROWS)


cdef inline Py_ssize_t piece_begin(Py_ssize_t K, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t full = K // ROWS, left = K % ROWS
    if i <= full:
        return i * ROWS
    if i == full + 1 and 2 * left > ROWS:
        return full * ROWS + (left + 1) // 2
    return K


cdef inline Py_ssize_t column_blocks(Py_ssize_t columns, Py_ssize_t rows, Py_ssize_t lanes) noexcept nogil:
    # How many blocks cover the columns: few rows leave registers for wider ones.
    cdef Py_ssize_t widest = (2 * VECTORS if 2 * rows <= ROWS else VECTORS) * lanes
    return up(columns, widest)


cdef inline Py_ssize_t part_begin(Py_ssize_t columns, Py_ssize_t parts, Py_ssize_t i, Py_ssize_t step) noexcept nogil:
    # Whole steps, evenly spread.
    return least(columns, up(columns, step) * i // parts * step)


cdef unrolled piece_columns(Sums* m, const floating* x, const Py_ssize_t* taps, const floating* w,
                            const floating* start, floating* Y, Py_ssize_t y_k, Py_ssize_t piece, Py_ssize_t c,
                            Py_ssize_t first, Py_ssize_t end, const floating* ahead) noexcept nogil:
    # The sums of one piece of output channels over the source planes from c, for columns first ... end - 1; those of
    # the planes before are in Y already. ahead: columns that will be wanted next, or NULL.
    cdef Py_ssize_t lanes = lanes_of(Y), T = terms(m), t = c * m.taps.R * m.taps.S
    cdef Py_ssize_t k = piece_begin(m.K, piece), rows = piece_begin(m.K, piece + 1) - k
    cdef Py_ssize_t count = least(m.planes * m.taps.R * m.taps.S, T - t)
    # Whole vectors, evenly spread: a block of one vector alone keeps the processor waiting.
    cdef Py_ssize_t blocks = column_blocks(end - first, rows, lanes), vectors = up(end - first, lanes)
    cdef Py_ssize_t least_vectors = vectors // blocks, more = vectors % blocks, j = first, i, width
    w = w + k * T + (t * rows if m.packed else t)
    for i in range(blocks):
        width = least(end - j, (least_vectors + (i < more)) * lanes)
        if not m.copied and m.taps.P * m.taps.Q - j < up(width, lanes) * lanes:
            j = m.taps.P * m.taps.Q - up(width, lanes) * lanes  # or it would read beyond the image
            width = m.taps.P * m.taps.Q - j
        block_ahead(w, rows if m.packed else 1, 1 if m.packed else T, x + j, taps, count,
                    start + k if c == 0 else NULL, Y + j, y_k, width, rows, ahead, taps)
        j += width


cdef unrolled panel_columns(Sums* m, const floating* x, const floating* w, const floating* start, floating* Y,
                            Py_ssize_t c, Py_ssize_t first, Py_ssize_t end, Py_ssize_t first_piece,
                            Py_ssize_t end_piece) noexcept nogil:
    # The same for several pieces, which share panels of columns: the first puts a block's terms side by side, as many
    # as fit.
    cdef Py_ssize_t lanes = lanes_of(Y), T = terms(m), t = c * m.taps.R * m.taps.S
    cdef Py_ssize_t end_t = least(T, t + m.planes * m.taps.R * m.taps.S)
    cdef const Py_ssize_t* taps = m.taps.tap
    cdef Py_ssize_t count = up(end_t - t, up(end_t - t, PANEL // (VECTORS * VECTOR_BYTES)))
    cdef Py_ssize_t blocks = column_blocks(end - first, ROWS, lanes), V, width, i, j, k, piece, rows, e, w_t, w_k
    cdef const floating* factors
    cdef const floating* begin
    cdef char room[PANEL + CACHE_LINE]
    cdef floating* panel = on_a_line(room, <floating*>NULL)
    cdef bint filled
    while t < end_t:
        count = least(count, end_t - t)
        for i in range(blocks):
            j = first + part_begin(end - first, blocks, i, lanes)
            width = first + part_begin(end - first, blocks, i + 1, lanes) - j
            V = up(width, lanes)
            filled = not m.copied and j + V * lanes > m.taps.P * m.taps.Q  # otherwise it would read beyond the image
            for e in range(count if filled else 0):
                memcpy(panel + e * V * lanes, x + taps[e] + j, width * sizeof(floating))
            for piece in range(first_piece, end_piece):
                k = piece_begin(m.K, piece)
                rows = piece_begin(m.K, piece + 1) - k
                w_t = rows if m.packed else 1
                w_k = 1 if m.packed else T
                factors = w + k * T + t * w_t
                begin = start + k if t == 0 else NULL
                if filled:
                    panel_block(factors, w_t, w_k, panel, count, begin, Y + k * m.y_k + j, m.y_k, width, rows)
                else:
                    panel_filling(factors, w_t, w_k, x + j, taps, count, begin, Y + k * m.y_k + j, m.y_k, width, panel)
                    filled = True
        t += count
        taps += count


cdef inline bint in_panels(Sums* m) noexcept nogil:
    # Whether enough rows share a panel to be worth its copy. Where no tap meets the image there are no terms.
    return PANEL > 0 and m.K >= SHARING * ROWS and terms(m) > 0 and not m.plane.alone


cdef inline void chunk_columns(Sums* m, const floating* x, const floating* w, const floating* start, floating* Y,
                               Py_ssize_t c, Py_ssize_t columns, Py_ssize_t count, Py_ssize_t i, Py_ssize_t piece,
                               Py_ssize_t end_piece) noexcept nogil:
    # Pieces piece ... end_piece - 1 of part i of the columns. Where there is no copy and a part is a block, the first
    # pieces call the next block's columns into the cache, a vector of each term at a time: they lie so far apart that
    # the processor does not see them coming.
    cdef Py_ssize_t lanes = lanes_of(Y), step = VECTORS * lanes if in_panels(m) else lanes
    cdef Py_ssize_t first = part_begin(columns, count, i, step), end = part_begin(columns, count, i + 1, step), next
    if in_panels(m):
        panel_columns(m, x, w, start, Y, c, first, end, piece, end_piece)
        return
    for piece in range(piece, end_piece):
        next = end + piece * lanes
        piece_columns(m, x, m.taps.tap, w, start, Y + piece_begin(m.K, piece) * m.y_k, m.y_k, piece, c, first, end,
                      x + next if not m.copied and piece <= VECTORS and next < columns else NULL)


cdef inline Py_ssize_t planes_at_a_time(Sums* m, Py_ssize_t size) noexcept nogil:
    # So many that their copy stays in the cache, if the output does so beside it; else all of them.
    cdef Py_ssize_t plane = m.taps.S * m.taps.plane * size, blocks = m.taps.C * plane // CACHE + 1
    if not m.copied or m.K * m.taps.P * m.taps.Q * size > CACHE or plane > CACHE:
        return m.taps.C
    return up(m.taps.C, blocks)


cdef inline Py_ssize_t chunks(Sums* m, Py_ssize_t columns, Py_ssize_t size) noexcept nogil:
    # How many parts the columns are taken in: so many that a part of the copy stays in the cache. Without a copy a
    # block each, if all weights stay in the cache. With panels, whose copy is read but once, so many that the outputs
    # stay there while the terms pass by, some at a time.
    cdef Py_ssize_t blocks = up(columns, VECTORS * VECTOR_BYTES // size)
    if in_panels(m):
        return up(blocks, PANEL_BLOCKS)
    if not m.copied and m.K > ROWS and m.K * terms(m) * size <= CACHE // 2:
        return blocks
    return least(blocks, m.planes * m.taps.S * m.taps.plane * size // CACHE + 1)
