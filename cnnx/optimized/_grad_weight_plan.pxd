# How the gradient with respect to the kernels is cut: by shapes alone wherever the cut decides an order of sums,
# by the number of threads too where it only says who computes what.

from libc.stdlib cimport malloc

from ._grad_weight_block cimport Blocks
from ._grad_weight_tile cimport SUMS, WIDEST
from ._index cimport least, most, up

cdef enum:
    # Positions that a block sums up before its sums are added to those so far: few enough that Delta's stay in the
    # nearest cache and that rounding errors do not pile up, many enough that adding costs little.
    OVER_CHANNELS = 800
    OVER_POSITIONS = 1024
    COPY = 200_000  # numbers of Z, of several images together
    CUT = 8  # parts of the images, where there are fewer blocks than would keep some threads busy
    SMALL = 2_000_000  # multiply-adds that no cut is made for

cdef struct Plan:
    Py_ssize_t N, C, H, W, K, R, S, P, Q, u, v, p_h, p_w, d_h, d_w, groups  # C and K of one group
    Py_ssize_t lanes, T, V  # V vectors are a block's channels, where they lie over channels
    bint over_channels  # vectors lie over channels of Delta, or else over positions
    bint inside  # no window meets padding
    bint direct  # Z itself serves: no copy
    # A unit: at most so many images, rows and columns of positions; units are numbered in the order of their sums.
    Py_ssize_t images, rows, columns, image_cuts, row_cuts, column_cuts, units
    Py_ssize_t h, w  # rows and columns of Z that a unit needs at most
    Py_ssize_t channels, blocks, taps, tiles  # of a block, blocks of a group; of a tile, tiles of a block
    Py_ssize_t parts, k_splits, t_splits, items, jobs
    Blocks block
    Py_ssize_t x_size, Delta_size, at_size, sums_size  # numbers; for one job, job, job, part


cdef struct Unit:
    Py_ssize_t n, p, q, images, rows, columns

cdef struct Scratch:
    void* memory  # of all that follows
    void* sums
    void* x
    void* Delta
    Py_ssize_t* at


cdef inline Py_ssize_t cut(Py_ssize_t extent, Py_ssize_t cuts, Py_ssize_t i) noexcept nogil:
    # Where part i of an extent begins; parts differ by one at most.
    return extent // cuts * i + least(i, extent % cuts)


