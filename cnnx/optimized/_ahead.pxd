# Memory called into the caches some time before it is read. The processor does so by itself where one address follows
# the other; where vectors of several rows or arrays take turns, in the order that the compiler chose, it may see no
# stream at all, and then waits for every line: up to six times as long as all the rest takes. No fetch can fail.

cdef extern from *:
    """
    #define cnnx_fetch(x) __builtin_prefetch(x, 0, 2)
    #define cnnx_fetch_to_write(x) __builtin_prefetch(x, 1)
    """
    void fetch "cnnx_fetch"(const void* x) noexcept nogil  # into the second cache
    void fetch_near "__builtin_prefetch"(const void* x) noexcept nogil  # into the nearest
    void fetch_to_write "cnnx_fetch_to_write"(const void* x) noexcept nogil

cdef enum:
    AHEAD = 16384  # bytes: far enough for memory, and a third of the nearest cache
    LINE = 64


cdef inline void fetch_bytes(const void* x, Py_ssize_t bytes) noexcept nogil:
    # Into the second cache.
    cdef Py_ssize_t i = 0
    while i < bytes:
        fetch(<const char*>x + i)
        i += LINE


cdef inline void fetch_span(const void* x, Py_ssize_t bytes, const void* end) noexcept nogil:
    # Into the nearest; nothing if it reaches beyond `end`, where other arrays lie; NULL: wherever it is.
    cdef Py_ssize_t i = 0
    if end != NULL and <const char*>x + bytes > <const char*>end:
        return
    while i < bytes:
        fetch_near(<const char*>x + i)
        i += LINE
