# The micro-kernel of convolution, affine and Winograd (C1, C5, F1-F3, W3's sum over c): a register block of M rows by V
# vectors of outputs stays in registers while all its terms are added up. ROWS and VECTORS times a vector's lanes are
# what BLIS calls MR and NR. _microkernels.pyx compiles it, once per instruction set.
#
# The accumulators are a local array, which gcc keeps in registers as long as all its indices are constants after
# unrolling and no address of it is taken.

from libc.string cimport memcpy

from ..simd.masks cimport MASKED, lanes as some_lanes, lanes_between, load_lanes, store_lanes
from ..simd.prefetch cimport prefetch_l1, prefetch_l2
from ..simd.vector cimport (
    broadcast, doubles, floats, fma, fma_broadcast, in_register, lanes_in, load, make_opaque, size_of, store, vector,
    vector_at,
)

cdef extern from *:
    """
    #if CNNX_REGISTERS == 32  /* 24 accumulators, 3 columns, a weight */
    #define CNNX_ROWS 8
    #define CNNX_VECTORS 3
    #elif CNNX_FMA  /* 16: 12 accumulators */
    #define CNNX_ROWS 4
    #define CNNX_VECTORS 3
    #else  /* 16, and a product needs a register of its own: 8 accumulators */
    #define CNNX_ROWS 4
    #define CNNX_VECTORS 2
    #endif
    #if CNNX_BYTES == 64
    #define CNNX_PANEL 0
    #else
    #define CNNX_PANEL 57344
    #endif
    _Static_assert((CNNX_ROWS == 4 || CNNX_ROWS == 8) && CNNX_VECTORS >= 2 && CNNX_VECTORS <= 3,
                   "another tile size needs register blocks of its own: rows and vectors in _microkernels.pyx, "
                   "register_block and multiply_accumulate() in table.pxd, copy_vectors() in panel.pxd");
    """
    enum:
        ROWS "CNNX_ROWS"  # of a full register block
        VECTORS "CNNX_VECTORS"  # of a full register block's row
        # Bytes of a packed panel of columns (BLIS's micro-panel of B) that several register blocks read; 0: columns are
        # best read where they lie, and no kernel for packed ones is compiled.
        PANEL "CNNX_PANEL"


cdef enum:
    MAX_ROWS = 8  # of any block: of one vector of packed columns, fewer accumulators would wait for each other
    TERMS_AHEAD = 8  # a full block prefetches its columns so many terms ahead, where they are not packed
    FEW_TERMS = 160  # whose columns stay in the first cache while the row blocks pass by
    TERMS_AHEAD_PACKING = 32  # and so many where it packs them: from memory, but once for many blocks


cdef enum:  # w_is, how w lies: a constant wherever this is called, like x_is
    IN_ROWS  # w[k stride + t]
    INTERLEAVED  # w[t stride + k]


cdef enum:  # x_is, how x lies
    INDIRECT  # x[taps[t] + j]
    PACKED  # x[t V + j], V whole vectors
    PACK_WHILE_USED  # INDIRECT, and left in `panel` as PACKED: the stores overlap with the FMAs, so it is nearly free.
    #                  For ROWS rows.


cdef inline int panel_layout() noexcept nogil:
    # PACKED where there are kernels for it: with few registers the products leave no room for INDIRECT's offsets.
    return PACKED if PANEL > 0 else INDIRECT


cdef struct Operands:
    # Y[k, j] = start[k] + sum_{t < T} w[k, t] x[t, j] for k < rows, j < width. Terms are added in the order of t.
    # width is at most VECTORS vectors, or twice as many if rows is at most half of ROWS and columns are INDIRECT.
    # x is read in whole vectors: up to a vector less one number beyond its last column.
    const void* w
    Py_ssize_t stride  # of w
    const void* x
    const Py_ssize_t* taps  # NULL for PACKED columns
    Py_ssize_t T
    const void* start  # NULL: the sum is added to what Y holds
    void* Y
    Py_ssize_t y_stride  # from a row of Y to the next one
    Py_ssize_t rows, width
    void* panel


cdef struct Next:
    # What comes next: the cache line of x[offsets[t]] is prefetched with term t. x = NULL: nothing is.
    const void* x
    const Py_ssize_t* offsets


cdef inline bint exists(int w_is, int x_is, Py_ssize_t M, Py_ssize_t V) noexcept nogil:
    # Whether there is a register block of M rows by V vectors: its accumulators have to fit the registers, and what 1
    # to 4 rows can do together needs no block of 5, 6 or 7.
    if M > 4 and M != ROWS:
        return M == MAX_ROWS and V == 1 and w_is == IN_ROWS and x_is == PACKED
    if x_is == INDIRECT:
        return M <= ROWS and V <= (2 * VECTORS if 2 * M <= ROWS else VECTORS)
    return PANEL > 0 and V <= VECTORS and (M == ROWS or (M < ROWS and x_is == PACKED))


