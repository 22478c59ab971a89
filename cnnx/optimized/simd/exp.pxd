# Exponentials and kin of one number, for float32 and float64 alike. Without a branch, a table or a call: a loop over
# any of them becomes vectors. Errors, in units in the last place, are the largest that tests/ops/test_functions.py
# meets; NaN stays NaN.

from cython cimport floating
from libc.math cimport copysign, copysignf, fabs, fabsf

from .multiply_add cimport multiply_add

cdef extern from *:
    """
    #include <stdint.h>
    /* From a sum of a whole number n and 1.5 * 2^23 + 127 (1.5 * 2^52 + 1023), in whose low bits it stands: 2^n. */
    static inline float cnnx_power_float(float sum) {
        union { float number; uint32_t bits; } u;
        u.number = sum;
        u.bits <<= 23;
        return u.number;
    }
    static inline double cnnx_power_double(double sum) {
        union { double number; uint64_t bits; } u;
        u.number = sum;
        u.bits <<= 52;
        return u.number;
    }
    /* a b - c, rounded once. Where there is no such instruction, a and b are cut into halves, whose product is
       exact. */
    #if CNNX_FMA
    #define cnnx_product_less_float(a, b, c) cnnx_multiply_add_float(a, b, -(c))
    #define cnnx_product_less_double(a, b, c) cnnx_multiply_add_double(a, b, -(c))
    #else
    static inline float cnnx_half_float(float z) {
        union { float number; uint32_t bits; } u;
        u.number = z;
        u.bits &= 0xfffff000u;
        return u.number;
    }
    static inline double cnnx_half_double(double z) {
        union { double number; uint64_t bits; } u;
        u.number = z;
        u.bits &= 0xfffffffff8000000u;
        return u.number;
    }
    static inline float cnnx_product_less_float(float a, float b, float c) {
        float a_1 = cnnx_half_float(a), b_1 = cnnx_half_float(b);
        return (a_1 * b_1 - c) + (a_1 * (b - b_1) + (a - a_1) * b);
    }
    static inline double cnnx_product_less_double(double a, double b, double c) {
        double a_1 = cnnx_half_double(a), b_1 = cnnx_half_double(b);
        return (a_1 * b_1 - c) + (a_1 * (b - b_1) + (a - a_1) * b);
    }
    #endif
    """
    float power_float "cnnx_power_float"(float sum) noexcept nogil
    double power_double "cnnx_power_double"(double sum) noexcept nogil
    float product_less_float "cnnx_product_less_float"(float a, float b, float c) noexcept nogil
    double product_less_double "cnnx_product_less_double"(double a, double b, double c) noexcept nogil
    double LOG2_E "1.4426950408889634"


cdef inline floating size(floating z) noexcept nogil:
    # |z|.
    if floating is float:
        return fabsf(z)
    else:
        return fabs(z)


cdef inline floating signed(floating y, floating z) noexcept nogil:
    # |y| with the sign of z.
    if floating is float:
        return copysignf(y, z)
    else:
        return copysign(y, z)


cdef inline floating power(floating sum) noexcept nogil:
    if floating is float:
        return power_float(sum)
    else:
        return power_double(sum)


cdef inline floating offset(int extra, floating* tag) noexcept nogil:
    # Added to a small number it rounds it to a whole n, of whose sum power() makes 2^(n + extra).
    if floating is float:
        return <floating>(12582912.0 + 127.0 + extra)
    else:
        return 6755399441055744.0 + 1023.0 + extra


cdef inline floating rest(floating x, floating n) noexcept nogil:
    # x - n log 2, log 2 in two parts: n times the first is exact, and so is what it leaves of x.
    if floating is float:
        return multiply_add(n, <floating>2.12194440054690583e-4, multiply_add(n, <floating>-0.693359375, x))
    else:
        return multiply_add(n, -1.90821492927058770002e-10, multiply_add(n, -6.93147180369123816490e-1, x))


