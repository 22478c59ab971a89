# The kernels' half of Winograd's algorithm (W1). Eight output channels at a time: their numbers stand side by side, as
# they are multiplied later.

from cython cimport floating
from libc.string cimport memcpy, memset

from ..microkernel.winograd_transform cimport apply_G
from ..runtime.integers cimport Span, ceil_div, min_of
from ..simd.shuffle cimport transpose_doubles, transpose_floats
from ..simd.vector cimport MAX_LANES, doubles, floats, lanes_in, lanes_of, load, size_of, store, vector, vector_at


cdef enum:
    KERNELS = 8  # output channels that stand side by side in U
    KERNEL_CHUNK = 64  # kernels that are transformed at once


cdef inline void transform_kernels(const void* f, Py_ssize_t count, void* U, vector* tag, int m) noexcept nogil:
    # W1 for `count` kernels side by side and the rest of a vector: nine numbers become a^2, all KERNEL_CHUNK apart.
    cdef vector d[3]
    cdef vector across[3][6]
    cdef vector u[6]
    cdef Py_ssize_t lanes = lanes_in(tag), part, e
    cdef int i, j, r, s
    for part in range(ceil_div(count, lanes)):
        e = part * lanes
        for s in range(3):
            for r in range(3):
                d[r] = load(f, (3 * r + s) * KERNEL_CHUNK + e, tag)
            apply_G(d, across[s], m)
        for i in range(m + 2):
            for s in range(3):
                d[s] = across[s][i]
            apply_G(d, u, m)
            for j in range(m + 2):
                store(u[j], U, (i * (m + 2) + j) * KERNEL_CHUNK + e)


cdef inline void load_kernels(const void** kernels, void* chunk, Py_ssize_t step, vector* tag) noexcept nogil:
    # The nine numbers of as many kernels as a vector has lanes, `step` apart, so that kernels stand side by side. Up to
    # a vector is read from where a kernel starts.
    cdef vector a[MAX_LANES]
    cdef Py_ssize_t lanes = lanes_in(tag), size = size_of(tag), i, k
    for i in range(ceil_div(8, lanes)):  # with fewer than nine lanes the ninth comes by itself
        for k in range(lanes):
            a[k] = load(kernels[k], i * lanes, tag)
        if vector is floats:
            transpose_floats(a)
        else:
            transpose_doubles(a)
        for k in range(min_of(9, lanes)):
            store(a[k], chunk, (i * lanes + k) * step)
    if lanes < 9:
        for k in range(lanes):
            memcpy(vector_at(chunk, 8 * step + k, tag), vector_at(kernels[k], 8, tag), size)


cdef inline void gather_kernels(const floating* f, Py_ssize_t f_k, Py_ssize_t f_c, Py_ssize_t kernels,
                                Py_ssize_t channels, const floating* end, bint rotated, floating* chunk) noexcept nogil:
    # The nine numbers of kernels, KERNEL_CHUNK apart; `rotated` by 180 degrees. From `end` on nothing may be read.
    cdef const void* at[KERNEL_CHUNK]
    cdef floating zeros[16]  # for kernels that are not there
    cdef floating last[16]
    cdef const floating* kernel
    cdef Py_ssize_t step = -KERNEL_CHUNK if rotated else KERNEL_CHUNK, c, k, i = 0
    memset(zeros, 0, sizeof(zeros))
    for k in range(KERNEL_CHUNK):
        at[k] = zeros
    for c in range(channels):
        for k in range(kernels):
            at[c * KERNELS + k] = f + c * f_c + k * f_k
    kernel = f + (channels - 1) * f_c + (kernels - 1) * f_k
    if end - kernel < MAX_LANES:
        memcpy(last, kernel, 9 * sizeof(floating))
        at[(channels - 1) * KERNELS + kernels - 1] = last
    if rotated:
        chunk += 8 * KERNEL_CHUNK
    while i < channels * KERNELS:
        if floating is float:
            load_kernels[floats](at + i, chunk + i, step, NULL)
        else:
            load_kernels[doubles](at + i, chunk + i, step, NULL)
        i += lanes_of(f)


cdef inline void pack_kernels(const floating* F, const floating* end, floating* U, Py_ssize_t task, Py_ssize_t C,
                              Py_ssize_t K, Span channels, Py_ssize_t m, bint rotated) noexcept nogil:
    # W1 for KERNELS output channels of a group, some input channels: U[i, j, c, kernel]. C and K are those of a group.
    # `rotated` is for grad-input, where inputs and outputs of F change places, too.
    cdef floating chunk[9 * KERNEL_CHUNK]
    cdef floating transformed[36 * KERNEL_CHUNK]
    cdef Py_ssize_t per_group = ceil_div(K, KERNELS), first = task % per_group * KERNELS
    cdef Py_ssize_t pitch = (channels.end - channels.first) * KERNELS
    cdef Py_ssize_t kernels = min_of(KERNELS, K - first), f_k = 9 if rotated else 9 * C, f_c = 9 * K if rotated else 9
    cdef Py_ssize_t c = 0, C_end = channels.end - channels.first, count, ij
    cdef const floating* f = F + task // per_group * K * C * 9 + first * f_k + channels.first * f_c
    while c < C_end:
        count = min_of(KERNEL_CHUNK // KERNELS, C_end - c)
        gather_kernels(f + c * f_c, f_k, f_c, kernels, count, end, rotated, chunk)
        if floating is float:
            if m == 2:
                transform_kernels[floats](chunk, count * KERNELS, transformed, NULL, 2)
            else:
                transform_kernels[floats](chunk, count * KERNELS, transformed, NULL, 4)
        else:
            if m == 2:
                transform_kernels[doubles](chunk, count * KERNELS, transformed, NULL, 2)
            else:
                transform_kernels[doubles](chunk, count * KERNELS, transformed, NULL, 4)
        # U's numbers lie pages apart, where lines would push each other out of a cache before they are full.
        for ij in range((m + 2) * (m + 2)):
            memcpy(U + ij * pitch + c * KERNELS, transformed + ij * KERNEL_CHUNK, count * KERNELS * sizeof(floating))
        c += count
