/* The x86-64 level of this processor, 0 elsewhere. setup.py asks too: what a build makes by default is for it. */
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
