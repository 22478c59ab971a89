# Vectors of which some lanes alone are read or written, where the instruction set has such loads and stores (MASKED):
# what lies in the other lanes is neither read nor written, wherever it is.

from ..runtime.integers cimport max_of, min_of
from .vector cimport doubles, floats, lanes_in, size_of, vector, vector_at

cdef extern from *:
    """
    #if defined(__AVX512F__) && CNNX_BYTES == 64
    #define CNNX_MASKED 1
    typedef uint32_t cnnx_lanes;  /* a bit for each */
    #define cnnx_lanes_between(first, end, size) ((1u << (end)) - (1u << (first)))
    #define cnnx_load_lanes_floats(x, m) ((cnnx_floats)_mm512_maskz_loadu_ps((__mmask16)(m), x))
    #define cnnx_load_lanes_doubles(x, m) ((cnnx_doubles)_mm512_maskz_loadu_pd((__mmask8)(m), x))
    #define cnnx_store_lanes_floats(a, y, m) _mm512_mask_storeu_ps(y, (__mmask16)(m), (__m512)(a))
    #define cnnx_store_lanes_doubles(a, y, m) _mm512_mask_storeu_pd(y, (__mmask8)(m), (__m512d)(a))
    #elif defined(__AVX2__) && CNNX_BYTES == 32
    #define CNNX_MASKED 1
    typedef __m256i cnnx_lanes;
    static const int32_t cnnx_lane_bits[3 * CNNX_BYTES / 4] = {[CNNX_BYTES / 4 ... 2 * CNNX_BYTES / 4 - 1] = -1};
    #define CNNX_LANE_BITS(byte) _mm256_loadu_si256((const __m256i*)((const char*)cnnx_lane_bits + (byte)))
    #define cnnx_lanes_between(first, end, size) \\
        _mm256_and_si256(CNNX_LANE_BITS(CNNX_BYTES - (first) * (size)), CNNX_LANE_BITS(2 * CNNX_BYTES - (end) * (size)))
    #define cnnx_load_lanes_floats(x, m) ((cnnx_floats)_mm256_maskload_ps(x, m))
    #define cnnx_load_lanes_doubles(x, m) ((cnnx_doubles)_mm256_maskload_pd(x, m))
    #define cnnx_store_lanes_floats(a, y, m) _mm256_maskstore_ps(y, m, (__m256)(a))
    #define cnnx_store_lanes_doubles(a, y, m) _mm256_maskstore_pd(y, m, (__m256d)(a))
    #else  /* never called */
    #define CNNX_MASKED 0
    typedef int cnnx_lanes;
    #define cnnx_lanes_between(first, end, size) 0
    #define cnnx_load_lanes_floats(x, m) cnnx_load_floats(x)
    #define cnnx_load_lanes_doubles(x, m) cnnx_load_doubles(x)
    #define cnnx_store_lanes_floats(a, y, m) ((void)(y))
    #define cnnx_store_lanes_doubles(a, y, m) ((void)(y))
    #endif
    """
    enum:
        MASKED "CNNX_MASKED"
    ctypedef int lanes "cnnx_lanes"
    lanes between "cnnx_lanes_between"(Py_ssize_t first, Py_ssize_t end, Py_ssize_t size) noexcept nogil
    floats load_floats "cnnx_load_lanes_floats"(const float* x, lanes m) noexcept nogil
    doubles load_doubles "cnnx_load_lanes_doubles"(const double* x, lanes m) noexcept nogil
    void store_floats "cnnx_store_lanes_floats"(floats a, float* y, lanes m) noexcept nogil
    void store_doubles "cnnx_store_lanes_doubles"(doubles a, double* y, lanes m) noexcept nogil


cdef inline lanes lanes_between(Py_ssize_t first, Py_ssize_t end, vector* tag) noexcept nogil:
    # Lanes first ... end - 1, which may lie outside.
    cdef Py_ssize_t count = lanes_in(tag)
    first, end = max_of(0, min_of(first, count)), max_of(0, min_of(end, count))
    return between(first, max_of(first, end), size_of(tag))


cdef inline vector load_lanes(const void* x, Py_ssize_t i, lanes m, vector* tag) noexcept nogil:
    # x[i], x[i + 1], ... in the lanes m, 0 in the others.
    if vector is floats:
        return load_floats(<const float*>vector_at(x, i, tag), m)
    else:
        return load_doubles(<const double*>vector_at(x, i, tag), m)


cdef inline void store_lanes(vector a, void* y, Py_ssize_t i, lanes m) noexcept nogil:
    # y[i], y[i + 1], ... = a, in the lanes m.
    if vector is floats:
        store_floats(a, <float*>vector_at(y, i, &a), m)
    else:
        store_doubles(a, <double*>vector_at(y, i, &a), m)
