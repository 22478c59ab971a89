# The gradient of the input as sums over taps (C5), for loops.pxd: where the stride leaves no gaps, a convolution of
# Delta with the weights rotated by 180 degrees; otherwise one for each phase of the stride.

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport malloc

from ..microkernel.multiply_accumulate cimport INTERLEAVED
from ..microkernel.table cimport Microkernels
from ..pack.taps cimport plan_taps, set_extents
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times
from ..simd.vector cimport lanes_of
from .axis cimport Axis, Line, axis_of, line_of
from .blocks cimport (
    Sums, copy_size, leave_uncopied, planes_at_a_time, row_block, row_blocks, serves_as_it_lies, terms,
)
from .depthwise cimport plan_plane
from .epilogue cimport Epilogue
from .job cimport Job
from .lanes cimport plan_lanes


cdef struct Phases:
    # Rows of the input (or columns) by their phase a of the stride: h = u i + a. The kernel rows reached[...] from
    # begin[a] to begin[a + 1] meet them: h + p_h - d_h r = u p with p = i + offset[...].
    Py_ssize_t phases
    Py_ssize_t* begin
    Py_ssize_t* reached
    Py_ssize_t* offset


cdef inline Py_ssize_t phases_size(Py_ssize_t H, Py_ssize_t R, Py_ssize_t u) noexcept nogil:
    # Bytes of find_phases().
    return times(plus(min_of(u, H) + 1, times(2, R)), sizeof(Py_ssize_t))


cdef inline bint find_phases(Phases* axis, Py_ssize_t H, Py_ssize_t R, Py_ssize_t u, Py_ssize_t p_h,
                             Py_ssize_t d_h) noexcept nogil:
    # False when there is no memory; otherwise axis.begin has to be freed.
    cdef Py_ssize_t a, r, count = 0
    cdef Axis rows = axis_of(H, R, 0, 1, p_h, -d_h, u)
    cdef Line line
    axis.phases = min_of(u, H)
    axis.begin = <Py_ssize_t*>malloc(phases_size(H, R, u))
    if axis.begin == NULL:
        return False
    axis.reached = axis.begin + axis.phases + 1
    axis.offset = axis.reached + R
    for a in range(axis.phases):
        axis.begin[a] = count
        if line_of(&rows, a, &line):
            for r in range(line.taps):
                axis.reached[count] = line.tap + line.tap_apart * r
                axis.offset[count] = line.first + line.gap * r
                count += 1
    axis.begin[axis.phases] = count
    return True


