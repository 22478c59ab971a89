# The gradient with respect to the weights (C3), by one of two ways: vectors over Delta's channels, each number of
# Z~ multiplying all of them, or, where there are few channels, vectors over positions.

from cython cimport floating
from libc.string cimport memset

from ..microkernel.table cimport OverChannels, OverPositions
from ..pack.grad_weight cimport Plan, Scratch, copy_image, copy_shifted, copy_taps, plane_size, transpose_matrix
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, times
from ..simd.prefetch cimport prefetch_bytes
from ..simd.shuffle cimport transpose
from ..simd.vector cimport MAX_LANES
from .grad_weight_plan cimport Item, Unit, count_of, item_of, next_unit, unit_of
from .grad_weight_terms cimport recompute_nonfinite


cdef enum:
    MEMORY_BOUND = 50  # at most so many sums of a position: bandwidth, not FMAs, is the limit, so prefetch


cdef struct Buffers:
    # One job's: Z's copy, Delta's channels side by side, offsets of positions and of taps.
    void* x
    void* Delta
    Py_ssize_t* at
    Py_ssize_t* taps


cdef inline Span taps_of(const Plan* g, const Item* item) noexcept nogil:
    # The last tile may be cut short.
    return Span(item.tiles.first * g.taps, min_of(g.T, item.tiles.end * g.taps))


cdef inline Py_ssize_t sums_pitch(const Plan* g, const Item* item) noexcept nogil:
    # Taps from one block (or channel) of sums to the next.
    return (item.tiles.end - item.tiles.first if g.item_sums > 0 else g.tiles) * g.taps


cdef inline Py_ssize_t first_sum(const Plan* g, const Item* item) noexcept nogil:
    # Where the sums of an item begin: not at 0 where all items' lie side by side.
    cdef Py_ssize_t block = item.blocks.first * g.channels * g.tiles * g.taps, t = item.tiles.first * g.taps
    if g.item_sums > 0:
        return 0
    return block + t * g.channels if g.over_channels else (block + t) * g.partial


cdef inline void find_positions(const Plan* g, const Unit* it, Py_ssize_t image, Py_ssize_t pitch, Py_ssize_t step,
                                Py_ssize_t* at) noexcept nogil:
    # at[position of a unit]: where its window begins in x, whose columns are `step` numbers apart.
    cdef Py_ssize_t i, p, q, place = 0
    for i in range(it.images):
        for p in range(it.rows):
            for q in range(it.columns):
                at[place] = i * image + g.u * p * pitch + g.v * q * step
                place += 1


