"""What this processor offers, which instruction sets the kernels were built for, how a thread's arithmetic is set."""

cdef extern from *:
    """
    #ifndef CNNX_BUILT_FOR
    #define CNNX_BUILT_FOR ""
    #endif
    """
    const char* CNNX_BUILT_FOR

cdef extern from "cnnx/optimized/cpu_level.h":
    int cnnx_level()

cdef extern from "cnnx/optimized/runtime/float_mode.h":
    unsigned long CNNX_FLUSHING
    unsigned long cnnx_float_mode()
    void cnnx_set_float_mode(unsigned long mode)


def built_for():
    """The folders of kernels beside this module, lowest instruction set first."""
    return tuple(CNNX_BUILT_FOR.decode().split())


def offered():
    """The instruction sets that this processor has, lowest first; "baseline" runs wherever it was built."""
    return ("baseline", *(f"v{level}" for level in range(2, cnnx_level() + 1)))


def set_flushing(unsigned long bits):
    """Set this thread's bits that make numbers below the normal ones 0, some of `flushing_bits()`; returns the old."""
    cdef unsigned long mode = cnnx_float_mode()
    cnnx_set_float_mode((mode & ~CNNX_FLUSHING) | (bits & CNNX_FLUSHING))
    return mode & CNNX_FLUSHING


def flushing_bits():
    """Of the register that says so; 0 where cnnx knows none."""
    return CNNX_FLUSHING
