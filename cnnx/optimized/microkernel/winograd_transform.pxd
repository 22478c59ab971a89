# The transforms of Winograd's algorithm (W1-W3), each lane of a vector a tile: A, B and G have few numbers, which stand
# here in the sums themselves. m is the tile's extent, 2 or 4, a that of the inputs it needs: m + 2 for kernels of 3x3,
# m + 4 for 5x5; constants wherever these are called.

from cython cimport floating
from libc.string cimport memcpy

from ..runtime.integers cimport ceil_div, min_of
from ..simd.shuffle cimport deinterleave, interleave
from ..simd.vector cimport (
    VECTOR_BYTES, broadcast, doubles, floats, fma_broadcast_doubles, fma_broadcast_floats, lanes_in, load, size_of,
    store, vector, vector_at,
)

cdef extern from *:
    """
    #define cnnx_times(x, w) ((x) * (w))
    """
    floats times_floats "cnnx_times"(floats x, float w) noexcept nogil
    doubles times_doubles "cnnx_times"(doubles x, double w) noexcept nogil


cdef inline vector times(vector x, double w) noexcept nogil:
    if vector is floats:
        return times_floats(x, <float>w)
    else:
        return times_doubles(x, w)


cdef inline vector plus_times(vector a, vector x, double w) noexcept nogil:
    # a + w x.
    if vector is floats:
        return fma_broadcast_floats(a, <float>w, x)
    else:
        return fma_broadcast_doubles(a, w, x)


