"""Convolution: C1, C3-C6 in typed loops. A row of outputs is the innermost loop."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc

from ._grad_bias cimport Rows, db_task, plan_rows
from ._grad_weight cimport dF_job, dF_parts
from ._grad_weight_block cimport choose
from ._grad_weight_plan cimport Plan, Scratch, allocate, plan
from ._index cimport end_output, first_output, least
from ._threads cimport threads_for
from ._tile cimport doubles, floats, lanes_of


cdef enum:
    # Outputs of one row, and output channels, that are summed up together in local arrays: these have no
    # aliases, and a row of the input is read once for several channels.
    BLOCK = 64
    CHANNELS = 4


cdef inline void Y_planes(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F,
                          const floating[::1] b, floating[:, :, :, ::1] Y,
                          Py_ssize_t n, Py_ssize_t first_c, Py_ssize_t first_k, Py_ssize_t channels,
                          Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                          Py_ssize_t d_h, Py_ssize_t d_w) noexcept nogil:
    # C1 for the output planes (n, first_k ... first_k + channels - 1), which share the input channels from first_c.
    cdef Py_ssize_t p, block, q0, i, j, c, r, s, h, w, width
    cdef floating z
    cdef floating y[CHANNELS][BLOCK]
    cdef floating f[CHANNELS]
    for p in range(Y.shape[2]):
        for block in range((Y.shape[3] + BLOCK - 1) // BLOCK):
            q0 = block * BLOCK
            width = least(BLOCK, Y.shape[3] - q0)
            for i in range(CHANNELS):
                f[i] = b[first_k + i] if i < channels else 0
                for j in range(width):
                    y[i][j] = f[i]
            for c in range(F.shape[1]):
                for r in range(F.shape[2]):
                    h = u * p + d_h * r - p_h
                    if h < 0 or h >= Z.shape[2]:
                        continue
                    for s in range(F.shape[3]):
                        w = v * q0 + d_w * s - p_w
                        for i in range(channels):
                            f[i] = F[first_k + i, c, r, s]
                        if v == 1:  # contiguous on both sides: the compiler makes vectors of this one
                            for j in range(first_output(-w, 1), end_output(Z.shape[3] - w, 1, width)):
                                z = Z[n, first_c + c, h, j + w]
                                y[0][j] += f[0] * z
                                y[1][j] += f[1] * z
                                y[2][j] += f[2] * z
                                y[3][j] += f[3] * z
                        else:
                            for j in range(first_output(-w, v), end_output(Z.shape[3] - w, v, width)):
                                z = Z[n, first_c + c, h, v * j + w]
                                for i in range(channels):
                                    y[i][j] += f[i] * z
            for i in range(channels):
                for j in range(width):
                    Y[n, first_k + i, p, q0 + j] = y[i][j]


cdef inline void Y_task(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F,
                        const floating[::1] b, floating[:, :, :, ::1] Y, Py_ssize_t task,
                        Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                        Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups) noexcept nogil:
    # Task number (n, group, CHANNELS channels of the group).
    cdef Py_ssize_t K = F.shape[0] // groups, parts = (K + CHANNELS - 1) // CHANNELS
    cdef Py_ssize_t n = task // (groups * parts), group = task // parts % groups, k = task % parts * CHANNELS
    Y_planes(Z, F, b, Y, n, group * F.shape[1], group * K + k, least(CHANNELS, K - k), u, v, p_h, p_w, d_h, d_w)


cdef inline void dZ_plane(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F,
                          floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c,
                          Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                          Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups) noexcept nogil:
    # C5 for the input plane (n, c): every row h gathers from the output rows p that reached it.
    cdef Py_ssize_t K = F.shape[0] // groups, group = c // F.shape[1], c_g = c % F.shape[1]
    cdef Py_ssize_t h, w, k, r, s, p, q, row, offset
    cdef floating f
    for h in range(dZ.shape[2]):
        for w in range(dZ.shape[3]):
            dZ[n, c, h, w] = 0
        for k in range(group * K, (group + 1) * K):
            for r in range(F.shape[2]):
                row = h + p_h - d_h * r  # = u p
                if row < 0 or row % u != 0 or row // u >= Delta.shape[2]:
                    continue
                p = row // u
                for s in range(F.shape[3]):
                    offset = d_w * s - p_w
                    f = F[k, c_g, r, s]
                    if v == 1:
                        for q in range(first_output(-offset, 1), end_output(dZ.shape[3] - offset, 1, Delta.shape[3])):
                            dZ[n, c, h, q + offset] += Delta[n, k, p, q] * f
                    else:
                        for q in range(first_output(-offset, v), end_output(dZ.shape[3] - offset, v, Delta.shape[3])):
                            dZ[n, c, h, v * q + offset] += Delta[n, k, p, q] * f


cdef inline double multiply_adds(const floating[:, :, :, ::1] Y, const floating[:, :, :, ::1] F) noexcept nogil:
    return <double>Y.shape[0] * Y.shape[1] * Y.shape[2] * Y.shape[3] * F.shape[1] * F.shape[2] * F.shape[3]


def conv2d(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
           floating[:, :, :, ::1] Y, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
           Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Py_ssize_t tasks = Y.shape[0] * groups * ((F.shape[0] // groups + CHANNELS - 1) // CHANNELS), task
    cdef int threads = threads_for(multiply_adds[floating](Y, F))
    for task in prange(tasks, nogil=True, schedule="static", num_threads=threads):
        Y_task(Z, F, b, Y, task, u, v, p_h, p_w, d_h, d_w, groups)


def conv2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                      floating[:, :, :, ::1] dZ, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                      Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(multiply_adds[floating](Delta, F))
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta, F, dZ, plane // C, plane % C, u, v, p_h, p_w, d_h, d_w, groups)


def conv2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                       floating[:, :, :, ::1] dF, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                       Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef double work = multiply_adds[floating](Delta, dF)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t job
    cdef floating* none = NULL
    cdef Plan g
    cdef Scratch scratch
    if work == 0:
        dF[...] = 0
        return
    g.N, g.H, g.W, g.P, g.Q, g.R, g.S = (Z.shape[0], Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3],
                                         dF.shape[2], dF.shape[3])
    g.C, g.K, g.groups = dF.shape[1], dF.shape[0] // groups, groups
    g.u, g.v, g.p_h, g.p_w, g.d_h, g.d_w = u, v, p_h, p_w, d_h, d_w
    plan(&g, lanes_of(none), threads)
    if floating is float:
        choose[floats](&g.block, g.V, NULL)
    else:
        choose[doubles](&g.block, g.V, NULL)
    if not allocate(&g, &scratch, sizeof(floating)):
        raise MemoryError
    for job in prange(g.jobs, nogil=True, schedule="static", num_threads=threads):
        dF_job(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch, job)
    if g.parts > 1:
        dF_parts(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch)
    free(scratch.memory)


def conv2d_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[::1] db):
    cdef double work = <double>Delta.shape[0] * Delta.shape[1] * Delta.shape[2] * Delta.shape[3]
    cdef int threads = threads_for(work)
    cdef Py_ssize_t task, part, k
    cdef double* total
    cdef Rows g
    if work == 0:
        db[...] = 0
        return
    plan_rows(&g, Delta.shape[0], Delta.shape[1], Delta.shape[2] * Delta.shape[3])
    total = <double*>malloc(g.parts * g.K * sizeof(double))
    if total == NULL:
        raise MemoryError
    for task in prange(g.blocks * g.parts, nogil=True, schedule="static", num_threads=threads):
        db_task(&Delta[0, 0, 0, 0], &g, task, total)
    for k in range(g.K):
        for part in range(1, g.parts):
            total[k] += total[part * g.K + k]
        db[k] = <floating>total[k]
    free(total)
