# Software prefetch. The processor prefetches by itself where one address follows the other; where vectors of several
# rows or arrays take turns, in the order that the compiler chose, it may see no stream at all, and then waits for every
# cache line: up to six times as long as all the rest takes. No prefetch can fail.

from ..runtime.memory cimport CACHE_LINE

cdef extern from *:
    """
    #define cnnx_prefetch_l2(x) __builtin_prefetch(x, 0, 2)
    #define cnnx_prefetch_write(x) __builtin_prefetch(x, 1)
    """
    void prefetch_l2 "cnnx_prefetch_l2"(const void* x) noexcept nogil  # into the second cache
    void prefetch_l1 "__builtin_prefetch"(const void* x) noexcept nogil  # into the first
    void prefetch_write "cnnx_prefetch_write"(const void* x) noexcept nogil

cdef enum:
    PREFETCH_DISTANCE = 16384  # bytes: far enough for memory, and a third of the first cache


cdef inline void prefetch_bytes(const void* x, Py_ssize_t bytes) noexcept nogil:
    # Into the second cache.
    cdef Py_ssize_t i = 0
    while i < bytes:
        prefetch_l2(<const char*>x + i)
        i += CACHE_LINE


cdef inline void prefetch_span(const void* x, Py_ssize_t bytes, const void* end) noexcept nogil:
    # Into the first; nothing if it reaches beyond `end`, where other arrays lie; NULL: wherever it is.
    cdef Py_ssize_t i = 0
    if end != NULL and <const char*>x + bytes > <const char*>end:
        return
    while i < bytes:
        prefetch_l1(<const char*>x + i)
        i += CACHE_LINE
