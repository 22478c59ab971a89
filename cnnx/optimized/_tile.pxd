# Sums of products, the heart of convolution and affine alike: a block of outputs stays in registers while all its
# terms are added up.

from cython cimport floating
from libc.string cimport memcpy

from ._ahead cimport fetch, fetch_near
from ._index cimport up
from ._vector cimport doubles, floats, kept, lanes_in, multiply_add, product, size_of, spread, vector, vector_at

cdef extern from *:
    """
    #if defined(__AVX512F__)  /* 32 registers: 24 sums, 3 columns, a factor */
    #define CNNX_ROWS 8
    #define CNNX_VECTORS 3
    #define CNNX_PANEL 0
    #elif defined(__AVX2__)  /* 16: 12 sums */
    #define CNNX_ROWS 4
    #define CNNX_VECTORS 3
    #elif defined(__aarch64__)  /* 32 */
    #define CNNX_ROWS 8
    #define CNNX_VECTORS 3
    #else  /* 16, and a product needs a register of its own: 8 sums */
    #define CNNX_ROWS 4
    #define CNNX_VECTORS 2
    #endif
    #ifndef CNNX_PANEL
    #define CNNX_PANEL 57344
    #endif
    """
    enum:
        ROWS "CNNX_ROWS"  # of a full block
        VECTORS "CNNX_VECTORS"  # of a full block's row
        # Bytes of a block's columns that had better be put side by side before several blocks of rows read them; 0 if
        # they are best read where they lie.
        PANEL "CNNX_PANEL"


cdef enum:
    AHEAD = 8  # taps: so much sooner a full block calls its columns into the nearest cache, where they make no panel
    FAR_AHEAD = 32  # likewise where they become a panel: from memory, but once for many blocks


cdef enum Columns:
    AT_TAPS  # of x, each term for itself
    IN_PANEL  # side by side, term after term
    FOR_PANEL  # at taps, and put side by side


cdef inline void tile(const void* w, Py_ssize_t w_t, Py_ssize_t w_k, const void* x, const Py_ssize_t* taps,
                      Py_ssize_t T, const void* start, void* Y, Py_ssize_t y_k, Py_ssize_t width,
                      const void* ahead, const Py_ssize_t* where, void* panel, vector* kind, int M, int V,
                      Columns columns_are) noexcept nogil:
    # block_ahead(), panel_block() or panel_filling() for M rows of V vectors: constants wherever this is called.
    cdef vector a[ROWS][2 * VECTORS]
    cdef vector columns[2 * VECTORS]
    cdef vector column
    cdef vector factors[ROWS]
    cdef vector edge[ROWS]  # the last vectors where they are not whole: a call of memcpy would move all sums out
    cdef Py_ssize_t size = size_of(kind), lanes = lanes_in(kind), last = (V - 1) * lanes, t
    cdef bint whole = width == V * lanes
    cdef int k, j
    if start != NULL:
        for k in range(M):
            for j in range(V):
                a[k][j] = spread(start, k, kind)
    else:
        if not whole:
            for k in range(M):
                edge[k] = spread(w, 0, kind)
                memcpy(&edge[k], vector_at(Y, k * y_k + last, kind), (width - last) * size)
        for k in range(M):
            for j in range(V - 1):
                a[k][j] = vector_at(Y, k * y_k + j * lanes, kind)[0]
            a[k][V - 1] = vector_at(Y, k * y_k + last, kind)[0] if whole else edge[k]
    for t in range(0 if columns_are == AT_TAPS else T):
        if columns_are == FOR_PANEL and t + FAR_AHEAD < T:
            for j in range(V):
                fetch_near(vector_at(x, taps[t + FAR_AHEAD] + j * lanes, kind))
        for j in range(V):
            columns[j] = vector_at(x, (taps[t] if columns_are == FOR_PANEL else t * V * lanes) + j * lanes, kind)[0]
            if columns_are == FOR_PANEL:
                vector_at(panel, (t * V + j) * lanes, kind)[0] = columns[j]
        for k in range(M):
            factors[k] = kept(spread(w, t * w_t + k * w_k, kind))
            for j in range(V):
                a[k][j] = product(a[k][j], factors[k], columns[j])
    for t in range(T if columns_are == AT_TAPS else 0):
        if V <= VECTORS:
            for j in range(V):
                columns[j] = vector_at(x, taps[t] + j * lanes, kind)[0]
        if ahead != NULL:
            fetch(vector_at(ahead, where[t], kind))
        if PANEL == 0 and M == ROWS and t + AHEAD < T:
            for j in range(V):
                fetch_near(vector_at(x, taps[t + AHEAD] + j * lanes, kind))
        if V <= VECTORS:
            for k in range(M):
                for j in range(V):
                    a[k][j] = multiply_add(a[k][j], w, t * w_t + k * w_k, columns[j])
        else:  # fewer registers for the factors than for the columns
            for k in range(M):
                factors[k] = kept(spread(w, t * w_t + k * w_k, kind))
            for j in range(V):
                column = kept(vector_at(x, taps[t] + j * lanes, kind)[0])
                for k in range(M):
                    a[k][j] = product(a[k][j], factors[k], column)
    for k in range(M):
        for j in range(V - 1):
            vector_at(Y, k * y_k + j * lanes, kind)[0] = a[k][j]
        if whole:
            vector_at(Y, k * y_k + last, kind)[0] = a[k][V - 1]
        else:
            edge[k] = a[k][V - 1]
    if not whole:
        for k in range(M):
            memcpy(vector_at(Y, k * y_k + last, kind), &edge[k], (width - last) * size)


