# Register blocks of the gradient with respect to the kernels. Extents are constants wherever these are called, and no
# address of their sums is taken: see microkernel/multiply_accumulate.pxd.

from ..simd.prefetch cimport prefetch_write
from ..simd.select cimport last_of
from ..simd.vector cimport broadcast, doubles, floats, fma, fma_broadcast, in_register, lanes_in, vector, vector_at

cdef extern from *:
    """
    #if defined(__AVX512F__)  /* 24 sums, 4 vectors of Delta, a number of x */
    #define CNNX_SUMS 24
    #define CNNX_WIDEST 4
    #elif defined(__AVX2__)
    #define CNNX_SUMS 12
    #define CNNX_WIDEST 2
    #elif defined(__aarch64__)
    #define CNNX_SUMS 24
    #define CNNX_WIDEST 4
    #else
    #define CNNX_SUMS 6
    #define CNNX_WIDEST 2
    #endif
    """
    enum:
        SUMS "CNNX_SUMS"  # that registers hold
        WIDEST "CNNX_WIDEST"  # vectors of Delta in a block over channels


cdef enum:
    MAX_SUMS = 24  # with any instruction set: blocks that one has no registers for are compiled, but never called


# Loops over sums come in halves, one behind the other and without a loop in them: of more than 16 turns, or around
# another loop, they are unrolled too late for the sums to be anything but an array in memory.

cdef inline void over_channels(const void* x, const Py_ssize_t* taps, const Py_ssize_t* at, Py_ssize_t count,
                               const void* Delta, void* sums, vector* tag, int M, int V) noexcept nogil:
    # sums[m, j] += sum_i x[at[i] + taps[m]] Delta[i, j], m < M taps, j < V vectors of channels, i < count positions.
    cdef vector a[MAX_SUMS]
    cdef vector d[4]
    cdef const void* here
    cdef vector* to = <vector*>sums
    cdef Py_ssize_t lanes = lanes_in(tag), i
    cdef double zero = 0
    cdef int j, e, half = M * V // 2
    for e in range(half):
        a[e] = broadcast(&zero, 0, tag)
        prefetch_write(to + e)
    for e in range(half, M * V):
        a[e] = broadcast(&zero, 0, tag)
        prefetch_write(to + e)
    for i in range(count):
        here = vector_at(x, at[i], tag)
        for j in range(V):
            d[j] = in_register(vector_at(Delta, (i * V + j) * lanes, tag)[0])
        for e in range(half):
            a[e] = fma_broadcast(a[e], here, taps[e // V], d[e % V])
        for e in range(half, M * V):
            a[e] = fma_broadcast(a[e], here, taps[e // V], d[e % V])
    for e in range(half):
        to[e] = to[e] + a[e]
    for e in range(half, M * V):
        to[e] = to[e] + a[e]


cdef inline void over_positions(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                                Py_ssize_t count, void* sums, Py_ssize_t sums_pitch, vector* tag,
                                int K, int M) noexcept nogil:
    # sums[k, m] += the vectors of Delta[k pitch + i] x[taps[m] + i], k < K channels, m < M taps, i < count positions,
    # added up. count is at least a vector's lanes: the last vector may overlap the one before, whose lanes are dropped.
    cdef vector a[MAX_SUMS]
    cdef vector z[MAX_SUMS]
    cdef vector d[4]
    cdef vector* to
    cdef Py_ssize_t lanes = lanes_in(tag), i, block, rest = count % lanes
    cdef double zero = 0
    cdef int k, m, e, half = K * M // 2
    for e in range(half):
        a[e] = broadcast(&zero, 0, tag)
    for e in range(half, K * M):
        a[e] = broadcast(&zero, 0, tag)
    for block in range(count // lanes):
        i = block * lanes
        for m in range(M):
            z[m] = in_register(vector_at(x, taps[m] + i, tag)[0])
        if K * M + K + M <= SUMS + SUMS // 4:
            for k in range(K):
                d[k] = in_register(vector_at(Delta, k * pitch + i, tag)[0])
            for e in range(half):
                a[e] = fma(a[e], d[e // M], z[e % M])
            for e in range(half, K * M):
                a[e] = fma(a[e], d[e // M], z[e % M])
        else:
            for e in range(half):
                a[e] = fma(a[e], vector_at(Delta, e // M * pitch + i, tag)[0], z[e % M])
            for e in range(half, K * M):
                a[e] = fma(a[e], vector_at(Delta, e // M * pitch + i, tag)[0], z[e % M])
    if rest:
        i = count - lanes
        for m in range(M):
            z[m] = last_of(vector_at(x, taps[m] + i, tag)[0], rest)
        for e in range(half):
            a[e] = fma(a[e], last_of(vector_at(Delta, e // M * pitch + i, tag)[0], rest), z[e % M])
        for e in range(half, K * M):
            a[e] = fma(a[e], last_of(vector_at(Delta, e // M * pitch + i, tag)[0], rest), z[e % M])
    for e in range(half):
        to = vector_at(sums, e // M * sums_pitch + e % M * lanes, tag)
        to[0] = to[0] + a[e]
    for e in range(half, K * M):
        to = vector_at(sums, e // M * sums_pitch + e % M * lanes, tag)
        to[0] = to[0] + a[e]
