"""Average pooling: P3, row by row: sums down the columns of the window rows, then across (pool/window.pxd); of small
images with a lane for each plane (pool/planes.pxd); of windows side by side that fit no vectors, and of the whole
image, window by window (pool/mean_apart.pxd).

Backward, each row of the image is the sum of the shares of the windows over it (pool/grad_input.pxd): one or none where
windows lie side by side.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ._threads cimport threads_for
from .pool.grad_input cimport EVERY, Ring, gather, next_row, ring_at, ring_length, slot
from .pool.mean_apart cimport Y_apart, is_image, side_by_side, window_by_window
from .pool.mean_row cimport (
    Pad, Y_row_in_double, counts_length, in_vectors, means_window, mend_row, rows_count, set_columns_counts,
    sums_length,
)
from .pool.planes cimport WIDE, by_planes, groups_of, planes_length, pool_planes, spread_planes
from .pool.row cimport MEAN, reduce_columns, reduce_rows
from .pool.window cimport (
    Place, Window, column_as_row, column_begin, column_end, columns_used, memory_for, next_place, numbers_ahead,
    place_of, prefetch_rows, row_begin, row_end, row_margin, window_of,
)
from .runtime.integers cimport ceil_div, min_of
from .runtime.memory cimport align_to_line, scratch
from .simd.runs cimport GROUP
from .simd.vector cimport VECTOR_BYTES, doubles, floats, lanes_of


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
    memset(memory + length, 0, sums_length(g, Y) * sizeof(floating))
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


cdef inline void set_counts(const Window* g, const Pad* pad, floating* counts) noexcept nogil:
    # Of the columns of each q, then of the rows of each p.
    cdef Py_ssize_t p
    set_columns_counts(g, pad, counts, g.Q)
    for p in range(g.P):
        counts[g.Q + p] = <floating>rows_count(g, pad, p)


cdef inline void Y_planes_part(const floating* Z, floating* Y, Py_ssize_t planes, Py_ssize_t begin, Py_ssize_t end,
                               const Window* g, const Pad* pad, floating* memory) noexcept nogil:
    # The groups begin ... end - 1 of planes; memory: of planes_length() and the counts.
    cdef Py_ssize_t lanes = lanes_of(Y), first = begin * lanes, size, i
    cdef floating* counts = memory + planes_length(g, Y)
    cdef char beyond[VECTOR_BYTES]
    set_counts(g, pad, counts)
    while first < min_of(planes, end * lanes):
        size = min_of(lanes, planes - first)
        memset(beyond, 0, VECTOR_BYTES)
        pool_planes(Z + first * g.H * g.W, Y + first * g.P * g.Q, NULL, size, g, counts + g.Q, counts,
                    <void*>beyond if in_vectors(g) else NULL, memory, MEAN)
        if floating is float and overflowed(beyond, Y):
            for i in range(first * g.P, (first + size) * g.P):
                mend_row(Z + i // g.P * g.H * g.W, Y + i * g.Q, i % g.P, counts, <double>counts[g.Q + i % g.P], g)
        first += lanes


cdef inline void dZ_planes_part(const floating* Delta, floating* dZ, Py_ssize_t planes, Py_ssize_t begin,
                                Py_ssize_t end, const Window* g, const Pad* pad, floating* memory) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(dZ), first = begin * lanes
    cdef floating* counts = memory + planes_length(g, dZ)
    set_counts(g, pad, counts)
    while first < min_of(planes, end * lanes):
        spread_planes(Delta + first * g.P * g.Q, dZ + first * g.H * g.W, min_of(lanes, planes - first), g, counts + g.Q,
                      counts, memory)
        first += lanes


cdef void over_planes(str kernel, const floating* X, floating* out, Py_ssize_t planes, const Window* g, const Pad* pad,
                      int threads, bint backward) except *:
    # Means of X, or backward its shares. Memory in whole vectors.
    cdef Py_ssize_t lanes = lanes_of(out), part, groups = groups_of(planes, out)
    cdef Py_ssize_t length = planes_length(g, out) + ceil_div(g.P + g.Q, lanes) * lanes
    cdef void* raw = scratch(kernel, threads * length, out)
    cdef floating* memory = align_to_line(raw, out)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        if backward:
            dZ_planes_part(X, out, planes, groups * part // threads, groups * (part + 1) // threads, g, pad,
                           memory + part * length)
        else:
            Y_planes_part(X, out, planes, groups * part // threads, groups * (part + 1) // threads, g, pad,
                          memory + part * length)
    free(raw)


cdef inline void spread_row(const floating* Delta, const floating* counts, floating rows, floating* dZ,
                            const Window* g) noexcept nogil:
    # A row of the image, of which row p of the outputs has given shares, by windows side by side.
    cdef Py_ssize_t q, w, end = 0
    cdef floating share
    for q in range(g.Q):
        for w in range(end, column_begin(g, q)):
            dZ[w] = 0
        end = column_end(g, q)
        share = 0 + Delta[q] / (rows * counts[q])  # a sum, as P3 has it: -0 becomes 0
        for w in range(column_begin(g, q), end):
            dZ[w] = share
    for w in range(end, g.W):
        dZ[w] = 0


cdef inline void fill(floating* y, Py_ssize_t length, floating value) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        y[i] = value


cdef inline void dZ_apart(const floating* Delta, floating* dZ, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                          const Pad* pad, floating* counts) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image, by windows side by side: those of a window are alike.
    cdef Place at = place_of(begin, g.H)
    cdef Py_ssize_t i, p, alike
    cdef bint whole = is_image(g)
    set_columns_counts(g, pad, counts, g.Q)
    i = begin
    while whole and i < end:  # a plane at a time
        alike = min_of(end, (i // g.H + 1) * g.H) - i
        fill(dZ + i * g.W, alike * g.W, 0 + Delta[i // g.H] / (<floating>rows_count(g, pad, 0) * counts[0]))
        i += alike
    for i in range(i, end):
        p = min_of((at.row + g.p_h) // g.u, g.P - 1)
        if at.row >= row_end(g, p):
            memset(dZ + i * g.W, 0, g.W * sizeof(floating))
        elif at.row == row_begin(g, p) or i == begin:
            spread_row(Delta + (at.plane * g.P + p) * g.Q, counts, <floating>rows_count(g, pad, p), dZ + i * g.W, g)
        else:
            memcpy(dZ + i * g.W, dZ + (i - 1) * g.W, g.W * sizeof(floating))
        next_place(&at, g.H)


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
    cdef Window g = means_window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t planes = Y.shape[0] * Y.shape[1], rows = planes * g.P, part, length
    cdef Py_ssize_t size = planes * g.H * g.W, groups = ceil_div(rows * g.Q, GROUP)
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    if window_by_window(&g):
        memory = memory_for("avg_pool2d", 1, g.Q + g.P, &Y[0, 0, 0, 0])
        set_counts(&g, &pad, memory)
        for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
            Y_apart(&Z[0, 0, 0, 0], &Y[0, 0, 0, 0], groups * part // threads * GROUP,
                    min_of(rows * g.Q, groups * (part + 1) // threads * GROUP), &g, memory, memory + g.Q)
        free(memory)
        return
    # In double rows are added up as fast, but for short ones, or few that are long.
    if by_planes(&g, planes, &Y[0, 0, 0, 0]) and (in_vectors(&g) or g.W < WIDE or g.H < g.W // WIDE):
        over_planes("avg_pool2d", &Z[0, 0, 0, 0], &Y[0, 0, 0, 0], planes, &g, &pad, threads, False)
        return
    length = counts_length(&g, &Y[0, 0, 0, 0]) + sums_length(&g, &Y[0, 0, 0, 0])
    memory = memory_for("avg_pool2d", threads, length, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0] + size, &Y[0, 0, 0, 0], rows * part // threads,
               rows * (part + 1) // threads, &g, &pad, memory + part * length)
    free(memory)


def avg_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                          Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r, bint include_pad):
    cdef Window g = window_of(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef bint turned = column_as_row(Z.shape[2], Z.shape[3], S)
    cdef Pad pad = Pad(p_r if turned else p_b, p_b if turned else p_r, include_pad)
    cdef Py_ssize_t planes = dZ.shape[0] * dZ.shape[1], rows = planes * g.H, part, length
    cdef int threads = threads_for(<double>rows * g.W * R * S / (<double>u * v))
    cdef bint apart
    cdef floating* memory
    if rows == 0:
        return
    apart = side_by_side(&g) and (g.v != 2 or g.Q == 1)  # the ring has vectors for every other column
    if by_planes(&g, planes, &dZ[0, 0, 0, 0]) and not (apart and (g.W >= WIDE or g.P * g.Q == 1)):
        over_planes("avg_pool2d_grad_input", &Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], planes, &g, &pad, threads, True)
        return
    length = g.Q if apart else ring_length(&g) + g.Q
    memory = memory_for("avg_pool2d_grad_input", threads, length, &dZ[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        if apart:
            dZ_apart(&Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g,
                     &pad, memory + part * length)
        else:
            dZ_part(&Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], rows * part // threads, rows * (part + 1) // threads, &g,
                    &pad, memory + part * length)
    free(memory)
