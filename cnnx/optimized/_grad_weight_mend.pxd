# The blocks multiply padding too, by zero: that makes a NaN where Delta is not finite. C3 leaves such terms out.

from cython cimport floating

from ._grad_weight_plan cimport Plan
from ._index cimport end_output, first_output


cdef inline floating dF_element(const floating* Delta, const floating* Z, Plan* g, Py_ssize_t group, Py_ssize_t k,
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


cdef inline void mend(const floating* Delta, const floating* Z, Plan* g, Py_ssize_t group, Py_ssize_t k0,
                      Py_ssize_t end_k, Py_ssize_t t0, Py_ssize_t end_t, floating* dF) noexcept nogil:
    cdef Py_ssize_t k, t, lost
    for k in range(k0, end_k):
        lost = 0
        for t in range(t0, end_t):
            lost += dF[k * g.T + t] != dF[k * g.T + t]
        if lost:
            for t in range(t0, end_t):
                if dF[k * g.T + t] != dF[k * g.T + t]:
                    dF[k * g.T + t] = dF_element(Delta, Z, g, group, k, t)
