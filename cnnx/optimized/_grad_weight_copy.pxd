# Copies for the gradient with respect to the kernels: Delta's channels side by side, and Z with its padding.

from cython cimport floating
from libc.string cimport memcpy, memset

from ._grad_weight_plan cimport Plan, up
from ._grad_weight_tile cimport transpose
from ._index cimport least, most
from ._tile cimport doubles, floats, vector_at


cdef inline void square(const floating* x, Py_ssize_t pitch, floating* y, Py_ssize_t y_pitch) noexcept nogil:
    if floating is float:
        transpose[floats](x, pitch, y, y_pitch, NULL)
    else:
        transpose[doubles](x, pitch, y, y_pitch, NULL)


cdef inline void turn(const floating* x, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t pitch,
                      floating* y, Py_ssize_t y_pitch, Py_ssize_t lanes) noexcept nogil:
    # y[j y_pitch + i] = x[i pitch + j], i < rows and j < columns.
    cdef Py_ssize_t block_i, block_j, i, j, i0, j0
    for block_j in range(up(columns, lanes)):
        j0 = block_j * lanes
        for block_i in range(up(rows, lanes)):
            i0 = block_i * lanes
            if i0 + lanes <= rows and j0 + lanes <= columns:
                square(x + i0 * pitch + j0, pitch, y + j0 * y_pitch + i0, y_pitch)
            else:
                for j in range(j0, least(j0 + lanes, columns)):
                    for i in range(i0, least(i0 + lanes, rows)):
                        y[j * y_pitch + i] = x[i * pitch + j]


cdef inline void copy_row(const floating* z, Py_ssize_t W, Py_ssize_t w, Py_ssize_t width,
                          floating* out) noexcept nogil:
    # Columns w ... w + width - 1 of a row of Z~; z is NULL for a row of the padding.
    cdef Py_ssize_t left = least(width, most(0, -w)), right = most(left, least(width, W - w)), j
    if z == NULL:
        left = right = width
    for j in range(left):
        out[j] = 0
    memcpy(out + left, z + w + left, (right - left) * sizeof(floating))
    for j in range(right, width):
        out[j] = 0


cdef inline const floating* row_of(const floating* Z, Plan* g, Py_ssize_t n, Py_ssize_t c, Py_ssize_t h) noexcept nogil:
    # Z[n, c, h], with c of all channels, or NULL.
    if h < 0 or h >= g.H:
        return NULL
    return Z + ((n * g.C * g.groups + c) * g.H + h) * g.W


cdef inline void copy_image(const floating* Z, Plan* g, Py_ssize_t n, Py_ssize_t c, Py_ssize_t channels,
                            Py_ssize_t h, Py_ssize_t w, floating* out) noexcept nogil:
    # out[c][h][w]: the window of Z~ that begins at (h, w).
    cdef Py_ssize_t i, j
    for i in range(channels):
        for j in range(g.h):
            copy_row(row_of(Z, g, n, c + i, h + j), g.W, w, g.w, out + (i * g.h + j) * g.w)


cdef inline void copy_vectors(const floating* x, floating* y, Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    # Whole vectors: up to one less one number beyond the end of both.
    cdef Py_ssize_t j
    for j in range(up(count, lanes)):
        if floating is float:
            vector_at(y, j * lanes, <floats*>NULL)[0] = vector_at(x, j * lanes, <floats*>NULL)[0]
        else:
            vector_at(y, j * lanes, <doubles*>NULL)[0] = vector_at(x, j * lanes, <doubles*>NULL)[0]


cdef inline Py_ssize_t plane_size(Plan* g, Py_ssize_t columns) noexcept nogil:
    return up(g.h, g.u) * columns + g.lanes


cdef inline void copy_shifted(const floating* Z, Plan* g, Py_ssize_t n, Py_ssize_t c, Py_ssize_t channels,
                              Py_ssize_t h, Py_ssize_t w, Py_ssize_t columns, floating* out,
                              floating* row) noexcept nogil:
    # out[c][s][h mod u][h div u][q]: for every column s of the kernel, what the outputs q of a row meet there.
    cdef Py_ssize_t plane = plane_size(g, columns), i, j, s, q
    cdef floating* y
    cdef const floating* x
    for i in range(channels):
        for j in range(g.h):
            copy_row(row_of(Z, g, n, c + i, h + j), g.W, w, g.v * (columns - 1) + g.d_w * (g.S - 1) + 1, row)
            for s in range(g.S):
                x = row + g.d_w * s
                y = out + ((i * g.S + s) * g.u + j % g.u) * plane + j // g.u * columns
                if g.v == 1:
                    copy_vectors(x, y, columns, g.lanes)
                else:
                    for q in range(columns):
                        y[q] = x[g.v * q]
