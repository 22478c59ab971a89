# Sums over runs of numbers (N1, N3, A5, E1, J1, J2), in vectors of doubles whatever the numbers are. A sum is that of
# 16 partial sums, to which terms go by their place in the run, added up as a tree: it depends on nothing but its terms,
# not even on the vectors' width. Written with the vector types of gcc and clang: a compiler may not reorder a sum by
# itself.

from cython cimport floating

from .multiply_add cimport multiply_add

cdef extern from *:
    """
    #include <stdint.h>
    #include "cnnx/optimized/simd/instruction_set.h"
    #if defined(__AVX512F__)
    #define CNNX_SUM_LANES 8
    #elif defined(__AVX2__)
    #define CNNX_SUM_LANES 4
    #else
    #define CNNX_SUM_LANES 2
    #endif
    typedef double cnnx_sums __attribute__((vector_size(8 * CNNX_SUM_LANES), may_alias));
    /* As they lie in memory. What is passed to functions is aligned: gcc 14 for AArch64 fails on what is not. */
    typedef double cnnx_sums_in_memory __attribute__((vector_size(8 * CNNX_SUM_LANES), aligned(8), may_alias));
    typedef float cnnx_sums_of_floats __attribute__((vector_size(4 * CNNX_SUM_LANES), aligned(4), may_alias));
    #if defined(__AVX512F__)  /* gcc 12 makes two halves of the conversion below */
    #define cnnx_widen_floats(x) ((cnnx_sums)_mm512_cvtps_pd(_mm256_loadu_ps(x)))
    #elif defined(__AVX2__)  /* and loads all that a loop converts before the first conversion, onto the stack */
    #define cnnx_widen_floats(x) ((cnnx_sums)_mm256_cvtps_pd(_mm_loadu_ps(x)))
    #else
    #define cnnx_widen_floats(x) __builtin_convertvector(*(const cnnx_sums_of_floats*)(x), cnnx_sums)
    #endif
    /* The first n numbers, fewer than a vector has; 0 in the other lanes. What lies behind them is not read. */
    #if defined(__AVX512F__)
    #define cnnx_widen_some_floats(x, n) \\
        ((cnnx_sums)_mm512_cvtps_pd(_mm256_maskz_loadu_ps((__mmask8)((1u << (n)) - 1), x)))
    #define cnnx_widen_some_doubles(x, n) ((cnnx_sums)_mm512_maskz_loadu_pd((__mmask8)((1u << (n)) - 1), x))
    #else
    #define CNNX_WIDEN_SOME(TYPE) \\
        static inline __attribute__((always_inline)) cnnx_sums cnnx_widen_some_##TYPE##s(const TYPE* x, int n) { \\
            cnnx_sums a = {0}; \\
            for (int i = 0; i < CNNX_SUM_LANES - 1; i++) if (i < n) a[i] = x[i]; \\
            return a; \\
        }
    CNNX_WIDEN_SOME(float)
    CNNX_WIDEN_SOME(double)
    #endif
    #define cnnx_widen_doubles(x) ((cnnx_sums)*(const cnnx_sums_in_memory*)(x))
    #define cnnx_spread_sums(x) ((x) - (cnnx_sums){0})
    #if defined(__AVX512F__)
    #define cnnx_first_sums(x, n) ((cnnx_sums)_mm512_maskz_mov_pd((__mmask8)((1u << (n)) - 1), (__m512d)(x)))
    #else
    static inline __attribute__((always_inline)) cnnx_sums cnnx_first_sums(cnnx_sums x, int n) {
        for (int i = 1; i < CNNX_SUM_LANES; i++) if (i >= n) x[i] = 0;
        return x;
    }
    #endif
    typedef int64_t cnnx_sum_bits __attribute__((vector_size(8 * CNNX_SUM_LANES), may_alias));
    #define cnnx_not_positive(x) ((cnnx_sums)((cnnx_sum_bits)(x) & ~(cnnx_sum_bits)((x) > (cnnx_sums){0})))
    #if !CNNX_FMA
    #define cnnx_fma_sums(a, x, y) ((a) + (x) * (y))
    #elif defined(__AVX512F__)
    #define cnnx_fma_sums(a, x, y) ((cnnx_sums)_mm512_fmadd_pd((__m512d)(x), (__m512d)(y), (__m512d)(a)))
    #elif defined(__AVX2__)
    #define cnnx_fma_sums(a, x, y) ((cnnx_sums)_mm256_fmadd_pd((__m256d)(x), (__m256d)(y), (__m256d)(a)))
    #elif defined(__aarch64__)
    #define cnnx_fma_sums(a, x, y) ((cnnx_sums)vfmaq_f64((float64x2_t)(a), (float64x2_t)(x), (float64x2_t)(y)))
    #else
    #define cnnx_fma_sums(a, x, y) \\
        ((cnnx_sums){__builtin_fma((x)[0], (y)[0], (a)[0]), __builtin_fma((x)[1], (y)[1], (a)[1])})
    #endif
    """
    ctypedef double sums "cnnx_sums"
    ctypedef double sums_in_memory "cnnx_sums_in_memory"
    sums widen_floats "cnnx_widen_floats"(const float* x) noexcept nogil
    sums widen_doubles "cnnx_widen_doubles"(const double* x) noexcept nogil
    sums widen_some_floats "cnnx_widen_some_floats"(const float* x, int n) noexcept nogil
    sums widen_some_doubles "cnnx_widen_some_doubles"(const double* x, int n) noexcept nogil
    sums first_sums "cnnx_first_sums"(sums x, int n) noexcept nogil  # the first n lanes; 0 in the others
    sums broadcast_sums "cnnx_spread_sums"(double x) noexcept nogil
    sums not_positive "cnnx_not_positive"(sums x) noexcept nogil  # 0 for what is above 0; NaN stays
    sums fma_sums "cnnx_fma_sums"(sums a, sums x, sums y) noexcept nogil

    enum:
        LANES "CNNX_SUM_LANES"
        VECTORS "(16 / CNNX_SUM_LANES)"

