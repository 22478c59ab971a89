# The gradient of the input as sums over taps (C5), for _direct.pxi: where the stride leaves no gaps, a convolution
# of Delta with the kernels turned around; otherwise one for each phase of the stride. Included by conv2d.pyx.

cdef struct Axis:
    # Rows of the input (or columns) by their phase a of the stride: h = u i + a. The kernel rows reached[...] from
    # begin[a] to begin[a + 1] meet them: h + p_h - d_h r = u p with p = i + offset[...].
    Py_ssize_t phases
    Py_ssize_t* begin
    Py_ssize_t* reached
    Py_ssize_t* offset


cdef inline bint find_phases(Axis* axis, Py_ssize_t H, Py_ssize_t R, Py_ssize_t u, Py_ssize_t p_h,
                             Py_ssize_t d_h) noexcept nogil:
    # False when there is no memory; otherwise axis.begin has to be freed.
    cdef Py_ssize_t a, r, count = 0
    axis.phases = least(u, H)
    axis.begin = <Py_ssize_t*>malloc((axis.phases + 1 + 2 * R) * sizeof(Py_ssize_t))
    if axis.begin == NULL:
        return False
    axis.reached = axis.begin + axis.phases + 1
    axis.offset = axis.reached + R
    for a in range(axis.phases):
        axis.begin[a] = count
        for r in range(R):
            if (a + p_h - d_h * r) % u == 0:
                axis.reached[count] = r
                axis.offset[count] = (a + p_h - d_h * r) // u
                count += 1
    axis.begin[axis.phases] = count
    return True


cdef void pack_transposed(const floating* F, floating* w, Sums* m, Py_ssize_t k, Py_ssize_t R, Py_ssize_t S,
                          const Py_ssize_t* rows, const Py_ssize_t* columns) noexcept nogil:
    # A group's kernels (k, c, r, s) of one k into the pieces of input channels c, for the terms (k, r, s) of one phase.
    cdef Py_ssize_t taps = m.taps.R * m.taps.S, piece, first, count, c, r, s
    cdef const floating* kernel = F + k * m.K * R * S
    cdef floating* to
    for piece in range(pieces(m.K)):
        first = piece_begin(m.K, piece)
        count = piece_begin(m.K, piece + 1) - first
        to = w + first * terms(m) + k * taps * count
        for c in range(count):
            for r in range(m.taps.R):
                for s in range(m.taps.S):
                    to[(r * m.taps.S + s) * count + c] = kernel[rows[r] * S + columns[s]]
            kernel = kernel + R * S


cdef bint phase_sums(Job* job, Axis* rows, Axis* columns, const floating[:, :, :, ::1] Delta,
                     const floating[:, :, :, ::1] F) noexcept nogil:
    # One sum for each phase (a, b) that a tap reaches, and the memory that they need; False when there is none.
    cdef Py_ssize_t lanes = lanes_of(<floating*>NULL), a, b, P, Q, R, S, w = 0, y = 0
    cdef Sums* m
    for a in range(rows.phases):
        P = up(job.H - a, job.u)
        for b in range(columns.phases):
            Q = up(job.W - b, job.v)
            R = rows.begin[a + 1] - rows.begin[a]
            S = columns.begin[b + 1] - columns.begin[b]
            if job.part != NULL:
                job.part[a * columns.phases + b] = -1 if R * S == 0 else <int>job.count
                if R * S == 0:
                    continue
            m = &job.parts[job.count]
            describe(&m.taps, F.shape[0] // job.groups, Delta.shape[2], Delta.shape[3], P, Q, 1, 1)
            m.taps.R = R
            m.taps.S = S
            m.taps.down = rows.offset + rows.begin[a]
            m.taps.right = columns.offset + columns.begin[b]
            m.taps.source = &Delta[0, 0, 0, 0]
            m.taps.source_end = &Delta[0, 0, 0, 0] + job.N * job.z_image
            m.K = F.shape[1]
            m.source = Delta.shape[2] * Delta.shape[3]
            m.packed = True
            m.copied = True
            m.y = y
            m.y_k = P * Q
            m.w = w
            m.w_group = m.K * terms(m)
            if not plan(&m.taps, lanes):
                return False
            job.count += 1
            m.planes = planes_at_a_time(m, sizeof(floating))
            plan_plane(&m.plane, &m.taps, m.K, sizeof(floating), lanes)
            job.scratch = most(job.scratch, copy_size(m, lanes))
            y += m.K * m.y_k
            w += job.groups * m.w_group
    job.planes = job.scratch
    if job.part != NULL:
        job.scratch += y
    return True


cdef void pack_phases(Job* job, Axis* rows, Axis* columns, const floating[:, :, :, ::1] F, floating* w,
                      int threads) noexcept nogil:
    cdef Py_ssize_t a, b, i, group, k, count
    cdef Py_ssize_t kernels = F.shape[0] // job.groups * F.shape[1] * F.shape[2] * F.shape[3]
    cdef Sums* m
    for a in range(rows.phases):
        for b in range(columns.phases):
            i = 0 if job.part == NULL else job.part[a * columns.phases + b]
            if i < 0:
                continue
            m = &job.parts[i]
            for group in range(job.groups):
                count = m.taps.C
                for k in prange(count, schedule="static", num_threads=threads):
                    pack_transposed(&F[0, 0, 0, 0] + group * kernels, w + m.w + group * m.w_group, m, k,
                                    F.shape[2], F.shape[3], rows.reached + rows.begin[a],
                                    columns.reached + columns.begin[b])


cdef void interleave(Job* job, const floating* planes, floating* Y, Py_ssize_t c) noexcept nogil:
    # Put the phases of plane c together.
    cdef Py_ssize_t a, b, h, j, v = least(job.v, job.W), J
    cdef const floating* row
    cdef floating* to
    cdef Sums* m
    for h in range(job.H):
        a = h % job.u
        for b in range(v):
            to = Y + h * job.W + b
            J = up(job.W - b, job.v)
            if job.part[a * v + b] < 0:
                for j in range(J):
                    to[j * job.v] = 0
                continue
            m = &job.parts[job.part[a * v + b]]
            row = planes + m.y + c * m.y_k + h // job.u * J
            if job.v == 2:
                for j in range(J):
                    to[2 * j] = row[j]
            else:
                for j in range(J):
                    to[j * job.v] = row[j]
