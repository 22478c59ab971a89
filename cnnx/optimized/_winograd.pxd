# The transforms of Winograd's algorithm (W1-W3), each lane of a vector a tile: A, B and G have few numbers, which stand
# here in the sums themselves. m is the tile's extent, 2 or 4, a constant wherever these are called.

from ._tile cimport VECTOR_BYTES, doubles, floats, spread, vector, vector_at

cdef extern from *:
    """
    #if defined(__clang__) || __GNUC__ >= 12
    #define cnnx_pick(a, b, type, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define cnnx_pick(a, b, type, ...) __builtin_shuffle(a, b, (type){__VA_ARGS__})
    #endif
    typedef int cnnx_places __attribute__((vector_size(CNNX_BYTES)));
    typedef long long cnnx_long_places __attribute__((vector_size(CNNX_BYTES)));

    /* Of the numbers of a and then b: those at even and at odd places; and the two halves of a0 b0 a1 b1 ... */
    #define CNNX_EVEN_2 0, 2
    #define CNNX_ODD_2 1, 3
    #define CNNX_LOW_2 0, 2
    #define CNNX_HIGH_2 1, 3
    #define CNNX_EVEN_4 0, 2, 4, 6
    #define CNNX_ODD_4 1, 3, 5, 7
    #define CNNX_LOW_4 0, 4, 1, 5
    #define CNNX_HIGH_4 2, 6, 3, 7
    #define CNNX_EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
    #define CNNX_ODD_8 1, 3, 5, 7, 9, 11, 13, 15
    #define CNNX_LOW_8 0, 8, 1, 9, 2, 10, 3, 11
    #define CNNX_HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
    #define CNNX_EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
    #define CNNX_ODD_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
    #define CNNX_LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
    #define CNNX_HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
    #if CNNX_BYTES == 64
    #define CNNX_FLOAT_PLACES(which) CNNX_##which##_16
    #define CNNX_DOUBLE_PLACES(which) CNNX_##which##_8
    #elif CNNX_BYTES == 32
    #define CNNX_FLOAT_PLACES(which) CNNX_##which##_8
    #define CNNX_DOUBLE_PLACES(which) CNNX_##which##_4
    #else
    #define CNNX_FLOAT_PLACES(which) CNNX_##which##_4
    #define CNNX_DOUBLE_PLACES(which) CNNX_##which##_2
    #endif
    #define cnnx_even_floats(a, b) cnnx_pick(a, b, cnnx_places, CNNX_FLOAT_PLACES(EVEN))
    #define cnnx_odd_floats(a, b) cnnx_pick(a, b, cnnx_places, CNNX_FLOAT_PLACES(ODD))
    #define cnnx_low_floats(a, b) cnnx_pick(a, b, cnnx_places, CNNX_FLOAT_PLACES(LOW))
    #define cnnx_high_floats(a, b) cnnx_pick(a, b, cnnx_places, CNNX_FLOAT_PLACES(HIGH))
    #define cnnx_even_doubles(a, b) cnnx_pick(a, b, cnnx_long_places, CNNX_DOUBLE_PLACES(EVEN))
    #define cnnx_odd_doubles(a, b) cnnx_pick(a, b, cnnx_long_places, CNNX_DOUBLE_PLACES(ODD))
    #define cnnx_low_doubles(a, b) cnnx_pick(a, b, cnnx_long_places, CNNX_DOUBLE_PLACES(LOW))
    #define cnnx_high_doubles(a, b) cnnx_pick(a, b, cnnx_long_places, CNNX_DOUBLE_PLACES(HIGH))
    #define cnnx_times(x, w) ((x) * (w))
    """
    floats even_floats "cnnx_even_floats"(floats a, floats b) noexcept nogil
    floats odd_floats "cnnx_odd_floats"(floats a, floats b) noexcept nogil
    floats low_floats "cnnx_low_floats"(floats a, floats b) noexcept nogil
    floats high_floats "cnnx_high_floats"(floats a, floats b) noexcept nogil
    doubles even_doubles "cnnx_even_doubles"(doubles a, doubles b) noexcept nogil
    doubles odd_doubles "cnnx_odd_doubles"(doubles a, doubles b) noexcept nogil
    doubles low_doubles "cnnx_low_doubles"(doubles a, doubles b) noexcept nogil
    doubles high_doubles "cnnx_high_doubles"(doubles a, doubles b) noexcept nogil
    floats times_floats "cnnx_times"(floats x, float w) noexcept nogil
    doubles times_doubles "cnnx_times"(doubles x, double w) noexcept nogil


