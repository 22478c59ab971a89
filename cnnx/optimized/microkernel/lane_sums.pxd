# Sums over runs of numbers, lane by lane: C4, N3's db.

from cython cimport floating

from ..simd.select cimport last_of
from ..simd.vector cimport MAX_LANES, broadcast, doubles, floats, lanes_in, vector, vector_at


cdef inline void sum_vectors(const void* x, Py_ssize_t count, double* lane, vector* tag) noexcept nogil:
    # lane[j] += x[j] + x[j + lanes] + x[j + 2 lanes] + ...
    cdef vector a[8]
    cdef Py_ssize_t lanes = lanes_in(tag), i, j, rest = count % lanes
    cdef float single[MAX_LANES]
    cdef double wide[MAX_LANES]
    cdef double zero = 0
    cdef int m
    if count < lanes:
        for i in range(count):
            lane[i] += (<const float*>x)[i] if vector is floats else (<const double*>x)[i]
        return
    for m in range(8):
        a[m] = broadcast(&zero, 0, tag)
    for i in range(count // (8 * lanes)):
        for m in range(8):
            a[m] = a[m] + vector_at(x, (8 * i + m) * lanes, tag)[0]
    for i in range(count // (8 * lanes) * 8, count // lanes):
        a[0] = a[0] + vector_at(x, i * lanes, tag)[0]
    if rest:
        a[7] = a[7] + last_of(vector_at(x, count - lanes, tag)[0], rest)
    a[0] = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]))
    if vector is floats:
        vector_at(single, 0, tag)[0] = a[0]
        for j in range(lanes):
            lane[j] += single[j]
    else:
        vector_at(wide, 0, tag)[0] = a[0]
        for j in range(lanes):
            lane[j] += wide[j]


cdef inline void sum_lanes(const floating* x, Py_ssize_t count, double* lane) noexcept nogil:
    if floating is float:
        sum_vectors[floats](x, count, lane, NULL)
    else:
        sum_vectors[doubles](x, count, lane, NULL)
