"""Affine (fully connected) layer: F1-F3, sums in registers over panels of packed columns."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free

from ._dot cimport dot_rows
from ._index cimport least, most
from ._panel cimport (
    CACHE_LINE, TERMS, every_row, first_column, on_a_line, pack, pack_turned, padded, panels_of, scratch,
)
from ._threads cimport threads_for
from ._tile cimport ROWS, VECTORS, block_ahead, lanes_of
from ._turn cimport turn

cdef enum:
    GROUP = 64  # outputs of a sample that are summed up in scratch memory before they are turned into Y
    PANELS = 2  # of samples, likewise
    RESIDENT = 512 * 1024  # bytes of panels that are read again and again: they stay in the second cache
    COLUMNS = 64  # of db at a time


cdef inline bint rows_balance(Py_ssize_t blocks, Py_ssize_t panels, Py_ssize_t parts) noexcept nogil:
    # Whether threads had better share blocks of rows than panels of columns: by the largest part of either.
    cdef double of_rows = <double>((blocks + parts - 1) // parts) / blocks
    cdef double of_panels = <double>((panels + parts - 1) // parts) / panels
    return of_rows <= of_panels + 0.02


cdef inline Py_ssize_t cut(Py_ssize_t part, Py_ssize_t parts, Py_ssize_t whole) noexcept nogil:
    return part * whole // parts


cdef inline void Y_part(const floating* panels, const floating* w, const floating* b, floating* Y,
                        Py_ssize_t N, Py_ssize_t I, Py_ssize_t J, floating* sums,
                        Py_ssize_t first_i, Py_ssize_t end_i, Py_ssize_t first_panel, Py_ssize_t end_panel) noexcept nogil:
    # F1 for the samples of some panels: sums[i - i_0][n - n_0], then turned.
    cdef Py_ssize_t lanes = lanes_of(sums), row = PANELS * VECTORS * lanes
    cdef Py_ssize_t i_0 = first_i, rows, p_0, p, end, t_0, T, n_0, n, i, width
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef Py_ssize_t where[TERMS]
    for i in range(VECTORS):
        every_row(taps[i], (i + 1) * lanes, J)
    for i in range(least(TERMS, J)):
        where[i] = i * ROWS // TERMS * J + i % (TERMS // ROWS) * ROWS
    while i_0 < end_i:
        rows = least(GROUP, end_i - i_0)
        p_0 = first_panel
        while p_0 < end_panel:
            end = least(p_0 + PANELS, end_panel)
            n_0 = first_column(p_0, N, sums)
            t_0 = 0
            while t_0 < J:
                T = least(TERMS, J - t_0)
                i = 0
                while i < rows:
                    for p in range(p_0, end):
                        n = first_column(p, N, sums)
                        width = first_column(p + 1, N, sums) - n
                        block_ahead(w + (i_0 + i) * J + t_0, 1, J, panels + n * J + t_0 * width,
                                    taps[width // lanes - 1], T, b + i_0 + i if t_0 == 0 else NULL,
                                    sums + i * row + n - n_0, row, width, least(ROWS, rows - i),
                                    w + (i_0 + i + (ROWS if p == p_0 else 0)) * J + t_0, where)
                    i += ROWS
                t_0 += T
            n = n_0
            end = least(first_column(end, N, sums), N)
            while n < end:
                i = 0
                while i < rows:
                    turn(sums + i * row + n - n_0, row, least(lanes, rows - i), least(lanes, end - n),
                         Y + n * I + i_0 + i, I, least(lanes, rows - i))
                    i += lanes
                n += lanes
            p_0 += PANELS
        i_0 += rows


cdef inline void pack_samples(const floating* Z, floating* panels, Py_ssize_t panel, Py_ssize_t N, Py_ssize_t J) noexcept nogil:
    cdef Py_ssize_t n = first_column(panel, N, panels), width = first_column(panel + 1, N, panels) - n
    pack_turned(Z + n * J, J, J, least(width, N - n), width, panels + n * J)


def affine(const floating[:, ::1] Z, const floating[:, ::1] w, const floating[::1] b, /, floating[:, ::1] Y):
    cdef Py_ssize_t N = Z.shape[0], I = w.shape[0], J = w.shape[1]
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t lanes = lanes_of(kind), blocks, panels, parts, part
    cdef Py_ssize_t size = GROUP * PANELS * VECTORS * lanes
    cdef void* raw
    cdef floating* packed
    cdef floating* sums
    cdef bint by_rows
    if N == 0:
        return
    if N * (J + 8 * lanes) < padded(N, kind) * J:  # few samples would leave lanes empty
        blocks = (I + lanes - 1) // lanes
        parts = least(threads, blocks)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dot_part(&Z[0, 0], &w[0, 0], &b[0], &Y[0, 0], N, I, J, cut(part, parts, blocks) * lanes,
                     least(cut(part + 1, parts, blocks) * lanes, I))
        return
    panels = panels_of(N, kind)
    blocks = (I + ROWS - 1) // ROWS
    by_rows = rows_balance(blocks, panels, threads)
    parts = least(threads, blocks if by_rows else panels)
    raw = scratch(padded(N, kind) * J + parts * size, kind)
    if raw == NULL:
        raise MemoryError
    packed = on_a_line(raw, kind)
    sums = packed + padded(N, kind) * J
    for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
        pack_samples(&Z[0, 0], packed, part, N, J)
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        if by_rows:
            Y_part(packed, &w[0, 0], &b[0], &Y[0, 0], N, I, J, sums + part * size, cut(part, parts, blocks) * ROWS,
                   least(cut(part + 1, parts, blocks) * ROWS, I), 0, panels)
        else:
            Y_part(packed, &w[0, 0], &b[0], &Y[0, 0], N, I, J, sums + part * size, 0, I,
                   cut(part, parts, panels), cut(part + 1, parts, panels))
    free(raw)


cdef inline void dot_part(const floating* Z, const floating* w, const floating* b, floating* Y, Py_ssize_t N,
                          Py_ssize_t I, Py_ssize_t J, Py_ssize_t i, Py_ssize_t end) noexcept nogil:
    dot_rows(Z, w + i * J, b + i, Y + i, N, end - i, J, I)


cdef inline void dZ_part(const floating* Delta, const floating* w, floating* dZ, Py_ssize_t I, Py_ssize_t J,
                         floating* panel, Py_ssize_t first_n, Py_ssize_t end_n, Py_ssize_t first_panel,
                         Py_ssize_t end_panel) noexcept nogil:
    # F3 for some samples and panels of columns.
    cdef Py_ssize_t lanes = lanes_of(panel), t_0 = 0, T, p, j, width, columns, n, k, line
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef Py_ssize_t where[TERMS]
    cdef floating zeros[ROWS]
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        every_row(taps[k], (k + 1) * lanes, I)
    every_row(where, J, I)
    while t_0 < I:
        T = least(TERMS, I - t_0)
        for p in range(first_panel, end_panel):
            j = first_column(p, J, panel)
            width = first_column(p + 1, J, panel) - j
            columns = least(width, J - j)
            pack(w + t_0 * J + j, J, T, columns, width, panel)
            n = first_n
            while n < end_n:
                line = n // ROWS % (VECTORS + 1) * (CACHE_LINE // <Py_ssize_t>sizeof(floating))
                block_ahead(Delta + n * I + t_0, 1, I, panel, taps[width // lanes - 1], T, zeros if t_0 == 0 else NULL,
                            dZ + n * J + j, J, columns, least(ROWS, end_n - n), w + t_0 * J + j + width + line, where)
                n += ROWS
        t_0 += T


def affine_grad_input(const floating[:, ::1] Delta, const floating[:, ::1] w, /, floating[:, ::1] dZ):
    cdef Py_ssize_t N = Delta.shape[0], I = w.shape[0], J = w.shape[1]
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t blocks = (N + ROWS - 1) // ROWS, panels = panels_of(J, kind), parts, part
    cdef Py_ssize_t size = TERMS * VECTORS * lanes_of(kind)
    cdef void* raw
    cdef floating* packed
    cdef bint by_rows
    if N == 0:
        return
    by_rows = rows_balance(blocks, panels, threads)
    parts = least(threads, blocks if by_rows else panels)
    raw = scratch(parts * size, kind)
    if raw == NULL:
        raise MemoryError
    packed = on_a_line(raw, kind)
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        if by_rows:
            dZ_part(&Delta[0, 0], &w[0, 0], &dZ[0, 0], I, J, packed + part * size, cut(part, parts, blocks) * ROWS,
                    least(cut(part + 1, parts, blocks) * ROWS, N), 0, panels)
        else:
            dZ_part(&Delta[0, 0], &w[0, 0], &dZ[0, 0], I, J, packed + part * size, 0, N,
                    cut(part, parts, panels), cut(part + 1, parts, panels))
    free(raw)


cdef inline void dw_part(const floating* Delta, const floating* panels, floating* dw, Py_ssize_t N, Py_ssize_t I,
                         Py_ssize_t J, Py_ssize_t first_i, Py_ssize_t end_i, Py_ssize_t first_panel,
                         Py_ssize_t end_panel) noexcept nogil:
    # F2 for some rows and panels of dw.
    cdef Py_ssize_t most_panels = most(1, RESIDENT // (TERMS * VECTORS * 64))
    cdef Py_ssize_t p_0 = first_panel, p, end, t_0, T, i, j, width, k
    cdef Py_ssize_t where[TERMS]
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef floating zeros[ROWS]
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        every_row(taps[k], (k + 1) * lanes_of(dw), N)
    for k in range(least(TERMS, N)):
        where[k] = k % ROWS * J + k // ROWS % (VECTORS + 1) * (CACHE_LINE // <Py_ssize_t>sizeof(floating))
    while p_0 < end_panel:
        end = least(p_0 + most_panels, end_panel)
        t_0 = 0
        while t_0 < N:
            T = least(TERMS, N - t_0)
            i = first_i
            while i < end_i:
                for p in range(p_0, end):
                    j = first_column(p, J, dw)
                    width = first_column(p + 1, J, dw) - j
                    block_ahead(Delta + t_0 * I + i, I, 1, panels + j * N + t_0 * width, taps[width // lanes_of(dw) - 1],
                                T, zeros if t_0 == 0 else NULL, dw + i * J + j, J, least(width, J - j),
                                least(ROWS, end_i - i), dw + i * J + j + width, where)
                i += ROWS
            t_0 += T
        p_0 = end


cdef inline void pack_columns(const floating* Z, floating* panels, Py_ssize_t panel, Py_ssize_t N, Py_ssize_t J) noexcept nogil:
    cdef Py_ssize_t j = first_column(panel, J, panels), width = first_column(panel + 1, J, panels) - j
    pack(Z + j, J, N, least(width, J - j), width, panels + j * N)


def affine_grad_weight(const floating[:, ::1] Delta, const floating[:, ::1] Z, /, floating[:, ::1] dw):
    cdef Py_ssize_t N = Z.shape[0], I = dw.shape[0], J = dw.shape[1]
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* kind = NULL
    cdef Py_ssize_t blocks = (I + ROWS - 1) // ROWS, panels = panels_of(J, kind), parts, part
    cdef void* raw
    cdef floating* packed
    cdef bint by_rows
    if N == 0:
        dw[:, :] = 0
        return
    by_rows = rows_balance(blocks, panels, threads)
    parts = least(threads, blocks if by_rows else panels)
    raw = scratch(padded(J, kind) * N, kind)
    if raw == NULL:
        raise MemoryError
    packed = on_a_line(raw, kind)
    for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
        pack_columns(&Z[0, 0], packed, part, N, J)
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        if by_rows:
            dw_part(&Delta[0, 0], packed, &dw[0, 0], N, I, J, cut(part, parts, blocks) * ROWS,
                    least(cut(part + 1, parts, blocks) * ROWS, I), 0, panels)
        else:
            dw_part(&Delta[0, 0], packed, &dw[0, 0], N, I, J, 0, I, cut(part, parts, panels),
                    cut(part + 1, parts, panels))
    free(raw)


cdef inline void db_columns(const floating[:, ::1] Delta, floating[::1] db, Py_ssize_t first_i, Py_ssize_t width) noexcept nogil:
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
    cdef Py_ssize_t I = db.shape[0], part
    cdef int threads = threads_for(<double>Delta.shape[0] * I)
    for part in prange((I + COLUMNS - 1) // COLUMNS, nogil=True, schedule="static", num_threads=threads):
        db_columns(Delta, db, part * COLUMNS, least(COLUMNS, I - part * COLUMNS))
