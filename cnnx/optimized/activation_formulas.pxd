# The formulas of activations: of each, phi and its derivative, of one number; where the derivative is simple in
# y = phi(z), that slope too.
#
# There is no branch in a formula, so that a loop over it becomes vectors (simd/exp.pxd). Comparisons are written so
# that NaN passes through phi. What needs an exponential takes it as an argument, from a loop of its own (exp_strip in
# activation_exp_loops.pxd).

from cython cimport floating

from .simd.exp cimport bell, log1p_fraction, mills, of_large, signed, size
from .simd.multiply_add cimport multiply_add

ctypedef fused factor:  # the precision in which alpha and its products are taken
    float
    double


cdef inline floating relu_phi(floating z) noexcept nogil:
    return 0 if z <= 0 else z


cdef inline floating relu_prime(floating z) noexcept nogil:
    return 1 if z > 0 else 0


cdef inline floating sigmoid_phi(floating t, floating z) noexcept nogil:
    # With t = exp(-|z|), which does not overflow: 1 / (1 + t), or t / (1 + t) for z < 0.
    return (t if z < 0 else <floating>1) / (<floating>1 + t)


cdef inline floating sigmoid_prime(floating t) noexcept nogil:
    # y (1 - y), where 1 - y would cancel.
    return t / ((t + <floating>1) * (t + <floating>1))


cdef inline floating sigmoid_slope(floating y) noexcept nogil:
    return y * (<floating>1 - y)


cdef inline floating tanh_phi(floating e, floating z) noexcept nogil:
    # e = exp(-2 |z|) - 1.
    return signed(e / (e + <floating>2), z)


cdef inline floating tanh_prime(floating t) noexcept nogil:
    # 1 - y^2, which would cancel: 4 t / (1 + t)^2 with t = exp(-2 |z|).
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


cdef inline floating elu_phi(floating e, floating z, factor alpha) noexcept nogil:
    # e = exp(z) - 1 of z < 0.
    e = <floating>(alpha * e)
    return e if z < 0 else z


cdef inline floating elu_prime(floating t, floating z, factor alpha) noexcept nogil:
    # t = exp(z) of z <= 0.
    t = <floating>(alpha * t)
    return 1 if z > 0 else t


cdef inline floating softplus_phi(floating t, floating z) noexcept nogil:
    # t = exp(-|z|), as below.
    return (z if z > 0 else 0) + log1p_fraction(t)


cdef inline floating softplus_prime(floating t, floating z) noexcept nogil:
    return sigmoid_phi(t, z)


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


cdef inline floating clip_phi(floating z, floating low, floating high) noexcept nogil:
    # low and high as the arrays' numbers: rounding keeps the order, so that this is min(max(z, low), high), rounded.
    return low if z <= low else (high if z > high else z)


cdef inline double clip_prime(double z, double low, double high) noexcept nogil:
    cdef double slope = 1 if z > low else 0  # one choice behind the other: integers between doubles take long detours
    return slope if z <= high else 0


cdef inline floating hard_sigmoid_line(floating z, double alpha, double beta) noexcept nogil:
    # Before it is clipped to 0 and 1. Rounded first, which keeps the order and both ends: choices among doubles for
    # floats take three times as long.
    return <floating>(alpha * z + beta)


cdef inline double hard_sigmoid_prime(double z, double alpha, double beta) noexcept nogil:
    # The sum is rounded as above, in two steps, so that slope and value change at the same numbers.
    cdef double t = alpha * z + beta
    cdef double slope = alpha if t > 0 else 0
    return slope if t <= 1 else 0


cdef inline floating hard_swish_phi(floating z) noexcept nogil:
    # Above 3 the quotient is 1.
    cdef floating t = z + <floating>3
    t = z * ((<floating>6 if t > 6 else t) / <floating>6)
    return 0 if z <= -3 else t


cdef inline floating hard_swish_prime(floating z) noexcept nogil:
    cdef floating t = (z + z + <floating>3) / <floating>6
    return 0 if z <= -3 else (<floating>1 if z > 3 else t)


cdef inline floating silu_range(floating z) noexcept nogil:
    # |z|, or where |z| exp(-|z|) is 0.
    cdef floating a = size(z)
    cdef floating most = 110 if floating is float else 770
    return most if a > most else a


cdef inline floating silu_phi(floating z, floating large) noexcept nogil:
    # With t = exp(-|z|), large_exp's: z / (1 + t), or z t / (1 + t) for z < 0, which is as exact where t is subnormal.
    cdef floating y = -silu_range(z) if z < 0 else z
    y = (y if z > 0 else y * large) / (large * of_large[floating](NULL) + <floating>1)
    return y if z > 0 else y * of_large[floating](NULL)


cdef inline floating silu_prime(floating z, floating large) noexcept nogil:
    # Of z < 0 it is g = t (1 + t - |z|) / (1 + t)^2, t = exp(-|z|), of z > 0 it is 1 - g.
    cdef floating t = large * of_large[floating](NULL)
    cdef floating g = large * ((<floating>1 - silu_range(z) + t) / ((t + <floating>1) * (t + <floating>1)))
    g = g * of_large[floating](NULL)
    return <floating>1 - g if z > 0 else g


cdef inline floating prelu_phi(floating z, floating w) noexcept nogil:
    return z if z > 0 else w * z


cdef inline floating prelu_prime(floating z, floating w) noexcept nogil:
    return 1 if z > 0 else w
