"""Lp pooling: P4. Sums and powers are taken in double.

Row by row of the outputs, down the columns of the window rows and then across; backward each plane by one thread.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport fabs, sqrt
from libc.stdlib cimport free
from libc.string cimport memset

from ._threads cimport POWER, threads_for
from .pool.window cimport (
    Place, Window, column_begin, column_end, columns_used, memory_for, next_place, place_of, row_begin, row_end,
)
from .runtime.integers cimport end_output, first_output, max_of, min_of
from .simd.exp cimport product_less_double
from .simd.multiply_add cimport multiply_add
from .simd.power cimport power, power_for_float

cdef extern from *:
    """
    /* Only a loop with its own copy of power() becomes vectors. */
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    """


cdef inline double any_power(double a, double exponent, const floating* tag) noexcept nogil:
    if floating is float:
        return power_for_float(a, exponent)
    else:
        return power(a, exponent, 0)


cdef inline double added(double total, double a, double rho, int known, const floating* tag) noexcept nogil:
    # total + a^rho; `known` is rho where it is 1, 2 or 3, else 0, and a constant wherever this is called.
    if known == 1:
        return total + a
    if known == 2:
        return multiply_add(a, a, total)
    if known == 3:
        return multiply_add(a * a, a, total)
    return total + any_power(a, rho, tag)


cdef inline double root(double a, double rho, int known, const floating* tag) noexcept nogil:
    if known == 1:
        return a
    if known == 2:
        return sqrt(a)
    if floating is float:
        return power_for_float(a, 1 / rho)
    else:
        return power(a, 1 / rho, -product_less_double(rho, 1 / rho, 1.0) / rho)


cdef inline double slope(double a, double rho, int known, const floating* tag) noexcept nogil:
    # a^(rho - 1).
    if known == 1:
        return 1
    if known == 2:
        return a
    if known == 3:
        return a * a
    return any_power(a, rho - 1, tag)


cdef inline double members(const Window* g, Py_ssize_t p, Py_ssize_t q, bint normalize) noexcept nogil:
    # |R[p,q]|, or 1 without the mean.
    return <double>((row_end(g, p) - row_begin(g, p)) * (column_end(g, q) - column_begin(g, q))) if normalize else 1


cdef inline double* means_row(const floating* Z, Py_ssize_t p, const Window* g, double rho, bint normalize, int known,
                              double* m) noexcept nogil:
    # Y^rho for one p, behind the first W of the W + Q numbers that m has room for; Z is the image's plane.
    cdef Py_ssize_t h, w, q
    cdef double* means = m + g.W
    cdef double total
    for w in range(columns_used(g)):
        m[w] = 0
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(columns_used(g)):
            m[w] = added(m[w], fabs(Z[h * g.W + w]), rho, known, Z)
    for q in range(g.Q):
        total = 0
        for w in range(column_begin(g, q), column_end(g, q)):
            total += m[w]
        means[q] = total / members(g, p, q, normalize)
    return means


cdef inline void Y_row(const floating* Z, floating* Y, Py_ssize_t p, const Window* g, double rho, bint normalize,
                       int known, double* m) noexcept nogil:
    # P4 for one p.
    cdef const double* means = means_row(Z, p, g, rho, normalize, known, m)
    cdef Py_ssize_t q
    for q in range(g.Q):
        Y[q] = <floating>root(means[q], rho, known, Y)


cdef inline void Y_part(const floating* Z, floating* Y, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                        double rho, bint normalize, double* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of outputs.
    cdef Place at = place_of(begin, g.P)
    cdef const floating* z
    cdef Py_ssize_t i
    for i in range(begin, end):
        z = Z + at.plane * g.H * g.W
        if rho == 1:
            Y_row(z, Y + i * g.Q, at.row, g, rho, normalize, 1, memory)
        elif rho == 2:
            Y_row(z, Y + i * g.Q, at.row, g, rho, normalize, 2, memory)
        elif rho == 3:
            Y_row(z, Y + i * g.Q, at.row, g, rho, normalize, 3, memory)
        else:
            Y_row(z, Y + i * g.Q, at.row, g, rho, normalize, 0, memory)
        next_place(&at, g.P)


cdef inline double term(double delta, double z, double y, double rho, int known, const floating* tag) noexcept nogil:
    # Of P4's gradient: delta sign(z) (|z| / y)^(rho - 1), with sign(0) = 0.
    cdef double d = delta * slope(fabs(z) / y, rho, known, tag)
    return 0 if y == 0 or z == 0 else (d if z > 0 else -d)


cdef inline void dZ_plane(const floating* Delta, const floating* Z, floating* dZ, const Window* g, double rho,
                          bint normalize, int known, double* memory) noexcept nogil:
    # The thread that owns the plane visits its windows in order: one writer per element. Member s of a row's windows in
    # one loop, which becomes vectors; the last s first, so that an element's terms come in the order of q.
    cdef Py_ssize_t p, q, h, s, first, end, at
    cdef double* y
    cdef double* delta = memory + g.W + g.Q
    cdef double* d = delta + g.Q
    memset(dZ, 0, g.H * g.W * sizeof(floating))
    for p in range(g.P):
        y = means_row(Z, p, g, rho, normalize, known, memory)
        for q in range(g.Q):
            y[q] = root(y[q], rho, known, Z)
        for q in range(g.Q):
            delta[q] = Delta[p * g.Q + q] / members(g, p, q, normalize)
        for h in range(row_begin(g, p), row_end(g, p)):
            for s in range(min_of(g.S, g.W + g.p_w) - 1, max_of(0, g.p_w - g.v * (g.Q - 1)) - 1, -1):
                first, end = first_output(g.p_w - s, g.v), end_output(g.W + g.p_w - s, g.v, g.Q)
                at = h * g.W + s - g.p_w
                for q in range(first, end):
                    d[q] = term(delta[q], Z[at + g.v * q], y[q], rho, known, Z)
                for q in range(first, end):
                    dZ[at + g.v * q] += <floating>d[q]


cdef inline void dZ_part(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t begin, Py_ssize_t end,
                         const Window* g, double rho, bint normalize, double* memory) noexcept nogil:
    # The planes begin, ..., end - 1.
    cdef Py_ssize_t plane
    cdef const floating* d
    cdef const floating* z
    cdef floating* to
    for plane in range(begin, end):
        d, z, to = Delta + plane * g.P * g.Q, Z + plane * g.H * g.W, dZ + plane * g.H * g.W
        if rho == 1:
            dZ_plane(d, z, to, g, rho, normalize, 1, memory)
        elif rho == 2:
            dZ_plane(d, z, to, g, rho, normalize, 2, memory)
        elif rho == 3:
            dZ_plane(d, z, to, g, rho, normalize, 3, memory)
        else:
            dZ_plane(d, z, to, g, rho, normalize, 0, memory)


def lp_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w, double rho, bint normalize):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t rows = Y.shape[0] * Y.shape[1] * Y.shape[2], part
    cdef int threads = threads_for(POWER * <double>rows * g.Q * R * S)
    cdef double* memory
    if rows == 0:
        return
    memory = memory_for("lp_pool2d", threads, g.W + g.Q, <double*>NULL)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Y[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g, rho, normalize,
               memory + part * (g.W + g.Q))
    free(memory)


def lp_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                         floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                         Py_ssize_t p_h, Py_ssize_t p_w, double rho, bint normalize):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t planes = dZ.shape[0] * dZ.shape[1], part
    cdef int threads = threads_for(POWER * <double>planes * g.P * g.Q * R * S)
    cdef double* memory
    if planes == 0:
        return
    memory = memory_for("lp_pool2d_grad_input", threads, g.W + 3 * g.Q, <double*>NULL)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dZ[0, 0, 0, 0], planes * part // threads,
                planes * (part + 1) // threads, &g, rho, normalize, memory + part * (g.W + 3 * g.Q))
    free(memory)
