# The gradient with respect to a number per channel that is added to all of it (C4): sums over whole planes of Delta, in
# vectors, added up in double.

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

from ._grad_weight_plan cimport cut
from ._grad_weight_tile cimport last_of
from ._index cimport least, up
from ._threads cimport threads_for
from ._vector cimport MOST_LANES, doubles, floats, lanes_in, spread, vector, vector_at

cdef enum:
    # Numbers that are added up in single precision: 64 to a lane of AVX-512.
    PIECE = 8192
    TOGETHER = 8  # channels that are read in turn, where planes are smaller than the hardware's look-ahead
    PARTS = 8  # of the images, where there are fewer channels than would keep some threads busy

cdef struct Rows:
    Py_ssize_t N, K, area, pieces, channels, blocks, parts


cdef inline void plan_rows(Rows* g, Py_ssize_t N, Py_ssize_t K, Py_ssize_t area) noexcept nogil:
    g.N, g.K, g.area = N, K, area
    g.pieces = up(area, PIECE)
    g.channels = 1 if area >= 1024 else TOGETHER
    g.blocks = up(K, g.channels)
    g.parts = least(PARTS, N * g.pieces) if K <= PARTS and N * area > PIECE else 1


cdef inline void add_up(const void* x, Py_ssize_t count, double* lane, vector* kind) noexcept nogil:
    # lane[j] += the sum of every so-manieth x.
    cdef vector a[8]
    cdef Py_ssize_t lanes = lanes_in(kind), i, j, rest = count % lanes
    cdef float single[MOST_LANES]
    cdef double twofold[MOST_LANES]
    cdef double zero = 0
    cdef int m
    if count < lanes:
        for i in range(count):
            lane[i] += (<const float*>x)[i] if vector is floats else (<const double*>x)[i]
        return
    for m in range(8):
        a[m] = spread(&zero, 0, kind)
    for i in range(count // (8 * lanes)):
        for m in range(8):
            a[m] = a[m] + vector_at(x, (8 * i + m) * lanes, kind)[0]
    for i in range(count // (8 * lanes) * 8, count // lanes):
        a[0] = a[0] + vector_at(x, i * lanes, kind)[0]
    if rest:
        a[7] = a[7] + last_of(vector_at(x, count - lanes, kind)[0], rest)
    a[0] = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]))
    if vector is floats:
        vector_at(single, 0, kind)[0] = a[0]
        for j in range(lanes):
            lane[j] += single[j]
    else:
        vector_at(twofold, 0, kind)[0] = a[0]
        for j in range(lanes):
            lane[j] += twofold[j]


cdef inline void db_task(const floating* Delta, Rows* g, Py_ssize_t task, double* total) noexcept nogil:
    # total[part][k] for some channels k and a part of the images.
    cdef double lane[TOGETHER][MOST_LANES]
    cdef Py_ssize_t part = task % g.parts, k0 = task // g.parts * g.channels, channels = least(g.channels, g.K - k0)
    cdef Py_ssize_t unit, k, j, first, end
    cdef const floating* x
    for k in range(TOGETHER):
        for j in range(MOST_LANES):
            lane[k][j] = 0
    for unit in range(cut(g.N * g.pieces, g.parts, part), cut(g.N * g.pieces, g.parts, part + 1)):
        first = unit % g.pieces * PIECE
        end = least(g.area, first + PIECE)
        for k in range(channels):
            x = Delta + (unit // g.pieces * g.K + k0 + k) * g.area + first
            if floating is float:
                add_up[floats](x, end - first, lane[k], NULL)
            else:
                add_up[doubles](x, end - first, lane[k], NULL)
    for k in range(channels):
        for j in range(1, MOST_LANES):
            lane[k][0] += lane[k][j]
        total[part * g.K + k0 + k] = lane[k][0]


cdef inline void grad_bias(const floating[:, :, :, ::1] Delta, floating[::1] db) except *:
    cdef double work = <double>Delta.shape[0] * Delta.shape[1] * Delta.shape[2] * Delta.shape[3]
    cdef int threads = threads_for(work)
    cdef Py_ssize_t task, tasks, part, k
    cdef double* total
    cdef Rows g
    if work == 0:
        for k in range(db.shape[0]):
            db[k] = 0
        return
    plan_rows(&g, Delta.shape[0], Delta.shape[1], Delta.shape[2] * Delta.shape[3])
    tasks = g.blocks * g.parts
    total = <double*>malloc(g.parts * g.K * sizeof(double))
    if total == NULL:
        raise MemoryError
    for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        db_task(&Delta[0, 0, 0, 0], &g, task, total)
    for k in range(g.K):
        for part in range(1, g.parts):
            total[k] += total[part * g.K + k]
        db[k] = <floating>total[k]
    free(total)
