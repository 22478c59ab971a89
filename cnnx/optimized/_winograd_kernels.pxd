# The kernels' half of Winograd's algorithm (W1). Eight output channels at a time: their numbers stand side by side, as
# they are multiplied later.

from cython cimport floating
from libc.string cimport memcpy, memset

from ._index cimport least, up
from ._tile cimport doubles, floats, lanes_in, size_of, vector, vector_at
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


cdef inline void collect(const floating* f, Py_ssize_t f_k, Py_ssize_t f_c, Py_ssize_t kernels, Py_ssize_t channels,
                         bint turned, floating* chunk) noexcept nogil:
    # The nine numbers of kernels, CHUNK apart, so that kernels stand side by side; `turned` by 180 degrees.
    cdef Py_ssize_t c, k, i
    for c in range(channels):
        for k in range(kernels):
            if turned:
                for i in range(9):
                    chunk[(8 - i) * CHUNK + c * KERNELS + k] = f[c * f_c + k * f_k + i]
            else:
                for i in range(9):
                    chunk[i * CHUNK + c * KERNELS + k] = f[c * f_c + k * f_k + i]


cdef inline void kernels_task(const floating* F, floating* U, Py_ssize_t task, Py_ssize_t C, Py_ssize_t K, Py_ssize_t m,
                              bint turned) noexcept nogil:
    # W1 for KERNELS output channels of a group, all input channels: U[task, i, j, c, kernel]. C and K are those of a
    # group. `turned` is for grad-input, where inputs and outputs of F change places, too.
    cdef floating chunks[2 * 9 * CHUNK]
    cdef Py_ssize_t per_group = up(K, KERNELS), pitch = C * KERNELS, first = task % per_group * KERNELS
    cdef Py_ssize_t kernels = least(KERNELS, K - first), most_channels = CHUNK // KERNELS
    cdef Py_ssize_t f_k = 9 if turned else 9 * C, f_c = 9 * K if turned else 9, part, c, count
    cdef const floating* f = F + task // per_group * K * C * 9 + first * f_k
    cdef const floating* chunk
    U = U + task * (m + 2) * (m + 2) * pitch
    memset(chunks, 0, sizeof(chunks))
    # One chunk ahead, or the vectors would wait for the numbers that were just written one by one.
    collect(f, f_k, f_c, kernels, least(most_channels, C), turned, chunks)
    for part in range(up(C, most_channels)):
        c = (part + 1) * most_channels
        if c < C:
            collect(f + c * f_c, f_k, f_c, kernels, least(most_channels, C - c), turned,
                    chunks + (part + 1) % 2 * 9 * CHUNK)
        c = part * most_channels
        chunk = chunks + part % 2 * 9 * CHUNK
        count = least(most_channels, C - c) * KERNELS
        if floating is float:
            if m == 2:
                kernels_of[floats](chunk, count, U + c * KERNELS, pitch, NULL, 2)
            else:
                kernels_of[floats](chunk, count, U + c * KERNELS, pitch, NULL, 4)
        else:
            if m == 2:
                kernels_of[doubles](chunk, count, U + c * KERNELS, pitch, NULL, 2)
            else:
                kernels_of[doubles](chunk, count, U + c * KERNELS, pitch, NULL, 4)
