# The columns that are left when an image's are cut into vectors: those of several images share one.
# Included by conv2d.pyx.

cdef inline Py_ssize_t left_over(Sums* m, Py_ssize_t lanes) noexcept nogil:
    # How many columns; 0 if they fill more than half of a vector.
    cdef Py_ssize_t left = m.taps.P * m.taps.Q % lanes
    return left if m.copied and not m.plane.alone and 2 * left <= lanes else 0


cdef void keep_left_over(Sums* m, const floating* x, floating* kept, Py_ssize_t c, Py_ssize_t left) noexcept nogil:
    # Their terms from the source planes c ..., of which x is the copy.
    cdef Py_ssize_t lanes = lanes_of(x), t, j = 0, taps = m.taps.R * m.taps.S
    cdef Py_ssize_t first = m.taps.P * m.taps.Q - left
    cdef Py_ssize_t count = least(m.planes, m.taps.C - c) * taps
    x += first
    kept += c * taps * lanes
    while j + 4 <= left:  # a copy of so many bytes is no call
        for t in range(count):
            memcpy(kept + t * lanes + j, x + m.taps.tap[t] + j, 4 * sizeof(floating))
        j += 4
    for j in range(j, left):
        for t in range(count):
            kept[t * lanes + j] = x[m.taps.tap[t] + j]


cdef void sum_left_over(Sums* m, const floating* kept, const floating* w, const floating* start, floating* Y,
                        Py_ssize_t y_image, Py_ssize_t images, Py_ssize_t left, floating* sums) noexcept nogil:
    # Y: the first of the images. sums: room for ROWS vectors.
    cdef Py_ssize_t lanes = lanes_of(Y), T = terms(m), piece, k, n, i, j, c
    cdef Py_ssize_t first = m.taps.P * m.taps.Q - left
    for piece in range(pieces(m.K)):
        k = piece_begin(m.K, piece)
        c = 0
        while c < m.taps.C:
            piece_columns(m, kept + c * m.taps.R * m.taps.S * lanes, m.taps.tap + T, w, start, sums, lanes, piece, c, 0,
                          images * left, NULL)
            c += m.planes
        for n in range(images):
            for i in range(piece_begin(m.K, piece + 1) - k):
                for j in range(left):
                    Y[n * y_image + (k + i) * m.y_k + first + j] = sums[i * lanes + n * left + j]
