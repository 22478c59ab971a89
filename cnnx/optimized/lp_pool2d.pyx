"""Lp pooling: P4 in typed loops, one plane (n, c) at a time. Sums and powers are taken in double."""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport fabs, pow

from ._threads cimport EXP, threads_for
from ._window cimport Window, column_begin, column_end, row_begin, row_end


cdef inline double members(const floating[:, :, :, ::1] Z, Window* g, Py_ssize_t p, Py_ssize_t q,
                           bint normalize) noexcept nogil:
    # |R[p,q]|, or 1 without the mean.
    if not normalize:
        return 1
    return <double>((row_end(g, p) - row_begin(g, p))
                    * (column_end(g, q) - column_begin(g, q)))


cdef inline double Y_element(const floating[:, :, :, ::1] Z, Py_ssize_t n, Py_ssize_t c, Py_ssize_t p, Py_ssize_t q,
                             Window* g, double rho, bint normalize) noexcept nogil:
    cdef Py_ssize_t h, w
    cdef double total = 0
    for h in range(row_begin(g, p), row_end(g, p)):
        for w in range(column_begin(g, q), column_end(g, q)):
            total = total + pow(fabs(Z[n, c, h, w]), rho)
    return pow(total / members(Z, g, p, q, normalize), 1 / rho)


cdef inline void Y_plane(const floating[:, :, :, ::1] Z, floating[:, :, :, ::1] Y, Py_ssize_t n, Py_ssize_t c,
                         Window* g, double rho, bint normalize) noexcept nogil:
    cdef Py_ssize_t p, q
    for p in range(Y.shape[2]):
        for q in range(Y.shape[3]):
            Y[n, c, p, q] = <floating>Y_element(Z, n, c, p, q, g, rho, normalize)


cdef inline void dZ_plane(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                          floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c,
                          Window* g, double rho, bint normalize) noexcept nogil:
    # The thread that owns the plane visits its windows in order: one writer per element.
    cdef Py_ssize_t p, q, h, w
    cdef double y, z, slope
    for h in range(dZ.shape[2]):
        for w in range(dZ.shape[3]):
            dZ[n, c, h, w] = 0
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            y = Y_element(Z, n, c, p, q, g, rho, normalize)
            if y == 0:
                continue
            for h in range(row_begin(g, p), row_end(g, p)):
                for w in range(column_begin(g, q), column_end(g, q)):
                    z = Z[n, c, h, w]
                    if z == 0:
                        continue  # sign(0) = 0
                    slope = pow(fabs(z) / y, rho - 1) / members(Z, g, p, q, normalize)
                    dZ[n, c, h, w] += <floating>(Delta[n, c, p, q] * (slope if z > 0 else -slope))


def lp_pool2d(const floating[:, :, :, ::1] Z, /, floating[:, :, :, ::1] Y, *, Py_ssize_t R, Py_ssize_t S,
              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w, double rho, bint normalize):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = Y.shape[1], plane
    cdef int threads = threads_for(EXP * <double>Y.shape[0] * C * Y.shape[2] * Y.shape[3] * R * S)
    for plane in prange(Y.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        Y_plane(Z, Y, plane // C, plane % C, &g, rho, normalize)


def lp_pool2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                         floating[:, :, :, ::1] dZ, *, Py_ssize_t R, Py_ssize_t S, Py_ssize_t u, Py_ssize_t v,
                         Py_ssize_t p_h, Py_ssize_t p_w, double rho, bint normalize):
    cdef Window g = Window(Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3], R, S, u, v, p_h, p_w)
    cdef Py_ssize_t C = dZ.shape[1], plane
    cdef int threads = threads_for(EXP * <double>Delta.shape[0] * C * Delta.shape[2] * Delta.shape[3] * R * S)
    for plane in prange(dZ.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta, Z, dZ, plane // C, plane % C, &g, rho, normalize)
