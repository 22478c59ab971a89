# Lanes that change places: of two vectors, or of a square of them, whose rows become columns.

from cython cimport floating
from libc.string cimport memcpy

from .vector cimport (
    MAX_LANES, broadcast_doubles, broadcast_floats, doubles, floats, lanes_in, load, size_of, store, vector, vector_at,
)

cdef extern from *:
    """
    #if defined(__clang__) || __GNUC__ >= 12
    #define cnnx_shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define cnnx_shuffle(a, b, ...) __builtin_shuffle(a, b, (__typeof__((a) < (b))){__VA_ARGS__})
    #endif

    /* Of the numbers of a and then b: those at even and at odd places; and the two halves of a0 b0 a1 b1 ... */
    #define CNNX_EVEN_2 0, 2
    #define CNNX_EVEN_4 0, 2, 4, 6
    #define CNNX_EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
    #define CNNX_EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
    #define CNNX_ODD_2 1, 3
    #define CNNX_ODD_4 1, 3, 5, 7
    #define CNNX_ODD_8 1, 3, 5, 7, 9, 11, 13, 15
    #define CNNX_ODD_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
    #define CNNX_LOW_2 0, 2
    #define CNNX_LOW_4 0, 4, 1, 5
    #define CNNX_LOW_8 0, 8, 1, 9, 2, 10, 3, 11
    #define CNNX_LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
    #define CNNX_HIGH_2 1, 3
    #define CNNX_HIGH_4 2, 6, 3, 7
    #define CNNX_HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
    #define CNNX_HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

    /* A square is transposed stage by stage, s = L/2, ..., 2, 1: of the rows i and i + s, the lanes with bit s of the
       one change places with those without it of the other. */
    #define CNNX_LOWER(j, s, L) ((j) & (s) ? (j) - (s) + (L) : (j))
    #define CNNX_UPPER(j, s, L) ((j) & (s) ? (j) + (L) : (j) + (s))
    #define CNNX_2(f, j, s, L) f(j, s, L), f(j + 1, s, L)
    #define CNNX_4(f, j, s, L) CNNX_2(f, j, s, L), CNNX_2(f, j + 2, s, L)
    #define CNNX_8(f, j, s, L) CNNX_4(f, j, s, L), CNNX_4(f, j + 4, s, L)
    #define CNNX_16(f, j, s, L) CNNX_8(f, j, s, L), CNNX_8(f, j + 8, s, L)
    #define CNNX_STAGE(V, s, L) \\
        _Pragma("GCC unroll 16") \\
        for (int i = 0; i < L; i++) if (!(i & s)) { \\
            V low = cnnx_shuffle(a[i], a[i + s], CNNX_##L(CNNX_LOWER, 0, s, L)); \\
            a[i + s] = cnnx_shuffle(a[i], a[i + s], CNNX_##L(CNNX_UPPER, 0, s, L)); \\
            a[i] = low; \\
        }
    #define CNNX_STAGES_2(V, L) CNNX_STAGE(V, 1, L)
    #define CNNX_STAGES_4(V, L) CNNX_STAGE(V, 2, L) CNNX_STAGES_2(V, L)
    #define CNNX_STAGES_8(V, L) CNNX_STAGE(V, 4, L) CNNX_STAGES_4(V, L)
    #define CNNX_STAGES_16(V, L) CNNX_STAGE(V, 8, L) CNNX_STAGES_8(V, L)
    #define CNNX_SQUARE(V, L) \\
        static inline __attribute__((always_inline)) void V##_transpose(V* a) { CNNX_STAGES_##L(V, L) }
    #if CNNX_BYTES == 64
    #define CNNX_FLOAT_LANES(list) CNNX_##list##_16
    #define CNNX_DOUBLE_LANES(list) CNNX_##list##_8
    CNNX_SQUARE(cnnx_floats, 16)
    CNNX_SQUARE(cnnx_doubles, 8)
    #elif CNNX_BYTES == 32
    #define CNNX_FLOAT_LANES(list) CNNX_##list##_8
    #define CNNX_DOUBLE_LANES(list) CNNX_##list##_4
    CNNX_SQUARE(cnnx_floats, 8)
    CNNX_SQUARE(cnnx_doubles, 4)
    #else
    #define CNNX_FLOAT_LANES(list) CNNX_##list##_4
    #define CNNX_DOUBLE_LANES(list) CNNX_##list##_2
    CNNX_SQUARE(cnnx_floats, 4)
    CNNX_SQUARE(cnnx_doubles, 2)
    #endif
    #define cnnx_even_floats(a, b) cnnx_shuffle(a, b, CNNX_FLOAT_LANES(EVEN))
    #define cnnx_odd_floats(a, b) cnnx_shuffle(a, b, CNNX_FLOAT_LANES(ODD))
    #define cnnx_low_floats(a, b) cnnx_shuffle(a, b, CNNX_FLOAT_LANES(LOW))
    #define cnnx_high_floats(a, b) cnnx_shuffle(a, b, CNNX_FLOAT_LANES(HIGH))
    #define cnnx_even_doubles(a, b) cnnx_shuffle(a, b, CNNX_DOUBLE_LANES(EVEN))
    #define cnnx_odd_doubles(a, b) cnnx_shuffle(a, b, CNNX_DOUBLE_LANES(ODD))
    #define cnnx_low_doubles(a, b) cnnx_shuffle(a, b, CNNX_DOUBLE_LANES(LOW))
    #define cnnx_high_doubles(a, b) cnnx_shuffle(a, b, CNNX_DOUBLE_LANES(HIGH))
    """
    floats even_floats "cnnx_even_floats"(floats a, floats b) noexcept nogil
    floats odd_floats "cnnx_odd_floats"(floats a, floats b) noexcept nogil
    floats low_floats "cnnx_low_floats"(floats a, floats b) noexcept nogil
    floats high_floats "cnnx_high_floats"(floats a, floats b) noexcept nogil
    doubles even_doubles "cnnx_even_doubles"(doubles a, doubles b) noexcept nogil
    doubles odd_doubles "cnnx_odd_doubles"(doubles a, doubles b) noexcept nogil
    doubles low_doubles "cnnx_low_doubles"(doubles a, doubles b) noexcept nogil
    doubles high_doubles "cnnx_high_doubles"(doubles a, doubles b) noexcept nogil
    void transpose_floats "cnnx_floats_transpose"(floats* a) noexcept nogil
    void transpose_doubles "cnnx_doubles_transpose"(doubles* a) noexcept nogil


