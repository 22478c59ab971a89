# Activations that take exponentials: A1, A2 in loops over strips, one for each formula of activation_formulas.pxd.
#
# Exponentials have loops of their own, over a strip at a time: gcc would make two cases of all that follows an
# exponent's least, and a processor that has several vectors' steps side by side waits for none of them.

from cython cimport floating

from .activation_formulas cimport (
    elu_phi, elu_prime, factor, gelu_phi, gelu_prime, sigmoid_phi, sigmoid_prime, silu_phi, silu_prime, silu_range,
    softplus_phi, softplus_prime, tanh_phi, tanh_prime,
)
from .simd.elementwise cimport STRIP, bound_strip, load_strip
from .simd.exp cimport exp_most, expm1, expm1_most, large_exp, of_large, size


# Of -t, t >= 0: the sign costs a fused multiply-add nothing, and the bound of a size is one instruction.


cdef inline void exp_strip(floating* t) noexcept nogil:
    # exp(-t), t >= 0.
    cdef int j
    bound_strip(exp_most(t), t)
    for j in range(STRIP):
        t[j] = large_exp(-t[j]) * of_large[floating](NULL)


cdef inline void expm1_strip(floating* t) noexcept nogil:
    # exp(-t) - 1, t >= 0.
    cdef int j
    bound_strip(expm1_most(t), t)
    for j in range(STRIP):
        t[j] = expm1(-t[j])


cdef inline void sigmoid_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = size(z[j])
        exp_strip(t)
        for j in range(STRIP):
            Y[i * STRIP + j] = sigmoid_phi(t[j], z[j])


cdef inline void sigmoid_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                            const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, t)
        for j in range(STRIP):
            t[j] = size(t[j])
        exp_strip(t)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * sigmoid_prime(t[j])


cdef inline void tanh_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating e[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            e[j] = size(z[j] + z[j])
        expm1_strip(e)
        for j in range(STRIP):
            Y[i * STRIP + j] = tanh_phi(e[j], z[j])


cdef inline void tanh_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, t)
        for j in range(STRIP):
            t[j] = size(t[j] + t[j])
        exp_strip(t)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * tanh_prime(t[j])


cdef inline void elu_strips(const floating* Z, floating* Y, Py_ssize_t strips, factor alpha) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating e[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            e[j] = -z[j] if z[j] < 0 else 0
        expm1_strip(e)
        for j in range(STRIP):
            Y[i * STRIP + j] = elu_phi(e[j], z[j], alpha)


cdef inline void elu_grad_strips(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                                 factor alpha) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = 0 if z[j] > 0 else -z[j]
        exp_strip(t)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * elu_prime(t[j], z[j], alpha)


cdef inline void elu_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* number) noexcept nogil:
    # A product of floats rounded once is what the doubles' product is, rounded.
    if floating is float and <float>number[0] == number[0]:
        elu_strips(Z, Y, strips, <float>number[0])
    else:
        elu_strips(Z, Y, strips, number[0])


cdef inline void elu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                        const double* number) noexcept nogil:
    if floating is float and <float>number[0] == number[0]:
        elu_grad_strips(Delta, Z, dZ, strips, <float>number[0])
    else:
        elu_grad_strips(Delta, Z, dZ, strips, number[0])


cdef inline void elu_dZ_in_double(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                                  const double* number) noexcept nogil:
    # Where alpha is no normal float32: as one, the slope would be infinite or 0, and its product with Delta need not.
    cdef double alpha = number[0]
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = 0 if z[j] > 0 else -z[j]
        exp_strip(t)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] if z[j] > 0 else <floating>(delta[j] * (alpha * t[j]))


cdef inline void softplus_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = size(z[j])
        exp_strip(t)
        for j in range(STRIP):
            Y[i * STRIP + j] = softplus_phi(t[j], z[j])


cdef inline void softplus_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                             const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = size(z[j])
        exp_strip(t)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * softplus_prime(t[j], z[j])


cdef inline void gelu_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = gelu_phi(Z[i])


cdef inline void gelu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * gelu_prime(Z[i])


cdef inline void silu_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = -silu_range(z[j])
        for j in range(STRIP):
            t[j] = large_exp(t[j])
        for j in range(STRIP):
            Y[i * STRIP + j] = silu_phi(z[j], t[j])


cdef inline void silu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef floating t[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            t[j] = -silu_range(z[j])
        for j in range(STRIP):
            t[j] = large_exp(t[j])
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * silu_prime(z[j], t[j])