cdef inline void register_block(const Operands* o, const Next* next, vector* tag, int M, int V, int w_is,
                                int x_is) noexcept nogil:
    # M rows of V vectors. M, V, w_is and x_is are constants wherever this is called.
    cdef vector a[MAX_ROWS][2 * VECTORS]
    cdef vector column[2 * VECTORS]
    cdef vector factor[MAX_ROWS]
    # Not MASKED: the last vectors where they are not whole; a call of memcpy would move all sums out.
    cdef vector edge[MAX_ROWS]
    cdef vector x_j
    cdef some_lanes left
    cdef Py_ssize_t lanes = lanes_in(tag), last = (V - 1) * lanes, t, T, prefetching, w_t, w_k
    cdef Py_ssize_t y_k = o.y_stride, width = o.width
    cdef void* Y = o.Y
    cdef const void* w = o.w
    cdef const void* x
    cdef const void* next_x
    cdef const Py_ssize_t* taps
    cdef const Py_ssize_t* next_offsets
    cdef void* panel
    cdef int k, j
    if o.start != NULL:
        for k in range(M):
            for j in range(V):
                a[k][j] = broadcast(o.start, k, tag)
    elif width == V * lanes:
        for k in range(M):
            for j in range(V):
                a[k][j] = load(Y, k * y_k + j * lanes, tag)
    elif MASKED:
        left = lanes_between(0, width - last, tag)
        for k in range(M):
            for j in range(V - 1):
                a[k][j] = load(Y, k * y_k + j * lanes, tag)
            a[k][V - 1] = load_lanes(Y, k * y_k + last, left, tag)
    else:
        for k in range(M):
            edge[k] = broadcast(w, 0, tag)
            memcpy(&edge[k], vector_at(Y, k * y_k + last, tag), (width - last) * size_of(tag))
        for k in range(M):
            for j in range(V - 1):
                a[k][j] = load(Y, k * y_k + j * lanes, tag)
            a[k][V - 1] = edge[k]
    make_opaque(o)  # Y and its strides are read again behind the loop: it needs their registers
    w, x, T, taps, panel, next_x, next_offsets = o.w, o.x, o.T, o.taps, o.panel, next.x, next.offsets
    prefetching = T - TERMS_AHEAD if T > FEW_TERMS else 0
    w_t = o.stride if w_is == INTERLEAVED else 1
    w_k = 1 if w_is == INTERLEAVED else o.stride
    for t in range(0 if x_is == INDIRECT else T):
        if x_is == PACK_WHILE_USED and t + TERMS_AHEAD_PACKING < T:
            for j in range(V):
                prefetch_l1(vector_at(x, taps[t + TERMS_AHEAD_PACKING] + j * lanes, tag))
        for j in range(V):
            column[j] = load(x, (taps[t] if x_is == PACK_WHILE_USED else t * V * lanes) + j * lanes, tag)
            if x_is == PACK_WHILE_USED:
                store(column[j], panel, (t * V + j) * lanes)
        for k in range(M):
            factor[k] = in_register(broadcast(w, t * w_t + k * w_k, tag))
            for j in range(V):
                a[k][j] = fma(a[k][j], factor[k], column[j])
    for t in range(T if x_is == INDIRECT else 0):
        if V <= VECTORS:
            for j in range(V):
                column[j] = load(x, taps[t] + j * lanes, tag)
        if next_x != NULL:
            prefetch_l2(vector_at(next_x, next_offsets[t], tag))
        if PANEL == 0 and M == ROWS and t < prefetching:
            for j in range(V):
                prefetch_l1(vector_at(x, taps[t + TERMS_AHEAD] + j * lanes, tag))
        if V <= VECTORS:
            for k in range(M):
                for j in range(V):
                    a[k][j] = fma_broadcast(a[k][j], w, t * w_t + k * w_k, column[j])
        else:  # fewer registers for the weights than for the columns
            for k in range(M):
                factor[k] = in_register(broadcast(w, t * w_t + k * w_k, tag))
            for j in range(V):
                x_j = in_register(load(x, taps[t] + j * lanes, tag))
                for k in range(M):
                    a[k][j] = fma(a[k][j], factor[k], x_j)
    make_opaque(o)
    Y, y_k, width = o.Y, o.y_stride, o.width
    if width == V * lanes:
        for k in range(M):
            for j in range(V):
                store(a[k][j], Y, k * y_k + j * lanes)
    elif MASKED:
        left = lanes_between(0, width - last, tag)
        for k in range(M):
            for j in range(V - 1):
                store(a[k][j], Y, k * y_k + j * lanes)
            store_lanes(a[k][V - 1], Y, k * y_k + last, left)
    else:
        for k in range(M):
            for j in range(V - 1):
                store(a[k][j], Y, k * y_k + j * lanes)
            edge[k] = a[k][V - 1]
        for k in range(M):
            memcpy(vector_at(Y, k * y_k + last, tag), &edge[k], (width - last) * size_of(tag))
