# Rows side by side lie in M pieces, B numbers apart: a strip is a few cache lines in each of M pages, which no
# processor fetches by itself. The next strip's lines are asked for, and those that will be written, while this one is
# computed. That is too much at once where there are more than NARROW pieces: where a tile of several strips fits the
# second cache then, it is copied, each strip to one piece, and back; what is missing from the last strip is 0 and goes
# nowhere.

from cython cimport floating
from libc.string cimport memcpy

from .runtime.integers cimport min_of
from .runtime.memory cimport CACHE_LINE
from .simd.prefetch cimport prefetch_span, prefetch_write
from .softmax_rows cimport LANES, NARROW, TRANSPOSED

cdef enum:
    STRIPS = 8  # of a tile
    FEWEST = 4
    TILE = 49152  # numbers in all of a tile's arrays
    ROWS_AHEAD = 4


cdef inline Py_ssize_t tile_width(Py_ssize_t M, Py_ssize_t B) noexcept nogil:
    # How many rows are taken at once of those that lie side by side.
    cdef Py_ssize_t strips = TILE // (3 * LANES) // M
    return LANES * min_of(strips, STRIPS) if M > NARROW and strips >= FEWEST and B >= 2 * LANES else LANES


cdef inline Py_ssize_t room_for(Py_ssize_t M, Py_ssize_t B) noexcept nogil:
    # Numbers of an array in scratch memory.
    cdef Py_ssize_t width = tile_width(M, B)
    return width * M if width > LANES else TRANSPOSED if B == 1 and M <= NARROW else 0


cdef inline void fetch_next(const floating* z, Py_ssize_t M, Py_ssize_t B, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(M if b + 2 * LANES <= B else 0):
        prefetch_span(z + i * B + LANES, LANES * sizeof(floating), NULL)


cdef inline void fetch_for_writing(const floating* y, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < count:
        prefetch_write(y + i)
        i += CACHE_LINE // <Py_ssize_t>sizeof(floating)


cdef inline void gather_strips(const floating* z, Py_ssize_t M, Py_ssize_t B, Py_ssize_t count,
                               floating* tile) noexcept nogil:
    cdef Py_ssize_t whole = count // LANES, left = count % LANES, i, strip
    cdef int j
    for i in range(M):
        if i + ROWS_AHEAD < M:
            prefetch_span(z + (i + ROWS_AHEAD) * B, count * sizeof(floating), NULL)
        for strip in range(whole):
            memcpy(tile + (strip * M + i) * LANES, z + i * B + strip * LANES, LANES * sizeof(floating))
        if left > 0:
            for j in range(LANES):
                tile[(whole * M + i) * LANES + j] = z[i * B + whole * LANES + j] if j < left else 0


cdef inline void scatter_strips(const floating* tile, Py_ssize_t M, Py_ssize_t B, Py_ssize_t count,
                                floating* y) noexcept nogil:
    cdef Py_ssize_t whole = count // LANES, left = count % LANES, i, strip
    cdef int j
    for i in range(M):
        if i + ROWS_AHEAD < M:
            fetch_for_writing(y + (i + ROWS_AHEAD) * B, count)
        for strip in range(whole):
            memcpy(y + i * B + strip * LANES, tile + (strip * M + i) * LANES, LANES * sizeof(floating))
        for j in range(<int>left):
            y[i * B + whole * LANES + j] = tile[(whole * M + i) * LANES + j]
