# How the tiles of Winograd's algorithm are cut into tasks, and where they stand in their images.

from ..microkernel.multiply_accumulate cimport VECTORS
from ..pack.winograd_weight cimport KERNELS
from ..runtime.integers cimport ceil_div, max_of, min_of


cdef enum:
    CHANNEL_BLOCK = 64  # output channels whose products are kept at once
    # Bytes that a block of transformed tiles may take: more than one vector wide at 512 channels.
    TILE_CACHE = 2_621_440


cdef struct Layer:
    # One call. C and K are those of a group; p_h and p_w may be negative: then a part of the image is not read.
    Py_ssize_t N, C, K, H, W, P, Q, p_h, p_w, groups
    Py_ssize_t m, a  # extents of a tile of outputs, and of the inputs that it needs
    Py_ssize_t rows, columns  # of tiles in an image
    Py_ssize_t width  # tiles in a block at most, whole vectors
    Py_ssize_t step, M_step  # from a number of the transformed tiles, and of the products, to the next one
    Py_ssize_t blocks, parts  # of the tiles; of a group's kernels, for several threads
    Py_ssize_t numbers  # a thread's scratch memory


cdef inline Py_ssize_t plan_layer(Layer* layer, Py_ssize_t m, Py_ssize_t lanes, Py_ssize_t size,
                                  int threads) noexcept nogil:
    # Cuts the work, in as many tasks as this returns. Each number is computed alike wherever it is cut.
    cdef Py_ssize_t a = m + 2, vectors, tiles
    layer.m, layer.a = m, a
    layer.rows, layer.columns = ceil_div(layer.P, m), ceil_div(layer.Q, m)
    tiles = layer.N * layer.rows * layer.columns
    vectors = ceil_div(tiles, lanes)
    layer.width = max_of(1, min_of(VECTORS, TILE_CACHE // (a * a * layer.C * lanes * size)))
    layer.blocks = max_of(1, ceil_div(vectors, layer.width))
    layer.blocks = min_of(max_of(1, vectors), ceil_div(layer.blocks, threads) * threads)
    layer.width = max_of(1, ceil_div(vectors, layer.blocks)) * lanes
    layer.blocks = ceil_div(tiles, layer.width)
    layer.parts = 1
    if 0 < layer.blocks * layer.groups < threads:
        layer.parts = min_of(ceil_div(layer.K, KERNELS), ceil_div(threads, layer.blocks * layer.groups))
    # A vector more than needed: multiples of 4,096 bytes would let a tile's numbers meet in a few places of a cache.
    layer.step = layer.C * layer.width + lanes
    layer.M_step = CHANNEL_BLOCK * layer.width + lanes
    layer.numbers = a * a * layer.step  # V
    layer.numbers += a * a * layer.M_step  # M
    layer.numbers += 2 * a * (m * layer.width + lanes)  # rows of tiles, half transformed
    layer.numbers += a * layer.width * (m + 2 + lanes)  # the tiles' inputs
    layer.numbers = ceil_div(layer.numbers * size, 64) * 64 // size + 64 // size
    return layer.blocks * layer.groups * layer.parts


cdef struct Run:
    # Tiles of a block that stand side by side in an image: where the first of them is, in its image and in the block.
    Py_ssize_t n, row, column, count, first


cdef inline Py_ssize_t runs_of(const Layer* layer, Py_ssize_t start, Py_ssize_t end, Run* runs) noexcept nogil:
    # The runs of the block of the tiles from `start` to `end`, of all; how many there are.
    cdef Py_ssize_t t = start, count = 0
    while t < end:
        runs[count].column = t % layer.columns
        runs[count].row = t // layer.columns % layer.rows
        runs[count].n = t // (layer.columns * layer.rows)
        runs[count].count = min_of(layer.columns - runs[count].column, end - t)
        runs[count].first = t - start
        t += runs[count].count
        count += 1
    return count
