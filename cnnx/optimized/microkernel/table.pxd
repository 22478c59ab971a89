# The micro-kernels of one instruction set, called by address: _microkernels.pyx compiles them once and hands out the
# table as a capsule. Inlined, their accumulators would compete with the caller's variables for registers, and every
# caller would compile them again. Of an argument
# `tag` only the type counts, it is never read.

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython cimport floating

from ..runtime.integers cimport ceil_div
from ..simd.vector cimport lanes_of
from .depthwise cimport Band
from .depthwise_planes cimport Planes
from .finish cimport Finish
from .lanes cimport BLOCKS, LanePlanes, LaneProducts, LaneSums
from .multiply_accumulate cimport INTERLEAVED, ROWS, Next, Operands, exists
from .strided_rows cimport StridedRows

ctypedef void (*RegisterBlock)(const Operands* o, const Next* next, void* tag, void* layout, void* M,
                               void* V) noexcept nogil
ctypedef void (*OverChannels)(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                              const void* Delta, void* sums, void* tag) noexcept nogil
ctypedef void (*OverPositions)(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                               Py_ssize_t count, Py_ssize_t first, void* sums, Py_ssize_t sums_pitch,
                               void* tag) noexcept nogil
ctypedef void (*StridedCopy)(const StridedRows* rows, void* tag) noexcept nogil
ctypedef void (*Depthwise)(const Band* band, void* tag) noexcept nogil
ctypedef void (*DepthwisePlanes)(const Planes* planes, void* tag) noexcept nogil
ctypedef void (*MovePlanes)(const LanePlanes* planes, void* tag) noexcept nogil
ctypedef void (*SumLanes)(const LaneSums* sums, void* tag, void* size) noexcept nogil
ctypedef void (*AddProducts)(const LaneProducts* products, void* tag) noexcept nogil
ctypedef void (*AddUp)(const void* sums, Py_ssize_t L, void* total, Py_ssize_t count, void* tag) noexcept nogil
ctypedef void (*FinishRows)(const Finish* finish, void* tag) noexcept nogil

cdef struct Microkernels:
    # Of one dtype.
    # [w_is][x_is][M][V], NULL where exists() says that there is none.
    RegisterBlock register_block[2][3][9][7]
    # C3 over channels: of 1 << i vectors of channels, for all of a tile's taps and for half of them.
    OverChannels over_channels[3]
    OverChannels over_channels_half[3]
    # C3 over positions: of 1 << i channels, a block of many taps, their number, and a block of 3.
    OverPositions over_positions[3]
    Py_ssize_t taps[3]
    OverPositions over_positions_3[3]
    int largest  # i
    StridedCopy copy_strided_rows
    Depthwise depthwise_3x3[2]  # of 4, 8 rows, at a row stride of 1
    Depthwise depthwise_3x3_stride_2  # of 4 rows
    Depthwise depthwise_taps[3]  # of 1, 4, 8 rows, any taps
    DepthwisePlanes depthwise_planes[2]  # at a stride of 1, 2; NULL where no loads leave out lanes
    MovePlanes spread_planes
    MovePlanes gather_planes
    int lane_outputs[BLOCKS]  # of a block of each size, the largest first, and its kernels:
    SumLanes sum_lanes[2][BLOCKS]  # at a step of x of 1, 2
    AddProducts add_products[3]  # of 3 x 3, 2 x 5, 2 x 7 taps
    AddUp add_up
    FinishRows finish_rows


cdef struct Tables:
    Microkernels of_float, of_double


cdef inline const Tables* tables_of(object capsule) except NULL:
    # What `from ._microkernels import TABLES` gave: a relative import finds those of the importer's instruction set,
    # which a cimport cannot.
    return <const Tables*>PyCapsule_GetPointer(capsule, "cnnx.microkernels")


cdef inline const Microkernels* kernels_of(const Tables* tables, const floating* tag) noexcept nogil:
    return &tables.of_float if floating is float else &tables.of_double


cdef inline void multiply_accumulate(const Microkernels* kernels, int w_is, int x_is, const Operands* o,
                                     const Next* next, const floating* tag) noexcept nogil:
    # Any number of rows: ROWS at a time, and what is left in blocks for which there are kernels.
    cdef Py_ssize_t V = ceil_div(o.width, lanes_of(tag)), M
    cdef Operands rest
    if o.rows <= 4 or exists(w_is, x_is, o.rows, V):
        kernels.register_block[w_is][x_is][o.rows][V](o, next, NULL, NULL, NULL, NULL)
        return
    rest = o[0]
    while rest.rows > 0:
        M = ROWS if rest.rows >= ROWS else rest.rows if rest.rows <= 4 else 4 if rest.rows == 7 else 3
        kernels.register_block[w_is][x_is][M][V](&rest, next, NULL, NULL, NULL, NULL)
        rest.rows -= M
        rest.w = <const floating*>rest.w + (M if w_is == INTERLEAVED else M * rest.stride)
        rest.Y = <floating*>rest.Y + M * rest.y_stride
        if rest.start != NULL:
            rest.start = <const floating*>rest.start + M
