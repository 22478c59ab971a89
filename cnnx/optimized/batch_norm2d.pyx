"""Batch normalisation: N1-N5 of equations.md. Sums are taken in double, in parts that the shapes alone determine.

The mean, the variance and the sums db and dg go from kernel to kernel as doubles: numbers far from 0 lose themselves in
a float's mean.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.stdlib cimport free

from ._threads cimport MEMORY, threads_for
from .batch_norm2d_elements cimport GRADIENT, NORMALISE, SCALE, Line, elements, line_of, run
from .channel_sums cimport NARROW, Cut, channel_sum, channel_sums, cut_of, far, without_rest
from .runtime.integers cimport min_of
from .runtime.memory cimport allocate
from .simd.reduce cimport FROM_MEAN, NUMBERS, PRODUCTS, SQUARES, term

cdef enum:
    WAY = 131072  # bytes of the second cache that have places of their own, about
    WAYS = 8


# ------------------------------------------------------------------------------------------------- sums


cdef int sums_of(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const double* mean,
                 double* totals, term kind) except -1:
    cdef Py_ssize_t c
    if Z.shape[0] == 0:
        for c in range(Z.shape[1]):
            totals[c] = 0
        return 0
    return channel_sums("batch_norm2d", &Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], mean, totals, Z.shape[0], Z.shape[1],
                        Z.shape[2] * Z.shape[3], kind)


cdef int means(const floating[:, :, :, ::1] Z, double* mean) except -1:
    cdef Py_ssize_t c, M = Z.shape[0] * Z.shape[2] * Z.shape[3]
    sums_of(Z, Z, <const double*>NULL, mean, NUMBERS)
    for c in range(Z.shape[1]):
        mean[c] /= M
    return 0


cdef int variances(const floating[:, :, :, ::1] Z, const double* mean, double* var) except -1:
    # The corrected two-pass algorithm: what a rounded mean adds is (true mean - mean)^2.
    cdef Py_ssize_t c, C = Z.shape[1], M = Z.shape[0] * Z.shape[2] * Z.shape[3]
    cdef bint any_far = False
    cdef double* moved
    sums_of(Z, Z, mean, var, SQUARES)
    for c in range(C):
        var[c] /= M
        any_far = any_far or far(mean[c], var[c])
    if not any_far:
        return 0
    moved = <double*>allocate("batch_norm2d", C * sizeof(double))
    sums_of(Z, Z, mean, moved, FROM_MEAN)
    for c in range(C):
        if far(mean[c], var[c]):
            var[c] = without_rest(var[c], moved[c] / M)
    free(moved)
    return 0


cdef int gains(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const double* mean,
               const double* var, double* dg, double eps) except -1:
    # The root is a factor of every term, so that the sum is divided by it.
    cdef Py_ssize_t c
    sums_of(Delta, Z, mean, dg, PRODUCTS)
    for c in range(Z.shape[1]):
        dg[c] /= sqrt(var[c] + eps)
    return 0


def batch_norm2d_statistics_mean(const floating[:, :, :, ::1] Z, /, double[::1] mean):
    # N1
    means(Z, &mean[0])


def batch_norm2d_statistics_var(const floating[:, :, :, ::1] Z, const double[::1] mean, /, double[::1] var):
    # N1
    variances(Z, &mean[0], &var[0])


def batch_norm2d_grad_bias(const floating[:, :, :, ::1] Delta, /, double[::1] db):
    # N3
    sums_of(Delta, Delta, <const double*>NULL, &db[0], NUMBERS)


def batch_norm2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                             const double[::1] mean, const double[::1] var, /, double[::1] dg, *, double eps):
    # N3
    gains(Delta, Z, &mean[0], &var[0], &dg[0], eps)


# ------------------------------------------------------------------------------------- element by element


cdef inline Line gradient_line(floating g, double mean, double var, double dg, double db, double M,
                               double eps) noexcept nogil:
    # N4 of a channel.
    cdef double deviation = sqrt(var + eps)
    return line_of(g / deviation, db / M, dg / M / deviation, mean, GRADIENT, &g)


def batch_norm2d(const floating[:, :, :, ::1] Z, const floating[::1] g, const floating[::1] b,
                 const double[::1] mean, const double[::1] var, /, floating[:, :, :, ::1] Y, *, double eps):
    cdef Line* lines = <Line*>allocate("batch_norm2d", g.shape[0] * sizeof(Line))
    cdef Py_ssize_t c
    for c in range(g.shape[0]):
        lines[c] = line_of(g[c] / sqrt(var[c] + eps), b[c], 0, mean[c], NORMALISE, &g[0])
    # N2
    try:
        elements(Z, Z, lines, Y, NORMALISE)
    finally:
        free(lines)


cdef int inputs(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const floating* g,
                const double* mean, const double* var, const double* dg, const double* db,
                floating[:, :, :, ::1] dZ, double eps) except -1:
    cdef Line* lines = <Line*>allocate("batch_norm2d", Z.shape[1] * sizeof(Line))
    cdef Py_ssize_t c
    cdef double M = <double>(Z.shape[0] * Z.shape[2] * Z.shape[3])
    for c in range(Z.shape[1]):
        lines[c] = gradient_line(g[c], mean[c], var[c], dg[c], db[c], M, eps)
    try:
        elements(Delta, Z, lines, dZ, GRADIENT)
    finally:
        free(lines)
    return 0


def batch_norm2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                            const floating[::1] g, const double[::1] mean, const double[::1] var,
                            const double[::1] dg, const double[::1] db, /, floating[:, :, :, ::1] dZ, *,
                            double eps):
    # N4
    inputs(Delta, Z, &g[0], &mean[0], &var[0], &dg[0], &db[0], dZ, eps)


def batch_norm2d_grad_input_inference(const floating[:, :, :, ::1] Delta, const floating[::1] g,
                                      const double[::1] var, /, floating[:, :, :, ::1] dZ, *, double eps):
    cdef Line* lines = <Line*>allocate("batch_norm2d", g.shape[0] * sizeof(Line))
    cdef Py_ssize_t c
    for c in range(g.shape[0]):
        lines[c] = line_of(g[c] / sqrt(var[c] + eps), 0, 0, 0, SCALE, &g[0])
    # N5
    try:
        elements(Delta, Delta, lines, dZ, SCALE)
    finally:
        free(lines)


# ----------------------------------------------------------------------------------------- several in one go

# No kernels: what those above do one after the other, with their bits. A channel is read from memory once, and again
# from the second cache where that holds its numbers in all images; where they are few, a call less counts.


cdef inline bint by_channels(const Py_ssize_t* shape, Py_ssize_t size, int arrays, int threads) noexcept nogil:
    # size: of a number. Planes a power of two apart share few of the cache's places.
    cdef Py_ssize_t HW = shape[2] * shape[3], plane = HW * size, stride = shape[1] * plane, apart, places
    cdef bint busy = threads == 1 or shape[1] >= 4 * threads  # all of them, to the end
    if not busy or shape[0] == 0 or HW <= NARROW or plane > WAY:
        return False
    apart = min_of(stride & -stride, WAY)
    places = WAY // apart * min_of(plane, apart)
    return shape[0] <= WAYS * places // plane // arrays


cdef inline void channel_statistics(const floating* Z, const Cut* cut, Py_ssize_t c, double* mean,
                                    double* var) noexcept nogil:
    cdef double M = <double>(cut.N * cut.HW)
    mean[c] = channel_sum(Z, Z, 0, cut, c, NUMBERS) / M
    var[c] = channel_sum(Z, Z, mean[c], cut, c, SQUARES) / M
    if far(mean[c], var[c]):
        var[c] = without_rest(var[c], channel_sum(Z, Z, mean[c], cut, c, FROM_MEAN) / M)


cdef inline void channel_gradients(const floating* Delta, const floating* Z, const floating* g, const double* mean,
                                   const double* var, const Cut* cut, Py_ssize_t c, double eps, double* dg,
                                   double* db, floating* dZ) noexcept nogil:
    cdef Py_ssize_t n, at
    cdef Line line
    db[c] = channel_sum(Delta, Delta, 0, cut, c, NUMBERS)
    dg[c] = channel_sum(Delta, Z, mean[c], cut, c, PRODUCTS) / sqrt(var[c] + eps)
    line = gradient_line(g[c], mean[c], var[c], dg[c], db[c], <double>(cut.N * cut.HW), eps)
    for n in range(cut.N):
        at = (n * cut.C + c) * cut.HW
        run(Delta + at, Z + at, &line, dZ + at, cut.HW, GRADIENT)


def _statistics(const floating[:, :, :, ::1] Z, /, double[::1] mean, double[::1] var):
    """N1: both."""
    cdef Py_ssize_t c, C = Z.shape[1]
    cdef int threads = threads_for(<double>2 * Z.shape[0] * C * Z.shape[2] * Z.shape[3])
    cdef Cut cut
    if not by_channels(Z.shape, sizeof(floating), 1, threads):
        means(Z, &mean[0])
        variances(Z, &mean[0], &var[0])
        return
    cut = cut_of(Z.shape[0], C, Z.shape[2] * Z.shape[3])
    for c in prange(C, nogil=True, schedule="static", num_threads=threads):
        channel_statistics(&Z[0, 0, 0, 0], &cut, c, &mean[0], &var[0])


def _gradients(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const floating[::1] g,
               const double[::1] mean, const double[::1] var, /, double[::1] dg, double[::1] db,
               floating[:, :, :, ::1] dZ, *, double eps):
    """N3, N4: all three."""
    cdef Py_ssize_t c, C = Z.shape[1]
    cdef int threads = threads_for(<double>MEMORY * Z.shape[0] * C * Z.shape[2] * Z.shape[3])
    cdef Cut cut
    if not by_channels(Z.shape, sizeof(floating), 2, threads):
        sums_of(Delta, Delta, <const double*>NULL, &db[0], NUMBERS)
        gains(Delta, Z, &mean[0], &var[0], &dg[0], eps)
        inputs(Delta, Z, &g[0], &mean[0], &var[0], &dg[0], &db[0], dZ, eps)
        return
    cut = cut_of(Z.shape[0], C, Z.shape[2] * Z.shape[3])
    for c in prange(C, nogil=True, schedule="static", num_threads=threads):
        channel_gradients(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &g[0], &mean[0], &var[0], &cut, c, eps, &dg[0], &db[0],
                          &dZ[0, 0, 0, 0])