cdef inline Py_ssize_t ceiling(Py_ssize_t n, Py_ssize_t by) noexcept nogil:
    return (n + by - 1) // by


cdef inline Py_ssize_t size_of(vector* kind) noexcept nogil:
    # Of one number.
    return sizeof(float) if vector is floats else sizeof(double)


cdef inline void split(vector a, vector b, vector* even, vector* odd) noexcept nogil:
    if vector is floats:
        even[0] = even_floats(a, b)
        odd[0] = odd_floats(a, b)
    else:
        even[0] = even_doubles(a, b)
        odd[0] = odd_doubles(a, b)


cdef inline void join(vector even, vector odd, vector* a, vector* b) noexcept nogil:
    if vector is floats:
        a[0] = low_floats(even, odd)
        b[0] = high_floats(even, odd)
    else:
        a[0] = low_doubles(even, odd)
        b[0] = high_doubles(even, odd)


cdef inline vector times(vector x, double w) noexcept nogil:
    if vector is floats:
        return times_floats(x, <float>w)
    else:
        return times_doubles(x, w)


cdef inline void columns_of_tiles(const void* row, Py_ssize_t lanes, vector* d, int m) noexcept nogil:
    # d[j] = the j-th column of as many tiles as there are lanes, which stand one behind the other in a row.
    cdef vector e[2]
    cdef vector o[2]
    if m == 2:
        split(vector_at(row, 0, d)[0], vector_at(row, lanes, d)[0], d, d + 1)
    else:
        split(vector_at(row, 0, d)[0], vector_at(row, lanes, d)[0], e, o)
        split(vector_at(row, 2 * lanes, d)[0], vector_at(row, 3 * lanes, d)[0], e + 1, o + 1)
        split(e[0], e[1], d, d + 2)
        split(o[0], o[1], d + 1, d + 3)


cdef inline void tiles_of_columns(vector* y, Py_ssize_t lanes, void* row, int m) noexcept nogil:
    # The other way round.
    cdef vector e[2]
    cdef vector o[2]
    if m == 2:
        join(y[0], y[1], vector_at(row, 0, y), vector_at(row, lanes, y))
    else:
        join(y[0], y[2], e, e + 1)
        join(y[1], y[3], o, o + 1)
        join(e[0], o[0], vector_at(row, 0, y), vector_at(row, lanes, y))
        join(e[1], o[1], vector_at(row, 2 * lanes, y), vector_at(row, 3 * lanes, y))


cdef inline void apply_B(const vector* d, vector* v, int m) noexcept nogil:
    # v = B^T d.
    cdef vector a, b
    if m == 2:
        v[0] = d[0] - d[2]
        v[1] = d[1] + d[2]
        v[2] = d[2] - d[1]
        v[3] = d[1] - d[3]
    else:
        v[0] = 4 * d[0] - 5 * d[2] + d[4]
        a = d[4] - 4 * d[2]
        b = d[3] - 4 * d[1]
        v[1] = a + b
        v[2] = a - b
        a = d[4] - d[2]
        b = d[3] - d[1]
        v[3] = a + 2 * b
        v[4] = a - 2 * b
        v[5] = 4 * d[1] - 5 * d[3] + d[5]


