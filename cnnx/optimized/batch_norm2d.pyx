"""Batch normalisation: N1-N5 of equations.md. Sums are taken in double, in parts that the shapes alone determine."""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport fabs, sqrt
from libc.stdlib cimport free

from ._threads cimport threads_for
from .conv.grad_bias cimport grad_bias
from .runtime.integers cimport ceil_div, min_of
from .runtime.memory cimport allocate
from .simd.reduce cimport NUMBERS, PRODUCTS, SQUARES, strided_sum, term

cdef enum:
    PART = 16384  # members of a channel that one thread sums up
    CHUNK = 8192  # elements that one thread changes


# ------------------------------------------------------------------------------------------------- sums


cdef inline Py_ssize_t parts_of(Py_ssize_t M) noexcept nogil:
    return ceil_div(M, PART)


cdef double* channel_sums(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const floating* mean,
                          term kind) except NULL:
    # The sum of each channel's terms, and what has to be freed. N > 0.
    cdef Py_ssize_t C = Z.shape[1], HW = Z.shape[2] * Z.shape[3], M = Z.shape[0] * HW, P = parts_of(M), jobs = C * P
    cdef Py_ssize_t i, c, p
    cdef double* totals = <double*>allocate("batch_norm2d", (C + jobs) * sizeof(double))
    cdef double* parts = totals + C
    cdef int threads = threads_for(<double>C * M)
    for i in prange(jobs, nogil=True, schedule="static", num_threads=threads):
        parts[i] = strided_sum(&Delta[0, i // P, 0, 0], &Z[0, i // P, 0, 0], mean[i // P] if mean != NULL else 0,
                               HW, C * HW, i % P * PART, min_of(M, (i % P + 1) * PART), kind)
    for c in range(C):
        totals[c] = 0
        for p in range(P):
            totals[c] += parts[c * P + p]
    return totals


def batch_norm2d_statistics_mean(const floating[:, :, :, ::1] Z, /, floating[::1] mean):
    # N1
    cdef Py_ssize_t c, M = Z.shape[0] * Z.shape[2] * Z.shape[3]
    cdef double* totals = channel_sums(Z, Z, <const floating*>NULL, NUMBERS)
    for c in range(Z.shape[1]):
        mean[c] = <floating>(totals[c] / M)
    free(totals)


def batch_norm2d_statistics_var(const floating[:, :, :, ::1] Z, const floating[::1] mean, /, floating[::1] var):
    # N1
    cdef Py_ssize_t c, M = Z.shape[0] * Z.shape[2] * Z.shape[3]
    cdef double* totals = channel_sums(Z, Z, &mean[0], SQUARES)
    for c in range(Z.shape[1]):
        var[c] = <floating>(totals[c] / M)
    free(totals)


def batch_norm2d_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[::1] db):
    # N3
    grad_bias("batch_norm2d_grad_bias", Delta, db)


def batch_norm2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                             const floating[::1] mean, const floating[::1] var, /, floating[::1] dg, *, double eps):
    cdef Py_ssize_t c
    # N3: the root is a factor of every term, so that the sum is divided by it.
    cdef double* totals = channel_sums(Delta, Z, &mean[0], PRODUCTS)
    for c in range(Z.shape[1]):
        dg[c] = <floating>(totals[c] / sqrt(var[c] + eps))
    free(totals)


# ------------------------------------------------------------------------------------- element by element

cdef struct Line:
    # What happens to a channel's elements, by one of the rules below; narrow: whether a float can hold its numbers.
    double a
    double b
    double k
    double mean
    bint narrow


cdef enum rule:
    NORMALISE  # a (Z - mean) + b
    GRADIENT  # a (Delta - b - k (Z - mean))
    SCALE  # a Delta


ctypedef fused precision:
    float
    double


cdef inline bint fits(double x) noexcept nogil:
    # Whether x keeps its precision as a float, with room for products; false for NaN.
    return x == 0 or 1e-30 < fabs(x) < 1e30


