"""Softmax and its logarithm in typed loops, LANES numbers at a time: of one row, or of as many rows side by side.

The exponentials wait for their sum in the output. Sums are taken in double.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdlib cimport free

from ._threads cimport EXP, threads_for
from .runtime.integers cimport ceil_div, min_of
from .runtime.memory cimport align_to_line, scratch
from .simd.multiply_add cimport multiply_add
from .softmax_rows cimport (
    LANES, NARROW, TRANSPOSED, RowLayout, contiguous_row, load_strip, log_of, maxima, partitions, row_sums,
    room_of, rows_at_once, rows_side_by_side, spread_sum, store_strip, transpose_back, transpose_rows,
)


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


cdef inline void each(void (*compute)(const floating*, floating*, RowLayout) noexcept nogil,
                      const floating[:, :, ::1] Z, floating[:, :, ::1] Y) except *:
    cdef Py_ssize_t A = Z.shape[0], M = Z.shape[1], B = Z.shape[2], part
    cdef Py_ssize_t rows = rows_at_once(M) if B == 1 else 1, parts = ceil_div(B, LANES)
    cdef int threads = threads_for(EXP * <double>A * M * B)
    cdef floating* tag = NULL
    cdef void* raw = scratch("softmax", threads * room_of(M), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(ceil_div(A, rows) * parts, nogil=True, schedule="static", num_threads=threads):
        some(compute, Z, Y, part // parts * rows, part % parts * LANES, room + threadid() * room_of(M))
    free(raw)


cdef inline void some(void (*compute)(const floating*, floating*, RowLayout) noexcept nogil,
                      const floating[:, :, ::1] Z, floating[:, :, ::1] Y, Py_ssize_t a, Py_ssize_t b,
                      floating* z) noexcept nogil:
    cdef floating* y = z + TRANSPOSED
    cdef Py_ssize_t M = Z.shape[1], B = Z.shape[2], count
    if B > 1:
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
                           floating[:, :, ::1] dZ) except *:
    cdef Py_ssize_t A = Z.shape[0], M = Z.shape[1], B = Z.shape[2], part
    cdef Py_ssize_t rows = rows_at_once(M) if B == 1 else 1, parts = ceil_div(B, LANES)
    cdef int threads = threads_for(EXP * <double>A * M * B)
    cdef floating* tag = NULL
    cdef void* raw = scratch("softmax_grad_input", threads * room_of(M), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(ceil_div(A, rows) * parts, nogil=True, schedule="static", num_threads=threads):
        some_back(compute, Delta, Z, dZ, part // parts * rows, part % parts * LANES, room + threadid() * room_of(M))
    free(raw)


cdef inline void some_back(void (*compute)(const floating*, const floating*, floating*, RowLayout) noexcept nogil,
                           const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, floating[:, :, ::1] dZ,
                           Py_ssize_t a, Py_ssize_t b, floating* delta) noexcept nogil:
    cdef floating* z = delta + TRANSPOSED
    cdef floating* d = z + TRANSPOSED
    cdef Py_ssize_t M = Z.shape[1], B = Z.shape[2], count
    if B > 1:
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
    each_back(softmax_dZ[floating], Delta, Z, dZ)


def log_softmax(const floating[:, :, ::1] Z, /, floating[:, :, ::1] Y):
    each(log_softmax_Y[floating], Z, Y)


def log_softmax_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /,
                           floating[:, :, ::1] dZ):
    each_back(log_softmax_dZ[floating], Delta, Z, dZ)
