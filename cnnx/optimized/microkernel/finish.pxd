# What becomes of a convolution's outputs before they leave the cache: another array is added to them, and they are
# clipped. The same operations as those of `add` (J1) and `clip` or `relu` (A1), hence the same bits.

from ..simd.masks cimport MASKED, lanes, lanes_between, load_lanes, store_lanes
from ..simd.select cimport clip, load_partial, store_partial
from ..simd.vector cimport broadcast, doubles, floats, lanes_in, load, store, vector


cdef struct Finish:
    # Y[k, j] = clip(Y[k, j] + R[k, j]) to low ... high, for k < rows, j < width.
    void* Y
    const void* R  # NULL: nothing is added
    Py_ssize_t pitch  # from one row of Y, or R, to the next
    Py_ssize_t rows, width
    double low, high


cdef inline vector bound(double number, vector* tag) noexcept nogil:
    cdef float narrow = <float>number
    if vector is floats:
        return broadcast(&narrow, 0, tag)
    else:
        return broadcast(&number, 0, tag)


cdef inline void finish_rows(const Finish* f, vector* tag) noexcept nogil:
    cdef Py_ssize_t count = lanes_in(tag), whole = f.width // count * count, left = f.width - whole, k, j
    cdef vector low = bound(f.low, tag), high = bound(f.high, tag), a, r
    cdef lanes some = lanes_between(0, left, tag)
    for k in range(f.rows):
        j = k * f.pitch
        while j < k * f.pitch + whole:
            a = load(f.Y, j, tag)
            if f.R != NULL:
                a = a + load(f.R, j, tag)
            store(clip(a, low, high), f.Y, j)
            j += count
        if left > 0:
            if MASKED:
                a = load_lanes(f.Y, j, some, tag)
                if f.R != NULL:
                    a = a + load_lanes(f.R, j, some, tag)
                store_lanes(clip(a, low, high), f.Y, j, some)
            else:
                load_partial(&a, f.Y, j, left, False)
                if f.R != NULL:
                    load_partial(&r, f.R, j, left, False)
                    a = a + r
                store_partial(clip(a, low, high), f.Y, j, left, tag)
