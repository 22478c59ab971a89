# Vectors as gcc and clang have them, as wide as the instruction set's registers: whether plain loops become vectors
# depends on their extents (8 x 48 does, 8 x 16 does not).

from cython cimport floating

cdef extern from "cnnx/optimized/simd/instruction_set.h":
    pass

cdef extern from *:
    """
    #include <stdint.h>
    typedef float cnnx_floats __attribute__((vector_size(CNNX_BYTES), may_alias));
    typedef double cnnx_doubles __attribute__((vector_size(CNNX_BYTES), may_alias));
    typedef int32_t cnnx_ints __attribute__((vector_size(CNNX_BYTES), may_alias));
    typedef int64_t cnnx_longs __attribute__((vector_size(CNNX_BYTES), may_alias));
    /* As they lie in memory. Variables are aligned: gcc gives what has another alignment than an intrinsic's result a
       register of its own, and copies from one to the other in every turn of a loop. */
    typedef float cnnx_floats_in_memory __attribute__((vector_size(CNNX_BYTES), aligned(4), may_alias));
    typedef double cnnx_doubles_in_memory __attribute__((vector_size(CNNX_BYTES), aligned(8), may_alias));
    typedef int32_t cnnx_ints_in_memory __attribute__((vector_size(CNNX_BYTES), aligned(4), may_alias));
    typedef int64_t cnnx_longs_in_memory __attribute__((vector_size(CNNX_BYTES), aligned(8), may_alias));
    #define cnnx_load_floats(x) ((cnnx_floats)*(const cnnx_floats_in_memory*)(x))
    #define cnnx_load_doubles(x) ((cnnx_doubles)*(const cnnx_doubles_in_memory*)(x))
    #define cnnx_store_floats(a, y) ((void)(*(cnnx_floats_in_memory*)(y) = (a)))
    #define cnnx_store_doubles(a, y) ((void)(*(cnnx_doubles_in_memory*)(y) = (a)))

    /* a + x y and a + w x, rounded once where the instruction set has a fused multiply-add. */
    #if !CNNX_FMA
    #define cnnx_fma_floats(a, x, y) ((a) + (x) * (y))
    #define cnnx_fma_doubles(a, x, y) ((a) + (x) * (y))
    #elif defined(__AVX512F__) && CNNX_BYTES == 64
    #define cnnx_fma_floats(a, x, y) ((cnnx_floats)_mm512_fmadd_ps((__m512)(x), (__m512)(y), (__m512)(a)))
    #define cnnx_fma_doubles(a, x, y) ((cnnx_doubles)_mm512_fmadd_pd((__m512d)(x), (__m512d)(y), (__m512d)(a)))
    #elif defined(__AVX2__) && CNNX_BYTES == 32
    #define cnnx_fma_floats(a, x, y) ((cnnx_floats)_mm256_fmadd_ps((__m256)(x), (__m256)(y), (__m256)(a)))
    #define cnnx_fma_doubles(a, x, y) ((cnnx_doubles)_mm256_fmadd_pd((__m256d)(x), (__m256d)(y), (__m256d)(a)))
    #elif defined(__aarch64__) && CNNX_BYTES == 16 && !defined(__clang__)
    /* To gcc NEON's intrinsics read the rounding mode, which may lie in memory for all it knows: beside them it keeps
       no sum of a loop in a register alone, and stores all of them in every turn. */
    #define CNNX_FMLA(NAME, NUMBERS, FACTOR, OPERANDS) \\
        static inline __attribute__((always_inline)) NUMBERS NAME(NUMBERS a, FACTOR x, NUMBERS y) { \\
            __asm__("fmla " OPERANDS : "+w"(a) : "w"(x), "w"(y)); \\
            return a; \\
        }
    CNNX_FMLA(cnnx_fma_floats, cnnx_floats, cnnx_floats, "%0.4s, %1.4s, %2.4s")
    CNNX_FMLA(cnnx_fma_doubles, cnnx_doubles, cnnx_doubles, "%0.2d, %1.2d, %2.2d")
    CNNX_FMLA(cnnx_fma_broadcast_floats, cnnx_floats, float, "%0.4s, %2.4s, %1.s[0]")
    CNNX_FMLA(cnnx_fma_broadcast_doubles, cnnx_doubles, double, "%0.2d, %2.2d, %1.d[0]")
    #elif defined(__aarch64__) && CNNX_BYTES == 16
    #define cnnx_fma_floats(a, x, y) ((cnnx_floats)vfmaq_f32((float32x4_t)(a), (float32x4_t)(x), (float32x4_t)(y)))
    #define cnnx_fma_doubles(a, x, y) ((cnnx_doubles)vfmaq_f64((float64x2_t)(a), (float64x2_t)(x), (float64x2_t)(y)))
    #else  /* lane by lane: vectors of another width than the registers' */
    static inline __attribute__((always_inline)) cnnx_floats cnnx_fma_floats(cnnx_floats a, cnnx_floats x,
                                                                             cnnx_floats y) {
        for (int i = 0; i < CNNX_BYTES / 4; i++) a[i] = __builtin_fmaf(x[i], y[i], a[i]);
        return a;
    }
    static inline __attribute__((always_inline)) cnnx_doubles cnnx_fma_doubles(cnnx_doubles a, cnnx_doubles x,
                                                                               cnnx_doubles y) {
        for (int i = 0; i < CNNX_BYTES / 8; i++) a[i] = __builtin_fma(x[i], y[i], a[i]);
        return a;
    }
    #endif
    #if defined(CNNX_FMLA)
    #elif CNNX_FMA && defined(__aarch64__) && CNNX_BYTES == 16  /* fmla by element */
    #define cnnx_fma_broadcast_floats(a, w, x) ((cnnx_floats)vfmaq_n_f32((float32x4_t)(a), (float32x4_t)(x), w))
    #define cnnx_fma_broadcast_doubles(a, w, x) ((cnnx_doubles)vfmaq_n_f64((float64x2_t)(a), (float64x2_t)(x), w))
    #elif CNNX_FMA
    #define cnnx_fma_broadcast_floats(a, w, x) cnnx_fma_floats(a, cnnx_spread_floats(w), x)
    #define cnnx_fma_broadcast_doubles(a, w, x) cnnx_fma_doubles(a, cnnx_spread_doubles(w), x)
    #else
    #define cnnx_fma_broadcast_floats(a, w, x) ((a) + (w) * (x))
    #define cnnx_fma_broadcast_doubles(a, w, x) ((a) + (w) * (x))
    #endif

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
    floats fma_broadcast_floats "cnnx_fma_broadcast_floats"(floats a, float w, floats x) noexcept nogil
    doubles fma_broadcast_doubles "cnnx_fma_broadcast_doubles"(doubles a, double w, doubles x) noexcept nogil
    floats fma_floats "cnnx_fma_floats"(floats a, floats x, floats y) noexcept nogil
    doubles fma_doubles "cnnx_fma_doubles"(doubles a, doubles x, doubles y) noexcept nogil

    floats load_floats "cnnx_load_floats"(const float* x) noexcept nogil
    doubles load_doubles "cnnx_load_doubles"(const double* x) noexcept nogil
    void store_floats "cnnx_store_floats"(floats a, float* y) noexcept nogil
    void store_doubles "cnnx_store_doubles"(doubles a, double* y) noexcept nogil
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


# A vector, as wide as the instruction set has them. load() and store() read and write arrays, at any address of a
# number. Of an argument `tag` only the type counts, which selects the fused specialisation; it is never read.
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


cdef inline void* vector_at(const void* x, Py_ssize_t i, vector* tag) noexcept nogil:
    # The address of x[i].
    if vector is floats:
        return <void*>(<const float*>x + i)
    else:
        return <void*>(<const double*>x + i)


cdef inline vector load(const void* x, Py_ssize_t i, vector* tag) noexcept nogil:
    # x[i], x[i + 1], ...
    if vector is floats:
        return load_floats(<const float*>x + i)
    else:
        return load_doubles(<const double*>x + i)


cdef inline void store(vector a, void* y, Py_ssize_t i) noexcept nogil:
    # y[i], y[i + 1], ... = a.
    if vector is floats:
        store_floats(a, <float*>y + i)
    else:
        store_doubles(a, <double*>y + i)


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
