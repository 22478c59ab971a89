/* What the processor makes of numbers below the smallest normal one, in the calling thread. Other libraries switch it,
   and leave it switched: then such numbers count as 0 where they are read (denormals-are-zero) or where they would be
   the result (flush-to-zero). */
#ifndef CNNX_FLOAT_MODE_H
#define CNNX_FLOAT_MODE_H

#if defined(__SSE__)
#include <xmmintrin.h>
#define CNNX_FLUSHING 0x8040ul /* of MXCSR: FTZ and DAZ */
static inline unsigned long cnnx_float_mode(void) { return _mm_getcsr(); }
static inline void cnnx_set_float_mode(unsigned long mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
#define CNNX_FLUSHING 0x1000001ul /* of FPCR: FZ and FIZ */
static inline unsigned long cnnx_float_mode(void) {
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void cnnx_set_float_mode(unsigned long mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
#define CNNX_FLUSHING 0ul
static inline unsigned long cnnx_float_mode(void) { return 0; }
static inline void cnnx_set_float_mode(unsigned long mode) { (void)mode; }
#endif

#endif
