# The sums of several runs, each as sum_runs() of simd/reduce.pxd has it, side by side: short ones would mostly be trees
# of partial sums.

from cython cimport floating

from .prefetch cimport prefetch_span
from .reduce cimport (
    FROM_MEAN, LANES, NUMBERS, PARTIAL, SQUARES, VECTORS, add_run, added, broadcast_sums, step_of, sums,
    sums_in_memory, term, terms_of_some,
)
from .trees cimport sum_trees

cdef enum:
    GROUP = 8  # sums whose trees are one
    APART = 64  # numbers of a run: shorter ones side by side are no stream that a processor fetches by itself
    RUNS_AHEAD = 2


cdef inline void halves_of(sums* a, double* half) noexcept nogil:
    # The tree's first step.
    cdef int j
    for j in range(VECTORS // 2):
        (<sums_in_memory*>(half + j * LANES))[0] = a[j] + a[j + VECTORS // 2]


cdef inline void half_run(const floating* Delta, const floating* Z, double mean, Py_ssize_t length, double* half,
                          term kind) noexcept nogil:
    # Of one run; half: 8 sums, of which the tree is made next.
    cdef sums a[VECTORS]
    cdef sums means = broadcast_sums(mean), zero = broadcast_sums(0)
    cdef Py_ssize_t i = 0, blocks = length & ~(PARTIAL - 1), left = length - blocks
    cdef int j
    for j in range(VECTORS):
        a[j] = zero
    while i < blocks:
        for j in range(VECTORS):
            a[j] = added(a[j], Delta, Z, means, i + j * LANES, kind)
        i += PARTIAL
    for j in range(VECTORS):
        if left >= (j + 1) * LANES:
            a[j] = added(zero, Delta, Z, means, i + j * LANES, kind) + a[j]
        elif left > j * LANES:
            a[j] = terms_of_some(Delta, Z, means, i + j * LANES, <int>(left - j * LANES), kind) + a[j]
    halves_of(a, half)


cdef inline void sums_of_runs(const floating* Delta, const floating* Z, const double* means, Py_ssize_t count,
                              Py_ssize_t length, Py_ssize_t pitch, double* total, term kind) noexcept nogil:
    # total[i] for `count` <= GROUP runs, `pitch` apart; all GROUP of total are written.
    cdef double halves[GROUP * GROUP]
    cdef Py_ssize_t i
    for i in range(GROUP * GROUP if count < GROUP else 0):
        halves[i] = 0
    for i in range(count):
        half_run(Delta + i * pitch, Z + i * pitch, means[i], length, halves + i * GROUP, kind)
    sum_trees(halves, total)


cdef inline void sums_side_by_side(const floating* Delta, const floating* Z, const double* means, Py_ssize_t count,
                                   Py_ssize_t runs, Py_ssize_t length, Py_ssize_t stride, double* total,
                                   term kind) noexcept nogil:
    # total[i] for `count` <= GROUP sums of `runs` runs each, `stride` apart: each run of them beside the others.
    cdef sums a[GROUP * VECTORS]
    cdef double rest[GROUP * PARTIAL]
    cdef double halves[GROUP * GROUP]
    cdef Py_ssize_t run, i, at = 0, step = step_of(length)
    cdef int j
    for i in range(GROUP * VECTORS):
        a[i] = broadcast_sums(0)
    for i in range(GROUP * PARTIAL):
        rest[i] = 0
    for run in range(runs):
        if length <= APART and run + RUNS_AHEAD < runs:
            prefetch_span(Z + RUNS_AHEAD * stride, count * length * sizeof(floating), NULL)
            if kind != NUMBERS and kind != FROM_MEAN and kind != SQUARES:
                prefetch_span(Delta + RUNS_AHEAD * stride, count * length * sizeof(floating), NULL)
        for i in range(count):
            add_run(Delta + i * length, Z + i * length, broadcast_sums(means[i]), means[i], length, a + i * VECTORS,
                    rest + i * PARTIAL, at, kind)
        at = (at + step) & (PARTIAL - 1)
        Delta += stride
        Z += stride
    for i in range(GROUP):
        for j in range(VECTORS):
            a[i * VECTORS + j] = (<sums_in_memory*>(rest + i * PARTIAL + j * LANES))[0] + a[i * VECTORS + j]
        halves_of(a + i * VECTORS, halves + i * GROUP)
    sum_trees(halves, total)


cdef inline void sums_of_two(const floating* Delta, const floating* Z, const double* means, Py_ssize_t apart,
                             Py_ssize_t runs, Py_ssize_t length, Py_ssize_t stride, double* total,
                             term kind) noexcept nogil:
    # total[i] for 2 sums of `runs` long runs each, `stride` apart, of which the second's lie `apart` from the first's:
    # the partial sums of one are a chain that waits for itself. All GROUP of total are written.
    cdef sums a[VECTORS]
    cdef sums b[VECTORS]
    cdef double rest[2 * PARTIAL]
    cdef double halves[GROUP * GROUP]
    cdef sums first = broadcast_sums(means[0]), second = broadcast_sums(means[1])
    cdef Py_ssize_t _, i, at = 0, step = step_of(length), blocks = length & ~(PARTIAL - 1)
    cdef int j
    for j in range(VECTORS):
        a[j] = broadcast_sums(0)
        b[j] = broadcast_sums(0)
    for i in range(2 * PARTIAL):
        rest[i] = 0
    for _ in range(runs):
        i = 0
        while i < blocks:
            for j in range(VECTORS):
                a[j] = added(a[j], Delta, Z, first, i + j * LANES, kind)
                b[j] = added(b[j], Delta + apart, Z + apart, second, i + j * LANES, kind)
            i += PARTIAL
        add_run(Delta + i, Z + i, first, means[0], length - i, a, rest, at, kind)
        add_run(Delta + apart + i, Z + apart + i, second, means[1], length - i, b, rest + PARTIAL, at, kind)
        at = (at + step) & (PARTIAL - 1)
        Delta += stride
        Z += stride
    for i in range(2 * GROUP, GROUP * GROUP):
        halves[i] = 0
    for j in range(VECTORS):
        a[j] = (<sums_in_memory*>(rest + j * LANES))[0] + a[j]
        b[j] = (<sums_in_memory*>(rest + PARTIAL + j * LANES))[0] + b[j]
    halves_of(a, halves)
    halves_of(b, halves + GROUP)
    sum_trees(halves, total)
