# How the tiles of Winograd's algorithm are cut into tasks, and where they stand in their images.

from ..microkernel.multiply_accumulate cimport VECTORS
from ..pack.winograd_weight cimport KERNELS
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, times
from ..runtime.memory cimport SCRATCH


cdef enum:
    CHANNEL_BLOCK = 64  # output channels whose products are kept at once
    # Bytes that a block of transformed tiles may take: more than one vector wide at 512 channels.
    TILE_CACHE = 2_621_440
    U_CACHE = 2_097_152  # bytes of transformed kernels, or of CHANNEL_BLOCK of them, that one block of tiles reads
    # And those of one vector of tiles, or KERNELS kernels: more input channels take several passes, whose outputs are
    # added up. By the widest vector, so that it depends on the shape alone.
    MOST_BYTES = 7_340_032
    # Where less than one in so many tiles meets its image, and a call transforms more than so many numbers, the others
    # are left out.
    SPARSE = 8
    MANY = 100_000_000


cdef struct Layer:
    # One call. C and K are those of a group; p_h and p_w may be negative: then a part of the image is not read.
    Py_ssize_t N, C, K, H, W, P, Q, p_h, p_w, groups
    # A pass: of so many groups the same output channels by the same input channels, added to what earlier ones found.
    Span passed, outputs, inputs
    Py_ssize_t inputs_at_once  # at most; the last are those of C where it takes but one pass
    Py_ssize_t kernel_tasks, kernels_at_once  # KERNELS output channels of a group each; in a pass
    Py_ssize_t R  # rows and columns of a kernel
    Py_ssize_t m, a  # extents of a tile of outputs, and of the inputs that it needs
    Py_ssize_t rows, columns  # of tiles in an image
    Py_ssize_t first_row, first_column  # those before, and those behind, lie wholly in padding
    Py_ssize_t width  # tiles in a block at most, whole vectors
    Py_ssize_t step, M_step  # from a number of the transformed tiles, and of the products, to the next one
    Py_ssize_t blocks, parts  # of the tiles; of a group's kernels, for several threads
    Py_ssize_t numbers  # a thread's scratch memory


cdef inline Span tiles_met(const Layer* layer, Py_ssize_t outputs, Py_ssize_t extent,
                           Py_ssize_t padding) noexcept nogil:
    # Those of an axis that read any number of the image: tile i from m i - padding on, a.
    cdef Py_ssize_t first = 0, m = layer.m
    if padding >= layer.a:
        first = (padding - layer.a) // m + 1
    return Span(first, max_of(first, min_of(ceil_div(outputs, m), ceil_div(max_of(0, extent + padding), m))))


cdef inline bint plan_tiles(Layer* layer) noexcept nogil:
    # Which tiles are computed; whether that leaves out some.
    cdef Span rows = tiles_met(layer, layer.P, layer.H, layer.p_h)
    cdef Span columns = tiles_met(layer, layer.Q, layer.W, layer.p_w)
    cdef double tiles
    layer.rows, layer.columns = ceil_div(layer.P, layer.m), ceil_div(layer.Q, layer.m)
    layer.first_row = layer.first_column = 0
    tiles = <double>layer.rows * layer.columns
    if (<double>SPARSE * (rows.end - rows.first) * (columns.end - columns.first) >= tiles
            or tiles * layer.groups * (layer.C + layer.K) * layer.a * layer.a < MANY):
        return False
    layer.rows, layer.columns = rows.end - rows.first, columns.end - columns.first
    layer.first_row, layer.first_column = rows.first, columns.first
    return True


