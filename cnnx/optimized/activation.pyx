"""Activations: A1, A2 in typed loops, one for each formula of activation_formulas.pxd.

What memory binds takes its numbers strip by strip (`take` in simd/elementwise.pxd).
"""

from cython cimport floating

from ._threads cimport EXP, MEMORY
from .activation_formulas cimport (
    elu_phi, elu_prime, gelu_phi, gelu_prime, identity_phi, identity_prime, leaky_relu_phi, leaky_relu_prime,
    relu_phi, relu_prime, sigmoid_of, sigmoid_prime, sigmoid_slope, softplus_phi, softplus_prime, step_phi,
    step_prime, tanh_phi, tanh_prime, tanh_slope,
)
from .simd.elementwise cimport STRIP, each, each_grad, load_strip
from .simd.exp cimport exp_least, large_exp, of_large, size


cdef void relu_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = relu_phi(z[j])


cdef void relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * relu_prime(z[j])


def relu(const floating[::1] Z, /, floating[::1] Y):
    each(relu_Y[floating], Z, Y, 0, MEMORY)


def relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(relu_dZ[floating], Delta, Z, dZ, 0, MEMORY)


cdef void sigmoid_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):  # a loop of its own: gcc would make two cases of all that follows
            t[j] = exp_least(-size(z[j]))
        for j in range(STRIP):
            Y[i * STRIP + j] = sigmoid_of(large_exp(t[j]) * of_large[floating](NULL), z[j])


cdef void sigmoid_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                     double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * sigmoid_prime(Z[i])


cdef void sigmoid_dZ_output(const floating* Delta, const floating* Y, floating* dZ, Py_ssize_t strips,
                            double _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating y[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Y, i, y)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * sigmoid_slope(y[j])


def sigmoid(const floating[::1] Z, /, floating[::1] Y):
    each(sigmoid_Y[floating], Z, Y, 0, EXP)


def sigmoid_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(sigmoid_dZ[floating], Delta, Z, dZ, 0, EXP)


def sigmoid_grad_input_output(const floating[::1] Delta, const floating[::1] Y, /, floating[::1] dZ):
    each_grad(sigmoid_dZ_output[floating], Delta, Y, dZ, 0, MEMORY)


cdef void tanh_Y(const floating* Z, floating* Y, Py_ssize_t strips, double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = tanh_phi(Z[i])


cdef void tanh_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                  double _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * tanh_prime(Z[i])


cdef void tanh_dZ_output(const floating* Delta, const floating* Y, floating* dZ, Py_ssize_t strips,
                         double _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating y[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Y, i, y)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * tanh_slope(y[j])


def tanh(const floating[::1] Z, /, floating[::1] Y):
    each(tanh_Y[floating], Z, Y, 0, EXP)


def tanh_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(tanh_dZ[floating], Delta, Z, dZ, 0, EXP)


def tanh_grad_input_output(const floating[::1] Delta, const floating[::1] Y, /, floating[::1] dZ):
    each_grad(tanh_dZ_output[floating], Delta, Y, dZ, 0, MEMORY)


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
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = <floating>leaky_relu_phi(z[j], slope)


cdef void leaky_relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                        double slope) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = <floating>(delta[j] * leaky_relu_prime(z[j], slope))


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
