# Copies for the gradient with respect to the kernels: Delta's channels side by side, and Z with its padding.

from cython cimport floating
from libc.string cimport memcpy, memset

from ..microkernel.strided_rows cimport MAX_VECTOR_STRIDE, StridedRows
from ..microkernel.table cimport Microkernels
from ..runtime.integers cimport ceil_div, end_output, first_output, max_of, min_of
from ..simd.masks cimport MASKED, lanes as some_lanes, lanes_between, load_lanes
from ..simd.shuffle cimport transpose
from ..simd.vector cimport broadcast, doubles, floats, lanes_in, lanes_of, load, store, vector, vector_at
from .shift cimport shift_plane


cdef enum:
    NARROW = 4  # vectors


cdef struct Plan:
    Py_ssize_t N, C, H, W, K, R, S, P, Q, u, v, p_h, p_w, d_h, d_w, groups  # C and K of one group
    Py_ssize_t lanes, T, V  # V vectors are a block's channels, where they lie over channels
    Py_ssize_t partial  # sums of an element of dF over positions: as many with every instruction set
    bint over_channels  # vectors lie over channels of Delta, or else over positions
    bint inside  # no window meets padding
    bint direct  # Z itself serves: no copy
    bint compact  # copies hold what each tap meets, and no more than an item needs: see limit_scratch()
    # A unit: at most so many images, rows and columns of positions; units are numbered in the order of their sums.
    Py_ssize_t images, rows, columns, image_cuts, row_cuts, column_cuts, units
    Py_ssize_t positions  # of a unit at most
    Py_ssize_t h, w  # rows and columns of Z that a unit needs at most
    Py_ssize_t phases  # of the stride that these rows have
    Py_ssize_t channels, blocks, taps, tiles  # of a block, blocks of a group; of a tile, tiles of a block
    Py_ssize_t parts, turn  # in turn, each takes so many units
    Py_ssize_t k_splits, t_splits, items, jobs
    const Microkernels* kernels
    Py_ssize_t x_size, Delta_size, at_size, sums_size  # numbers; for one job, job, job, part
    Py_ssize_t taps_size  # and offsets of taps, for one job
    Py_ssize_t item_sums  # numbers of one item's sums, if each job has its own; 0: all items' lie side by side


cdef struct Scratch:
    void* sums
    void* x
    void* Delta
    Py_ssize_t* at


cdef inline void transpose_matrix(const floating* x, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t pitch, floating* y,
                                  Py_ssize_t y_pitch) noexcept nogil:
    # y[j y_pitch + i] = x[i pitch + j], i < rows and j < columns.
    cdef Py_ssize_t lanes = lanes_of(y), block_i, block_j, i, j, i0, j0
    for block_j in range(ceil_div(columns, lanes)):
        j0 = max_of(0, min_of(block_j * lanes, columns - lanes))  # the last ones take some a second time
        for block_i in range(ceil_div(rows, lanes)):
            i0 = max_of(0, min_of(block_i * lanes, rows - lanes))
            if lanes <= columns:
                transpose(x + i0 * pitch + j0, pitch, min_of(lanes, rows), lanes, y + j0 * y_pitch + i0, y_pitch,
                          min_of(lanes, rows))
            else:
                for j in range(j0, min_of(j0 + lanes, columns)):
                    for i in range(i0, min_of(i0 + lanes, rows)):
                        y[j * y_pitch + i] = x[i * pitch + j]


cdef inline void copy_vector(const floating* x, floating* y) noexcept nogil:
    if floating is float:
        store(load(x, 0, <floats*>NULL), y, 0)
    else:
        store(load(x, 0, <doubles*>NULL), y, 0)


