# How a convolution is cut whose copies would pass what a thread's scratch memory may take: into bands of outputs, and
# boxes of terms that are copied and summed up one after the other. Every sum goes over the same terms in the same order
# however it is cut, and what is not finished waits in the output, so that cuts change no bits.

from ..microkernel.multiply_accumulate cimport PANEL, ROWS
from ..pack.taps cimport padded_plane
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times
from ..runtime.memory cimport CACHE_LINE, whole_lines
from .axis cimport Axis, Line, longest_line, outputs_met, taps_met

cdef enum:
    # A thread's scratch memory is shared out: so many parts of it are
    COPY = 4  # a band of the source
    WEIGHTS = 4  # weights in another order
    OUTPUTS = 16  # outputs that do not lie side by side
    POSITION = 1024  # for each position of a band
    TERM = 512  # for each term of a box, whose offsets are kept
    SPARSE = 8  # taps for each that an output has in the source


cdef struct Box:
    # Terms: of some source planes, rows and columns of the weights. More than one plane or row only with all columns,
    # more than one plane only with all rows: so they lie side by side.
    Span c, r, s


cdef struct Limits:
    Py_ssize_t planes, R, S  # of a box


cdef struct Layer:
    # One call. Source planes and output planes are those of a group; w(c, k, r, s) = w[c w_c + k w_k + r w_r + s].
    Py_ssize_t N, groups, C, K
    Py_ssize_t z_image, z_group, z_plane
    Py_ssize_t y_image, y_group, y_plane
    Py_ssize_t w_group, w_c, w_k, w_r
    bint swapped  # the source are the weights' planes, and the weights the image's (or Delta's) numbers
    bint as_it_lies  # weights are IN_ROWS of all terms
    bint sparse  # from an output few taps meet the source: bands are small, and each has only terms that do
    Axis rows, columns
    # How it is cut: bands of each phase, of at most so many outputs.
    Py_ssize_t row_bands, column_bands, P, Q
    Limits copied, packed  # of boxes that are copied, and of those whose weights are
    Py_ssize_t blocks  # output planes of which weights are packed at a time
    Py_ssize_t copy, weights, out, table  # numbers, and bytes of tables
    Py_ssize_t bytes  # of a thread's scratch memory
    const void* source
    const void* source_end


cdef inline bint halve(Py_ssize_t* extent, Py_ssize_t least) noexcept nogil:
    # False: it is as small as it may be.
    if extent[0] <= max_of(1, least):
        return False
    extent[0] = max_of(max_of(1, least), ceil_div(extent[0], 2))
    return True


