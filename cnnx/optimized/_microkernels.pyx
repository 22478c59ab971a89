"""The micro-kernels that are called by address, each compiled once: a table for each dtype, in a capsule."""

from cpython.pycapsule cimport PyCapsule_New

from .microkernel.depthwise cimport Band, depthwise_3x3, depthwise_taps
from .microkernel.depthwise_planes cimport Planes, depthwise_planes
from .microkernel.finish cimport Finish, finish_rows
from .microkernel.grad_weight cimport SUMS, over_channels, over_positions
from .microkernel.lanes cimport (
    LanePlanes, LaneProducts, LaneSums, add_products, add_up, block_of, gather_planes, spread_planes, sum_lanes,
)
from .microkernel.multiply_accumulate cimport Next, Operands, exists, register_block
from .microkernel.strided_rows cimport StridedRows, copy_rows_by_stride
from .microkernel.table cimport (
    AddProducts, AddUp, Depthwise, DepthwisePlanes, FinishRows, Microkernels, MovePlanes, OverChannels, OverPositions,
    RegisterBlock, StridedCopy, SumLanes, Tables,
)
from .simd.masks cimport MASKED
from .simd.vector cimport doubles, floats, vector

cdef extern from *:
    """
    /* With few registers a term has few products (AVX2: 12), and gcc's loop four more instructions than it would need.
       By itself it unrolls no loop whose length it does not know, and asked to (-funroll-loops), it also renames
       registers until they run out. */
    #if defined(__GNUC__) && !defined(__clang__) && CNNX_BYTES < 64
    #define cnnx_unrolled \\
        __attribute__((optimize("fp-contract=off", "unroll-loops", "no-web", "no-rename-registers"))) void
    #else
    #define cnnx_unrolled void
    #endif
    """
    ctypedef void unrolled "cnnx_unrolled"  # what a function returns whose loops are unrolled


# ------------------------------------------------- sums of products: C1, C5, F1-F3, W3's sum over c

# A function for each layout, M and V. Cython has no integer template parameters: a type of n bytes stands for n.

cdef extern from *:
    """
    #define CNNX_EXTENT(n) typedef struct { char size[n]; } cnnx_extent_##n;
    CNNX_EXTENT(1) CNNX_EXTENT(2) CNNX_EXTENT(3) CNNX_EXTENT(4) CNNX_EXTENT(5) CNNX_EXTENT(6) CNNX_EXTENT(8)
    """
    ctypedef struct n1 "cnnx_extent_1":
        pass
    ctypedef struct n2 "cnnx_extent_2":
        pass
    ctypedef struct n3 "cnnx_extent_3":
        pass
    ctypedef struct n4 "cnnx_extent_4":
        pass
    ctypedef struct n5 "cnnx_extent_5":
        pass
    ctypedef struct n6 "cnnx_extent_6":
        pass
    ctypedef struct n8 "cnnx_extent_8":
        pass

ctypedef fused layout:  # 3 w_is + x_is + 1
    n1
    n2
    n3
    n4
    n5
    n6

ctypedef fused indirect:  # the layouts with INDIRECT columns
    n1
    n4

ctypedef fused rows:  # M
    n1
    n2
    n3
    n4
    n8

ctypedef fused few_rows:  # M of wide blocks
    n1
    n2
    n3
    n4

ctypedef fused vectors:  # V
    n1
    n2
    n3

ctypedef fused wide:  # V where accumulators are left, as M is at most half of ROWS
    n4
    n5
    n6


