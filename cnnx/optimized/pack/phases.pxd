# Rows of which every other column is a phase of a stride of two, from the phases' rows.

from cython cimport floating

from ..simd.shuffle cimport interleave
from ..simd.vector cimport broadcast, doubles, floats, lanes_in, load, store, vector


cdef inline Py_ssize_t interleave_vectors(const void* even, const void* odd, const void* start, void* to,
                                          Py_ssize_t W, vector* tag) noexcept nogil:
    # As interleave_rows(), while whole vectors fit; returns how many numbers of either row are done.
    cdef Py_ssize_t lanes = lanes_in(tag), j = 0
    cdef vector rest = broadcast(start, 0, tag), a, b
    while 2 * (j + lanes) <= W:
        a = load(even, j, tag) if even != NULL else rest
        b = load(odd, j, tag) if odd != NULL else rest
        interleave(a, b, &a, &b)
        store(a, to, 2 * j)
        store(b, to, 2 * j + lanes)
        j += lanes
    return j


cdef inline void interleave_rows(const floating* even, const floating* odd, const floating* start, floating* to,
                                 Py_ssize_t W) noexcept nogil:
    # to[2 j] = even[j], to[2 j + 1] = odd[j], for W numbers; start[0] in place of a row that is NULL.
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