cdef inline void run_in(const floating* Delta, const floating* Z, const Line* line, floating* Y, Py_ssize_t length,
                        rule kind, precision* unused) noexcept nogil:
    cdef Py_ssize_t i
    cdef precision a = <precision>line.a, b = <precision>line.b, k = <precision>line.k, mean = <precision>line.mean
    if kind == NORMALISE:
        for i in range(length):
            Y[i] = <floating>(a * (Z[i] - mean) + b)
    elif kind == GRADIENT:
        for i in range(length):
            Y[i] = <floating>(a * (Delta[i] - b - k * (Z[i] - mean)))
    else:
        for i in range(length):
            Y[i] = <floating>(a * Delta[i])


cdef inline Line line_of(double a, double b, double k, double mean) noexcept nogil:
    return Line(a=a, b=b, k=k, mean=mean, narrow=fits(a) and fits(b) and fits(k) and fits(mean))


cdef inline void run(const floating* Delta, const floating* Z, const Line* line, floating* Y, Py_ssize_t length,
                     rule kind) noexcept nogil:
    # In the arrays' own precision, but for factors that it cannot hold (a gain of 1e30, an eps of 1e-100).
    if floating is double or line.narrow:
        run_in(Delta, Z, line, Y, length, kind, <floating*>NULL)
    else:
        run_in(Delta, Z, line, Y, length, kind, <double*>NULL)


cdef inline void chunk(const floating* Delta, const floating* Z, const Line* lines, floating* Y, Py_ssize_t C,
                       Py_ssize_t HW, Py_ssize_t first, Py_ssize_t end, rule kind) noexcept nogil:
    # The elements first..end-1 of all.
    cdef Py_ssize_t c = first // HW % C, stop = min_of(end, first // HW * HW + HW)
    while first < end:
        run(Delta + first, Z + first, lines + c, Y + first, stop - first, kind)
        first = stop
        stop = min_of(end, stop + HW)
        c = c + 1 if c + 1 < C else 0


cdef void elements(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const Line* lines,
                   floating[:, :, :, ::1] Y, rule kind) noexcept:
    cdef Py_ssize_t i, C = Y.shape[1], HW = Y.shape[2] * Y.shape[3], count = Y.shape[0] * C * HW
    cdef int threads = threads_for(<double>count)
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        chunk(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], lines, &Y[0, 0, 0, 0], C, HW, i * CHUNK,
              min_of(count, (i + 1) * CHUNK), kind)


def batch_norm2d(const floating[:, :, :, ::1] Z, const floating[::1] g, const floating[::1] b,
                 const floating[::1] mean, const floating[::1] var, /, floating[:, :, :, ::1] Y, *, double eps):
    cdef Line* lines = <Line*>allocate("batch_norm2d", g.shape[0] * sizeof(Line))
    cdef Py_ssize_t c
    for c in range(g.shape[0]):
        lines[c] = line_of(g[c] / sqrt(var[c] + eps), b[c], 0, mean[c])
    # N2
    elements(Z, Z, lines, Y, NORMALISE)
    free(lines)


def batch_norm2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                            const floating[::1] g, const floating[::1] mean, const floating[::1] var,
                            const floating[::1] dg, const floating[::1] db, /, floating[:, :, :, ::1] dZ, *,
                            double eps):
    cdef Line* lines = <Line*>allocate("batch_norm2d", g.shape[0] * sizeof(Line))
    cdef Py_ssize_t c
    cdef double deviation, M = <double>(Z.shape[0] * Z.shape[2] * Z.shape[3])
    for c in range(g.shape[0]):
        deviation = sqrt(var[c] + eps)
        lines[c] = line_of(g[c] / deviation, db[c] / M, dg[c] / M / deviation, mean[c])
    # N4
    elements(Delta, Z, lines, dZ, GRADIENT)
    free(lines)


def batch_norm2d_grad_input_inference(const floating[:, :, :, ::1] Delta, const floating[::1] g,
                                      const floating[::1] var, /, floating[:, :, :, ::1] dZ, *, double eps):
    cdef Line* lines = <Line*>allocate("batch_norm2d", g.shape[0] * sizeof(Line))
    cdef Py_ssize_t c
    for c in range(g.shape[0]):
        lines[c] = line_of(g[c] / sqrt(var[c] + eps), 0, 0, 0)
    # N5
    elements(Delta, Delta, lines, dZ, SCALE)
    free(lines)
