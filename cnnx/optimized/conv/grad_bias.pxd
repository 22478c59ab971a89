# The gradient with respect to a number per channel that is added to all of it (C4): sums over whole planes of
# Delta, in vectors, added up in double.

from cython cimport floating
from cython.parallel cimport prange

from .._threads cimport threads_for
from ..microkernel.lane_sums cimport sum_lanes
from ..runtime.integers cimport ceil_div, cut, min_of

cdef enum:
    SINGLE_PRECISION_RUN = 8192  # numbers that are added up in single precision: 128 per partial sum
    PARTIAL_SUMS = 16  # SUM_BYTES of float32
    CHANNELS_AT_ONCE = 8  # channels that are read in turn, where planes are smaller than the hardware's look-ahead
    PARTS = 8  # of the images, where there are fewer channels than would keep some threads busy

cdef struct Rows:
    Py_ssize_t N, K, area, pieces, channels, blocks, parts


cdef inline void plan_rows(Rows* g, Py_ssize_t N, Py_ssize_t K, Py_ssize_t area) noexcept nogil:
    g.N, g.K, g.area = N, K, area
    g.pieces = ceil_div(area, SINGLE_PRECISION_RUN)
    g.channels = 1 if area >= 1024 else CHANNELS_AT_ONCE
    g.blocks = ceil_div(K, g.channels)
    g.parts = min_of(PARTS, N * g.pieces) if K <= PARTS and N * area > SINGLE_PRECISION_RUN else 1


cdef inline void db_task(const floating* Delta, Rows* g, Py_ssize_t task, double* total, floating* db) noexcept nogil:
    # total[part][k] for some channels k and a part of the images, or db[k] of all.
    cdef double lane[CHANNELS_AT_ONCE][PARTIAL_SUMS]
    cdef Py_ssize_t part = task % g.parts, k0 = task // g.parts * g.channels, channels = min_of(g.channels, g.K - k0)
    cdef Py_ssize_t unit, k, j, first, end
    cdef const floating* x
    for k in range(CHANNELS_AT_ONCE):
        for j in range(PARTIAL_SUMS):
            lane[k][j] = 0
    for unit in range(cut(g.N * g.pieces, g.parts, part), cut(g.N * g.pieces, g.parts, part + 1)):
        first = unit % g.pieces * SINGLE_PRECISION_RUN
        end = min_of(g.area, first + SINGLE_PRECISION_RUN)
        for k in range(channels):
            x = Delta + (unit // g.pieces * g.K + k0 + k) * g.area + first
            sum_lanes(x, end - first, lane[k])
    for k in range(channels):
        for j in range(1, PARTIAL_SUMS):
            lane[k][0] += lane[k][j]
        if g.parts > 1:
            total[part * g.K + k0 + k] = lane[k][0]
        else:
            db[k0 + k] = <floating>lane[k][0]


cdef inline void grad_bias(const floating[:, :, :, ::1] Delta, floating[::1] db) noexcept:
    cdef double work = <double>Delta.shape[0] * Delta.shape[1] * Delta.shape[2] * Delta.shape[3]
    cdef int threads = threads_for(work)
    cdef Py_ssize_t task, tasks, part, k
    cdef double total[PARTS * PARTS]
    cdef Rows g
    if work == 0:
        for k in range(db.shape[0]):
            db[k] = 0
        return
    plan_rows(&g, Delta.shape[0], Delta.shape[1], Delta.shape[2] * Delta.shape[3])
    tasks = g.blocks * g.parts
    for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        db_task(&Delta[0, 0, 0, 0], &g, task, total, &db[0])
    for k in range(g.K if g.parts > 1 else 0):  # at most PARTS
        for part in range(1, g.parts):
            total[k] += total[part * g.K + k]
        db[k] = <floating>total[k]