cdef inline void zero_vectors(floating* y, Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    # Whole vectors: up to one less one number beyond the end.
    cdef double zero = 0
    cdef Py_ssize_t j
    for j in range(ceil_div(count, lanes)):
        if floating is float:
            store(broadcast(&zero, 0, <floats*>NULL), y, j * lanes)
        else:
            store(broadcast(&zero, 0, <doubles*>NULL), y, j * lanes)


cdef inline void copy_row(const floating* z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t width, floating* out,
                          Py_ssize_t lanes) noexcept nogil:
    # Columns w ... w + width - 1 of a row of Z~; z is NULL for a row of the padding. Writes up to a vector less one
    # number beyond: rows are copied one behind the other.
    cdef Py_ssize_t left = min_of(width, max_of(0, -w)), right = max_of(left, min_of(width, W - w)), j
    if z == NULL:
        zero_vectors(out, width, lanes)
        return
    zero_vectors(out, left, lanes)
    if right - left < lanes:
        memcpy(out + left, z + (w + left), (right - left) * sizeof(floating))
    else:
        for j in range((right - left) // lanes):
            copy_vector(z + (w + left + j * lanes), out + left + j * lanes)
        copy_vector(z + (w + right - lanes), out + right - lanes)
    zero_vectors(out + right, width - right, lanes)


cdef inline const floating* row_of(const floating* Z, const Plan* g, Py_ssize_t n, Py_ssize_t c,
                                   Py_ssize_t h) noexcept nogil:
    # Z[n, c, h], with c of all channels, or NULL.
    if h < 0 or h >= g.H:
        return NULL
    return Z + ((n * g.C * g.groups + c) * g.H + h) * g.W


cdef inline void copy_narrow_rows(const floating* Z, const Plan* g, Py_ssize_t first, Py_ssize_t h, Py_ssize_t w,
                                  Py_ssize_t channels, void* out, vector* tag) noexcept nogil:
    # copy_image() in at most NARROW vectors a row, where loads can leave out the padding. first: of all planes.
    cdef Py_ssize_t lanes = lanes_in(tag), count = ceil_div(g.w, lanes), i, j, e
    cdef some_lanes[NARROW] within
    cdef const floating* z
    cdef double zero = 0
    for e in range(count):
        within[e] = lanes_between(-w - e * lanes, g.W - w - e * lanes, tag)
    for i in range(channels):
        for j in range(g.h):
            z = row_of(Z, g, 0, first + i, h + j)
            for e in range(count):
                if z == NULL:
                    store(broadcast(&zero, 0, tag), out, e * lanes)
                else:
                    store(load_lanes(z, w + e * lanes, within[e], tag), out, e * lanes)
            out = vector_at(out, g.w, tag)


cdef inline void copy_image(const floating* Z, const Plan* g, Py_ssize_t n, Py_ssize_t c, Py_ssize_t channels,
                            Py_ssize_t h, Py_ssize_t w, floating* out) noexcept nogil:
    # out[c][h][w]: the window of Z~ that begins at (h, w).
    cdef Py_ssize_t lanes = lanes_of(out), i, j
    if MASKED and g.w <= NARROW * lanes:
        if floating is float:
            copy_narrow_rows(Z, g, n * g.C * g.groups + c, h, w, channels, out, <floats*>NULL)
        else:
            copy_narrow_rows(Z, g, n * g.C * g.groups + c, h, w, channels, out, <doubles*>NULL)
        return
    for i in range(channels):
        for j in range(g.h):
            copy_row(row_of(Z, g, n, c + i, h + j), g.W, w, g.w, out, lanes)
            out += g.w


cdef inline void copy_vectors(const floating* x, floating* y, Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    # Whole vectors: up to one less one number beyond the end of both.
    cdef Py_ssize_t j
    for j in range(ceil_div(count, lanes)):
        copy_vector(x + j * lanes, y + j * lanes)


cdef inline Py_ssize_t plane_size(const Plan* g, Py_ssize_t columns) noexcept nogil:
    return ceil_div(g.h, g.u) * columns + g.partial


cdef inline void copy_shifted(const floating* Z, const Plan* g, Py_ssize_t n, Py_ssize_t c, Py_ssize_t channels,
                              Py_ssize_t h, Py_ssize_t w, Py_ssize_t columns, floating* out,
                              floating* window) noexcept nogil:
    # out[c][s][h mod u][h div u][q]: for every column s of the kernel, what the outputs q of a row meet there.
    # The window of Z~ is copied first, for the processor is slow to read what lies across two stores under way.
    cdef Py_ssize_t lanes = lanes_of(out), plane = plane_size(g, columns), i, j, s, phase, q
    cdef Py_ssize_t low = min_of(g.h, max_of(0, -h)), high = max_of(low, min_of(g.h, g.H - h))
    cdef const floating* x
    cdef StridedRows rows
    for i in range(channels):
        if g.u == 1 and g.v == 1 and columns == g.W:
            for s in range(g.S):
                zero_vectors(out, low * columns, lanes)
                if low < high:
                    shift_plane(row_of(Z, g, n, c + i, h + low), columns, high - low,
                                max_of(-columns, min_of(columns, w + g.d_w * s)), out + low * columns)
                zero_vectors(out + high * columns, (g.h - high) * columns, lanes)
                out += plane
            continue
        copy_image(Z, g, n, c + i, 1, h, w, window)
        for s in range(g.S):
            for phase in range(g.phases):
                x = window + phase * g.w + g.d_w * s
                if 1 < g.v <= MAX_VECTOR_STRIDE:
                    rows = StridedRows(x, g.u * g.w, out, columns, columns, ceil_div(g.h - phase, g.u), 0, columns, g.v)
                    g.kernels.copy_strided_rows(&rows, NULL)
                    out += plane
                    continue
                for j in range(ceil_div(g.h - phase, g.u)):
                    if g.v == 1:
                        copy_vectors(x, out + j * columns, columns, lanes)
                    else:
                        for q in range(columns):
                            out[j * columns + q] = x[g.v * q]
                    x += g.u * g.w
                out += plane


cdef inline void copy_tap_row(const floating* z, const Plan* g, Py_ssize_t w, Py_ssize_t columns,
                              floating* out) noexcept nogil:
    # What one tap meets at outputs side by side: columns w, w + v, ... of a row of Z~; z is NULL for padding.
    cdef Py_ssize_t first = columns, end = columns, q
    if z != NULL:
        first = min_of(columns, first_output(-w, g.v))
        end = max_of(first, end_output(g.W - w, g.v, columns))
    memset(out, 0, first * sizeof(floating))
    if g.v == 1 and first < end:
        memcpy(out + first, z + w + first, (end - first) * sizeof(floating))
    elif first < end:
        for q in range(first, end):
            out[q] = z[w + g.v * q]
    memset(out + end, 0, (columns - end) * sizeof(floating))


cdef inline void copy_taps(const floating* Z, const Plan* g, Py_ssize_t n, Py_ssize_t group, Py_ssize_t t, Py_ssize_t p,
                           Py_ssize_t q, Py_ssize_t rows, Py_ssize_t columns, floating* out) noexcept nogil:
    # out[i][j]: what tap t meets at output (p + i, q + j) of image n.
    cdef Py_ssize_t h = g.u * p + g.d_h * (t // g.S % g.R) - g.p_h, w = g.v * q + g.d_w * (t % g.S) - g.p_w, i
    for i in range(rows):
        copy_tap_row(row_of(Z, g, n, group * g.C + t // (g.R * g.S), h + g.u * i), g, w, columns, out + i * columns)