cdef inline Py_ssize_t plan_layer(Layer* layer, Py_ssize_t lanes, Py_ssize_t size, int threads) noexcept nogil:
    # Cuts the work, in as many tasks as this returns. Each number is computed alike wherever it is cut.
    cdef Py_ssize_t m = layer.m, a = layer.a, vectors, tiles, C, groups = layer.passed.end - layer.passed.first
    cdef Py_ssize_t K = layer.outputs.end - layer.outputs.first
    tiles = layer.N * layer.rows * layer.columns
    C = layer.inputs_at_once
    vectors = ceil_div(tiles, lanes)
    layer.width = max_of(1, min_of(VECTORS, TILE_CACHE // (a * a * C * lanes * size)))
    layer.blocks = max_of(1, ceil_div(vectors, layer.width))
    layer.blocks = min_of(max_of(1, vectors), ceil_div(layer.blocks, threads) * threads)
    layer.width = max_of(1, ceil_div(vectors, layer.blocks)) * lanes
    layer.blocks = ceil_div(tiles, layer.width)
    layer.parts = 1
    if 0 < layer.blocks * groups < threads:
        layer.parts = min_of(ceil_div(K, KERNELS), ceil_div(threads, layer.blocks * groups))
    # A vector more than needed: multiples of 4,096 bytes would let a tile's numbers meet in a few places of a cache.
    layer.step = C * layer.width + lanes
    layer.M_step = CHANNEL_BLOCK * layer.width + lanes
    layer.numbers = a * a * layer.step  # V
    layer.numbers += a * a * layer.M_step  # M
    layer.numbers += ceil_div(a, m) * a * (m * layer.width + lanes)  # rows of tiles, half transformed
    layer.numbers += a * layer.width * (a + lanes)  # the tiles' inputs
    layer.numbers = ceil_div(layer.numbers * size, 64) * 64 // size + 64 // size
    return layer.blocks * groups * layer.parts


cdef inline void plan_passes(Layer* layer, Py_ssize_t lanes, Py_ssize_t size, bint transform,
                             int threads) noexcept nogil:
    # Inputs and kernels of a pass, and how its work is cut. transform: kernels are yet to be transformed, into scratch
    # memory.
    cdef Py_ssize_t a = layer.a, per_group = ceil_div(layer.K, KERNELS), kernels, room
    layer.inputs_at_once = max_of(1, ceil_div(layer.C, ceil_div(times(a * a * 64, layer.C) + 1, MOST_BYTES)))
    layer.kernel_tasks = layer.kernels_at_once = layer.groups * per_group
    layer.passed, layer.outputs = Span(0, layer.groups), Span(0, layer.K)
    plan_layer(layer, lanes, size, threads)
    kernels = a * a * layer.inputs_at_once * KERNELS
    room = threads * (SCRATCH // size - layer.numbers) - MOST_BYTES // 64
    if transform and layer.blocks == 1:  # U is read but once: before it leaves the caches
        room = min_of(room, max_of(CHANNEL_BLOCK // KERNELS * kernels, U_CACHE // size))
    if transform and times(layer.kernel_tasks, kernels) > room:
        layer.kernels_at_once = max_of(1, room // kernels)
        if layer.kernels_at_once > per_group:
            layer.kernels_at_once -= layer.kernels_at_once % per_group


cdef inline void begin_pass(Layer* layer, Py_ssize_t kernels, Py_ssize_t inputs) noexcept nogil:
    # The one from these on.
    cdef Py_ssize_t per_group = ceil_div(layer.K, KERNELS), end = kernels + layer.kernels_at_once
    layer.inputs = Span(inputs, min_of(layer.C, inputs + layer.inputs_at_once))
    if layer.kernels_at_once >= per_group:
        layer.passed = Span(kernels // per_group, min_of(layer.groups, end // per_group))
        layer.outputs = Span(0, layer.K)
    else:
        layer.passed = Span(kernels // per_group, kernels // per_group + 1)
        layer.outputs.first = kernels % per_group * KERNELS
        layer.outputs.end = min_of(layer.K, layer.outputs.first + layer.kernels_at_once * KERNELS)


cdef inline Py_ssize_t end_of_pass(const Layer* layer) noexcept nogil:
    # Kernel tasks up to here are done, but for other inputs.
    cdef Py_ssize_t per_group = ceil_div(layer.K, KERNELS)
    return (layer.passed.end - 1) * per_group + ceil_div(layer.outputs.end, KERNELS)


cdef struct Run:
    # Tiles of a block that stand side by side in an image: where the first of them is, in its image and in the block.
    Py_ssize_t n, row, column, count, first


cdef inline Py_ssize_t runs_of(const Layer* layer, Py_ssize_t start, Py_ssize_t end, Run* runs) noexcept nogil:
    # The runs of the block of the tiles from `start` to `end`, of all; how many there are.
    cdef Py_ssize_t t = start, count = 0
    while t < end:
        runs[count].column = layer.first_column + t % layer.columns
        runs[count].row = layer.first_row + t // layer.columns % layer.rows
        runs[count].n = t // (layer.columns * layer.rows)
        runs[count].count = min_of(layer.columns - t % layer.columns, end - t)
        runs[count].first = t - start
        t += runs[count].count
        count += 1
    return count
