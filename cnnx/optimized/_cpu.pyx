"""What this processor offers, and which instruction sets the kernels were built for."""

cdef extern from *:
    """
    #ifndef CNNX_BUILT_FOR
    #define CNNX_BUILT_FOR ""
    #endif

    /* A level counts only with all below it; gcc and clang ask the operating system too. */
    #if defined(__x86_64__)
    static int cnnx_level(void) {
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("sse4.2")
            || !__builtin_cpu_supports("popcnt")) return 1;
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
            || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")) return 2;
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
            || !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq")
            || !__builtin_cpu_supports("avx512vl")) return 3;
        return 4;
    }
    #else
    static int cnnx_level(void) { return 0; }
    #endif
    """
    const char* CNNX_BUILT_FOR
    int cnnx_level()


def built_for():
    """The folders of kernels beside this module, lowest instruction set first."""
    return tuple(CNNX_BUILT_FOR.decode().split())


def offered():
    """The instruction sets that this processor has, lowest first; "baseline" runs wherever it was built."""
    return ("baseline", *(f"v{level}" for level in range(2, cnnx_level() + 1)))
