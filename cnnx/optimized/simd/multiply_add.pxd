# The multiply-add of numbers, which simd/vector.pxd has for vectors: loops over it become vectors.

from cython cimport floating

cdef extern from "cnnx/optimized/simd/instruction_set.h":
    float multiply_add_float "cnnx_multiply_add_float"(float x, float y, float a) noexcept nogil
    double multiply_add_double "cnnx_multiply_add_double"(double x, double y, double a) noexcept nogil


cdef inline floating multiply_add(floating x, floating y, floating a) noexcept nogil:
    # x y + a, rounded once where the instruction set has a fused multiply-add (not v2).
    if floating is float:
        return multiply_add_float(x, y, a)
    else:
        return multiply_add_double(x, y, a)