cdef inline void rows(const void* w, Py_ssize_t w_t, Py_ssize_t w_k, const void* x, const Py_ssize_t* taps,
                      Py_ssize_t T, const void* start, void* Y, Py_ssize_t y_k, Py_ssize_t width,
                      const void* ahead, const Py_ssize_t* where, void* panel, vector* kind, int M,
                      Columns columns_are) noexcept nogil:
    cdef Py_ssize_t V = up(width, lanes_in(kind))
    cdef bint wide = 2 * M <= ROWS and columns_are == AT_TAPS
    if VECTORS == 3 and wide and V == 6:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 6, columns_are)
    elif VECTORS == 3 and wide and V == 5:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 5, columns_are)
    elif wide and V == 4:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 4, columns_are)
    elif (VECTORS == 3 or wide) and V == 3:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 3, columns_are)
    elif V == 2:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 2, columns_are)
    else:
        tile(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, M, 1, columns_are)


cdef inline void block_of(const void* w, Py_ssize_t w_t, Py_ssize_t w_k, const void* x, const Py_ssize_t* taps,
                          Py_ssize_t T, const void* start, void* Y, Py_ssize_t y_k, Py_ssize_t width,
                          const void* ahead, const Py_ssize_t* where, void* panel, vector* kind, int M,
                          Columns columns_are) noexcept nogil:
    if ROWS == 8 and M == 8:
        rows(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, 8, columns_are)
    elif M == 4:
        rows(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, 4, columns_are)
    elif M == 3:
        rows(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, 3, columns_are)
    elif M == 2:
        rows(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, 2, columns_are)
    else:
        rows(w, w_t, w_k, x, taps, T, start, Y, y_k, width, ahead, where, panel, kind, 1, columns_are)


