# Affine layer: F1-F3 for one thread's share of the outputs, by register blocks over panels of packed columns.

from cython cimport floating
from libc.string cimport memcpy

from .microkernel.multiply_accumulate cimport (
    IN_ROWS, INDIRECT, INTERLEAVED, MAX_ROWS, ROWS, VECTORS, Next, Operands, panel_layout,
)
from .microkernel.table cimport Microkernels, multiply_accumulate
from .pack.panel cimport TERMS, fill_taps, first_column, pack, pack_transposed, padded
from .runtime.integers cimport Span, max_of, min_of, times
from .runtime.memory cimport CACHE_LINE, SCRATCH
from .simd.shuffle cimport transpose
from .simd.vector cimport VECTOR_BYTES, lanes_of

cdef enum:
    GROUP = 64  # outputs of a sample that are summed up in scratch memory before they are transposed into Y
    PANELS = 2  # of samples, likewise
    FEW_TERMS = 32  # rows of w at a time where they are read as they lie
    FIRST_CACHE = 40960  # bytes of panels that are read again for every block of rows
    SECOND_CACHE = 262144  # likewise, where the outputs' order in memory counts more


cdef struct Shape:
    # Of the layer: samples, outputs, inputs.
    Py_ssize_t N, I, J


cdef struct Tables:
    # Of a part: offsets of terms for each width of a panel, offsets of what comes next, and factors of a block of rows.
    Py_ssize_t* taps
    Py_ssize_t* next
    void* factors


