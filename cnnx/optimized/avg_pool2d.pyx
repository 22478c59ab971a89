"""Average pooling: P3 in typed loops, one plane (n, c) at a time."""

from cython cimport floating
from cython.parallel cimport prange

from ._index cimport least
from ._threads cimport threads_for
from ._window cimport Window, column_begin, column_end, row_begin, row_end


cdef struct Pad:
    # Bottom and right padding, and whether padding counts in |R|.
    Py_ssize_t p_b, p_r
    bint counts


cdef inline Py_ssize_t members_count(Window* g, Pad* pad, Py_ssize_t p, Py_ssize_t q,
                                     Py_ssize_t H, Py_ssize_t W) noexcept nogil:
    # |R[p,q]|.
    if pad.counts:
        return least(g.R, H + pad.p_b + g.p_h - g.u * p) * least(g.S, W + pad.p_r + g.p_w - g.v * q)
    return (row_end(g, p) - row_begin(g, p)) * (column_end(g, q) - column_begin(g, q))


cdef inline void Y_plane(const floating[:, :, :, ::1] Z, floating[:, :, :, ::1] Y,
                         Py_ssize_t n, Py_ssize_t c, Window* g, Pad* pad) noexcept nogil:
    cdef Py_ssize_t p, q, h, w
    cdef double total
    for p in range(Y.shape[2]):
        for q in range(Y.shape[3]):
            total = 0
            for h in range(row_begin(g, p), row_end(g, p)):
                for w in range(column_begin(g, q), column_end(g, q)):
                    total = total + Z[n, c, h, w]
            Y[n, c, p, q] = <floating>(total / members_count(g, pad, p, q, Z.shape[2], Z.shape[3]))


cdef inline void dZ_plane(const floating[:, :, :, ::1] Delta, floating[:, :, :, ::1] dZ,
                          Py_ssize_t n, Py_ssize_t c, Window* g, Pad* pad) noexcept nogil:
    # The thread that owns the plane visits its windows in order: one writer per element.
    cdef Py_ssize_t p, q, h, w
    cdef floating share
    for h in range(dZ.shape[2]):
        for w in range(dZ.shape[3]):
            dZ[n, c, h, w] = 0
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            share = Delta[n, c, p, q] / <floating>members_count(g, pad, p, q, dZ.shape[2], dZ.shape[3])
            for h in range(row_begin(g, p), row_end(g, p)):
                for w in range(column_begin(g, q), column_end(g, q)):
                    dZ[n, c, h, w] += share


def avg_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r,
               bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t C = Y.shape[1], plane
    cdef int threads = threads_for(<double>Y.shape[0] * C * Y.shape[2] * Y.shape[3] * R * S)
    for plane in prange(Y.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        Y_plane(Z, Y, plane // C, plane % C, &g, &pad)


def avg_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                          Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t p_b, Py_ssize_t p_r, bint include_pad):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef Pad pad = Pad(p_b, p_r, include_pad)
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(<double>Delta.shape[0] * C * Delta.shape[2] * Delta.shape[3] * R * S)
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta, dZ, plane // C, plane % C, &g, &pad)
