# The loops of a convolution that is cut by bands_plan.pxd: box of terms by band of outputs, each copied, summed up by
# the same register blocks as a whole image is (blocks.pxd), and left in the output for the next box.

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memset

from ..microkernel.multiply_accumulate cimport IN_ROWS, INTERLEAVED, ROWS
from ..microkernel.table cimport Microkernels
from ..pack.taps cimport copy_of, pack_plane, place_taps, set_extents
from ..runtime.integers cimport Span, ceil_div, cut, max_of, min_of, times
from ..runtime.memory cimport CACHE_LINE, whole_lines
from ..simd.vector cimport lanes_of
from .axis cimport Line, line_of, line_within
from .bands_plan cimport Box, Layer, first_box, next_box
from .epilogue cimport Epilogue
from .blocks cimport Arrays, Sums, column_chunks, multiply_columns, row_block, row_blocks


cdef enum:
    SECOND_CACHE = 1048576  # bytes that weights may take of it; no product, which a checked build cannot compile here
    VISITS = 65536  # of phases, about


cdef struct Room:
    # A thread's scratch memory.
    Py_ssize_t* table
    void* copy
    void* weights
    void* out
    void* panel


cdef struct Band:
    # Outputs of one phase, in rows and columns of that phase.
    Span rows, columns


