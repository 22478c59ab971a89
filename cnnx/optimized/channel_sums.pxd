# Sums over each channel of images (N1, N3, S1, S3, A5), in double, in parts that the shapes alone determine: the same
# bits for any number of threads.

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memset

from ._threads cimport threads_for
from .runtime.integers cimport ceil_div, max_of, min_of
from .runtime.memory cimport allocate
from .simd.multiply_add cimport multiply_add
from .simd.reduce cimport FROM_MEAN, NOT_POSITIVE, NUMBERS, PARTIAL, PRODUCTS, SQUARES, STEP, VECTORS, sum_runs, term
from .simd.runs cimport GROUP, sums_of_two, sums_side_by_side

cdef enum:
    SIDE_BY_SIDE = 1024  # partial sums of short runs at a time
    PART = 16384  # members of a channel that one thread sums up, about
    FAR = 65536
    NARROW = 256  # numbers of a channel in an image: more are a stream of their own
    MANY = 64  # parts of all channels, which are enough for any threads if two are taken together


cdef struct Cut:
    # How a channel's members are cut into parts: whole images, or pieces of one. Extents of an image alone decide.
    Py_ssize_t N, C, HW
    Py_ssize_t images, pieces, parts
    Py_ssize_t channels  # whose sums are taken together


cdef inline Py_ssize_t phases_of(Py_ssize_t HW) noexcept nogil:
    # How many runs go to partial sums of their own.
    return PARTIAL if HW == 1 else (2 if HW <= STEP else 1)


