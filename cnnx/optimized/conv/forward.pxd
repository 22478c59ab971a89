# Convolution as sums over taps (C1), for loops.pxd.

from cython cimport floating

from ..microkernel.multiply_accumulate cimport IN_ROWS
from ..microkernel.table cimport Microkernels
from ..pack.taps cimport plan_taps, set_extents
from ..simd.vector cimport lanes_of
from .bands_layers cimport Numbers
from .blocks cimport Sums, leave_uncopied, planes_at_a_time, serves_as_it_lies
from .depthwise cimport plan_plane
from .epilogue cimport Epilogue


cdef inline bint forward_sums(Sums* m, Py_ssize_t* offsets, const floating[:, :, :, ::1] Z,
                              const floating[:, :, :, ::1] F, const floating[:, :, :, ::1] Y,
                              const Numbers* o, const Epilogue* epilogue,
                              const Microkernels* kernels) noexcept nogil:
    # C1: output (p, q) takes row u p + d_h r - p_h and column v q + d_w s - p_w. False when there is no memory.
    cdef Py_ssize_t lanes = lanes_of(<floating*>NULL), r, s
    cdef Py_ssize_t P = Y.shape[2], Q = Y.shape[3], size = Z.shape[2] * Z.shape[3]
    for r in range(F.shape[2]):
        offsets[r] = o.d_h * r - o.p_h
    for s in range(F.shape[3]):
        offsets[F.shape[2] + s] = o.d_w * s - o.p_w
    set_extents(&m.taps, F.shape[1], Z.shape[2], Z.shape[3], P, Q, o.u, o.v)
    m.taps.down, m.taps.R = offsets, F.shape[2]
    m.taps.right, m.taps.S = offsets + F.shape[2], F.shape[3]
    m.taps.kernels = kernels
    m.taps.source = &Z[0, 0, 0, 0]
    m.taps.source_end = &Z[0, 0, 0, 0] + Z.shape[0] * Z.shape[1] * size
    m.K = F.shape[0] // o.groups
    m.T = F.shape[1] * F.shape[2] * F.shape[3]
    m.source = size
    m.w_is = IN_ROWS
    m.epilogue = epilogue[0]
    m.y = 0
    m.y_k = P * Q
    m.w = 0
    m.w_group = m.K * F.shape[1] * F.shape[2] * F.shape[3]
    m.copied = not serves_as_it_lies(m, Z.shape[0], lanes, sizeof(floating))
    if not plan_taps(&m.taps, lanes):
        return False
    m.planes = planes_at_a_time(m, sizeof(floating))
    plan_plane(&m.plane, &m.taps, m.K, sizeof(floating), lanes)
    if not m.copied:
        leave_uncopied(m)
    return True
