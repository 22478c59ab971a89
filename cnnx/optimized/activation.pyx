"""Activations: A1, A2 and A5. The loops are in activation_loops.pxd and activation_exp_loops.pxd, the
formulas in activation_formulas.pxd."""

from cython cimport floating
from cython.parallel cimport prange
from libc.float cimport FLT_MAX, FLT_MIN
from libc.math cimport fabs
from libc.stdlib cimport free

from ._threads cimport EXP, MEMORY, threads_for
from .activation_exp_loops cimport (
    elu_dZ, elu_dZ_in_double, elu_Y, gelu_dZ, gelu_Y, sigmoid_dZ, sigmoid_Y, silu_dZ, silu_Y, softplus_dZ, softplus_Y,
    tanh_dZ, tanh_Y,
)
from .activation_loops cimport (
    clip_dZ, clip_Y, hard_sigmoid_dZ, hard_sigmoid_Y, hard_swish_dZ, hard_swish_Y, identity_dZ, identity_Y,
    leaky_relu_dZ, leaky_relu_Y, prelu_part, prelu_row, relu_dZ, relu_Y, sigmoid_dZ_output, step_dZ, step_Y,
    tanh_dZ_output,
)
from .channel_sums cimport channel_sums
from .runtime.integers cimport ceil_div, min_of, times
from .runtime.memory cimport SCRATCH, allocate
from .simd.elementwise cimport each, each_grad
from .simd.reduce cimport NOT_POSITIVE

cdef enum:
    CHUNK = 8192  # elements of prelu that one thread changes
    SHORT = 16  # numbers of a channel in an example that are few


def relu(const floating[::1] Z, /, floating[::1] Y):
    each(relu_Y[floating], Z, Y, NULL, MEMORY)


def relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(relu_dZ[floating], Delta, Z, dZ, NULL, MEMORY)


def sigmoid(const floating[::1] Z, /, floating[::1] Y):
    each(sigmoid_Y[floating], Z, Y, NULL, EXP)


def sigmoid_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(sigmoid_dZ[floating], Delta, Z, dZ, NULL, EXP)


def sigmoid_grad_input_output(const floating[::1] Delta, const floating[::1] Y, /, floating[::1] dZ):
    each_grad(sigmoid_dZ_output[floating], Delta, Y, dZ, NULL, MEMORY)


def tanh(const floating[::1] Z, /, floating[::1] Y):
    each(tanh_Y[floating], Z, Y, NULL, EXP)


def tanh_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(tanh_dZ[floating], Delta, Z, dZ, NULL, EXP)


def tanh_grad_input_output(const floating[::1] Delta, const floating[::1] Y, /, floating[::1] dZ):
    each_grad(tanh_dZ_output[floating], Delta, Y, dZ, NULL, MEMORY)


def step(const floating[::1] Z, /, floating[::1] Y):
    each(step_Y[floating], Z, Y, NULL, MEMORY)


def step_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(step_dZ[floating], Delta, Z, dZ, NULL, MEMORY)


def identity(const floating[::1] Z, /, floating[::1] Y):
    each(identity_Y[floating], Z, Y, NULL, MEMORY)


def identity_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(identity_dZ[floating], Delta, Z, dZ, NULL, MEMORY)


def leaky_relu(const floating[::1] Z, /, floating[::1] Y, *, double slope):
    each(leaky_relu_Y[floating], Z, Y, &slope, MEMORY)


def leaky_relu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double slope):
    each_grad(leaky_relu_dZ[floating], Delta, Z, dZ, &slope, MEMORY)


def elu(const floating[::1] Z, /, floating[::1] Y, *, double alpha):
    each(elu_Y[floating], Z, Y, &alpha, EXP)


def elu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double alpha):
    if floating is float and alpha != 0 and not FLT_MIN <= fabs(alpha) <= FLT_MAX:
        each_grad(elu_dZ_in_double[floating], Delta, Z, dZ, &alpha, EXP)
    else:
        each_grad(elu_dZ[floating], Delta, Z, dZ, &alpha, EXP)


def softplus(const floating[::1] Z, /, floating[::1] Y):
    each(softplus_Y[floating], Z, Y, NULL, EXP)


def softplus_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(softplus_dZ[floating], Delta, Z, dZ, NULL, EXP)


def gelu(const floating[::1] Z, /, floating[::1] Y):
    each(gelu_Y[floating], Z, Y, NULL, EXP)


def gelu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(gelu_dZ[floating], Delta, Z, dZ, NULL, EXP)


