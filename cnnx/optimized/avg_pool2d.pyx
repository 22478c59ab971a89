"""Average pooling: P3, row by row: sums down the columns of the window rows, then across (pool/window.pxd).

Backward, each row of the image is the sum of the shares of the windows over it (pool/grad_input.pxd).
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memset

from ._threads cimport threads_for
from .pool.grad_input cimport EVERY, Ring, gather, next_row, ring_at, ring_length, slot
from .pool.row cimport MEAN, reduce_columns, reduce_rows
from .pool.window cimport (
    Place, Window, column_begin, column_end, columns_used, fits_vectors, memory_for, next_place, numbers_ahead,
    place_of, prefetch_rows, row_begin, row_end, row_length, row_margin,
)
from .runtime.integers cimport min_of
from .simd.vector cimport VECTOR_BYTES, doubles, floats, lanes_of

cdef enum:
    SHORT = 16  # rows of a window whose sums are taken in the numbers' own type; beyond, in double


cdef struct Pad:
    # Bottom and right padding, and whether padding counts in |R|.
    Py_ssize_t p_b, p_r
    bint counts


cdef inline bint in_vectors(const Window* g) noexcept nogil:
    return fits_vectors(g) and g.R <= SHORT


cdef inline Py_ssize_t rows_count(const Window* g, const Pad* pad, Py_ssize_t p) noexcept nogil:
    # |R[p,q]| is the number of its rows times that of its columns.
    if pad.counts:
        return min_of(g.R, g.H + pad.p_b + g.p_h - g.u * p)
    return row_end(g, p) - row_begin(g, p)


cdef inline Py_ssize_t counts_length(const Window* g, floating* tag) noexcept nogil:
    # Of the counts, with what vectors read behind them; even, since doubles may lie there next.
    return (g.Q + lanes_of(tag) + 1) // 2 * 2


cdef inline void set_columns_counts(const Window* g, const Pad* pad, floating* counts,
                                    Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(g.Q):
        if pad.counts:
            counts[q] = <floating>min_of(g.S, g.W + pad.p_r + g.p_w - g.v * q)
        else:
            counts[q] = <floating>(column_end(g, q) - column_begin(g, q))
    for q in range(g.Q, length):
        counts[q] = 1


cdef inline void Y_row_in_double(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, double rows,
                                 const Window* g, double* m) noexcept nogil:
    # Any window; wide or tall ones have many terms.
    cdef Py_ssize_t h, w, q
    cdef double y
    for w in range(columns_used(g)):
        m[w] = 0
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(columns_used(g)):
            m[w] += Z[h * g.W + w]
    for q in range(g.Q):
        y = 0
        for w in range(column_begin(g, q), column_end(g, q)):
            y += m[w]
        Y[q] = <floating>(y / (rows * counts[q]))


cdef inline void mend_row(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, double rows,
                          const Window* g) noexcept nogil:
    # The means of a row that are not finite, once more: a sum of floats overflows where the mean does not.
    cdef Py_ssize_t h, w, q
    cdef double y
    for q in range(g.Q):
        if Y[q] - Y[q] == 0:
            continue
        y = 0
        for h in range(row_begin(g, p), row_end(g, p)):
            for w in range(column_begin(g, q), column_end(g, q)):
                y += Z[h * g.W + w]
        Y[q] = <floating>(y / (rows * counts[q]))


cdef inline bint overflowed(const void* beyond, const floating* tag) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(lanes_of(tag)):
        if (<const floating*>beyond)[i] != 0:
            return True
    return False


cdef inline void Y_row(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, floating rows,
                       const Window* g, floating* m, void* beyond) noexcept nogil:
    # P3 for one p; Z is the image's plane, Y the row.
    cdef Py_ssize_t h = row_begin(g, p)
    if not in_vectors(g):
        Y_row_in_double(Z, Y, p, counts, rows, g, <double*>m)
    elif floating is float:
        reduce_rows[floats](Z + h * g.W, g.W, columns_used(g), row_end(g, p) - h, 0, g.S, m, NULL, NULL, MEAN)
        reduce_columns[floats](m - g.p_w, NULL, &rows, counts, Y, NULL, g.Q, g.S, g.v, <floats*>beyond, MEAN)
    else:
        reduce_rows[doubles](Z + h * g.W, g.W, columns_used(g), row_end(g, p) - h, 0, g.S, m, NULL, NULL, MEAN)
        reduce_columns[doubles](m - g.p_w, NULL, &rows, counts, Y, NULL, g.Q, g.S, g.v, <doubles*>beyond, MEAN)


cdef inline void Y_part(const floating* Z, const floating* Z_end, floating* Y, Py_ssize_t begin, Py_ssize_t end,
                        const Window* g, const Pad* pad, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of outputs.
    cdef Place at = place_of(begin, g.P)
    cdef Py_ssize_t i, length = counts_length(g, Y), ahead = numbers_ahead(g, Z)
    cdef const floating* plane
    cdef floating* m = memory + length + (row_margin(g, lanes_of(Y)) if in_vectors(g) else 0)
    cdef char beyond[VECTOR_BYTES]
    memset(beyond, 0, VECTOR_BYTES)
    set_columns_counts(g, pad, memory, length)
    memset(memory + length, 0, 2 * row_length(g, lanes_of(Y)) * sizeof(floating))
    for i in range(begin, end):
        plane = Z + at.plane * g.H * g.W
        prefetch_rows(plane, Z_end, at.row, g, ahead)
        Y_row(plane, Y + i * g.Q, at.row, memory, <floating>rows_count(g, pad, at.row), g, m, beyond)
        next_place(&at, g.P)
    if floating is float and overflowed(beyond, Y):
        at = place_of(begin, g.P)
        for i in range(begin, end):
            mend_row(Z + at.plane * g.H * g.W, Y + i * g.Q, at.row, memory, <double>rows_count(g, pad, at.row), g)
            next_place(&at, g.P)


cdef inline void dZ_part(const floating* Delta, floating* dZ, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                         const Pad* pad, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image.
    cdef Ring ring = ring_at(begin, memory, g)
    cdef floating* counts = memory + ring_length(g)
    cdef floating* row
    cdef floating rows
    cdef Py_ssize_t i, q
    set_columns_counts(g, pad, counts, g.Q)
    for i in range(begin, end):
        while ring.next_row < min_of(ring.end + 1, g.P):
            row = slot(&ring, ring.next_row, dZ)
            rows = <floating>rows_count(g, pad, ring.next_row)
            for q in range(g.Q):
                row[q] = Delta[(ring.plane * g.P + ring.next_row) * g.Q + q] / (rows * counts[q])
            ring.next_row += 1
        gather(&ring, g, EVERY, NULL, dZ + i * g.W)
        next_row(&ring, g)


def avg_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r,
               bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t rows = Y.shape[0] * Y.shape[1] * Y.shape[2], part, length
    cdef Py_ssize_t size = Z.shape[0] * Z.shape[1] * g.H * g.W
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    length = counts_length(&g, &Y[0, 0, 0, 0]) + 2 * row_length(&g, lanes_of(&Y[0, 0, 0, 0]))
    memory = memory_for("avg_pool2d", threads, length, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0] + size, &Y[0, 0, 0, 0], rows * part // threads,
               rows * (part + 1) // threads, &g, &pad, memory + part * length)
    free(memory)


def avg_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                          Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r, bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t rows = dZ.shape[0] * dZ.shape[1] * dZ.shape[2], part, length
    cdef int threads = threads_for(<double>rows * g.W * R * S / (<double>u * v))
    cdef floating* memory
    if rows == 0:
        return
    length = ring_length(&g) + g.Q
    memory = memory_for("avg_pool2d_grad_input", threads, length, &dZ[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part(&Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g, &pad,
                memory + part * length)
    free(memory)
