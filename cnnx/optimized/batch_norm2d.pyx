"""Batch normalisation: equations.md section 4 in typed loops, one channel at a time. Sums are taken in double."""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport sqrt

from ._threads cimport threads_for


cdef inline double members_count(const floating[:, :, :, ::1] Z) noexcept nogil:
    # M.
    return <double>(Z.shape[0] * Z.shape[2] * Z.shape[3])


cdef inline floating mean_channel(const floating[:, :, :, ::1] Z, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t n, h, w
    cdef double total = 0
    for n in range(Z.shape[0]):
        for h in range(Z.shape[2]):
            for w in range(Z.shape[3]):
                total = total + Z[n, c, h, w]
    return <floating>(total / members_count(Z))


cdef inline floating var_channel(const floating[:, :, :, ::1] Z, floating mean, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t n, h, w
    cdef double distance, total = 0
    for n in range(Z.shape[0]):
        for h in range(Z.shape[2]):
            for w in range(Z.shape[3]):
                distance = <double>Z[n, c, h, w] - mean
                total = total + distance * distance
    return <floating>(total / members_count(Z))


cdef inline void Y_plane(const floating[:, :, :, ::1] Z, double g, double b, double mean, double deviation,
                         floating[:, :, :, ::1] Y, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t h, w
    for h in range(Z.shape[2]):
        for w in range(Z.shape[3]):
            Y[n, c, h, w] = <floating>(g * ((Z[n, c, h, w] - mean) / deviation) + b)


cdef inline floating db_channel(const floating[:, :, :, ::1] Delta, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t n, h, w
    cdef double total = 0
    for n in range(Delta.shape[0]):
        for h in range(Delta.shape[2]):
            for w in range(Delta.shape[3]):
                total = total + Delta[n, c, h, w]
    return <floating>total


cdef inline floating dg_channel(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                                double mean, double deviation, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t n, h, w
    cdef double total = 0
    for n in range(Delta.shape[0]):
        for h in range(Delta.shape[2]):
            for w in range(Delta.shape[3]):
                total = total + Delta[n, c, h, w] * ((Z[n, c, h, w] - mean) / deviation)
    return <floating>total


cdef inline void dZ_plane(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, double g,
                          double mean, double deviation, double dg, double db,
                          floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t h, w
    cdef double M = members_count(Z), Zh
    for h in range(Z.shape[2]):
        for w in range(Z.shape[3]):
            Zh = (Z[n, c, h, w] - mean) / deviation
            dZ[n, c, h, w] = <floating>(g / deviation * (Delta[n, c, h, w] - db / M - Zh * dg / M))


cdef inline void dZ_inference_plane(const floating[:, :, :, ::1] Delta, double g, double deviation,
                                    floating[:, :, :, ::1] dZ, Py_ssize_t n, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t h, w
    for h in range(Delta.shape[2]):
        for w in range(Delta.shape[3]):
            dZ[n, c, h, w] = <floating>(g * Delta[n, c, h, w] / deviation)


def batch_norm2d_statistics_mean(const floating[:, :, :, ::1] Z, /, floating[::1] mean):
    cdef Py_ssize_t c
    cdef int threads = threads_for(<double>Z.shape[0] * Z.shape[1] * Z.shape[2] * Z.shape[3])
    for c in prange(Z.shape[1], nogil=True, schedule="static", num_threads=threads):
        mean[c] = mean_channel(Z, c)


def batch_norm2d_statistics_var(const floating[:, :, :, ::1] Z, const floating[::1] mean, /, floating[::1] var):
    cdef Py_ssize_t c
    cdef int threads = threads_for(<double>Z.shape[0] * Z.shape[1] * Z.shape[2] * Z.shape[3])
    for c in prange(Z.shape[1], nogil=True, schedule="static", num_threads=threads):
        var[c] = var_channel(Z, mean[c], c)


def batch_norm2d(const floating[:, :, :, ::1] Z, const floating[::1] g, const floating[::1] b,
                 const floating[::1] mean, const floating[::1] var, /, floating[:, :, :, ::1] Y, *, double eps):
    cdef Py_ssize_t C = Z.shape[1], plane
    cdef int threads = threads_for(<double>Z.shape[0] * C * Z.shape[2] * Z.shape[3])
    for plane in prange(Z.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        Y_plane(Z, g[plane % C], b[plane % C], mean[plane % C], sqrt(var[plane % C] + eps), Y, plane // C, plane % C)


def batch_norm2d_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[::1] db):
    cdef Py_ssize_t c
    cdef int threads = threads_for(<double>Delta.shape[0] * Delta.shape[1] * Delta.shape[2] * Delta.shape[3])
    for c in prange(Delta.shape[1], nogil=True, schedule="static", num_threads=threads):
        db[c] = db_channel(Delta, c)


def batch_norm2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                             const floating[::1] mean, const floating[::1] var, /, floating[::1] dg, *, double eps):
    cdef Py_ssize_t c
    cdef int threads = threads_for(<double>Z.shape[0] * Z.shape[1] * Z.shape[2] * Z.shape[3])
    for c in prange(Z.shape[1], nogil=True, schedule="static", num_threads=threads):
        dg[c] = dg_channel(Delta, Z, mean[c], sqrt(var[c] + eps), c)


def batch_norm2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                            const floating[::1] g, const floating[::1] mean, const floating[::1] var,
                            const floating[::1] dg, const floating[::1] db, /, floating[:, :, :, ::1] dZ, *,
                            double eps):
    cdef Py_ssize_t C = Z.shape[1], plane
    cdef int threads = threads_for(<double>Z.shape[0] * C * Z.shape[2] * Z.shape[3])
    for plane in prange(Z.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_plane(Delta, Z, g[plane % C], mean[plane % C], sqrt(var[plane % C] + eps), dg[plane % C], db[plane % C],
                 dZ, plane // C, plane % C)


def batch_norm2d_grad_input_inference(const floating[:, :, :, ::1] Delta, const floating[::1] g,
                                      const floating[::1] var, /, floating[:, :, :, ::1] dZ, *, double eps):
    cdef Py_ssize_t C = Delta.shape[1], plane
    cdef int threads = threads_for(<double>Delta.shape[0] * C * Delta.shape[2] * Delta.shape[3])
    for plane in prange(Delta.shape[0] * C, nogil=True, schedule="static", num_threads=threads):
        dZ_inference_plane(Delta, g[plane % C], sqrt(var[plane % C] + eps), dZ, plane // C, plane % C)