cdef inline void deinterleave(vector a, vector b, vector* even, vector* odd) noexcept nogil:
    # The numbers at even places of a and then b, and those at odd ones.
    if vector is floats:
        even[0] = even_floats(a, b)
        odd[0] = odd_floats(a, b)
    else:
        even[0] = even_doubles(a, b)
        odd[0] = odd_doubles(a, b)


cdef inline void interleave(vector even, vector odd, vector* a, vector* b) noexcept nogil:
    # The other way round: even[0], odd[0], even[1], odd[1], ...
    if vector is floats:
        a[0] = low_floats(even, odd)
        b[0] = high_floats(even, odd)
    else:
        a[0] = low_doubles(even, odd)
        b[0] = high_doubles(even, odd)


cdef inline void load_zero_filled(const void* x, Py_ssize_t i, Py_ssize_t count, vector* a) noexcept nogil:
    # The vector x[i], ..., x[i + count - 1], 0, ..., 0.
    if count == lanes_in(a):
        a[0] = load(x, i, a)
        return
    if vector is floats:
        a[0] = broadcast_floats(0)
    else:
        a[0] = broadcast_doubles(0)
    if count > 0:
        memcpy(a, vector_at(x, i, a), count * size_of(a))


cdef inline void transpose_square(vector* a) noexcept nogil:
    # As many vectors as each has lanes.
    if vector is floats:
        transpose_floats(a)
    else:
        transpose_doubles(a)


cdef inline void transpose_block(const void* x, Py_ssize_t x_row, Py_ssize_t K, Py_ssize_t L, void* y, Py_ssize_t y_row,
                                 Py_ssize_t width, vector* tag) noexcept nogil:
    cdef vector a[MAX_LANES]
    cdef Py_ssize_t size = size_of(tag), lanes = lanes_in(tag), k
    if K == lanes and L == lanes:
        for k in range(lanes):
            a[k] = load(x, k * x_row, tag)
    else:
        for k in range(lanes):
            load_zero_filled(x, k * x_row, L if k < K else 0, a + k)
    transpose_square(a)
    if L == lanes and width == lanes:
        for k in range(lanes):
            store(a[k], y, k * y_row)
    else:
        for k in range(L):
            memcpy(vector_at(y, k * y_row, tag), &a[k], width * size)


cdef inline void transpose(const floating* x, Py_ssize_t x_row, Py_ssize_t K, Py_ssize_t L, floating* y,
                           Py_ssize_t y_row, Py_ssize_t width) noexcept nogil:
    # y[l y_row + k] = x[k x_row + l] for l < L and k < K; 0 for K <= k < width. All three are at most a vector's lanes.
    if floating is float:
        transpose_block[floats](x, x_row, K, L, y, y_row, width, NULL)
    else:
        transpose_block[doubles](x, x_row, K, L, y, y_row, width, NULL)