cdef inline void apply_G(const vector* f, vector* u, int m) noexcept nogil:
    # u = G f.
    cdef vector a, b
    if m == 2:
        a = f[0] + f[2]
        u[0] = f[0]
        u[1] = times(a + f[1], 0.5)
        u[2] = times(a - f[1], 0.5)
        u[3] = f[2]
    else:
        a = f[0] + f[2]
        u[0] = times(f[0], 0.25)
        u[1] = times(a + f[1], -1.0 / 6)
        u[2] = times(a - f[1], -1.0 / 6)
        a = f[0] + 4 * f[2]
        b = 2 * f[1]
        u[3] = times(a + b, 1.0 / 24)
        u[4] = times(a - b, 1.0 / 24)
        u[5] = f[2]


cdef inline void apply_A(const vector* x, vector* y, int m) noexcept nogil:
    # y = A^T x.
    cdef vector a, b, c, d
    if m == 2:
        y[0] = x[0] + x[1] + x[2]
        y[1] = x[1] - x[2] - x[3]
    else:
        a = x[1] + x[2]
        b = x[1] - x[2]
        c = x[3] + x[4]
        d = x[3] - x[4]
        y[0] = x[0] + a + c
        y[1] = b + 2 * d
        y[2] = a + 4 * c
        y[3] = b + 8 * d + x[5]


cdef inline void down(const void* d, Py_ssize_t d_pitch, void* s, Py_ssize_t s_pitch, Py_ssize_t count,
                      vector* kind, int m) noexcept nogil:
    # B^T applied to the columns of a run of tiles.
    cdef vector column[6]
    cdef vector v[6]
    cdef Py_ssize_t lanes = VECTOR_BYTES // size_of(kind), part, x
    cdef int i
    for part in range(ceiling(count, lanes)):
        x = part * lanes
        for i in range(m + 2):
            column[i] = vector_at(d, i * d_pitch + x, kind)[0]
        apply_B(column, v, m)
        for i in range(m + 2):
            vector_at(s, i * s_pitch + x, kind)[0] = v[i]


cdef inline void across(const void* s, const void* shifted, Py_ssize_t pitch, void* V, Py_ssize_t step,
                        Py_ssize_t width, vector* kind, int m) noexcept nogil:
    # ... and to the rows, which completes B^T d B. `shifted` holds the columns from m on.
    cdef vector d[8]
    cdef vector v[6]
    cdef Py_ssize_t lanes = VECTOR_BYTES // size_of(kind), part, t
    cdef int i, j
    for i in range(m + 2):
        for part in range(width // lanes):
            t = part * lanes
            columns_of_tiles(vector_at(s, i * pitch + m * t, kind), lanes, d, m)
            columns_of_tiles(vector_at(shifted, i * pitch + m * t, kind), lanes, d + m, m)
            apply_B(d, v, m)
            for j in range(m + 2):
                vector_at(V, (i * (m + 2) + j) * step + t, kind)[0] = v[j]


cdef inline void back(const void* M, Py_ssize_t step, const void* b, void* y, Py_ssize_t pitch, Py_ssize_t width,
                      vector* kind, int m) noexcept nogil:
    # A^T M A + b.
    cdef vector x[6]
    cdef vector half[6][4]
    cdef vector out[4]
    cdef vector bias = spread(b, 0, kind)
    cdef Py_ssize_t lanes = VECTOR_BYTES // size_of(kind), part, t
    cdef int i, j, p
    for part in range(width // lanes):
        t = part * lanes
        for j in range(m + 2):
            for i in range(m + 2):
                x[i] = vector_at(M, (i * (m + 2) + j) * step + t, kind)[0]
            apply_A(x, half[j], m)
        for p in range(m):
            for j in range(m + 2):
                x[j] = half[j][p]
            apply_A(x, out, m)
            for j in range(m):
                out[j] = out[j] + bias
            tiles_of_columns(out, lanes, vector_at(y, p * pitch + m * t, kind), m)
