# Sums over each channel of images (N1, N3, S1, S3, A5), in double, in parts that the shapes alone determine: the same
# bits for any number of threads.

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free

from ._threads cimport threads_for
from .runtime.integers cimport ceil_div, max_of, min_of
from .runtime.memory cimport allocate
from .simd.reduce cimport FROM_MEAN, NOT_POSITIVE, NUMBERS, PRODUCTS, SQUARES, sum_runs, term

cdef enum:
    PART = 16384  # members of a channel that one thread sums up, about
    FAR = 65536


cdef struct Cut:
    # How a channel's members are cut into parts: whole images, or pieces of one. Extents of an image alone decide.
    Py_ssize_t N, C, HW
    Py_ssize_t images, pieces, parts


cdef inline Cut cut_of(Py_ssize_t N, Py_ssize_t C, Py_ssize_t HW) noexcept nogil:
    cdef Cut g = Cut(N, C, HW, max_of(1, PART // HW), ceil_div(HW, PART), 0)
    g.parts = ceil_div(N, g.images) * g.pieces
    return g


cdef inline double part_sum(const floating* Delta, const floating* Z, double mean, const Cut* g, Py_ssize_t c,
                            Py_ssize_t part, term kind) noexcept nogil:
    cdef Py_ssize_t n = part // g.pieces * g.images, first = part % g.pieces * PART
    cdef Py_ssize_t at = (n * g.C + c) * g.HW + first
    cdef Py_ssize_t runs = min_of(g.images, g.N - n), length = min_of(g.HW - first, PART), pitch = g.C * g.HW
    # Within a parallel region `kind` is a variable: a loop for each value, or it would be looked at in all of them.
    if kind == NUMBERS:
        return sum_runs(Delta + at, Z + at, mean, runs, length, pitch, NUMBERS)
    if kind == SQUARES:
        return sum_runs(Delta + at, Z + at, mean, runs, length, pitch, SQUARES)
    if kind == PRODUCTS:
        return sum_runs(Delta + at, Z + at, mean, runs, length, pitch, PRODUCTS)
    if kind == FROM_MEAN:
        return sum_runs(Delta + at, Z + at, mean, runs, length, pitch, FROM_MEAN)
    return sum_runs(Delta + at, Z + at, mean, runs, length, pitch, NOT_POSITIVE)


cdef inline void sum_of_parts(const double* parts, Py_ssize_t count, double* total) noexcept nogil:
    cdef Py_ssize_t part
    total[0] = 0
    for part in range(count):
        total[0] += parts[part]


cdef inline int channel_sums(str kernel, const floating* Delta, const floating* Z, const double* mean,
                             double* totals, Py_ssize_t N, Py_ssize_t C, Py_ssize_t HW, term kind) except -1:
    # The sum of each channel's terms, for arrays (N, C, HW) that are not empty; kernel: whose memory it is.
    cdef Cut g = cut_of(N, C, HW)
    cdef Py_ssize_t jobs = g.C * g.parts, i
    cdef double* parts = <double*>allocate(kernel, jobs * sizeof(double))
    cdef int threads = threads_for(<double>g.N * g.C * g.HW)
    for i in prange(jobs, nogil=True, schedule="static", num_threads=threads):
        parts[i] = part_sum(Delta, Z, mean[i // g.parts] if mean != NULL else 0, &g, i // g.parts, i % g.parts, kind)
    for i in range(g.C):
        sum_of_parts(parts + i * g.parts, g.parts, totals + i)
    free(parts)
    return 0


cdef inline bint far(double mean, double var) noexcept nogil:
    # Whether the mean lies so many deviations from 0 that its own rounding shows in the variance.
    return mean * mean > <double>FAR * FAR * var


cdef inline double without_rest(double var, double rest) noexcept nogil:
    # The variance about a rounded mean without what that adds, rest = mean of (Z - the rounded mean): rest^2.
    var -= rest * rest
    return 0 if var < 0 else var  # never NaN's doing
