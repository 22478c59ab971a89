# Matrices cut into panels of columns: what microkernel/multiply_accumulate.pxd takes as packed x.

from cython cimport floating
from libc.string cimport memcpy, memset

from ..microkernel.multiply_accumulate cimport VECTORS
from ..runtime.integers cimport ceil_div, min_of
from ..simd.shuffle cimport transpose
from ..simd.vector cimport doubles, floats, lanes_in, lanes_of, load, store, vector

cdef extern from *:
    enum:
        # Terms that are summed up before the next panel's turn: so many rows of a panel stay in the first cache.
        TERMS "(24576 / (CNNX_VECTORS * CNNX_BYTES))"


cdef inline Py_ssize_t vectors_of(Py_ssize_t columns, floating* tag) noexcept nogil:
    return ceil_div(columns, lanes_of(tag))


cdef inline Py_ssize_t panels_of(Py_ssize_t columns, floating* tag) noexcept nogil:
    return ceil_div(vectors_of(columns, tag), VECTORS)


cdef inline Py_ssize_t first_column(Py_ssize_t panel, Py_ssize_t columns, floating* tag) noexcept nogil:
    # The panels are as wide as each other, to a vector.
    return panel * vectors_of(columns, tag) // panels_of(columns, tag) * lanes_of(tag)


cdef inline Py_ssize_t padded(Py_ssize_t columns, floating* tag) noexcept nogil:
    return vectors_of(columns, tag) * lanes_of(tag)


cdef inline void fill_taps(Py_ssize_t* taps, Py_ssize_t step, Py_ssize_t T) noexcept nogil:
    # taps[t] = t step, for as many terms as there are at a time.
    cdef Py_ssize_t t
    for t in range(min_of(T, TERMS)):
        taps[t] = t * step


cdef inline void copy_rows(const void* x, Py_ssize_t x_row, Py_ssize_t T, void* panel, vector* tag,
                           int V) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_in(tag), t
    cdef int j
    for t in range(T):
        for j in range(V):
            store(load(x, t * x_row + j * lanes, tag), panel, (t * V + j) * lanes)


cdef inline void copy_vectors(const void* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t V, void* panel,
                              vector* tag) noexcept nogil:
    if VECTORS > 2 and V == 3:
        copy_rows(x, x_row, T, panel, tag, 3)
    elif V == 2:
        copy_rows(x, x_row, T, panel, tag, 2)
    else:
        copy_rows(x, x_row, T, panel, tag, 1)


cdef inline void pack(const floating* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t columns, Py_ssize_t width,
                      floating* panel) noexcept nogil:
    # panel[t width + j] = x[t x_row + j], 0 for j >= columns.
    cdef Py_ssize_t t
    if columns < width:
        for t in range(T):
            memcpy(panel + t * width, x + t * x_row, columns * sizeof(floating))
            memset(panel + t * width + columns, 0, (width - columns) * sizeof(floating))
    elif floating is float:
        copy_vectors[floats](x, x_row, T, width // lanes_of(panel), panel, NULL)
    else:
        copy_vectors[doubles](x, x_row, T, width // lanes_of(panel), panel, NULL)


cdef inline void pack_transposed(const floating* x, Py_ssize_t x_row, Py_ssize_t T, Py_ssize_t columns,
                                 Py_ssize_t width, floating* panel) noexcept nogil:
    # panel[t width + j] = x[j x_row + t], 0 for j >= columns.
    cdef Py_ssize_t lanes = lanes_of(panel), t, j = 0
    while j < width:
        t = 0
        while t < T:
            transpose(x + j * x_row + t, x_row, min_of(lanes, columns - j), min_of(lanes, T - t), panel + t * width + j,
                      width, lanes)
            t += lanes
        j += lanes
