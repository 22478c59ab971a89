# The kernels' half of Winograd's algorithm (W1). Eight output channels at a time: their numbers stand side by side, as
# they are multiplied later.

from cython cimport floating
from libc.string cimport memcpy, memset

from ..microkernel.winograd_transform cimport apply_G
from ..runtime.integers cimport Span, ceil_div, min_of
from ..simd.shuffle cimport transpose_square
from ..simd.vector cimport MAX_LANES, doubles, floats, lanes_in, lanes_of, load, size_of, store, vector, vector_at


cdef enum:
    KERNELS = 8  # output channels that stand side by side in U
    KERNEL_CHUNK = 64  # kernels that are transformed at once
    REACH = 32  # numbers that may be read from where a kernel starts: two vectors, twice MAX_LANES


cdef inline void transform_kernels(const void* f, Py_ssize_t count, void* U, vector* tag, int a, int R) noexcept nogil:
    # W1 for `count` kernels side by side and the rest of a vector: R^2 numbers become a^2, all KERNEL_CHUNK apart.
    cdef vector d[5]
    cdef vector across[5][6]
    cdef vector u[6]
    cdef Py_ssize_t lanes = lanes_in(tag), part, e
    cdef int i, j, r, s
    for part in range(ceil_div(count, lanes)):
        e = part * lanes
        for s in range(R):
            for r in range(R):
                d[r] = load(f, (R * r + s) * KERNEL_CHUNK + e, tag)
            apply_G(d, across[s], a, R)
        for i in range(a):
            for s in range(R):
                d[s] = across[s][i]
            apply_G(d, u, a, R)
            for j in range(a):
                store(u[j], U, (i * a + j) * KERNEL_CHUNK + e)


cdef inline void load_kernels(const void** kernels, Py_ssize_t numbers, void* chunk, Py_ssize_t step,
                              vector* tag) noexcept nogil:
    # The 9 or 25 numbers of as many kernels as a vector has lanes, `step` apart, so that kernels stand side by side. Up
    # to two vectors are read from where a kernel starts.
    cdef vector a[MAX_LANES]
    cdef Py_ssize_t lanes = lanes_in(tag), size = size_of(tag), last = numbers - 1, i, k
    for i in range(ceil_div(last, lanes)):  # with fewer than nine lanes the last comes by itself
        for k in range(lanes):
            a[k] = load(kernels[k], i * lanes, tag)
        transpose_square(a)
        for k in range(min_of(numbers - i * lanes, lanes)):
            store(a[k], chunk, (i * lanes + k) * step)
    if lanes < 9:
        for k in range(lanes):
            memcpy(vector_at(chunk, last * step + k, tag), vector_at(kernels[k], last, tag), size)


cdef inline void gather_kernels(const floating* f, Py_ssize_t f_k, Py_ssize_t f_c, Py_ssize_t kernels,
                                Py_ssize_t channels, const floating* end, Py_ssize_t numbers, bint rotated,
                                floating* chunk) noexcept nogil:
    # The numbers of kernels, KERNEL_CHUNK apart; `rotated` by 180 degrees. From `end` on nothing may be read.
    cdef const void* at[KERNEL_CHUNK]
    cdef floating zeros[REACH]  # for kernels that are not there
    cdef floating last[REACH]
    cdef const floating* kernel
    cdef Py_ssize_t step = -KERNEL_CHUNK if rotated else KERNEL_CHUNK, c, k, i = 0
    memset(zeros, 0, sizeof(zeros))
    for k in range(KERNEL_CHUNK):
        at[k] = zeros
    for c in range(channels):
        for k in range(kernels):
            at[c * KERNELS + k] = f + c * f_c + k * f_k
    kernel = f + (channels - 1) * f_c + (kernels - 1) * f_k
    if end - kernel < REACH:
        memcpy(last, kernel, numbers * sizeof(floating))
        at[(channels - 1) * KERNELS + kernels - 1] = last
    if rotated:
        chunk += (numbers - 1) * KERNEL_CHUNK
    while i < channels * KERNELS:
        if floating is float:
            load_kernels[floats](at + i, numbers, chunk + i, step, NULL)
        else:
            load_kernels[doubles](at + i, numbers, chunk + i, step, NULL)
        i += lanes_of(f)


cdef inline void pack_kernels(const floating* F, const floating* end, floating* U, Py_ssize_t task, Py_ssize_t C,
                              Py_ssize_t K, Span channels, Py_ssize_t a, Py_ssize_t R, bint rotated) noexcept nogil:
    # W1 for KERNELS output channels of a group, some input channels: U[i, j, c, kernel]. C and K are those of a group.
    # `rotated` is for grad-input, where inputs and outputs of F change places, too.
    cdef floating chunk[25 * KERNEL_CHUNK]
    cdef floating transformed[36 * KERNEL_CHUNK]
    cdef Py_ssize_t per_group = ceil_div(K, KERNELS), first = task % per_group * KERNELS, numbers = R * R
    cdef Py_ssize_t pitch = (channels.end - channels.first) * KERNELS, kernels = min_of(KERNELS, K - first)
    cdef Py_ssize_t f_k = numbers if rotated else numbers * C, f_c = numbers * K if rotated else numbers
    cdef Py_ssize_t c = 0, C_end = channels.end - channels.first, count, ij
    cdef const floating* f = F + task // per_group * K * C * numbers + first * f_k + channels.first * f_c
    while c < C_end:
        count = min_of(KERNEL_CHUNK // KERNELS, C_end - c)
        gather_kernels(f + c * f_c, f_k, f_c, kernels, count, end, numbers, rotated, chunk)
        if floating is float:
            if a == 4:
                transform_kernels[floats](chunk, count * KERNELS, transformed, NULL, 4, 3)
            elif R == 5:
                transform_kernels[floats](chunk, count * KERNELS, transformed, NULL, 6, 5)
            else:
                transform_kernels[floats](chunk, count * KERNELS, transformed, NULL, 6, 3)
        else:
            if a == 4:
                transform_kernels[doubles](chunk, count * KERNELS, transformed, NULL, 4, 3)
            elif R == 5:
                transform_kernels[doubles](chunk, count * KERNELS, transformed, NULL, 6, 5)
            else:
                transform_kernels[doubles](chunk, count * KERNELS, transformed, NULL, 6, 3)
        # U's numbers lie pages apart, where lines would push each other out of a cache before they are full.
        for ij in range(a * a):
            memcpy(U + ij * pitch + c * KERNELS, transformed + ij * KERNEL_CHUNK, count * KERNELS * sizeof(floating))
        c += count
