"""What this processor offers, and which instruction sets the kernels were built for."""

cdef extern from *:
    """
    #ifndef CNNX_BUILT_FOR
    #define CNNX_BUILT_FOR ""
    #endif
    """
    const char* CNNX_BUILT_FOR

cdef extern from "cnnx/optimized/cpu_level.h":
    int cnnx_level()


def built_for():
    """The folders of kernels beside this module, lowest instruction set first."""
    return tuple(CNNX_BUILT_FOR.decode().split())


def offered():
    """The instruction sets that this processor has, lowest first; "baseline" runs wherever it was built."""
    return ("baseline", *(f"v{level}" for level in range(2, cnnx_level() + 1)))