cdef inline Py_ssize_t copied_rows(const Line* rows, Py_ssize_t P, Py_ssize_t R) noexcept nogil:
    # At most so many: of each phase of the step those between the first and the last that a band needs. Offsets beyond
    # the image are moved to it (pack/taps.pxd).
    cdef Py_ssize_t reach = min_of(times(max_of(rows.gap, -rows.gap), R - 1), plus(rows.source, times(rows.step, P)))
    return times(min_of(R, rows.step), P + reach // rows.step + 1)


cdef inline void limit_terms(Limits* box, const Line* rows, const Line* columns, Py_ssize_t C,
                             Py_ssize_t terms) noexcept nogil:
    # As many as there are, or so many.
    box.S = min_of(columns.taps, max_of(1, terms))
    box.R = min_of(rows.taps, max_of(1, terms // columns.taps))
    box.planes = min_of(C, max_of(1, terms // times(rows.taps, columns.taps)))


cdef inline bint near_source(Line* line, Py_ssize_t* outputs) noexcept nogil:
    # Where most outputs meet no number of the source, bands of so many are either without or mostly with some; where
    # most taps do not, bands of so many outputs have no more than twice the terms of one.
    cdef bint few_outputs = 2 * outputs_met(line) < line.outputs
    if few_outputs:
        outputs[0] = min_of(outputs[0], max_of(1, outputs_met(line) // 2))
    if SPARSE * taps_met(line, 1) >= line.taps:
        return few_outputs
    outputs[0] = min_of(outputs[0], 1 + line.source // line.step)
    line.taps = taps_met(line, outputs[0])
    return True


cdef inline void plan_bands(Layer* g, Py_ssize_t room, Py_ssize_t size, Py_ssize_t lanes, int threads) noexcept nogil:
    # So that a thread's scratch memory takes less than `room` bytes. Rows of outputs are cut first, for they cost the
    # fewest copies; then source planes while enough terms are left; then columns.
    cdef Line rows = longest_line(&g.rows), columns = longest_line(&g.columns)
    cdef Limits* box = &g.copied
    cdef Py_ssize_t reach, T, most
    g.P, g.Q = rows.outputs, columns.outputs
    g.sparse = near_source(&rows, &g.P) | near_source(&columns, &g.Q)
    g.as_it_lies &= not g.sparse
    reach = min_of(32, copied_rows(&rows, 1, rows.taps))
    g.Q = min_of(g.Q, room // POSITION)
    g.P = min_of(g.P, max_of(1, room // POSITION // g.Q))
    limit_terms(box, &rows, &columns, g.C, room // TERM)
    while True:
        g.copy = times(times(box.planes, box.S), padded_plane(times(copied_rows(&rows, g.P, box.R), g.Q), lanes))
        if times(g.copy, size) <= room // COPY:
            break
        if not (halve(&g.P, max_of(8, reach)) or halve(&box.planes, 64 // times(box.R, box.S)) or halve(&g.Q, 512)
                or halve(&box.planes, 1)):
            if box.R > 16 or (box.R > 1 and box.S <= 64):
                halve(&box.R, 1)
            elif not halve(&g.P, 8):
                if box.R > 1:
                    box.R = 1  # and columns of the weights may be cut
                elif not (halve(&box.S, 16) or halve(&g.P, 1) or halve(&g.Q, 1) or halve(&box.S, 1)):
                    break
    g.row_bands = ceil_div(rows.outputs, g.P)
    if threads > 1 and g.N * g.groups % threads:
        g.row_bands = min_of(rows.outputs, ceil_div(g.row_bands, threads) * threads)
    g.P = ceil_div(rows.outputs, g.row_bands)
    g.column_bands = ceil_div(columns.outputs, g.Q)
    g.Q = ceil_div(columns.outputs, g.column_bands)
    T = box.planes * box.R * box.S
    g.copy = plus(box.planes * box.S * padded_plane(copied_rows(&rows, g.P, box.R) * g.Q, lanes), lanes)
    g.table = (7 * box.R + 3 * box.S + 2 * T + 1) * <Py_ssize_t>sizeof(Py_ssize_t)
    g.blocks = g.K
    g.weights = 0
    if not g.as_it_lies:
        most = room // WEIGHTS // size
        g.blocks = min_of(g.K, max_of(1, most // 64 // ROWS) * ROWS)
        limit_terms(&g.packed, &rows, &columns, g.C, most // g.blocks)
        g.weights = g.blocks * g.packed.planes * g.packed.R * g.packed.S
    g.out = min_of(g.K, max_of(ROWS, room // OUTPUTS // size // (g.P * g.Q) // ROWS * ROWS)) * g.P * g.Q
    g.bytes = (whole_lines(g.table) + whole_lines((g.copy + lanes) * size) + whole_lines(g.weights * size)
               + whole_lines(g.out * size) + PANEL + 4 * CACHE_LINE)


cdef inline Box first_box(const Box* all, const Limits* most) noexcept nogil:
    cdef Box box
    box.c = Span(all.c.first, min_of(all.c.end, all.c.first + most.planes))
    box.r = Span(all.r.first, min_of(all.r.end, all.r.first + most.R))
    box.s = Span(all.s.first, min_of(all.s.end, all.s.first + most.S))
    if box.r.end < all.r.end or box.s.end < all.s.end:
        box.c.end = box.c.first + 1
    if box.s.end < all.s.end:
        box.r.end = box.r.first + 1
    return box


cdef inline bint next_box(const Box* all, const Limits* most, Box* box) noexcept nogil:
    # What comes next in the order of the terms; False if that was the last one.
    cdef Box rest = all[0]
    if box.s.end < all.s.end:
        rest.c, rest.r = box.c, box.r
        rest.s.first = box.s.end
        box[0] = first_box(&rest, most)
        return True
    if box.r.end < all.r.end:
        rest.c = box.c
        rest.r.first = box.r.end
    elif box.c.end < all.c.end:
        rest.c.first = box.c.end
    else:
        return False
    box[0] = first_box(&rest, most)
    return True
