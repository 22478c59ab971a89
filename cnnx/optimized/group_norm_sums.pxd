# Sums of group normalisation's kernels (S1, S3, S4), in double, in an order that the shapes alone determine.

from cython cimport floating
from libc.math cimport sqrt

from .channel_sums cimport PART, far, without_rest
from .runtime.integers cimport ceil_div, min_of
from .simd.multiply_add cimport multiply_add
from .simd.prefetch cimport prefetch_span
from .simd.reduce cimport (
    FROM_MEAN, LANES, NUMBERS, PARTIAL, PRODUCTS, SQUARES, VECTORS, broadcast_sums, fma_sums, sum_runs, sums,
    sums_in_memory, term, widen,
)
from .simd.runs cimport APART, GROUP, RUNS_AHEAD, sums_of_runs

cdef enum:
    COLUMNS = 1024  # units whose sums over examples are taken at once
    ROWS = 256  # examples of a unit's sum that one thread sums up
    FEW = 1024  # members of a set, or places of a channel: several are summed up side by side


cdef struct Sizes:
    # Of Z (N,S,D,P); C = S D, and M = D P members in a set.
    Py_ssize_t N, S, D, P, C, M


cdef inline Sizes sizes_of(const Py_ssize_t* shape) noexcept nogil:
    return Sizes(shape[0], shape[1], shape[2], shape[3], shape[1] * shape[2], shape[2] * shape[3])


cdef inline double factor_of(double var, double eps) noexcept nogil:
    return 1 / sqrt(var + eps)


cdef inline void statistics_of(const floating* Z, Py_ssize_t count, Py_ssize_t M, double* mean,
                               double* var) noexcept nogil:
    # S1 of up to GROUP sets of FEW members, or of one of up to PART, which are read again while they are in the cache.
    cdef double means[GROUP]
    cdef double squares[GROUP]
    cdef Py_ssize_t i
    if M > FEW:
        means[0] = sum_runs(Z, Z, 0, 1, M, M, NUMBERS) / M
        squares[0] = sum_runs(Z, Z, means[0], 1, M, M, SQUARES)
    else:
        for i in range(GROUP):
            squares[i] = 0
        sums_of_runs(Z, Z, squares, count, M, M, means, NUMBERS)
        for i in range(count):
            means[i] /= M
        sums_of_runs(Z, Z, means, count, M, M, squares, SQUARES)
    for i in range(count):
        mean[i] = means[i]
        var[i] = squares[i] / M
        if far(mean[i], var[i]):
            var[i] = without_rest(var[i], sum_runs(Z + i * M, Z + i * M, mean[i], 1, M, M, FROM_MEAN) / M)


cdef inline double sum_of_set(const floating* Delta, const floating* Z, Py_ssize_t M, double mean,
                              term kind) noexcept nogil:
    # Of more members: parts, added up in their order, as channel_sums() has them.
    cdef double total = 0
    cdef Py_ssize_t first = 0, length
    while first < M:
        length = min_of(PART, M - first)
        total += sum_runs(Delta + first, Z + first, mean, 1, length, length, kind)
        first += length
    return total


cdef inline void statistics_of_many(const floating* Z, Py_ssize_t M, double* mean, double* var) noexcept nogil:
    mean[0] = sum_of_set(Z, Z, M, 0, NUMBERS) / M
    var[0] = sum_of_set(Z, Z, M, mean[0], SQUARES) / M
    if far(mean[0], var[0]):
        var[0] = without_rest(var[0], sum_of_set(Z, Z, M, mean[0], FROM_MEAN) / M)


# ------------------------------------------------------------------------------- of a channel of many places


cdef inline void products_of(const floating* Delta, const floating* Z, const double* mean, Py_ssize_t count,
                             Py_ssize_t P, double* total) noexcept nogil:
    # sum Delta (Z - mean) over each of up to GROUP channels that follow each other, in total[].
    cdef Py_ssize_t i
    if P <= FEW:
        sums_of_runs(Delta, Z, mean, count, P, P, total, PRODUCTS)
    else:
        for i in range(count):
            total[i] = sum_of_set(Delta + i * P, Z + i * P, P, mean[i], PRODUCTS)


