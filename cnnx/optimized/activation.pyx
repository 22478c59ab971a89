"""Activations: A1, A2 in typed loops. Each is two formulas of one number, phi and its derivative, and a loop for each.

There is no branch in a formula, so that a loop over it becomes vectors (_exp.pxd). Comparisons are written so that
NaN passes through phi.
"""

from cython cimport floating

from ._elementwise cimport STRIP, each, each_grad
from ._exp cimport bell, exp_negative, expm1_negative, log1p_fraction, mills, signed, size
from ._threads cimport EXP, MEMORY


cdef inline floating relu_phi(floating z) noexcept nogil:
    return 0 if z <= 0 else z


cdef inline floating relu_prime(floating z) noexcept nogil:
    return 1 if z > 0 else 0


cdef inline floating sigmoid_phi(floating z) noexcept nogil:
    # With t = exp(-|z|), which does not overflow: 1 / (1 + t), or t / (1 + t) for z < 0.
    cdef floating t = exp_negative(-size(z))
    return (t if z < 0 else <floating>1) / (<floating>1 + t)


cdef inline floating sigmoid_prime(floating z) noexcept nogil:
    # y (1 - y), where 1 - y would cancel.
    cdef floating t = exp_negative(-size(z))
    return t / ((t + <floating>1) * (t + <floating>1))


cdef inline floating tanh_phi(floating z) noexcept nogil:
    cdef floating e = expm1_negative(-size(z + z))
    return signed(e / (e + <floating>2), z)


cdef inline floating tanh_prime(floating z) noexcept nogil:
    cdef floating y = tanh_phi(z)
    return <floating>1 - y * y


cdef inline floating step_phi(floating z) noexcept nogil:
    return 0 if z <= 0 else (1 if z > 0 else z)


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


cdef inline floating elu_phi(floating z, double alpha) noexcept nogil:
    # alpha may be no float32: its products are taken in double.
    return <floating>(alpha * expm1_negative(z if z < 0 else 0)) if z < 0 else z


cdef inline floating elu_prime(floating z, double alpha) noexcept nogil:
    return 1 if z > 0 else <floating>(alpha * exp_negative(0 if z > 0 else z))


cdef inline floating softplus_phi(floating z) noexcept nogil:
    return (z if z > 0 else 0) + log1p_fraction(exp_negative(-size(z)))


cdef inline floating softplus_prime(floating z) noexcept nogil:
    return sigmoid_phi(z)


cdef inline floating gelu_range(floating z) noexcept nogil:
    # |z|, or where Phi(-|z|) is 0.
    cdef floating a = size(z)
    cdef floating most = <floating>14.6 if floating is float else 39
    return most if a > most else a


cdef inline floating gelu_phi(floating z) noexcept nogil:
    # z Phi(z) = max(z, 0) - |z| Phi(-|z|).
    cdef floating a = gelu_range(z)
    return (z if z > 0 else 0) - a * mills(a) * bell(a)


cdef inline floating gelu_prime(floating z) noexcept nogil:
    # Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi): 1 + g for z > 0, -g else.
    cdef floating a = gelu_range(z)
    cdef floating g = bell(a) * (a * <floating>0.3989422804014327 - mills(a))
    return <floating>1 + g if z > 0 else -g


cdef void relu_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = relu_phi(Z[i])


cdef void relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * relu_prime(Z[i])


def relu(const floating[::1] Z, /, floating[::1] Y):
    each(relu_Y[floating], Z, Y, 0, MEMORY)


def relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(relu_dZ[floating], Delta, Z, dZ, 0, MEMORY)


cdef void sigmoid_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = sigmoid_phi(Z[i])


cdef void sigmoid_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                     double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * sigmoid_prime(Z[i])


def sigmoid(const floating[::1] Z, /, floating[::1] Y):
    each(sigmoid_Y[floating], Z, Y, 0, EXP)


def sigmoid_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(sigmoid_dZ[floating], Delta, Z, dZ, 0, EXP)


cdef void tanh_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = tanh_phi(Z[i])


cdef void tanh_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * tanh_prime(Z[i])


def tanh(const floating[::1] Z, /, floating[::1] Y):
    each(tanh_Y[floating], Z, Y, 0, EXP)


def tanh_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(tanh_dZ[floating], Delta, Z, dZ, 0, EXP)


cdef void step_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = step_phi(Z[i])


cdef void step_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * step_prime(Z[i])


def step(const floating[::1] Z, /, floating[::1] Y):
    each(step_Y[floating], Z, Y, 0, MEMORY)


def step_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(step_dZ[floating], Delta, Z, dZ, 0, MEMORY)


cdef void identity_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = identity_phi(Z[i])


cdef void identity_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                      double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * identity_prime(Z[i])


def identity(const floating[::1] Z, /, floating[::1] Y):
    each(identity_Y[floating], Z, Y, 0, MEMORY)


def identity_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(identity_dZ[floating], Delta, Z, dZ, 0, MEMORY)


cdef void leaky_relu_Y(const floating* Z, floating* Y, Py_ssize_t strips, double slope) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = <floating>leaky_relu_phi(Z[i], slope)


cdef void leaky_relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                        double slope) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = <floating>(Delta[i] * leaky_relu_prime(Z[i], slope))


def leaky_relu(const floating[::1] Z, /, floating[::1] Y, *, double slope):
    each(leaky_relu_Y[floating], Z, Y, slope, MEMORY)


def leaky_relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double slope):
    each_grad(leaky_relu_dZ[floating], Delta, Z, dZ, slope, MEMORY)


cdef void elu_Y(const floating* Z, floating* Y, Py_ssize_t strips, double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = elu_phi(Z[i], alpha)


cdef void elu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                 double alpha) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * elu_prime(Z[i], alpha)


def elu(const floating[::1] Z, /, floating[::1] Y, *, double alpha):
    each(elu_Y[floating], Z, Y, alpha, EXP)


def elu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double alpha):
    each_grad(elu_dZ[floating], Delta, Z, dZ, alpha, EXP)


cdef void softplus_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = softplus_phi(Z[i])


cdef void softplus_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                      double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * softplus_prime(Z[i])


def softplus(const floating[::1] Z, /, floating[::1] Y):
    each(softplus_Y[floating], Z, Y, 0, EXP)


def softplus_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(softplus_dZ[floating], Delta, Z, dZ, 0, EXP)


cdef void gelu_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = gelu_phi(Z[i])


cdef void gelu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * gelu_prime(Z[i])


def gelu(const floating[::1] Z, /, floating[::1] Y):
    each(gelu_Y[floating], Z, Y, 0, EXP)


def gelu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(gelu_dZ[floating], Delta, Z, dZ, 0, EXP)