cdef inline Py_ssize_t phases_room(const floating[:, :, :, ::1] F, Py_ssize_t H, Py_ssize_t W, Py_ssize_t u,
                                   Py_ssize_t v, Py_ssize_t parts, Py_ssize_t groups) noexcept nogil:
    # Bytes of what all threads read: weights, start values, and of so many parts the sums and the tables of their taps.
    cdef Py_ssize_t R = F.shape[2], S = F.shape[3], offsets = times(2, times(F.shape[0] // groups, times(R, S)))
    cdef Py_ssize_t numbers = plus(times(F.shape[0], times(F.shape[1], times(R, S))), F.shape[1])
    cdef Py_ssize_t bytes = plus(times(numbers, sizeof(floating)), times(offsets, sizeof(Py_ssize_t)))
    bytes = plus(bytes, times(parts, sizeof(Sums) + 9 * sizeof(Py_ssize_t)))
    bytes = plus(bytes, times(times(min_of(u, H), min_of(v, W)), sizeof(int)))
    return plus(bytes, plus(phases_size(H, R, u), phases_size(W, S, v)))


cdef inline void pack_transposed_weight(const floating* F, floating* w, const Sums* m, Py_ssize_t k, Py_ssize_t R,
                                        Py_ssize_t S, const Py_ssize_t* rows, const Py_ssize_t* columns) noexcept nogil:
    # A group's weights (k, c, r, s) of one k into the row blocks of input channels c, for the terms (k, r, s) of one
    # phase.
    cdef Py_ssize_t taps = m.taps.R * m.taps.S, block, count, c, r, s
    cdef const floating* kernel = F + k * m.K * R * S
    cdef floating* to
    cdef Span channels
    for block in range(row_blocks(m.K)):
        channels = row_block(m.K, block)
        count = channels.end - channels.first
        to = w + channels.first * terms(m) + k * taps * count
        for c in range(count):
            for r in range(m.taps.R):
                for s in range(m.taps.S):
                    to[(r * m.taps.S + s) * count + c] = kernel[rows[r] * S + columns[s]]
            kernel = kernel + R * S


cdef inline bint phase_sums(Job* job, const Phases* rows, const Phases* columns, const floating[:, :, :, ::1] Delta,
                            const floating[:, :, :, ::1] F, const Microkernels* kernels) noexcept nogil:
    # One sum for each phase (a, b) that a tap reaches, and the memory that they need; False when there is none.
    cdef Py_ssize_t lanes = lanes_of(<floating*>NULL), a, b, P, Q, R, S, w = 0, y = 0
    cdef Sums* m
    for a in range(rows.phases):
        P = ceil_div(job.H - a, job.u)
        for b in range(columns.phases):
            Q = ceil_div(job.W - b, job.v)
            R = rows.begin[a + 1] - rows.begin[a]
            S = columns.begin[b + 1] - columns.begin[b]
            if job.part != NULL:
                job.part[a * columns.phases + b] = -1 if R * S == 0 else <int>job.count
                if R * S == 0:
                    continue
            m = &job.parts[job.count]
            set_extents(&m.taps, F.shape[0] // job.groups, Delta.shape[2], Delta.shape[3], P, Q, 1, 1)
            m.taps.R, m.taps.S, m.taps.kernels = R, S, kernels
            m.taps.down = rows.offset + rows.begin[a]
            m.taps.right = columns.offset + columns.begin[b]
            m.taps.source = &Delta[0, 0, 0, 0]
            m.taps.source_end = &Delta[0, 0, 0, 0] + job.N * job.z_image
            m.K = F.shape[1]
            m.T = terms(m)
            m.epilogue = Epilogue(used=False, away=0, low=0, high=0)
            m.source = Delta.shape[2] * Delta.shape[3]
            m.w_is = INTERLEAVED
            # Phases of one tap would make the same copy each. A plane by one kernel has better ways (depthwise.pxd,
            # lanes.pxd).
            m.copied = (job.part == NULL or m.K * m.taps.C == 1
                        or not serves_as_it_lies(m, job.N, lanes, sizeof(floating)))
            m.y = y
            m.y_k = P * Q
            m.w = w
            m.w_group = m.K * terms(m)
            if not plan_taps(&m.taps, lanes):
                return False
            job.count += 1
            m.planes = planes_at_a_time(m, sizeof(floating))
            plan_plane(&m.plane, &m.taps, m.K, sizeof(floating), lanes)
            if m.copied:
                job.scratch = max_of(job.scratch, copy_size(m, lanes))
            else:
                leave_uncopied(m)
            y += m.K * m.y_k
            w += job.groups * m.w_group
    job.planes = job.scratch
    if job.part != NULL:
        job.scratch = plus(job.scratch, y)
    plan_lanes(job, <floating*>NULL)
    return True


cdef inline void pack_phases(const Job* job, const Phases* rows, const Phases* columns, const floating[:, :, :, ::1] F,
                             floating* w, int threads) noexcept nogil:
    cdef Py_ssize_t a, b, i, group, k, count
    cdef Py_ssize_t kernels = F.shape[0] // job.groups * F.shape[1] * F.shape[2] * F.shape[3]
    cdef const Sums* m
    for a in range(rows.phases):
        for b in range(columns.phases):
            i = 0 if job.part == NULL else job.part[a * columns.phases + b]
            if i < 0:
                continue
            m = &job.parts[i]
            for group in range(job.groups):
                count = m.taps.C
                for k in prange(count, schedule="static", num_threads=threads):
                    pack_transposed_weight(&F[0, 0, 0, 0] + group * kernels, w + m.w + group * m.w_group, m, k,
                                           F.shape[2], F.shape[3], rows.reached + rows.begin[a],
                                           columns.reached + columns.begin[b])
