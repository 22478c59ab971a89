# Which outputs touch which inputs: the integer divisions behind C6, once for all kernels.

cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t up(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # a / b rounded up.
    return (a + b - 1) // b


cdef inline Py_ssize_t first_output(Py_ssize_t offset, Py_ssize_t stride) noexcept nogil:
    # The least q >= 0 with stride q >= offset.
    return 0 if offset <= 0 else up(offset, stride)


cdef inline Py_ssize_t end_output(Py_ssize_t room, Py_ssize_t stride, Py_ssize_t Q) noexcept nogil:
    # One past the last q < Q with stride q < room; 0 where there is none.
    return 0 if room <= 0 else least(Q, (room - 1) // stride + 1)
