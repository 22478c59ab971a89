# Average pooling: a row of means in double, whatever the window; how many members a window has; which windows sum in
# the numbers' own type, in vectors (pool/row.pxd).

from cython cimport floating

from ..runtime.integers cimport end_output, first_output, min_of
from ..simd.reduce cimport LANES, sums, sums_in_memory, widen
from ..simd.vector cimport lanes_of
from .window cimport (
    Window, column_begin, column_end, columns_used, fits_vectors, row_begin, row_end, row_length, window_of,
)

cdef enum:
    SEVERAL = 4  # outputs in a row
    SHORT = 16  # rows of a window whose sums are taken in the numbers' own type; beyond, in double


cdef struct Pad:
    # Bottom and right padding, and whether padding counts in |R|.
    Py_ssize_t p_b, p_r
    bint counts


cdef inline bint in_vectors(const Window* g) noexcept nogil:
    return fits_vectors(g) and g.R <= SHORT


cdef inline Window means_window(Py_ssize_t H, Py_ssize_t W, Py_ssize_t P, Py_ssize_t Q, Py_ssize_t R, Py_ssize_t S,
                                Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w) noexcept nogil:
    # A column is a row (window_of) where all windows lie in it, and sums have the same type.
    cdef Window g = Window(H, W, P, Q, R, S, u, v, p_h, p_w), turned = window_of(H, W, P, Q, R, S, u, v, p_h, p_w)
    if p_h == 0 and u * (P - 1) + R <= H and in_vectors(&g) == in_vectors(&turned):
        return turned
    return g


cdef inline Py_ssize_t rows_count(const Window* g, const Pad* pad, Py_ssize_t p) noexcept nogil:
    # |R[p,q]| is the number of its rows times that of its columns.
    if pad.counts:
        return min_of(g.R, g.H + pad.p_b + g.p_h - g.u * p)
    return row_end(g, p) - row_begin(g, p)


cdef inline Py_ssize_t counts_length(const Window* g, floating* tag) noexcept nogil:
    # Of the counts, with what vectors read behind them; even, since doubles may lie there next.
    return (g.Q + lanes_of(tag) + 1) // 2 * 2


cdef inline Py_ssize_t sums_length(const Window* g, floating* tag) noexcept nogil:
    # Of a row of sums; or in double, of one and the outputs' behind it.
    return row_length(g, lanes_of(tag)) if in_vectors(g) else 2 * (g.W + g.Q)


cdef inline void set_columns_counts(const Window* g, const Pad* pad, floating* counts,
                                    Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t q
    for q in range(g.Q):
        if pad.counts:
            counts[q] = <floating>min_of(g.S, g.W + pad.p_r + g.p_w - g.v * q)
        else:
            counts[q] = <floating>(column_end(g, q) - column_begin(g, q))
    for q in range(g.Q, length):
        counts[q] = 1


cdef inline void add_rows(const floating* z, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t W,
                          double* m) noexcept nogil:
    # Up to four rows to m, one after the other.
    cdef Py_ssize_t w = 0, r, left
    cdef sums a
    while rows == 4 and w + LANES <= width:
        a = (<sums_in_memory*>(m + w))[0] + widen(z + w)
        a = a + widen(z + W + w)
        a = a + widen(z + 2 * W + w)
        (<sums_in_memory*>(m + w))[0] = a + widen(z + 3 * W + w)
        w += LANES
    left = w
    for r in range(rows):
        for w in range(left, width):
            m[w] += z[r * W + w]


cdef inline void Y_row_in_double(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, double rows,
                                 const Window* g, double* m) noexcept nogil:
    # Any window; wide or tall ones have many terms.
    cdef Py_ssize_t h, w, q, s
    cdef double* means = m + g.W
    for w in range(columns_used(g)):
        m[w] = 0
    for h in range(row_begin(g, p), row_end(g, p), 4):
        add_rows(Z + h * g.W, min_of(4, row_end(g, p) - h), columns_used(g), g.W, m)
    for q in range(g.Q):
        means[q] = 0
    # Sums side by side where there are several: none waits for its last term.
    for s in range(g.S if g.Q >= SEVERAL else 0):
        for q in range(first_output(g.p_w - s, g.v), end_output(g.W + g.p_w - s, g.v, g.Q)):
            means[q] += m[g.v * q + s - g.p_w]
    for q in range(0 if g.Q >= SEVERAL else g.Q):
        for w in range(column_begin(g, q), column_end(g, q)):
            means[q] += m[w]
    for q in range(g.Q):
        Y[q] = <floating>(means[q] / (rows * counts[q]))


cdef inline void mend_row(const floating* Z, floating* Y, Py_ssize_t p, const floating* counts, double rows,
                          const Window* g) noexcept nogil:
    # The means of a row that are not finite, once more: a sum of floats overflows where the mean does not.
    cdef Py_ssize_t h, w, q
    cdef double y
    for q in range(g.Q):
        if Y[q] - Y[q] == 0:
            continue
        y = 0
        for h in range(row_begin(g, p), row_end(g, p)):
            for w in range(column_begin(g, q), column_end(g, q)):
                y += Z[h * g.W + w]
        Y[q] = <floating>(y / (rows * counts[q]))
