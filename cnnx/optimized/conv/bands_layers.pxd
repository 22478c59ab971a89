# C1 and C5 as what bands.pxd sums up. Where the weights are far larger than the image (or Delta), the two change
# places: their planes become the source, and the image's numbers the weights, or most terms would be of padding.

from cython cimport floating
from cython.parallel cimport prange

from ..microkernel.table cimport Microkernels
from ..runtime.integers cimport times
from .axis cimport Line, axis_of, longest_line, outputs_met, taps_met
from .bands cimport sum_bands
from .bands_plan cimport SPARSE, Layer, plan_bands
from .fill cimport fill

cdef enum:
    FAR_LARGER = 8
    MANY = 1_000_000_000  # multiply-adds of an image, from which on a call is asked whether most are of padding


cdef struct Numbers:
    # Options, and groups.
    Py_ssize_t u, v, p_h, p_w, d_h, d_w, groups


cdef struct Given:
    # An op's arrays: images or Delta, weights, b or NULL, result.
    const void* Z
    const void* F
    const void* b
    void* Y


cdef inline bint change_places(Py_ssize_t R, Py_ssize_t S, Py_ssize_t H, Py_ssize_t W) noexcept nogil:
    return times(FAR_LARGER, times(H, W)) < times(R, S)


cdef inline Layer forward_layer(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F,
                                const floating[:, :, :, ::1] Y, const Numbers* o) noexcept nogil:
    cdef Py_ssize_t R = F.shape[2], S = F.shape[3], P = Y.shape[2], Q = Y.shape[3], H = Z.shape[2], W = Z.shape[3]
    cdef Layer g
    g.groups, g.C = o.groups, F.shape[1]
    g.swapped = change_places(R, S, H, W)
    if g.swapped:
        g.N, g.K = F.shape[0] // o.groups, Z.shape[0]
        g.rows = axis_of(P, H, R, o.u, o.p_h - o.u * (P - 1), 1, o.d_h)
        g.columns = axis_of(Q, W, S, o.v, o.p_w - o.v * (Q - 1), 1, o.d_w)
        g.rows.reversed = g.columns.reversed = True
        g.z_plane, g.z_image = R * S, g.C * R * S
        g.z_group = g.N * g.z_image
        g.y_plane, g.y_image, g.y_group = Y.shape[1] * P * Q, P * Q, g.N * P * Q
        g.w_r, g.w_c, g.w_k, g.w_group = W, H * W, Z.shape[1] * H * W, g.C * H * W
        g.as_it_lies = False
        g.source = &F[0, 0, 0, 0]
        g.source_end = &F[0, 0, 0, 0] + F.shape[0] * g.z_image
        return g
    g.N, g.K = Z.shape[0], F.shape[0] // o.groups
    g.rows = axis_of(P, R, H, o.u, -o.p_h, o.d_h, 1)
    g.columns = axis_of(Q, S, W, o.v, -o.p_w, o.d_w, 1)
    g.z_plane, g.z_image, g.z_group = H * W, Z.shape[1] * H * W, g.C * H * W
    g.y_plane, g.y_image, g.y_group = P * Q, Y.shape[1] * P * Q, g.K * P * Q
    g.w_r, g.w_c, g.w_k, g.w_group = S, R * S, g.C * R * S, g.K * g.C * R * S
    g.as_it_lies = True
    g.source = &Z[0, 0, 0, 0]
    g.source_end = &Z[0, 0, 0, 0] + g.N * g.z_image
    return g


cdef inline bint mostly_padding(const Layer* g, double terms) noexcept nogil:
    # Whether far fewer of the `terms` of each output are with numbers of the image, or far fewer outputs have any such
    # term: bands leave the others out.
    cdef Line rows = longest_line(&g.rows), columns = longest_line(&g.columns)
    return (<double>SPARSE * taps_met(&rows, 1) * taps_met(&columns, 1) < terms
            or <double>SPARSE * outputs_met(&rows) * outputs_met(&columns) < <double>rows.outputs * columns.outputs)


cdef inline Layer grad_input_layer(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F,
                                   const floating[:, :, :, ::1] dZ, const Numbers* o) noexcept nogil:
    cdef Py_ssize_t R = F.shape[2], S = F.shape[3], P = Delta.shape[2], Q = Delta.shape[3], C = F.shape[1]
    cdef Py_ssize_t H = dZ.shape[2], W = dZ.shape[3]
    cdef Layer g
    g.groups, g.C, g.as_it_lies = o.groups, F.shape[0] // o.groups, False
    g.swapped = change_places(R, S, P, Q)
    if g.swapped:
        g.N, g.K = C, dZ.shape[0]
        g.rows = axis_of(H, P, R, 1, o.p_h, -o.u, o.d_h)
        g.columns = axis_of(W, Q, S, 1, o.p_w, -o.v, o.d_w)
        g.z_plane, g.z_image, g.z_group = C * R * S, R * S, g.C * C * R * S
        g.y_plane, g.y_image, g.y_group = dZ.shape[1] * H * W, H * W, C * H * W
        g.w_r, g.w_c, g.w_k, g.w_group = Q, P * Q, Delta.shape[1] * P * Q, g.C * P * Q
        g.source = &F[0, 0, 0, 0]
        g.source_end = &F[0, 0, 0, 0] + F.shape[0] * C * R * S
        return g
    g.N, g.K = dZ.shape[0], C
    g.rows = axis_of(H, R, P, 1, o.p_h, -o.d_h, o.u)
    g.columns = axis_of(W, S, Q, 1, o.p_w, -o.d_w, o.v)
    g.z_plane, g.z_image, g.z_group = P * Q, Delta.shape[1] * P * Q, g.C * P * Q
    g.y_plane, g.y_image, g.y_group = H * W, dZ.shape[1] * H * W, C * H * W
    g.w_r, g.w_c, g.w_k, g.w_group = S, C * R * S, R * S, g.C * C * R * S
    g.source = &Delta[0, 0, 0, 0]
    g.source_end = &Delta[0, 0, 0, 0] + Delta.shape[0] * g.z_image
    return g


cdef inline bint start_in_output(const Layer* g, const floating* b) noexcept nogil:
    # Whether the sums begin with what Y holds: no sum meets all outputs of several phases, or of bands far from the
    # source, and the planes of images that are weights are no output channels.
    return b == NULL or g.sparse or g.rows.apart > 1 or g.columns.apart > 1 or g.swapped


cdef inline void compute_bands(const Layer* g, const Microkernels* kernels, const Given* arrays,
                               floating[:, :, :, ::1] Y, int threads, char* memory) noexcept nogil:
    # memory: g.bytes for each thread.
    cdef Py_ssize_t planes = Y.shape[0] * Y.shape[1], size = Y.shape[2] * Y.shape[3], i
    cdef const floating* b = <const floating*>arrays.b
    cdef const floating* start = b
    if start_in_output(g, b):
        start = NULL
        for i in prange(planes, schedule="static", num_threads=threads):
            fill(&Y[0, 0, 0, 0], i, size, Y.shape[1], b)
    sum_bands(g, kernels, <const floating*>arrays.Z, <const floating*>arrays.F, start, &Y[0, 0, 0, 0], threads, memory)
