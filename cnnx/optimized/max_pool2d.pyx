"""Max pooling: P1, P2 in typed loops, one plane (n, c) at a time."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdint cimport int32_t

from ._threads cimport threads_for
from ._window cimport Window, column_begin, column_end, row_begin, row_end


cdef inline Py_ssize_t first_maximum(const floating[:, :, :, ::1] Z, Py_ssize_t n, Py_ssize_t c,
                                     Py_ssize_t p, Py_ssize_t q, Window* g) noexcept nogil:
    # h W + w of the window's first maximum; of its first NaN, if there is one.
    cdef Py_ssize_t W = Z.shape[3], h, w
    cdef Py_ssize_t h_at = row_begin(g, p), w_at = column_begin(g, q)
    cdef floating z, most = Z[n, c, h_at, w_at]
    for h in range(row_begin(g, p), row_end(g, p, Z.shape[2])):
        for w in range(column_begin(g, q), column_end(g, q, W)):
            z = Z[n, c, h, w]
            if z > most or (z != z and most == most):
                most = z
                h_at = h
                w_at = w
    return h_at * W + w_at


cdef inline void Y_plane(const floating[:, :, :, ::1] Z, floating[:, :, :, ::1] Y,
                         Py_ssize_t n, Py_ssize_t c, Window* g) noexcept nogil:
    # P1.
    cdef Py_ssize_t p, q, at
    for p in range(Y.shape[2]):
        for q in range(Y.shape[3]):
            at = first_maximum(Z, n, c, p, q, g)
            Y[n, c, p, q] = Z[n, c, at // Z.shape[3], at % Z.shape[3]]


cdef inline void winners_plane(const floating[:, :, :, ::1] Z, floating[:, :, :, ::1] Y,
                               int32_t[:, :, :, ::1] B, Py_ssize_t n, Py_ssize_t c, Window* g) noexcept nogil:
    # P1, and where each maximum was found.
    cdef Py_ssize_t p, q, at, h, w
    for p in range(Y.shape[2]):
        for q in range(Y.shape[3]):
            at = first_maximum(Z, n, c, p, q, g)
            h = at // Z.shape[3]
            w = at % Z.shape[3]
            Y[n, c, p, q] = Z[n, c, h, w]
            B[n, c, p, q] = <int32_t>((h + g.p_h - g.u * p) * g.S + (w + g.p_w - g.v * q))


cdef inline void clear(floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t h, w
    for h in range(dZ.shape[2]):
        for w in range(dZ.shape[3]):
            dZ[n, c, h, w] = 0


# P2. The thread that owns the plane (n, c) visits its windows in order: one writer per element.

cdef inline void dZ_plane(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                          floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c, Window* g) noexcept nogil:
    cdef Py_ssize_t p, q, at
    clear(dZ, n, c)
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            at = first_maximum(Z, n, c, p, q, g)
            dZ[n, c, at // Z.shape[3], at % Z.shape[3]] += Delta[n, c, p, q]


cdef inline void dZ_all_plane(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                              floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c, Window* g) noexcept nogil:
    cdef Py_ssize_t p, q, h, w, at
    cdef floating y
    clear(dZ, n, c)
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            at = first_maximum(Z, n, c, p, q, g)
            y = Z[n, c, at // Z.shape[3], at % Z.shape[3]]
            for h in range(row_begin(g, p), row_end(g, p, Z.shape[2])):
                for w in range(column_begin(g, q), column_end(g, q, Z.shape[3])):
                    if Z[n, c, h, w] == y:
                        dZ[n, c, h, w] += Delta[n, c, p, q]


cdef inline void dZ_winners_plane(const floating[:, :, :, ::1] Delta, const int32_t[:, :, :, ::1] B,
                                  floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c, Window* g) noexcept nogil:
    cdef Py_ssize_t p, q, h, w
    clear(dZ, n, c)
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            h = g.u * p - g.p_h + B[n, c, p, q] // g.S
            w = g.v * q - g.p_w + B[n, c, p, q] % g.S
            dZ[n, c, h, w] += Delta[n, c, p, q]


def max_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
               Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = Y.shape[1], plane
    cdef int threads = threads_for(<double>Y.shape[0] * C * Y.shape[2] * Y.shape[3] * R * S)
    for plane in prange(Y.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        Y_plane(Z, Y, plane // C, plane % C, &g)


def max_pool2d_winners(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, int32_t[:, :, :, ::1] B, *,
                       Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = Y.shape[1], plane
    cdef int threads = threads_for(<double>Y.shape[0] * C * Y.shape[2] * Y.shape[3] * R * S)
    for plane in prange(Y.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        winners_plane(Z, Y, B, plane // C, plane % C, &g)


def max_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                          floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                          Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(<double>Delta.shape[0] * C * Delta.shape[2] * Delta.shape[3] * R * S)
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta, Z, dZ, plane // C, plane % C, &g)


def max_pool2d_grad_input_all(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                              floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(<double>Delta.shape[0] * C * Delta.shape[2] * Delta.shape[3] * R * S)
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_all_plane(Delta, Z, dZ, plane // C, plane % C, &g)


def max_pool2d_grad_input_winners(const floating[:, :, :, ::1] Delta, const int32_t[:, :, :, ::1] B, /,
                                  floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S,
                                  Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w):
    cdef Window g = Window(R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(<double>dZ.shape[0] * C * dZ.shape[2] * dZ.shape[3])
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_winners_plane(Delta, B, dZ, plane // C, plane % C, &g)