cdef inline void channel_terms(const floating* Delta, const floating* Z, const double* mean, const Sizes* s,
                               Py_ssize_t run, Py_ssize_t count, double* terms) noexcept nogil:
    # sum Delta and sum Delta (Z - mean), one behind the other, of up to GROUP channels from `run` on of all examples'.
    cdef double total[GROUP]
    cdef double products[GROUP]
    cdef double means[GROUP]
    cdef Py_ssize_t i
    for i in range(count):
        means[i] = mean[(run + i) // s.D]
    if s.P <= FEW:
        sums_of_runs(Delta + run * s.P, Delta + run * s.P, means, count, s.P, s.P, total, NUMBERS)
    else:
        for i in range(count):
            total[i] = sum_of_set(Delta + (run + i) * s.P, Delta + (run + i) * s.P, s.P, 0, NUMBERS)
    products_of(Delta + run * s.P, Z + run * s.P, means, count, s.P, products)
    for i in range(count):
        terms[2 * (run + i)] = total[i]
        terms[2 * (run + i) + 1] = products[i]


cdef inline void weight_terms(const floating* Delta, const floating* Z, const double* mean, const double* var,
                              double eps, const Sizes* g, Py_ssize_t c, Py_ssize_t width, Py_ssize_t n, Py_ssize_t end,
                              double* total) noexcept nogil:
    # S3: the parts of dg of `width` <= GROUP channels from c on, from the examples n..end-1.
    cdef double products[GROUP]
    cdef double means[GROUP]
    cdef double factors[GROUP]
    cdef Py_ssize_t at, row = 0, ahead = RUNS_AHEAD * g.C * g.P, i
    cdef double factor = 0
    for i in range(width):
        total[i] = 0
    while n < end:
        at = (n * g.C + c) * g.P
        if g.P <= APART and n + RUNS_AHEAD < end:
            prefetch_span(Delta + at + ahead, width * g.P * sizeof(floating), NULL)
            prefetch_span(Z + at + ahead, width * g.P * sizeof(floating), NULL)
        for i in range(width):
            if i == 0 or (c + i) % g.D == 0:  # another set
                row = n * g.S + (c + i) // g.D
                factor = factor_of(var[row], eps)
            means[i] = mean[row]
            factors[i] = factor
        products_of(Delta + at, Z + at, means, width, g.P, products)
        for i in range(width):
            total[i] += products[i] * factors[i]
        n += 1


# ------------------------------------------------------------------------------------- of units of one place


cdef inline void unit_terms(const floating* Delta, const floating* Z, const floating* g, double mean, Py_ssize_t D,
                            double* of_Delta, double* of_products) noexcept nogil:
    # sum g Delta and sum g Delta (Z - mean) over a set whose units have a gain each: 16 partial sums, to which terms go
    # by their place, added up as a tree, as in simd/reduce.pxd.
    cdef sums a[VECTORS]
    cdef sums b[VECTORS]
    cdef sums gained, means = broadcast_sums(mean), zero = broadcast_sums(0)
    cdef double rest[PARTIAL]
    cdef double rest_of_products[PARTIAL]
    cdef double one
    cdef Py_ssize_t i = 0, blocks = D & ~<Py_ssize_t>(PARTIAL - 1)
    cdef int j, k
    for j in range(VECTORS):
        a[j] = zero
        b[j] = zero
    while i < blocks:
        for j in range(VECTORS):
            gained = widen(g + i + j * LANES) * widen(Delta + i + j * LANES)
            a[j] = a[j] + gained
            b[j] = fma_sums(b[j], gained, widen(Z + i + j * LANES) - means)
        i += PARTIAL
    for j in range(VECTORS):
        (<sums_in_memory*>(rest + j * LANES))[0] = a[j]
        (<sums_in_memory*>(rest_of_products + j * LANES))[0] = b[j]
    for k in range(<int>(D - blocks)):
        one = <double>g[i + k] * <double>Delta[i + k]
        rest[k] = rest[k] + one
        rest_of_products[k] = multiply_add(one, Z[i + k] - mean, rest_of_products[k])
    j = PARTIAL // 2
    while j > 0:
        for k in range(j):
            rest[k] = rest[k] + rest[k + j]
            rest_of_products[k] = rest_of_products[k] + rest_of_products[k + j]
        j //= 2
    of_Delta[0] = rest[0]
    of_products[0] = rest_of_products[0]


cdef inline void unit_sums(const floating* Delta, const floating* Z, const double* mean, const double* var, double eps,
                           const Sizes* g, Py_ssize_t first_c, Py_ssize_t width, Py_ssize_t n, Py_ssize_t end,
                           bint weight, double* total) noexcept nogil:
    # S3 for `width` units of one set: dg's part from the examples n..end-1, or db's.
    cdef Py_ssize_t j, at, row
    cdef double middle, factor
    for j in range(width):
        total[j] = 0
    while n < end:
        at = n * g.C + first_c
        if weight:
            row = n * g.S + first_c // g.D
            middle = mean[row]
            factor = factor_of(var[row], eps)
            for j in range(width):
                total[j] = multiply_add(<double>Delta[at + j], (Z[at + j] - middle) * factor, total[j])
        else:
            for j in range(width):
                total[j] += Delta[at + j]
        n += 1


# ------------------------------------------------------------------------------------------------- tasks


cdef struct Tasks:
    # How the sums over examples are cut: a task has `width` channels, and `examples` of N; parts: of a sum.
    Py_ssize_t width, blocks, examples, parts, count


cdef inline Tasks tasks_of(const Sizes* g) noexcept nogil:
    # By the extents of an example, and by N only in how many parts there are.
    cdef Tasks t
    t.width = min_of(COLUMNS, g.D) if g.P == 1 else GROUP if g.P <= FEW else 1
    t.blocks = ceil_div(g.D, t.width) if g.P == 1 else ceil_div(g.C, t.width)  # of a set, or of all
    t.examples = ROWS if g.P == 1 else ceil_div(PART, g.P)
    t.parts = ceil_div(g.N, t.examples)
    t.count = (g.S if g.P == 1 else 1) * t.blocks * t.parts
    return t


cdef inline void task(const floating* Delta, const floating* Z, const double* mean, const double* var, double eps,
                      const Sizes* g, const Tasks* t, Py_ssize_t i, bint weight, double* totals) noexcept nogil:
    # totals (parts, C).
    cdef Py_ssize_t part = i % t.parts, block = i // t.parts, d = block % t.blocks * t.width
    cdef Py_ssize_t c = block // t.blocks * g.D + d, first = part * t.examples, end = min_of(g.N, first + t.examples)
    if g.P == 1:
        unit_sums(Delta, Z, mean, var, eps, g, c, min_of(t.width, g.D - d), first, end, weight,
                  totals + part * g.C + c)
    else:
        weight_terms(Delta, Z, mean, var, eps, g, d, min_of(t.width, g.C - d), first, end, totals + part * g.C + d)