cdef unrolled block(const Operands* o, const Next* next, vector* tag, layout* lie, rows* M,
                    vectors* V) noexcept nogil:
    if exists((sizeof(layout) - 1) // 3, (sizeof(layout) - 1) % 3, sizeof(rows), sizeof(vectors)):
        register_block(o, next, tag, sizeof(rows), sizeof(vectors), (sizeof(layout) - 1) // 3,
                       (sizeof(layout) - 1) % 3)


cdef unrolled wide_block(const Operands* o, const Next* next, vector* tag, indirect* lie, few_rows* M,
                         wide* V) noexcept nogil:
    if exists((sizeof(indirect) - 1) // 3, (sizeof(indirect) - 1) % 3, sizeof(few_rows), sizeof(wide)):
        register_block(o, next, tag, sizeof(few_rows), sizeof(wide), (sizeof(indirect) - 1) // 3,
                       (sizeof(indirect) - 1) % 3)


cdef void fill_rows(Microkernels* m, vector* tag, layout* lie, rows* M) noexcept:
    cdef int w_is = (sizeof(layout) - 1) // 3, x_is = (sizeof(layout) - 1) % 3
    cdef RegisterBlock* blocks = m.register_block[w_is][x_is][sizeof(rows)]
    if exists(w_is, x_is, sizeof(rows), 1):
        blocks[1] = <RegisterBlock>block[vector, layout, rows, n1]
    if exists(w_is, x_is, sizeof(rows), 2):
        blocks[2] = <RegisterBlock>block[vector, layout, rows, n2]
    if exists(w_is, x_is, sizeof(rows), 3):
        blocks[3] = <RegisterBlock>block[vector, layout, rows, n3]


cdef void fill_wide(Microkernels* m, vector* tag, indirect* lie, few_rows* M) noexcept:
    cdef int w_is = (sizeof(indirect) - 1) // 3, x_is = (sizeof(indirect) - 1) % 3
    cdef RegisterBlock* blocks = m.register_block[w_is][x_is][sizeof(few_rows)]
    if exists(w_is, x_is, sizeof(few_rows), 4):
        blocks[4] = <RegisterBlock>wide_block[vector, indirect, few_rows, n4]
    if exists(w_is, x_is, sizeof(few_rows), 5):
        blocks[5] = <RegisterBlock>wide_block[vector, indirect, few_rows, n5]
    if exists(w_is, x_is, sizeof(few_rows), 6):
        blocks[6] = <RegisterBlock>wide_block[vector, indirect, few_rows, n6]


cdef void fill_layout(Microkernels* m, vector* tag, layout* lie) noexcept:
    fill_rows(m, tag, lie, <n1*>NULL)
    fill_rows(m, tag, lie, <n2*>NULL)
    fill_rows(m, tag, lie, <n3*>NULL)
    fill_rows(m, tag, lie, <n4*>NULL)
    fill_rows(m, tag, lie, <n8*>NULL)


cdef void fill_wide_layout(Microkernels* m, vector* tag, indirect* lie) noexcept:
    fill_wide(m, tag, lie, <n1*>NULL)
    fill_wide(m, tag, lie, <n2*>NULL)
    fill_wide(m, tag, lie, <n3*>NULL)
    fill_wide(m, tag, lie, <n4*>NULL)


cdef void fill_register_blocks(Microkernels* m, vector* tag) noexcept:
    fill_layout(m, tag, <n1*>NULL)
    fill_layout(m, tag, <n2*>NULL)
    fill_layout(m, tag, <n3*>NULL)
    fill_layout(m, tag, <n4*>NULL)
    fill_layout(m, tag, <n5*>NULL)
    fill_layout(m, tag, <n6*>NULL)
    fill_wide_layout(m, tag, <n1*>NULL)
    fill_wide_layout(m, tag, <n4*>NULL)


# -------------------------------------------------------------------- C3: the gradient of the weights

cdef void full_1(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 2, 1)


cdef void full_2(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 2, 2)


cdef void full_4(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 4, 4)


cdef void half_1(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 4, 1)


cdef void half_2(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 4, 2)


cdef void half_4(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count, const void* Delta,
                 void* sums, vector* tag) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, tag, SUMS // 8, 4)


cdef void block_4_6(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 4, 6)


cdef void block_4_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 4, 3)


cdef void block_2_9(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 2, 9)


cdef void block_2_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 2, 3)


cdef void block_1_9(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 1, 9)


cdef void block_1_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                    Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, first, sums, sums_pitch, tag, 1, 3)


cdef void fill_grad_weight(Microkernels* m, vector* tag) noexcept:
    m.over_channels = [<OverChannels>full_1[vector], <OverChannels>full_2[vector], <OverChannels>full_4[vector]]
    m.over_channels_half = [<OverChannels>half_1[vector], <OverChannels>half_2[vector], <OverChannels>half_4[vector]]
    m.over_positions_3 = [<OverPositions>block_1_3[vector], <OverPositions>block_2_3[vector],
                          <OverPositions>block_4_3[vector]]
    m.over_positions = m.over_positions_3
    m.taps = [9, 3, 3]
    m.over_positions[0] = <OverPositions>block_1_9[vector]
    if SUMS >= 24:  # registers enough for two or four channels by more than 3 taps
        m.over_positions[1], m.taps[1] = <OverPositions>block_2_9[vector], 9
        m.over_positions[2], m.taps[2] = <OverPositions>block_4_6[vector], 6
    m.largest = 2 if SUMS >= 12 else 1


# ----------------------------------------------- depthwise C1, C5; copies for C1, C5

cdef void dense_4_1(const Band* band, vector* tag) noexcept nogil:
    depthwise_3x3(band, tag, 4, 1)


cdef void dense_8_1(const Band* band, vector* tag) noexcept nogil:
    depthwise_3x3(band, tag, 8, 1)