cdef inline floating product_rest(floating a, floating b, floating n) noexcept nogil:
    # rest(a b, n), where a b is not rounded.
    if floating is float:
        return multiply_add(n, <floating>2.12194440054690583e-4, product_less_float(a, b, n * <floating>0.693359375))
    else:
        return multiply_add(n, -1.90821492927058770002e-10,
                            product_less_double(a, b, n * 6.93147180369123816490e-1))


cdef inline floating exp_quotient(floating r) noexcept nogil:
    # (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2, so that the relative error of exp(r) - 1 is 2^-26 (2^-55).
    cdef floating q
    if floating is float:
        q = <floating>0.0013946442030557599729
        q = multiply_add(q, r, <floating>0.0083665833236469520288)
        q = multiply_add(q, r, <floating>0.041666282102163039537)
        q = multiply_add(q, r, <floating>0.16666542997696082247)
        q = multiply_add(q, r, <floating>0.50000000619595601188)
    else:
        q = 2.5114459112628871089e-8
        q = multiply_add(q, r, 2.7626326404847098077e-7)
        q = multiply_add(q, r, 2.7557227996289652094e-6)
        q = multiply_add(q, r, 2.4801504446131128033e-5)
        q = multiply_add(q, r, 1.9841269902989356158e-4)
        q = multiply_add(q, r, 1.3888888932378810455e-3)
        q = multiply_add(q, r, 8.333333333314609701e-3)
        q = multiply_add(q, r, 4.1666666666573624099e-2)
        q = multiply_add(q, r, 0.16666666666666685976)
        q = multiply_add(q, r, 0.50000000000000055502)
    return q


cdef inline floating large_exp(floating x) noexcept nogil:
    # exp(x) 2^64 (2^200), -110 (-770) <= x <= 0: it has all its bits even where exp(x) is subnormal.
    cdef floating whole = offset[floating](64 if floating is float else 200, NULL)
    cdef floating sum = multiply_add(x, <floating>LOG2_E, whole)
    return exp_whole(rest(x, sum - whole), sum)


cdef inline floating exp_whole(floating r, floating sum) noexcept nogil:
    # exp(r) times a power of 2.
    return multiply_add(multiply_add(exp_quotient(r), r, <floating>1), r, <floating>1) * power(sum)


cdef inline floating of_large(floating* tag) noexcept nogil:
    # What large_exp() has to be multiplied by.
    if floating is float:
        return <floating>5.421010862427522e-20
    else:
        return 6.223015277861142e-61


cdef inline floating exp_least(floating x) noexcept nogil:
    # x, or what has an exponential of 0 too.
    cdef floating least = -exp_most(&x)
    return least if least > x else x


cdef inline floating exp_most(const floating* tag) noexcept nogil:
    # exp(-t) is 0 from it on.
    return 105 if floating is float else 746


cdef inline floating expm1_most(const floating* tag) noexcept nogil:
    # exp(-t) - 1 is -1 from it on.
    return 20 if floating is float else 40


cdef inline floating expm1(floating x) noexcept nogil:
    # exp(x) - 1, -20 (-40) <= x <= 0.
    cdef floating whole = offset[floating](0, NULL)
    cdef floating sum, r, scale
    sum = multiply_add(x, <floating>LOG2_E, whole)
    r = rest(x, sum - whole)
    scale = power(sum)
    return multiply_add(scale, multiply_add(r * r, exp_quotient(r), r), scale - <floating>1)


cdef inline floating log1p_fraction(floating t) noexcept nogil:
    # log(1 + t), 0 <= t <= 1: 2 artanh s = 2s + 2s s^2 (1/3 + s^2/5 + ...), s = t / (2 + t).
    # The polynomial's relative error is 2^-27 (2^-59).
    cdef floating s = (t + t) / (t + <floating>2)
    cdef floating w = s * s * <floating>0.25
    cdef floating h
    if floating is float:
        h = <float>0.14012174060037480472
        h = multiply_add(h, w, <float>0.13999582312677679165)
        h = multiply_add(h, w, <float>0.20010848769706350193)
        h = multiply_add(h, w, <float>0.33333206580232792183)
    else:
        h = 0.085092687114552286816
        h = multiply_add(h, w, 0.04170061298738125326)
        h = multiply_add(h, w, 0.06053040625927865015)
        h = multiply_add(h, w, 0.066504871223252770677)
        h = multiply_add(h, w, 0.076932799352946779152)
        h = multiply_add(h, w, 0.090908719637562069089)
        h = multiply_add(h, w, 0.11111111984826980329)
        h = multiply_add(h, w, 0.14285714273927593197)
        h = multiply_add(h, w, 0.20000000000078615983)
        h = multiply_add(h, w, 0.33333333333333151917)
    return multiply_add(s * w, h, s)


