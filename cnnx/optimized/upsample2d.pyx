"""Resizing, to the nearest pixel and bilinear: R3, R5.

Where outputs lie is computed in integers (R1), so that no instruction set or cut of the work moves one. Columns are
taken in groups, whose pixels and weights are looked up in tables. Forward a row of the image goes to the columns first,
and is kept for the next rows of outputs; backward the rows of Delta are summed up first. No operation is fused: v2's
bits are the others'.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy, memset

from ._threads cimport MEMORY, threads_for
from .runtime.integers cimport cut, min_of
from .upsample2d_axis cimport (
    COLUMNS, DOUBLED, STRAIGHT, Axis, bilinear_axis, bilinear_columns, end_on, first_behind, first_on, in_pairs,
    nearest_axis, nearest_columns, pattern, place, runs_of, turn_column, weight_of,
)


# ------------------------------------------------------------------------------------------------ nearest


cdef inline void nearest_row(const floating* z, floating* y, Py_ssize_t width, const int* at,
                             pattern kind) noexcept nogil:
    cdef Py_ssize_t q
    if kind == STRAIGHT:
        memcpy(y, z, width * sizeof(floating))
    elif kind == DOUBLED:
        for q in range(width // 2):
            y[2 * q] = z[q]
            y[2 * q + 1] = z[q]
    else:
        for q in range(width):
            y[q] = z[at[q]]


cdef inline void nearest_part(const floating* Z, floating* Y, Py_ssize_t first, Py_ssize_t end, const Axis* rows,
                              const Axis* columns) noexcept nogil:
    # R3. Rows first...end-1 of all planes.
    cdef Py_ssize_t column = 0, width, i, plane, p, row, before, start
    cdef int at[COLUMNS]
    cdef pattern kind
    cdef floating* y
    while column < columns.count:
        width = min_of(COLUMNS, columns.count - column)
        kind = nearest_columns(columns, column, width, at)
        start = place(columns, column) // columns.D
        plane, p, before = first // rows.count, first % rows.count, -1
        for i in range(first, end):
            row = plane * rows.extent + place(rows, p) // rows.D
            y = Y + i * columns.count + column
            if row == before:
                memcpy(y, y - columns.count, width * sizeof(floating))
            else:
                nearest_row(Z + row * columns.extent + start, y, width, at, kind)
            before = row
            p += 1
            if p == rows.count:
                plane, p = plane + 1, 0
        column += width


# ----------------------------------------------------------------------------------------------- bilinear


cdef inline void blend_columns(const floating* z, floating* t, Py_ssize_t width, const int* left, const int* right,
                               const floating* b_left, const floating* b_right) noexcept nogil:
    cdef Py_ssize_t q
    cdef floating x, between
    for q in range(width):
        x = z[left[q]]
        between = b_left[q] * x + b_right[q] * z[right[q]]
        t[q] = x if b_right[q] == 0 else between  # else 0 times infinity would be NaN


cdef inline void blend_rows(const floating* upper, const floating* lower, floating* y, Py_ssize_t width, floating a,
                            floating b) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(width):
        y[q] = a * upper[q] + b * lower[q]


cdef inline void bilinear_part(const floating* Z, floating* Y, Py_ssize_t first, Py_ssize_t end, const Axis* rows,
                               const Axis* columns) noexcept nogil:
    # R5. Rows first...end-1 of all planes. A row of the image that was taken to the columns is kept: of two that follow
    # each other, one in either half of `kept`.
    cdef Py_ssize_t column = 0, width, i, plane, p, t, h, r, row, k, start
    cdef int left[COLUMNS]
    cdef int right[COLUMNS]
    cdef floating b_left[COLUMNS]
    cdef floating b_right[COLUMNS]
    cdef floating kept[2 * COLUMNS]
    cdef Py_ssize_t held[2]
    cdef const floating* blended[2]
    cdef const floating* z
    cdef floating* y
    cdef bint straight
    while column < columns.count:
        width = min_of(COLUMNS, columns.count - column)
        straight = bilinear_columns(columns, column, width, left, right, b_left, b_right)
        start = place(columns, column) // columns.D
        plane, p = first // rows.count, first % rows.count
        held[0] = held[1] = -1
        for i in range(first, end):
            t = place(rows, p)
            h = t // rows.D
            r = t - h * rows.D
            row = plane * rows.extent + h
            for k in range(row, row + 1 + (r != 0)):
                if held[k & 1] != k:
                    z = Z + k * columns.extent + start
                    if not straight:
                        blend_columns(z, kept + (k & 1) * COLUMNS, width, left, right, b_left, b_right)
                    blended[k & 1] = z if straight else kept + (k & 1) * COLUMNS
                    held[k & 1] = k
            y = Y + i * columns.count + column
            if r == 0:
                memcpy(y, blended[row & 1], width * sizeof(floating))
            else:
                blend_rows(blended[row & 1], blended[(row + 1) & 1], y, width, weight_of(rows.D - r, rows, y),
                           weight_of(r, rows, y))
            p += 1
            if p == rows.count:
                plane, p = plane + 1, 0
        column += width


# ----------------------------------------------------------------------------------------------- backward


cdef inline void add_row(const floating* delta, floating* t, Py_ssize_t width, floating a) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(width):
        t[q] += a * delta[q]


cdef inline const floating* sum_rows(const floating* Delta, floating* t, Py_ssize_t h, Py_ssize_t width,
                                     const Axis* rows, Py_ssize_t Q, bint bilinear) noexcept nogil:
    # sum_p a[p,h] Delta[p,q] over a plane's outputs that pixel h has a weight in, in the order of p: in t, or the one
    # row that it is; NULL where there is none.
    cdef Py_ssize_t p, away
    cdef Py_ssize_t first = first_behind(rows, h) if bilinear else first_on(rows, h), end = end_on(rows, h)
    if first >= end:
        return NULL
    if end - first == 1 and not bilinear:
        return Delta + first * Q
    memset(t, 0, width * sizeof(floating))
    for p in range(first, end):
        away = place(rows, p) - h * rows.D if bilinear else 0
        add_row(Delta + p * Q, t, width, weight_of(rows.D - (away if away > 0 else -away), rows, t))
    return t


cdef inline void add_pairs(const floating* t, floating* dz, Py_ssize_t pairs) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(pairs):
        dz[k] = dz[k] + t[2 * k] + t[2 * k + 1]


cdef inline void add_runs(const floating* t, floating* dz, Py_ssize_t runs, const int* begin, const int* behind,
                          const int* at, const floating* b_left, const floating* b_right) noexcept nogil:
    # Each pixel's sum over the columns, in their order: those between the pixel before and it come with that one's run.
    cdef Py_ssize_t k
    cdef int q
    cdef floating total
    for k in range(runs):
        total = dz[at[k]]
        for q in range(begin[k], begin[k + 1]):
            total += b_left[q] * t[q]
        dz[at[k]] = total
        if behind[k] < begin[k + 1]:
            total = dz[at[k] + 1]
            for q in range(behind[k], begin[k + 1]):
                total += b_right[q] * t[q]
            dz[at[k] + 1] = total


cdef inline void dZ_part(const floating* Delta, floating* dZ, Py_ssize_t first, Py_ssize_t end, const Axis* rows,
                         const Axis* columns, bint bilinear) noexcept nogil:
    # R3, R5. Rows first...end-1 of all planes of the image. A pixel's sum goes on from group to group.
    cdef Py_ssize_t column = 0, width, i, plane, h, start, runs, Q = columns.count
    cdef bint paired
    cdef const floating* summed
    cdef int begin[COLUMNS + 1]
    cdef int behind[COLUMNS]
    cdef int at[COLUMNS]
    cdef floating b_left[COLUMNS]
    cdef floating b_right[COLUMNS]
    cdef floating t[COLUMNS]
    memset(dZ + first * columns.extent, 0, (end - first) * columns.extent * sizeof(floating))
    while column < Q:
        width = min_of(COLUMNS, Q - column)
        runs = runs_of(columns, column, width, bilinear, begin, behind, at, b_left, b_right)
        paired = not bilinear and 2 * runs == width and in_pairs(runs, begin, at)
        start = place(columns, column) // columns.D
        plane, h = first // rows.extent, first % rows.extent
        for i in range(first, end):
            summed = sum_rows(Delta + plane * rows.count * Q + column, t, h, width, rows, Q, bilinear)
            if summed == NULL:
                pass
            elif paired:
                add_pairs(summed, dZ + i * columns.extent + start, runs)
            else:
                add_runs(summed, dZ + i * columns.extent + start, runs, begin, behind, at, b_left, b_right)
            h += 1
            if h == rows.extent:
                plane, h = plane + 1, 0
        column += width


cdef inline int grad_input(const floating[:, :, :, ::1] Delta, floating[:, :, :, ::1] dZ, Axis* rows, Axis* columns,
                           bint bilinear) except -1:
    cdef Py_ssize_t planes = dZ.shape[0] * dZ.shape[1], total, part
    cdef int threads
    turn_column(rows, columns)
    total = planes * rows.extent
    threads = threads_for(2 * MEMORY * (<double>planes * rows.count * columns.count + <double>total * columns.extent))
    if total == 0:
        return 0
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part(&Delta[0, 0, 0, 0], &dZ[0, 0, 0, 0], cut(total, threads, part), cut(total, threads, part + 1), rows,
                columns, bilinear)
    return 0


# ------------------------------------------------------------------------------------------- entry points


def upsample2d_nearest(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t A_h, Py_ssize_t B_h,
                       Py_ssize_t D_h, Py_ssize_t A_w, Py_ssize_t B_w, Py_ssize_t D_w):
    cdef Axis rows = nearest_axis(Z.shape[2], Y.shape[2], A_h, B_h, D_h)
    cdef Axis columns = nearest_axis(Z.shape[3], Y.shape[3], A_w, B_w, D_w)
    cdef Py_ssize_t total, part
    cdef int threads
    turn_column(&rows, &columns)
    total = Y.shape[0] * Y.shape[1] * rows.count
    threads = threads_for(MEMORY * <double>total * columns.count)
    if total == 0:
        return
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        nearest_part(&Z[0, 0, 0, 0], &Y[0, 0, 0, 0], cut(total, threads, part), cut(total, threads, part + 1), &rows,
                     &columns)


def upsample2d_bilinear(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t A_h, Py_ssize_t B_h,
                        Py_ssize_t D_h, Py_ssize_t A_w, Py_ssize_t B_w, Py_ssize_t D_w):
    cdef Axis rows = bilinear_axis(Z.shape[2], Y.shape[2], A_h, B_h, D_h)
    cdef Axis columns = bilinear_axis(Z.shape[3], Y.shape[3], A_w, B_w, D_w)
    cdef Py_ssize_t total, part
    cdef int threads
    turn_column(&rows, &columns)
    total = Y.shape[0] * Y.shape[1] * rows.count
    threads = threads_for(2 * MEMORY * <double>total * columns.count)
    if total == 0:
        return
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        bilinear_part(&Z[0, 0, 0, 0], &Y[0, 0, 0, 0], cut(total, threads, part), cut(total, threads, part + 1), &rows,
                      &columns)


def upsample2d_nearest_grad_input(const floating[:, :, :, ::1] Delta, /, floating[:, :, :, ::1] dZ, *, Py_ssize_t H,
                                  Py_ssize_t W, Py_ssize_t A_h, Py_ssize_t B_h, Py_ssize_t D_h, Py_ssize_t A_w,
                                  Py_ssize_t B_w, Py_ssize_t D_w):
    cdef Axis rows = nearest_axis(H, Delta.shape[2], A_h, B_h, D_h)
    cdef Axis columns = nearest_axis(W, Delta.shape[3], A_w, B_w, D_w)
    grad_input(Delta, dZ, &rows, &columns, False)


def upsample2d_bilinear_grad_input(const floating[:, :, :, ::1] Delta, /, floating[:, :, :, ::1] dZ, *, Py_ssize_t H,
                                   Py_ssize_t W, Py_ssize_t A_h, Py_ssize_t B_h, Py_ssize_t D_h, Py_ssize_t A_w,
                                   Py_ssize_t B_w, Py_ssize_t D_w):
    cdef Axis rows = bilinear_axis(H, Delta.shape[2], A_h, B_h, D_h)
    cdef Axis columns = bilinear_axis(W, Delta.shape[3], A_w, B_w, D_w)
    grad_input(Delta, dZ, &rows, &columns, True)
