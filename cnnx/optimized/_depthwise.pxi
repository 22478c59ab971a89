# A convolution of one plane by one kernel, as each group of a depthwise one is: every number of the plane meets R S
# weights and no more, so that the S copies of _copy.pxi would take longer than the sums. A band of rows is copied
# once, with its padding, and stays in the nearest cache. Included by conv2d.pyx.

cdef enum:
    BAND = 24_576  # bytes of a band
    TALL = 8  # output rows that are summed up together, at most


cdef struct Plane:
    bint alone  # whether this is the way to go
    Py_ssize_t top, left  # the least row and column offset of a tap
    Py_ssize_t height  # rows that the taps span
    Py_ssize_t line, pitch  # columns of one phase of a row of a band; from one row to the next
    Py_ssize_t rows, bands  # output rows of a band, bands of a plane
    bint dense  # a tap at each of 3 x 3 places
    Py_ssize_t[3] column  # where a row of them lies


cdef inline Py_ssize_t least_of(const Py_ssize_t* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, a = x[0]
    for i in range(1, n):
        a = least(a, x[i])
    return a


cdef inline Py_ssize_t span_of(const Py_ssize_t* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, a = x[0]
    for i in range(1, n):
        a = most(a, x[i])
    return a - least_of(x, n) + 1


cdef void plan_plane(Plane* plane, Taps* g, Py_ssize_t K, Py_ssize_t size, Py_ssize_t lanes) noexcept nogil:
    # After plan(); where this is the way to go, the taps are offsets into a band. A band holds whatever lies between
    # its taps and outputs: where that is far more than they take, as with long strides, copies are the better way.
    cdef Py_ssize_t r, s, width = span_of(g.right, g.S), offset
    plane.height = span_of(g.down, g.R)
    plane.alone = (g.C == 1 and K == 1 and g.u <= FARTHEST and g.v <= FARTHEST
                   and plane.height <= g.H + g.R and width <= g.W + g.S)
    if not plane.alone:
        return
    plane.top = least_of(g.down, g.R)
    plane.left = least_of(g.right, g.S)
    plane.line = (width - 1) // g.v + g.Q
    if g.v > 1:  # or a phase's last vector would reach into the next one
        plane.line = up(plane.line, lanes) * lanes
    plane.pitch = g.v * plane.line
    plane.rows = least(g.P, most(TALL, (BAND // (plane.pitch * size) - plane.height) // g.u + 1))
    plane.bands = up(g.P, plane.rows)
    # Taps beyond the image were moved to where they may share a place, and leave another one without any.
    plane.dense = (g.R == 3 and g.S == 3 and plane.height == 3 and width == 3
                   and g.down[1] == plane.top + 1 and g.right[1] == plane.left + 1)
    for s in range(3):
        plane.column[s] = s % g.v * plane.line + s // g.v
    for r in range(g.R):
        for s in range(g.S):
            offset = g.right[s] - plane.left
            g.tap[r * g.S + s] = ((g.down[r] - plane.top) * plane.pitch + offset % g.v * plane.line + offset // g.v)


cdef inline Py_ssize_t band_size(Plane* plane, Taps* g, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a band, as many as the vectors that begin in its last row reach beyond it, and a page to move it by.
    return (g.u * (plane.rows - 1) + plane.height + 1) * plane.pitch + 2 * lanes + 1024


cdef void copy_band(Plane* plane, Taps* g, const floating* Z, floating* band, Py_ssize_t p,
                    Py_ssize_t count) noexcept nogil:
    # The rows that `count` output rows from p on need.
    cdef Py_ssize_t h = g.u * p + plane.top, rows = g.u * (count - 1) + plane.height, b, column
    cdef Py_ssize_t low = least(rows, most(0, -h)), high = most(low, least(rows, g.H - h))
    memset(band, 0, low * plane.pitch * sizeof(floating))
    for b in range(g.v):
        column = plane.left + b
        copy_rows(g, Z + (h + low) * g.W + column, g.W, band + low * plane.pitch + b * plane.line, plane.pitch,
                  plane.line, high - low, first_output(-column, g.v), end_output(g.W - column, g.v, plane.line))
    memset(band + high * plane.pitch, 0, (rows - high) * plane.pitch * sizeof(floating))


cdef inline Py_ssize_t start_of(Py_ssize_t q, Py_ssize_t Q, Py_ssize_t lanes) noexcept nogil:
    # Where a row's vector begins that is due at q: the last one takes some numbers a second time.
    return least(q, most(0, Q - lanes))


cdef inline void dense_term(const void* x, const vector* f, vector* a, int i, int s, int M, int u) noexcept nogil:
    # A vector of row i of those that M output rows need, for all that it is a part of.
    cdef vector column = kept((<vector*>x)[0])
    cdef int m
    for m in range(M):
        if 0 <= i - u * m < 3:
            a[m] = product(a[m], f[3 * (i - u * m) + s], column)


cdef inline void dense_row(const void* x, const Py_ssize_t* columns, const vector* f, vector* a, int i, int M,
                           int u) noexcept nogil:
    # All of the row. Without a loop around another one, which would be unrolled too late for the sums to be anything
    # but an array in memory.
    if i < u * (M - 1) + 3:
        dense_term((<const char*>x) + columns[0], f, a, i, 0, M, u)
        dense_term((<const char*>x) + columns[1], f, a, i, 1, M, u)
        dense_term((<const char*>x) + columns[2], f, a, i, 2, M, u)


cdef inline void dense_rows(Plane* plane, Taps* g, const void* band, const void* w, const void* start, void* Y,
                            Py_ssize_t width, vector* kind, int M, int u) noexcept nogil:
    # M output rows by 3 x 3 weights, which lie in the order of their places; the stride is u.
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, Q = g.Q, pitch = plane.pitch * size_of(kind)
    cdef Py_ssize_t[3] columns
    cdef vector[TALL] a
    cdef vector[9] f
    cdef const char* x
    cdef int i
    for i in range(9):
        f[i] = kept(spread(w, i, kind))
    for i in range(3):
        columns[i] = plane.column[i] * size_of(kind)
    while q < Q:
        q = start_of(q, Q, lanes)
        x = <const char*>vector_at(band, q, kind)
        for i in range(M):
            a[i] = spread(start, 0, kind)
        dense_row(x, columns, f, a, 0, M, u)
        dense_row(x + pitch, columns, f, a, 1, M, u)
        dense_row(x + 2 * pitch, columns, f, a, 2, M, u)
        dense_row(x + 3 * pitch, columns, f, a, 3, M, u)
        dense_row(x + 4 * pitch, columns, f, a, 4, M, u)
        dense_row(x + 5 * pitch, columns, f, a, 5, M, u)
        dense_row(x + 6 * pitch, columns, f, a, 6, M, u)
        dense_row(x + 7 * pitch, columns, f, a, 7, M, u)
        dense_row(x + 8 * pitch, columns, f, a, 8, M, u)
        dense_row(x + 9 * pitch, columns, f, a, 9, M, u)
        for i in range(M):
            put(a[i], Y, i * Q + q, width, kind)
        q += lanes


cdef inline void tap_rows(Plane* plane, Taps* g, const void* band, const void* w, const void* start, void* Y,
                          Py_ssize_t width, vector* kind, int M) noexcept nogil:
    # M output rows by any taps.
    cdef Py_ssize_t lanes = lanes_in(kind), q = 0, t, pitch = g.u * plane.pitch
    cdef vector a[TALL]
    cdef vector factor
    cdef int m
    while q < g.Q:
        q = start_of(q, g.Q, lanes)
        for m in range(M):
            a[m] = spread(start, 0, kind)
        for t in range(g.R * g.S):
            factor = kept(spread(w, t, kind))
            for m in range(M):
                a[m] = product(a[m], factor, vector_at(band, g.tap[t] + q + m * pitch, kind)[0])
        for m in range(M):
            put(a[m], Y, m * g.Q + q, width, kind)
        q += lanes


cdef void sum_band(Plane* plane, Taps* g, const void* band, const void* w, const void* places, const void* start,
                   void* Y, Py_ssize_t count, const void* ahead, vector* kind) noexcept nogil:
    # Y: `count` output rows. places: of dense taps, w in the order of their places. ahead: what will be copied next.
    cdef Py_ssize_t p = 0, M = 8 if count >= 8 and g.u == 1 else 4 if count >= 4 else 1, lanes = lanes_in(kind), width
    cdef const void* x
    cdef void* y
    while p < count:
        p = least(p, count - M)  # some rows a second time
        x = vector_at(band, g.u * p * plane.pitch, kind)
        y = vector_at(Y, p * g.Q, kind)
        # Where a row is shorter than a vector, what is written beyond it is written again by the next one, if there is
        # one.
        width = lanes if (count - p) * g.Q >= (M - 1) * g.Q + lanes else least(lanes, g.Q)
        if M == 1:
            tap_rows(plane, g, x, w, start, y, width, kind, 1)
        elif plane.dense and g.u == 1 and M == 8:
            dense_rows(plane, g, x, places, start, y, width, kind, 8, 1)
        elif plane.dense and g.u == 1:
            dense_rows(plane, g, x, places, start, y, width, kind, 4, 1)
        elif plane.dense and g.u == 2:
            dense_rows(plane, g, x, places, start, y, width, kind, 4, 2)
        elif M == 8:
            tap_rows(plane, g, x, w, start, y, width, kind, 8)
        else:
            tap_rows(plane, g, x, w, start, y, width, kind, 4)
        fetch_span(vector_at(ahead, g.u * p * g.W, kind), g.u * M * g.W * size_of(kind), NULL)
        fetch_span(vector_at(y, AHEAD // size_of(kind), kind), M * g.Q * size_of(kind), NULL)
        p += M


cdef void sum_plane(Plane* plane, Taps* g, const floating* Z, const floating* w, const floating* start, floating* Y,
                    Py_ssize_t first, Py_ssize_t end, floating* memory) noexcept nogil:
    # Bands first ... end - 1.
    cdef Py_ssize_t i, p, count, r, s
    cdef floating[9] weights
    cdef const floating* ahead
    cdef floating* band
    if plane.dense:
        for r in range(3):
            for s in range(3):
                weights[3 * (g.down[r] - plane.top) + g.right[s] - plane.left] = w[3 * r + s]
    for i in range(first, end):
        p = i * plane.rows
        count = least(plane.rows, g.P - p)
        # Half a page from what is written, of whichever page: a load is taken for one of what was just stored at the
        # same place in another page, and waits.
        band = memory + (<size_t>(Y + p * g.Q) % 4096 + 6144 - <size_t>memory % 4096) % 4096 // sizeof(floating)
        copy_band(plane, g, Z, band, p, count)
        ahead = Z + (g.u * (p + count - 1) + plane.top + plane.height) * g.W  # the next plane lies behind this one
        if floating is float:
            sum_band[floats](plane, g, band, w, weights, start, Y + p * g.Q, count, ahead, NULL)
        else:
            sum_band[doubles](plane, g, band, w, weights, start, Y + p * g.Q, count, ahead, NULL)
