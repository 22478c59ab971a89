# Partial sums put together, as a tree of halves: as many as SUM_BYTES hold, whatever the vectors' width; of as many
# sums at once, which are the lanes in the end.

from cython cimport floating

from .shuffle cimport transpose_doubles  # and the macros beside it
from .vector cimport MAX_LANES, SUM_BYTES, VECTOR_BYTES, doubles, floats, lanes_in, load, store, vector

cdef extern from *:
    """
    /* A square is transposed, and what would change places is added up instead: lane i of the last row that is left has
       the sum of a[i]'s lanes, as a tree of halves. */
    #define CNNX_HALVES(s, L) \\
        _Pragma("GCC unroll 16") \\
        for (int i = 0; i < s; i++) { \\
            a[i] = cnnx_shuffle(a[i], a[i + s], CNNX_##L(CNNX_LOWER, 0, s, L)) \\
                   + cnnx_shuffle(a[i], a[i + s], CNNX_##L(CNNX_UPPER, 0, s, L)); \\
        }
    #define CNNX_TREES_2(L) CNNX_HALVES(1, L)
    #define CNNX_TREES_4(L) CNNX_HALVES(2, L) CNNX_TREES_2(L)
    #define CNNX_TREES_8(L) CNNX_HALVES(4, L) CNNX_TREES_4(L)
    #define CNNX_TREES_16(L) CNNX_HALVES(8, L) CNNX_TREES_8(L)
    #define CNNX_TREES(V, L) static inline __attribute__((always_inline)) void V##_trees(V* a) { CNNX_TREES_##L(L) }
    #if CNNX_BYTES == 64
    CNNX_TREES(cnnx_floats, 16)
    CNNX_TREES(cnnx_doubles, 8)
    #elif CNNX_BYTES == 32
    CNNX_TREES(cnnx_floats, 8)
    CNNX_TREES(cnnx_doubles, 4)
    #else
    CNNX_TREES(cnnx_floats, 4)
    CNNX_TREES(cnnx_doubles, 2)
    #endif
    """
    void trees_of_floats "cnnx_floats_trees"(floats* a) noexcept nogil
    void trees_of_doubles "cnnx_doubles_trees"(doubles* a) noexcept nogil

cdef enum:
    MOST_TREES = 16  # sums at once, and partial sums of each: of floats
    PIECES = SUM_BYTES // VECTOR_BYTES  # vectors of a sum's partial sums


cdef inline Py_ssize_t trees_of(const floating* tag) noexcept nogil:
    return SUM_BYTES // <Py_ssize_t>sizeof(floating)


cdef inline void sum_vectors(const void* parts, void* total, vector* tag) noexcept nogil:
    cdef vector a[MAX_LANES]
    cdef vector b[PIECES]
    cdef Py_ssize_t lanes = lanes_in(tag), L = PIECES * lanes, first = 0, k
    cdef int i, half
    while first < L:
        for k in range(lanes):
            for i in range(PIECES):
                b[i] = load(parts, (first + k) * L + i * lanes, tag)
            half = PIECES // 2
            while half > 0:
                for i in range(half):
                    b[i] = b[i] + b[i + half]
                half //= 2
            a[k] = b[0]
        if vector is floats:
            trees_of_floats(a)
        else:
            trees_of_doubles(a)
        store(a[0], total, first)
        first += lanes


cdef inline void sum_trees(const floating* parts, floating* total) noexcept nogil:
    # total[i] = the sum of parts[i L + k] over k, for L sums i.
    if floating is float:
        sum_vectors[floats](parts, total, NULL)
    else:
        sum_vectors[doubles](parts, total, NULL)
