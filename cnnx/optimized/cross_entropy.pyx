"""Cross entropy of a softmax: E3 in typed loops. Exponentials are taken in the logits' precision, sums in double.

Rows are taken one by one, or LANES together where they are narrow (softmax_rows.pxd). A cost is one number: its rows
are summed in PARTS, a number that does not depend on the thread count.
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

cdef enum:
    PARTS = 64


cdef inline RowLayout walk_of(Py_ssize_t M) noexcept nogil:
    return rows_side_by_side(M, LANES, 0) if M <= NARROW else contiguous_row(M)


cdef inline const floating* laid_out(const floating* rows, Py_ssize_t M, Py_ssize_t count,
                                     floating* transposed) noexcept nogil:
    # Where walk_of(M) finds the rows.
    if M > NARROW:
        return rows
    transpose_rows(rows, M, count, transposed)
    return transposed


cdef inline Py_ssize_t place(Py_ssize_t i, Py_ssize_t lane, Py_ssize_t M) noexcept nogil:
    # Of number i of a row that is so laid out.
    return i * LANES + lane if M <= NARROW else i


cdef inline double E_rows(const floating* Z, const floating* t, Py_ssize_t M, Py_ssize_t count,
                          floating* room) noexcept nogil:
    # E3: -sum_i t_i log y_i of some rows; 0 log 0 is 0, but a NaN is not lost with its term.
    cdef const floating* rows = laid_out(Z, M, count, room)
    cdef const floating* targets = laid_out(t, M, count, room + TRANSPOSED)
    cdef RowLayout walk = walk_of(M)
    cdef floating most[LANES]
    cdef floating z[LANES]
    cdef floating target[LANES]
    cdef double total[LANES]
    cdef double E[LANES]
    cdef double term
    cdef Py_ssize_t step
    cdef int j
    maxima(rows, walk, most)
    partitions(rows, walk, most, <floating*>NULL, total)
    for j in range(<int>count):
        total[j] = log_of(total[j], Z)
    for j in range(LANES):
        E[j] = 0
        total[j] = total[0] if walk.one_row else total[j]
    for step in range(walk.steps):
        load_strip(rows, walk, step, z, <floating>0)
        load_strip(targets, walk, step, target, <floating>0)
        for j in range(LANES):
            term = target[j] * ((<double>z[j] - most[j]) - total[j])
            E[j] = E[j] - (0 if target[j] == 0 and z[j] == z[j] else term)
    spread_sum(E, walk)
    for j in range(1, <int>count):
        E[0] = E[0] + E[j]
    return E[0]


cdef inline double E_index_rows(const floating* Z, const Py_ssize_t* t, Py_ssize_t M, Py_ssize_t count,
                                floating* room) noexcept nogil:
    # E3: -log y_t of some rows.
    cdef const floating* rows = laid_out(Z, M, count, room)
    cdef RowLayout walk = walk_of(M)
    cdef floating most[LANES]
    cdef double total[LANES]
    cdef double E = 0
    cdef Py_ssize_t j
    maxima(rows, walk, most)
    partitions(rows, walk, most, <floating*>NULL, total)
    for j in range(count):
        E = E - ((<double>Z[j * M + t[j]] - most[j]) - log_of(total[j], Z))
    return E


cdef inline void dZ_rows(const floating* Z, const floating* t, floating* dZ, Py_ssize_t M, Py_ssize_t count,
                         Py_ssize_t divisor, floating* room) noexcept nogil:
    # E3: y_i sum_j t_j - t_i, over the divisor (E2).
    cdef const floating* rows = laid_out(Z, M, count, room)
    cdef const floating* targets = laid_out(t, M, count, room + TRANSPOSED)
    cdef floating* d = room + 2 * TRANSPOSED if M <= NARROW else dZ
    cdef RowLayout walk = walk_of(M)
    cdef floating most[LANES]
    cdef floating e[LANES]
    cdef floating target[LANES]
    cdef double total[LANES]
    cdef double sum_t[LANES]
    cdef double share = 1 / <double>divisor
    cdef Py_ssize_t step
    cdef int j
    maxima(rows, walk, most)
    partitions(rows, walk, most, d, total)
    row_sums(targets, walk, sum_t)
    for j in range(LANES):
        sum_t[j] = sum_t[j] / total[j]
    for step in range(walk.steps):
        load_strip(d, walk, step, e, <floating>0)
        load_strip(targets, walk, step, target, <floating>0)
        for j in range(LANES):
            e[j] = <floating>(multiply_add(<double>e[j], sum_t[j], -<double>target[j]) * share)
        store_strip(e, walk, step, d)
    if M <= NARROW:
        transpose_back(d, M, count, dZ)


cdef inline void dZ_index_rows(const floating* Z, const Py_ssize_t* t, floating* dZ, Py_ssize_t M, Py_ssize_t count,
                               Py_ssize_t divisor, floating* room) noexcept nogil:
    # E3: y_i - [i = t], over the divisor (E2).
    cdef const floating* rows = laid_out(Z, M, count, room)
    cdef floating* d = room + TRANSPOSED if M <= NARROW else dZ
    cdef RowLayout walk = walk_of(M)
    cdef floating most[LANES]
    cdef floating factor[LANES]
    cdef floating at_t[LANES]
    cdef double total[LANES]
    cdef Py_ssize_t step, j
    maxima(rows, walk, most)
    partitions(rows, walk, most, d, total)
    for j in range(count):
        at_t[j] = <floating>((d[place(t[j], j, M)] / total[j] - 1) / divisor)
    for j in range(LANES):
        factor[j] = <floating>(1 / (total[j] * divisor))
    if walk.one_row:
        for j in range(M):
            d[j] = d[j] * factor[0]
    else:
        for step in range(M):
            for j in range(LANES):
                d[step * LANES + j] = d[step * LANES + j] * factor[j]
    for j in range(count):
        d[place(t[j], j, M)] = at_t[j]
    if M <= NARROW:
        transpose_back(d, M, count, dZ)


cdef inline Py_ssize_t blocks_of(Py_ssize_t N, Py_ssize_t M) noexcept nogil:
    return ceil_div(N, rows_at_once(M))


cdef inline void E_part(const floating[:, ::1] Z, const floating[:, ::1] t, double* E, Py_ssize_t part,
                        floating* room) noexcept nogil:
    cdef Py_ssize_t N = Z.shape[0], M = Z.shape[1], blocks = blocks_of(N, M), rows = rows_at_once(M), block
    cdef double total = 0
    for block in range(blocks * part // PARTS, blocks * (part + 1) // PARTS):
        total = total + E_rows(&Z[block * rows, 0], &t[block * rows, 0], M, min_of(rows, N - block * rows), room)
    E[part] = total


cdef inline void E_index_part(const floating[:, ::1] Z, const Py_ssize_t[::1] t, double* E,
                              Py_ssize_t part, floating* room) noexcept nogil:
    cdef Py_ssize_t N = Z.shape[0], M = Z.shape[1], blocks = blocks_of(N, M), rows = rows_at_once(M), block
    cdef double total = 0
    for block in range(blocks * part // PARTS, blocks * (part + 1) // PARTS):
        total = total + E_index_rows(&Z[block * rows, 0], &t[block * rows], M, min_of(rows, N - block * rows), room)
    E[part] = total


cdef inline void dZ_block(const floating[:, ::1] Z, const floating[:, ::1] t, floating[:, ::1] dZ, Py_ssize_t first,
                          Py_ssize_t divisor, floating* room) noexcept nogil:
    dZ_rows(&Z[first, 0], &t[first, 0], &dZ[first, 0], Z.shape[1],
            min_of(rows_at_once(Z.shape[1]), Z.shape[0] - first), divisor, room)


cdef inline void dZ_index_block(const floating[:, ::1] Z, const Py_ssize_t[::1] t, floating[:, ::1] dZ,
                                Py_ssize_t first, Py_ssize_t divisor, floating* room) noexcept nogil:
    dZ_index_rows(&Z[first, 0], &t[first], &dZ[first, 0], Z.shape[1],
                  min_of(rows_at_once(Z.shape[1]), Z.shape[0] - first), divisor, room)


cdef inline double sum_of(const double* E) noexcept nogil:
    cdef double total = 0
    cdef int part
    for part in range(PARTS):
        total = total + E[part]
    return total


def cross_entropy(const floating[:, ::1] Z, const floating[:, ::1] t, /, double[::1] E, *, Py_ssize_t divisor):
    cdef double parts[PARTS]
    cdef Py_ssize_t part
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    cdef floating* tag = NULL
    cdef void* raw = scratch("cross_entropy", threads * room_of(Z.shape[1]), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(PARTS, nogil=True, schedule="static", num_threads=threads):
        E_part(Z, t, &parts[0], part, room + threadid() * room_of(Z.shape[1]))
    free(raw)
    E[0] = sum_of(parts) / divisor  # E2


def cross_entropy_grad_input(const floating[:, ::1] Z, const floating[:, ::1] t, /, floating[:, ::1] dZ, *,
                             Py_ssize_t divisor):
    cdef Py_ssize_t block, rows = rows_at_once(Z.shape[1])
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    cdef floating* tag = NULL
    cdef void* raw = scratch("cross_entropy_grad_input", threads * room_of(Z.shape[1]), tag)
    cdef floating* room = align_to_line(raw, tag)
    for block in prange(blocks_of(Z.shape[0], Z.shape[1]), nogil=True, schedule="static", num_threads=threads):
        dZ_block(Z, t, dZ, block * rows, divisor, room + threadid() * room_of(Z.shape[1]))
    free(raw)


def cross_entropy_index(const floating[:, ::1] Z, const Py_ssize_t[::1] t, /, double[::1] E, *, Py_ssize_t divisor):
    cdef double parts[PARTS]
    cdef Py_ssize_t part
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    cdef floating* tag = NULL
    cdef void* raw = scratch("cross_entropy_index", threads * room_of(Z.shape[1]), tag)
    cdef floating* room = align_to_line(raw, tag)
    for part in prange(PARTS, nogil=True, schedule="static", num_threads=threads):
        E_index_part(Z, t, &parts[0], part, room + threadid() * room_of(Z.shape[1]))
    free(raw)
    E[0] = sum_of(parts) / divisor  # E2


def cross_entropy_index_grad_input(const floating[:, ::1] Z, const Py_ssize_t[::1] t, /, floating[:, ::1] dZ, *,
                                   Py_ssize_t divisor):
    cdef Py_ssize_t block, rows = rows_at_once(Z.shape[1])
    cdef int threads = threads_for(EXP * <double>Z.shape[0] * Z.shape[1])
    cdef floating* tag = NULL
    cdef void* raw = scratch("cross_entropy_index_grad_input", threads * room_of(Z.shape[1]), tag)
    cdef floating* room = align_to_line(raw, tag)
    for block in prange(blocks_of(Z.shape[0], Z.shape[1]), nogil=True, schedule="static", num_threads=threads):
        dZ_index_block(Z, t, dZ, block * rows, divisor, room + threadid() * room_of(Z.shape[1]))
    free(raw)
