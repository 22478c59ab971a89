# Batch normalisation's passes over elements (N2, N4, N5): each channel's by a line of its own.

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport fabs
from libc.stdlib cimport free

from ._threads cimport threads_for
from .runtime.integers cimport ceil_div, min_of, times
from .runtime.memory cimport SCRATCH, allocate
from .simd.multiply_add cimport multiply_add
from .simd.prefetch cimport prefetch_span

cdef enum:
    CHUNK = 8192  # elements that one thread changes
    SHORT = 16  # numbers of a channel in an image that are few
    FACTORS = 5
    COLUMNS = 512  # numbers of an image whose factors lie in the first cache
    IMAGES = 16  # that one thread changes


cdef struct Line:
    # What happens to a channel's elements, by one of the rules below; narrow: floats hold the numbers, in two parts
    # where they need it, so that a mean in double costs floats nothing: for any float Z, mean - the nearest float is
    # no larger than Z - mean.
    double a
    double b
    double k
    double mean
    double low  # NORMALISE: what is left of the mean. GRADIENT: what is left of all, a summand
    bint narrow


cdef enum rule:
    NORMALISE  # a (Z - mean - low) + b
    GRADIENT  # a (Delta - b - k (Z - mean)) + low
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
    cdef precision low = <precision>line.low
    if kind == NORMALISE:
        if precision is double:
            for i in range(length):
                Y[i] = <floating>multiply_add(a, Z[i] - mean, b)
        else:
            for i in range(length):
                Y[i] = <floating>multiply_add(a, Z[i] - mean - low, b)
    elif kind == GRADIENT:
        if precision is double:
            for i in range(length):
                Y[i] = <floating>(a * multiply_add(-k, Z[i] - mean, Delta[i] - b))
        else:
            for i in range(length):
                Y[i] = <floating>multiply_add(a, multiply_add(-k, Z[i] - mean, Delta[i] - b), low)
    else:
        for i in range(length):
            Y[i] = <floating>(a * Delta[i])


cdef inline Line line_of(double a, double b, double k, double mean, rule kind, const floating* tag) noexcept nogil:
    # Of NORMALISE b is a float.
    cdef Line line = Line(a, b, k, mean, 0, False)
    cdef double low = mean - <float>mean, low_b = b - <float>b
    if floating is float and fits(a) and fits(b) and fits(k) and fits(mean):
        line.narrow = True
        line.mean = <float>mean
        line.low = low
        if kind == GRADIENT:
            line.b = <float>b
            line.low = a * (k * low - low_b)
            if not fabs(line.low) < 1e30:
                line = Line(a, b, k, mean, 0, False)
    return line


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


# Channels with few numbers in an image have a line for each of its numbers: an image is then a row of them.


cdef inline bint in_rows(const Line* lines, Py_ssize_t N, Py_ssize_t C, Py_ssize_t HW, const floating* tag) noexcept:
    # Whether that is worth it, and takes less memory than the images do and a thread may have; no line of floats that
    # needs doubles.
    cdef Py_ssize_t c
    if HW > SHORT or N < 2 * FACTORS or times(C * HW, FACTORS * sizeof(floating)) > SCRATCH:
        return False
    for c in range(C):
        if floating is float and not lines[c].narrow:
            return False
    return True


cdef inline void rows_in(const floating* Delta, const floating* Z, const floating* factors, floating* Y,
                         Py_ssize_t length, Py_ssize_t width, rule kind) noexcept nogil:
    # Some of an image, as run_in() has its numbers. factors: of each number a, then b, k, mean and low, `width` apart.
    cdef const floating* a = factors
    cdef const floating* b = factors + width
    cdef const floating* k = factors + 2 * width
    cdef const floating* mean = factors + 3 * width
    cdef const floating* low = factors + 4 * width
    cdef Py_ssize_t i
    if kind == NORMALISE:
        if floating is double:
            for i in range(length):
                Y[i] = multiply_add(a[i], Z[i] - mean[i], b[i])
        else:
            for i in range(length):
                Y[i] = multiply_add(a[i], Z[i] - mean[i] - low[i], b[i])
    elif kind == GRADIENT:
        if floating is double:
            for i in range(length):
                Y[i] = a[i] * multiply_add(-k[i], Z[i] - mean[i], Delta[i] - b[i])
        else:
            for i in range(length):
                Y[i] = multiply_add(a[i], multiply_add(-k[i], Z[i] - mean[i], Delta[i] - b[i]), low[i])
    else:
        for i in range(length):
            Y[i] = a[i] * Delta[i]


cdef inline void rows_of(const floating* Delta, const floating* Z, const floating* factors, floating* Y,
                         Py_ssize_t count, Py_ssize_t width, rule kind) noexcept nogil:
    # Of `count` images, as many numbers of each as there are factors in the first cache.
    cdef Py_ssize_t first = 0, n, at, length
    while first < width:
        length = min_of(COLUMNS, width - first)
        for n in range(count):
            at = n * width + first
            if length < width and n + 1 < count:  # no stream that a processor fetches by itself
                prefetch_span(Delta + at + width, length * sizeof(floating), NULL)
                if kind == GRADIENT:
                    prefetch_span(Z + at + width, length * sizeof(floating), NULL)
            rows_in(Delta + at, Z + at, factors + first, Y + at, length, width, kind)
        first += length


cdef inline int element_rows(const floating* Delta, const floating* Z, const Line* lines, floating* Y, Py_ssize_t N,
                             Py_ssize_t C, Py_ssize_t HW, rule kind) except -1:
    cdef Py_ssize_t n, c, i, width = C * HW
    cdef floating* factors = <floating*>allocate("batch_norm2d", FACTORS * width * sizeof(floating))
    cdef int threads = threads_for(<double>N * width)
    for c in range(C):
        for i in range(c * HW, (c + 1) * HW):
            factors[i] = <floating>lines[c].a
            factors[width + i] = <floating>lines[c].b
            factors[2 * width + i] = <floating>lines[c].k
            factors[3 * width + i] = <floating>lines[c].mean
            factors[4 * width + i] = <floating>lines[c].low
    for i in prange(ceil_div(N, IMAGES), nogil=True, schedule="static", num_threads=threads):
        n = i * IMAGES
        if kind == NORMALISE:
            rows_of(Delta + n * width, Z + n * width, factors, Y + n * width, min_of(IMAGES, N - n), width, NORMALISE)
        elif kind == GRADIENT:
            rows_of(Delta + n * width, Z + n * width, factors, Y + n * width, min_of(IMAGES, N - n), width, GRADIENT)
        else:
            rows_of(Delta + n * width, Z + n * width, factors, Y + n * width, min_of(IMAGES, N - n), width, SCALE)
    free(factors)
    return 0


cdef inline int elements(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const Line* lines,
                         floating[:, :, :, ::1] Y, rule kind) except -1:
    cdef Py_ssize_t i, C = Y.shape[1], HW = Y.shape[2] * Y.shape[3], count = Y.shape[0] * C * HW
    cdef int threads = threads_for(<double>count)
    if count == 0:
        return 0
    if in_rows(lines, Y.shape[0], C, HW, &Y[0, 0, 0, 0]):
        return element_rows(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], lines, &Y[0, 0, 0, 0], Y.shape[0], C, HW, kind)
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        chunk(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], lines, &Y[0, 0, 0, 0], C, HW, i * CHUNK,
              min_of(count, (i + 1) * CHUNK), kind)
    return 0
