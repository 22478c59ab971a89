# Sums over runs of numbers (N1, N3, E1), in vectors of doubles whatever the numbers are. Terms go to the lanes in turn
# and the lanes are added up in a fixed order, so that a sum depends on nothing but its terms. Written with the vector
# types of gcc and clang: a compiler may not reorder a sum by itself.

from cython cimport floating

cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define CNNX_SUM_LANES 8
    #elif defined(__AVX2__)
    #define CNNX_SUM_LANES 4
    #else
    #define CNNX_SUM_LANES 2
    #endif
    typedef double cnnx_sums __attribute__((vector_size(8 * CNNX_SUM_LANES), aligned(8), may_alias));
    typedef float cnnx_sums_of_floats __attribute__((vector_size(4 * CNNX_SUM_LANES), aligned(4), may_alias));
    #if defined(__AVX512F__)  /* gcc 12 makes two halves of the conversion below */
    #include <immintrin.h>
    #define cnnx_widen_floats(x) ((cnnx_sums)_mm512_cvtps_pd(_mm256_loadu_ps(x)))
    #else
    #define cnnx_widen_floats(x) __builtin_convertvector(*(const cnnx_sums_of_floats*)(x), cnnx_sums)
    #endif
    #define cnnx_widen_doubles(x) (*(const cnnx_sums*)(x))
    #define cnnx_spread_sums(x) ((x) - (cnnx_sums){0})
    """
    ctypedef double sums "cnnx_sums"
    sums widen_floats "cnnx_widen_floats"(const float* x) noexcept nogil
    sums widen_doubles "cnnx_widen_doubles"(const double* x) noexcept nogil
    sums broadcast_sums "cnnx_spread_sums"(double x) noexcept nogil

    enum:
        LANES "CNNX_SUM_LANES"

cdef enum:
    CHAINS = 4  # sums that do not wait for each other


cdef enum term:
    NUMBERS  # Z
    SQUARES  # (Z - mean)^2
    PRODUCTS  # Delta (Z - mean)
    DISTANCES  # (Delta - Z)^2


cdef inline sums widen(const floating* x) noexcept nogil:
    # As many numbers as a vector has doubles.
    if floating is float:
        return widen_floats(x)
    else:
        return widen_doubles(x)


cdef inline sums term_of(const floating* Delta, const floating* Z, sums mean, Py_ssize_t i, term kind) noexcept nogil:
    cdef sums z = widen(Z + i)
    if kind == NUMBERS:
        return z
    elif kind == SQUARES:
        return (z - mean) * (z - mean)
    elif kind == PRODUCTS:
        return widen(Delta + i) * (z - mean)
    else:
        z = widen(Delta + i) - z
        return z * z


cdef inline double strided_sum(const floating* Delta, const floating* Z, double mean, Py_ssize_t run, Py_ssize_t stride,
                               Py_ssize_t first, Py_ssize_t end, term kind) noexcept nogil:
    # The sum of terms first..end-1; term n run + i is at n stride + i. kind is a constant wherever this is called.
    cdef sums a[CHAINS]
    cdef sums means = broadcast_sums(mean)
    cdef double rest = 0, z
    cdef Py_ssize_t start = first // run * stride, i = start + first % run, left = end - first, stop
    cdef int j
    for j in range(CHAINS):
        a[j] = broadcast_sums(0)
    while left > 0:
        stop = min(start + run, i + left)
        left -= stop - i
        while i + CHAINS * LANES <= stop:
            for j in range(CHAINS):
                a[j] = a[j] + term_of(Delta, Z, means, i + j * LANES, kind)
            i += CHAINS * LANES
        while i + LANES <= stop:
            a[0] = a[0] + term_of(Delta, Z, means, i, kind)
            i += LANES
        for i in range(i, stop):
            z = Z[i]
            if kind == NUMBERS:
                rest = rest + z
            elif kind == SQUARES:
                rest = rest + (z - mean) * (z - mean)
            elif kind == PRODUCTS:
                rest = rest + Delta[i] * (z - mean)
            else:
                z = Delta[i] - z
                rest = rest + z * z
        start += stride
        i = start
    a[0] = (a[0] + a[1]) + (a[2] + a[3])
    for j in range(LANES):
        rest = rest + (<double*>&a[0])[j]
    return rest