cdef inline floating mills(floating a) noexcept nogil:
    # exp(a^2 / 2) Phi(-a), 0 <= a <= 14.6 (39), Phi the normal distribution: P(v) / (a + c), v = (a - c) / (a + c).
    # The polynomial's relative error is 2^-27.0 (2^-57.2).
    cdef floating c = <floating>3.5 if floating is float else 5
    cdef floating t = <floating>1 / (a + c)
    cdef floating v = (a - c) * t
    cdef floating p
    if floating is float:
        p = <floating>1.1028595891824549763e-4
        p = multiply_add(p, v, <floating>4.2116738986817779843e-4)
        p = multiply_add(p, v, <floating>-4.9497796929434303367e-4)
        p = multiply_add(p, v, <floating>-3.1748124820802251906e-3)
        p = multiply_add(p, v, <floating>6.4932462059766307406e-3)
        p = multiply_add(p, v, <floating>0.017406268434344527208)
        p = multiply_add(p, v, <floating>-0.1160530687739638656)
        p = multiply_add(p, v, <floating>0.31542505703459120382)
        p = multiply_add(p, v, <floating>-0.56556174387727120175)
        p = multiply_add(p, v, <floating>0.74441607403205117094)
    else:
        # The polynomial is steep where a is small: v to the last bit.
        v = multiply_add(-t, multiply_add(c, v + 1, a * (v - 1)), v)
        p = -3.0289671434214933478e-10
        p = multiply_add(p, v, 1.4319718573980640707e-9)
        p = multiply_add(p, v, 7.9421777509839480086e-9)
        p = multiply_add(p, v, -8.2947961088418434362e-9)
        p = multiply_add(p, v, -6.6011526022192573638e-8)
        p = multiply_add(p, v, 4.088047262298935388e-8)
        p = multiply_add(p, v, 4.3288410735473289452e-7)
        p = multiply_add(p, v, -3.3553718859172797792e-7)
        p = multiply_add(p, v, -2.7689524879520630178e-6)
        p = multiply_add(p, v, 3.9803847054229327536e-6)
        p = multiply_add(p, v, 1.6681041228953711022e-5)
        p = multiply_add(p, v, -4.9762654913524531061e-5)
        p = multiply_add(p, v, -5.9375674794837308416e-5)
        p = multiply_add(p, v, 5.4489903339175460165e-4)
        p = multiply_add(p, v, -7.9786940800924895262e-4)
        p = multiply_add(p, v, -2.9933767667058728087e-3)
        p = multiply_add(p, v, 0.020795066800837630382)
        p = multiply_add(p, v, -0.069118638706569978081)
        p = multiply_add(p, v, 0.16502036617033741988)
        p = multiply_add(p, v, -0.31353315667129619629)
        p = multiply_add(p, v, 0.49530561596997729905)
        p = multiply_add(p, v, -0.66538250289005678119)
        p = multiply_add(p, v, 0.76919304975006295591)
    return p * t


cdef inline floating bell(floating a) noexcept nogil:
    # exp(-a^2 / 2), 0 <= a <= 14.6 (39). A rounded square would be off by more and more.
    cdef floating whole = offset[floating](64 if floating is float else 200, NULL)
    cdef floating b = a * -<floating>0.5
    cdef floating sum = multiply_add(a * b, <floating>LOG2_E, whole)
    return exp_whole(product_rest(a, b, sum - whole), sum) * of_large[floating](NULL)
