# Sums over runs of numbers in their own precision (C4), as many partial sums as SUM_BYTES hold, whatever the vectors'
# width: number i goes to partial sum i mod that, so that a sum has the same bits with any instruction set.

from cython cimport floating

from ..simd.vector cimport SUM_BYTES, VECTOR_BYTES, doubles, floats, lanes_in, load, store, vector

cdef enum:
    CHAINS = 4  # of partial sums that do not wait for each other
    MAX_SUM_VECTORS = 16  # where vectors are shortest


cdef inline void sum_vectors(const void* x, Py_ssize_t count, double* lane, vector* tag) noexcept nogil:
    # lane[j] += x[j] + x[j + lanes] + x[j + 2 lanes] + ..., lanes being those of SUM_BYTES.
    cdef vector a[MAX_SUM_VECTORS]
    cdef Py_ssize_t lanes = lanes_in(tag), i, j, whole
    cdef float single[16]
    cdef double wide[8]
    cdef int W = SUM_BYTES // VECTOR_BYTES, m  # vectors of a chain
    whole = count // (W * lanes)
    if whole > 0:
        for m in range(W):
            a[m] = load(x, m * lanes, tag)
        if whole < CHAINS:
            for i in range(1, whole):
                for m in range(W):
                    a[m] = a[m] + load(x, (W * i + m) * lanes, tag)
        else:
            for m in range(W, CHAINS * W):
                a[m] = load(x, m * lanes, tag)
            for i in range(1, whole // CHAINS):
                for m in range(CHAINS * W):
                    a[m] = a[m] + load(x, (CHAINS * W * i + m) * lanes, tag)
            for i in range(whole // CHAINS * CHAINS, whole):
                for m in range(W):
                    a[m] = a[m] + load(x, (W * i + m) * lanes, tag)
            for m in range(W):
                a[m] = (a[m] + a[W + m]) + (a[2 * W + m] + a[3 * W + m])
        for m in range(W):
            if vector is floats:
                store(a[m], single, m * lanes)
            else:
                store(a[m], wide, m * lanes)
        for j in range(W * lanes):
            lane[j] += single[j] if vector is floats else wide[j]
    whole *= W * lanes
    for j in range(count - whole):
        lane[j] += (<const float*>x)[whole + j] if vector is floats else (<const double*>x)[whole + j]


cdef inline void sum_lanes(const floating* x, Py_ssize_t count, double* lane) noexcept nogil:
    if floating is float:
        sum_vectors[floats](x, count, lane, NULL)
    else:
        sum_vectors[doubles](x, count, lane, NULL)
