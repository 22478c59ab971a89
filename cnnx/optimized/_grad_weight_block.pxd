# The register blocks of the gradient with respect to the kernels, each a function of its own, called by address: where
# the compiler puts one into its caller, its sums compete with the caller's variables for registers.

from ._grad_weight_tile cimport SUMS, over_channels, over_positions
from ._tile cimport doubles, floats, vector

ctypedef void (*Channels)(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                          const void* Delta, void* sums, void* kind) noexcept nogil
ctypedef void (*Positions)(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch, Py_ssize_t count,
                           void* sums, Py_ssize_t sums_pitch, void* kind) noexcept nogil

cdef struct Blocks:
    Channels full, half  # of a tile's taps
    # For 1 << i channels: of most taps, their number, and of 3 taps.
    Positions most[3]
    Positions least[3]
    Py_ssize_t taps[3]
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
    if vector is floats:
        if V == 4:
            blocks.full, blocks.half = <Channels>full_4[floats], <Channels>half_4[floats]
        elif V == 2:
            blocks.full, blocks.half = <Channels>full_2[floats], <Channels>half_2[floats]
        else:
            blocks.full, blocks.half = <Channels>full_1[floats], <Channels>half_1[floats]
        blocks.most[0], blocks.least[0] = <Positions>block_1_9[floats], <Positions>block_1_3[floats]
        blocks.most[1] = blocks.least[1] = <Positions>block_2_3[floats]
        blocks.most[2] = blocks.least[2] = <Positions>block_4_3[floats]
        if SUMS >= 24:
            blocks.most[1], blocks.most[2] = <Positions>block_2_9[floats], <Positions>block_4_6[floats]
    else:
        if V == 4:
            blocks.full, blocks.half = <Channels>full_4[doubles], <Channels>half_4[doubles]
        elif V == 2:
            blocks.full, blocks.half = <Channels>full_2[doubles], <Channels>half_2[doubles]
        else:
            blocks.full, blocks.half = <Channels>full_1[doubles], <Channels>half_1[doubles]
        blocks.most[0], blocks.least[0] = <Positions>block_1_9[doubles], <Positions>block_1_3[doubles]
        blocks.most[1] = blocks.least[1] = <Positions>block_2_3[doubles]
        blocks.most[2] = blocks.least[2] = <Positions>block_4_3[doubles]
        if SUMS >= 24:
            blocks.most[1], blocks.most[2] = <Positions>block_2_9[doubles], <Positions>block_4_6[doubles]
    blocks.taps[0] = 9
    blocks.taps[1] = 9 if SUMS >= 24 else 3
    blocks.taps[2] = 6 if SUMS >= 24 else 3
    blocks.largest = 2 if SUMS >= 12 else 1
