# Matrices cut into panels of columns: what panel_block() of _tile.pxd takes as x.

from cython cimport floating
from libc.stdlib cimport malloc
from libc.string cimport memcpy, memset

from ._index cimport least, up
from ._shuffle cimport turn
from ._tile cimport VECTORS
from ._vector cimport doubles, floats, lanes_in, lanes_of, vector, vector_at

cdef extern from *:
    enum:
        # Terms that are summed up before the next panel's turn: so many rows of a panel stay in the first cache.
        TERMS "(24576 / (CNNX_VECTORS * CNNX_BYTES))"

cdef enum:
    CACHE_LINE = 64


cdef inline Py_ssize_t vectors_of(Py_ssize_t columns, floating* kind) noexcept nogil:
    return up(columns, lanes_of(kind))


cdef inline Py_ssize_t panels_of(Py_ssize_t columns, floating* kind) noexcept nogil:
    return up(vectors_of(columns, kind), VECTORS)


cdef inline Py_ssize_t first_column(Py_ssize_t panel, Py_ssize_t columns, floating* kind) noexcept nogil:
    # The panels are as wide as each other, to a vector.
    return panel * vectors_of(columns, kind) // panels_of(columns, kind) * lanes_of(kind)


cdef inline Py_ssize_t padded(Py_ssize_t columns, floating* kind) noexcept nogil:
    return vectors_of(columns, kind) * lanes_of(kind)


cdef inline void* scratch(Py_ssize_t numbers, floating* kind) except NULL:
    # Room for so many numbers from the first cache line's border on.
    cdef void* raw = malloc(numbers * <Py_ssize_t>sizeof(floating) + CACHE_LINE)
    if raw == NULL:
        raise MemoryError
    return raw


cdef inline floating* on_a_line(void* raw, floating* kind) noexcept nogil:
    return <floating*>((<size_t>raw + CACHE_LINE - 1) & ~<size_t>(CACHE_LINE - 1))


cdef inline void every_row(Py_ssize_t* taps, Py_ssize_t step, Py_ssize_t T) noexcept nogil:
    # taps[t] = t step, for as many terms as there are at a time.
    cdef Py_ssize_t t
    for t in range(least(T, TERMS)):
        taps[t] = t * step


cdef inline void copy_rows(const void* x, Py_ssize_t x_row, Py_ssize_t T, void* panel, vector* kind,
                           int V) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(kind), t
    cdef int j
    for t in range(T):
        for j in range(V):
            vector_at(panel, (t * V + j) * lanes, kind)[0] = vector_at(x, t * x_row + j * lanes, kind)[0]


cdef inline void copy_of(const void* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t V, void* panel,
                         vector* kind) noexcept nogil:
    if VECTORS > 2 and V == 3:
        copy_rows(x, x_row, T, panel, kind, 3)
    elif V == 2:
        copy_rows(x, x_row, T, panel, kind, 2)
    else:
        copy_rows(x, x_row, T, panel, kind, 1)


cdef inline void pack(const floating* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t columns, Py_ssize_t width,
                      floating* panel) noexcept nogil:
    # panel[t width + j] = x[t x_row + j], 0 for j >= columns.
    cdef Py_ssize_t t
    if columns < width:
        for t in range(T):
            memcpy(panel + t * width, x + t * x_row, columns * sizeof(floating))
            memset(panel + t * width + columns, 0, (width - columns) * sizeof(floating))
    elif floating is float:
        copy_of[floats](x, x_row, T, width // lanes_of(panel), panel, NULL)
    else:
        copy_of[doubles](x, x_row, T, width // lanes_of(panel), panel, NULL)


cdef inline void pack_turned(const floating* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t columns, Py_ssize_t width,
                             floating* panel) noexcept nogil:
    # panel[t width + j] = x[j x_row + t], 0 for j >= columns.
    cdef Py_ssize_t lanes = lanes_of(panel), t, j = 0
    while j < width:
        t = 0
        while t < T:
            turn(x + j * x_row + t, x_row, least(lanes, columns - j), least(lanes, T - t),
                 panel + t * width + j, width, lanes)
            t += lanes
        j += lanes
