# Powers of double precision: 2^(x log2 a). Without a branch, a table or a call: a loop over power() or
# power_for_float() becomes vectors, where the compiler is made to copy it there.

from libc.math cimport INFINITY

from .exp cimport exp_quotient, product_less_double
from .log cimport artanh_quotient, log_of_mantissa, mantissa
from .multiply_add cimport multiply_add

cdef extern from *:
    """
    #define CNNX_SHIFT 6755399441055744.0  /* 1.5 * 2^52: a sum with a small integer ends with the integer's bits */
    /* y 2^n, rounded once; `sum` is n + CNNX_SHIFT. */
    static inline double cnnx_times_power(double y, double sum) {
        const double shift = CNNX_SHIFT - 2048;
        uint64_t n, shift_bits, half;  /* n + 2048; 2^n may be beyond what one factor holds */
        double up, down;
        memcpy(&n, &sum, 8);
        memcpy(&shift_bits, &shift, 8);
        n -= shift_bits;
        half = n >> 1;
        half = (half - 1024 + 1023) << 52;
        memcpy(&up, &half, 8);
        half = ((n - (n >> 1)) - 1024 + 1023) << 52;
        memcpy(&down, &half, 8);
        return y * up * down;
    }
    """
    double SHIFT "CNNX_SHIFT"
    double times_power "cnnx_times_power"(double y, double sum) noexcept nogil


cdef inline double ends(double a, double y) noexcept nogil:
    # a^x where a is 0, infinite or not a number, x > 0; else y.
    y = 0 if a == 0 else y
    return y if a < INFINITY else a


cdef inline double power(double a, double x, double x_low) noexcept nogil:
    # a^(x + x_low), a >= 0, x > 0, |x_low| at most half a unit of x, within 0.8 units in the last place. log2 a and its
    # product with x have twice a double's bits, since an error of 2^-53 in either would be one of up to 2^10 units.
    cdef double exponent, low, y, log2_m, log2_a, log2_low, t, t_low, sum, r, z, z_low, one_z
    y = log_of_mantissa(mantissa(a, &exponent), &low)
    log2_m = y * 1.4426950408889634  # 1 / log 2 in two parts
    log2_low = multiply_add(low, 1.4426950408889634,
                            multiply_add(y, 2.0355273740931033e-17, product_less_double(y, 1.4426950408889634, log2_m)))
    log2_a = exponent + log2_m
    log2_low = ((exponent - log2_a) + log2_m) + log2_low
    t = x * log2_a
    t_low = multiply_add(x, log2_low, multiply_add(x_low, log2_a, product_less_double(x, log2_a, t)))
    t_low = t_low if -1100 < t < 1100 else 0
    t = t if t < 1100 else 1100
    t = t if t > -1100 else -1100
    sum = t + SHIFT
    t = t - (sum - SHIFT)
    r = t + t_low
    t_low = (t - r) + t_low
    z = r * 0.6931471805599453  # log 2 in two parts
    z_low = multiply_add(t_low, 0.6931471805599453,
                         multiply_add(r, 2.3190468138462996e-17, product_less_double(r, 0.6931471805599453, z)))
    one_z = 1 + z
    y = one_z + ((z - (one_z - 1)) + multiply_add(z * z, exp_quotient(z), z_low))
    return ends(a, times_power(y, sum))


cdef inline double power_for_float(double a, double x) noexcept nogil:
    # The same, right to 1e-12 of itself: enough for what becomes a float.
    cdef double exponent, s, y = artanh_quotient(mantissa(a, &exponent), &s), t, sum
    t = x * multiply_add(2.885390081777926815 * s, y, exponent)  # 2 / log 2
    t = t if t < 1100 else 1100
    t = t if t > -1100 else -1100
    sum = t + SHIFT
    t = (t - (sum - SHIFT)) * 0.693147180559945309
    y = multiply_add(t * t, exp_quotient(t), t)
    return ends(a, times_power(1 + y, sum))


cdef inline double one_less_power(double a, long long n) noexcept nogil:
    # 1 - a^n, 0 <= a <= 1, n >= 0, within 0.51 units in the last place (1.2 without an FMA): a^n by repeated squaring,
    # in twice a double's bits.
    cdef double y = 1, y_low = 0, square = a, square_low = 0, t
    while n > 0:
        if n & 1:
            t = y * square
            y_low = multiply_add(y, square_low, multiply_add(y_low, square, product_less_double(y, square, t)))
            y = t + y_low
            y_low = (t - y) + y_low
        t = square * square
        square_low = multiply_add(square + square, square_low, product_less_double(square, square, t))
        square = t + square_low
        square_low = (t - square) + square_low
        n = n >> 1
    t = 1 - y
    return t + (((1 - t) - y) - y_low)
