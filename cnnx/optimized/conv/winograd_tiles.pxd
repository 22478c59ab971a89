# Winograd's algorithm for a block of tiles, which run on over rows and images, each lane of a vector a tile: it is
# transformed channel by channel (W2), multiplied with the transformed kernels, and its products are transformed back
# (W3), CHANNEL_BLOCK output channels at a time.

from cython cimport floating
from libc.string cimport memset

from ..microkernel.multiply_accumulate cimport INTERLEAVED, PANEL, VECTORS, Next, Operands, panel_layout
from ..microkernel.table cimport Microkernels, multiply_accumulate
from ..microkernel.winograd_transform cimport copy_row, inverse_transform, transform_columns, transform_rows
from ..pack.winograd_weight cimport KERNELS
from ..runtime.integers cimport Span, ceil_div, max_of, min_of
from ..simd.prefetch cimport prefetch_span
from ..simd.vector cimport MAX_LANES, lanes_of
from .winograd_plan cimport CHANNEL_BLOCK, Layer, Run, runs_of


cdef struct Tiles:
    # One call's arrays: images, transformed kernels, biases, outputs; and what all threads read.
    const void* Z
    const void* U  # of the first kernel task and input of the pass
    Py_ssize_t U_inputs  # input channels that they hold
    const void* b  # NULL: zeros
    void* Y
    const Microkernels* kernels
    const Py_ssize_t* taps  # of C channels in a block's transformed tiles, then in the transformed kernels
    const void* zeros


cdef struct Block:
    # Tiles that are computed together: as runs, and as whole vectors.
    Run runs[VECTORS * MAX_LANES]  # no more than there are tiles
    Py_ssize_t count, width


cdef inline void transform_inputs(const Layer* layer, const floating* Z, Py_ssize_t group, const Block* block,
                                  floating* V, floating* s, floating* d) noexcept nogil:
    # W2: V[i, j, c, tile] for a block of tiles. s holds their columns, then those from m on, and so forth.
    cdef Py_ssize_t lanes = lanes_of(Z), m = layer.m, a = layer.a, pitch = m * layer.width + lanes
    cdef Py_ssize_t C = layer.inputs.end - layer.inputs.first, first_c = group * layer.C + layer.inputs.first
    cdef Py_ssize_t copy = a * pitch, d_pitch, c, r, i, h, w, z, left, right
    cdef floating* source
    cdef Run run
    memset(d, 0, a * layer.width * (a + lanes) * sizeof(floating))  # padding stays while the channels change
    memset(s, 0, ceil_div(a, m) * copy * sizeof(floating))
    for c in range(C):
        source = d
        for r in range(block.count):
            run = block.runs[r]
            w = m * run.column - layer.p_w
            d_pitch = m * run.count + a - m + lanes
            left, right = max_of(0, -w), min_of(m * run.count + a - m, layer.W - w)
            for i in range(a):
                h = m * run.row - layer.p_h + i
                if 0 <= h < layer.H and left < right:
                    z = (((run.n * layer.groups * layer.C + first_c + c) * layer.H + h) * layer.W + w + left)
                    if c + 1 < C:
                        prefetch_span(Z + z + layer.H * layer.W, (right - left) * sizeof(floating), NULL)
                    copy_row(Z + z, source + i * d_pitch + left, right - left)
            for i in range(ceil_div(a, m)):
                transform_columns(<const floating*>source + i * m, d_pitch, s + i * copy + m * run.first, pitch,
                                  m * run.count, a)
            source += a * d_pitch
        transform_rows(<const floating*>s, copy, pitch, V + c * layer.width, layer.step, block.width, a, m)


