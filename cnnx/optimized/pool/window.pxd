# The window R[p,q], clipped to the image, and the outputs that cover a row: C6 for pooling.

from cython cimport floating

from ..runtime.integers cimport ceil_div, max_of, min_of, times
from ..runtime.memory cimport allocate
from ..simd.prefetch cimport PREFETCH_DISTANCE, prefetch_span

cdef struct Window:
    Py_ssize_t H, W, P, Q  # of the image and the output
    Py_ssize_t R, S, u, v, p_h, p_w


cdef enum:
    LONGEST = 1_048_576  # numbers in a column that is taken for a row, of which scratch memory has copies


cdef inline bint column_as_row(Py_ssize_t H, Py_ssize_t W, Py_ssize_t S) noexcept nogil:
    # Whether an image is a column, as long as a row may be.
    return W == 1 and S == 1 and H <= LONGEST


cdef inline Window window_of(Py_ssize_t H, Py_ssize_t W, Py_ssize_t P, Py_ssize_t Q, Py_ssize_t R, Py_ssize_t S,
                             Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w) noexcept nogil:
    # Images of one column, which lie in memory as images of one row do, are taken for these: rows are what is fast.
    if column_as_row(H, W, S):
        return Window(W, H, Q, P, S, R, v, u, p_w, p_h)
    return Window(H, W, P, Q, R, S, u, v, p_h, p_w)


cdef struct Place:
    # A row, counted through all planes.
    Py_ssize_t plane, row


cdef inline Place place_of(Py_ssize_t row, Py_ssize_t rows) noexcept nogil:
    return Place(row // rows, row % rows)


cdef inline void next_place(Place* at, Py_ssize_t rows) noexcept nogil:
    # Counting spares divisions, which cost as much as a row of outputs.
    at.row += 1
    if at.row == rows:
        at.row = 0
        at.plane += 1


cdef inline Py_ssize_t row_begin(const Window* g, Py_ssize_t p) noexcept nogil:
    return max_of(0, g.u * p - g.p_h)


cdef inline Py_ssize_t row_end(const Window* g, Py_ssize_t p) noexcept nogil:
    return min_of(g.H, g.u * p - g.p_h + g.R)


cdef inline Py_ssize_t column_begin(const Window* g, Py_ssize_t q) noexcept nogil:
    return max_of(0, g.v * q - g.p_w)


cdef inline Py_ssize_t column_end(const Window* g, Py_ssize_t q) noexcept nogil:
    return min_of(g.W, g.v * q - g.p_w + g.S)


# A row of outputs is computed in two steps: down the columns of its window rows into one row of W numbers, then
# across that. Where fits_vectors() holds, the second step takes vectors too, since the row has numbers in place of
# padding at both ends; else it is clipped, number by number.

cdef inline bint fits_vectors(const Window* g) noexcept nogil:
    return g.v <= 4 and g.S <= 16 and g.R <= 0x2000000


cdef inline Py_ssize_t row_margin(const Window* g, Py_ssize_t lanes) noexcept nogil:
    # Where the row's first column lies: behind the left padding, at a whole number of vectors.
    return ceil_div(g.p_w, lanes) * lanes if fits_vectors(g) else 0


cdef inline Py_ssize_t row_length(const Window* g, Py_ssize_t lanes) noexcept nogil:
    # Of the row, its margins, and what the last vectors read beyond them.
    if fits_vectors(g):
        return row_margin(g, lanes) + max_of(g.W, g.v * g.Q + g.S) + 4 * lanes
    return g.W + lanes


cdef inline Py_ssize_t columns_used(const Window* g) noexcept nogil:
    return min_of(g.W, g.v * (g.Q - 1) - g.p_w + g.S)


cdef inline Py_ssize_t numbers_ahead(const Window* g, const floating* tag) noexcept nogil:
    # So many numbers before they are read rows are fetched: a whole number of windows, or of images.
    cdef Py_ssize_t step = min_of(g.u, g.H) * g.W
    return ceil_div(PREFETCH_DISTANCE // <Py_ssize_t>sizeof(floating), step) * step


cdef inline void prefetch_rows(const floating* Z, const floating* Z_end, Py_ssize_t p, const Window* g,
                               Py_ssize_t ahead) noexcept nogil:
    # What a later row of outputs needs that row p of the plane at Z, and those up to it, did not.
    prefetch_span(Z + row_begin(g, p) * g.W + ahead, min_of(min_of(g.u, g.R), g.H) * g.W * sizeof(floating), Z_end)


cdef inline floating* memory_for(str kernel, int threads, Py_ssize_t length, floating* tag) except NULL:
    # `length` numbers for each thread.
    return <floating*>allocate(kernel, times(times(threads, length), sizeof(floating)))


cdef inline void clip(Window* g) noexcept nogil:
    # Leave out the window's rows and columns that never meet the image, so that offsets within it stay small.
    cdef Py_ssize_t rows = max_of(0, g.p_h - g.u * (g.P - 1)), columns = max_of(0, g.p_w - g.v * (g.Q - 1))
    g.R = min_of(g.R - rows, g.p_h - rows + g.H)
    g.S = min_of(g.S - columns, g.p_w - columns + g.W)
    g.p_h -= rows
    g.p_w -= columns
