# What a convolution sums up for one image: row blocks of output channels by blocks of columns, as the register blocks
# take them.

from cython cimport floating
from libc.string cimport memcpy

from ..microkernel.multiply_accumulate cimport (
    INDIRECT, INTERLEAVED, PACK_WHILE_USED, PACKED, PANEL, ROWS, VECTORS, Next, Operands,
)
from ..microkernel.table cimport RegisterBlock, multiply_accumulate
from ..pack.taps cimport Taps, copy_of
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times
from ..runtime.memory cimport align_to_line
from ..simd.prefetch cimport prefetch_span
from ..simd.vector cimport VECTOR_BYTES, lanes_of
from .depthwise cimport Plane, band_size
from .epilogue cimport Epilogue, finish

cdef extern from *:
    """
    /* Reads a number of each cache line: unlike a prefetch that sets the processor's own prefetching going. */
    static inline void cnnx_touch(const char* x, Py_ssize_t bytes) {
        for (Py_ssize_t i = 0; i < bytes; i += 64) (void)*(const volatile char*)(x + i);
    }
    """
    void touch "cnnx_touch"(const void* x, Py_ssize_t bytes) noexcept nogil

cdef enum:
    L2_BYTES = 786_432  # of a copy that stay in a core's own cache while the weights pass by
    SHORT_ROW = 4096  # bytes of a row of weights
    PANEL_BLOCKS = 8  # that follow one another while some of the weights stay in that cache
    MIN_SHARING = 8  # so many row blocks make a panel worth its copy
    STREAMED_PLANES = 8  # of the source, read side by side where all of them fall on one another in the cache
    STREAMED_BYTES = 4096  # of each


cdef struct Sums:
    # K output planes, each a sum over the taps of a group of source planes.
    Taps taps
    Py_ssize_t K
    Py_ssize_t T  # terms of a row of weights
    Py_ssize_t source  # from one source plane to the next
    Py_ssize_t planes  # of the source that are copied and summed at a time
    bint copied  # False: windows of one number, the source serves as it is
    int w_is  # INTERLEAVED: row blocks of [term][output channel]; IN_ROWS: [output channel][term]
    Py_ssize_t y, y_k  # where the output planes begin, and from one to the next
    Py_ssize_t w, w_group  # where the weights begin, and from one group to the next
    Plane plane  # of a sum from one plane to one
    Epilogue epilogue


cdef struct Arrays:
    # Of a sum for one group of one image: its source planes, weights, start values (a bias or zeros), output planes.
    const void* Z
    const void* w
    const void* start  # NULL: sums are added to what Y holds
    void* Y


cdef inline bint serves_as_it_lies(const Sums* m, Py_ssize_t images, Py_ssize_t lanes, Py_ssize_t size) noexcept nogil:
    # A window of one number needs no copy, but for planes that fall on one another in the cache, where there are many
    # outputs (few are a matter of reading: stream_columns), and for small ones of several images, whose tails share
    # vectors.
    cdef const Taps* t = &m.taps
    return (t.R * t.S == 1 and t.u == 1 and t.v == 1 and t.down[0] == 0 and t.right[0] == 0 and t.P == t.H
            and t.Q == t.W and t.P * t.Q >= (2 if images == 1 else 2 * VECTORS) * lanes
            and (2 * m.K <= ROWS or m.source * size % STREAMED_BYTES != 0))


cdef inline void leave_uncopied(Sums* m) noexcept nogil:
    # After plan_taps() and plan_plane().
    cdef Py_ssize_t c
    m.plane.used = False
    for c in range(m.taps.C):
        m.taps.tap[c] = c * m.source


cdef inline Py_ssize_t terms(const Sums* m) noexcept nogil:
    return m.taps.C * m.taps.R * m.taps.S


