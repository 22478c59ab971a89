# Affine layer: F1-F3 for one thread's share of the outputs, sums in registers over panels of packed columns.

from cython cimport floating

from ._dot cimport DOT_ROWS, dot_rows
from ._index cimport least, most
from ._panel cimport CACHE_LINE, TERMS, every_row, first_column, pack, pack_turned, padded
from ._shuffle cimport turn
from ._tile cimport PANEL, ROWS, VECTORS, block_ahead, panel_ahead, panel_block
from ._vector cimport VECTOR_BYTES, lanes_of

cdef enum:
    GROUP = 64  # outputs of a sample that are summed up in scratch memory before they are turned into Y
    PANELS = 2  # of samples, likewise
    FEW_TERMS = 32  # rows of w at a time where they are read as they lie
    FIRST_CACHE = 40960  # bytes of panels that are read again for every block of rows
    SECOND_CACHE = 262144  # likewise, where the outputs' order in memory counts more


cdef inline void pack_samples(const floating* Z, floating* packed, Py_ssize_t panel, Py_ssize_t N,
                              Py_ssize_t J) noexcept nogil:
    cdef Py_ssize_t n = first_column(panel, N, packed), width = first_column(panel + 1, N, packed) - n
    pack_turned(Z + n * J, J, J, least(width, N - n), width, packed)


