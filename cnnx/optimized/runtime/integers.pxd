# Integers: bounds, divisions, ranges; and which outputs touch which inputs, the integer divisions behind C6.

cdef extern from *:
    """
    static inline Py_ssize_t cnnx_times(Py_ssize_t a, Py_ssize_t b) {
        Py_ssize_t c;
        return __builtin_mul_overflow(a, b, &c) ? PY_SSIZE_T_MAX : c;
    }
    static inline Py_ssize_t cnnx_plus(Py_ssize_t a, Py_ssize_t b) {
        Py_ssize_t c;
        return __builtin_add_overflow(a, b, &c) ? PY_SSIZE_T_MAX : c;
    }
    """
    # Of sizes, which are not negative. What does not fit is SATURATED, and so is all that is made of it by times() and
    # plus(); no malloc() gives so much.
    Py_ssize_t times "cnnx_times"(Py_ssize_t a, Py_ssize_t b) noexcept nogil
    Py_ssize_t plus "cnnx_plus"(Py_ssize_t a, Py_ssize_t b) noexcept nogil
    const Py_ssize_t SATURATED "PY_SSIZE_T_MAX"


cdef struct Span:
    # first ... end - 1.
    Py_ssize_t first, end


cdef inline Py_ssize_t min_of(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t max_of(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # a / b rounded up.
    return (a + b - 1) // b


cdef inline Py_ssize_t cut(Py_ssize_t extent, Py_ssize_t cuts, Py_ssize_t i) noexcept nogil:
    # Where part i of an extent begins; parts differ by one at most.
    return extent // cuts * i + min_of(i, extent % cuts)


cdef inline Span share(Py_ssize_t part, Py_ssize_t parts, Py_ssize_t count, Py_ssize_t step,
                       Py_ssize_t end) noexcept nogil:
    # A part of `count` steps; the last one ends at `end`.
    return Span(part * count // parts * step, min_of((part + 1) * count // parts * step, end))


cdef inline Py_ssize_t first_output(Py_ssize_t offset, Py_ssize_t stride) noexcept nogil:
    # The least q >= 0 with stride q >= offset.
    return 0 if offset <= 0 else ceil_div(offset, stride)


cdef inline Py_ssize_t end_output(Py_ssize_t room, Py_ssize_t stride, Py_ssize_t Q) noexcept nogil:
    # One past the last q < Q with stride q < room; 0 where there is none.
    return 0 if room <= 0 else min_of(Q, (room - 1) // stride + 1)
