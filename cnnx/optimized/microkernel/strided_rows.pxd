# Rows of every v-th number, for the copy that a convolution reads (pack/taps.pxd).

from ..runtime.integers cimport max_of, min_of
from ..simd.select cimport load_strided, mask_between
from ..simd.vector cimport lanes_in, store, vector

cdef enum:
    MAX_VECTOR_STRIDE = 4  # of columns that are taken in vectors


cdef struct StridedRows:
    # to[i pitch + q] = row[i step + v q] for i < count, q < Q; 0 where q is not one of start ... end - 1.
    const void* row
    Py_ssize_t step
    void* to
    Py_ssize_t pitch, Q, count, start, end, v


cdef inline void copy_strided_rows(const StridedRows* r, vector* tag, int v) noexcept nogil:
    # In columns of vectors, whose masks stay the same. Of rows shorter than a vector, zeros are written beyond each,
    # and overwritten by the next one.
    cdef Py_ssize_t lanes = lanes_in(tag), step = r.step, pitch = r.pitch, Q = r.Q, start = r.start, end = r.end
    cdef Py_ssize_t count = r.count, first, last, i, q
    cdef const void* row = r.row
    cdef void* to = r.to
    for first in range(0, count, 16):  # so many rows stay in the first cache
        last = min_of(count, first + 16)
        q = 0
        while q < Q:
            q = min_of(q, max_of(0, Q - lanes))  # some numbers a second time
            if start <= q and q + lanes <= end:
                for i in range(first, last):
                    store(load_strided(row, i * step + v * q, v, tag), to, i * pitch + q)
            else:
                for i in range(first, last):
                    store(mask_between(load_strided(row, i * step + v * q, v, tag), start - q, end - q), to,
                          i * pitch + q)
            q += lanes


cdef inline void copy_rows_by_stride(const StridedRows* r, vector* tag) noexcept nogil:
    if r.v == 1:
        copy_strided_rows(r, tag, 1)
    elif r.v == 2:
        copy_strided_rows(r, tag, 2)
    elif r.v == 3:
        copy_strided_rows(r, tag, 3)
    else:
        copy_strided_rows(r, tag, 4)
