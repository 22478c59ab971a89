"""Max pooling: P1, P2, row by row.

Forward, a thread has a share of all rows of outputs; backward, of all rows of the image, each the sum of what the
windows over it give (pool/grad_input.pxd): one writer per element, and the same sum whoever writes it.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ._threads cimport threads_for
from .pool.grad_input cimport EQUAL, OFFSET, Ring, gather, next_row, ring_at, ring_length, slot
from .pool.max_2x2 cimport covers_image, part_Y_2x2, part_dZ_2x2
from .pool.max_row cimport Y_row, set_margins, winners_row
from .pool.row cimport LARGEST, WINNERS
from .pool.window cimport (
    Place, Window, clip, column_begin, column_end, memory_for, next_place, numbers_ahead, place_of, prefetch_rows,
    row_begin, row_end, row_length, row_margin,
)
from .runtime.integers cimport max_of, min_of
from .simd.prefetch cimport PREFETCH_DISTANCE, prefetch_span
from .simd.vector cimport VECTOR_BYTES, lanes_of


cdef inline void Y_part(const floating* Z, const floating* Z_end, floating* Y, Py_ssize_t begin, Py_ssize_t end,
                        const Window* g, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of outputs.
    cdef Py_ssize_t done = part_Y_2x2(Z, Z_end, Y, NULL, begin, end, g, LARGEST), i
    cdef Py_ssize_t ahead = numbers_ahead(g, Z)
    cdef Place at = place_of(done, g.P)
    cdef const floating* plane
    set_margins(memory, NULL, row_length(g, lanes_of(Y)))
    memory += row_margin(g, lanes_of(Y))
    for i in range(done, end):
        plane = Z + at.plane * g.H * g.W
        prefetch_rows(plane, Z_end, at.row, g, ahead)
        Y_row(plane, Y + i * g.Q, at.row, g, memory)
        next_place(&at, g.P)


cdef inline void winners_part(const floating* Z, const floating* Z_end, floating* Y, int32_t* B, Py_ssize_t begin,
                              Py_ssize_t end, const Window* g, floating* memory) noexcept nogil:
    cdef Py_ssize_t length = row_length(g, lanes_of(Y)), margin = row_margin(g, lanes_of(Y)), i, q
    cdef Py_ssize_t done = part_Y_2x2(Z, Z_end, Y, B, begin, end, g, WINNERS)
    cdef Py_ssize_t ahead = numbers_ahead(g, Z)
    cdef const floating* plane
    cdef Place at = place_of(done, g.P)
    cdef floating* m = memory + margin
    cdef floating* k = memory + length + margin
    cdef int64_t* row = <int64_t*>(memory + 2 * length)
    set_margins(memory, memory + length, length)
    for i in range(done, end):
        plane = Z + at.plane * g.H * g.W
        prefetch_rows(plane, Z_end, at.row, g, ahead)
        if floating is float:
            winners_row(plane, Y + i * g.Q, B + i * g.Q, at.row, g, m, k)
        else:
            winners_row(plane, Y + i * g.Q, row, at.row, g, m, k)
            for q in range(g.Q):
                B[i * g.Q + q] = <int32_t>row[q]
        next_place(&at, g.P)


cdef void fill_slot(const Ring* ring, const floating* Delta, const floating* Z, const int32_t* B, int wins,
                    Py_ssize_t p, const Window* g, floating* m, floating* k, floating* row) noexcept nogil:
    # The slot of row p of the plane that Delta, Z and B point to. The key is the winners' offset, from B or, where
    # that is NULL, found again; with wins = EQUAL it is the maximum.
    cdef floating* key = slot(ring, p, row) + ring.size
    cdef Py_ssize_t q
    memcpy(slot(ring, p, row), Delta + p * g.Q, g.Q * sizeof(floating))
    if wins == EQUAL:
        Y_row(Z, key, p, g, m)
    elif B == NULL:
        winners_row(Z, row, key, p, g, m, k)
    elif floating is float:
        memcpy(key, B + p * g.Q, g.Q * sizeof(float))
    else:
        for q in range(g.Q):
            (<int64_t*>key)[q] = B[p * g.Q + q]


cdef inline void dZ_part(const floating* Delta, const floating* Z, const int32_t* B, floating* dZ, int wins,
                         Py_ssize_t planes, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                         floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image.
    cdef Py_ssize_t length = row_length(g, lanes_of(dZ)), margin = row_margin(g, lanes_of(dZ)), i
    cdef Py_ssize_t ahead = PREFETCH_DISTANCE // <Py_ssize_t>sizeof(floating)
    cdef Ring ring
    cdef floating* m = memory + ring_length(g)
    cdef floating* k = m + length
    cdef floating* row = k + length  # Y's or Z's, with what vectors read behind it
    if wins == OFFSET and B != NULL and covers_image(g):
        begin = part_dZ_2x2(Delta, B, dZ, begin, end, planes * g.P, g)
        if begin == end:
            return
    ring = ring_at(begin, memory, g)
    set_margins(m, k, length)
    for i in range(begin, end):
        prefetch_span(dZ + i * g.W + ahead, g.W * sizeof(floating), dZ + planes * g.H * g.W)
        if Z != NULL:
            prefetch_span(Z + i * g.W + ahead, g.W * sizeof(floating), Z + planes * g.H * g.W)
        while ring.next_row < min_of(ring.end + 1, g.P):
            fill_slot(&ring, Delta + ring.plane * g.P * g.Q, Z + ring.plane * g.H * g.W if Z != NULL else NULL,
                      B + ring.plane * g.P * g.Q if B != NULL else NULL, wins, ring.next_row, g, m + margin, k + margin,
                      row)
            ring.next_row += 1
        if wins == EQUAL:
            memcpy(row, Z + i * g.W, g.W * sizeof(floating))
        gather(&ring, g, wins, row, dZ + i * g.W)
        next_row(&ring, g)


cdef void grad_input(const floating* Delta, const floating* Z, const int32_t* B, floating* dZ, int wins,
                     Py_ssize_t planes, const Window* g) except *:
    cdef Py_ssize_t rows = planes * g.H, part
    cdef Py_ssize_t together = 2 if covers_image(g) else 1  # both rows of a window to one thread
    cdef Py_ssize_t cuts = rows // together
    cdef Py_ssize_t length = (ring_length(g) + 2 * row_length(g, lanes_of(dZ)) + max_of(g.W, g.Q)
                              + 2 * VECTOR_BYTES)
    cdef int threads = threads_for(<double>rows * g.W + <double>planes * g.P * g.Q * g.R * g.S)
    cdef floating* memory = memory_for("max_pool2d_grad_input", threads, length, dZ)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        if wins == EQUAL:
            dZ_part(Delta, Z, B, dZ, EQUAL, planes, cuts * part // threads * together,
                    cuts * (part + 1) // threads * together, g, memory + part * length)
        else:
            dZ_part(Delta, Z, B, dZ, OFFSET, planes, cuts * part // threads * together,
                    cuts * (part + 1) // threads * together, g, memory + part * length)
    free(memory)


cdef inline Py_ssize_t first_maximum(const floating* Z, Py_ssize_t p, Py_ssize_t q, const Window* g) noexcept nogil:
    # Where it lies in the plane: the first NaN, if there is one.
    cdef Py_ssize_t at = row_begin(g, p) * g.W + column_begin(g, q), h, w
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(column_begin(g, q), column_end(g, q)):
            if Z[h * g.W + w] > Z[at] or (Z[h * g.W + w] != Z[h * g.W + w] and Z[at] == Z[at]):
                at = h * g.W + w
    return at


cdef inline void dZ_plane(const floating* Delta, const floating* Z, floating* dZ, const Window* g) noexcept nogil:
    # Window by window, in the order of the sums: for windows in which an offset may take more bits than a float has.
    cdef Py_ssize_t p, q
    memset(dZ, 0, g.H * g.W * sizeof(floating))
    for p in range(g.P):
        for q in range(g.Q):
            dZ[first_maximum(Z, p, q, g)] += Delta[p * g.Q + q]


cdef void grad_input_wide(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                          const Window* g) noexcept:
    cdef int threads = threads_for(<double>planes * g.P * g.Q * min_of(g.R, g.H) * min_of(g.S, g.W))
    cdef Py_ssize_t i
    for i in prange(planes, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta + i * g.P * g.Q, Z + i * g.H * g.W, dZ + i * g.H * g.W, g)


def max_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t rows = Y.shape[0] * Y.shape[1] * Y.shape[2], part, length
    cdef Py_ssize_t size = Z.shape[0] * Z.shape[1] * g.H * g.W
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    length = row_length(&g, lanes_of(&Y[0, 0, 0, 0]))
    memory = memory_for("max_pool2d", threads, length, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0] + size, &Y[0, 0, 0, 0], rows * part // threads,
               rows * (part + 1) // threads, &g, memory + part * length)
    free(memory)


def max_pool2d_winners(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, int32_t[:, :, :, ::1] B, *,
                       Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t rows = Y.shape[0] * Y.shape[1] * Y.shape[2], part, length
    cdef Py_ssize_t size = Z.shape[0] * Z.shape[1] * g.H * g.W
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    length = 2 * row_length(&g, lanes_of(&Y[0, 0, 0, 0])) + g.Q
    memory = memory_for("max_pool2d_winners", threads, length, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        winners_part(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0] + size, &Y[0, 0, 0, 0], &B[0, 0, 0, 0], rows * part // threads,
                     rows * (part + 1) // threads, &g, memory + part * length)
    free(memory)


def max_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                          Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    clip(&g)
    if dZ.shape[0] > 0 and g.R > INT32_MAX // g.S:
        grad_input_wide(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dZ[0, 0, 0, 0], dZ.shape[0] * dZ.shape[1], &g)
    elif dZ.shape[0] > 0:
        grad_input(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], NULL, &dZ[0, 0, 0, 0], OFFSET, dZ.shape[0] * dZ.shape[1], &g)


def max_pool2d_grad_input_all(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                              floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    if dZ.shape[0] > 0:
        grad_input(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], NULL, &dZ[0, 0, 0, 0], EQUAL, dZ.shape[0] * dZ.shape[1], &g)


def max_pool2d_grad_input_winners(const floating[:, :, :, ::1] Delta, const int32_t[:, :, :, ::1] B, /,
                                  floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                                  Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    # A winner outside its window or the image wins nothing: nothing is written by its offset.
    cdef Window g = Window(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    if dZ.shape[0] > 0:
        grad_input(&Delta[0, 0, 0, 0], NULL, &B[0, 0, 0, 0], &dZ[0, 0, 0, 0], OFFSET, dZ.shape[0] * dZ.shape[1], &g)
