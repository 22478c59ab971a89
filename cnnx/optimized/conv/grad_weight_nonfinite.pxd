# Padding enters a register block as 0, and 0 times infinity is NaN, but C3 leaves such terms out: the elements that are
# not numbers are computed anew.

from cython cimport floating

from ..pack.grad_weight cimport Plan
from ..runtime.integers cimport Span, end_output, first_output


cdef inline floating dF_element(const floating* Delta, const floating* Z, const Plan* g, Py_ssize_t group, Py_ssize_t k,
                                Py_ssize_t t) noexcept nogil:
    # C3, term by term.
    cdef Py_ssize_t c = t // (g.R * g.S), r = t // g.S % g.R, offset = g.d_w * (t % g.S) - g.p_w, n, p, q, h
    cdef const floating* d
    cdef const floating* z
    cdef double total = 0
    for n in range(g.N):
        for p in range(g.P):
            h = g.u * p + g.d_h * r - g.p_h
            if h < 0 or h >= g.H:
                continue
            d = Delta + (((n * g.groups + group) * g.K + k) * g.P + p) * g.Q
            z = Z + (((n * g.groups + group) * g.C + c) * g.H + h) * g.W
            for q in range(first_output(-offset, g.v), end_output(g.W - offset, g.v, g.Q)):
                total = total + <double>d[q] * z[g.v * q + offset]
            if total != total:  # and so it stays
                return <floating>total
    return <floating>total


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
