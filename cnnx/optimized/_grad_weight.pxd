# The gradient with respect to the kernels (C3), by one of two ways: vectors over Delta's channels, each number of
# Z~ multiplying all of them, or, where there are few channels, vectors over positions.

from cython cimport floating
from libc.string cimport memset

from ._ahead cimport fetch_bytes
from ._grad_weight_block cimport Channels, Positions
from ._grad_weight_copy cimport copy_image, copy_shifted, plane_size, turn
from ._grad_weight_mend cimport mend
from ._grad_weight_plan cimport Plan, Scratch, Unit, count_of, cut, unit_of
from ._index cimport least, most, up
from ._vector cimport MOST_LANES


cdef enum:
    FEW = 50  # sums of a position that take no longer than the reading of it


cdef inline void channels_item(const floating* Delta, const floating* Z, Plan* g, Py_ssize_t group, Py_ssize_t part,
                               Py_ssize_t first_block, Py_ssize_t end_block, Py_ssize_t first_tile,
                               Py_ssize_t end_tile, floating* sums, floating* x, floating* d, Py_ssize_t* at,
                               Py_ssize_t* taps) noexcept nogil:
    # sums[block][t][channel] over the units of a part.
    cdef Py_ssize_t area = g.R * g.S, c0 = first_tile * g.taps // area, t0 = first_tile * g.taps
    cdef Py_ssize_t end_t = least(g.T, end_tile * g.taps), channels = up(end_t, area) - c0
    cdef Py_ssize_t pitch = g.W if g.direct else g.w, plane = g.H * g.W if g.direct else g.h * g.w
    cdef Py_ssize_t image = g.C * g.groups * plane if g.direct else channels * plane
    cdef Py_ssize_t unit, t, i, p, q, block, tile, k, place, run
    cdef Channels run_block
    cdef Py_ssize_t known_images = 0, known_rows = 0, known_columns = 0
    cdef const floating* z
    cdef Unit it
    for block in range(first_block, end_block):
        memset(sums + (block * g.tiles + first_tile) * g.taps * g.channels, 0,
               (end_tile - first_tile) * g.taps * g.channels * sizeof(floating))
    for t in range(t0, end_tile * g.taps):
        i = least(t, g.T - 1)
        taps[t - t0] = (i // area - c0) * plane + g.d_h * (i // g.S % g.R) * pitch + g.d_w * (i % g.S)
    for unit in range(cut(g.units, g.parts, part), cut(g.units, g.parts, part + 1)):
        it = unit_of(g, unit)
        if it.images != known_images or it.rows != known_rows or it.columns != known_columns:
            known_images, known_rows, known_columns = it.images, it.rows, it.columns
            place = 0
            for i in range(it.images):
                for p in range(it.rows):
                    for q in range(it.columns):
                        at[place] = i * image + g.u * p * pitch + g.v * q
                        place += 1
        z = x
        if g.direct:
            z = Z + (((it.n * g.groups + group) * g.C + c0) * g.H + g.u * it.p) * g.W + g.v * it.q
        else:
            for i in range(it.images):
                copy_image(Z, g, it.n + i, group * g.C + c0, channels, g.u * it.p - g.p_h, g.v * it.q - g.p_w,
                           x + i * image)
        run = it.rows * it.columns
        for block in range(first_block, end_block):
            k = block * g.channels
            if g.K - k < g.channels:
                memset(d, 0, count_of(&it) * g.channels * sizeof(floating))
            for i in range(it.images):
                turn(Delta + (((it.n + i) * g.groups + group) * g.K + k) * g.P * g.Q + it.p * g.Q + it.q,
                     least(g.channels, g.K - k), run, g.P * g.Q, d + i * run * g.channels, g.channels)
            for tile in range(first_tile, end_tile):
                t = tile * g.taps
                run_block = g.block.full if 2 * (g.T - t) > g.taps else g.block.half
                run_block(z, taps + t - t0, at, count_of(&it), d,
                          sums + (block * g.tiles * g.taps + t) * g.channels, NULL)


cdef inline void fetch_unit(const floating* Delta, const floating* Z, Plan* g, Py_ssize_t group,
                            Unit it) noexcept nogil:
    # Asks for all that a unit will read: where there are few sums, memory is what they wait for.
    cdef Py_ssize_t c, k, h = most(0, g.u * it.p - g.p_h), rows = least(g.H - h, g.h)
    for c in range(g.C):
        fetch_bytes(Z + (((it.n * g.groups + group) * g.C + c) * g.H + h) * g.W, rows * g.W * sizeof(floating))
    for k in range(g.K):
        fetch_bytes(Delta + (((it.n * g.groups + group) * g.K + k) * g.P + it.p) * g.Q + it.q,
                    it.rows * it.columns * sizeof(floating))


cdef inline void positions_item(const floating* Delta, const floating* Z, Plan* g, Py_ssize_t group, Py_ssize_t part,
                                Py_ssize_t first_block, Py_ssize_t end_block, Py_ssize_t first_tile,
                                Py_ssize_t end_tile, floating* sums, floating* x, Py_ssize_t* taps) noexcept nogil:
    # sums[channel][t][lane] over the units of a part.
    cdef Py_ssize_t area = g.R * g.S, t0 = first_tile * g.taps, M = end_tile * g.taps - t0, c0 = t0 // area
    cdef Py_ssize_t channels = up(least(g.T, t0 + M), area) - c0, pitch = g.tiles * g.taps * g.lanes
    cdef Py_ssize_t k0 = first_block * g.channels, K = least(g.K, end_block * g.channels) - k0
    cdef Py_ssize_t unit, t, i, k, c, r, known_columns = 0
    cdef Positions run_block
    cdef int size
    cdef const floating* z
    cdef const floating* d
    cdef Unit it
    sums += k0 * pitch + t0 * g.lanes
    for k in range(K):
        memset(sums + k * pitch, 0, M * g.lanes * sizeof(floating))
    for unit in range(cut(g.units, g.parts, part), cut(g.units, g.parts, part + 1)):
        it = unit_of(g, unit)
        if it.columns != known_columns:
            known_columns = it.columns
            for t in range(M):
                i = least(t0 + t, g.T - 1)
                c = i // area - c0
                r = g.d_h * (i // g.S % g.R)
                if g.direct:
                    taps[t] = c * g.H * g.W + r * g.W
                else:
                    taps[t] = (((c * g.S + i % g.S) * g.u + r % g.u) * plane_size(g, it.columns)
                               + r // g.u * it.columns)
        z = x
        if g.direct:
            z = Z + (((it.n * g.groups + group) * g.C + c0) * g.H + it.p) * g.W
        else:
            copy_shifted(Z, g, it.n, group * g.C + c0, channels, g.u * it.p - g.p_h, g.v * it.q - g.p_w, it.columns,
                         x, x + g.C * g.S * g.u * plane_size(g, g.columns))
        if g.K * g.T <= FEW and unit + 1 < cut(g.units, g.parts, part + 1):
            fetch_unit(Delta, Z, g, group, unit_of(g, unit + 1))
        d = Delta + ((it.n * g.groups + group) * g.K + k0) * g.P * g.Q + it.p * g.Q + it.q
        k = 0
        while k < K:
            size = g.block.largest
            while (1 << size) > K - k:
                size -= 1
            t = 0
            while t < M:
                run_block = g.block.most[size] if M - t >= g.block.taps[size] else g.block.least[size]
                run_block(z, taps + t, d + k * g.P * g.Q, g.P * g.Q, it.rows * it.columns,
                          sums + k * pitch + t * g.lanes, pitch, NULL)
                t += g.block.taps[size] if M - t >= g.block.taps[size] else 3
            k += 1 << size


cdef inline void finish_positions(const floating* sums, Plan* g, Py_ssize_t k0, Py_ssize_t end_k, Py_ssize_t t0,
                                  Py_ssize_t end_t, floating* dF) noexcept nogil:
    # dF[k, t] = the lanes of sums[k][t], added up.
    cdef floating lane[MOST_LANES * MOST_LANES]
    cdef Py_ssize_t k, block, t, i, j
    for k in range(k0, end_k):
        for block in range(up(end_t - t0, g.lanes)):
            t = t0 + block * g.lanes
            turn(sums + (k * g.tiles * g.taps + t) * g.lanes, g.lanes, g.lanes, g.lanes, lane, MOST_LANES)
            for j in range(1, g.lanes):
                for i in range(g.lanes):
                    lane[i] += lane[j * MOST_LANES + i]
            for i in range(least(g.lanes, end_t - t)):
                dF[k * g.T + t + i] = lane[i]


cdef inline void finish_channels(const floating* sums, Plan* g, Py_ssize_t first_block, Py_ssize_t end_block,
                                 Py_ssize_t t0, Py_ssize_t end_t, floating* dF) noexcept nogil:
    # dF[k, t] = sums[block of k][t][k in the block].
    cdef Py_ssize_t block, k
    for block in range(first_block, end_block):
        k = block * g.channels
        turn(sums + (block * g.tiles * g.taps + t0) * g.channels, end_t - t0, least(g.channels, g.K - k), g.channels,
             dF + k * g.T + t0, g.T)


cdef inline void finish(const floating* Delta, const floating* Z, Plan* g, const floating* sums, Py_ssize_t group,
                        Py_ssize_t first_block, Py_ssize_t end_block, Py_ssize_t first_tile, Py_ssize_t end_tile,
                        floating* dF) noexcept nogil:
    cdef Py_ssize_t t0 = first_tile * g.taps, end_t = least(g.T, end_tile * g.taps)
    cdef Py_ssize_t k0 = first_block * g.channels, end_k = least(g.K, end_block * g.channels)
    sums += g.sums_size // g.groups * group
    dF += group * g.K * g.T
    if g.over_channels:
        finish_channels(sums, g, first_block, end_block, t0, end_t, dF)
    else:
        finish_positions(sums, g, k0, end_k, t0, end_t, dF)
    if not g.inside:
        mend(Delta, Z, g, group, k0, end_k, t0, end_t, dF)


cdef inline void dF_job(const floating* Delta, const floating* Z, floating* dF, Plan* g, Scratch* scratch,
                        Py_ssize_t job) noexcept nogil:
    cdef Py_ssize_t item, rest, group, part, first_block, end_block, first_tile, end_tile
    cdef Py_ssize_t* at = scratch.at + job * (g.at_size + g.tiles * g.taps)
    cdef floating* x = <floating*>scratch.x + job * g.x_size
    cdef floating* d = <floating*>scratch.Delta + job * g.Delta_size
    cdef floating* sums
    for item in range(cut(g.items, g.jobs, job), cut(g.items, g.jobs, job + 1)):
        rest = item
        first_tile = cut(g.tiles, g.t_splits, rest % g.t_splits)
        end_tile = cut(g.tiles, g.t_splits, rest % g.t_splits + 1)
        rest //= g.t_splits
        first_block = cut(g.blocks, g.k_splits, rest % g.k_splits)
        end_block = cut(g.blocks, g.k_splits, rest % g.k_splits + 1)
        rest //= g.k_splits
        part = rest % g.parts
        group = rest // g.parts
        sums = <floating*>scratch.sums + part * g.sums_size + g.sums_size // g.groups * group
        if g.over_channels:
            channels_item(Delta, Z, g, group, part, first_block, end_block, first_tile, end_tile, sums, x, d, at,
                          at + g.at_size)
        else:
            positions_item(Delta, Z, g, group, part, first_block, end_block, first_tile, end_tile, sums, x, at)
        if g.parts == 1:
            finish(Delta, Z, g, <floating*>scratch.sums, group, first_block, end_block, first_tile, end_tile, dF)


cdef inline void dF_parts(const floating* Delta, const floating* Z, floating* dF, Plan* g,
                          Scratch* scratch) noexcept nogil:
    # The parts' sums, added up in order, and dF of them.
    cdef floating* sums = <floating*>scratch.sums
    cdef const floating* other
    cdef Py_ssize_t part, i, group
    for part in range(1, g.parts):
        other = sums + part * g.sums_size
        for i in range(g.sums_size):
            sums[i] += other[i]
    for group in range(g.groups):
        finish(Delta, Z, g, sums, group, 0, g.blocks, 0, g.tiles, dF)