cdef inline Room room_of(const Layer* g, char* memory, Py_ssize_t size) noexcept nogil:
    cdef Room room
    memory += CACHE_LINE - <Py_ssize_t>(<size_t>memory % CACHE_LINE)
    room.table = <Py_ssize_t*>memory
    memory += whole_lines(g.table)
    room.copy = memory
    memory += whole_lines((g.copy + CACHE_LINE // size) * size)
    room.weights = memory
    memory += whole_lines(g.weights * size)
    room.out = memory
    memory += whole_lines(g.out * size)
    room.panel = memory
    return room


cdef inline Band band_of(const Layer* g, const Line* rows, const Line* columns, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t row = i // g.column_bands, column = i % g.column_bands
    return Band(Span(cut(rows.outputs, g.row_bands, row), cut(rows.outputs, g.row_bands, row + 1)),
                Span(cut(columns.outputs, g.column_bands, column), cut(columns.outputs, g.column_bands, column + 1)))


cdef inline void place_box(Sums* m, const Layer* g, const Line* rows, const Line* columns, const Box* box,
                           const Band* band, const Room* room, Py_ssize_t lanes) noexcept nogil:
    # Where things lie in the copy of a box for a band.
    cdef Py_ssize_t R = box.r.end - box.r.first, S = box.s.end - box.s.first, i
    set_extents(&m.taps, box.c.end - box.c.first, rows.source, columns.source, band.rows.end - band.rows.first,
                band.columns.end - band.columns.first, rows.step, columns.step)
    m.taps.R, m.taps.S = R, S
    m.taps.down, m.taps.right = room.table, room.table + R
    for i in range(R):
        m.taps.down[i] = rows.step * band.rows.first + rows.first + rows.gap * (box.r.first + i)
    for i in range(S):
        m.taps.right[i] = columns.step * band.columns.first + columns.first + columns.gap * (box.s.first + i)
    place_taps(&m.taps, room.table + R + S, lanes)
    m.planes = m.taps.C


cdef inline void pack_weights(const Layer* g, const floating* w, const Line* rows, const Line* columns, const Box* all,
                              Span blocks, floating* to) noexcept nogil:
    # Row blocks of [term][output plane].
    cdef Py_ssize_t block, k, count, c, r, s
    cdef const floating* row
    cdef Span planes
    for block in range(blocks.first, blocks.end):
        planes = row_block(g.K, block)
        count = planes.end - planes.first
        for c in range(all.c.first, all.c.end):
            for r in range(all.r.first, all.r.end):
                for k in range(count):
                    row = (w + c * g.w_c + (planes.first + k) * g.w_k + (rows.tap + rows.tap_apart * r) * g.w_r
                           + columns.tap + columns.tap_apart * all.s.first)
                    for s in range(all.s.end - all.s.first):
                        to[s * count + k] = row[columns.tap_apart * s]
                to += count * (all.s.end - all.s.first)


cdef inline void move_outputs(const Layer* g, const Line* rows, const Line* columns, const Band* band, floating* Y,
                              Py_ssize_t planes, floating* out, bint back) noexcept nogil:
    # Between where outputs lie side by side for register blocks, and Y: the first plane's row 0, column 0.
    cdef Py_ssize_t k, i, j, width = band.columns.end - band.columns.first
    cdef floating* y
    for k in range(planes):
        for i in range(band.rows.first, band.rows.end):
            y = (Y + k * g.y_plane + (rows.place + rows.apart * i) * g.columns.outputs
                 + columns.place + columns.apart * band.columns.first)
            if back:
                for j in range(width):
                    y[columns.apart * j] = out[j]
            else:
                for j in range(width):
                    out[j] = y[columns.apart * j]
            out += width


cdef inline void multiply_box(const Layer* g, const Sums* m, const Arrays* a, Span t, Span blocks, const floating* copy,
                              floating* panel) noexcept nogil:
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q, parts = column_chunks(m, columns, sizeof(floating)), i
    for i in range(parts):
        multiply_columns(m, a, copy, t, columns, parts, i, False, blocks, panel)


cdef inline void sum_box(const Layer* g, Sums* m, const Line* rows, const Line* columns, const Band* band, Span t,
                         Span blocks, const floating* w, const floating* start, floating* Y, const Room* room,
                         const floating* copy) noexcept nogil:
    # One image's outputs of a band. w: of the first of the row blocks. start: NULL if there are sums in Y.
    cdef Py_ssize_t positions = m.taps.P * m.taps.Q, k, at_once, first
    cdef Arrays a
    cdef Span some
    cdef floating* out = <floating*>room.out
    a.Z = NULL
    k = row_block(g.K, blocks.first).first
    a.w = w - k * m.T
    if rows.apart == 1 and columns.apart == 1 and (m.taps.Q == g.columns.outputs or m.taps.P == 1):
        a.start = start
        a.Y = (Y + (rows.place + band.rows.first) * g.columns.outputs + columns.place + band.columns.first)
        m.y_k = g.y_plane
        multiply_box(g, m, &a, t, blocks, copy, <floating*>room.panel)
        return
    m.y_k = positions
    at_once = max_of(1, g.out // positions // ROWS)
    first = blocks.first
    while first < blocks.end:
        some = Span(first, min_of(blocks.end, first + at_once))
        k = row_block(g.K, some.first).first
        a.start = start
        a.Y = out - k * positions
        if start == NULL:
            move_outputs(g, rows, columns, band, Y + k * g.y_plane, row_block(g.K, some.end - 1).end - k, out, False)
        multiply_box(g, m, &a, t, some, copy, <floating*>room.panel)
        move_outputs(g, rows, columns, band, Y + k * g.y_plane, row_block(g.K, some.end - 1).end - k, out, True)
        first = some.end


cdef inline void sum_units(const Layer* g, const Microkernels* kernels, const floating* Z, const floating* w,
                           const floating* start, floating* Y, const Line* rows, const Line* columns, Py_ssize_t group,
                           Span planes, Span units, Span blocks, const Room* room) noexcept nogil:
    # Some of a group's units (band, image) in one phase, for some row blocks of output planes: the terms of some source
    # planes. What those before came to is in Y.
    cdef Py_ssize_t lanes = lanes_of(Y), band, n, i, c, first
    cdef floating* copy = <floating*>room.copy
    cdef const floating* weights = w
    cdef const floating* begin
    cdef Box every, all, box
    cdef Band outputs
    cdef Span t
    cdef Sums m
    every = Box(planes, Span(0, rows.taps), Span(0, columns.taps))
    all = every
    m.taps.kernels, m.taps.source, m.taps.source_end = kernels, g.source, g.source_end
    m.K, m.copied, m.plane.used, m.source = g.K, True, False, g.z_plane
    m.w_is = IN_ROWS if g.as_it_lies else INTERLEAVED
    m.T = g.C * rows.taps * columns.taps
    m.epilogue = Epilogue(used=False, away=0, low=0, high=0)
    if g.as_it_lies:
        weights = w + row_block(g.K, blocks.first).first * m.T
    else:
        all = first_box(&every, &g.packed)
    while True:
        if not g.as_it_lies:
            m.T = (all.c.end - all.c.first) * (all.r.end - all.r.first) * (all.s.end - all.s.first)
            pack_weights(g, w, rows, columns, &all, blocks, <floating*>room.weights)
            weights = <const floating*>room.weights
        for band in range(units.first // g.N, ceil_div(units.end, g.N)):
            outputs = band_of(g, rows, columns, band)
            if outputs.rows.first == outputs.rows.end or outputs.columns.first == outputs.columns.end:
                continue
            t = Span(0, 0)
            box = first_box(&all, &g.copied)
            while True:
                place_box(&m, g, rows, columns, &box, &outputs, room, lanes)
                memset(copy, 0, copy_of(&m.taps, m.planes) * sizeof(floating))
                t = Span(t.end, t.end + m.planes * m.taps.R * m.taps.S)
                begin = start
                if t.first > 0 or all.c.first > 0 or all.r.first > 0 or all.s.first > 0:
                    begin = NULL
                for i in range(max_of(units.first, band * g.N), min_of(units.end, (band + 1) * g.N)):
                    n = i - band * g.N
                    first = n * g.z_image + group * g.z_group
                    for c in range(m.planes):
                        pack_plane(&m.taps, Z + first + (box.c.first + c) * g.z_plane,
                                   copy + copy_of(&m.taps, c))
                    sum_box(g, &m, rows, columns, &outputs, t, blocks, weights, begin,
                            Y + n * g.y_image + group * g.y_group, room, <const floating*>copy)
                if not next_box(&all, &g.copied, &box):
                    break
        if g.as_it_lies or not next_box(&every, &g.packed, &all):
            break


cdef inline void sum_phases(const Layer* g, const Microkernels* kernels, const floating* Z, const floating* w,
                            const floating* start, floating* Y, Py_ssize_t group, Span planes, Span own, Span blocks,
                            const Room* room) noexcept nogil:
    # A group's own units in all phases, the terms of some source planes.
    cdef Py_ssize_t at_once = row_blocks(g.K) if g.blocks == g.K else max_of(1, g.blocks // ROWS), a, b, k, i
    cdef Line rows, columns, r, c
    cdef Span some
    cdef Band band
    for a in range(g.rows.phases):
        if not line_of(&g.rows, a, &rows):
            continue
        for b in range(g.columns.phases):
            if not line_of(&g.columns, b, &columns):
                continue
            r, c, some = rows, columns, own
            for i in range(ceil_div(own.end, g.N) - own.first // g.N if g.sparse else 1):
                if g.sparse:
                    band = band_of(g, &rows, &columns, own.first // g.N + i)
                    r, c = line_within(&rows, band.rows), line_within(&columns, band.columns)
                    some.first = max_of(own.first, (own.first // g.N + i) * g.N)
                    some.end = min_of(own.end, (own.first // g.N + i + 1) * g.N)
                k = blocks.first
                while k < blocks.end and r.taps > 0 and c.taps > 0:
                    sum_units(g, kernels, Z, w, start, Y, &r, &c, group, planes, some,
                              Span(k, min_of(blocks.end, k + at_once)), room)
                    k += at_once


cdef inline Py_ssize_t planes_at_once(const Layer* g, Py_ssize_t size) noexcept nogil:
    # Each phase takes other numbers of the same cache lines of the weights: so many source planes at a time that these
    # lines stay in the second cache from phase to phase. Not so many times that looking at the phases costs more.
    cdef Py_ssize_t phases = g.rows.phases * g.columns.phases, most
    if phases == 1 or g.as_it_lies:
        return g.C
    most = max_of(1, VISITS // phases // (g.row_bands * g.column_bands * g.N))
    return max_of(max_of(64, SECOND_CACHE // size // times(g.K, times(g.rows.taps, g.columns.taps))),
                  ceil_div(g.C, most))


cdef inline void sum_share(const Layer* g, const Microkernels* kernels, const floating* Z, const floating* w,
                           const floating* start, floating* Y, Span units, Span blocks, char* memory) noexcept nogil:
    # One thread's share: some units (group, band, image).
    cdef Py_ssize_t of_group = g.row_bands * g.column_bands * g.N, group, first
    cdef Py_ssize_t at_once = planes_at_once(g, sizeof(floating))
    cdef Room room = room_of(g, memory, sizeof(floating))
    cdef Span own
    cdef const floating* begin
    for group in range(units.first // of_group, ceil_div(units.end, of_group)):
        begin = start
        if start != NULL:
            begin = start + group * g.K
        own = Span(max_of(0, units.first - group * of_group), min_of(of_group, units.end - group * of_group))
        first = 0
        while first < g.C:
            sum_phases(g, kernels, Z, w + group * g.w_group, begin, Y, group,
                       Span(first, min_of(g.C, first + at_once)), own, blocks, &room)
            first += at_once


cdef inline Py_ssize_t shares_of(const Layer* g, int threads) noexcept nogil:
    # Of the row blocks, where there are too few units for all threads.
    cdef Py_ssize_t units = g.row_bands * g.column_bands * g.N * g.groups
    return 1 if units >= threads else min_of(row_blocks(g.K), ceil_div(threads, units))


cdef inline void sum_parts(const Layer* g, const Microkernels* kernels, const floating* Z, const floating* w,
                           const floating* start, floating* Y, Py_ssize_t worker, Py_ssize_t parts, Py_ssize_t shares,
                           Py_ssize_t threads, char* memory) noexcept nogil:
    # The parts of the units and of the row blocks that one worker computes.
    cdef Py_ssize_t units = g.row_bands * g.column_bands * g.N * g.groups, blocks = row_blocks(g.K), i, share
    i = worker
    while i < parts * shares:
        share = i % shares
        sum_share(g, kernels, Z, w, start, Y,
                  Span(cut(units, parts, i // shares), cut(units, parts, i // shares + 1)),
                  Span(cut(blocks, shares, share), cut(blocks, shares, share + 1)), memory)
        i += threads


cdef inline void sum_bands(const Layer* g, const Microkernels* kernels, const floating* Z, const floating* w,
                           const floating* start, floating* Y, int threads, char* memory) noexcept nogil:
    # start: of each output plane, or NULL where Y holds it.
    cdef Py_ssize_t units = g.row_bands * g.column_bands * g.N * g.groups, worker
    cdef Py_ssize_t shares = shares_of(g, threads), parts = min_of(units, threads)
    if shares > 1:
        parts = units
    for worker in prange(min_of(threads, parts * shares), schedule="static", num_threads=threads):
        sum_parts(g, kernels, Z, w, start, Y, worker, parts, shares, threads, memory + worker * g.bytes)