cdef inline void plan_units(Plan* g) noexcept nogil:
    cdef Py_ssize_t limit = OVER_CHANNELS if g.over_channels else OVER_POSITIONS, images = 1
    g.inside = (g.p_h == 0 and g.p_w == 0 and g.u * (g.P - 1) + g.d_h * (g.R - 1) < g.H
                and g.v * (g.Q - 1) + g.d_w * (g.S - 1) < g.W)
    g.row_cuts = least(g.P, up(g.P * g.Q, limit))
    g.column_cuts = most(1, g.Q // limit)
    g.rows = up(g.P, g.row_cuts)
    g.columns = up(g.Q, g.column_cuts)
    g.h = g.u * (g.rows - 1) + g.d_h * (g.R - 1) + 1
    g.w = g.v * (g.columns - 1) + g.d_w * (g.S - 1) + 1
    if g.over_channels and limit >= g.P * g.Q:
        images = limit // (g.P * g.Q)
        if not g.inside:
            images = most(1, least(images, COPY // (g.C * g.h * g.w)))
    g.image_cuts = up(g.N, images)
    g.units = g.image_cuts * g.row_cuts * g.column_cuts
    g.images = up(g.N, g.image_cuts)


cdef inline void plan_blocks(Plan* g) noexcept nogil:
    cdef Py_ssize_t vectors = up(g.K, g.lanes)
    if g.over_channels:
        g.direct = g.inside
        g.V = 1
        while 2 * g.V <= WIDEST and vectors % (2 * g.V) == 0:
            g.V *= 2
        g.channels = g.V * g.lanes
        g.taps = SUMS // most(2, g.V)
        g.x_size = 0 if g.direct else g.images * g.C * g.h * g.w + g.lanes
        g.at_size = g.images * g.rows * g.columns
    else:
        g.direct = g.inside and g.S == 1 and g.u == 1 and g.v == 1 and g.Q == g.W
        g.channels = least(g.K, 4)
        g.taps = 3
        g.x_size = g.C * g.S * g.u * (up(g.h, g.u) * g.columns + g.lanes) + g.h * g.w + 2 * g.lanes
        g.at_size = 0
    g.blocks = up(g.K, g.channels)
    g.tiles = up(g.T, g.taps)
    g.Delta_size = g.at_size * g.channels
    g.sums_size = g.groups * g.blocks * g.channels * g.tiles * g.taps * (1 if g.over_channels else g.lanes)


cdef inline bint channels_pay(Plan* g) noexcept nogil:
    # Which of the two ways fills more of its vectors' lanes. Vectors over positions often cross the cache's lines.
    return g.P * g.Q < g.lanes or 4 * g.K * up(g.P * g.Q, g.lanes) >= 3 * g.P * g.Q * up(g.K, g.lanes)


cdef inline void plan_jobs(Plan* g, int threads) noexcept nogil:
    cdef double work = <double>g.N * g.P * g.Q * g.groups * g.K * g.T
    g.parts = least(CUT, g.units) if g.groups * g.blocks * g.tiles < 2 * CUT and work > SMALL else 1
    g.items = g.groups * g.parts
    g.k_splits = 1
    g.t_splits = 1
    if threads > 1 and g.items < CUT * threads and g.items % threads != 0:
        g.k_splits = least(g.blocks, threads)
        g.t_splits = least(g.tiles, up(threads, g.k_splits))
        g.items *= g.k_splits * g.t_splits
    g.jobs = least(threads, g.items)


cdef inline void plan(Plan* g, Py_ssize_t lanes, int threads) noexcept nogil:
    g.lanes = lanes
    g.T = g.C * g.R * g.S
    g.over_channels = channels_pay(g)
    plan_units(g)
    plan_blocks(g)
    plan_jobs(g, threads)


cdef inline Unit unit_of(Plan* g, Py_ssize_t unit) noexcept nogil:
    cdef Py_ssize_t i = unit % g.column_cuts, j = unit // g.column_cuts % g.row_cuts
    cdef Py_ssize_t m = unit // (g.column_cuts * g.row_cuts)
    cdef Unit it
    it.n = cut(g.N, g.image_cuts, m)
    it.p = cut(g.P, g.row_cuts, j)
    it.q = cut(g.Q, g.column_cuts, i)
    it.images = cut(g.N, g.image_cuts, m + 1) - it.n
    it.rows = cut(g.P, g.row_cuts, j + 1) - it.p
    it.columns = cut(g.Q, g.column_cuts, i + 1) - it.q
    return it


cdef inline Py_ssize_t count_of(Unit* it) noexcept nogil:
    return it.images * it.rows * it.columns


cdef inline Py_ssize_t whole(Py_ssize_t size) noexcept nogil:
    # Bytes, up to whole lines of the cache.
    return (size + 63) // 64 * 64


cdef inline bint allocate(Plan* g, Scratch* scratch, Py_ssize_t size) noexcept nogil:
    # For numbers of `size` bytes. Whether there was memory.
    cdef Py_ssize_t sums = whole((g.parts * g.sums_size + (0 if g.over_channels else g.lanes * g.lanes)) * size)
    cdef Py_ssize_t x, Delta, line
    g.x_size = whole(g.x_size * size) // size
    g.Delta_size = whole(g.Delta_size * size) // size
    x = g.jobs * g.x_size * size
    Delta = g.jobs * g.Delta_size * size
    scratch.memory = malloc(64 + sums + x + Delta + g.jobs * (g.at_size + g.tiles * g.taps) * sizeof(Py_ssize_t))
    if scratch.memory == NULL:
        return False
    line = 64 - <Py_ssize_t>(<size_t>scratch.memory % 64)
    scratch.sums = <char*>scratch.memory + line
    scratch.x = <char*>scratch.sums + sums
    scratch.Delta = <char*>scratch.x + x
    scratch.at = <Py_ssize_t*>(<char*>scratch.Delta + Delta)
    return True
