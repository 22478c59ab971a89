# Scratch memory, on the borders of cache lines.

from cython cimport floating
from libc.stdlib cimport malloc

from .integers cimport SATURATED, plus, times

cdef enum:
    CACHE_LINE = 64
    SCRATCH = 16_777_216  # bytes that a kernel takes for each thread beside its arguments, whatever their shapes


cdef inline Py_ssize_t whole_lines(Py_ssize_t size) noexcept nogil:
    # Bytes, up to whole cache lines.
    return plus(size, CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


cdef inline floating* align_to_line(void* raw, floating* tag) noexcept nogil:
    return <floating*>((<size_t>raw + CACHE_LINE - 1) & ~<size_t>(CACHE_LINE - 1))


cdef inline int no_memory(str kernel, Py_ssize_t bytes) except -1:
    amount = f"{bytes} bytes" if bytes < SATURATED else "2**63 bytes and more"
    raise MemoryError(f"{kernel}: no memory for {amount} of scratch; pass fewer images at a time or use fewer threads")


cdef inline void* allocate(str kernel, Py_ssize_t bytes) except NULL:
    cdef void* memory = malloc(bytes)
    if memory == NULL:
        no_memory(kernel, bytes)
    return memory


cdef inline void* scratch(str kernel, Py_ssize_t numbers, floating* tag) except NULL:
    # Room for so many numbers from the first cache line on that begins in it: see align_to_line().
    return allocate(kernel, plus(times(numbers, sizeof(floating)), CACHE_LINE))