cdef inline void copy_row_by(const void* row, void* copy, Py_ssize_t count, vector* tag) noexcept nogil:
    # In pieces that may overlap: a call of memcpy costs more than it copies.
    cdef Py_ssize_t size = size_of(tag), lanes = lanes_in(tag), i = 0
    if count >= lanes:
        while i < count:
            i = min_of(i, count - lanes)
            store(load(row, i, tag), copy, i)
            i += lanes
    elif 2 * count >= lanes:
        memcpy(copy, row, VECTOR_BYTES // 2)
        memcpy(vector_at(copy, count - lanes // 2, tag), vector_at(row, count - lanes // 2, tag), VECTOR_BYTES // 2)
    else:
        memcpy(copy, row, count * size)


cdef inline void columns_of_tiles(const void* row, Py_ssize_t lanes, vector* d, int m) noexcept nogil:
    # d[j] = the j-th column of as many tiles as there are lanes, which stand one behind the other in a row.
    cdef vector e[2]
    cdef vector o[2]
    if m == 2:
        deinterleave(load(row, 0, d), load(row, lanes, d), d, d + 1)
    else:
        deinterleave(load(row, 0, d), load(row, lanes, d), e, o)
        deinterleave(load(row, 2 * lanes, d), load(row, 3 * lanes, d), e + 1, o + 1)
        deinterleave(e[0], e[1], d, d + 2)
        deinterleave(o[0], o[1], d + 1, d + 3)


cdef inline void tiles_of_columns(vector* y, Py_ssize_t lanes, void* row, int m) noexcept nogil:
    # The other way round.
    cdef vector e[2]
    cdef vector o[2]
    cdef vector tiles[4]
    cdef int j
    if m == 2:
        interleave(y[0], y[1], tiles, tiles + 1)
    else:
        interleave(y[0], y[2], e, e + 1)
        interleave(y[1], y[3], o, o + 1)
        interleave(e[0], o[0], tiles, tiles + 1)
        interleave(e[1], o[1], tiles + 2, tiles + 3)
    for j in range(m):
        store(tiles[j], row, j * lanes)


cdef inline void apply_B(const vector* d, vector* v, int extent) noexcept nogil:
    # v = B^T d, of that extent.
    cdef vector a, b
    if extent == 4:
        v[0] = d[0] - d[2]
        v[1] = d[1] + d[2]
        v[2] = d[2] - d[1]
        v[3] = d[1] - d[3]
    else:
        v[0] = plus_times(plus_times(d[4], d[2], -5), d[0], 4)
        a = plus_times(d[4], d[2], -4)
        b = plus_times(d[3], d[1], -4)
        v[1] = a + b
        v[2] = a - b
        a = d[4] - d[2]
        b = d[3] - d[1]
        v[3] = plus_times(a, b, 2)
        v[4] = plus_times(a, b, -2)
        v[5] = plus_times(plus_times(d[5], d[3], -5), d[1], 4)


cdef inline void apply_G(const vector* f, vector* u, int extent, int R) noexcept nogil:
    # u = G f, of that extent, for R rows or columns of a kernel.
    cdef vector a, b
    if extent == 4:
        a = f[0] + f[2]
        u[0] = f[0]
        u[1] = times(a + f[1], 0.5)
        u[2] = times(a - f[1], 0.5)
        u[3] = f[2]
    else:
        a = f[0] + f[2]
        b = f[1]
        if R == 5:
            a = a + f[4]
            b = b + f[3]
        u[0] = times(f[0], 0.25)
        u[1] = times(a + b, -1.0 / 6)
        u[2] = times(a - b, -1.0 / 6)
        a = plus_times(f[0], f[2], 4)
        b = f[1] + f[1]
        if R == 5:
            a = plus_times(a, f[4], 16)
            b = plus_times(b, f[3], 8)
        u[3] = times(a + b, 1.0 / 24)
        u[4] = times(a - b, 1.0 / 24)
        u[5] = f[R - 1]


cdef inline void apply_A(const vector* x, vector* y, int extent, int m) noexcept nogil:
    # y = A^T x, m numbers of that many.
    cdef vector a, b, c, d
    if extent == 4:
        y[0] = x[0] + x[1] + x[2]
        y[1] = x[1] - x[2] - x[3]
    else:
        a = x[1] + x[2]
        b = x[1] - x[2]
        c = x[3] + x[4]
        d = x[3] - x[4]
        y[0] = x[0] + a + c
        y[1] = plus_times(b, d, 2)
        if m == 4:
            y[2] = plus_times(a, c, 4)
            y[3] = plus_times(b, d, 8) + x[5]
        else:
            y[1] = y[1] + x[5]


cdef inline void transform_columns_by(const void* d, Py_ssize_t d_pitch, void* s, Py_ssize_t s_pitch, Py_ssize_t count,
                                      vector* tag, int a) noexcept nogil:
    # B^T applied to the columns of a run of tiles.
    cdef vector column[6]
    cdef vector v[6]
    cdef Py_ssize_t lanes = lanes_in(tag), part, x
    cdef int i
    for part in range(ceil_div(count, lanes)):
        x = part * lanes
        for i in range(a):
            column[i] = load(d, i * d_pitch + x, tag)
        apply_B(column, v, a)
        for i in range(a):
            store(v[i], s, i * s_pitch + x)


cdef inline void transform_rows_by(const void* s, Py_ssize_t copy, Py_ssize_t pitch, void* V, Py_ssize_t step,
                                   Py_ssize_t width, vector* tag, int a, int m) noexcept nogil:
    # ... and to the rows, which completes B^T d B. `copy` further there are the columns from m on, and so forth.
    cdef vector d[8]
    cdef vector v[6]
    cdef Py_ssize_t lanes = lanes_in(tag), part, t
    cdef int i, j
    for i in range(a):
        for part in range(width // lanes):
            t = part * lanes
            for j in range((a + m - 1) // m):
                columns_of_tiles(vector_at(s, j * copy + i * pitch + m * t, tag), lanes, d + j * m, m)
            apply_B(d, v, a)
            for j in range(a):
                store(v[j], V, (i * a + j) * step + t)


cdef inline void inverse_transform_by(const void* M, Py_ssize_t step, const void* b, void* y, Py_ssize_t pitch,
                                      Py_ssize_t width, vector* tag, int a, int m) noexcept nogil:
    # A^T M A + b.
    cdef vector x[6]
    cdef vector half[6][4]
    cdef vector out[4]
    cdef vector bias = broadcast(b, 0, tag)
    cdef Py_ssize_t lanes = lanes_in(tag), part, t
    cdef int i, j, p
    for part in range(width // lanes):
        t = part * lanes
        for j in range(a):
            for i in range(a):
                x[i] = load(M, (i * a + j) * step + t, tag)
            apply_A(x, half[j], a, m)
        for p in range(m):
            for j in range(a):
                x[j] = half[j][p]
            apply_A(x, out, a, m)
            for j in range(m):
                out[j] = out[j] + bias
            tiles_of_columns(out, lanes, vector_at(y, p * pitch + m * t, tag), m)


# The same for numbers of either dtype and extents that are not known before.

cdef inline void copy_row(const floating* row, floating* copy, Py_ssize_t count) noexcept nogil:
    if floating is float:
        copy_row_by[floats](row, copy, count, NULL)
    else:
        copy_row_by[doubles](row, copy, count, NULL)


cdef inline void transform_columns(const floating* d, Py_ssize_t d_pitch, floating* s, Py_ssize_t s_pitch,
                                   Py_ssize_t count, Py_ssize_t a) noexcept nogil:
    if floating is float:
        if a == 4:
            transform_columns_by[floats](d, d_pitch, s, s_pitch, count, NULL, 4)
        else:
            transform_columns_by[floats](d, d_pitch, s, s_pitch, count, NULL, 6)
    else:
        if a == 4:
            transform_columns_by[doubles](d, d_pitch, s, s_pitch, count, NULL, 4)
        else:
            transform_columns_by[doubles](d, d_pitch, s, s_pitch, count, NULL, 6)


cdef inline void transform_rows(const floating* s, Py_ssize_t copy, Py_ssize_t pitch, floating* V, Py_ssize_t step,
                                Py_ssize_t width, Py_ssize_t a, Py_ssize_t m) noexcept nogil:
    if floating is float:
        if a == 4:
            transform_rows_by[floats](s, copy, pitch, V, step, width, NULL, 4, 2)
        elif m == 2:
            transform_rows_by[floats](s, copy, pitch, V, step, width, NULL, 6, 2)
        else:
            transform_rows_by[floats](s, copy, pitch, V, step, width, NULL, 6, 4)
    else:
        if a == 4:
            transform_rows_by[doubles](s, copy, pitch, V, step, width, NULL, 4, 2)
        elif m == 2:
            transform_rows_by[doubles](s, copy, pitch, V, step, width, NULL, 6, 2)
        else:
            transform_rows_by[doubles](s, copy, pitch, V, step, width, NULL, 6, 4)


cdef inline void inverse_transform(const floating* M, Py_ssize_t step, const floating* b, floating* y,
                                   Py_ssize_t pitch, Py_ssize_t width, Py_ssize_t a, Py_ssize_t m) noexcept nogil:
    if floating is float:
        if a == 4:
            inverse_transform_by[floats](M, step, b, y, pitch, width, NULL, 4, 2)
        elif m == 2:
            inverse_transform_by[floats](M, step, b, y, pitch, width, NULL, 6, 2)
        else:
            inverse_transform_by[floats](M, step, b, y, pitch, width, NULL, 6, 4)
    else:
        if a == 4:
            inverse_transform_by[doubles](M, step, b, y, pitch, width, NULL, 4, 2)
        elif m == 2:
            inverse_transform_by[doubles](M, step, b, y, pitch, width, NULL, 6, 2)
        else:
            inverse_transform_by[doubles](M, step, b, y, pitch, width, NULL, 6, 4)
