"""Activations: A1, A2 in typed loops. Each is two formulas of one number, phi and its derivative.

exp, log, tanh and erf are taken in double. Comparisons are written so that NaN passes through phi.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY, M_PI, M_SQRT2, erfc, exp, expm1, fabs, log1p, sqrt
from libc.math cimport tanh as c_tanh

from ._threads cimport EXP, threads_for


cdef inline floating relu_phi(floating z) noexcept nogil:
    return 0 if z <= 0 else z


cdef inline floating relu_prime(floating z) noexcept nogil:
    return 1 if z > 0 else 0


cdef inline double sigmoid_phi(double z) noexcept nogil:
    return 1 / (1 + exp(-z))


cdef inline double sigmoid_prime(double z) noexcept nogil:
    cdef double y = sigmoid_phi(z)
    return y * (1 - y)


cdef inline double tanh_phi(double z) noexcept nogil:
    return c_tanh(z)


cdef inline double tanh_prime(double z) noexcept nogil:
    cdef double y = c_tanh(z)
    return 1 - y * y


cdef inline floating step_phi(floating z) noexcept nogil:
    if z <= 0:
        return 0
    return 1 if z > 0 else z


cdef inline floating step_prime(floating z) noexcept nogil:
    return 0


cdef inline floating identity_phi(floating z) noexcept nogil:
    return z


cdef inline floating identity_prime(floating z) noexcept nogil:
    return 1


cdef inline double leaky_relu_phi(double z, double slope) noexcept nogil:
    return z if z > 0 else slope * z


cdef inline double leaky_relu_prime(double z, double slope) noexcept nogil:
    return 1 if z > 0 else slope


cdef inline double elu_phi(double z, double alpha) noexcept nogil:
    return z if z > 0 else alpha * expm1(z)


cdef inline double elu_prime(double z, double alpha) noexcept nogil:
    return 1 if z > 0 else alpha * exp(z)


cdef inline double softplus_phi(double z) noexcept nogil:
    return z + log1p(exp(-z)) if z > 0 else log1p(exp(z))


cdef inline double softplus_prime(double z) noexcept nogil:
    return sigmoid_phi(z)


cdef inline double gelu_phi(double z) noexcept nogil:
    cdef double Phi = erfc(-z / M_SQRT2) / 2
    return 0 if z == -INFINITY else z * Phi  # the limit


cdef inline double gelu_prime(double z) noexcept nogil:
    cdef double Phi = erfc(-z / M_SQRT2) / 2
    cdef double density = exp(-(z * z) / 2) / sqrt(2 * M_PI)
    return Phi if fabs(z) == INFINITY else Phi + z * density  # the limit


def relu(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(Y.shape[0])):
        Y[i] = relu_phi(Z[i])


def relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(dZ.shape[0])):
        dZ[i] = Delta[i] * relu_prime(Z[i])


def sigmoid(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>Y.shape[0])):
        Y[i] = <floating>sigmoid_phi(Z[i])


def sigmoid_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * sigmoid_prime(Z[i]))


def tanh(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>Y.shape[0])):
        Y[i] = <floating>tanh_phi(Z[i])


def tanh_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * tanh_prime(Z[i]))


def step(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(Y.shape[0])):
        Y[i] = step_phi(Z[i])


def step_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(dZ.shape[0])):
        dZ[i] = Delta[i] * step_prime(Z[i])


def identity(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(Y.shape[0])):
        Y[i] = identity_phi(Z[i])


def identity_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(dZ.shape[0])):
        dZ[i] = Delta[i] * identity_prime(Z[i])


def leaky_relu(const floating[::1] Z, /, floating[::1] Y, *, double slope):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(Y.shape[0])):
        Y[i] = <floating>leaky_relu_phi(Z[i], slope)


def leaky_relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double slope):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * leaky_relu_prime(Z[i], slope))


def elu(const floating[::1] Z, /, floating[::1] Y, *, double alpha):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>Y.shape[0])):
        Y[i] = <floating>elu_phi(Z[i], alpha)


def elu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double alpha):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * elu_prime(Z[i], alpha))


def softplus(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>Y.shape[0])):
        Y[i] = <floating>softplus_phi(Z[i])


def softplus_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * softplus_prime(Z[i]))


def gelu(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    for i in prange(Y.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>Y.shape[0])):
        Y[i] = <floating>gelu_phi(Z[i])


def gelu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    cdef Py_ssize_t i
    for i in prange(dZ.shape[0], nogil=True, schedule="static", num_threads=threads_for(EXP * <double>dZ.shape[0])):
        dZ[i] = <floating>(Delta[i] * gelu_prime(Z[i]))
