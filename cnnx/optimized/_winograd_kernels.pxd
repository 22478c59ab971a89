# The kernels' half of Winograd's algorithm (W1). Eight output channels at a time: their numbers stand side by side, as
# they are multiplied later.

from cython cimport floating
from libc.string cimport memcpy, memset

from ._index cimport least, up
from ._shuffle cimport turn_doubles, turn_floats
from ._vector cimport MOST_LANES, doubles, floats, lanes_in, lanes_of, size_of, vector, vector_at
from ._winograd cimport apply_G


cdef enum:
    KERNELS = 8  # output channels that stand side by side in U
    CHUNK = 64  # kernels that are transformed at once


cdef inline void kernels_of(const void* f, Py_ssize_t count, void* U, Py_ssize_t pitch, vector* kind,
                            int m) noexcept nogil:
    # W1 for `count` kernels side by side, whose nine numbers lie CHUNK apart and become a^2, `pitch` apart.
    cdef vector d[3]
    cdef vector across[3][6]
    cdef vector u[6]
    cdef vector rest  # by itself, so that u may stay in registers
    cdef Py_ssize_t size = size_of(kind), lanes = lanes_in(kind), part, e
    cdef int i, j, r, s
    for part in range(up(count, lanes)):
        e = part * lanes
        for s in range(3):
            for r in range(3):
                d[r] = vector_at(f, (3 * r + s) * CHUNK + e, kind)[0]
            apply_G(d, across[s], m)
        for i in range(m + 2):
            for s in range(3):
                d[s] = across[s][i]
            apply_G(d, u, m)
            for j in range(m + 2):
                if e + lanes <= count:
                    vector_at(U, (i * (m + 2) + j) * pitch + e, kind)[0] = u[j]
                else:
                    rest = u[j]
                    memcpy(vector_at(U, (i * (m + 2) + j) * pitch + e, kind), &rest, (count - e) * size)


cdef inline void numbers_of(const void** kernels, void* chunk, Py_ssize_t step, vector* kind) noexcept nogil:
    # The nine numbers of as many kernels as a vector has lanes, `step` apart, so that kernels stand side by side. Up to
    # a vector is read from where a kernel starts.
    cdef vector a[MOST_LANES]
    cdef Py_ssize_t lanes = lanes_in(kind), size = size_of(kind), i, k
    for i in range(up(8, lanes)):  # with fewer than nine lanes the ninth comes by itself
        for k in range(lanes):
            a[k] = vector_at(kernels[k], i * lanes, kind)[0]
        if vector is floats:
            turn_floats(a)
        else:
            turn_doubles(a)
        for k in range(least(9, lanes)):
            vector_at(chunk, (i * lanes + k) * step, kind)[0] = a[k]
    if lanes < 9:
        for k in range(lanes):
            memcpy(vector_at(chunk, 8 * step + k, kind), vector_at(kernels[k], 8, kind), size)


cdef inline void collect(const floating* f, Py_ssize_t f_k, Py_ssize_t f_c, Py_ssize_t kernels, Py_ssize_t channels,
                         const floating* end, bint turned, floating* chunk) noexcept nogil:
    # The nine numbers of kernels, CHUNK apart; `turned` by 180 degrees. From `end` on nothing may be read.
    cdef const void* at[CHUNK]
    cdef floating zeros[16]  # for kernels that are not there
    cdef floating last[16]
    cdef const floating* kernel
    cdef Py_ssize_t step = -CHUNK if turned else CHUNK, c, k, i = 0
    memset(zeros, 0, sizeof(zeros))
    for k in range(CHUNK):
        at[k] = zeros
    for c in range(channels):
        for k in range(kernels):
            at[c * KERNELS + k] = f + c * f_c + k * f_k
    kernel = f + (channels - 1) * f_c + (kernels - 1) * f_k
    if end - kernel < MOST_LANES:
        memcpy(last, kernel, 9 * sizeof(floating))
        at[(channels - 1) * KERNELS + kernels - 1] = last
    if turned:
        chunk += 8 * CHUNK
    while i < channels * KERNELS:
        if floating is float:
            numbers_of[floats](at + i, chunk + i, step, NULL)
        else:
            numbers_of[doubles](at + i, chunk + i, step, NULL)
        i += lanes_of(f)


cdef inline void kernels_task(const floating* F, const floating* end, floating* U, Py_ssize_t task, Py_ssize_t C,
                              Py_ssize_t K, Py_ssize_t m, bint turned) noexcept nogil:
    # W1 for KERNELS output channels of a group, all input channels: U[task, i, j, c, kernel]. C and K are those of a
    # group. `turned` is for grad-input, where inputs and outputs of F change places, too.
    cdef floating chunk[9 * CHUNK]
    cdef Py_ssize_t per_group = up(K, KERNELS), pitch = C * KERNELS, first = task % per_group * KERNELS
    cdef Py_ssize_t kernels = least(KERNELS, K - first), f_k = 9 if turned else 9 * C, f_c = 9 * K if turned else 9
    cdef Py_ssize_t c = 0, channels
    cdef const floating* f = F + task // per_group * K * C * 9 + first * f_k
    U = U + task * (m + 2) * (m + 2) * pitch
    while c < C:
        channels = least(CHUNK // KERNELS, C - c)
        collect(f + c * f_c, f_k, f_c, kernels, channels, end, turned, chunk)
        if floating is float:
            if m == 2:
                kernels_of[floats](chunk, channels * KERNELS, U + c * KERNELS, pitch, NULL, 2)
            else:
                kernels_of[floats](chunk, channels * KERNELS, U + c * KERNELS, pitch, NULL, 4)
        else:
            if m == 2:
                kernels_of[doubles](chunk, channels * KERNELS, U + c * KERNELS, pitch, NULL, 2)
            else:
                kernels_of[doubles](chunk, channels * KERNELS, U + c * KERNELS, pitch, NULL, 4)
        c += channels