cdef inline Py_ssize_t tables_size(floating* tag) noexcept nogil:
    # Numbers of a part's Tables: too many for the stack of a thread that was given a small one.
    return (((VECTORS + 1) * TERMS * <Py_ssize_t>sizeof(Py_ssize_t) + ROWS * TERMS * <Py_ssize_t>sizeof(floating))
            // <Py_ssize_t>sizeof(floating))


cdef inline Tables tables_at(floating* memory) noexcept nogil:
    cdef Py_ssize_t* offsets = <Py_ssize_t*>memory
    return Tables(offsets, offsets + VECTORS * TERMS, offsets + (VECTORS + 1) * TERMS)


cdef inline bint too_large(Py_ssize_t numbers, floating* tag) noexcept nogil:
    # Of a copy: for the scratch memory of a thread.
    return times(numbers, sizeof(floating)) > SCRATCH // 2


cdef inline void pack_samples(const floating* Z, floating* packed, Py_ssize_t panel, Py_ssize_t N,
                              Py_ssize_t J, Py_ssize_t T) noexcept nogil:
    # T terms of a panel; Z: the first sample's, from the first of them on.
    cdef Py_ssize_t n = first_column(panel, N, packed), width = first_column(panel + 1, N, packed) - n
    pack_transposed(Z + n * J, J, T, min_of(width, N - n), width, packed)


cdef inline void Y_part(const Microkernels* kernels, const floating* Z, const floating* w, const floating* b,
                        floating* Y, const Shape* g, floating* shared, floating* own, Py_ssize_t at_once,
                        floating* memory, Span I, Span panels) noexcept nogil:
    # F1 for the samples of some panels: sums[i - i_0][n - n_0], then transposed. With shared = NULL they are packed
    # here: all J terms, or at_once = TERMS for every group of outputs anew, where J are too many. memory: tables, sums.
    # With b = NULL what is summed is added to Y.
    cdef floating* sums = memory + tables_size(memory)
    cdef Py_ssize_t lanes = lanes_of(sums), row = PANELS * VECTORS * lanes, N = g.N, J = g.J
    cdef Py_ssize_t i_0, rows, p_0 = panels.first, p, end_group, t_0, n_0, n, end_n, i, T, M = ROWS
    cdef bint anew = shared == NULL and at_once < J
    cdef const floating* packed
    cdef Tables tables = tables_at(memory)
    cdef Operands o
    cdef Next next
    for i in range(VECTORS):
        fill_taps(tables.taps + i * TERMS, (i + 1) * lanes, J)
    for i in range(min_of(TERMS, J)):  # where w continues with the next rows
        tables.next[i] = i * ROWS // TERMS * J + i % (TERMS // ROWS) * ROWS
    next.offsets = tables.next
    o.stride, o.y_stride = J, row
    if N <= lanes:
        M = MAX_ROWS
    while p_0 < panels.end:
        end_group = min_of(p_0 + PANELS, panels.end)
        n_0 = first_column(p_0, N, sums)
        end_n = min_of(first_column(end_group, N, sums), N)
        T = TERMS if anew else J
        packed = own if shared == NULL else shared + n_0 * J
        for p in range(p_0, end_group if shared == NULL and not anew else p_0):
            pack_samples(Z, own + (first_column(p, N, sums) - n_0) * J, p, N, J, J)
        i_0 = I.first
        while i_0 < I.end:
            rows = min_of(GROUP, I.end - i_0)
            n = n_0
            while b == NULL and n < end_n:
                i = 0
                while i < rows:
                    transpose(Y + n * g.I + i_0 + i, g.I, min_of(lanes, end_n - n), min_of(lanes, rows - i),
                              sums + i * row + n - n_0, row, lanes)
                    i += lanes
                n += lanes
            t_0 = 0
            while t_0 < J:
                o.T = min_of(TERMS, J - t_0)
                for p in range(p_0, end_group if anew else p_0):
                    pack_samples(Z + t_0, own + (first_column(p, N, sums) - n_0) * T, p, N, J, o.T)
                i = 0
                while i < rows:
                    o.rows = min_of(M, rows - i)
                    o.w = w + (i_0 + i) * J + t_0
                    o.start = b + i_0 + i if t_0 == 0 and b != NULL else NULL
                    for p in range(p_0, end_group):
                        n = first_column(p, N, sums)
                        o.width = first_column(p + 1, N, sums) - n
                        o.x = packed + (n - n_0) * T + (0 if anew else t_0 * o.width)
                        o.taps = tables.taps + (o.width // lanes - 1) * TERMS
                        o.Y = sums + i * row + n - n_0
                        next.x = w + (i_0 + i + (M if p == p_0 else 0)) * J + t_0
                        multiply_accumulate(kernels, IN_ROWS, panel_layout(), &o, &next, w)
                    i += M
                t_0 += o.T
            n = n_0
            while n < end_n:
                i = 0
                while i < rows:
                    transpose(sums + i * row + n - n_0, row, min_of(lanes, rows - i), min_of(lanes, end_n - n),
                              Y + n * g.I + i_0 + i, g.I, min_of(lanes, rows - i))
                    i += lanes
                n += lanes
            i_0 += rows
        p_0 = end_group


cdef inline Py_ssize_t few_size(floating* tag) noexcept nogil:
    # Numbers of memory that a part of Y_few takes.
    return tables_size(tag) + TERMS * VECTORS * lanes_of(tag)


cdef inline void Y_few(const Microkernels* kernels, const floating* Z, const floating* w, const floating* b,
                       floating* Y, const Shape* g, bint packed, floating* memory, Span panels) noexcept nogil:
    # F1 for samples that would leave lanes empty: outputs are the columns, in panels of w transposed, and samples the
    # rows. A sum is the same, term by term. packed: w is such panels, with all their terms, one after the other.
    cdef Py_ssize_t N = g.N, I = g.I, J = g.J, lanes = lanes_of(memory), p, i, n, width, columns, k  # no-cython-lint
    cdef Tables tables = tables_at(memory)
    cdef floating* panel = memory + tables_size(memory)
    cdef Operands o
    cdef Next next = Next(NULL, tables.next)
    for k in range(VECTORS):
        fill_taps(tables.taps + k * TERMS, (k + 1) * lanes, J)
    o.x, o.start, o.stride, o.y_stride = panel, NULL, J, I
    for p in range(panels.first, panels.end):
        i = first_column(p, I, panel)
        width = first_column(p + 1, I, panel) - i
        columns = min_of(width, I - i)
        o.taps, o.width = tables.taps + (width // lanes - 1) * TERMS, columns
        for n in range(N):
            memcpy(Y + n * I + i, b + i, columns * sizeof(floating))
        k = 0
        while k < J:
            o.T = min_of(TERMS, J - k)
            if packed:
                o.x = w + i * J + k * width
                next = Next(<const floating*>o.x + o.T * width, o.taps)  # a line of each of the next terms
            else:
                pack_transposed(w + i * J + k, J, o.T, columns, width, panel)
            n = 0
            while n < N:
                o.w, o.rows, o.Y = Z + n * J + k, min_of(ROWS, N - n), Y + n * I + i
                multiply_accumulate(kernels, IN_ROWS, panel_layout(), &o, &next, w)
                n += ROWS
            k += o.T


cdef inline Py_ssize_t panels_within(Py_ssize_t cache, Py_ssize_t T, Py_ssize_t panels) noexcept nogil:
    # How many panels of T terms fit into so many bytes, but at least one.
    return min_of(panels, max_of(1, cache // (T * VECTORS * VECTOR_BYTES)))


cdef inline void dZ_part(const Microkernels* kernels, const floating* Delta, const floating* w, floating* dZ,
                         const Shape* g, floating* memory, Span N, Span panels) noexcept nogil:
    # F3 for some samples and panels of columns. Few samples are not worth a copy of w: it is read in whole rows then.
    cdef bint few = N.end - N.first <= 2 * ROWS, as_it_lies
    cdef Py_ssize_t I = g.I, J = g.J, lanes = lanes_of(memory)  # no-cython-lint
    cdef Py_ssize_t terms = min_of(I, FEW_TERMS if few else TERMS)
    cdef Py_ssize_t group = panels.end - panels.first
    cdef Py_ssize_t line = CACHE_LINE // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t p_0 = panels.first, p, end_group, t_0, T, j_0, j, width, n, k, tiles
    cdef Tables tables = tables_at(memory)
    cdef floating* packed = memory + tables_size(memory)
    cdef floating zeros[ROWS]
    cdef floating* panel
    cdef Operands o
    cdef Next next
    if not few:
        group = panels_within(FIRST_CACHE, terms, group)
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        fill_taps(tables.taps + k * TERMS, (k + 1) * lanes, terms)
    fill_taps(tables.next, J, terms)
    o.stride, o.y_stride, next.offsets = I, J, tables.next
    while p_0 < panels.end:
        end_group = min_of(p_0 + group, panels.end)
        j_0 = first_column(p_0, J, packed)
        t_0 = 0
        while t_0 < I:
            T = min_of(terms, I - t_0)
            tiles = 0
            o.T, o.start = T, zeros if t_0 == 0 else NULL
            n = N.first
            while n < N.end:
                o.w, o.rows = Delta + n * I + t_0, min_of(ROWS, N.end - n)
                for p in range(p_0, end_group):
                    j = first_column(p, J, packed)
                    width = first_column(p + 1, J, packed) - j
                    o.width, o.Y = min_of(width, J - j), dZ + n * J + j
                    as_it_lies = few and o.width == width
                    if as_it_lies:
                        o.x, o.taps = w + t_0 * J + j, tables.next
                        next.x = w + (t_0 + T) * J + j
                    else:
                        panel = packed if few else packed + (j - j_0) * T
                        if few or n == N.first:
                            pack(w + t_0 * J + j, J, T, o.width, width, panel)
                        o.x, o.taps = panel, tables.taps + (width // lanes - 1) * TERMS
                        next.x = w + t_0 * J + first_column(end_group, J, packed) + tiles * line
                    multiply_accumulate(kernels, IN_ROWS, INDIRECT if as_it_lies else panel_layout(), &o, &next, w)
                    tiles = tiles + 1 if tiles < group * VECTORS else 0
                n += ROWS
            t_0 += T
        p_0 = end_group


cdef inline void pack_columns(const floating* Z, floating* packed, Py_ssize_t panel, Py_ssize_t T,
                              Py_ssize_t J) noexcept nogil:
    cdef Py_ssize_t j = first_column(panel, J, packed), width = first_column(panel + 1, J, packed) - j
    pack(Z + j, J, T, min_of(width, J - j), width, packed)


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


cdef inline void dw_part(const Microkernels* kernels, const floating* Delta, const floating* Z, floating* dw,
                         const Shape* g, floating* shared, floating* memory, Span rows, Span panels,
                         bint add) noexcept nogil:
    # F2 for some rows and panels of dw, or with `add` added to it. With shared = NULL its panels of Z are packed here.
    # memory: tables, panels.
    cdef Py_ssize_t N = g.N, I = g.I, J = g.J, lanes = lanes_of(dw)  # no-cython-lint
    cdef Py_ssize_t group = panels_within(SECOND_CACHE, min_of(N, TERMS), panels.end - panels.first)
    cdef Py_ssize_t p_0 = panels.first, p, end_group, t_0, T, t, i, j_0, j, width, k
    cdef Tables tables = tables_at(memory)
    cdef floating* factors = <floating*>tables.factors
    cdef floating* own = memory + tables_size(memory)
    cdef floating zeros[ROWS]
    cdef Operands o
    cdef Next next
    for k in range(ROWS):
        zeros[k] = 0
    for k in range(VECTORS):
        fill_taps(tables.taps + k * TERMS, (k + 1) * lanes, N)
    for t in range(min_of(TERMS, N)):  # where the next outputs go
        tables.next[t] = t % ROWS * J + t // ROWS % (VECTORS + 1) * (CACHE_LINE // <Py_ssize_t>sizeof(floating))
    next.offsets = tables.next
    o.w, o.stride, o.y_stride = factors, ROWS, J
    while p_0 < panels.end:
        end_group = min_of(p_0 + group, panels.end)
        j_0 = first_column(p_0, J, dw)
        t_0 = 0
        while t_0 < N:
            T = min_of(TERMS, N - t_0)
            o.T, o.start = T, zeros if t_0 == 0 and not add else NULL
            if shared == NULL:
                for p in range(p_0, end_group):
                    pack_columns(Z + t_0 * J, own + (first_column(p, J, dw) - j_0) * T, p, T, J)
            i = rows.first
            while i < rows.end:
                o.rows = min_of(ROWS, rows.end - i)
                pack_factors(Delta + t_0 * I + i, I, T, o.rows, factors)
                for p in range(p_0, end_group):
                    j = first_column(p, J, dw)
                    width = first_column(p + 1, J, dw) - j
                    o.x = own + (j - j_0) * T
                    if shared != NULL:
                        o.x = shared + j * N + t_0 * width
                    o.taps = tables.taps + (width // lanes - 1) * TERMS
                    o.Y, o.width = dw + i * J + j, min_of(width, J - j)
                    next.x = dw + i * J + j + width
                    multiply_accumulate(kernels, INTERLEAVED, panel_layout(), &o, &next, Z)
                i += ROWS
            t_0 += T
        p_0 = end_group
