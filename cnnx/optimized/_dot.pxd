# Scalar products of rows: the sums over the last axis of both factors, for which neither needs a copy.

from cython cimport floating
from libc.string cimport memcpy

from ._index cimport least, up
from ._shuffle cimport first, fold
from ._vector cimport MOST_LANES, doubles, floats, lanes_in, lanes_of, size_of, vector, vector_at

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


cdef inline void dots(const void* Z, const void* w, Py_ssize_t J, vector* sums, vector* kind, int M,
                      int R) noexcept nogil:
    # The products of M rows of Z with R of w, each a vector of partial sums. M and R are constants wherever this is
    # called.
    cdef vector a[DOT_ROWS][DOT_FEW]
    cdef vector z[DOT_ROWS]
    cdef vector x, edge
    cdef Py_ssize_t lanes = lanes_in(kind)
    cdef Py_ssize_t whole = J // lanes, rest = J % lanes, t, j
    cdef int m, r
    for m in range(M):
        for r in range(R):
            first(Z, 0, 0, &a[m][r])
    for t in range(whole):
        j = t * lanes
        for m in range(M):
            z[m] = vector_at(Z, m * J + j, kind)[0]
        for r in range(R):
            x = vector_at(w, r * J + j, kind)[0]
            for m in range(M):
                a[m][r] = a[m][r] + z[m] * x
    if rest > 0:
        j = whole * lanes
        for m in range(M):
            first(Z, m * J + j, rest, &edge)
            z[m] = edge
        for r in range(R):
            first(w, r * J + j, rest, &edge)
            x = edge
            for m in range(M):
                a[m][r] = a[m][r] + z[m] * x
    for m in range(M):
        for r in range(R):
            sums[m * MOST_LANES + r] = a[m][r]


cdef inline void dots_of(const void* Z, const void* w, Py_ssize_t J, vector* sums, vector* kind, int M,
                         int R) noexcept nogil:
    if DOT_ROWS > 4 and M == 5:
        dots(Z, w, J, sums, kind, 5, R)
    elif DOT_ROWS > 3 and M == 4:
        dots(Z, w, J, sums, kind, 4, R)
    elif DOT_ROWS > 2 and M == 3:
        dots(Z, w, J, sums, kind, 3, R)
    elif M == 2:
        dots(Z, w, J, sums, kind, 2, R)
    else:
        dots(Z, w, J, sums, kind, 1, R)


cdef inline void dot_block(const void* Z, const void* w, const void* b, void* Y, Py_ssize_t N, Py_ssize_t I,
                           Py_ssize_t J, Py_ssize_t y_row, vector* kind) noexcept nogil:
    # dot_rows() for at most as many rows of w as a vector has lanes.
    cdef vector sums[DOT_ROWS * MOST_LANES]
    cdef vector total
    cdef Py_ssize_t groups = up(N, DOT_ROWS), group, n, i
    cdef int M, m
    for group in range(groups):
        n = group * N // groups
        M = <int>((group + 1) * N // groups - n)
        for m in range(M):
            for i in range(I, lanes_in(kind)):
                first(Z, 0, 0, sums + m * MOST_LANES + i)
        i = 0
        while i < I:
            if DOT_FEW > 4 and M < 3 and I - i >= 8:
                if M == 2:
                    dots(vector_at(Z, n * J, kind), vector_at(w, i * J, kind), J, sums + i, kind, 2, 8)
                else:
                    dots(vector_at(Z, n * J, kind), vector_at(w, i * J, kind), J, sums + i, kind, 1, 8)
                i += 8
            elif I - i >= 4:
                dots_of(vector_at(Z, n * J, kind), vector_at(w, i * J, kind), J, sums + i, kind, M, 4)
                i += 4
            else:
                dots_of(vector_at(Z, n * J, kind), vector_at(w, i * J, kind), J, sums + i, kind, M, 1)
                i += 1
        for m in range(M):
            fold(sums + m * MOST_LANES)
            first(b, 0, I, &total)
            total = sums[m * MOST_LANES] + total
            memcpy(vector_at(Y, (n + m) * y_row, kind), &total, I * size_of(kind))


cdef inline void dot_rows(const floating* Z, const floating* w, const floating* b, floating* Y, Py_ssize_t N,
                          Py_ssize_t I, Py_ssize_t J, Py_ssize_t y_row) noexcept nogil:
    # Y[n y_row + i] = sum_{j < J} w[i J + j] Z[n J + j] + b[i], for n < N and i < I. The sums are added up in a fixed
    # order: as many partial sums as a vector has lanes, then these.
    cdef Py_ssize_t lanes = lanes_of(Y), i = 0
    while i < I:
        if floating is float:
            dot_block[floats](Z, w + i * J, b + i, Y + i, N, least(lanes, I - i), J, y_row, NULL)
        else:
            dot_block[doubles](Z, w + i * J, b + i, Y + i, N, least(lanes, I - i), J, y_row, NULL)
        i += lanes
