"""Softmax and its logarithm in typed loops, LANES numbers at a time: of one row, or of as many rows side by side.

The exponentials wait for their sum in the output. Sums are taken in double.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdlib cimport free

from ._threads cimport EXP, MEMORY, threads_for
from .runtime.integers cimport ceil_div, min_of, times
from .runtime.memory cimport align_to_line, scratch
from .simd.exp cimport exp_least, large_exp, of_large
from .simd.multiply_add cimport multiply_add
from .simd.reduce cimport LANES as DOUBLES, broadcast_sums, fma_sums, sums, sums_in_memory, widen
from .softmax_rows cimport (
    LANES, NARROW, WIDEST, RowLayout, contiguous_row, load_strip, log_of, maxima, partitions, row_sums,
    rows_at_once, rows_side_by_side, spread_sum, store_strip, transpose_back, transpose_rows,
)
from .softmax_tiles cimport fetch_for_writing, fetch_next, gather_strips, room_for, scatter_strips, tile_width


cdef inline void softmax_Y(const floating* Z, floating* Y, RowLayout walk) noexcept nogil:
    cdef floating most[LANES]
    cdef floating y[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t step
    cdef int j
    maxima(Z, walk, most)
    partitions(Z, walk, most, Y, total)
    for j in range(LANES):
        total[j] = 1 / total[j]
    for step in range(walk.steps):
        load_strip(Y, walk, step, y, <floating>0)
        for j in range(LANES):
            y[j] = <floating>(y[j] * total[j])
        store_strip(y, walk, step, Y)


cdef inline void softmax_dZ(const floating* Delta, const floating* Z, floating* dZ, RowLayout walk) noexcept nogil:
    cdef floating most[LANES]
    cdef floating y[LANES]
    cdef floating delta[LANES]
    cdef double total[LANES]
    cdef double mean[LANES]  # sum_j Delta_j Y_j
    cdef Py_ssize_t step
    cdef int j
    maxima(Z, walk, most)
    partitions(Z, walk, most, dZ, total)
    for j in range(LANES):
        total[j] = 1 / total[j]
        mean[j] = 0
    for step in range(walk.steps):
        load_strip(dZ, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES):
            mean[j] = multiply_add(<double>delta[j], y[j] * total[j], mean[j])
    spread_sum(mean, walk)
    for step in range(walk.steps):
        load_strip(dZ, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES):
            y[j] = <floating>(y[j] * total[j] * (delta[j] - mean[j]))
        store_strip(y, walk, step, dZ)


cdef inline void softmax_dZ_output(const floating* Delta, const floating* Y, floating* dZ,
                                   RowLayout walk) noexcept nogil:
    # From the saved Y.
    cdef floating y[LANES]
    cdef floating delta[LANES]
    cdef double mean[LANES]  # sum_j Delta_j Y_j
    cdef sums a[WIDEST]
    cdef Py_ssize_t step
    cdef int j
    for j in range(LANES // DOUBLES):
        a[j] = broadcast_sums(0)
    for step in range(walk.steps):
        load_strip(Y, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES // DOUBLES):
            a[j] = fma_sums(a[j], widen(&delta[j * DOUBLES]), widen(&y[j * DOUBLES]))
    for j in range(LANES // DOUBLES):
        (<sums_in_memory*>&mean[j * DOUBLES])[0] = a[j]
    spread_sum(mean, walk)
    for step in range(walk.steps):
        load_strip(Y, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES):
            y[j] = <floating>(y[j] * (delta[j] - mean[j]))
        store_strip(y, walk, step, dZ)


cdef inline void log_softmax_Y(const floating* Z, floating* Y, RowLayout walk) noexcept nogil:
    cdef floating most[LANES]
    cdef floating z[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t step
    cdef int j
    maxima(Z, walk, most)
    partitions(Z, walk, most, <floating*>NULL, total)
    for j in range(1 if walk.one_row else <int>walk.width):
        total[j] = log_of(total[j], Z)
    if walk.one_row:
        for j in range(1, LANES):
            total[j] = total[0]
    for step in range(walk.steps):
        load_strip(Z, walk, step, z, <floating>0)
        for j in range(LANES):
            z[j] = <floating>((<double>z[j] - most[j]) - total[j])
        store_strip(z, walk, step, Y)


cdef inline void log_softmax_dZ(const floating* Delta, const floating* Z, floating* dZ, RowLayout walk) noexcept nogil:
    cdef floating most[LANES]
    cdef floating y[LANES]
    cdef floating delta[LANES]
    cdef double total[LANES]
    cdef double sum_Delta[LANES]
    cdef Py_ssize_t step
    cdef int j
    maxima(Z, walk, most)
    partitions(Z, walk, most, dZ, total)
    row_sums(Delta, walk, sum_Delta)
    for j in range(LANES):
        total[j] = 1 / total[j]
    for step in range(walk.steps):
        load_strip(dZ, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES):
            y[j] = <floating>multiply_add(-y[j] * total[j], sum_Delta[j], <double>delta[j])
        store_strip(y, walk, step, dZ)


cdef inline void log_softmax_dZ_output(const floating* Delta, const floating* Y, floating* dZ,
                                       RowLayout walk) noexcept nogil:
    # From the saved Y.
    cdef floating y[LANES]
    cdef floating delta[LANES]
    cdef double sum_Delta[LANES]
    cdef double scale = of_large[floating](NULL)
    cdef Py_ssize_t step
    cdef int j
    row_sums(Delta, walk, sum_Delta)
    for step in range(walk.steps):
        load_strip(Y, walk, step, y, <floating>0)
        load_strip(Delta, walk, step, delta, <floating>0)
        for j in range(LANES):
            y[j] = exp_least(y[j])
        for j in range(LANES):
            y[j] = large_exp(y[j])
        for j in range(LANES):
            y[j] = <floating>multiply_add(-y[j] * scale, sum_Delta[j], <double>delta[j])
        store_strip(y, walk, step, dZ)


cdef inline void each(void (*compute)(const floating*, floating*, RowLayout) noexcept nogil,
                      const floating[:, :, ::1] Z, floating[:, :, ::1] Y) except *:
    cdef Py_ssize_t A = Z.shape[0], M = Z.shape[1], B = Z.shape[2], part
    cdef Py_ssize_t rows = rows_at_once(M) if B == 1 else 1, width = tile_width(M, B), parts = ceil_div(B, width)
    cdef Py_ssize_t size = room_for(M, B)
    cdef int threads = threads_for(EXP * <double>A * M * B)
    cdef floating* tag = NULL
    cdef void* raw = scratch("softmax", times(threads, 2 * size), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(ceil_div(A, rows) * parts, nogil=True, schedule="static", num_threads=threads):
        some(compute, Z, Y, part // parts * rows, part % parts * width, width, room + threadid() * 2 * size, size)
    free(raw)


cdef inline void some(void (*compute)(const floating*, floating*, RowLayout) noexcept nogil,
                      const floating[:, :, ::1] Z, floating[:, :, ::1] Y, Py_ssize_t a, Py_ssize_t b,
                      Py_ssize_t width, floating* z, Py_ssize_t size) noexcept nogil:
    cdef floating* y = z + size
    cdef Py_ssize_t M = Z.shape[1], B = Z.shape[2], count, i
    if width > LANES:
        count = min_of(width, B - b)
        gather_strips(&Z[a, 0, b], M, B, count, z)
        for i in range(ceil_div(count, LANES)):
            compute(z + i * M * LANES, y + i * M * LANES, rows_side_by_side(M, LANES, 0))
        scatter_strips(y, M, B, count, &Y[a, 0, b])
    elif B > 1:
        for i in range(M):
            fetch_for_writing(&Y[a, i, b], LANES)
        fetch_next(&Z[a, 0, b], M, B, b)
        compute(&Z[a, 0, b], &Y[a, 0, b], rows_side_by_side(M, B, b))
    elif M > NARROW:
        compute(&Z[a, 0, 0], &Y[a, 0, 0], contiguous_row(M))
    else:
        count = min_of(LANES, Z.shape[0] - a)
        transpose_rows(&Z[a, 0, 0], M, count, z)
        compute(z, y, rows_side_by_side(M, LANES, 0))
        transpose_back(y, M, count, &Y[a, 0, 0])


cdef inline void each_back(void (*compute)(const floating*, const floating*, floating*, RowLayout) noexcept nogil,
                           const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z,
                           floating[:, :, ::1] dZ, double cost) except *:
    cdef Py_ssize_t A = Z.shape[0], M = Z.shape[1], B = Z.shape[2], part
    cdef Py_ssize_t rows = rows_at_once(M) if B == 1 else 1, width = tile_width(M, B), parts = ceil_div(B, width)
    cdef Py_ssize_t size = room_for(M, B)
    cdef int threads = threads_for(cost * <double>A * M * B)
    cdef floating* tag = NULL
    cdef void* raw = scratch("softmax_grad_input", times(threads, 3 * size), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(ceil_div(A, rows) * parts, nogil=True, schedule="static", num_threads=threads):
        some_back(compute, Delta, Z, dZ, part // parts * rows, part % parts * width, width,
                  room + threadid() * 3 * size, size)
    free(raw)


cdef inline void some_back(void (*compute)(const floating*, const floating*, floating*, RowLayout) noexcept nogil,
                           const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, floating[:, :, ::1] dZ,
                           Py_ssize_t a, Py_ssize_t b, Py_ssize_t width, floating* delta,
                           Py_ssize_t size) noexcept nogil:
    cdef floating* z = delta + size
    cdef floating* d = z + size
    cdef Py_ssize_t M = Z.shape[1], B = Z.shape[2], count, i
    if width > LANES:
        count = min_of(width, B - b)
        gather_strips(&Z[a, 0, b], M, B, count, z)
        gather_strips(&Delta[a, 0, b], M, B, count, delta)
        for i in range(ceil_div(count, LANES)):
            compute(delta + i * M * LANES, z + i * M * LANES, d + i * M * LANES, rows_side_by_side(M, LANES, 0))
        scatter_strips(d, M, B, count, &dZ[a, 0, b])
    elif B > 1:
        for i in range(M):
            fetch_for_writing(&dZ[a, i, b], LANES)
        fetch_next(&Delta[a, 0, b], M, B, b)
        fetch_next(&Z[a, 0, b], M, B, b)
        compute(&Delta[a, 0, b], &Z[a, 0, b], &dZ[a, 0, b], rows_side_by_side(M, B, b))
    elif M > NARROW:
        compute(&Delta[a, 0, 0], &Z[a, 0, 0], &dZ[a, 0, 0], contiguous_row(M))
    else:
        count = min_of(LANES, Z.shape[0] - a)
        transpose_rows(&Delta[a, 0, 0], M, count, delta)
        transpose_rows(&Z[a, 0, 0], M, count, z)
        compute(delta, z, d, rows_side_by_side(M, LANES, 0))
        transpose_back(d, M, count, &dZ[a, 0, 0])


def softmax(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y):
    each(softmax_Y[floating], Z, Y)


def softmax_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /, floating[:, :, ::1] dZ):
    each_back(softmax_dZ[floating], Delta, Z, dZ, EXP)


def softmax_grad_input_output(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Y, /,
                              floating[:, :, ::1] dZ):
    each_back(softmax_dZ_output[floating], Delta, Y, dZ, MEMORY)


def log_softmax(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y):
    each(log_softmax_Y[floating], Z, Y)


def log_softmax_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /,
                           floating[:, :, ::1] dZ):
    each_back(log_softmax_dZ[floating], Delta, Z, dZ, EXP)


def log_softmax_grad_input_output(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Y, /,
                                  floating[:, :, ::1] dZ):
    each_back(log_softmax_dZ_output[floating], Delta, Y, dZ, EXP)
