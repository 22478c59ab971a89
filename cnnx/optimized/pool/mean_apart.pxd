# Average pooling where no pixel lies in two windows, window by window, in double: of the image as the one window, and
# of windows that fit no vectors (pool/window.pxd). A sum is that of 16 partial sums, to which a row's numbers go by
# their column; the whole image is one row.

from cython cimport floating

from ..runtime.integers cimport min_of
from ..simd.reduce cimport LANES, PARTIAL, VECTORS, broadcast_sums, sums, widen, widen_some
from ..simd.runs cimport GROUP, halves_of
from ..simd.trees cimport sum_trees
from .window cimport Window, column_begin, column_end, fits_vectors, row_begin, row_end

cdef inline bint side_by_side(const Window* g) noexcept nogil:
    # Whether no pixel lies in two windows.
    return (g.R <= g.u or g.P == 1) and (g.S <= g.v or g.Q == 1)


cdef inline bint is_image(const Window* g) noexcept nogil:
    # Whether the one window has all of the image.
    return (g.P == 1 and g.Q == 1 and row_begin(g, 0) == 0 and row_end(g, 0) == g.H
            and column_begin(g, 0) == 0 and column_end(g, 0) == g.W)


cdef inline bint window_by_window(const Window* g) noexcept nogil:
    return is_image(g) or (side_by_side(g) and not fits_vectors(g))


cdef inline sums added_column(sums a, const floating* z, Py_ssize_t rows, Py_ssize_t stride, int width) noexcept nogil:
    # Rows of as many numbers as a vector of sums has, or fewer.
    cdef Py_ssize_t _
    if width == LANES:
        for _ in range(rows):
            a = a + widen(z)
            z += stride
    else:
        for _ in range(rows):
            a = a + widen_some(z, width)
            z += stride
    return a


cdef inline void half_sums(const floating* z, Py_ssize_t rows, Py_ssize_t length, Py_ssize_t stride,
                           double* half) noexcept nogil:
    # The 16 partial sums of some rows, of which those from the 8th on are added to those before.
    cdef sums a[VECTORS]
    cdef Py_ssize_t whole = length & ~(PARTIAL - 1), left = length - whole, r, i
    cdef int j
    for j in range(VECTORS):
        a[j] = broadcast_sums(0)
    for r in range(rows if whole > 0 else 0):
        i = 0
        while i < whole:
            for j in range(VECTORS):
                a[j] = a[j] + widen(z + r * stride + i + j * LANES)
            i += PARTIAL
    for j in range(VECTORS):
        if left > j * LANES:
            a[j] = added_column(a[j], z + whole + j * LANES, rows, stride, <int>min_of(LANES, left - j * LANES))
    halves_of(a, half)


cdef inline void Y_images(const floating* Z, floating* Y, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t pixels,
                          double count) noexcept nogil:
    # The means of the images begin, ..., end - 1.
    cdef double halves[GROUP * GROUP]
    cdef double total[GROUP]
    cdef Py_ssize_t size, i
    for i in range(GROUP * GROUP):
        halves[i] = 0
    while begin < end:
        size = min_of(GROUP, end - begin)
        for i in range(size):
            half_sums(Z + (begin + i) * pixels, 1, pixels, 0, halves + i * GROUP)
        sum_trees(halves, total)
        for i in range(size):
            Y[begin + i] = <floating>(total[i] / count)
        begin += size


cdef inline void Y_windows(const floating* Z, floating* Y, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                           const floating* columns_counts, const floating* rows_counts) noexcept nogil:
    # The outputs begin, ..., end - 1 of all.
    cdef double halves[GROUP * GROUP]
    cdef double total[GROUP]
    cdef double count[GROUP]
    cdef Py_ssize_t q = begin % g.Q, p = begin // g.Q % g.P, size, w, i
    cdef Py_ssize_t h = row_begin(g, p), rows = row_end(g, p) - h
    Z += begin // g.Q // g.P * g.H * g.W
    for i in range(GROUP * GROUP):
        halves[i] = 0
    while begin < end:
        size = min_of(GROUP, end - begin)
        for i in range(size):
            w = column_begin(g, q)
            half_sums(Z + h * g.W + w, rows, column_end(g, q) - w, g.W, halves + i * GROUP)
            count[i] = <double>rows_counts[p] * columns_counts[q]
            q += 1
            if q == g.Q:
                q = 0
                p += 1
                if p == g.P:
                    p = 0
                    Z += g.H * g.W
                h = row_begin(g, p)
                rows = row_end(g, p) - h
        sum_trees(halves, total)
        for i in range(size):
            Y[begin + i] = <floating>(total[i] / count[i])
        begin += size


cdef inline void Y_apart(const floating* Z, floating* Y, Py_ssize_t begin, Py_ssize_t end, const Window* g,
                         const floating* columns_counts, const floating* rows_counts) noexcept nogil:
    # The outputs begin, ..., end - 1 of all.
    if is_image(g):
        Y_images(Z, Y, begin, end, g.H * g.W, <double>rows_counts[0] * columns_counts[0])
    else:
        Y_windows(Z, Y, begin, end, g, columns_counts, rows_counts)
