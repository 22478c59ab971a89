# Vectors as gcc and clang have them, as wide as the instruction set's registers: whether plain loops become vectors
# depends on their extents (8 x 48 does, 8 x 16 does not).

from cython cimport floating

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__AVX512F__)
    #define CNNX_BYTES 64
    #elif defined(__AVX2__)
    #define CNNX_BYTES 32
    #else
    #define CNNX_BYTES 16
    #endif
    typedef float cnnx_floats __attribute__((vector_size(CNNX_BYTES), aligned(4), may_alias));
    typedef double cnnx_doubles __attribute__((vector_size(CNNX_BYTES), aligned(8), may_alias));
    typedef int32_t cnnx_ints __attribute__((vector_size(CNNX_BYTES), aligned(4), may_alias));
    typedef int64_t cnnx_longs __attribute__((vector_size(CNNX_BYTES), aligned(8), may_alias));
    #define cnnx_multiply_add(a, w, x) ((a) + (w) * (x))
    /* gcc would rather read a factor again for every product than give it a register. */
    static inline __attribute__((always_inline)) cnnx_floats cnnx_kept_floats(cnnx_floats x) {
    #ifdef __SSE2__
        __asm__("" : "+v"(x));
    #endif
        return x;
    }
    static inline __attribute__((always_inline)) cnnx_doubles cnnx_kept_doubles(cnnx_doubles x) {
    #ifdef __SSE2__
        __asm__("" : "+v"(x));
    #endif
        return x;
    }
    #define cnnx_spread_floats(w) ((w) - (cnnx_floats){0})
    #define cnnx_spread_doubles(w) ((w) - (cnnx_doubles){0})

    /* Only a copy of a function that knows its extents keeps its sums in registers. */
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    """
    ctypedef float floats "cnnx_floats"
    ctypedef double doubles "cnnx_doubles"
    floats multiply_add_floats "cnnx_multiply_add"(floats a, float w, floats x) noexcept nogil
    doubles multiply_add_doubles "cnnx_multiply_add"(doubles a, double w, doubles x) noexcept nogil
    floats product_floats "cnnx_multiply_add"(floats a, floats x, floats y) noexcept nogil
    doubles product_doubles "cnnx_multiply_add"(doubles a, doubles x, doubles y) noexcept nogil

    floats spread_floats "cnnx_spread_floats"(float w) noexcept nogil
    doubles spread_doubles "cnnx_spread_doubles"(double w) noexcept nogil
    floats kept_floats "cnnx_kept_floats"(floats x) noexcept nogil
    doubles kept_doubles "cnnx_kept_doubles"(doubles x) noexcept nogil

    enum:
        VECTOR_BYTES "CNNX_BYTES"
        MOST_LANES "(CNNX_BYTES / 4)"


# A vector, as wide as the instruction set has them; it may lie at any address of its numbers. An argument `kind`
# is NULL: its type alone counts.
ctypedef fused vector:
    floats
    doubles


cdef inline Py_ssize_t size_of(vector* kind) noexcept nogil:
    # Of one number.
    return sizeof(float) if vector is floats else sizeof(double)


cdef inline Py_ssize_t lanes_in(vector* kind) noexcept nogil:
    return VECTOR_BYTES // size_of(kind)


cdef inline Py_ssize_t lanes_of(const floating* kind) noexcept nogil:
    return VECTOR_BYTES // <Py_ssize_t>sizeof(floating)


cdef inline vector* vector_at(const void* x, Py_ssize_t i, vector* kind) noexcept nogil:
    if vector is floats:
        return <vector*>(<const float*>x + i)
    else:
        return <vector*>(<const double*>x + i)


cdef inline vector spread(const void* w, Py_ssize_t i, vector* kind) noexcept nogil:
    # w[i] in every lane.
    if vector is floats:
        return spread_floats((<const float*>w)[i])
    else:
        return spread_doubles((<const double*>w)[i])


cdef inline vector kept(vector x) noexcept nogil:
    # x, in a register.
    if vector is floats:
        return kept_floats(x)
    else:
        return kept_doubles(x)


cdef inline vector multiply_add(vector a, const void* w, Py_ssize_t i, vector x) noexcept nogil:
    # a + w[i] x in every lane.
    if vector is floats:
        return multiply_add_floats(a, (<const float*>w)[i], x)
    else:
        return multiply_add_doubles(a, (<const double*>w)[i], x)


cdef inline vector product(vector a, vector x, vector y) noexcept nogil:
    # a + x y.
    if vector is floats:
        return product_floats(a, x, y)
    else:
        return product_doubles(a, x, y)
