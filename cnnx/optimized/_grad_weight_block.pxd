# The register blocks of the gradient with respect to the kernels, each a function of its own, called by address: where
# the compiler puts one into its caller, its sums compete with the caller's variables for registers.

from ._grad_weight_tile cimport SUMS, over_channels, over_positions
from ._vector cimport vector

ctypedef void (*Channels)(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                          const void* Delta, void* sums, void* kind) noexcept nogil
ctypedef void (*Positions)(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                           void* sums, Py_ssize_t sums_pitch, void* kind) noexcept nogil

cdef struct Blocks:
    Channels full, half  # of a tile's taps
    # For 1 << i channels: a block of many taps, their number, and one of 3.
    Positions most[3]
    Py_ssize_t taps[3]
    Positions least[3]
    int largest  # i


cdef inline void full_1(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 2, 1)


cdef inline void full_2(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 2, 2)


cdef inline void full_4(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 4, 4)


cdef inline void half_1(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 4, 1)


cdef inline void half_2(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 4, 2)


cdef inline void half_4(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                        const void* Delta, void* sums, vector* kind) noexcept nogil:
    over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 8, 4)


cdef inline void block_4_6(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 4, 6)


cdef inline void block_4_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 4, 3)


cdef inline void block_2_9(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 2, 9)


cdef inline void block_2_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 2, 3)


cdef inline void block_1_9(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 1, 9)


cdef inline void block_1_3(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                           Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind) noexcept nogil:
    over_positions(x, taps, Delta, pitch, count, sums, sums_pitch, kind, 1, 3)


cdef inline void choose(Blocks* blocks, Py_ssize_t V, vector* kind) noexcept nogil:
    # For V vectors of channels, and for positions.
    if V == 4:
        blocks.full, blocks.half = <Channels>full_4[vector], <Channels>half_4[vector]
    elif V == 2:
        blocks.full, blocks.half = <Channels>full_2[vector], <Channels>half_2[vector]
    else:
        blocks.full, blocks.half = <Channels>full_1[vector], <Channels>half_1[vector]
    blocks.most[0], blocks.least[0], blocks.taps[0] = <Positions>block_1_9[vector], <Positions>block_1_3[vector], 9
    blocks.least[1], blocks.least[2] = <Positions>block_2_3[vector], <Positions>block_4_3[vector]
    if SUMS >= 24:
        blocks.most[1], blocks.taps[1] = <Positions>block_2_9[vector], 9
        blocks.most[2], blocks.taps[2] = <Positions>block_4_6[vector], 6
    else:
        blocks.most[1], blocks.taps[1] = blocks.least[1], 3
        blocks.most[2], blocks.taps[2] = blocks.least[2], 3
    blocks.largest = 2 if SUMS >= 12 else 1