cdef inline void sum_over_channels(const floating* Delta, const floating* Z, const Plan* g, const Item* item,
                                   const Buffers* buffers, floating* sums) noexcept nogil:
    # sums[block][t][channel] over the units of a part.
    cdef Py_ssize_t area = g.R * g.S, t0 = item.tiles.first * g.taps, c0 = t0 // area
    cdef Py_ssize_t channels = ceil_div(taps_of(g, item).end, area) - c0
    cdef Py_ssize_t pitch = g.W if g.direct else g.w, plane = g.H * g.W if g.direct else times(g.h, g.w)
    cdef Py_ssize_t image = g.C * g.groups * plane if g.direct else times(channels, plane)
    cdef Py_ssize_t unit, t, i, block, tile, k, run, group = item.group, row = sums_pitch(g, item) * g.channels
    cdef Py_ssize_t M = (item.tiles.end - item.tiles.first) * g.taps
    cdef OverChannels multiply
    cdef const floating* z
    cdef floating* x = <floating*>buffers.x
    cdef floating* d = <floating*>buffers.Delta
    cdef Unit it, known = Unit(0, 0, 0, 0, 0, 0)
    sums += first_sum(g, item)
    for block in range(item.blocks.end - item.blocks.first):
        memset(sums + block * row, 0, M * g.channels * sizeof(floating))
    for t in range(t0, t0 + M):
        i = min_of(t, g.T - 1)
        if g.compact and not g.direct:
            buffers.taps[t - t0] = (i - t0) * g.at_size
        else:
            buffers.taps[t - t0] = (i // area - c0) * plane + g.d_h * (i // g.S % g.R) * pitch + g.d_w * (i % g.S)
    unit = item.part * g.turn
    while unit < g.units:
        it = unit_of(g, unit)
        if it.images != known.images or it.rows != known.rows or it.columns != known.columns:
            known = it
            if g.compact and not g.direct:
                for i in range(count_of(&it)):
                    buffers.at[i] = i
            else:
                find_positions(g, &it, image, pitch, 1, buffers.at)
        z = x
        if g.compact and not g.direct:
            for t in range(t0, min_of(g.T, t0 + M)):
                for i in range(it.images):
                    copy_taps(Z, g, it.n + i, group, t, it.p, it.q, it.rows, it.columns,
                              x + (t - t0) * g.at_size + i * it.rows * it.columns)
        elif g.direct:
            z = Z + (((it.n * g.groups + group) * g.C + c0) * g.H + g.u * it.p) * g.W + g.v * it.q
        else:
            for i in range(it.images):
                copy_image(Z, g, it.n + i, group * g.C + c0, channels, g.u * it.p - g.p_h, g.v * it.q - g.p_w,
                           x + i * image)
        run = it.rows * it.columns
        for block in range(item.blocks.first, item.blocks.end):
            k = block * g.channels
            if g.K - k < g.channels:
                memset(d, 0, count_of(&it) * g.channels * sizeof(floating))
            for i in range(it.images):
                transpose_matrix(Delta + (((it.n + i) * g.groups + group) * g.K + k) * g.P * g.Q + it.p * g.Q + it.q,
                                 min_of(g.channels, g.K - k), run, g.P * g.Q, d + i * run * g.channels, g.channels)
            for tile in range(item.tiles.first, item.tiles.end):
                t = tile * g.taps
                if 2 * (g.T - t) > g.taps:
                    multiply = g.kernels.over_channels[g.V // 2]
                else:
                    multiply = g.kernels.over_channels_half[g.V // 2]
                multiply(z, buffers.taps + t - t0, buffers.at, count_of(&it), d,
                         sums + (block - item.blocks.first) * row + (t - t0) * g.channels, NULL)
        unit = next_unit(g, unit)


cdef inline void prefetch_unit(const floating* Delta, const floating* Z, const Plan* g, Py_ssize_t group,
                               Unit it) noexcept nogil:
    # All that a unit will read: whole rows in one, if it takes them; none where it lies in the padding behind them.
    cdef Py_ssize_t c, k, i, h = min_of(g.H, max_of(0, g.u * it.p - g.p_h)), rows = min_of(g.H - h, g.h)
    cdef Py_ssize_t w = min_of(g.W, max_of(0, g.v * it.q - g.p_w)), columns = min_of(g.W - w, g.w)
    cdef const floating* z
    for c in range(g.C):
        z = Z + (((it.n * g.groups + group) * g.C + c) * g.H + h) * g.W
        if g.column_cuts == 1:
            prefetch_bytes(z, rows * g.W * sizeof(floating))
        else:
            for i in range(rows):
                prefetch_bytes(z + i * g.W + w, columns * sizeof(floating))
    for k in range(g.K):
        prefetch_bytes(Delta + (((it.n * g.groups + group) * g.K + k) * g.P + it.p) * g.Q + it.q,
                       it.rows * it.columns * sizeof(floating))


cdef inline void find_taps(const Plan* g, Py_ssize_t t0, Py_ssize_t M, Py_ssize_t columns,
                           Py_ssize_t* taps) noexcept nogil:
    # taps[t - t0]: where tap t begins in a copy of rows of `columns` positions, or in Z.
    cdef Py_ssize_t area = g.R * g.S, c0 = t0 // area, t, i, c, r
    for t in range(M):
        i = min_of(t0 + t, g.T - 1)
        c = i // area - c0
        r = g.d_h * (i // g.S % g.R)
        if g.direct:
            taps[t] = c * g.H * g.W + r * g.W
        else:
            taps[t] = ((c * g.S + i % g.S) * g.phases + r % g.u) * plane_size(g, columns) + r // g.u * columns


cdef inline void sum_over_positions(const floating* Delta, const floating* Z, const Plan* g, const Item* item,
                                    const Buffers* buffers, floating* sums) noexcept nogil:
    # sums[channel][t][partial sum] over the units of a part.
    cdef Py_ssize_t area = g.R * g.S, t0 = item.tiles.first * g.taps, M = item.tiles.end * g.taps - t0, c0 = t0 // area
    cdef Py_ssize_t channels = ceil_div(taps_of(g, item).end, area) - c0, pitch = sums_pitch(g, item) * g.partial
    cdef Py_ssize_t k0 = item.blocks.first * g.channels, K = min_of(g.K, item.blocks.end * g.channels) - k0
    cdef Py_ssize_t unit, following, t, k, i, group = item.group, known_columns = 0
    cdef OverPositions multiply
    cdef int size
    cdef const floating* z
    cdef const floating* d
    cdef floating* x = <floating*>buffers.x
    cdef Unit it
    sums += first_sum(g, item)
    for k in range(K):
        memset(sums + k * pitch, 0, M * g.partial * sizeof(floating))
    unit = item.part * g.turn
    while unit < g.units:
        it, following = unit_of(g, unit), next_unit(g, unit)
        if it.columns != known_columns:
            known_columns = it.columns
            if g.compact and not g.direct:
                for t in range(M):
                    buffers.taps[t] = (min_of(t0 + t, g.T - 1) - t0) * g.positions
            else:
                find_taps(g, t0, M, it.columns, buffers.taps)
        z = x
        if g.compact and not g.direct:
            for t in range(t0, min_of(g.T, t0 + M)):
                copy_taps(Z, g, it.n, group, t, it.p, it.q, it.rows, it.columns, x + (t - t0) * g.positions)
        elif g.direct:
            z = Z + (((it.n * g.groups + group) * g.C + c0) * g.H + it.p) * g.W
        else:
            copy_shifted(Z, g, it.n, group * g.C + c0, channels, g.u * it.p - g.p_h, g.v * it.q - g.p_w, it.columns,
                         x, x + g.C * g.S * g.phases * plane_size(g, g.columns))
        if g.K * g.T <= MEMORY_BOUND and following < g.units and not g.compact:
            prefetch_unit(Delta, Z, g, group, unit_of(g, following))
        d = Delta + ((it.n * g.groups + group) * g.K + k0) * g.P * g.Q + it.p * g.Q + it.q
        k = 0
        while k < K:
            size = g.kernels.largest
            while (1 << size) > K - k:
                size -= 1
            t = 0
            while t < M:
                multiply = g.kernels.over_positions_3[size]
                if M - t >= g.kernels.taps[size]:
                    multiply = g.kernels.over_positions[size]
                for i in range(g.partial // g.lanes):
                    multiply(z, buffers.taps + t, d + k * g.P * g.Q, g.P * g.Q, it.rows * it.columns, i * g.lanes,
                             sums + k * pitch + t * g.partial, pitch, NULL)
                t += g.kernels.taps[size] if M - t >= g.kernels.taps[size] else 3
            k += 1 << size
        unit = following


cdef inline void finish_positions(const floating* sums, const Plan* g, Py_ssize_t pitch, Span channels, Span taps,
                                  floating* dF) noexcept nogil:
    # dF[k, t] = the partial sums of sums[k][t], added up. sums: of the first channel and tap, as below.
    cdef floating lane[16 * MAX_LANES]  # SUM_BYTES of float32, by lanes
    cdef Py_ssize_t k, block, t, i, j, count
    for k in range(channels.first, channels.end):
        for block in range(ceil_div(taps.end - taps.first, g.lanes)):
            t = taps.first + block * g.lanes
            count = min_of(g.lanes, taps.end - t)  # another thread may still be writing the sums behind them
            for j in range(g.partial // g.lanes):
                transpose(sums + ((k - channels.first) * pitch + t - taps.first) * g.partial + j * g.lanes, g.partial,
                          count, g.lanes, lane + j * g.lanes * MAX_LANES, MAX_LANES, g.lanes)
            for j in range(1, g.partial):
                for i in range(g.lanes):
                    lane[i] += lane[j * MAX_LANES + i]
            for i in range(count):
                dF[k * g.T + t + i] = lane[i]


cdef inline void finish_channels(const floating* sums, const Plan* g, Py_ssize_t pitch, Span blocks, Span taps,
                                 floating* dF) noexcept nogil:
    # dF[k, t] = sums[block of k][t][k in the block].
    cdef Py_ssize_t block, k
    for block in range(blocks.first, blocks.end):
        k = block * g.channels
        transpose_matrix(sums + (block - blocks.first) * pitch * g.channels, taps.end - taps.first,
                         min_of(g.channels, g.K - k), g.channels, dF + k * g.T + taps.first, g.T)


cdef inline void finish(const floating* Delta, const floating* Z, const Plan* g, const Item* item,
                        const floating* sums, floating* dF) noexcept nogil:
    # sums: of the item's group.
    cdef Span taps = taps_of(g, item)
    cdef Span channels = Span(item.blocks.first * g.channels, min_of(g.K, item.blocks.end * g.channels))
    dF += item.group * g.K * g.T
    if g.over_channels:
        finish_channels(sums + first_sum(g, item), g, sums_pitch(g, item), item.blocks, taps, dF)
    else:
        finish_positions(sums + first_sum(g, item), g, sums_pitch(g, item), channels, taps, dF)
    if not g.inside:
        recompute_nonfinite(Delta, Z, g, item.group, channels, taps, dF)


cdef inline void dF_job(const floating* Delta, const floating* Z, floating* dF, const Plan* g, const Scratch* scratch,
                        Py_ssize_t job) noexcept nogil:
    cdef Py_ssize_t* at = scratch.at + job * (g.at_size + g.taps_size)
    cdef Buffers buffers = Buffers(<floating*>scratch.x + job * g.x_size, <floating*>scratch.Delta + job * g.Delta_size,
                                   at, at + g.at_size)
    cdef Py_ssize_t i
    cdef Item item
    cdef floating* sums
    for i in range(ceil_div(g.items - job, g.jobs)):
        item = item_of(g, job + i * g.jobs)  # by turns: later parts are smaller
        sums = <floating*>scratch.sums + job * g.item_sums
        if g.item_sums == 0:
            sums = <floating*>scratch.sums + item.part * g.sums_size + g.sums_size // g.groups * item.group
        if g.over_channels:
            sum_over_channels(Delta, Z, g, &item, &buffers, sums)
        else:
            sum_over_positions(Delta, Z, g, &item, &buffers, sums)
        if g.parts == 1:
            finish(Delta, Z, g, &item, <const floating*>sums, dF)


cdef inline void dF_parts(const floating* Delta, const floating* Z, floating* dF, const Plan* g,
                          const Scratch* scratch) noexcept nogil:
    # The parts' sums, added up in order, and dF of them.
    cdef floating* sums = <floating*>scratch.sums
    cdef const floating* other
    cdef Py_ssize_t part, i, group
    cdef Item item
    for part in range(1, g.parts):
        other = sums + part * g.sums_size
        for i in range(g.sums_size):
            sums[i] += other[i]
    for group in range(g.groups):
        item = Item(group, 0, Span(0, g.blocks), Span(0, g.tiles))
        finish(Delta, Z, g, &item, <const floating*>sums + g.sums_size // g.groups * group, dF)
