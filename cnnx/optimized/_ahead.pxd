# Memory called into the nearest cache some time before it is read. The processor does so by itself where one address
# follows the other; where vectors of several rows or arrays take turns, in the order that the compiler chose, it may
# see no stream at all, and then waits for every line: up to six times as long as all the rest takes.

cdef extern from *:
    void fetch_near "__builtin_prefetch"(const void* x) noexcept nogil

cdef enum:
    AHEAD = 16384  # bytes: far enough for memory, and a third of the nearest cache
    LINE = 64


cdef inline void fetch_span(const void* x, Py_ssize_t bytes, const void* end) noexcept nogil:
    # Nothing if it reaches beyond `end`, where other arrays lie; NULL: wherever it is, since no fetch can fail.
    cdef Py_ssize_t i = 0
    if end != NULL and <const char*>x + bytes > <const char*>end:
        return
    while i < bytes:
        fetch_near(<const char*>x + i)
        i += LINE
