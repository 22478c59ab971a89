"""Affine (fully connected) layer: F1-F3, shared among threads. _affine.pxd has the sums."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free

from ._affine cimport (
    FIRST_CACHE, GROUP, PANELS, SECOND_CACHE, Y_part, dZ_part, dot_part, dots_pay, dw_part, pack_columns, pack_samples,
    panels_within,
)
from ._index cimport least, most, up
from ._panel cimport TERMS, first_column, on_a_line, padded, panels_of, scratch, vectors_of
from ._threads cimport threads_for
from ._tile cimport ROWS, VECTORS
from ._vector cimport lanes_of

cdef enum:
    COLUMNS = 64  # of db at a time


cdef inline bint share_rows(Py_ssize_t blocks, Py_ssize_t panels, Py_ssize_t threads) noexcept nogil:
    # Whether threads had better share blocks of rows than panels of columns, by the largest part of either. Panels are
    # packed by the thread that reads them, but packed beforehand for all where rows are shared.
    cdef double of_rows = <double>(up(blocks, threads)) / blocks
    cdef double of_panels = <double>(up(panels, threads)) / panels
    return of_rows < of_panels - 0.02 or (of_rows < of_panels + 0.02 and panels < 8 * threads and threads > 1)


cdef inline Py_ssize_t cut(Py_ssize_t part, Py_ssize_t parts, Py_ssize_t whole) noexcept nogil:
    return part * whole // parts


def affine(const floating[:, ::1] Z, const floating[:, ::1] w, const floating[::1] b, /, floating[:, ::1] Y):
    cdef Py_ssize_t N = Z.shape[0], I = w.shape[0], J = w.shape[1]  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t width = PANELS * VECTORS * lanes_of(kind), sums = GROUP * width, own = width * J
    cdef Py_ssize_t blocks = up(I, ROWS), panels = panels_of(N, kind), parts, part
    cdef void* raw
    cdef floating* room
    cdef floating* shared = NULL
    if N == 0:
        return
    if dots_pay(N, J, kind):
        blocks = vectors_of(I, kind)
        parts = least(threads, blocks)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dot_part(&Z[0, 0], &w[0, 0], &b[0], &Y[0, 0], N, I, J, cut(part, parts, blocks) * lanes_of(kind),
                     least(cut(part + 1, parts, blocks) * lanes_of(kind), I))
        return
    if share_rows(blocks, panels, threads):
        parts = least(threads, blocks)
        raw = scratch(padded(N, kind) * J + parts * sums, kind)
        shared = on_a_line(raw, kind)
        room = shared + padded(N, kind) * J
        for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
            pack_samples(&Z[0, 0], shared + first_column(part, N, kind) * J, part, N, J)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_part(&Z[0, 0], &w[0, 0], &b[0], &Y[0, 0], N, I, J, shared, shared, room + part * sums,
                   cut(part, parts, blocks) * ROWS, least(cut(part + 1, parts, blocks) * ROWS, I), 0, panels)
    else:
        parts = least(threads, panels)
        own = least(own, padded(N, kind) * J)
        raw = scratch(parts * (own + sums), kind)
        room = on_a_line(raw, kind)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_part(&Z[0, 0], &w[0, 0], &b[0], &Y[0, 0], N, I, J, shared, room + part * (own + sums) + sums,
                   room + part * (own + sums), 0, I, cut(part, parts, panels), cut(part + 1, parts, panels))
    free(raw)


def affine_grad_input(const floating[:, ::1] Delta, const floating[:, ::1] w, /, floating[:, ::1] dZ):
    cdef Py_ssize_t N = Delta.shape[0], I = w.shape[0], J = w.shape[1]  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t blocks = up(N, ROWS), panels = panels_of(J, kind), parts, part, size
    cdef void* raw
    cdef floating* room
    if N == 0:
        return
    size = most(FIRST_CACHE // <Py_ssize_t>sizeof(floating), TERMS * VECTORS * lanes_of(kind))
    if blocks >= 16 * threads or panels < threads:  # every thread packs w
        parts = least(threads, blocks)
        raw = scratch(parts * size, kind)
        room = on_a_line(raw, kind)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dZ_part(&Delta[0, 0], &w[0, 0], &dZ[0, 0], I, J, room + part * size, cut(part, parts, blocks) * ROWS,
                    least(cut(part + 1, parts, blocks) * ROWS, N), 0, panels)
    else:
        parts = least(threads, panels)
        raw = scratch(parts * size, kind)
        room = on_a_line(raw, kind)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dZ_part(&Delta[0, 0], &w[0, 0], &dZ[0, 0], I, J, room + part * size, 0, N,
                    cut(part, parts, panels), cut(part + 1, parts, panels))
    free(raw)


def affine_grad_weight(const floating[:, ::1] Delta, const floating[:, ::1] Z, /, floating[:, ::1] dw):
    cdef Py_ssize_t N = Z.shape[0], I = dw.shape[0], J = dw.shape[1]  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t blocks = up(I, ROWS), panels = panels_of(J, kind), parts, part, own
    cdef void* raw
    cdef floating* room
    cdef floating* shared = NULL
    if N == 0:
        dw[:, :] = 0
        return
    if share_rows(blocks, panels, threads):
        parts = least(threads, blocks)
        raw = scratch(padded(J, kind) * N, kind)
        shared = on_a_line(raw, kind)
        for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
            pack_columns(&Z[0, 0], shared + first_column(part, J, kind) * N, part, N, J)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dw_part(&Delta[0, 0], &Z[0, 0], &dw[0, 0], N, I, J, shared, shared, cut(part, parts, blocks) * ROWS,
                    least(cut(part + 1, parts, blocks) * ROWS, I), 0, panels)
    else:
        parts = least(threads, panels)
        own = panels_within(SECOND_CACHE, least(N, TERMS), panels) * VECTORS * lanes_of(kind) * least(N, TERMS)
        raw = scratch(parts * own, kind)
        room = on_a_line(raw, kind)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dw_part(&Delta[0, 0], &Z[0, 0], &dw[0, 0], N, I, J, shared, room + part * own, 0, I,
                    cut(part, parts, panels), cut(part + 1, parts, panels))
    free(raw)


cdef inline void db_columns(const floating[:, ::1] Delta, floating[::1] db, Py_ssize_t first_i,
                            Py_ssize_t width) noexcept nogil:
    # F2.
    cdef Py_ssize_t n, i
    cdef double total[COLUMNS]
    for i in range(COLUMNS):
        total[i] = 0
    for n in range(Delta.shape[0]):
        if width == COLUMNS:
            for i in range(COLUMNS):
                total[i] += Delta[n, first_i + i]
        else:
            for i in range(width):
                total[i] += Delta[n, first_i + i]
    for i in range(width):
        db[first_i + i] = <floating>total[i]


def affine_grad_bias(const floating[:, ::1] Delta, /, floating[::1] db):
    cdef Py_ssize_t I = db.shape[0], part  # no-cython-lint
    cdef int threads = threads_for(<double>Delta.shape[0] * I)
    for part in prange(up(I, COLUMNS), nogil=True, schedule="static", num_threads=threads):
        db_columns(Delta, db, part * COLUMNS, least(COLUMNS, I - part * COLUMNS))
