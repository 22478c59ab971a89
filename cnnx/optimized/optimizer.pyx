"""Optimisers: G1 to G4 of equations.md in typed loops, one pass over memory.

An output may be the input of its name. A compiler that sees them as pointers would have to take each store for a
change of what it reads next, so a block's results are gathered in a buffer before they are stored. Everything is
computed in double.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport sqrt
from libc.string cimport memcpy

from ._threads cimport threads_for
from .runtime.integers cimport ceil_div
from .simd.multiply_add cimport multiply_add
from .simd.power cimport one_less_power

cdef extern from *:
    """
    /* Only a copy of a loop that knows its rule becomes vectors. */
    #undef CYTHON_INLINE
    #define CYTHON_INLINE inline __attribute__((always_inline))
    """

cdef enum:
    BLOCK = 256  # numbers in a buffer; a divisor of CHUNK
    CHUNK = 8192  # numbers that one thread takes at a time


cdef struct Factors:
    double rate
    double decay
    double momentum
    double beta1
    double beta2
    double rest1  # 1 - beta1
    double rest2
    double scale2  # 1 / (1 - beta2^t)
    double eps


cdef enum rule:
    PLAIN
    MOMENTUM
    NESTEROV
    ADAM


cdef inline void block(floating* w, const floating* dE, floating* a, floating* b, const floating* old_w,
                       const floating* old_a, const floating* old_b, Py_ssize_t length, const Factors* by, bint decays,
                       rule kind) noexcept nogil:
    # At most BLOCK numbers. decays and kind are constants wherever this is called.
    cdef floating new_w[BLOCK]
    cdef floating new_a[BLOCK]
    cdef floating new_b[BLOCK]
    cdef Factors f = by[0]
    cdef double g, x, y
    cdef Py_ssize_t i
    for i in range(length):
        g = dE[i]
        if decays:
            g = multiply_add(f.decay, <double>old_w[i], g)  # G4
        if kind == PLAIN:
            new_w[i] = <floating>multiply_add(-f.rate, g, <double>old_w[i])  # G1
        elif kind == ADAM:
            # G3
            x = multiply_add(f.beta1, <double>old_a[i], f.rest1 * g)
            y = multiply_add(f.beta2, <double>old_b[i], f.rest2 * (g * g))
            new_a[i], new_b[i] = <floating>x, <floating>y
            new_w[i] = <floating>(old_w[i] - f.rate * x / (sqrt(f.scale2 * y) + f.eps))
        else:
            # G2
            x = multiply_add(f.momentum, <double>old_a[i], g)
            new_a[i] = <floating>x
            new_w[i] = <floating>multiply_add(-f.rate, multiply_add(f.momentum, x, g) if kind == NESTEROV else x,
                                              <double>old_w[i])
    memcpy(w, new_w, length * sizeof(floating))
    if kind != PLAIN:
        memcpy(a, new_a, length * sizeof(floating))
    if kind == ADAM:
        memcpy(b, new_b, length * sizeof(floating))


cdef inline void chunk(floating* w, const floating* dE, floating* a, floating* b, const floating* old_w,
                       const floating* old_a, const floating* old_b, Py_ssize_t first, Py_ssize_t end,
                       const Factors* by, rule kind) noexcept nogil:
    cdef Py_ssize_t i = first, length
    while i < end:
        length = min(BLOCK, end - i)
        if by.decay == 0:
            block(w + i, dE + i, a + i, b + i, old_w + i, old_a + i, old_b + i, length, by, False, kind)
        else:
            block(w + i, dE + i, a + i, b + i, old_w + i, old_a + i, old_b + i, length, by, True, kind)
        i += length


cdef inline void change(floating* w, const floating* dE, floating* a, floating* b, const floating* old_w,
                        const floating* old_a, const floating* old_b, Py_ssize_t count, const Factors* by,
                        double work, rule kind) noexcept nogil:
    # What a rule keeps is a and b, as far as it keeps anything. work: of one weight, in multiply-adds.
    cdef Py_ssize_t i
    cdef int threads = threads_for(work * count)
    if threads == 1:  # a parallel region, even of one thread, costs more than a small layer's biases
        chunk(w, dE, a, b, old_w, old_a, old_b, 0, count, by, kind)
        return
    for i in prange(ceil_div(count, CHUNK), schedule="static", num_threads=threads):
        chunk(w, dE, a, b, old_w, old_a, old_b, i * CHUNK, min(count, (i + 1) * CHUNK), by, kind)


def sgd(const floating[::1] w, const floating[::1] dE, /, floating[::1] w_new, *, double rate, double decay):
    cdef Factors by
    by.rate, by.decay = rate, decay
    if w.shape[0] == 0:
        return
    with nogil:
        change(&w_new[0], &dE[0], &w_new[0], &w_new[0], &w[0], &w[0], &w[0], w.shape[0], &by, 1, PLAIN)


def sgd_momentum(const floating[::1] w, const floating[::1] dE, const floating[::1] v, /, floating[::1] w_new,
                 floating[::1] v_new, *, double rate, double momentum, double decay, Py_ssize_t nesterov):
    cdef Factors by
    by.rate, by.momentum, by.decay = rate, momentum, decay
    if w.shape[0] == 0:
        return
    with nogil:
        if nesterov:
            change(&w_new[0], &dE[0], &v_new[0], &v_new[0], &w[0], &v[0], &v[0], w.shape[0], &by, 2, NESTEROV)
        else:
            change(&w_new[0], &dE[0], &v_new[0], &v_new[0], &w[0], &v[0], &v[0], w.shape[0], &by, 2, MOMENTUM)


def adam(const floating[::1] w, const floating[::1] dE, const floating[::1] m1, const floating[::1] m2, /,
         floating[::1] w_new, floating[::1] m1_new, floating[::1] m2_new, *, double rate, double beta1, double beta2,
         double eps, double decay, Py_ssize_t t):
    cdef Factors by
    by.beta1, by.beta2, by.rest1, by.rest2, by.eps, by.decay = beta1, beta2, 1 - beta1, 1 - beta2, eps, decay
    # Divisions cost more than memory does.
    by.rate, by.scale2 = rate / one_less_power(beta1, t), 1 / one_less_power(beta2, t)
    if w.shape[0] == 0:
        return
    with nogil:
        change(&w_new[0], &dE[0], &m1_new[0], &m2_new[0], &w[0], &m1[0], &m2[0], w.shape[0], &by, 8, ADAM)
