# Activations: A1, A2 in loops over strips, one for each formula of activation_formulas.pxd; A5 over runs of a channel.
# What takes exponentials is in activation_exp_loops.pxd.
#
# What memory binds takes its numbers strip by strip (`load_strip` in simd/elementwise.pxd).

from cython cimport floating

from .activation_formulas cimport (
    clip_phi, clip_prime, hard_sigmoid_line, hard_sigmoid_prime, hard_swish_phi, hard_swish_prime, identity_phi,
    identity_prime, leaky_relu_phi, leaky_relu_prime, prelu_phi, prelu_prime, relu_phi, relu_prime, sigmoid_slope,
    step_phi, step_prime, tanh_slope,
)
from .runtime.integers cimport min_of
from .simd.elementwise cimport STRIP, load_strip


cdef inline void relu_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = relu_phi(z[j])


cdef inline void relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * relu_prime(z[j])


cdef inline void sigmoid_dZ_output(const floating* Delta, const floating* Y, floating* dZ, Py_ssize_t strips,
                                   const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating y[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Y, i, y)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * sigmoid_slope(y[j])


cdef inline void tanh_dZ_output(const floating* Delta, const floating* Y, floating* dZ, Py_ssize_t strips,
                                const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating y[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Y, i, y)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * tanh_slope(y[j])


cdef inline void step_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = step_phi(Z[i])


cdef inline void step_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * step_prime(Z[i])


cdef inline void identity_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        Y[i] = identity_phi(Z[i])


cdef inline void identity_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                             const double* _) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(strips * STRIP):
        dZ[i] = Delta[i] * identity_prime(Z[i])


cdef inline void leaky_relu_Y(const floating* Z, floating* Y, Py_ssize_t strips,
                              const double* number) noexcept nogil:
    cdef double slope = number[0]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = <floating>leaky_relu_phi(z[j], slope)


cdef inline void leaky_relu_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                               const double* number) noexcept nogil:
    cdef double slope = number[0]
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = <floating>(delta[j] * leaky_relu_prime(z[j], slope))


cdef inline void clip_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* bounds) noexcept nogil:
    cdef floating low = <floating>bounds[0], high = <floating>bounds[1]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = clip_phi(z[j], low, high)


cdef inline void clip_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                         const double* bounds) noexcept nogil:
    cdef double low = bounds[0], high = bounds[1]
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = <floating>(delta[j] * clip_prime(z[j], low, high))


cdef inline void hard_sigmoid_Y(const floating* Z, floating* Y, Py_ssize_t strips,
                                const double* line) noexcept nogil:
    # Choice by choice: of both at once gcc makes four comparisons.
    cdef double alpha = line[0], beta = line[1]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            z[j] = hard_sigmoid_line(z[j], alpha, beta)
        for j in range(STRIP):
            z[j] = 1 if z[j] > 1 else z[j]
        for j in range(STRIP):
            Y[i * STRIP + j] = 0 if z[j] <= 0 else z[j]


cdef inline void hard_sigmoid_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                                 const double* line) noexcept nogil:
    cdef double alpha = line[0], beta = line[1]
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = <floating>(delta[j] * hard_sigmoid_prime(z[j], alpha, beta))


cdef inline void hard_swish_Y(const floating* Z, floating* Y, Py_ssize_t strips, const double* _) noexcept nogil:
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Z, i, z)
        for j in range(STRIP):
            Y[i * STRIP + j] = hard_swish_phi(z[j])


cdef inline void hard_swish_dZ(const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t strips,
                               const double* _) noexcept nogil:
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef Py_ssize_t i
    cdef int j
    for i in range(strips):
        load_strip(Delta, i, delta)
        load_strip(Z, i, z)
        for j in range(STRIP):
            dZ[i * STRIP + j] = delta[j] * hard_swish_prime(z[j])


cdef inline void prelu_part(const floating* Delta, const floating* Z, const floating* w, floating* Y, Py_ssize_t C,
                            Py_ssize_t L, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    # Elements first..end-1 of all, run by run of a channel's L: Y, or dZ where there is a Delta.
    cdef Py_ssize_t stop, i
    cdef floating slope
    while first < end:
        stop = min_of(end, first // L * L + L)
        slope = w[first // L % C]
        if Delta == NULL:
            for i in range(first, stop):
                Y[i] = prelu_phi(Z[i], slope)
        else:
            for i in range(first, stop):
                Y[i] = Delta[i] * prelu_prime(Z[i], slope)
        first = stop


cdef inline void prelu_row(const floating* Delta, const floating* Z, const floating* w, floating* Y,
                           Py_ssize_t width) noexcept nogil:
    # The same of numbers with a slope each.
    cdef Py_ssize_t i
    if Delta == NULL:
        for i in range(width):
            Y[i] = prelu_phi(Z[i], w[i])
    else:
        for i in range(width):
            Y[i] = Delta[i] * prelu_prime(Z[i], w[i])
