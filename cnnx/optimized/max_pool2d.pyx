"""Max pooling: P1, P2, row by row.

Forward, a thread has a share of all rows of outputs; backward, of all rows of the image, to which the windows over them
add in their order (pool/scatter.pxd; where ties share, pool/grad_input.pxd): one writer per element, and the same sum
whoever writes it.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport INT32_MAX, int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ._threads cimport threads_for
from .pool.grad_input cimport (
    EQUAL, OFFSET, Ring, gather, gathers_winners, next_row, ring_at, ring_length, slot,
)
from .pool.max_2x2 cimport covers_image, part_Y_2x2, part_dZ_2x2, tiles_2x2
from .pool.max_row cimport Y_across, Y_down, set_margins, winners_row
from .pool.planes cimport by_planes, groups_of, planes_length, pool_planes, pool_planes_part
from .pool.row cimport LARGEST, WINNERS, pooling
from .pool.scatter cimport TOGETHER, Places, Table, add_plane, add_row, set_places, set_table
from .pool.whole cimport dZ_plane, dZ_whole, is_whole
from .pool.window cimport (
    Place, Window, clip, memory_for, next_place, numbers_ahead, place_of, prefetch_rows, row_length, row_margin,
    window_of,
)
from .runtime.integers cimport end_output, first_output, min_of
from .runtime.memory cimport align_to_line, scratch, whole_lines
from .simd.prefetch cimport PREFETCH_DISTANCE, prefetch_span
from .simd.vector cimport VECTOR_BYTES, lanes_of


cdef inline Py_ssize_t rows_length(const Window* g, const floating* tag) noexcept nogil:
    # Of two rows of maxima, in whole lines.
    return 2 * (whole_lines(row_length(g, lanes_of(tag)) * sizeof(floating)) // <Py_ssize_t>sizeof(floating))


cdef inline void Y_part(const floating* Z, const floating* Z_end, floating* Y, Py_ssize_t begin, Py_ssize_t end,
                        const Window* g, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of outputs. The maxima down the columns of two of them take turns: the
    # next row's are computed before one is read, or loads would wait for the stores that they take their numbers from.
    cdef Py_ssize_t done = part_Y_2x2(Z, Z_end, Y, NULL, begin, end, g, LARGEST), i, length = rows_length(g, Y) // 2
    cdef Py_ssize_t ahead = numbers_ahead(g, Z)
    cdef Place at = place_of(done, g.P)
    cdef const floating* plane
    set_margins(memory, NULL, 2 * length)
    memory += row_margin(g, lanes_of(Y))
    for i in range(done, end):
        plane = Z + at.plane * g.H * g.W
        prefetch_rows(plane, Z_end, at.row, g, ahead)
        Y_down(plane, at.row, g, memory + i % 2 * length)
        if i > done:
            Y_across(memory + (i - 1) % 2 * length, Y + (i - 1) * g.Q, g)
        next_place(&at, g.P)
    if end > done:
        Y_across(memory + (end - 1) % 2 * length, Y + (end - 1) * g.Q, g)


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


cdef void over_planes(str kernel, const floating* Z, floating* Y, int32_t* B, Py_ssize_t planes, const Window* g,
                      int threads, pooling how) except *:
    cdef Py_ssize_t length = planes_length(g, Y), groups = groups_of(planes, Y), part
    cdef void* raw = scratch(kernel, threads * length, Y)
    cdef floating* memory = align_to_line(raw, Y)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        if how == WINNERS:
            pool_planes_part(Z, Y, B, planes, groups * part // threads, groups * (part + 1) // threads, g,
                             memory + part * length, WINNERS)
        else:
            pool_planes_part(Z, Y, B, planes, groups * part // threads, groups * (part + 1) // threads, g,
                             memory + part * length, LARGEST)
    free(raw)


cdef inline void dZ_rows(const floating* Delta, const floating* Z, const int32_t* B, floating* dZ, Py_ssize_t first,
                         Py_ssize_t end, const Window* g, const Places* places, bint together, floating* m, floating* k,
                         floating* row) noexcept nogil:
    # The rows first ... end - 1 of a plane, or of TOGETHER planes with winners. B: those, or NULL, and they are found
    # again.
    cdef Py_ssize_t p, i, end_p = end_output(end + g.p_h, g.u, g.P)
    for i in range(TOGETHER if together else 1):
        memset(dZ + (i * g.H + first) * g.W, 0, (end - first) * g.W * sizeof(floating))
    for p in range(first_output(first + g.p_h - g.R + 1, g.u), end_p):
        if together:
            add_row(Delta + p * g.Q, B + p * g.Q, dZ, p, first, end, g, places, TOGETHER)
        elif B != NULL:
            add_row(Delta + p * g.Q, B + p * g.Q, dZ, p, first, end, g, places, 1)
        else:
            winners_row(Z, row, row + g.Q, p, g, m, k)
            if floating is float:
                add_row(Delta + p * g.Q, <const int32_t*>(row + g.Q), dZ, p, first, end, g, places, 1)
            else:
                add_row(Delta + p * g.Q, <const int64_t*>(row + g.Q), dZ, p, first, end, g, places, 1)


cdef inline void dZ_part(const floating* Delta, const floating* Z, const int32_t* B, floating* dZ, Py_ssize_t planes,
                         Py_ssize_t begin, Py_ssize_t end, const Window* g, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image. memory: of m, k and a row of maxima and winners, where
    # winners are found again.
    cdef Py_ssize_t length = row_length(g, lanes_of(dZ)), margin = row_margin(g, lanes_of(dZ)), plane, stop
    cdef Py_ssize_t pixels = g.H * g.W, outputs = g.P * g.Q
    cdef bint together
    cdef Places places
    cdef Table table
    if B != NULL and covers_image(g):
        begin = part_dZ_2x2(Delta, B, dZ, begin, end, planes * g.P, g)
    elif B == NULL:
        set_margins(memory, memory + length, length)
    set_places(&places, g)
    set_table(&table, &places, B != NULL, g)
    while begin < end:
        plane = begin // g.H
        together = B != NULL and begin == plane * g.H and begin + TOGETHER * g.H <= end
        if together and table.known:
            memset(dZ + plane * pixels, 0, TOGETHER * pixels * sizeof(floating))
            add_plane(Delta + plane * outputs, B + plane * outputs, dZ + plane * pixels, g, &places, &table, TOGETHER)
            begin += TOGETHER * g.H
            continue
        stop = min_of(end - plane * g.H, g.H)
        dZ_rows(Delta + plane * outputs, Z + plane * pixels if Z != NULL else NULL,
                B + plane * outputs if B != NULL else NULL, dZ + plane * pixels, begin - plane * g.H, stop, g, &places,
                together, memory + margin, memory + length + margin, memory + 2 * length)
        begin = (plane + (TOGETHER - 1 if together else 0)) * g.H + stop


cdef inline void dZ_planes_part(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                                Py_ssize_t begin, Py_ssize_t end, const Window* g, floating* memory) noexcept nogil:
    # The groups begin ... end - 1 of small planes, whose winners are found again a group at a time.
    cdef Py_ssize_t lanes = lanes_of(dZ), first = begin * lanes, pixels = g.H * g.W, outputs = g.P * g.Q, count
    cdef floating* y = memory + planes_length(g, dZ)
    cdef int32_t* B = <int32_t*>(y + outputs * lanes)
    while first < min_of(planes, end * lanes):
        count = min_of(lanes, planes - first)
        pool_planes(Z + first * pixels, y, B, count, g, NULL, NULL, NULL, memory, WINNERS)
        dZ_part(Delta + first * outputs, NULL, B, dZ + first * pixels, count, 0, count * g.H, g, memory)
        first += lanes


cdef void grad_input_again(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                           const Window* g) except *:
    # Without winners.
    cdef Py_ssize_t pixels = g.H * g.W, groups = groups_of(planes, dZ), part
    cdef Py_ssize_t length = planes_length(g, dZ) + 2 * g.P * g.Q * lanes_of(dZ)
    cdef int threads = threads_for(<double>planes * (pixels + <double>g.P * g.Q * g.R * g.S))
    cdef void* raw
    cdef floating* memory
    if is_whole(g):
        for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
            dZ_whole(Delta, Z, dZ, planes * part // threads, planes * (part + 1) // threads, pixels)
    elif by_planes(g, planes, dZ):
        raw = scratch("max_pool2d_grad_input", threads * length, dZ)
        memory = align_to_line(raw, dZ)
        for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
            dZ_planes_part(Delta, Z, dZ, planes, groups * part // threads, groups * (part + 1) // threads, g,
                           memory + part * length)
        free(raw)
    else:
        grad_input(Delta, Z, NULL, dZ, planes, g)


cdef inline void dZ_gathered(const floating* Delta, const int32_t* B, floating* dZ, Py_ssize_t begin, Py_ssize_t end,
                             const Window* g, floating* memory) noexcept nogil:
    # The rows begin, ..., end - 1 of all rows of the image, each from the windows over it.
    cdef Ring ring = ring_at(begin, memory, g)
    cdef Py_ssize_t i, q, at
    cdef floating* row
    for i in range(begin, end):
        while ring.next_row < min_of(ring.end + 1, g.P):
            row = slot(&ring, ring.next_row, dZ)
            at = (ring.plane * g.P + ring.next_row) * g.Q
            memcpy(row, Delta + at, g.Q * sizeof(floating))
            if floating is float:
                memcpy(row + ring.size, B + at, g.Q * sizeof(int32_t))
            else:
                for q in range(g.Q):
                    (<int64_t*>(row + ring.size))[q] = B[at + q]
            ring.next_row += 1
        gather(&ring, g, OFFSET, <const floating*>NULL, dZ + i * g.W)
        next_row(&ring, g)


cdef void grad_input(const floating* Delta, const floating* Z, const int32_t* B, floating* dZ, Py_ssize_t planes,
                     const Window* g) except *:
    cdef Py_ssize_t rows = planes * g.H, part
    cdef Py_ssize_t together = 2 if covers_image(g) else 1  # both rows of a window to one thread
    cdef Py_ssize_t cuts = rows // together
    cdef bint gathered = B != NULL and not covers_image(g) and gathers_winners(g, dZ)
    cdef Py_ssize_t length = 2 * (row_length(g, lanes_of(dZ)) + g.Q) if B == NULL else ring_length(g) if gathered else 1
    cdef int threads = threads_for(<double>rows * g.W + <double>planes * g.P * g.Q * (1 if B != NULL else g.R * g.S))
    cdef floating* memory = memory_for("max_pool2d_grad_input", threads, length, dZ)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        if gathered:
            dZ_gathered(Delta, B, dZ, rows * part // threads, rows * (part + 1) // threads, g, memory + part * length)
        else:
            dZ_part(Delta, Z, B, dZ, planes, cuts * part // threads * together,
                    cuts * (part + 1) // threads * together, g, memory + part * length)
    free(memory)


cdef inline void dZ_part_all(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                             Py_ssize_t begin, Py_ssize_t end, const Window* g, floating* memory) noexcept nogil:
    # The same where all members that equal the maximum win: row by row, through a ring of Delta's and Y's rows.
    cdef Py_ssize_t length = row_length(g, lanes_of(dZ)), margin = row_margin(g, lanes_of(dZ)), i
    cdef Py_ssize_t ahead = PREFETCH_DISTANCE // <Py_ssize_t>sizeof(floating)
    cdef Ring ring = ring_at(begin, memory, g)
    cdef floating* m = memory + ring_length(g)
    cdef floating* row = m + length  # Z's, with what vectors read behind it
    set_margins(m, <floating*>NULL, length)
    for i in range(begin, end):
        prefetch_span(dZ + i * g.W + ahead, g.W * sizeof(floating), dZ + planes * g.H * g.W)
        prefetch_span(Z + i * g.W + ahead, g.W * sizeof(floating), Z + planes * g.H * g.W)
        while ring.next_row < min_of(ring.end + 1, g.P):
            fill_slot(&ring, Delta + ring.plane * g.P * g.Q, Z + ring.plane * g.H * g.W, ring.next_row, g, m + margin)
            ring.next_row += 1
        memcpy(row, Z + i * g.W, g.W * sizeof(floating))
        gather(&ring, g, EQUAL, row, dZ + i * g.W)
        next_row(&ring, g)


cdef inline void fill_slot(const Ring* ring, const floating* Delta, const floating* Z, Py_ssize_t p, const Window* g,
                           floating* m) noexcept nogil:
    # The slot of row p of the plane that Delta and Z point to; the key is the maximum.
    memcpy(slot(ring, p, m), Delta + p * g.Q, g.Q * sizeof(floating))
    Y_down(Z, p, g, m)
    Y_across(m, slot(ring, p, m) + ring.size, g)


cdef void grad_input_all(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                         const Window* g) except *:
    cdef Py_ssize_t rows = planes * g.H, part
    cdef Py_ssize_t length = ring_length(g) + row_length(g, lanes_of(dZ)) + g.W + 2 * VECTOR_BYTES
    cdef int threads = threads_for(<double>rows * g.W + <double>planes * g.P * g.Q * g.R * g.S)
    cdef floating* memory = memory_for("max_pool2d_grad_input_all", threads, length, dZ)
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        dZ_part_all(Delta, Z, dZ, planes, rows * part // threads, rows * (part + 1) // threads, g,
                    memory + part * length)
    free(memory)


cdef void grad_input_wide(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t planes,
                          const Window* g) noexcept:
    cdef int threads = threads_for(<double>planes * g.P * g.Q * min_of(g.R, g.H) * min_of(g.S, g.W))
    cdef Py_ssize_t i
    for i in prange(planes, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta + i * g.P * g.Q, Z + i * g.H * g.W, dZ + i * g.H * g.W, g)


def max_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = window_of(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t planes = Y.shape[0] * Y.shape[1], rows = planes * g.P, part, length
    cdef Py_ssize_t size = planes * g.H * g.W
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    cdef void* raw
    if rows == 0:
        return
    if by_planes(&g, planes, &Y[0, 0, 0, 0]) and not tiles_2x2(&g):
        over_planes("max_pool2d", &Z[0, 0, 0, 0], &Y[0, 0, 0, 0], NULL, planes, &g, threads, LARGEST)
        return
    length = rows_length(&g, &Y[0, 0, 0, 0])
    raw = scratch("max_pool2d", threads * length, &Y[0, 0, 0, 0])
    memory = align_to_line(raw, &Y[0, 0, 0, 0])
    for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
        Y_part(&Z[0, 0, 0, 0], &Z[0, 0, 0, 0] + size, &Y[0, 0, 0, 0], rows * part // threads,
               rows * (part + 1) // threads, &g, memory + part * length)
    free(raw)


def max_pool2d_winners(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, int32_t[:, :, :, ::1] B, *,
                       Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = window_of(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t planes = Y.shape[0] * Y.shape[1], rows = planes * g.P, part, length
    cdef Py_ssize_t size = planes * g.H * g.W
    cdef int threads = threads_for(<double>rows * g.Q * R * S)
    cdef floating* memory
    if rows == 0:
        return
    if by_planes(&g, planes, &Y[0, 0, 0, 0]) and not tiles_2x2(&g):
        over_planes("max_pool2d_winners", &Z[0, 0, 0, 0], &Y[0, 0, 0, 0], &B[0, 0, 0, 0], planes, &g, threads, WINNERS)
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
    cdef Window g = window_of(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    clip(&g)
    if dZ.shape[0] > 0 and g.R > INT32_MAX // g.S:
        grad_input_wide(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dZ[0, 0, 0, 0], dZ.shape[0] * dZ.shape[1], &g)
    elif dZ.shape[0] > 0:
        grad_input_again(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dZ[0, 0, 0, 0], dZ.shape[0] * dZ.shape[1], &g)


def max_pool2d_grad_input_all(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                              floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = window_of(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    if dZ.shape[0] > 0:
        grad_input_all(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dZ[0, 0, 0, 0], dZ.shape[0] * dZ.shape[1], &g)


def max_pool2d_grad_input_winners(const floating[:, :, :, ::1] Delta, const int32_t[:, :, :, ::1] B, /,
                                  floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                                  Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    # A winner outside its window or the image wins nothing: nothing is written by its offset.
    cdef Window g = window_of(dZ.shape[2], dZ.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    if dZ.shape[0] > 0:
        grad_input(&Delta[0, 0, 0, 0], NULL, &B[0, 0, 0, 0], &dZ[0, 0, 0, 0], dZ.shape[0] * dZ.shape[1], &g)