cdef inline void blocks(const floating* w, Py_ssize_t w_t, Py_ssize_t w_k, const floating* x, const Py_ssize_t* taps,
                        Py_ssize_t T, const floating* start, floating* Y, Py_ssize_t y_k, Py_ssize_t width,
                        Py_ssize_t K, const floating* ahead, const Py_ssize_t* where,
                        Columns columns_are) noexcept nogil:
    # ROWS rows at a time.
    cdef Py_ssize_t k = 0
    cdef int M
    while k < K:
        M = <int>(K - k)
        if M > ROWS:
            M = ROWS
        elif M > 4 and M < 8:
            M = 3 if M != 7 else 4
        if floating is float:
            block_of[floats](w + k * w_k, w_t, w_k, x, taps, T, start + k if start != NULL else NULL,
                             Y + k * y_k, y_k, width, ahead, where, NULL, NULL, M, columns_are)
        else:
            block_of[doubles](w + k * w_k, w_t, w_k, x, taps, T, start + k if start != NULL else NULL,
                              Y + k * y_k, y_k, width, ahead, where, NULL, NULL, M, columns_are)
        k += M


cdef inline void block_ahead(const floating* w, Py_ssize_t w_t, Py_ssize_t w_k, const floating* x,
                             const Py_ssize_t* taps, Py_ssize_t T, const floating* start, floating* Y, Py_ssize_t y_k,
                             Py_ssize_t width, Py_ssize_t K, const floating* ahead,
                             const Py_ssize_t* where) noexcept nogil:
    # Y[k y_k + j] = start[k] + sum_{t < T} w[t w_t + k w_k] x[taps[t] + j], for k < K and j < width.
    # With start = NULL the sum is added to what Y holds. width is at most VECTORS vectors, or twice as many if K is at
    # most half of ROWS. Terms are added in the order of t. x is read in whole vectors: up to a vector less one number
    # beyond its last column. Meanwhile the cache lines of ahead[where[t]] are fetched for what comes next, one with
    # each term; none if ahead is NULL.
    blocks(w, w_t, w_k, x, taps, T, start, Y, y_k, width, K, ahead, where, AT_TAPS)


cdef inline void panel_block(const floating* w, Py_ssize_t w_t, Py_ssize_t w_k, const floating* x, Py_ssize_t T,
                             const floating* start, floating* Y, Py_ssize_t y_k, Py_ssize_t width,
                             Py_ssize_t K) noexcept nogil:
    # The same for at most VECTORS vectors whose terms follow one another, x[t V + j] in whole vectors: fewer
    # instructions beside the products than with taps, and memory that the processor sees coming.
    blocks(w, w_t, w_k, x, NULL, T, start, Y, y_k, width, K, NULL, NULL, IN_PANEL)


cdef inline void panel_filling(const floating* w, Py_ssize_t w_t, Py_ssize_t w_k, const floating* x,
                               const Py_ssize_t* taps, Py_ssize_t T, const floating* start, floating* Y,
                               Py_ssize_t y_k, Py_ssize_t width, floating* panel) noexcept nogil:
    # The same for ROWS rows and columns at taps, which become the panel: in the shade of the products this takes next
    # to no time.
    if floating is float:
        rows[floats](w, w_t, w_k, x, taps, T, start, Y, y_k, width, NULL, NULL, panel, NULL, ROWS, FOR_PANEL)
    else:
        rows[doubles](w, w_t, w_k, x, taps, T, start, Y, y_k, width, NULL, NULL, panel, NULL, ROWS, FOR_PANEL)


cdef inline void panel_ahead(const floating* w, Py_ssize_t w_t, Py_ssize_t w_k, const floating* x,
                             const Py_ssize_t* taps, Py_ssize_t T, const floating* start, floating* Y, Py_ssize_t y_k,
                             Py_ssize_t width, Py_ssize_t K, const floating* ahead,
                             const Py_ssize_t* where) noexcept nogil:
    # Either of them, for a panel whose terms lie at `taps`: with few registers the products leave no room for fetches.
    if PANEL > 0:
        panel_block(w, w_t, w_k, x, T, start, Y, y_k, width, K)
    else:
        block_ahead(w, w_t, w_k, x, taps, T, start, Y, y_k, width, K, ahead, where)
