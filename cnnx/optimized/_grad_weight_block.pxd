# Which register blocks make up a block of the gradient with respect to the kernels.

from ._grad_weight_tile cimport SUMS, WIDEST, lanes_in, over_channels, over_positions
from ._tile cimport vector, vector_at


cdef inline void channel_tile(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                              const void* Delta, void* sums, vector* kind, Py_ssize_t V, Py_ssize_t T) noexcept nogil:
    # A tile of V vectors, of which T taps are wanted: half of one will do for few.
    if WIDEST > 3 and V == 4:
        if 2 * T > SUMS // 4:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 4, 4)
        else:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 8, 4)
    elif WIDEST > 2 and V == 3:
        if 2 * T > SUMS // 3:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 3, 3)
        else:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 6, 3)
    elif V == 2:
        if 2 * T > SUMS // 2:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 2, 2)
        else:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 4, 2)
    else:
        if 2 * T > SUMS:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS, 1)
        else:
            over_channels(x, taps, at, count, Delta, sums, kind, SUMS // 2, 1)


cdef inline void position_tile(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                               Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind,
                               int K, Py_ssize_t M) noexcept nogil:
    # All M taps of K channels; M is a multiple of 3.
    cdef Py_ssize_t lanes = lanes_in(kind), m = 0
    while m < M:
        if SUMS >= 24 and K == 8:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 8, 3)
            m += 3
        elif SUMS >= 24 and K == 4 and M - m > 3:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 4, 6)
            m += 6
        elif SUMS >= 12 and K == 4:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 4, 3)
            m += 3
        elif SUMS >= 24 and K == 2 and M - m > 6:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 2, 9)
            m += 9
        elif K == 2:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 2, 3)
            m += 3
        elif M - m > 6:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 1, 9)
            m += 9
        else:
            over_positions(x, taps + m, Delta, pitch, count, vector_at(sums, m * lanes, kind), sums_pitch, kind, 1, 3)
            m += 3


cdef inline void position_block(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                                Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* kind,
                                Py_ssize_t K, Py_ssize_t M) noexcept nogil:
    cdef Py_ssize_t k = 0
    cdef int part
    while k < K:
        if SUMS >= 24 and K - k >= 8:
            part = 8
        elif SUMS >= 12 and K - k >= 4:
            part = 4
        else:
            part = 2 if K - k >= 2 else 1
        position_tile(x, taps, vector_at(Delta, k * pitch, kind), pitch, count,
                      vector_at(sums, k * sums_pitch, kind), sums_pitch, kind, part, M)
        k += part
