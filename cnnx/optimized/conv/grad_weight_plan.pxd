# How the gradient with respect to the kernels is cut. Whatever decides an order of sums follows from the shapes of one
# image, not from how many there are, the instruction set or the number of threads; these say who computes what.
#
# An element of dF is the sum of at most PARTS parts, each of them, in order, the sums of units; a unit's positions are
# added up one by one, or into partial sums. Units are fixed groups of images, or cuts of one, and go to parts in turn:
# a larger batch goes on where a smaller one ends.

from ..microkernel.grad_weight cimport SUMS, WIDEST
from ..microkernel.strided_rows cimport MAX_VECTOR_STRIDE
from ..pack.grad_weight cimport Plan, Scratch
from ..runtime.integers cimport Span, ceil_div, cut, end_output, first_output, max_of, min_of, plus, times
from ..runtime.memory cimport CACHE_LINE, whole_lines
from ..simd.vector cimport SUM_BYTES, VECTOR_BYTES

cdef enum:
    # Positions that a block sums up before its sums are added to those so far: few enough that Delta's stay in the
    # first cache and that rounding errors do not pile up, many enough that adding costs little.
    OVER_CHANNELS = 800
    OVER_POSITIONS = 1024
    COPY = 200_000  # numbers of Z, of several images together
    PARTS = 8  # where there are fewer elements than would keep some threads busy:
    FEW_OVER_CHANNELS = 6144
    FEW_OVER_POSITIONS = 192
    TURN = 500_000  # multiply-adds before it is another part's turn: few, and to add the parts up would cost too much
    LARGE = 1_000_000  # numbers of a copy, or of dF
    ITEM = 4  # parts of a thread's scratch memory: one for an item's sums, one for its copies
    SPARSE = 64  # numbers of copies for each multiply-add; multiply-adds for each that is of an image, not padding
    MANY = 100_000_000  # multiply-adds of an image, for which the latter are counted


cdef struct Unit:
    # Positions: of so many images from n on, rows from p on, columns from q on.
    Py_ssize_t n, p, q, images, rows, columns


cdef struct Item:
    # Some of a group's blocks of channels and tiles of taps, over a part of the units.
    Py_ssize_t group, part
    Span blocks, tiles