cdef inline void multiply_tiles(const Layer* layer, const Tiles* tiles, Py_ssize_t group, Span channels,
                                const floating* V, floating* M, Py_ssize_t width) noexcept nogil:
    # M[i, j, k, tile] = sum_c U[i, j, k, c] V[i, j, c, tile] for some output channels of a group.
    cdef Py_ssize_t numbers = layer.a * layer.a, side = tiles.U_inputs * KERNELS
    cdef Py_ssize_t C = layer.inputs.end - layer.inputs.first, count = channels.end - channels.first
    cdef Py_ssize_t ij, kernels, k
    cdef Py_ssize_t before = ((group - layer.passed.first) * ceil_div(layer.K, KERNELS)
                              + (channels.first - layer.outputs.first) // KERNELS)
    cdef const floating* first = <const floating*>tiles.U + before * numbers * side
    cdef const floating* u
    cdef Operands o
    cdef Next next
    o.stride, o.taps, o.T, o.start, o.y_stride, o.width = KERNELS, tiles.taps, C, tiles.zeros, layer.width, width
    next.offsets = tiles.taps + layer.inputs_at_once
    for ij in range(numbers):
        for kernels in range(ceil_div(count, KERNELS)):
            k = kernels * KERNELS
            u = first + (kernels * numbers + ij) * side
            o.w, o.x, o.rows = u, V + ij * layer.step, min_of(KERNELS, count - k)
            o.Y = M + ij * layer.M_step + k * layer.width
            next.x = u + numbers * side
            if k + KERNELS >= count:
                next.x = first + (ij + 1) % numbers * side
            multiply_accumulate(tiles.kernels, INTERLEAVED, panel_layout(), &o, &next, V)


cdef inline void transform_outputs(const Layer* layer, const Tiles* tiles, Py_ssize_t first_k, Py_ssize_t count,
                                   const Block* block, const floating* M, floating* y) noexcept nogil:
    # W3: the products of `count` output channels (from first_k of all) become outputs.
    cdef Py_ssize_t m = layer.m, pitch = m * layer.width + lanes_of(M), k, r, i, j, width, target
    cdef floating* row
    cdef floating* to
    cdef floating* Y = <floating*>tiles.Y
    cdef Run run
    cdef const floating* b = <const floating*>tiles.zeros
    for k in range(count):
        if tiles.b != NULL and layer.inputs.first == 0:
            b = <const floating*>tiles.b + first_k + k
        inverse_transform(M + k * layer.width, layer.M_step, b, y, pitch, block.width, layer.a, m)
        for r in range(block.count):
            run = block.runs[r]
            for i in range(min_of(m, layer.P - m * run.row)):
                target = ((run.n * layer.groups * layer.K + first_k + k) * layer.P + m * run.row + i) * layer.Q
                width = min_of(m * run.count, layer.Q - m * run.column)
                row = y + i * pitch + m * run.first
                to = Y + target + m * run.column
                if layer.inputs.first > 0:
                    for j in range(width):
                        to[j] += row[j]
                else:
                    copy_row(<const floating*>row, to, width)


cdef inline void sum_tiles(const Layer* layer, const Tiles* tiles, floating* scratch, Py_ssize_t task) noexcept nogil:
    # Task number (group, block of tiles, part of the group's output channels).
    cdef Py_ssize_t lanes = lanes_of(scratch)
    cdef Py_ssize_t group = layer.passed.first + task // (layer.blocks * layer.parts), part = task % layer.parts
    cdef Py_ssize_t start = task // layer.parts % layer.blocks * layer.width
    cdef Py_ssize_t end = min_of(start + layer.width, layer.N * layer.rows * layer.columns)
    cdef Py_ssize_t outputs = layer.outputs.end - layer.outputs.first
    cdef Py_ssize_t per_part = ceil_div(ceil_div(outputs, KERNELS), layer.parts) * KERNELS
    cdef Py_ssize_t k = layer.outputs.first + part * per_part, last_k = min_of(layer.outputs.end, k + per_part), count
    cdef Block block
    cdef floating* V = scratch
    cdef floating* M = V + layer.a * layer.a * layer.step
    cdef floating* s = M + layer.a * layer.a * layer.M_step
    cdef floating* d = s + ceil_div(layer.a, layer.m) * layer.a * (layer.m * layer.width + lanes)
    if k >= last_k:
        return
    block.count = runs_of(layer, start, end, block.runs)
    block.width = ceil_div(end - start, lanes) * lanes
    if PANEL > 0:  # a panel's terms have no gaps between them
        block.width = layer.width
    transform_inputs(layer, <const floating*>tiles.Z, group, &block, V, s, d)
    while k < last_k:
        count = min_of(CHANNEL_BLOCK, last_k - k)
        multiply_tiles(layer, tiles, group, Span(k, k + count), <const floating*>V, M, block.width)
        transform_outputs(layer, tiles, group * layer.K + k, count, &block, <const floating*>M, s)
        k += count