cdef enum:
    PARTIAL = 16  # partial sums, whatever the vectors' width
    STEP = 8  # what is left of a run goes to partial sums from a multiple of it on, which every width divides


cdef enum term:
    NUMBERS  # Z
    FROM_MEAN  # Z - mean
    SQUARES  # (Z - mean)^2
    PRODUCTS  # Delta (Z - mean)
    DISTANCES  # (Delta - Z)^2
    NOT_POSITIVE  # Delta min(Z, 0)


cdef inline sums widen(const floating* x) noexcept nogil:
    # As many numbers as a vector has doubles.
    if floating is float:
        return widen_floats(x)
    else:
        return widen_doubles(x)


cdef inline sums widen_some(const floating* x, int n) noexcept nogil:
    # The first n of them, and 0.
    if floating is float:
        return widen_some_floats(x, n)
    else:
        return widen_some_doubles(x, n)


cdef inline sums with_terms(sums total, sums delta, sums z, sums mean, term kind) noexcept nogil:
    if kind == NUMBERS:
        return total + z
    elif kind == FROM_MEAN:
        return total + (z - mean)
    elif kind == SQUARES:
        z = z - mean
        return fma_sums(total, z, z)
    elif kind == PRODUCTS:
        return fma_sums(total, delta, z - mean)
    elif kind == NOT_POSITIVE:
        return fma_sums(total, delta, not_positive(z))
    else:
        z = delta - z
        return fma_sums(total, z, z)


cdef inline sums added(sums total, const floating* Delta, const floating* Z, sums mean, Py_ssize_t i,
                       term kind) noexcept nogil:
    cdef sums z = widen(Z + i)
    if kind == NUMBERS or kind == FROM_MEAN or kind == SQUARES:
        return with_terms(total, z, z, mean, kind)
    return with_terms(total, widen(Delta + i), z, mean, kind)