cdef inline void plan_units(Plan* g) noexcept nogil:
    cdef Py_ssize_t limit = OVER_CHANNELS if g.over_channels else OVER_POSITIONS, images = 1
    g.inside = (g.p_h == 0 and g.p_w == 0 and g.u * (g.P - 1) + g.d_h * (g.R - 1) < g.H
                and g.v * (g.Q - 1) + g.d_w * (g.S - 1) < g.W)
    g.row_cuts = min_of(g.P, ceil_div(g.P * g.Q, limit))
    g.column_cuts = max_of(1, g.Q // limit)
    g.rows = ceil_div(g.P, g.row_cuts)
    g.columns = ceil_div(g.Q, g.column_cuts)
    g.h = g.u * (g.rows - 1) + g.d_h * (g.R - 1) + 1
    g.phases = min_of(g.u, g.h)
    g.w = g.v * (g.columns - 1) + g.d_w * (g.S - 1) + 1
    if g.over_channels and limit >= g.P * g.Q:
        images = limit // (g.P * g.Q)
        if not g.inside:
            images = max_of(1, min_of(images, COPY // times(g.C, times(g.h, g.w))))
    g.image_cuts = ceil_div(g.N, images)
    g.units = g.image_cuts * g.row_cuts * g.column_cuts
    g.images = min_of(g.N, images)


cdef inline void plan_blocks(Plan* g) noexcept nogil:
    cdef Py_ssize_t vectors = ceil_div(g.K, g.lanes), plane
    if g.over_channels:
        g.direct = g.inside
        g.V = 1
        while 2 * g.V <= WIDEST and vectors % (2 * g.V) == 0:
            g.V *= 2
        g.channels = g.V * g.lanes
        g.taps = SUMS // max_of(2, g.V)
        g.x_size = 0 if g.direct else plus(times(g.images * g.C, times(g.h, g.w)), g.partial)
        g.at_size = g.images * g.rows * g.columns
    else:
        g.direct = g.inside and g.S == 1 and g.u == 1 and g.v == 1 and g.Q == g.W
        g.channels = min_of(g.K, 4)
        g.taps = 3
        plane = plus(times(ceil_div(g.h, g.u), g.columns), g.partial)
        g.x_size = 0 if g.direct else plus(times(g.C * g.S * g.phases, plane),
                                           plus(times(g.h, g.w), MAX_VECTOR_STRIDE * g.partial))
        g.at_size = 0
    g.blocks = ceil_div(g.K, g.channels)
    g.tiles = ceil_div(g.T, g.taps)
    g.taps_size = g.tiles * g.taps
    g.compact, g.item_sums, g.positions = False, 0, g.images * g.rows * g.columns
    g.Delta_size = g.at_size * g.channels
    g.sums_size = g.groups * g.blocks * g.channels * g.tiles * g.taps * (1 if g.over_channels else g.partial)


cdef inline bint channels_pay(const Plan* g) noexcept nogil:
    # Which way fills more lanes of the widest vectors, which decide for all. Vectors over positions often cross the
    # cache's lines, and of small images the copies take as long as some more vectors would: so many, measured with 4
    # to 16 input channels, are counted for them.
    cdef Py_ssize_t L = g.partial, area = g.P * g.Q, copies = 2 if g.v == 1 else 16
    return area < L or 4 * g.K * (ceil_div(area, L) + copies) >= 3 * area * ceil_div(g.K, L)


cdef inline void plan_parts(Plan* g) noexcept nogil:
    cdef double sums = <double>g.groups * g.K * g.T, unit = sums * g.images * g.rows * g.columns
    g.parts, g.turn = 1, 1
    if sums < (FEW_OVER_CHANNELS if g.over_channels else FEW_OVER_POSITIONS):
        g.turn = max_of(1, <Py_ssize_t>(TURN / unit))
        g.parts = min_of(PARTS, ceil_div(g.units, g.turn))


cdef inline void plan_jobs(Plan* g, int threads) noexcept nogil:
    g.items = g.groups * g.parts
    g.k_splits = 1
    g.t_splits = 1
    if threads > 1 and g.items < PARTS * threads and g.items % threads != 0:
        g.k_splits = min_of(g.blocks, threads)
        g.t_splits = min_of(g.tiles, ceil_div(threads, g.k_splits))
        g.items *= g.k_splits * g.t_splits
    g.jobs = min_of(threads, g.items)


cdef inline void plan_grad_weight(Plan* g, Py_ssize_t lanes, int threads) noexcept nogil:
    g.lanes = lanes
    g.partial = lanes * (SUM_BYTES // VECTOR_BYTES)
    g.T = g.C * g.R * g.S
    g.over_channels = channels_pay(g)
    plan_units(g)
    plan_blocks(g)
    plan_parts(g)
    plan_jobs(g, threads)


cdef inline double pairs_within(Py_ssize_t taps, Py_ssize_t outputs, Py_ssize_t extent, Py_ssize_t step, Py_ssize_t pad,
                                Py_ssize_t apart) noexcept nogil:
    # How many pairs of a tap and an output meet the image, along one axis.
    cdef double total = 0
    cdef Py_ssize_t r, end
    for r in range(taps):
        end = end_output(extent + pad - apart * r, step, outputs)
        total += max_of(0, end - first_output(pad - apart * r, step))
    return total


cdef inline bint term_by_term(const Plan* g) noexcept nogil:
    # Whether copies hold far more than the sums take of them: padding, and what lies between taps or between outputs.
    cdef double products = <double>g.P * g.Q * g.K * g.T, copied = <double>g.x_size // g.images
    if copied > LARGE and copied * g.row_cuts * g.column_cuts > SPARSE * products:
        return True
    if g.inside or products < MANY and <double>g.groups * g.K * g.T < LARGE:
        return False
    return (pairs_within(g.R, g.P, g.H, g.u, g.p_h, g.d_h) * pairs_within(g.S, g.Q, g.W, g.v, g.p_w, g.d_w)
            < <double>g.P * g.R * g.Q * g.S / SPARSE)


cdef inline Unit unit_of(const Plan* g, Py_ssize_t unit) noexcept nogil:
    cdef Py_ssize_t i = unit % g.column_cuts, j = unit // g.column_cuts % g.row_cuts
    cdef Py_ssize_t m = unit // (g.column_cuts * g.row_cuts)
    cdef Unit it
    it.n = m * g.images
    it.p = cut(g.P, g.row_cuts, j)
    it.q = cut(g.Q, g.column_cuts, i)
    it.images = min_of(g.images, g.N - it.n)
    it.rows = cut(g.P, g.row_cuts, j + 1) - it.p
    it.columns = cut(g.Q, g.column_cuts, i + 1) - it.q
    return it


cdef inline Py_ssize_t next_unit(const Plan* g, Py_ssize_t unit) noexcept nogil:
    # That of the same part.
    unit += 1
    return unit if unit % g.turn else unit + (g.parts - 1) * g.turn


cdef inline Item item_of(const Plan* g, Py_ssize_t i) noexcept nogil:
    cdef Item item
    item.tiles = Span(cut(g.tiles, g.t_splits, i % g.t_splits), cut(g.tiles, g.t_splits, i % g.t_splits + 1))
    i //= g.t_splits
    item.blocks = Span(cut(g.blocks, g.k_splits, i % g.k_splits), cut(g.blocks, g.k_splits, i % g.k_splits + 1))
    i //= g.k_splits
    item.part = i % g.parts
    item.group = i // g.parts
    return item


cdef inline Py_ssize_t count_of(const Unit* it) noexcept nogil:
    return it.images * it.rows * it.columns


cdef inline Py_ssize_t sums_bytes(const Plan* g, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t sums = g.jobs * g.item_sums if g.item_sums > 0 else g.parts * g.sums_size
    return whole_lines((sums + (0 if g.over_channels else g.lanes * g.partial)) * size)


cdef inline Py_ssize_t grad_weight_scratch(Plan* g, Py_ssize_t size) noexcept nogil:
    # How many bytes of scratch memory numbers of `size` bytes take.
    cdef Py_ssize_t offsets = g.jobs * (g.at_size + g.taps_size) * <Py_ssize_t>sizeof(Py_ssize_t)
    g.x_size = whole_lines(times(g.x_size, size)) // size
    g.Delta_size = whole_lines(g.Delta_size * size) // size
    return plus(CACHE_LINE + sums_bytes(g, size) + offsets, times(g.jobs, times(plus(g.x_size, g.Delta_size), size)))


cdef inline void limit_scratch(Plan* g, Py_ssize_t most_bytes, Py_ssize_t size, int threads) noexcept nogil:
    # Where sums, or the copies that a unit needs, are large: items of few taps, each of which sums up and copies for
    # itself. Units and parts stay as they are, and with them the order of sums.
    cdef Py_ssize_t jobs = g.jobs, x_size = g.x_size, Delta_size = g.Delta_size, bytes
    cdef Py_ssize_t room = most_bytes // ITEM // size
    cdef Py_ssize_t of_tile = g.taps * g.channels * (1 if g.over_channels else g.partial)
    cdef Py_ssize_t most = max_of(1, room // (g.taps * (g.positions + g.partial))), tiles, blocks
    g.jobs = 1
    bytes = grad_weight_scratch(g, size)
    g.jobs, g.x_size, g.Delta_size = jobs, x_size, Delta_size
    if bytes <= most_bytes:
        return
    g.compact = True
    tiles = min_of(g.tiles, min_of(most, max_of(8, room // (g.blocks * of_tile))))
    blocks = min_of(g.blocks, max_of(1, room // (tiles * of_tile)))
    g.t_splits, g.k_splits = ceil_div(g.tiles, tiles), ceil_div(g.blocks, blocks)
    if g.groups * g.parts * g.t_splits * g.k_splits % threads:
        g.t_splits = min_of(g.tiles, ceil_div(g.t_splits, threads) * threads)
    g.items = g.groups * g.parts * g.t_splits * g.k_splits
    g.jobs = min_of(threads, g.items)
    g.taps_size = ceil_div(g.tiles, g.t_splits) * g.taps
    g.x_size = 0 if g.direct else g.taps_size * g.positions + g.partial
    if g.parts == 1:
        g.item_sums = ceil_div(g.blocks, g.k_splits) * g.channels * g.taps_size
        if not g.over_channels:  # and what is read beyond them
            g.item_sums = g.item_sums * g.partial + g.lanes * g.partial
        g.item_sums = whole_lines(g.item_sums * size) // size


cdef inline Scratch scratch_at(const Plan* g, void* memory, Py_ssize_t size) noexcept nogil:
    cdef Scratch scratch
    scratch.sums = <char*>memory + (CACHE_LINE - <Py_ssize_t>(<size_t>memory % CACHE_LINE))
    scratch.x = <char*>scratch.sums + sums_bytes(g, size)
    scratch.Delta = <char*>scratch.x + g.jobs * g.x_size * size
    scratch.at = <Py_ssize_t*>(<char*>scratch.Delta + g.jobs * g.Delta_size * size)
    return scratch
