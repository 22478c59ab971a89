# Affine layer of few outputs, from arrays as they lie. F1: a sum's terms are the lanes, which samples would leave
# waiting for each other; term j goes to partial sum j mod L, as many as SUM_BYTES hold whatever the vectors' width, and
# the bias comes last. F2: the sums of affine_loops.pxd, term by term.

from cython cimport floating
from libc.string cimport memset

from .runtime.integers cimport min_of
from .simd.select cimport store_partial
from .simd.shuffle cimport load_zero_filled
from .simd.trees cimport MOST_TREES, sum_trees, trees_of
from .simd.vector cimport (
    SUM_BYTES, doubles, floats, fma, fma_broadcast, lanes_in, load, size_of, store, vector,
)

cdef enum:
    FEW_OUTPUTS = 4
    SAMPLES = 4  # of a block, and outputs: chains of sums side by side
    OUTPUTS = 2
    COLUMNS_AT_ONCE = 1024
    TERMS_AT_ONCE = 2048  # of all samples of a group, while a row of w is in the nearest cache


cdef inline void dot_block(const void* Z, const void* w, Py_ssize_t J, Py_ssize_t begin, Py_ssize_t end, void* parts,
                           Py_ssize_t group, vector* tag, int N, int I) noexcept nogil:
    # Terms begin ... end - 1 of N samples by I outputs, added to parts[i group + n]; begin is a multiple of L. N and I
    # are constants wherever this is called.
    cdef vector a[SAMPLES * OUTPUTS]
    cdef vector z, y
    cdef Py_ssize_t lanes = lanes_in(tag), L = SUM_BYTES // size_of(tag), first = 0, j
    cdef int n, i, e
    while first < L:  # one vector of the partial sums at a time
        for e in range(N * I):
            a[e] = load(parts, (e // N * group + e % N) * L + first, tag)
        j = begin + first
        while j + lanes <= end:
            if I == 1:
                y = load(w, j, tag)
                for n in range(N):
                    a[n] = fma(a[n], load(Z, n * J + j, tag), y)
            else:
                for n in range(N):
                    z = load(Z, n * J + j, tag)
                    for i in range(I):
                        a[i * N + n] = fma(a[i * N + n], z, load(w, i * J + j, tag))
            j += L
        if j < end:
            for i in range(I):
                load_zero_filled(w, i * J + j, end - j, &y)
                for n in range(N):
                    load_zero_filled(Z, n * J + j, end - j, &z)
                    a[i * N + n] = fma(a[i * N + n], z, y)
        for e in range(N * I):
            store(a[e], parts, (e // N * group + e % N) * L + first)
        first += lanes


cdef inline void dot_samples(const floating* Z, const floating* w, Py_ssize_t J, Py_ssize_t begin, Py_ssize_t end,
                             floating* parts, Py_ssize_t group, int N, int I) noexcept nogil:
    if floating is float:
        dot_block[floats](Z, w, J, begin, end, parts, group, NULL, N, I)
    else:
        dot_block[doubles](Z, w, J, begin, end, parts, group, NULL, N, I)


cdef inline void Y_dots(const floating* Z, const floating* w, const floating* b, floating* Y, Py_ssize_t first,
                        Py_ssize_t end, Py_ssize_t I, Py_ssize_t J) noexcept nogil:  # no-cython-lint
    # F1 for the samples first ... end - 1.
    cdef floating parts[OUTPUTS * MOST_TREES * MOST_TREES]
    cdef floating total[MOST_TREES]
    cdef Py_ssize_t L = trees_of(Z), size, n, i, j, last, k, e
    cdef const floating* z
    while first < end:
        size = min_of(L, end - first)
        i = 0
        while i < I:
            for e in range(OUTPUTS * L * L):
                parts[e] = 0
            j = 0
            while j < J:
                last = min_of(J, j + TERMS_AT_ONCE)
                n = 0
                while n < size:
                    z = Z + (first + n) * J
                    if size - n >= SAMPLES and I - i >= OUTPUTS:
                        dot_samples(z, w + i * J, J, j, last, parts + n * L, L, SAMPLES, OUTPUTS)
                        n += SAMPLES
                    elif size - n >= SAMPLES:
                        dot_samples(z, w + i * J, J, j, last, parts + n * L, L, SAMPLES, 1)
                        n += SAMPLES
                    elif I - i >= OUTPUTS:
                        dot_samples(z, w + i * J, J, j, last, parts + n * L, L, 1, OUTPUTS)
                        n += 1
                    else:
                        dot_samples(z, w + i * J, J, j, last, parts + n * L, L, 1, 1)
                        n += 1
                j += TERMS_AT_ONCE
            for k in range(min_of(OUTPUTS, I - i)):
                sum_trees(parts + k * L * L, total)
                for n in range(size):
                    Y[(first + n) * I + i + k] = total[n] + b[i + k]
            i += OUTPUTS
        first += size


cdef inline void add_samples(const void* Delta, const void* Z, void* dw, Py_ssize_t I, Py_ssize_t J, Py_ssize_t begin,
                             Py_ssize_t end, vector* tag, int N) noexcept nogil:  # no-cython-lint
    # Terms of N samples, one after the other, to the columns begin ... end - 1 of a row of dw. N is a constant wherever
    # this is called.
    cdef vector a, z
    cdef Py_ssize_t lanes = lanes_in(tag), j = begin
    cdef int n
    while j + lanes <= end:
        a = load(dw, j, tag)
        for n in range(N):
            a = fma_broadcast(a, Delta, n * I, load(Z, n * J + j, tag))
        store(a, dw, j)
        j += lanes
    if j < end:
        load_zero_filled(dw, j, end - j, &a)
        for n in range(N):
            load_zero_filled(Z, n * J + j, end - j, &z)
            a = fma_broadcast(a, Delta, n * I, z)
        store_partial(a, dw, j, end - j, tag)


cdef inline void add_some(const floating* Delta, const floating* Z, floating* dw, Py_ssize_t I, Py_ssize_t J,
                          Py_ssize_t begin, Py_ssize_t end, int N) noexcept nogil:  # no-cython-lint
    if floating is float:
        add_samples[floats](Delta, Z, dw, I, J, begin, end, NULL, N)
    else:
        add_samples[doubles](Delta, Z, dw, I, J, begin, end, NULL, N)


cdef inline void dw_few(const floating* Delta, const floating* Z, floating* dw, Py_ssize_t N, Py_ssize_t I,
                        Py_ssize_t J, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:  # no-cython-lint
    # F2 for the columns begin ... end - 1, as many at once as the nearest cache has room for beside a few samples'.
    cdef Py_ssize_t first = begin, last, n, i
    while first < end:
        last = min_of(end, first + COLUMNS_AT_ONCE)
        for i in range(I):
            memset(dw + i * J + first, 0, (last - first) * sizeof(floating))
        n = 0
        while n < N:
            for i in range(I):
                if N - n >= SAMPLES:
                    add_some(Delta + n * I + i, Z + n * J, dw + i * J, I, J, first, last, SAMPLES)
                else:
                    add_some(Delta + n * I + i, Z + n * J, dw + i * J, I, J, first, last, 1)
            n += SAMPLES if N - n >= SAMPLES else 1
        first = last