cdef inline Cut cut_of(Py_ssize_t N, Py_ssize_t C, Py_ssize_t HW) noexcept nogil:
    cdef Cut g = Cut(N, C, HW, max_of(1, PART // HW), ceil_div(HW, PART), 0, 1)
    g.parts = ceil_div(N, g.images) * g.pieces
    if HW < PARTIAL:
        g.channels = SIDE_BY_SIDE // phases_of(HW) // HW
    elif HW <= NARROW and C > 1:
        g.channels = GROUP
    elif C > 1 and C * g.parts >= MANY and VECTORS <= 4:
        g.channels = 2
    return g


cdef inline Py_ssize_t part_at(const Cut* g, Py_ssize_t c, Py_ssize_t part, Py_ssize_t* runs,
                               Py_ssize_t* length) noexcept nogil:
    # Where a part of a channel begins; how many runs it has, and how long they are.
    cdef Py_ssize_t n = part // g.pieces * g.images, first = part % g.pieces * PART
    runs[0], length[0] = min_of(g.images, g.N - n), min_of(g.HW - first, PART)
    return (n * g.C + c) * g.HW + first


cdef inline double part_sum(const floating* Delta, const floating* Z, double mean, const Cut* g, Py_ssize_t c,
                            Py_ssize_t part, term kind) noexcept nogil:
    # One part of one channel's sum, of more than NARROW numbers in an image.
    cdef Py_ssize_t runs, length, at = part_at(g, c, part, &runs, &length)
    return sum_runs(Delta + at, Z + at, mean, runs, length, g.C * g.HW, kind)


cdef inline void long_runs(const floating* Delta, const floating* Z, const double* mean, double* parts, const Cut* g,
                           Py_ssize_t c, Py_ssize_t part, term kind) noexcept nogil:
    # One part of one channel's sum, or of two.
    cdef Py_ssize_t runs, length, at = part_at(g, c, part, &runs, &length), i
    cdef double total[GROUP]
    cdef double means[2]
    if g.channels == 1 or c + 1 == g.C:
        parts[c * g.parts + part] = part_sum(Delta, Z, mean[c] if mean != NULL else 0, g, c, part, kind)
        return
    for i in range(2):
        means[i] = mean[c + i] if mean != NULL else 0
    sums_of_two(Delta + at, Z + at, means, g.HW, runs, length, g.C * g.HW, total, kind)
    for i in range(2):
        parts[(c + i) * g.parts + part] = total[i]


cdef inline void narrow_runs(const floating* Delta, const floating* Z, const double* mean, double* parts, const Cut* g,
                             Py_ssize_t first, Py_ssize_t part, term kind) noexcept nogil:
    # One part of the sums of up to GROUP channels from `first` on, which lie side by side in an image.
    cdef double total[GROUP]
    cdef double means[GROUP]
    cdef Py_ssize_t n = part * g.images, at = (n * g.C + first) * g.HW, count = min_of(GROUP, g.C - first), i
    for i in range(count):
        means[i] = mean[first + i] if mean != NULL else 0
    sums_side_by_side(Delta + at, Z + at, means, count, min_of(g.images, g.N - n), g.HW, g.C * g.HW, total, kind)
    for i in range(count):
        parts[(first + i) * g.parts + part] = total[i]


# Of runs shorter than sum_runs() has partial sums, term i of run r goes to partial sum (r step + i) % 16 in every
# channel. Channels lie side by side in an image: the same sums are taken in vectors over channels, image by image.


cdef inline void add_numbers(const floating* Delta, const floating* Z, const double* mean, Py_ssize_t width,
                             double* total, term kind) noexcept nogil:
    # The terms of `width` numbers, as added_one() has them.
    cdef Py_ssize_t i
    if kind == NUMBERS:
        for i in range(width):
            total[i] += Z[i]
    elif kind == FROM_MEAN:
        for i in range(width):
            total[i] += Z[i] - mean[i]
    elif kind == SQUARES:
        for i in range(width):
            total[i] = multiply_add(Z[i] - mean[i], Z[i] - mean[i], total[i])
    elif kind == PRODUCTS:
        for i in range(width):
            total[i] = multiply_add(<double>Delta[i], Z[i] - mean[i], total[i])
    else:
        for i in range(width):
            total[i] = multiply_add(<double>Delta[i], <double>(0 if Z[i] > 0 else Z[i]), total[i])


cdef inline void short_runs(const floating* Delta, const floating* Z, const double* mean, double* parts, const Cut* g,
                            Py_ssize_t first, Py_ssize_t part, term kind) noexcept nogil:
    # One part of the sums of up to g.channels channels from `first` on.
    cdef double total[SIDE_BY_SIDE]
    cdef double means[SIDE_BY_SIDE]
    cdef double rest[PARTIAL]
    cdef Py_ssize_t channels = min_of(g.channels, g.C - first), width = channels * g.HW
    cdef Py_ssize_t phases = phases_of(g.HW), n = part * g.images, end = min_of(g.N, n + g.images), at, i, c
    cdef int j, k
    memset(total, 0, phases * width * sizeof(double))
    for c in range(channels):
        for i in range(g.HW):
            means[c * g.HW + i] = mean[first + c] if mean != NULL else 0
    for i in range(end - n):
        at = ((n + i) * g.C + first) * g.HW
        add_numbers(Delta + at, Z + at, means, width, total + i % phases * width, kind)
    # The tree's steps from one phase to another are vectors.
    at = phases // 2 * width
    while at >= width:
        for i in range(at):
            total[i] = total[i] + total[at + i]
        at //= 2
    memset(rest, 0, sizeof(rest))
    for c in range(channels):
        for i in range(g.HW):
            rest[i] = total[c * g.HW + i]
        j = PARTIAL // 2
        while j > 0:
            for k in range(j):
                rest[k] = rest[k] + rest[k + j]
            j //= 2
        parts[(first + c) * g.parts + part] = rest[0]


cdef inline void sum_part(const floating* Delta, const floating* Z, const double* mean, double* parts, const Cut* g,
                          Py_ssize_t first, Py_ssize_t part, term kind) noexcept nogil:
    # Of the channels from `first` on whose sums are taken together.
    if g.HW < PARTIAL:
        short_runs(Delta, Z, mean, parts, g, first, part, kind)
    elif g.channels == GROUP:
        narrow_runs(Delta, Z, mean, parts, g, first, part, kind)
    else:
        long_runs(Delta, Z, mean, parts, g, first, part, kind)


cdef inline void sum_part_of(const floating* Delta, const floating* Z, const double* mean, double* parts, const Cut* g,
                             Py_ssize_t job, term kind) noexcept nogil:
    # Within a parallel region `kind` is a variable: a loop for each value, or it would be looked at in all of them.
    cdef Py_ssize_t first = job // g.parts * g.channels, part = job % g.parts
    if kind == NUMBERS:
        sum_part(Delta, Z, mean, parts, g, first, part, NUMBERS)
    elif kind == SQUARES:
        sum_part(Delta, Z, mean, parts, g, first, part, SQUARES)
    elif kind == PRODUCTS:
        sum_part(Delta, Z, mean, parts, g, first, part, PRODUCTS)
    elif kind == FROM_MEAN:
        sum_part(Delta, Z, mean, parts, g, first, part, FROM_MEAN)
    else:
        sum_part(Delta, Z, mean, parts, g, first, part, NOT_POSITIVE)


cdef inline void sum_of_parts(const double* parts, Py_ssize_t count, double* total) noexcept nogil:
    cdef Py_ssize_t part
    total[0] = 0
    for part in range(count):
        total[0] += parts[part]


cdef inline double channel_sum(const floating* Delta, const floating* Z, double mean, const Cut* g, Py_ssize_t c,
                               term kind) noexcept nogil:
    # One channel's, of more than NARROW numbers in an image, as channel_sums() has it.
    cdef Py_ssize_t part
    cdef double total = 0
    for part in range(g.parts):
        total += part_sum(Delta, Z, mean, g, c, part, kind)
    return total


cdef inline int channel_sums(str kernel, const floating* Delta, const floating* Z, const double* mean,
                             double* totals, Py_ssize_t N, Py_ssize_t C, Py_ssize_t HW, term kind) except -1:
    # The sum of each channel's terms, for arrays (N, C, HW) that are not empty; kernel: whose memory it is.
    cdef Cut g = cut_of(N, C, HW)
    cdef Py_ssize_t i
    cdef double* parts = <double*>allocate(kernel, g.C * g.parts * sizeof(double))
    cdef int threads = threads_for(<double>g.N * g.C * g.HW)
    for i in prange(ceil_div(C, g.channels) * g.parts, nogil=True, schedule="static", num_threads=threads):
        sum_part_of(Delta, Z, mean, parts, &g, i, kind)
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
