# The formulas of activations: of each, phi and its derivative, of one number; where the derivative is simple in
# y = phi(z), that slope too.
#
# There is no branch in a formula, so that a loop over it becomes vectors (simd/exp.pxd). Comparisons are written so
# that NaN passes through phi.

from cython cimport floating

from .simd.exp cimport bell, exp_negative, expm1_negative, log1p_fraction, mills, signed, size
from .simd.multiply_add cimport multiply_add


cdef inline floating relu_phi(floating z) noexcept nogil:
    return 0 if z <= 0 else z


cdef inline floating relu_prime(floating z) noexcept nogil:
    return 1 if z > 0 else 0


cdef inline floating sigmoid_phi(floating z) noexcept nogil:
    # With t = exp(-|z|), which does not overflow: 1 / (1 + t), or t / (1 + t) for z < 0.
    return sigmoid_of(exp_negative(-size(z)), z)


cdef inline floating sigmoid_of(floating t, floating z) noexcept nogil:
    return (t if z < 0 else <floating>1) / (<floating>1 + t)


cdef inline floating sigmoid_prime(floating z) noexcept nogil:
    # y (1 - y), where 1 - y would cancel.
    cdef floating t = exp_negative(-size(z))
    return t / ((t + <floating>1) * (t + <floating>1))


cdef inline floating sigmoid_slope(floating y) noexcept nogil:
    return y * (<floating>1 - y)


cdef inline floating tanh_phi(floating z) noexcept nogil:
    cdef floating e = expm1_negative(-size(z + z))
    return signed(e / (e + <floating>2), z)


cdef inline floating tanh_prime(floating z) noexcept nogil:
    # 1 - y^2, which would cancel: 4 t / (1 + t)^2 with t = exp(-2 |z|).
    cdef floating t = exp_negative(-size(z + z))
    return <floating>4 * t / ((t + <floating>1) * (t + <floating>1))


cdef inline floating tanh_slope(floating y) noexcept nogil:
    return multiply_add(-y, y, <floating>1)


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
    return multiply_add(-a * mills(a), bell(a), z if z > 0 else 0)


cdef inline floating gelu_prime(floating z) noexcept nogil:
    # Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi): 1 + g for z > 0, -g else.
    cdef floating a = gelu_range(z)
    cdef floating g = bell(a) * multiply_add(a, <floating>0.3989422804014327, -mills(a))
    return <floating>1 + g if z > 0 else -g
