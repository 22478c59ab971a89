# Register blocks of the gradient with respect to the kernels. Extents are constants wherever these are called, and no
# address of their sums is taken: see microkernel/multiply_accumulate.pxd.

from ..runtime.integers cimport min_of
from ..simd.prefetch cimport prefetch_write
from ..simd.select cimport last_of
from ..simd.vector cimport (
    SUM_BYTES, broadcast, doubles, floats, fma, fma_broadcast, in_register, lanes_in, load, size_of, store, vector,
    vector_at,
)

cdef extern from *:
    """
    #if CNNX_REGISTERS == 32  /* 24 sums, 4 vectors of Delta, a number of x */
    #define CNNX_SUMS 24
    #define CNNX_WIDEST 4
    #elif CNNX_FMA
    #define CNNX_SUMS 12
    #define CNNX_WIDEST 2
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
    cdef Py_ssize_t lanes = lanes_in(tag), i
    cdef double zero = 0
    cdef int j, e, half = M * V // 2
    for e in range(half):
        a[e] = broadcast(&zero, 0, tag)
        prefetch_write(vector_at(sums, e * lanes, tag))
    for e in range(half, M * V):
        a[e] = broadcast(&zero, 0, tag)
        prefetch_write(vector_at(sums, e * lanes, tag))
    for i in range(count):
        here = vector_at(x, at[i], tag)
        for j in range(V):
            d[j] = in_register(load(Delta, (i * V + j) * lanes, tag))
        for e in range(half):
            a[e] = fma_broadcast(a[e], here, taps[e // V], d[e % V])
        for e in range(half, M * V):
            a[e] = fma_broadcast(a[e], here, taps[e // V], d[e % V])
    for e in range(half):
        store(load(sums, e * lanes, tag) + a[e], sums, e * lanes)
    for e in range(half, M * V):
        store(load(sums, e * lanes, tag) + a[e], sums, e * lanes)


cdef inline void over_positions(const void* x, const Py_ssize_t* taps, const void* Delta, Py_ssize_t pitch,
                                Py_ssize_t count, Py_ssize_t first, void* sums, Py_ssize_t sums_pitch, vector* tag,
                                int K, int M) noexcept nogil:
    # sums[k, m, l] += Delta[k pitch + i] x[taps[m] + i], k < K channels, m < M taps, l = i mod L: L partial sums, as
    # many for every instruction set. This call's are those of a vector, from l = first on. count is at least L: what
    # whole rows of L leave over is read as the end of the last L positions, and added to the last partial sums.
    cdef vector a[MAX_SUMS]
    cdef vector z[MAX_SUMS]
    cdef vector d[4]
    cdef void* to
    cdef Py_ssize_t lanes = lanes_in(tag), L = SUM_BYTES // size_of(tag), i, block, rest = count % L
    cdef double zero = 0
    cdef int k, m, e, half = K * M // 2
    for e in range(half):
        a[e] = broadcast(&zero, 0, tag)
    for e in range(half, K * M):
        a[e] = broadcast(&zero, 0, tag)
    for block in range(count // L):
        i = block * L + first
        for m in range(M):
            z[m] = in_register(load(x, taps[m] + i, tag))
        if K * M + K + M <= SUMS + SUMS // 4:
            for k in range(K):
                d[k] = in_register(load(Delta, k * pitch + i, tag))
            for e in range(half):
                a[e] = fma(a[e], d[e // M], z[e % M])
            for e in range(half, K * M):
                a[e] = fma(a[e], d[e // M], z[e % M])
        else:
            for e in range(half):
                a[e] = fma(a[e], load(Delta, e // M * pitch + i, tag), z[e % M])
            for e in range(half, K * M):
                a[e] = fma(a[e], load(Delta, e // M * pitch + i, tag), z[e % M])
    rest = min_of(lanes, rest - (L - lanes - first))  # those of this vector
    if rest > 0:
        i = count - L + first
        for m in range(M):
            z[m] = last_of(load(x, taps[m] + i, tag), rest)
        for e in range(half):
            a[e] = fma(a[e], last_of(load(Delta, e // M * pitch + i, tag), rest), z[e % M])
        for e in range(half, K * M):
            a[e] = fma(a[e], last_of(load(Delta, e // M * pitch + i, tag), rest), z[e % M])
    for e in range(half):
        to = vector_at(sums, e // M * sums_pitch + e % M * L + first, tag)
        store(load(to, 0, tag) + a[e], to, 0)
    for e in range(half, K * M):
        to = vector_at(sums, e // M * sums_pitch + e % M * L + first, tag)
        store(load(to, 0, tag) + a[e], to, 0)
