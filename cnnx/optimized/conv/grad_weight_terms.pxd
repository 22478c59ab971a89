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


cdef inline void dF_row_by_terms(const floating* Delta, const floating* Z, floating* dF, const Plan* g,
                                 Py_ssize_t i) noexcept nogil:
    # Row i of all kernels' rows: of most no element may have a term.
    cdef Py_ssize_t k = i // (g.C * g.R), row = i % (g.C * g.R), down = g.d_h * (i % g.R) - g.p_h, right, s
    cdef bint met = first_output(-down, g.u) < end_output(g.H - down, g.u, g.P)
    # Columns of the kernel between the first that meets the image's first and the last that meets its last.
    cdef Py_ssize_t first = first_output(g.p_w - g.v * (g.Q - 1), g.d_w)
    cdef Py_ssize_t end = end_output(g.W + g.p_w, g.d_w, g.S) if met else 0
    for s in range(g.S):
        dF[i * g.S + s] = 0
    for s in range(first, end):
        right = g.d_w * s - g.p_w
        if first_output(-right, g.v) < end_output(g.W - right, g.v, g.Q):
            dF[i * g.S + s] = dF_element(Delta, Z, g, k // g.K, k % g.K, row * g.S + s)


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
