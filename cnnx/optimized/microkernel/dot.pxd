# Scalar products of rows: the sums over the last axis of both factors, for which neither needs a copy.

from libc.string cimport memcpy

from ..runtime.integers cimport ceil_div, min_of
from ..simd.shuffle cimport load_zero_filled, transpose_and_sum
from ..simd.vector cimport MAX_LANES, doubles, floats, lanes_in, size_of, vector, vector_at

cdef extern from *:
    """
    #if defined(__AVX512F__) || defined(__aarch64__)  /* 32 registers: 20 sums, 5 rows, a vector */
    #define CNNX_DOT_ROWS 5
    #define CNNX_DOT_FEW 8
    #else  /* 16 registers: 8 sums, 2 rows, a vector */
    #define CNNX_DOT_ROWS 2
    #define CNNX_DOT_FEW 4
    #endif
    """
    enum:
        DOT_ROWS "CNNX_DOT_ROWS"  # of Z at a time, with 4 of w
        DOT_FEW "CNNX_DOT_FEW"  # rows of w where there are at most 2 of Z


cdef inline void dots(const void* Z, const void* w, Py_ssize_t J, vector* sums, vector* tag, int M,
                      int R) noexcept nogil:
    # The products of M rows of Z with R of w, each a vector of partial sums. M and R are constants wherever this is
    # called.
    cdef vector a[DOT_ROWS][DOT_FEW]
    cdef vector z[DOT_ROWS]
    cdef vector x, edge
    cdef Py_ssize_t lanes = lanes_in(tag)
    cdef Py_ssize_t whole = J // lanes, rest = J % lanes, t, j
    cdef int m, r
    for m in range(M):
        for r in range(R):
            load_zero_filled(Z, 0, 0, &a[m][r])
    for t in range(whole):
        j = t * lanes
        for m in range(M):
            z[m] = vector_at(Z, m * J + j, tag)[0]
        for r in range(R):
            x = vector_at(w, r * J + j, tag)[0]
            for m in range(M):
                a[m][r] = a[m][r] + z[m] * x
    if rest > 0:
        j = whole * lanes
        for m in range(M):
            load_zero_filled(Z, m * J + j, rest, &edge)
            z[m] = edge
        for r in range(R):
            load_zero_filled(w, r * J + j, rest, &edge)
            x = edge
            for m in range(M):
                a[m][r] = a[m][r] + z[m] * x
    for m in range(M):
        for r in range(R):
            sums[m * MAX_LANES + r] = a[m][r]


cdef inline void dots_of(const void* Z, const void* w, Py_ssize_t J, vector* sums, vector* tag, int M,
                         int R) noexcept nogil:
    if DOT_ROWS > 4 and M == 5:
        dots(Z, w, J, sums, tag, 5, R)
    elif DOT_ROWS > 3 and M == 4:
        dots(Z, w, J, sums, tag, 4, R)
    elif DOT_ROWS > 2 and M == 3:
        dots(Z, w, J, sums, tag, 3, R)
    elif M == 2:
        dots(Z, w, J, sums, tag, 2, R)
    else:
        dots(Z, w, J, sums, tag, 1, R)


cdef inline void dot_block(const void* Z, const void* w, const void* b, void* Y, Py_ssize_t N, Py_ssize_t I,
                           Py_ssize_t J, Py_ssize_t y_row, vector* tag) noexcept nogil:
    # dot_rows() for at most as many rows of w as a vector has lanes.
    cdef vector sums[DOT_ROWS * MAX_LANES]
    cdef vector total
    cdef Py_ssize_t groups = ceil_div(N, DOT_ROWS), group, n, i
    cdef int M, m
    for group in range(groups):
        n = group * N // groups
        M = <int>((group + 1) * N // groups - n)
        for m in range(M):
            for i in range(I, lanes_in(tag)):
                load_zero_filled(Z, 0, 0, sums + m * MAX_LANES + i)
        i = 0
        while i < I:
            if DOT_FEW > 4 and M < 3 and I - i >= 8:
                if M == 2:
                    dots(vector_at(Z, n * J, tag), vector_at(w, i * J, tag), J, sums + i, tag, 2, 8)
                else:
                    dots(vector_at(Z, n * J, tag), vector_at(w, i * J, tag), J, sums + i, tag, 1, 8)
                i += 8
            elif I - i >= 4:
                dots_of(vector_at(Z, n * J, tag), vector_at(w, i * J, tag), J, sums + i, tag, M, 4)
                i += 4
            else:
                dots_of(vector_at(Z, n * J, tag), vector_at(w, i * J, tag), J, sums + i, tag, M, 1)
                i += 1
        for m in range(M):
            transpose_and_sum(sums + m * MAX_LANES)
            load_zero_filled(b, 0, I, &total)
            total = sums[m * MAX_LANES] + total
            memcpy(vector_at(Y, (n + m) * y_row, tag), &total, I * size_of(tag))


cdef struct DotOperands:
    # Y[n y_stride + i] = sum_{j < J} w[i J + j] Z[n J + j] + b[i], for n < N and i < I.
    const void* Z
    const void* w
    const void* b
    void* Y
    Py_ssize_t N, I, J, y_stride


cdef inline void dot_rows(const DotOperands* o, vector* tag) noexcept nogil:
    # The sums are added up in a fixed order: as many partial sums as a vector has lanes, then these.
    cdef Py_ssize_t lanes = lanes_in(tag), I = o.I, J = o.J, i = 0  # no-cython-lint
    while i < I:
        dot_block(o.Z, vector_at(o.w, i * J, tag), vector_at(o.b, i, tag), vector_at(o.Y, i, tag), o.N,
                  min_of(lanes, I - i), J, o.y_stride, tag)
        i += lanes
