# Squares of vectors turned: rows become columns, or the numbers of each vector are summed into one lane.

from cython cimport floating
from libc.string cimport memcpy

from ._tile cimport VECTOR_BYTES, doubles, floats, spread_doubles, spread_floats, vector, vector_at

cdef extern from *:
    """
    /* Two vectors interleaved: log2(L) rounds of it over L vectors, of the k-th and the (k + L/2)-th, turn a square. */
    #if defined(__clang__)
    #define cnnx_shuffle(a, b, type, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define cnnx_shuffle(a, b, type, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
    #endif
    #define CNNX_LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
    #define CNNX_HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
    #define CNNX_LOW_8 0, 8, 1, 9, 2, 10, 3, 11
    #define CNNX_HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
    #define CNNX_LOW_4 0, 4, 1, 5
    #define CNNX_HIGH_4 2, 6, 3, 7
    #define CNNX_LOW_2 0, 2
    #define CNNX_HIGH_2 1, 3

    #define CNNX_SQUARES(vectors, index, L) \\
    typedef index vectors##_index __attribute__((vector_size(CNNX_BYTES))); \\
    static inline __attribute__((always_inline)) void vectors##_interleave(vectors *c, vectors a, vectors b) { \\
        c[0] = cnnx_shuffle(a, b, vectors##_index, CNNX_LOW_##L); \\
        c[1] = cnnx_shuffle(a, b, vectors##_index, CNNX_HIGH_##L); \\
    } \\
    static inline __attribute__((always_inline)) void vectors##_turn(vectors *a) { \\
        vectors c[L]; \\
        _Pragma("GCC unroll 4") \\
        for (int round = 1; round < L; round *= 2) { \\
            _Pragma("GCC unroll 8") \\
            for (int k = 0; k < L / 2; k++) vectors##_interleave(c + 2 * k, a[k], a[k + L / 2]); \\
            _Pragma("GCC unroll 16") \\
            for (int k = 0; k < L; k++) a[k] = c[k]; \\
        } \\
    } \\
    static inline __attribute__((always_inline)) void vectors##_fold(vectors *a) { \\
        vectors c[2]; \\
        _Pragma("GCC unroll 4") \\
        for (int rest = L / 2; rest > 0; rest /= 2) { \\
            _Pragma("GCC unroll 8") \\
            for (int k = 0; k < rest; k++) { \\
                vectors##_interleave(c, a[k], a[k + rest]); \\
                a[k] = c[0] + c[1]; \\
            } \\
        } \\
    }
    #if CNNX_BYTES == 64
    CNNX_SQUARES(cnnx_floats, int, 16)
    CNNX_SQUARES(cnnx_doubles, long long, 8)
    #elif CNNX_BYTES == 32
    CNNX_SQUARES(cnnx_floats, int, 8)
    CNNX_SQUARES(cnnx_doubles, long long, 4)
    #else
    CNNX_SQUARES(cnnx_floats, int, 4)
    CNNX_SQUARES(cnnx_doubles, long long, 2)
    #endif
    """
    void turn_floats "cnnx_floats_turn"(floats* a) noexcept nogil
    void turn_doubles "cnnx_doubles_turn"(doubles* a) noexcept nogil
    void fold_floats "cnnx_floats_fold"(floats* a) noexcept nogil
    void fold_doubles "cnnx_doubles_fold"(doubles* a) noexcept nogil

    enum:
        MOST_LANES "CNNX_BYTES / 4"


cdef inline void fold(vector* a) noexcept nogil:
    # a[0] becomes, in lane k, the sum of all numbers of a[k], for as many vectors as a vector has lanes.
    if vector is floats:
        fold_floats(a)
    else:
        fold_doubles(a)


cdef inline void first(const void* x, Py_ssize_t i, Py_ssize_t count, vector* a) noexcept nogil:
    # The vector x[i], ..., x[i + count - 1], 0, ..., 0.
    cdef Py_ssize_t size = sizeof(float) if vector is floats else sizeof(double)
    if count == VECTOR_BYTES // size:
        a[0] = vector_at(x, i, a)[0]
        return
    if vector is floats:
        a[0] = spread_floats(0)
    else:
        a[0] = spread_doubles(0)
    if count > 0:
        memcpy(a, vector_at(x, i, a), count * size)


cdef inline void turn_of(const void* x, Py_ssize_t x_row, Py_ssize_t K, Py_ssize_t L, void* y, Py_ssize_t y_row,
                         Py_ssize_t width, vector* kind) noexcept nogil:
    cdef vector a[MOST_LANES]
    cdef Py_ssize_t size = sizeof(float) if vector is floats else sizeof(double), lanes = VECTOR_BYTES // size
    cdef Py_ssize_t k
    if K == lanes and L == lanes:
        for k in range(lanes):
            a[k] = vector_at(x, k * x_row, kind)[0]
    else:
        for k in range(lanes):
            first(x, k * x_row, L if k < K else 0, a + k)
    if vector is floats:
        turn_floats(a)
    else:
        turn_doubles(a)
    if L == lanes and width == lanes:
        for k in range(lanes):
            vector_at(y, k * y_row, kind)[0] = a[k]
    else:
        for k in range(L):
            memcpy(vector_at(y, k * y_row, kind), &a[k], width * size)


cdef inline void turn(const floating* x, Py_ssize_t x_row, Py_ssize_t K, Py_ssize_t L, floating* y, Py_ssize_t y_row,
                      Py_ssize_t width) noexcept nogil:
    # y[l y_row + k] = x[k x_row + l] for l < L and k < K; 0 for K <= k < width. All three are at most a vector's lanes.
    if floating is float:
        turn_of[floats](x, x_row, K, L, y, y_row, width, NULL)
    else:
        turn_of[doubles](x, x_row, K, L, y, y_row, width, NULL)