cdef void dense_4_2(const Band* band, vector* tag) noexcept nogil:
    depthwise_3x3(band, tag, 4, 2)


cdef void taps_1(const Band* band, vector* tag) noexcept nogil:
    depthwise_taps(band, tag, 1)


cdef void taps_4(const Band* band, vector* tag) noexcept nogil:
    depthwise_taps(band, tag, 4)


cdef void taps_8(const Band* band, vector* tag) noexcept nogil:
    depthwise_taps(band, tag, 8)


cdef void planes_1(const Planes* planes, vector* tag) noexcept nogil:
    if MASKED:
        depthwise_planes(planes, tag, 1)


cdef void planes_2(const Planes* planes, vector* tag) noexcept nogil:
    if MASKED:
        depthwise_planes(planes, tag, 2)


# A block of outputs by its size's number, n1 being the first.

ctypedef fused sizes:
    n1
    n2
    n3
    n4
    n5


cdef void lane_sums_1(const LaneSums* sums, vector* tag, sizes* size) noexcept nogil:
    sum_lanes(sums, tag, block_of(sizeof(sizes) - 1), 1)


cdef void lane_sums_2(const LaneSums* sums, vector* tag, sizes* size) noexcept nogil:
    sum_lanes(sums, tag, block_of(sizeof(sizes) - 1), 2)


cdef void spread(const LanePlanes* planes, vector* tag) noexcept nogil:
    spread_planes(planes, tag)


cdef void gather(const LanePlanes* planes, vector* tag) noexcept nogil:
    gather_planes(planes, tag)


cdef void products_3_3(const LaneProducts* products, vector* tag) noexcept nogil:
    add_products(products, tag, 3, 3)


cdef void products_2_5(const LaneProducts* products, vector* tag) noexcept nogil:
    add_products(products, tag, 2, 5)


cdef void products_2_7(const LaneProducts* products, vector* tag) noexcept nogil:
    add_products(products, tag, 2, 7)


cdef void added_up(const void* sums, Py_ssize_t L, void* total, Py_ssize_t count, vector* tag) noexcept nogil:
    add_up(sums, L, total, count, tag)


cdef void fill_lanes(Microkernels* m, vector* tag) noexcept:
    m.spread_planes, m.gather_planes = <MovePlanes>spread[vector], <MovePlanes>gather[vector]
    m.lane_outputs = [block_of(0), block_of(1), block_of(2), block_of(3), block_of(4)]
    m.sum_lanes[0] = [<SumLanes>lane_sums_1[vector, n1], <SumLanes>lane_sums_1[vector, n2],
                      <SumLanes>lane_sums_1[vector, n3], <SumLanes>lane_sums_1[vector, n4],
                      <SumLanes>lane_sums_1[vector, n5]]
    m.sum_lanes[1] = [<SumLanes>lane_sums_2[vector, n1], <SumLanes>lane_sums_2[vector, n2],
                      <SumLanes>lane_sums_2[vector, n3], <SumLanes>lane_sums_2[vector, n4],
                      <SumLanes>lane_sums_2[vector, n5]]
    m.add_products = [<AddProducts>products_3_3[vector], <AddProducts>products_2_5[vector],
                      <AddProducts>products_2_7[vector]]
    m.add_up = <AddUp>added_up[vector]


cdef void finished_rows(const Finish* finish, vector* tag) noexcept nogil:
    finish_rows(finish, tag)


cdef void strided_rows(const StridedRows* rows, vector* tag) noexcept nogil:
    copy_rows_by_stride(rows, tag)


cdef void fill_table(Microkernels* m, vector* tag) noexcept:
    fill_register_blocks(m, tag)
    fill_grad_weight(m, tag)
    m.depthwise_3x3 = [<Depthwise>dense_4_1[vector], <Depthwise>dense_8_1[vector]]
    m.depthwise_3x3_stride_2 = <Depthwise>dense_4_2[vector]
    m.depthwise_taps = [<Depthwise>taps_1[vector], <Depthwise>taps_4[vector], <Depthwise>taps_8[vector]]
    m.depthwise_planes = [NULL, NULL]
    if MASKED:
        m.depthwise_planes = [<DepthwisePlanes>planes_1[vector], <DepthwisePlanes>planes_2[vector]]
    fill_lanes(m, tag)
    m.finish_rows = <FinishRows>finished_rows[vector]
    m.copy_strided_rows = <StridedCopy>strided_rows[vector]


cdef Tables tables
fill_table[floats](&tables.of_float, NULL)
fill_table[doubles](&tables.of_double, NULL)

TABLES = PyCapsule_New(&tables, "cnnx.microkernels", NULL)
