# Where outputs of a resizing lie: R1-R4, in integers, and tables of them for a group of columns.

from cython cimport floating

from .runtime.integers cimport ceil_div, max_of, min_of

cdef enum:
    COLUMNS = 512  # of a group

cdef enum pattern:
    # How columns of outputs follow those of the image: one by one, two for each, or as the table says.
    STRAIGHT
    DOUBLED
    LOOKED_UP

cdef struct Axis:
    # R1: output i of `count` lies at (A i + B)/D, from 0 to last/D, of `extent` pixels.
    Py_ssize_t extent, count, A, B, D, last


cdef inline Axis nearest_axis(Py_ssize_t extent, Py_ssize_t count, Py_ssize_t A, Py_ssize_t B,
                              Py_ssize_t D) noexcept nogil:
    return Axis(extent, count, A, B, D, extent * D - 1)


cdef inline Axis bilinear_axis(Py_ssize_t extent, Py_ssize_t count, Py_ssize_t A, Py_ssize_t B,
                               Py_ssize_t D) noexcept nogil:
    return Axis(extent, count, A, B, D, (extent - 1) * D)


cdef inline void turn_column(Axis* rows, Axis* columns) noexcept nogil:
    # Images of one column become images of one row, which lies in memory as they do, and goes faster.
    cdef Axis turned = rows[0]
    if columns.extent == 1 and columns.count == 1:
        rows[0], columns[0] = columns[0], turned


cdef inline Py_ssize_t place(const Axis* g, Py_ssize_t i) noexcept nogil:
    # D times the place.
    return min_of(max_of(g.A * i + g.B, 0), g.last)


cdef inline Py_ssize_t reaching(const Axis* g, Py_ssize_t numerator) noexcept nogil:
    # The first output that lies at numerator/D or beyond.
    if g.B >= numerator:
        return 0
    return g.count if g.A == 0 else min_of(g.count, ceil_div(numerator - g.B, g.A))


cdef inline Py_ssize_t first_on(const Axis* g, Py_ssize_t i) noexcept nogil:
    # The first output that lies on pixel i or between it and the next one; what lies before pixel 0 counts as on it.
    return 0 if i == 0 else reaching(g, i * g.D)


cdef inline Py_ssize_t end_on(const Axis* g, Py_ssize_t i) noexcept nogil:
    return g.count if i == g.extent - 1 else reaching(g, (i + 1) * g.D)


cdef inline Py_ssize_t first_behind(const Axis* g, Py_ssize_t i) noexcept nogil:
    # The first output that lies between the pixel before i and i, so that both have a weight.
    return 0 if i == 0 else reaching(g, (i - 1) * g.D + 1)


cdef inline floating weight_of(Py_ssize_t part, const Axis* g, const floating* tag) noexcept nogil:
    return <floating>(<double>part / <double>g.D)


cdef inline pattern nearest_columns(const Axis* g, Py_ssize_t first, Py_ssize_t width, int* at) noexcept nogil:
    # w(q) of the outputs first...first + width - 1, relative to the first one's.
    cdef Py_ssize_t q, start = place(g, first) // g.D
    cdef bint straight = True, doubled = width % 2 == 0
    for q in range(width):
        at[q] = <int>(place(g, first + q) // g.D - start)
        straight = straight and at[q] == q
        doubled = doubled and at[q] == q // 2
    return STRAIGHT if straight else DOUBLED if doubled else LOOKED_UP


cdef inline bint bilinear_columns(const Axis* g, Py_ssize_t first, Py_ssize_t width, int* left, int* right,
                                  floating* b_left, floating* b_right) noexcept nogil:
    # R4 for the outputs first...first + width - 1: pixels, relative to the first one's, and their weights; a pixel of
    # weight 0 is never another one's neighbour. Returns whether each output is the pixel of its number.
    cdef Py_ssize_t q, t, w, r, start = place(g, first) // g.D
    cdef bint straight = True
    for q in range(width):
        t = place(g, first + q)
        w = t // g.D
        r = t - w * g.D
        left[q] = <int>(w - start)
        right[q] = left[q] + (r != 0)
        b_left[q], b_right[q] = weight_of(g.D - r, g, b_left), weight_of(r, g, b_left)
        straight = straight and left[q] == q and r == 0
    return straight


cdef inline Py_ssize_t runs_of(const Axis* g, Py_ssize_t first, Py_ssize_t width, bint bilinear, int* begin,
                               int* behind, int* at, floating* b_left, floating* b_right) noexcept nogil:
    # R4 for the outputs first...first + width - 1, read from the pixels: runs that lie on one pixel or between it and
    # the next one. Each one's pixel, relative to the first one's, its first output, and the first that the next pixel
    # has a weight in too; returns how many.
    cdef Py_ssize_t q, t, w, r, runs = 0, start = place(g, first) // g.D
    for q in range(width):
        t = place(g, first + q)
        w = t // g.D - start
        if runs == 0 or at[runs - 1] != w:
            at[runs], begin[runs], behind[runs] = <int>w, <int>q, <int>q
            runs += 1
        r = t - (w + start) * g.D if bilinear else 0
        behind[runs - 1] += r == 0
        b_left[q], b_right[q] = weight_of(g.D - r, g, b_left), weight_of(r, g, b_left)
    begin[runs] = <int>width
    return runs


cdef inline bint in_pairs(Py_ssize_t runs, const int* begin, const int* at) noexcept nogil:
    # Whether runs have two outputs each, and pixels follow each other.
    cdef Py_ssize_t k
    for k in range(runs):
        if at[k] != k or begin[k] != 2 * k:
            return False
    return True