cdef inline sums terms_of_some(const floating* Delta, const floating* Z, sums mean, Py_ssize_t i, int n,
                               term kind) noexcept nogil:
    # Of fewer numbers than a vector has lanes.
    cdef sums z = widen_some(Z + i, n)
    if kind == NUMBERS:
        return broadcast_sums(0) + z
    if kind == FROM_MEAN or kind == SQUARES:
        return first_sums(with_terms(broadcast_sums(0), z, z, mean, kind), n)
    return first_sums(with_terms(broadcast_sums(0), widen_some(Delta + i, n), z, mean, kind), n)


cdef inline double added_one(double total, const floating* Delta, const floating* Z, double mean, Py_ssize_t i,
                             term kind) noexcept nogil:
    # As a lane of `added` does it.
    cdef double z = Z[i]
    if kind == NUMBERS:
        return total + z
    elif kind == FROM_MEAN:
        return total + (z - mean)
    elif kind == SQUARES:
        z = z - mean
        return multiply_add(z, z, total)
    elif kind == PRODUCTS:
        return multiply_add(<double>Delta[i], z - mean, total)
    elif kind == NOT_POSITIVE:
        return multiply_add(<double>Delta[i], 0 if z > 0 else z, total)
    else:
        z = Delta[i] - z
        return multiply_add(z, z, total)


cdef inline Py_ssize_t step_of(Py_ssize_t length) noexcept nogil:
    # Short runs are no chain of sums that wait for each other. One number never is a vector: it may go anywhere.
    cdef Py_ssize_t left = length & (PARTIAL - 1)
    return 1 if left == 1 else (left + STEP - 1) & ~(STEP - 1)


cdef inline void add_run(const floating* Delta, const floating* Z, sums means, double mean, Py_ssize_t length, sums* a,
                         double* rest, Py_ssize_t at, term kind) noexcept nogil:
    # A run's terms to the partial sums in a, and what is left of it to those in rest, from `at` on.
    cdef Py_ssize_t i = 0, blocks = length & ~(PARTIAL - 1)
    cdef int j
    while i < blocks:
        for j in range(VECTORS):
            a[j] = added(a[j], Delta, Z, means, i + j * LANES, kind)
        i += PARTIAL
    while i + LANES <= length:
        (<sums_in_memory*>(rest + at))[0] = added((<sums_in_memory*>(rest + at))[0], Delta, Z, means, i, kind)
        i += LANES
        at = (at + LANES) & (PARTIAL - 1)
    while i < length:
        rest[at] = added_one(rest[at], Delta, Z, mean, i, kind)
        i += 1
        at += 1


cdef inline double sum_runs(const floating* Delta, const floating* Z, double mean, Py_ssize_t runs, Py_ssize_t length,
                            Py_ssize_t stride, term kind) noexcept nogil:
    # The sum of `runs` runs of `length` terms, `stride` apart. kind is a constant wherever this is called.
    cdef sums a[VECTORS]
    cdef double rest[PARTIAL]  # what is left of the runs
    cdef sums means = broadcast_sums(mean)
    cdef Py_ssize_t _, at = 0, step = step_of(length)
    cdef int j, k
    for j in range(VECTORS):
        a[j] = broadcast_sums(0)
    for j in range(PARTIAL):
        rest[j] = 0
    for _ in range(runs):
        add_run(Delta, Z, means, mean, length, a, rest, at, kind)
        at = (at + step) & (PARTIAL - 1)
        Delta += stride
        Z += stride
    for j in range(VECTORS):
        (<sums_in_memory*>(rest + j * LANES))[0] = (<sums_in_memory*>(rest + j * LANES))[0] + a[j]
    j = PARTIAL // 2
    while j > 0:
        for k in range(j):
            rest[k] = rest[k] + rest[k + j]
        j //= 2
    return rest[0]