cdef inline void Y_part(const floating* Z, const floating* w, const floating* b, floating* Y, Py_ssize_t N,
                        Py_ssize_t I, Py_ssize_t J, floating* shared, floating* own, floating* sums,
                        Py_ssize_t first_i, Py_ssize_t end_i, Py_ssize_t first_p, Py_ssize_t end_p) noexcept nogil:
    # F1 for the samples of some panels: sums[i - i_0][n - n_0], then turned. With shared = NULL they are packed here.
    cdef Py_ssize_t lanes = lanes_of(sums), row = PANELS * VECTORS * lanes
    cdef Py_ssize_t i_0, rows, p_0 = first_p, p, end_group, t_0, T, n_0, n, end_n, i, width
    cdef const floating* packed
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef Py_ssize_t where[TERMS]
    for i in range(VECTORS):
        every_row(taps[i], (i + 1) * lanes, J)
    for i in range(least(TERMS, J)):  # where w continues with the next rows
        where[i] = i * ROWS // TERMS * J + i % (TERMS // ROWS) * ROWS
    while p_0 < end_p:
        end_group = least(p_0 + PANELS, end_p)
        n_0 = first_column(p_0, N, sums)
        end_n = least(first_column(end_group, N, sums), N)
        if shared == NULL:
            for p in range(p_0, end_group):
                pack_samples(Z, own + (first_column(p, N, sums) - n_0) * J, p, N, J)
            packed = own
        else:
            packed = shared + n_0 * J
        i_0 = first_i
        while i_0 < end_i:
            rows = least(GROUP, end_i - i_0)
            t_0 = 0
            while t_0 < J:
                T = least(TERMS, J - t_0)
                i = 0
                while i < rows:
                    for p in range(p_0, end_group):
                        n = first_column(p, N, sums)
                        width = first_column(p + 1, N, sums) - n
                        panel_ahead(w + (i_0 + i) * J + t_0, 1, J, packed + (n - n_0) * J + t_0 * width,
                                    taps[width // lanes - 1], T, b + i_0 + i if t_0 == 0 else NULL,
                                    sums + i * row + n - n_0, row, width, least(ROWS, rows - i),
                                    w + (i_0 + i + (ROWS if p == p_0 else 0)) * J + t_0, where)
                    i += ROWS
                t_0 += T
            n = n_0
            while n < end_n:
                i = 0
                while i < rows:
                    turn(sums + i * row + n - n_0, row, least(lanes, rows - i), least(lanes, end_n - n),
                         Y + n * I + i_0 + i, I, least(lanes, rows - i))
                    i += lanes
                n += lanes
            i_0 += rows
        p_0 = end_group


cdef inline bint dots_pay(Py_ssize_t N, Py_ssize_t J, floating* kind) noexcept nogil:
    # Whether scalar products of rows take less time than blocks of packed samples: few samples leave lanes of a block
    # empty. But several rounds over w want all samples in the first cache.
    return (N * (J + 8 * lanes_of(kind)) < padded(N, kind) * J
            and (N <= DOT_ROWS or N * J * <Py_ssize_t>sizeof(floating) <= FIRST_CACHE))


cdef inline void dot_part(const floating* Z, const floating* w, const floating* b, floating* Y, Py_ssize_t N,
                          Py_ssize_t I, Py_ssize_t J, Py_ssize_t i, Py_ssize_t end_i) noexcept nogil:
    dot_rows(Z, w + i * J, b + i, Y + i, N, end_i - i, J, I)


cdef inline Py_ssize_t panels_within(Py_ssize_t cache, Py_ssize_t T, Py_ssize_t panels) noexcept nogil:
    # How many panels of T terms fit into so many bytes, but at least one.
    return least(panels, most(1, cache // (T * VECTORS * VECTOR_BYTES)))


cdef inline void dZ_part(const floating* Delta, const floating* w, floating* dZ, Py_ssize_t I, Py_ssize_t J,
                         floating* packed, Py_ssize_t first_n, Py_ssize_t end_n, Py_ssize_t first_p,
                         Py_ssize_t end_p) noexcept nogil:
    # F3 for some samples and panels of columns. Few samples are not worth a copy of w: it is read in whole rows then.
    cdef bint few = end_n - first_n <= 2 * ROWS
    cdef Py_ssize_t terms = least(I, FEW_TERMS if few else TERMS), lanes = lanes_of(packed)
    cdef Py_ssize_t group = end_p - first_p if few else panels_within(FIRST_CACHE, terms, end_p - first_p)
    cdef Py_ssize_t line = CACHE_LINE // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t p_0 = first_p, p, end_group, t_0, T, j_0, j, width, columns, n, k, tiles
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef Py_ssize_t where[TERMS]
    cdef const Py_ssize_t* x_rows
    cdef const floating* x
    cdef const floating* ahead
    cdef floating zeros[ROWS]
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        every_row(taps[k], (k + 1) * lanes, terms)
    every_row(where, J, terms)
    while p_0 < end_p:
        end_group = least(p_0 + group, end_p)
        j_0 = first_column(p_0, J, packed)
        t_0 = 0
        while t_0 < I:
            T = least(terms, I - t_0)
            tiles = 0
            n = first_n
            while n < end_n:
                for p in range(p_0, end_group):
                    j = first_column(p, J, packed)
                    width = first_column(p + 1, J, packed) - j
                    columns = least(width, J - j)
                    if few and columns == width:
                        x = w + t_0 * J + j
                        x_rows = &where[0]
                        ahead = x + T * J
                    else:
                        x = packed if few else packed + (j - j_0) * T
                        x_rows = &taps[width // lanes - 1][0]
                        if few or n == first_n:
                            pack(w + t_0 * J + j, J, T, columns, width, packed if few else packed + (j - j_0) * T)
                        ahead = w + t_0 * J + first_column(end_group, J, packed) + tiles * line
                    if PANEL > 0 and x_rows != &where[0]:
                        panel_block(Delta + n * I + t_0, 1, I, x, T, zeros if t_0 == 0 else NULL, dZ + n * J + j, J,
                                    columns, least(ROWS, end_n - n))
                    else:
                        block_ahead(Delta + n * I + t_0, 1, I, x, x_rows, T, zeros if t_0 == 0 else NULL,
                                    dZ + n * J + j, J, columns, least(ROWS, end_n - n), ahead, where)
                    tiles = tiles + 1 if tiles < group * VECTORS else 0
                n += ROWS
            t_0 += T
        p_0 = end_group


cdef inline void pack_columns(const floating* Z, floating* packed, Py_ssize_t panel, Py_ssize_t T,
                              Py_ssize_t J) noexcept nogil:
    cdef Py_ssize_t j = first_column(panel, J, packed), width = first_column(panel + 1, J, packed) - j
    pack(Z + j, J, T, least(width, J - j), width, packed)


cdef inline void pack_factors(const floating* Delta, Py_ssize_t I, Py_ssize_t T, Py_ssize_t rows,
                              floating* factors) noexcept nogil:
    cdef Py_ssize_t t, k
    for t in range(T):
        if rows == ROWS:
            for k in range(ROWS):
                factors[t * ROWS + k] = Delta[t * I + k]
        else:
            for k in range(rows):
                factors[t * ROWS + k] = Delta[t * I + k]


cdef inline void dw_part(const floating* Delta, const floating* Z, floating* dw, Py_ssize_t N, Py_ssize_t I,
                         Py_ssize_t J, floating* shared, floating* own, Py_ssize_t first_i, Py_ssize_t end_i,
                         Py_ssize_t first_p, Py_ssize_t end_p) noexcept nogil:
    # F2 for some rows and panels of dw. With shared = NULL its panels of Z are packed here.
    cdef Py_ssize_t lanes = lanes_of(dw), group = panels_within(SECOND_CACHE, least(N, TERMS), end_p - first_p)
    cdef Py_ssize_t p_0 = first_p, p, end_group, t_0, T, t, i, j_0, j, width, k, rows
    cdef Py_ssize_t taps[VECTORS][TERMS]
    cdef Py_ssize_t where[TERMS]
    cdef floating factors[TERMS * ROWS]
    cdef floating zeros[ROWS]
    cdef const floating* x
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        every_row(taps[k], (k + 1) * lanes, N)
    for t in range(least(TERMS, N)):  # where the next outputs go
        where[t] = t % ROWS * J + t // ROWS % (VECTORS + 1) * (CACHE_LINE // <Py_ssize_t>sizeof(floating))
    while p_0 < end_p:
        end_group = least(p_0 + group, end_p)
        j_0 = first_column(p_0, J, dw)
        t_0 = 0
        while t_0 < N:
            T = least(TERMS, N - t_0)
            if shared == NULL:
                for p in range(p_0, end_group):
                    pack_columns(Z + t_0 * J, own + (first_column(p, J, dw) - j_0) * T, p, T, J)
            i = first_i
            while i < end_i:
                rows = least(ROWS, end_i - i)
                pack_factors(Delta + t_0 * I + i, I, T, rows, factors)
                for p in range(p_0, end_group):
                    j = first_column(p, J, dw)
                    width = first_column(p + 1, J, dw) - j
                    x = own + (j - j_0) * T if shared == NULL else shared + j * N + t_0 * width
                    panel_ahead(factors, ROWS, 1, x, taps[width // lanes - 1], T, zeros if t_0 == 0 else NULL,
                                dw + i * J + j, J, least(width, J - j), rows, dw + i * J + j + width, where)
                i += ROWS
            t_0 += T
        p_0 = end_group
