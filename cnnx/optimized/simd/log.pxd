# Logarithms of double precision, and twice that. Without a branch, a table or a call: a loop over any of them becomes
# vectors.

from .exp cimport product_less_double
from .multiply_add cimport multiply_add

cdef extern from *:
    """
    #include <string.h>
    /* a = 2^e m, m from sqrt(1/2) to sqrt(2), for a > 0; of other numbers something. */
    static inline double cnnx_mantissa(double a, double* exponent) {
        const double least = 2.2250738585072014e-308;  /* the bits of less hold no exponent */
        const double shift = 6755399441055744.0;  /* 1.5 * 2^52: added to a small integer, its bits end with that */
        uint64_t bits, shift_bits, e;  /* e + 2048: shifts of what may be negative are no vector instructions in AVX2 */
        double m = a < least ? a * 18014398509481984.0 : a;  /* 2^54 */
        memcpy(&bits, &m, 8);
        memcpy(&shift_bits, &shift, 8);
        e = (bits + (UINT64_C(1) << 63) - UINT64_C(0x3fe6a09e667f3bcd)) >> 52;
        bits -= (e << 52) + (UINT64_C(1) << 63);
        memcpy(&m, &bits, 8);
        bits = e + shift_bits;
        memcpy(exponent, &bits, 8);
        *exponent -= a < least ? shift + (2048 + 54) : shift + 2048;
        return m;
    }
    """
    double mantissa "cnnx_mantissa"(double a, double* exponent) noexcept nogil


cdef inline double log_of_mantissa(double m, double* low) noexcept nogil:
    # log m = 2 artanh s = 2 s (1 + w / 3 + w^2 / 5 + ...), s = (m - 1) / (m + 1), w = s^2; `low` is what the double
    # leaves of it. Relative error 2^-66: of the terms from w^2 on, at most 2^-12 of the whole, a double is enough.
    cdef double d = m + 1, t = 1 / d, s = (m - 1) * t
    cdef double s_low = -multiply_add(s, m - (d - 1), product_less_double(s, d, m - 1)) * t
    cdef double w = s * s, w_low = multiply_add(s + s, s_low, product_less_double(s, s, w))
    cdef double w2, w4, q, g, g_low, h, h_low, v, v_low, y
    # Pairs first: one chain of multiply-adds would wait for itself where there is one logarithm alone.
    w2 = w * w
    w4 = w2 * w2
    q = multiply_add(w2, multiply_add(w, 1 / 27.0, 1 / 25.0), multiply_add(w, 1 / 23.0, 1 / 21.0))
    q = multiply_add(w4, q, multiply_add(w2, multiply_add(w, 1 / 19.0, 1 / 17.0), multiply_add(w, 1 / 15.0, 1 / 13.0)))
    q = multiply_add(w4, q, multiply_add(w2, multiply_add(w, 1 / 11.0, 1 / 9.0), multiply_add(w, 1 / 7.0, 1 / 5.0)))
    # g = 1 / 3 + w q, h = w g, v = s h, each with what its double leaves.
    q = multiply_add(w, q, w_low * 0.2)
    g = q + 1 / 3.0
    g_low = (q - (g - 1 / 3.0)) + 1.8503717077085943e-17
    h = w * g
    h_low = multiply_add(w_low, g, multiply_add(w, g_low, product_less_double(w, g, h)))
    v = s * h
    v_low = multiply_add(s_low, h, multiply_add(s, h_low, product_less_double(s, h, v)))
    y = s + v
    low[0] = 2 * (((s - y) + v) + (s_low + v_low))
    return 2 * y


cdef inline double log_positive(double a) noexcept nogil:
    # log a, a > 0 and finite, within 0.6 units in the last place; NaN stays NaN.
    cdef double exponent, low, whole, y, sum
    y = log_of_mantissa(mantissa(a, &exponent), &low)
    whole = exponent * 6.93147180369123816490e-1  # log 2 in two parts: the first product is exact
    sum = whole + y
    sum = sum + (((whole - sum) + y) + multiply_add(exponent, 1.90821492927058770002e-10, low))
    return sum if a == a else a


cdef inline double artanh_quotient(double m, double* s) noexcept nogil:
    # artanh s / s, s = (m - 1) / (m + 1), for m from sqrt(1/2) to sqrt(2): log m is 2 s times that, right to 1e-15.
    cdef double w, y
    s[0] = (m - 1) / (m + 1)
    w = s[0] * s[0]
    y = 1 / 21.0
    y = multiply_add(y, w, 1 / 19.0)
    y = multiply_add(y, w, 1 / 17.0)
    y = multiply_add(y, w, 1 / 15.0)
    y = multiply_add(y, w, 1 / 13.0)
    y = multiply_add(y, w, 1 / 11.0)
    y = multiply_add(y, w, 1 / 9.0)
    y = multiply_add(y, w, 1 / 7.0)
    y = multiply_add(y, w, 1 / 5.0)
    y = multiply_add(y, w, 1 / 3.0)
    return multiply_add(y, w, 1.0)


cdef inline double log_for_float(double a) noexcept nogil:
    # The same as log_positive(), right to 1e-15 of itself: more than enough for what becomes a float.
    cdef double exponent, s, y = artanh_quotient(mantissa(a, &exponent), &s)
    y = multiply_add(s + s, y, exponent * 0.693147180559945309)
    return y if a == a else a
