/* What the kernels know of the instruction set: the width of its vectors, the number of its vector registers, its fused
   multiply-add. Block shapes follow from these in microkernel/. */

#ifndef CNNX_INSTRUCTION_SET_H
#define CNNX_INSTRUCTION_SET_H

#ifdef __FAST_MATH__
#error "cnnx is never compiled with -ffast-math or -Ofast: NaN must survive, and sums have an order; take it out of CFLAGS"
#endif

#if defined(__x86_64__) && defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef CNNX_BYTES
#if defined(__AVX512F__)
#define CNNX_BYTES 64
#elif defined(__AVX2__)
#define CNNX_BYTES 32
#else
#define CNNX_BYTES 16
#endif
#endif

#ifndef CNNX_REGISTERS
#if defined(__AVX512F__) || defined(__aarch64__)
#define CNNX_REGISTERS 32
#else
#define CNNX_REGISTERS 16
#endif
#endif

#if defined(__FMA__) || defined(__aarch64__) || defined(__FP_FAST_FMAF)
#define CNNX_FMA 1
#else
#define CNNX_FMA 0
#endif

/* x y + a, rounded once where the instruction set has it, else twice: no compiler decides (-ffp-contract=off). Loops
   over the one for numbers become vectors. */
#if CNNX_FMA
#define cnnx_multiply_add_float(x, y, a) __builtin_fmaf(x, y, a)
#define cnnx_multiply_add_double(x, y, a) __builtin_fma(x, y, a)
#else
#define cnnx_multiply_add_float(x, y, a) ((x) * (y) + (a))
#define cnnx_multiply_add_double(x, y, a) ((x) * (y) + (a))
#endif

#endif
