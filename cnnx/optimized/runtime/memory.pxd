# Scratch memory, on the borders of cache lines.

from cython cimport floating
from libc.stdlib cimport malloc

cdef enum:
    CACHE_LINE = 64


cdef inline Py_ssize_t whole_lines(Py_ssize_t size) noexcept nogil:
    # Bytes, up to whole cache lines.
    return (size + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef inline floating* align_to_line(void* raw, floating* tag) noexcept nogil:
    return <floating*>((<size_t>raw + CACHE_LINE - 1) & ~<size_t>(CACHE_LINE - 1))


cdef inline void* scratch(Py_ssize_t numbers, floating* tag) except NULL:
    # Room for so many numbers from the first cache line on that begins in it: see align_to_line().
    cdef void* raw = malloc(numbers * <Py_ssize_t>sizeof(floating) + CACHE_LINE)
    if raw == NULL:
        raise MemoryError
    return raw