cdef inline Py_ssize_t copy_size(const Sums* m, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a copy, or of a band of one.
    if m.plane.used:
        return band_size(&m.plane, &m.taps, lanes)
    return plus(copy_of(&m.taps, m.planes), lanes)


cdef inline Py_ssize_t row_blocks(Py_ssize_t K) noexcept nogil:
    # Output channels are taken ROWS at a time; what is left in one or two blocks of at most half as many.
    cdef Py_ssize_t left = K % ROWS
    return K // ROWS + (left > 0) + (2 * left > ROWS)


cdef inline Py_ssize_t row_block_begin(Py_ssize_t K, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t full = K // ROWS, left = K % ROWS
    if i <= full:
        return i * ROWS
    if i == full + 1 and 2 * left > ROWS:
        return full * ROWS + (left + 1) // 2
    return K


cdef inline Py_ssize_t column_blocks(Py_ssize_t columns, Py_ssize_t rows, Py_ssize_t lanes) noexcept nogil:
    # How many blocks cover the columns: few rows leave registers for wider ones.
    cdef Py_ssize_t widest = (2 * VECTORS if 2 * rows <= ROWS else VECTORS) * lanes
    return ceil_div(columns, widest)


cdef inline Py_ssize_t part_begin(Py_ssize_t columns, Py_ssize_t parts, Py_ssize_t i, Py_ssize_t step) noexcept nogil:
    # Whole steps, evenly spread: steps i // parts of them, whose product might not fit.
    cdef Py_ssize_t steps = ceil_div(columns, step)
    return min_of(columns, (steps // parts * i + steps % parts * i // parts) * step)


cdef inline Py_ssize_t column_part(const Sums* m, Py_ssize_t columns, Py_ssize_t parts, Py_ssize_t i, Py_ssize_t step,
                                   Py_ssize_t lanes) noexcept nogil:
    # Where part i begins. Where there is no copy, the last one has a vector, or it would take columns of another one.
    cdef Py_ssize_t begin = part_begin(columns, parts, i, step)
    return begin if m.copied or i == parts else max_of(0, min_of(begin, columns - lanes))


cdef inline Span row_block(Py_ssize_t K, Py_ssize_t i) noexcept nogil:
    return Span(row_block_begin(K, i), row_block_begin(K, i + 1))


cdef inline Span terms_of(const Sums* m, Py_ssize_t c) noexcept nogil:
    # Those of the source planes that are summed up at a time, from c on.
    return Span(c * m.taps.R * m.taps.S, min_of(m.taps.C, c + m.planes) * m.taps.R * m.taps.S)


cdef inline void fetch_rows(const floating* Y, Py_ssize_t pitch, Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    # What a block is going to write, or to add, arrives while it is summed up.
    cdef Py_ssize_t k
    for k in range(rows):
        prefetch_span(Y + k * pitch, width * sizeof(floating), NULL)


cdef inline void multiply_row_block(const Sums* m, const Arrays* a, Operands* o, Py_ssize_t block, Span t,
                                    Span columns, Py_ssize_t own, const floating* x_0, Span ahead) noexcept nogil:
    # The sums of one row block of output channels over some terms; those of the terms before are in Y already. o: x,
    # taps, Y and y_stride. own: from which column on no other thread writes. ahead: columns of x_0 that will be wanted
    # next; each block of columns fetches a vector of theirs.
    cdef Py_ssize_t lanes = lanes_of(x_0), PQ = m.taps.P * m.taps.Q
    cdef Span k = row_block(m.K, block)
    # Whole vectors, evenly spread: a block of one vector alone keeps the processor waiting.
    cdef Py_ssize_t blocks = column_blocks(columns.end - columns.first, k.end - k.first, lanes)
    cdef Py_ssize_t vectors = ceil_div(columns.end - columns.first, lanes)
    cdef Py_ssize_t least_vectors = vectors // blocks, more = vectors % blocks, j = columns.first, i, width
    cdef const floating* x = <const floating*>o.x
    cdef floating* Y = <floating*>o.Y
    cdef Next next
    cdef bint finished = m.epilogue.used and t.end == terms(m), short_rows
    # Row blocks are such that there is a register block for each.
    cdef const RegisterBlock* multiply = m.taps.kernels.register_block[m.w_is][INDIRECT][k.end - k.first]
    o.rows = k.end - k.first
    o.w = <const floating*>a.w + k.first * m.T + (t.first * o.rows if m.w_is == INTERLEAVED else t.first)
    o.stride = o.rows if m.w_is == INTERLEAVED else m.T
    o.T = t.end - t.first
    o.start = <const floating*>a.start + k.first if t.first == 0 and a.start != NULL else NULL
    # The weights of the next row blocks, which lie behind these: as many lines as terms. Of longer rows the processor
    # sees them coming, and these would be in its way.
    short_rows = o.T == m.T and m.T == terms(m) and m.T * <Py_ssize_t>sizeof(floating) <= SHORT_ROW
    for i in range(blocks):
        next = Next(NULL, NULL)
        if ahead.first < ahead.end:
            next = Next(x_0 + ahead.first, o.taps)
            ahead.first += lanes
        elif short_rows:
            next = Next(<const floating*>a.w + k.end * m.T, m.taps.tap + m.T)
            short_rows = False
        width = min_of(columns.end - j, (least_vectors + (i < more)) * lanes)
        if not m.copied and PQ - j < ceil_div(width, lanes) * lanes:
            # It would read beyond the image: the last columns again, but none that another thread may be writing to.
            if width > lanes and own > PQ - ceil_div(width, lanes) * lanes:
                o.x, o.Y, o.width = x + j, Y + j, (width - 1) // lanes * lanes
                multiply[o.width // lanes](o, &next, NULL, NULL, NULL, NULL)
                if finished:
                    finish(&m.epilogue, m.taps.kernels, <floating*>o.Y, o.y_stride, o.rows, o.width)
                j += o.width
                width -= o.width
            j = PQ - ceil_div(width, lanes) * lanes
            width = PQ - j
        o.x, o.Y, o.width = x + j, Y + j, width
        fetch_rows(Y + j, o.y_stride, o.rows, width)
        if finished and m.epilogue.away != 0:
            fetch_rows(<const floating*>(<const char*>o.Y + m.epilogue.away), o.y_stride, o.rows, width)
        multiply[ceil_div(width, lanes)](o, &next, NULL, NULL, NULL, NULL)
        if finished:
            finish(&m.epilogue, m.taps.kernels, <floating*>o.Y, o.y_stride, o.rows, width)
        j += width


cdef inline void multiply_panel(const Sums* m, const Arrays* a, const floating* x, Span t, Span columns,
                                Span blocks, floating* memory) noexcept nogil:
    # The same for several row blocks, which share panels of columns: the first packs a panel, as many terms as fit.
    # memory: PANEL bytes and a cache line.
    cdef Py_ssize_t lanes = lanes_of(x), T = t.end - t.first
    cdef Py_ssize_t count = ceil_div(T, ceil_div(T, PANEL // (VECTORS * VECTOR_BYTES)))
    cdef Py_ssize_t panels = column_blocks(columns.end - columns.first, ROWS, lanes), V, i, j, block, e
    cdef const Py_ssize_t* taps = m.taps.tap
    cdef floating* panel = align_to_line(memory, <floating*>NULL)
    cdef bint filled
    cdef Span k, first = row_block(m.K, blocks.first)
    cdef Operands o
    cdef Next nothing = Next(NULL, NULL)
    o.y_stride, o.panel, o.taps = m.y_k, panel, NULL
    while t.first < t.end:
        count = min_of(count, t.end - t.first)
        for i in range(panels):
            j = columns.first + part_begin(columns.end - columns.first, panels, i, lanes)
            o.width = columns.first + part_begin(columns.end - columns.first, panels, i + 1, lanes) - j
            V = ceil_div(o.width, lanes)
            # Otherwise it would read beyond the image, or there is no register block that packs.
            filled = (not m.copied and j + V * lanes > m.taps.P * m.taps.Q) or first.end - first.first < ROWS
            for e in range(count if filled else 0):
                memcpy(panel + e * V * lanes, x + taps[e] + j, o.width * sizeof(floating))
            for block in range(blocks.first, blocks.end):
                k = row_block(m.K, block)
                o.rows, o.T = k.end - k.first, count
                o.w = <const floating*>a.w + k.first * m.T + (t.first * o.rows if m.w_is == INTERLEAVED else t.first)
                o.stride = o.rows if m.w_is == INTERLEAVED else m.T
                o.start = <const floating*>a.start + k.first if t.first == 0 and a.start != NULL else NULL
                o.Y = <floating*>a.Y + k.first * m.y_k + j
                if filled:
                    o.x = panel
                    multiply_accumulate(m.taps.kernels, m.w_is, PACKED, &o, &nothing, x)
                else:
                    o.x, o.taps = x + j, taps
                    multiply_accumulate(m.taps.kernels, m.w_is, PACK_WHILE_USED, &o, &nothing, x)
                    filled = True
                if m.epilogue.used and t.first + count == terms(m):
                    finish(&m.epilogue, m.taps.kernels, <floating*>o.Y, o.y_stride, o.rows, o.width)
        t.first += count
        taps += count


cdef inline bint in_panels(const Sums* m) noexcept nogil:
    # Whether enough rows share a panel to be worth its copy. Where no tap meets the image there are no terms.
    return PANEL > 0 and m.K >= MIN_SHARING * ROWS and terms(m) > 0 and not m.plane.used


cdef inline bint is_streamed(const Sums* m, Py_ssize_t size) noexcept nogil:
    # Whether planes that serve as they are fall on one another in the cache.
    return not m.copied and times(m.source, size) % STREAMED_BYTES == 0


cdef inline void stream_columns(const Sums* m, const Arrays* a, const floating* x, Span columns,
                                Span blocks) noexcept nogil:
    # Some row blocks by some columns, a part of few planes at a time.
    cdef Py_ssize_t step = STREAMED_BYTES // <Py_ssize_t>sizeof(floating), end = columns.end, c, block
    cdef Operands o
    while columns.first < end:
        columns.end = min_of(end, columns.first + step)
        c = 0
        while c < m.taps.C:
            for block in range(blocks.first, blocks.end):
                o.x, o.taps, o.y_stride = x + c * m.source, m.taps.tap, m.y_k
                o.Y = <floating*>a.Y + row_block_begin(m.K, block) * m.y_k
                multiply_row_block(m, a, &o, block, Span(c, min_of(m.taps.C, c + STREAMED_PLANES)), columns,
                                   columns.first, x, Span(0, 0))
            c += STREAMED_PLANES
        columns.first = columns.end


cdef inline void multiply_columns(const Sums* m, const Arrays* a, const floating* x, Span t, Py_ssize_t end,
                                  Py_ssize_t parts, Py_ssize_t part, bint shared, Span blocks,
                                  floating* panel) noexcept nogil:
    # Some row blocks by a part of the columns 0 ... end - 1, whose other parts are other threads' if `shared`. Where
    # there is no copy, columns lie so far apart that the processor does not see them coming. So each row block
    # prefetches a share of the next part: all at once they would be in the way of what is read now. Of a source that
    # was not in the cache before, too many would be late: a part is read in long runs first.
    cdef Py_ssize_t lanes = lanes_of(x), step = VECTORS * lanes if in_panels(m) else lanes, block, vectors, c
    cdef Span ahead
    cdef Span columns = Span(column_part(m, end, parts, part, step, lanes),
                             column_part(m, end, parts, part + 1, step, lanes))
    cdef Operands o
    if in_panels(m):
        multiply_panel(m, a, x, t, columns, blocks, panel)
        return
    if is_streamed(m, sizeof(floating)):
        stream_columns(m, a, x, columns, blocks)
        return
    vectors = 0 if m.copied else ceil_div(min_of(end, 2 * columns.end - columns.first) - columns.end, lanes)
    if not m.copied and times(terms(m) * sizeof(floating), end) > 2 * L2_BYTES:
        vectors = 0
        for c in range(m.taps.C):
            touch(x + m.taps.tap[c] + columns.first, (columns.end - columns.first) * sizeof(floating))
    for block in range(blocks.first, blocks.end):
        ahead = Span(columns.end + vectors * (block - blocks.first) // (blocks.end - blocks.first) * lanes,
                     columns.end + vectors * (block - blocks.first + 1) // (blocks.end - blocks.first) * lanes)
        o.x, o.taps, o.Y, o.y_stride = x, m.taps.tap, <floating*>a.Y + row_block_begin(m.K, block) * m.y_k, m.y_k
        multiply_row_block(m, a, &o, block, t, columns, columns.first if shared else 0, x, ahead)


cdef inline Py_ssize_t planes_at_a_time(const Sums* m, Py_ssize_t size) noexcept nogil:
    # So many that their copy stays in the cache, if the output does so beside it; else all of them.
    cdef Py_ssize_t plane = times(copy_of(&m.taps, 1), size), blocks = times(m.taps.C, plane) // L2_BYTES + 1
    if not m.copied or m.K * m.taps.P * m.taps.Q * size > L2_BYTES or plane > L2_BYTES:
        return m.taps.C
    return ceil_div(m.taps.C, blocks)


cdef inline Py_ssize_t column_chunks(const Sums* m, Py_ssize_t columns, Py_ssize_t size) noexcept nogil:
    # How many parts the columns are taken in: so many that a part of the copy stays in the cache. Without a copy, if
    # all weights stay in the cache, half as large: then the next part does so beside it, and outputs are written in
    # long runs; a block each would write a few lines of each plane at a time, which costs more than the sums where
    # terms are few. With panels, whose copy is read but once, so many that the outputs stay there while the terms pass
    # by, some at a time.
    cdef Py_ssize_t blocks = ceil_div(columns, VECTORS * VECTOR_BYTES // size)
    if in_panels(m):
        return ceil_div(blocks, PANEL_BLOCKS)
    if (not m.copied and m.K > ROWS and columns * size >= 2 * VECTORS * VECTOR_BYTES
            and m.K * terms(m) * size <= L2_BYTES // 2):
        return min_of(blocks, times(terms(m) * size, columns) // (L2_BYTES // 2) + 1)
    return min_of(blocks, copy_of(&m.taps, m.planes) * size // L2_BYTES + 1)
