# Rows of which every other column is a phase of a stride of two, from the phases' rows.

from cython cimport floating

from ..runtime.integers cimport min_of
from ..simd.masks cimport MASKED, lanes_between, store_lanes
from ..simd.shuffle cimport interleave
from ..simd.vector cimport broadcast, doubles, floats, lanes_in, load, store, vector


cdef inline void interleave_at(const void* even, const void* odd, vector rest, Py_ssize_t j, vector* a,
                               vector* b) noexcept nogil:
    a[0] = load(even, j, a) if even != NULL else rest
    b[0] = load(odd, j, a) if odd != NULL else rest
    interleave(a[0], b[0], a, b)


cdef inline Py_ssize_t interleave_vectors(const void* even, const void* odd, const void* start, void* to,
                                          Py_ssize_t W, vector* tag) noexcept nogil:
    # As interleave_rows(), while whole vectors fit or some lanes alone can be written; returns how many numbers of
    # either row are done.
    cdef Py_ssize_t lanes = lanes_in(tag), pairs = W // 2, j = 0
    cdef vector rest = broadcast(start, 0, tag), a, b
    while j < pairs and lanes <= pairs:
        j = min_of(j, pairs - lanes)  # some a second time
        interleave_at(even, odd, rest, j, &a, &b)
        store(a, to, 2 * j)
        store(b, to, 2 * j + lanes)
        j += lanes
    if j == 0 and MASKED:
        interleave_at(even, odd, rest, 0, &a, &b)
        store_lanes(a, to, 0, lanes_between(0, W, tag))
        store_lanes(b, to, lanes, lanes_between(0, W - lanes, tag))
        j = pairs + 1
    return j


cdef inline void interleave_rows(const floating* even, const floating* odd, const floating* start, floating* to,
                                 Py_ssize_t W) noexcept nogil:
    # to[2 j] = even[j], to[2 j + 1] = odd[j], for W numbers; start[0] in place of a row that is NULL. Of a row up to a
    # vector is read.
    cdef Py_ssize_t j
    if floating is float:
        j = interleave_vectors[floats](even, odd, start, to, W, NULL)
    else:
        j = interleave_vectors[doubles](even, odd, start, to, W, NULL)
    for j in range(2 * j, W):
        if j % 2 == 0:
            to[j] = even[j // 2] if even != NULL else start[0]
        else:
            to[j] = odd[j // 2] if odd != NULL else start[0]
