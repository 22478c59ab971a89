# Loops over arrays, element by element. An array is cut into strips of a fixed length, and what is left at the end
# is copied into a strip of its own: so every element goes through the same vector instructions, and its value depends
# neither on where it stands nor on how many threads there are.

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy

from .._threads cimport threads_for
from .select cimport least
from .vector cimport broadcast, doubles, floats, lanes_of, load, make_opaque, store

cdef enum:
    STRIP = 64  # elements: whole vectors, for every instruction set


cdef inline void load_strip(const floating* Z, Py_ssize_t i, floating* z) noexcept nogil:
    # Strip i of Z, in vectors, which gcc keeps in registers. All of a strip is loaded before any of it is stored:
    # arrays of one size lie at nearly the same place within their pages, so that the processor takes a load for one of
    # what was just stored elsewhere, and waits.
    cdef int k
    Z += i * STRIP
    for k in range(STRIP // <int>lanes_of(z)):
        if floating is float:
            store(load[floats](Z, k * lanes_of(z), NULL), z, k * lanes_of(z))
        else:
            store(load[doubles](Z, k * lanes_of(z), NULL), z, k * lanes_of(z))


cdef inline void bound_strip(floating most, floating* z) noexcept nogil:
    # The lesser of both; NaN stays. By the processor's instruction: of a choice gcc makes two with AVX-512.
    cdef int k
    for k in range(STRIP // <int>lanes_of(z)):
        if floating is float:
            store(least(broadcast[floats](&most, 0, NULL), load[floats](z, k * lanes_of(z), NULL)), z, k * lanes_of(z))
        else:
            store(least(broadcast[doubles](&most, 0, NULL), load[doubles](z, k * lanes_of(z), NULL)), z,
                  k * lanes_of(z))


cdef inline void each(void (*phi)(const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
                      const floating[::1] Z, floating[::1] Y, const double* numbers, double work) noexcept:
    # Y[i] = phi(Z[i]), where phi does so for a number of strips, with phi's own numbers; work is that of one element.
    # The loop is one function for all phi of a module, called by address, or gcc copies it into every entry point,
    # which takes time to compile, and phi into it, where the strip at the end becomes other instructions.
    cdef void (*loop)(void (*)(const floating*, floating*, Py_ssize_t, const double*) noexcept nogil, const floating*,
                      floating*, Py_ssize_t, const double*, double) noexcept
    loop = over_strips[floating]
    make_opaque(loop)
    if Z.shape[0] > 0:
        loop(phi, &Z[0], &Y[0], Z.shape[0], numbers, work)


cdef inline void over_strips(void (*phi)(const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
                             const floating* Z, floating* Y, Py_ssize_t n, const double* numbers,
                             double work) noexcept:
    cdef Py_ssize_t strips = n // STRIP, left = n % STRIP, part
    cdef floating z[STRIP]
    cdef floating y[STRIP]
    cdef int threads = threads_for(work * n)
    with nogil:
        if threads == 1 and strips > 0:
            phi(Z, Y, strips, numbers)
        elif strips > 0:
            for part in prange(threads, schedule="static", num_threads=threads):
                some(phi, Z, Y, strips * part // threads, strips * (part + 1) // threads, numbers)
        if left > 0:
            for part in range(STRIP):
                z[part] = 0
            memcpy(z, Z + n - left, left * sizeof(floating))
            phi(z, y, 1, numbers)
            memcpy(Y + n - left, y, left * sizeof(floating))


cdef inline void some(void (*phi)(const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
                      const floating* Z, floating* Y, Py_ssize_t first, Py_ssize_t end,
                      const double* numbers) noexcept nogil:
    phi(Z + first * STRIP, Y + first * STRIP, end - first, numbers)


cdef inline void each_grad(
        void (*phi_prime)(const floating*, const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
        const floating[::1] Delta, const floating[::1] Z, floating[::1] dZ, const double* numbers,
        double work) noexcept:
    # dZ[i] = Delta[i] phi'(Z[i]).
    cdef void (*loop)(
        void (*)(const floating*, const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
        const floating*, const floating*, floating*, Py_ssize_t, const double*, double) noexcept
    loop = grad_over_strips[floating]
    make_opaque(loop)
    if Z.shape[0] > 0:
        loop(phi_prime, &Delta[0], &Z[0], &dZ[0], Z.shape[0], numbers, work)


cdef inline void grad_over_strips(
        void (*phi_prime)(const floating*, const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
        const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t n, const double* numbers,
        double work) noexcept:
    cdef Py_ssize_t strips = n // STRIP, left = n % STRIP, part
    cdef floating delta[STRIP]
    cdef floating z[STRIP]
    cdef floating d[STRIP]
    cdef int threads = threads_for(work * n)
    with nogil:
        if threads == 1 and strips > 0:
            phi_prime(Delta, Z, dZ, strips, numbers)
        elif strips > 0:
            for part in prange(threads, schedule="static", num_threads=threads):
                some_grad(phi_prime, Delta, Z, dZ, strips * part // threads, strips * (part + 1) // threads, numbers)
        if left > 0:
            for part in range(STRIP):
                delta[part] = 0
                z[part] = 0
            memcpy(delta, Delta + n - left, left * sizeof(floating))
            memcpy(z, Z + n - left, left * sizeof(floating))
            phi_prime(delta, z, d, 1, numbers)
            memcpy(dZ + n - left, d, left * sizeof(floating))


cdef inline void some_grad(
        void (*phi_prime)(const floating*, const floating*, floating*, Py_ssize_t, const double*) noexcept nogil,
        const floating* Delta, const floating* Z, floating* dZ, Py_ssize_t first, Py_ssize_t end,
        const double* numbers) noexcept nogil:
    phi_prime(Delta + first * STRIP, Z + first * STRIP, dZ + first * STRIP, end - first, numbers)