def clip(const floating[::1] Z, /, floating[::1] Y, *, double low, double high):
    cdef double[2] bounds
    bounds[0], bounds[1] = low, high
    each(clip_Y[floating], Z, Y, bounds, MEMORY)


def clip_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double low, double high):
    cdef double[2] bounds
    bounds[0], bounds[1] = low, high
    each_grad(clip_dZ[floating], Delta, Z, dZ, bounds, MEMORY)


def hard_sigmoid(const floating[::1] Z, /, floating[::1] Y, *, double alpha, double beta):
    cdef double[2] line
    line[0], line[1] = alpha, beta
    each(hard_sigmoid_Y[floating], Z, Y, line, MEMORY)


def hard_sigmoid_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ, *, double alpha,
                            double beta):
    cdef double[2] line
    line[0], line[1] = alpha, beta
    each_grad(hard_sigmoid_dZ[floating], Delta, Z, dZ, line, MEMORY)


def hard_swish(const floating[::1] Z, /, floating[::1] Y):
    each(hard_swish_Y[floating], Z, Y, NULL, MEMORY)


def hard_swish_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(hard_swish_dZ[floating], Delta, Z, dZ, NULL, MEMORY)


def silu(const floating[::1] Z, /, floating[::1] Y):
    each(silu_Y[floating], Z, Y, NULL, EXP)


def silu_grad_input(const floating[::1] Delta, const floating[::1] Z, /, floating[::1] dZ):
    each_grad(silu_dZ[floating], Delta, Z, dZ, NULL, EXP)


cdef int prelu_rows(const floating* Delta, const floating* Z, const floating* w, floating* Y, Py_ssize_t C,
                    Py_ssize_t L, Py_ssize_t N) except -1:
    # Of channels with few numbers in an example: a weight for each of its numbers, example by example.
    cdef Py_ssize_t width = C * L, n, i
    cdef floating* slopes = <floating*>allocate("prelu", width * sizeof(floating))
    cdef int threads = threads_for(<double>MEMORY * N * width)
    for i in range(width):
        slopes[i] = w[i // L]
    for n in prange(N, nogil=True, schedule="static", num_threads=threads):
        prelu_row(Delta + n * width if Delta != NULL else NULL, Z + n * width, slopes, Y + n * width, width)
    free(slopes)
    return 0


cdef int prelu_all(const floating* Delta, const floating* Z, const floating* w, floating* Y, Py_ssize_t C,
                   Py_ssize_t L, Py_ssize_t count) except -1:
    cdef Py_ssize_t i
    cdef int threads = threads_for(<double>MEMORY * count)
    if C > 1 and L <= SHORT and count >= 2 * C * L and times(C * L, sizeof(floating)) <= SCRATCH:
        return prelu_rows(Delta, Z, w, Y, C, L, count // (C * L))
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        prelu_part(Delta, Z, w, Y, C, L, i * CHUNK, min_of(count, (i + 1) * CHUNK))
    return 0


def prelu(const floating[:, :, ::1] Z, const floating[::1] w, /, floating[:, :, ::1] Y):
    cdef Py_ssize_t count = Z.shape[0] * Z.shape[1] * Z.shape[2]
    if count > 0:
        # A5
        prelu_all(<const floating*>NULL, &Z[0, 0, 0], &w[0], &Y[0, 0, 0], Z.shape[1], Z.shape[2], count)


def prelu_grad_input(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, const floating[::1] w, /,
                     floating[:, :, ::1] dZ):
    cdef Py_ssize_t count = Z.shape[0] * Z.shape[1] * Z.shape[2]
    if count > 0:
        # A5
        prelu_all(&Delta[0, 0, 0], &Z[0, 0, 0], &w[0], &dZ[0, 0, 0], Z.shape[1], Z.shape[2], count)


def prelu_grad_weight(const floating[:, :, ::1] Delta, const floating[:, :, ::1] Z, /, floating[::1] dw):
    # A5, in double.
    cdef Py_ssize_t c
    cdef double* totals
    if Z.shape[0] * Z.shape[1] * Z.shape[2] == 0:
        for c in range(dw.shape[0]):
            dw[c] = 0
        return
    totals = <double*>allocate("prelu", dw.shape[0] * sizeof(double))
    channel_sums("prelu", &Delta[0, 0, 0], &Z[0, 0, 0], <const double*>NULL, totals, Z.shape[0], Z.shape[1],
                 Z.shape[2], NOT_POSITIVE)
    for c in range(dw.shape[0]):
        dw[c] = <floating>totals[c]
    free(totals)
