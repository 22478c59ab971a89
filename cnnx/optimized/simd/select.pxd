# What pooling does with vectors besides arithmetic: compare and choose, take every v-th number of a row. Offsets of
# winners are carried as whole numbers in lanes as wide as the numbers beside them, in variables of the vectors' own
# type, whose bits are then those of integers.

from libc.string cimport memcpy

from ..runtime.integers cimport max_of, min_of
from .shuffle cimport deinterleave
from .vector cimport (
    broadcast_doubles, broadcast_floats, doubles, floats, lanes_in, load, size_of, store, vector, vector_at,
)

cdef extern from *:
    """
    /* Lane i takes number 3 i of three vectors, in two steps. */
    #define CNNX_THIRD_2 0, 3
    #define CNNX_THIRD_4 0, 3, 6, 0
    #define CNNX_THIRD_8 0, 3, 6, 9, 12, 15, 0, 0
    #define CNNX_THIRD_16 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0
    #define CNNX_REST_2 0, 1
    #define CNNX_REST_4 0, 1, 2, 5
    #define CNNX_REST_8 0, 1, 2, 3, 4, 5, 10, 13
    #define CNNX_REST_16 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29

    /* Ones in all lanes from the n-th on, or before it. */
    #define CNNX_FROM(I, n) (*(const I##_in_memory*)((const char*)cnnx_ones + CNNX_BYTES - (n)))
    #define CNNX_BEFORE(I, n) (*(const I##_in_memory*)((const char*)cnnx_ones + 2 * CNNX_BYTES - (n)))
    static const int32_t cnnx_ones[3 * CNNX_BYTES / 4] = {[CNNX_BYTES / 4 ... 2 * CNNX_BYTES / 4 - 1] = -1};

    /* a where it is larger, or less, than b; else b, also where either is NaN. */
    #if defined(__AVX512F__) && CNNX_BYTES == 64
    #define cnnx_floats_MAX(a, b) ((cnnx_floats)_mm512_max_ps((__m512)(a), (__m512)(b)))
    #define cnnx_floats_MIN(a, b) ((cnnx_floats)_mm512_min_ps((__m512)(a), (__m512)(b)))
    #define cnnx_doubles_MAX(a, b) ((cnnx_doubles)_mm512_max_pd((__m512d)(a), (__m512d)(b)))
    #define cnnx_doubles_MIN(a, b) ((cnnx_doubles)_mm512_min_pd((__m512d)(a), (__m512d)(b)))
    #elif defined(__AVX2__) && CNNX_BYTES == 32
    #define cnnx_floats_MAX(a, b) ((cnnx_floats)_mm256_max_ps((__m256)(a), (__m256)(b)))
    #define cnnx_floats_MIN(a, b) ((cnnx_floats)_mm256_min_ps((__m256)(a), (__m256)(b)))
    #define cnnx_doubles_MAX(a, b) ((cnnx_doubles)_mm256_max_pd((__m256d)(a), (__m256d)(b)))
    #define cnnx_doubles_MIN(a, b) ((cnnx_doubles)_mm256_min_pd((__m256d)(a), (__m256d)(b)))
    #else
    #define cnnx_floats_MAX(a, b) cnnx_floats_choose((a) > (b), a, b)
    #define cnnx_floats_MIN(a, b) cnnx_floats_choose((a) < (b), a, b)
    #define cnnx_doubles_MAX(a, b) cnnx_doubles_choose((a) > (b), a, b)
    #define cnnx_doubles_MIN(a, b) cnnx_doubles_choose((a) < (b), a, b)
    #endif

    /* V: vectors of numbers; I: of integers as wide, each a WHOLE. */
    #define CNNX_LANES(V, I, WHOLE, LANES) \\
        static inline V V##_choose(I k, V a, V b) { return (V)((k & (I)a) | (~k & (I)b)); } \\
        /* The larger of a and m; m where they are equal, NaN where either is. */ \\
        static inline V V##_larger(V a, V m) { return V##_choose(a != a, a, V##_MAX(a, m)); } \\
        static inline V V##_clip(V a, V low, V high) { return V##_choose(a <= low, low, V##_MIN(high, a)); } \\
        /* Into m and i: a and j where a is larger, or the first NaN. */ \\
        static inline void V##_take(V a, V j, V* m, V* i) { \\
            I k = (a > *m) | ((a != a) & (*m == *m)); \\
            *m = V##_choose(k, a, *m); \\
            *i = V##_choose(k, j, *i); \\
        } \\
        /* The lesser of i and j + s where a is the maximum m, else i. */ \\
        static inline V V##_earlier(V a, V m, V i, V j, WHOLE s) { \\
            I moved = (I)j + s; \\
            I k = ((a == m) | (a != a)) & (moved < (I)i); \\
            return V##_choose(k, (V)moved, i); \\
        } \\
        static inline V V##_whole(WHOLE i) { return (V)(i - (I){0}); } \\
        static inline V V##_where_whole(V d, V b, V i) { return (V)((I)d & ((I)b == (I)i)); } \\
        static inline V V##_where_equal(V d, V z, V y) { return (V)((I)d & (z == y)); } \\
        static inline V V##_between(V a, Py_ssize_t first, Py_ssize_t end) { \\
            return (V)((I)a & CNNX_FROM(I, first * sizeof(WHOLE)) & CNNX_BEFORE(I, end * sizeof(WHOLE))); \\
        } \\
        static inline V V##_third(V a, V b, V c) { \\
            return cnnx_shuffle(cnnx_shuffle(a, b, LANES(THIRD)), c, LANES(REST)); \\
        }

    CNNX_LANES(cnnx_floats, cnnx_ints, int32_t, CNNX_FLOAT_LANES)
    CNNX_LANES(cnnx_doubles, cnnx_longs, int64_t, CNNX_DOUBLE_LANES)

    /* All ones in the last `rest` lanes. */
    static const int32_t cnnx_last_ints[2 * CNNX_BYTES / 4] = {
        [CNNX_BYTES / 4 ... 2 * CNNX_BYTES / 4 - 1] = -1};
    static const int64_t cnnx_last_longs[2 * CNNX_BYTES / 8] = {
        [CNNX_BYTES / 8 ... 2 * CNNX_BYTES / 8 - 1] = -1};
    #define cnnx_last_of_floats(x, rest) \
        ((cnnx_floats)((cnnx_ints)(x) & *(const cnnx_ints_in_memory*)(cnnx_last_ints + (rest))))
    #define cnnx_last_of_doubles(x, rest) \
        ((cnnx_doubles)((cnnx_longs)(x) & *(const cnnx_longs_in_memory*)(cnnx_last_longs + (rest))))
    """
    floats floats_least "cnnx_floats_MIN"(floats a, floats b) noexcept nogil
    doubles doubles_least "cnnx_doubles_MIN"(doubles a, doubles b) noexcept nogil
    floats floats_larger "cnnx_floats_larger"(floats a, floats m) noexcept nogil
    doubles doubles_larger "cnnx_doubles_larger"(doubles a, doubles m) noexcept nogil
    floats floats_clip "cnnx_floats_clip"(floats a, floats low, floats high) noexcept nogil
    doubles doubles_clip "cnnx_doubles_clip"(doubles a, doubles low, doubles high) noexcept nogil
    void floats_take "cnnx_floats_take"(floats a, floats j, floats* m, floats* i) noexcept nogil
    void doubles_take "cnnx_doubles_take"(doubles a, doubles j, doubles* m, doubles* i) noexcept nogil
    floats floats_earlier "cnnx_floats_earlier"(floats a, floats m, floats i, floats j, Py_ssize_t s) noexcept nogil
    doubles doubles_earlier "cnnx_doubles_earlier"(doubles a, doubles m, doubles i, doubles j,
                                                   Py_ssize_t s) noexcept nogil
    floats floats_whole "cnnx_floats_whole"(Py_ssize_t i) noexcept nogil
    doubles doubles_whole "cnnx_doubles_whole"(Py_ssize_t i) noexcept nogil
    floats floats_where_whole "cnnx_floats_where_whole"(floats d, floats b, floats i) noexcept nogil
    doubles doubles_where_whole "cnnx_doubles_where_whole"(doubles d, doubles b, doubles i) noexcept nogil
    floats floats_where_equal "cnnx_floats_where_equal"(floats d, floats z, floats y) noexcept nogil
    doubles doubles_where_equal "cnnx_doubles_where_equal"(doubles d, doubles z, doubles y) noexcept nogil
    floats floats_between "cnnx_floats_between"(floats a, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    doubles doubles_between "cnnx_doubles_between"(doubles a, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    floats floats_third "cnnx_floats_third"(floats a, floats b, floats c) noexcept nogil
    doubles doubles_third "cnnx_doubles_third"(doubles a, doubles b, doubles c) noexcept nogil
    floats last_of_floats "cnnx_last_of_floats"(floats x, Py_ssize_t rest) noexcept nogil
    doubles last_of_doubles "cnnx_last_of_doubles"(doubles x, Py_ssize_t rest) noexcept nogil


cdef inline vector maximum(vector a, vector m) noexcept nogil:
    # The larger of a and m; m where they are equal, NaN where either is.
    if vector is floats:
        return floats_larger(a, m)
    else:
        return doubles_larger(a, m)


cdef inline vector least(vector a, vector b) noexcept nogil:
    # The lesser of a and b; b where either is NaN.
    if vector is floats:
        return floats_least(a, b)
    else:
        return doubles_least(a, b)


cdef inline vector clip(vector a, vector low, vector high) noexcept nogil:
    # low where a <= low, high where a > high, else a: NaN stays.
    if vector is floats:
        return floats_clip(a, low, high)
    else:
        return doubles_clip(a, low, high)


cdef inline void update_maximum(vector a, vector j, vector* m, vector* i) noexcept nogil:
    # Into m and i: a and j where a is larger, or the first NaN.
    if vector is floats:
        floats_take(a, j, m, i)
    else:
        doubles_take(a, j, m, i)


cdef inline vector first_winner(vector a, vector m, vector i, vector j, Py_ssize_t s) noexcept nogil:
    # The lesser of i and j + s where a is the maximum m, else i.
    if vector is floats:
        return floats_earlier(a, m, i, j, s)
    else:
        return doubles_earlier(a, m, i, j, s)


cdef inline vector broadcast_index(Py_ssize_t i, vector* tag) noexcept nogil:
    # i in every lane.
    if vector is floats:
        return floats_whole(i)
    else:
        return doubles_whole(i)


cdef inline vector where_index(vector d, vector b, vector i) noexcept nogil:
    # d where the integers b and i are equal, else 0.
    if vector is floats:
        return floats_where_whole(d, b, i)
    else:
        return doubles_where_whole(d, b, i)


cdef inline vector where_equal(vector d, vector z, vector y) noexcept nogil:
    # d where z = y, else 0.
    if vector is floats:
        return floats_where_equal(d, z, y)
    else:
        return doubles_where_equal(d, z, y)


cdef inline vector mask_between(vector a, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    # a in lanes first ... end - 1, 0 in the others.
    cdef vector* tag = NULL
    cdef Py_ssize_t lanes = lanes_in(tag)
    first, end = max_of(0, min_of(first, lanes)), max_of(0, min_of(end, lanes))
    if vector is floats:
        return floats_between(a, first, end)
    else:
        return doubles_between(a, first, end)


cdef inline vector load_strided(const void* x, Py_ssize_t i, int v, vector* tag) noexcept nogil:
    # x[i], x[i + v], x[i + 2 v], ...; v <= 4. Whole vectors are read: v lanes numbers.
    # Addresses are added up, not integers: a function that checks its arithmetic could return no vector.
    cdef Py_ssize_t lanes = lanes_in(tag)
    cdef const void* second
    cdef const void* third
    cdef vector a = load(x, i, tag), b, odd
    if v == 1:
        return a
    second = vector_at(vector_at(x, i, tag), lanes, tag)
    third = vector_at(second, lanes, tag)
    b = load(second, 0, tag)
    if v == 3:
        if vector is floats:
            return floats_third(a, b, load(third, 0, tag))
        else:
            return doubles_third(a, b, load(third, 0, tag))
    deinterleave(a, b, &a, &odd)
    if v == 4:
        deinterleave(load(third, 0, tag), load(third, lanes, tag), &b, &odd)
        deinterleave(a, b, &a, &odd)
    return a


cdef inline void load_partial(vector* to, const void* x, Py_ssize_t i, Py_ssize_t n, bint full) noexcept nogil:
    # x[i], ..., x[i + n - 1] as a vector, a whole one if `full`; else the lanes behind them hold x[i] too.
    # No vector is returned: a function that checks its arithmetic could not return one where that fails.
    if full:
        to[0] = load(x, i, to)
        return
    if vector is floats:
        to[0] = broadcast_floats((<const float*>x)[i])
    else:
        to[0] = broadcast_doubles((<const double*>x)[i])
    memcpy(to, vector_at(x, i, to), n * size_of(to))


cdef inline void store_partial(vector a, void* y, Py_ssize_t i, Py_ssize_t n, vector* tag) noexcept nogil:
    # y[i], ..., y[i + n - 1] = the first n lanes of a.
    cdef vector edge
    if n >= lanes_in(tag):
        store(a, y, i)
    else:  # of a itself gcc would take the address, and write it to memory before it compares
        edge = a
        memcpy(vector_at(y, i, tag), &edge, n * size_of(tag))


cdef inline vector last_of(vector x, Py_ssize_t rest) noexcept nogil:
    # x in the last `rest` lanes, whatever the others hold 0.
    if vector is floats:
        return last_of_floats(x, rest)
    else:
        return last_of_doubles(x, rest)
