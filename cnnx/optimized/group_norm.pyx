"""Group, instance and layer normalisation: S1-S4 of equations.md. Statistics and sums are taken in double, in an order
that an example's shape alone determines; from kernel to kernel they go as doubles.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport fabs
from libc.stdlib cimport free

from ._threads cimport MEMORY, threads_for
from .channel_sums cimport PART, channel_sums, far, without_rest
from .group_norm_sums cimport (
    FEW, Sizes, Tasks, channel_terms, factor_of, sizes_of, statistics_of, statistics_of_many, task, tasks_of,
    unit_terms,
)
from .runtime.integers cimport ceil_div, min_of, times
from .runtime.memory cimport SCRATCH, allocate
from .simd.multiply_add cimport multiply_add
from .simd.reduce cimport FROM_MEAN, NUMBERS, SQUARES
from .simd.runs cimport GROUP

cdef enum:
    CHUNK = 8192  # elements that one thread changes
    SHORT = 16  # places: fewer are less than a vector


# ------------------------------------------------------------------------------------------------- sums


def group_norm_statistics(const floating[:, :, :, ::1] Z, /, double[:, ::1] mean, double[:, ::1] var):
    # S1. The corrected two-pass algorithm, as in batch_norm2d.pyx.
    cdef Sizes g = sizes_of(Z.shape)
    cdef Py_ssize_t i, sets = g.N * g.S, together = GROUP if g.M <= FEW else 1
    cdef int threads = threads_for(<double>2 * sets * g.M)
    cdef double* moved
    if sets == 0:
        return
    if g.M <= PART:
        for i in prange(ceil_div(sets, together), nogil=True, schedule="static", num_threads=threads):
            statistics_of(&Z[0, 0, 0, 0] + i * together * g.M, min_of(together, sets - i * together), g.M,
                          &mean[0, 0] + i * together, &var[0, 0] + i * together)
        return
    if sets >= threads:  # set by set: more of it is in a cache when it is read again
        for i in prange(sets, nogil=True, schedule="static", num_threads=threads):
            statistics_of_many(&Z[0, 0, 0, 0] + i * g.M, g.M, &mean[0, 0] + i, &var[0, 0] + i)
        return
    channel_sums("group_norm", &Z[0, 0, 0, 0], &Z[0, 0, 0, 0], <double*>NULL, &mean[0, 0], 1, sets, g.M, NUMBERS)
    for i in range(sets):
        (&mean[0, 0])[i] /= g.M
    channel_sums("group_norm", &Z[0, 0, 0, 0], &Z[0, 0, 0, 0], &mean[0, 0], &var[0, 0], 1, sets, g.M, SQUARES)
    moved = <double*>allocate("group_norm", sets * sizeof(double))
    channel_sums("group_norm", &Z[0, 0, 0, 0], &Z[0, 0, 0, 0], &mean[0, 0], moved, 1, sets, g.M, FROM_MEAN)
    for i in range(sets):
        (&var[0, 0])[i] /= g.M
        if far((&mean[0, 0])[i], (&var[0, 0])[i]):
            (&var[0, 0])[i] = without_rest((&var[0, 0])[i], moved[i] / g.M)
    free(moved)


cdef int over_examples(const floating* Delta, const floating* Z, const double* mean, const double* var, double eps,
                       const Sizes* g, floating* out, bint weight) except -1:
    # S3: sums of parts, added up in their order.
    cdef Tasks t = tasks_of(g)
    cdef Py_ssize_t i, part
    cdef int threads = threads_for(<double>MEMORY * g.N * g.C * g.P)
    cdef double total
    cdef double* totals = <double*>allocate("group_norm", t.parts * g.C * sizeof(double))
    for i in prange(t.count, nogil=True, schedule="static", num_threads=threads):
        task(Delta, Z, mean, var, eps, g, &t, i, weight, totals)
    for i in range(g.C):
        total = 0
        for part in range(t.parts):
            total += totals[part * g.C + i]
        out[i] = <floating>total
    free(totals)
    return 0


def group_norm_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[:, ::1] db):
    # S3
    cdef Sizes g = sizes_of(Delta.shape)
    cdef Py_ssize_t i
    cdef double* totals
    if g.N == 0:
        db[:, :] = 0
    elif g.P == 1:
        over_examples(&Delta[0, 0, 0, 0], &Delta[0, 0, 0, 0], NULL, NULL, 0, &g, &db[0, 0], False)
    else:
        totals = <double*>allocate("group_norm", g.C * sizeof(double))
        channel_sums("group_norm", &Delta[0, 0, 0, 0], &Delta[0, 0, 0, 0], <double*>NULL, totals, g.N, g.C, g.P,
                     NUMBERS)
        for i in range(g.C):
            (&db[0, 0])[i] = <floating>totals[i]
        free(totals)


def group_norm_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                           const double[:, ::1] mean, const double[:, ::1] var, /, floating[:, ::1] dg, *,
                           double eps):
    # S3
    cdef Sizes g = sizes_of(Z.shape)
    if g.N == 0:
        dg[:, :] = 0
    else:
        over_examples(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &mean[0, 0], &var[0, 0], eps, &g, &dg[0, 0], True)


def group_norm_grad_sums(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                         const floating[:, ::1] g, const double[:, ::1] mean, const double[:, ::1] var, /,
                         double[:, ::1] e, double[:, ::1] f, *, double eps):
    # S4: the root is a factor of every term of f. Of many places each channel's sums are taken by themselves.
    cdef Sizes s = sizes_of(Z.shape)
    cdef Py_ssize_t i, d, sets = s.N * s.S, runs = s.N * s.C
    cdef int threads = threads_for(<double>2 * MEMORY * sets * s.M)
    cdef double* terms
    if sets == 0:
        return
    if s.P == 1:
        for i in prange(sets, nogil=True, schedule="static", num_threads=threads):
            unit_terms(&Delta[0, 0, 0, 0] + i * s.D, &Z[0, 0, 0, 0] + i * s.D, &g[0, 0] + i % s.S * s.D,
                       (&mean[0, 0])[i], s.D, &e[0, 0] + i, &f[0, 0] + i)
    else:
        terms = <double*>allocate("group_norm", 2 * runs * sizeof(double))
        for i in prange(ceil_div(runs, GROUP), nogil=True, schedule="static", num_threads=threads):
            channel_terms(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &mean[0, 0], &s, i * GROUP,
                          min_of(GROUP, runs - i * GROUP), terms)
        for i in range(sets):
            (&e[0, 0])[i] = 0
            (&f[0, 0])[i] = 0
            for d in range(s.D):
                (&e[0, 0])[i] += (&g[0, 0])[i % s.S * s.D + d] * terms[2 * (i * s.D + d)]
                (&f[0, 0])[i] += (&g[0, 0])[i % s.S * s.D + d] * terms[2 * (i * s.D + d) + 1]
        free(terms)
    for i in range(sets):
        (&f[0, 0])[i] *= factor_of((&var[0, 0])[i], eps)


# ------------------------------------------------------------------------------------- element by element

cdef struct Line:
    # What happens to a set's elements; narrow: floats hold the numbers, the mean in two parts (see batch_norm2d.pyx).
    #   NORMALISE  g (factor (Z - mean - low)) + b
    #   GRADIENT   factor (g Delta - shift - slope (Z - mean))
    double mean
    double low
    double factor
    double shift
    double slope
    bint narrow


ctypedef fused precision:
    float
    double


cdef inline bint fits(double x) noexcept nogil:
    # Whether x keeps its precision as a float, with room for products; false for NaN.
    return x == 0 or 1e-30 < fabs(x) < 1e30


cdef inline Line line_of(double mean, double factor, double shift, double slope, const floating* tag) noexcept nogil:
    cdef Line line = Line(mean, 0, factor, shift, slope, False)
    cdef double low = mean - <float>mean
    if floating is float and fits(mean) and fits(factor) and fits(slope) and fits(shift - slope * low):
        line = Line(<float>mean, low, factor, shift - slope * low, slope, True)
    return line


cdef inline void normalise(const floating* Z, const floating* g, const floating* b, const Line* line, floating* Y,
                           Py_ssize_t length, bint units, precision* unused) noexcept nogil:
    # units: each element has a gain and a bias of its own.
    cdef Py_ssize_t i
    cdef precision mean = <precision>line.mean, low = <precision>line.low, factor = <precision>line.factor
    cdef precision gain = g[0], bias = b[0]
    if units:
        for i in range(length):
            Y[i] = <floating>multiply_add((Z[i] - mean - low) * factor, <precision>g[i], <precision>b[i])
    else:
        for i in range(length):
            Y[i] = <floating>multiply_add((Z[i] - mean - low) * factor, gain, bias)


cdef inline void gradient(const floating* Delta, const floating* Z, const floating* g, const Line* line, floating* dZ,
                          Py_ssize_t length, bint units, precision* unused) noexcept nogil:
    cdef Py_ssize_t i
    cdef precision mean = <precision>line.mean, factor = <precision>line.factor
    cdef precision shift = <precision>line.shift, slope = <precision>line.slope, gain = g[0]
    if units:
        for i in range(length):
            dZ[i] = <floating>(factor * multiply_add(
                -slope, Z[i] - mean, multiply_add(<precision>g[i], <precision>Delta[i], -shift)
            ))
    else:
        for i in range(length):
            dZ[i] = <floating>(factor * multiply_add(
                -slope, Z[i] - mean, multiply_add(gain, <precision>Delta[i], -shift)
            ))


cdef inline void run(const floating* Delta, const floating* Z, const floating* g, const floating* b, const Line* line,
                     floating* Y, Py_ssize_t length, bint units, bint backward) noexcept nogil:
    # In the arrays' own precision, but for factors that it cannot hold (an eps of 1e-100).
    if floating is double or line.narrow:
        if backward:
            gradient(Delta, Z, g, line, Y, length, units, <floating*>NULL)
        else:
            normalise(Z, g, b, line, Y, length, units, <floating*>NULL)
    elif backward:
        gradient(Delta, Z, g, line, Y, length, units, <double*>NULL)
    else:
        normalise(Z, g, b, line, Y, length, units, <double*>NULL)


cdef inline void chunk(const floating* Delta, const floating* Z, const floating* g, const floating* b,
                       const double* mean, const double* var, const double* e, const double* f, floating* Y,
                       const Sizes* s, double eps, Py_ssize_t first, Py_ssize_t end, bint backward) noexcept nogil:
    # The elements first..end-1 of all. b: of the way back it is g.
    cdef Py_ssize_t row, at, c, stop, length
    cdef double factor, shift = 0, slope = 0
    cdef Line line
    while first < end:
        row = first // s.M
        at = first - row * s.M
        c = row % s.S * s.D
        stop = min_of(end, (row + 1) * s.M)
        factor = factor_of(var[row], eps)
        if backward:
            shift = e[row] / s.M
            slope = f[row] / s.M * factor
        line = line_of(mean[row], factor, shift, slope, Z)
        if s.P == 1:
            run(Delta + first, Z + first, g + c + at, b + c + at, &line, Y + first, stop - first, True, backward)
            first = stop
        c += at // s.P
        length = s.P - at % s.P
        while first < stop:
            length = min_of(length, stop - first)
            run(Delta + first, Z + first, g + c, b + c, &line, Y + first, length, False, backward)
            first += length
            length = s.P
            c += 1


cdef void all_elements(const floating* Delta, const floating* Z, const floating* g, const floating* b,
                       const double* mean, const double* var, const double* e, const double* f, floating* Y,
                       const Sizes* s, double eps, bint backward) noexcept:
    cdef Py_ssize_t i, count = s.N * s.C * s.P
    cdef int threads = threads_for(<double>MEMORY * count)
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        chunk(Delta, Z, g, b, mean, var, e, f, Y, s, eps, i * CHUNK, min_of(count, (i + 1) * CHUNK), backward)


cdef int elements(const floating* Delta, const floating* Z, const floating* g, const floating* b, const double* mean,
                  const double* var, const double* e, const double* f, floating* Y, const Sizes* s, double eps,
                  bint backward) except -1:
    # Of few places each element gets its channel's gain and bias by itself: a set is then one run of units.
    cdef Py_ssize_t i, units = s.C * s.P
    cdef Sizes of_units = Sizes(s.N, s.S, s.M, 1, units, s.M)
    cdef floating* gains
    if s.P == 1 or s.P >= SHORT or s.N == 1 or times(units, 2 * sizeof(floating)) > SCRATCH:
        all_elements(Delta, Z, g, b, mean, var, e, f, Y, s, eps, backward)
        return 0
    gains = <floating*>allocate("group_norm", 2 * units * sizeof(floating))
    for i in range(units):
        gains[i] = g[i // s.P]
        gains[units + i] = b[i // s.P]
    all_elements(Delta, Z, gains, gains + units, mean, var, e, f, Y, &of_units, eps, backward)
    free(gains)
    return 0


def group_norm(const floating[:, :, :, ::1] Z, const floating[:, ::1] g, const floating[:, ::1] b,
               const double[:, ::1] mean, const double[:, ::1] var, /, floating[:, :, :, ::1] Y, *, double eps):
    cdef Sizes s = sizes_of(Z.shape)
    if s.N > 0:
        # S2
        elements(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0], &g[0, 0], &b[0, 0], &mean[0, 0], &var[0, 0], NULL, NULL,
                 &Y[0, 0, 0, 0], &s, eps, False)


def group_norm_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, const floating[:, ::1] g,
                          const double[:, ::1] mean, const double[:, ::1] var, const double[:, ::1] e,
                          const double[:, ::1] f, /, floating[:, :, :, ::1] dZ, *, double eps):
    cdef Sizes s = sizes_of(Z.shape)
    if s.N > 0:
        # S4
        elements(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &g[0, 0], &g[0, 0], &mean[0, 0], &var[0, 0], &e[0, 0], &f[0, 0],
                 &dZ[0, 0, 0, 0], &s, eps, True)
