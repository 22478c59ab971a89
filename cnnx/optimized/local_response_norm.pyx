"""Local response normalisation: N6, N7. Sums and powers are taken in double, whatever the arrays' type.

The columns of an image, its elements within a channel, are cut into groups; a group goes through all channels.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY
from libc.stdlib cimport free

from ._threads cimport POWER, threads_for
from .runtime.integers cimport ceil_div, max_of, min_of
from .runtime.memory cimport SCRATCH, allocate
from .simd.multiply_add cimport multiply_add
from .simd.power cimport power, power_for_float

cdef extern from *:
    """
    /* Only a loop with its own copy of power() becomes vectors. */
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    """

cdef enum:
    COLUMNS = 128  # of a group

cdef struct Windows:
    # Channel c's goes from c - before to c + after, as far as there are channels; L elements in each.
    Py_ssize_t C, L, before, after
    double scale, beta, k  # alpha / size


cdef inline Windows windows_of(Py_ssize_t C, Py_ssize_t L, Py_ssize_t size, double alpha, double beta,
                               double k) noexcept nogil:
    return Windows(C, L, min_of((size - 1) // 2, C - 1), min_of(size // 2, C - 1), alpha / size, beta, k)


cdef inline double inverse_power(double S, double beta, const floating* tag) noexcept nogil:
    # S^-beta, S > 0.
    cdef double y
    if floating is float:
        y = power_for_float(S, -beta)
    else:
        y = power(S, -beta, 0)
    return 0 if S == INFINITY else y


cdef inline void S_row(const floating* Z, Py_ssize_t c, Py_ssize_t width, const Windows* g, double* S) noexcept nogil:
    # N6's S of channel c; Z is the group's first element in channel 0.
    cdef Py_ssize_t i, j
    cdef const floating* z
    for i in range(width):
        S[i] = 0
    for j in range(max_of(0, c - g.before), min_of(g.C, c + g.after + 1)):
        z = Z + j * g.L
        for i in range(width):
            S[i] = multiply_add(<double>z[i], <double>z[i], S[i])
    for i in range(width):
        S[i] = multiply_add(g.scale, S[i], g.k)


cdef inline void Y_group(const floating* Z, floating* Y, Py_ssize_t width, const Windows* g) noexcept nogil:
    # N6
    cdef Py_ssize_t c, i, row
    cdef double S[COLUMNS]
    for c in range(g.C):
        S_row(Z, c, width, g, S)
        row = c * g.L
        for i in range(width):
            Y[row + i] = <floating>(Z[row + i] * inverse_power(S[i], g.beta, Z))


cdef inline void terms_row(const floating* Delta, const floating* Z, Py_ssize_t c, Py_ssize_t width, const Windows* g,
                           double* own, double* shared) noexcept nogil:
    # What channel c has for N7: own is Delta S^-beta, shared Delta Z S^(-beta-1), which goes to its whole window.
    cdef Py_ssize_t i, row = c * g.L
    cdef double S[COLUMNS]
    S_row(Z, c, width, g, S)
    for i in range(width):
        own[i] = Delta[row + i] * inverse_power(S[i], g.beta, Z)
        shared[i] = own[i] * Z[row + i] / S[i]


cdef inline void dZ_group(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t width, const Windows* g,
                          Py_ssize_t held, double* memory) noexcept nogil:
    # N7. Memory holds the terms of as many channels as a sum has, those of channel c in row c modulo that.
    cdef Py_ssize_t c, i, j, last, row
    cdef double total[COLUMNS]
    cdef double* own
    cdef double* shared = memory + held * width
    for last in range(g.C + g.before):
        if last < g.C:
            row = last % held * width
            terms_row(Delta, Z, last, width, g, memory + row, shared + row)
        c = last - g.before
        if c < 0:
            continue
        for i in range(width):
            total[i] = 0
        for j in range(max_of(0, c - g.after), min_of(g.C, last + 1)):
            row = j % held * width
            for i in range(width):
                total[i] += shared[row + i]
        own = memory + c % held * width
        row = c * g.L
        for i in range(width):
            dZ[row + i] = <floating>multiply_add(-2 * g.scale * g.beta * Z[row + i], total[i], own[i])


cdef inline void Y_part(const floating* Z, floating* Y, Py_ssize_t first, Py_ssize_t end,
                        const Windows* g) noexcept nogil:
    # The groups first..end-1 of all images.
    cdef Py_ssize_t groups = ceil_div(g.L, COLUMNS), i, column, at
    for i in range(first, end):
        column = i % groups * COLUMNS
        at = i // groups * g.C * g.L + column
        Y_group(Z + at, Y + at, min_of(COLUMNS, g.L - column), g)


cdef inline void dZ_part(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t first, Py_ssize_t end,
                         const Windows* g, Py_ssize_t columns, Py_ssize_t held, double* memory) noexcept nogil:
    cdef Py_ssize_t groups = ceil_div(g.L, columns), i, column, at
    for i in range(first, end):
        column = i % groups * columns
        at = i // groups * g.C * g.L + column
        dZ_group(Delta + at, Z + at, dZ + at, min_of(columns, g.L - column), g, held, memory)


def local_response_norm(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y, *, Py_ssize_t size, double alpha,
                        double beta, double k):
    cdef Windows g = windows_of(Z.shape[1], Z.shape[2], size, alpha, beta, k)
    cdef Py_ssize_t tasks = Z.shape[0] * ceil_div(g.L, COLUMNS), part
    cdef int threads = threads_for((POWER + g.before + g.after) * <double>Z.shape[0] * g.C * g.L)
    if tasks == 0 or g.C == 0:
        return
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0], &Y[0, 0, 0], tasks * part // threads, tasks * (part + 1) // threads, &g)


def local_response_norm_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /,
                                   floating[:, :, ::1] dZ, *, Py_ssize_t size, double alpha, double beta, double k):
    cdef Windows g = windows_of(Z.shape[1], Z.shape[2], size, alpha, beta, k)
    cdef Py_ssize_t held = min_of(g.C, g.before + g.after + 1)
    cdef Py_ssize_t columns, tasks, room, part
    cdef int threads = threads_for((POWER + 2 * (g.before + g.after)) * <double>Z.shape[0] * g.C * g.L)
    cdef double* memory
    if Z.shape[0] == 0 or g.C == 0 or g.L == 0:
        return
    columns = max_of(1, min_of(min_of(COLUMNS, g.L), SCRATCH // (2 * <Py_ssize_t>sizeof(double) * held)))
    tasks, room = Z.shape[0] * ceil_div(g.L, columns), 2 * held * columns
    memory = <double*>allocate("local_response_norm_grad_input", threads * room * sizeof(double))
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part(&Delta[0, 0, 0], &Z[0, 0, 0], &dZ[0, 0, 0], tasks * part // threads, tasks * (part + 1) // threads, &g,
                columns, held, memory + part * room)
    free(memory)
