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

    /* gcc forgets what it knows of the pointer: it reads again what lies there, instead of keeping it in registers. */
    #define cnnx_make_opaque(pointer) __asm__("" : "+r"(pointer))

    /* Only a copy of a function that knows its extents keeps its sums in registers. setup.py says where there are
       none. */
    #ifndef CNNX_NO_REGISTER_BLOCKS
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    #endif
    """
    ctypedef float floats "cnnx_floats"
    ctypedef double doubles "cnnx_doubles"
    floats fma_broadcast_floats "cnnx_multiply_add"(floats a, float w, floats x) noexcept nogil
    doubles fma_broadcast_doubles "cnnx_multiply_add"(doubles a, double w, doubles x) noexcept nogil
    floats fma_floats "cnnx_multiply_add"(floats a, floats x, floats y) noexcept nogil
    doubles fma_doubles "cnnx_multiply_add"(doubles a, doubles x, doubles y) noexcept nogil

    floats broadcast_floats "cnnx_spread_floats"(float w) noexcept nogil
    doubles broadcast_doubles "cnnx_spread_doubles"(double w) noexcept nogil
    floats in_register_floats "cnnx_kept_floats"(floats x) noexcept nogil
    doubles in_register_doubles "cnnx_kept_doubles"(doubles x) noexcept nogil

    void make_opaque "cnnx_make_opaque"(...) noexcept nogil

    enum:
        VECTOR_BYTES "CNNX_BYTES"
        MAX_LANES "(CNNX_BYTES / 4)"

cdef enum:
    SUM_BYTES = 64  # of a sum's partial sums, those of the widest vector: with narrower ones they take several


# A vector, as wide as the instruction set has them; it may lie at any address of its numbers. Of an
# argument `tag` only the type counts, which selects the fused specialisation; it is never read.
ctypedef fused vector:
    floats
    doubles


cdef inline Py_ssize_t size_of(vector* tag) noexcept nogil:
    # Of one number.
    return sizeof(float) if vector is floats else sizeof(double)


cdef inline Py_ssize_t lanes_in(vector* tag) noexcept nogil:
    return VECTOR_BYTES // size_of(tag)


cdef inline Py_ssize_t lanes_of(const floating* tag) noexcept nogil:
    return VECTOR_BYTES // <Py_ssize_t>sizeof(floating)


cdef inline vector* vector_at(const void* x, Py_ssize_t i, vector* tag) noexcept nogil:
    if vector is floats:
        return <vector*>(<const float*>x + i)
    else:
        return <vector*>(<const double*>x + i)


cdef inline vector broadcast(const void* w, Py_ssize_t i, vector* tag) noexcept nogil:
    # w[i] in every lane.
    if vector is floats:
        return broadcast_floats((<const float*>w)[i])
    else:
        return broadcast_doubles((<const double*>w)[i])


cdef inline vector in_register(vector x) noexcept nogil:
    # Optimisation barrier: or gcc would read x again as a memory operand of each FMA.
    if vector is floats:
        return in_register_floats(x)
    else:
        return in_register_doubles(x)


cdef inline vector fma_broadcast(vector a, const void* w, Py_ssize_t i, vector x) noexcept nogil:
    # a + w[i] x in every lane.
    if vector is floats:
        return fma_broadcast_floats(a, (<const float*>w)[i], x)
    else:
        return fma_broadcast_doubles(a, (<const double*>w)[i], x)


cdef inline vector fma(vector a, vector x, vector y) noexcept nogil:
    # a + x y.
    if vector is floats:
        return fma_floats(a, x, y)
    else:
        return fma_doubles(a, x, y)
