# C3 term by term: where copies would hold little else than padding (grad_weight_plan.pxd, term_by_term()), and for
# elements that are not numbers. Padding enters a register block as 0, and 0 times infinity is NaN, but C3 leaves such
# terms out.

from cython cimport floating

from ..pack.grad_weight cimport Plan
from ..runtime.integers cimport Span, end_output, first_output


cdef inline floating dF_element(const floating* Delta, const floating* Z, const Plan* g, Py_ssize_t group, Py_ssize_t k,
                                Py_ssize_t t) noexcept nogil:
    # C3, term by term.
    cdef Py_ssize_t c = t // (g.R * g.S), down = g.d_h * (t // g.S % g.R) - g.p_h, right = g.d_w * (t % g.S) - g.p_w
    cdef Py_ssize_t first = first_output(-right, g.v), end = end_output(g.W - right, g.v, g.Q), n, p, q
    cdef const floating* d
    cdef const floating* z
    cdef double total = 0
    if first >= end:
        return 0
    for n in range(g.N):
        for p in range(first_output(-down, g.u), end_output(g.H - down, g.u, g.P)):
            d = Delta + (((n * g.groups + group) * g.K + k) * g.P + p) * g.Q
            z = Z + (((n * g.groups + group) * g.C + c) * g.H + g.u * p + down) * g.W
            for q in range(first, end):
                total = total + <double>d[q] * z[g.v * q + right]
            if total != total:  # and so it stays
                return <floating>total
    return <floating>total


cdef inline void dF_by_terms(const floating* Delta, const floating* Z, floating* dF, const Plan* g,
                             Py_ssize_t i) noexcept nogil:
    # dF[i] of all.
    cdef Py_ssize_t k = i // g.T
    dF[i] = dF_element(Delta, Z, g, k // g.K, k % g.K, i % g.T)


cdef inline void recompute_nonfinite(const floating* Delta, const floating* Z, const Plan* g, Py_ssize_t group,
                                     Span channels, Span taps, floating* dF) noexcept nogil:
    cdef Py_ssize_t k, t
    cdef bint lost
    for k in range(channels.first, channels.end):
        lost = False
        for t in range(taps.first, taps.end):
            lost |= dF[k * g.T + t] != dF[k * g.T + t]
        if lost:
            for t in range(taps.first, taps.end):
                if dF[k * g.T + t] != dF[k * g.T + t]:
                    dF[k * g.T + t] = dF_element(Delta, Z, g, group, k, t)
