"""Convolution by Winograd's algorithm, W1-W3: transformed kernels times transformed tiles, number by number."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ._threads cimport threads_for
from .conv.fill cimport fill
from .conv.winograd_plan cimport Layer, begin_pass, end_of_pass, plan_layer, plan_passes, plan_tiles
from .conv.winograd_tiles cimport Tiles, sum_tiles
from .microkernel.table cimport Tables, kernels_of, tables_of
from .pack.winograd_weight cimport KERNELS, pack_kernels
from .runtime.counter cimport take
from .runtime.integers cimport Span, max_of, plus, times
from .runtime.memory cimport no_memory
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)


cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/mman.h>
    #endif
    /* New pages are zeroed one by one, which for tens of MiB takes longer than the layer. Where Linux gives large ones
       to those who ask, blocks of 4 MiB and more ask, as NumPy's do. */
    static void cnnx_ask_for_large_pages(void* memory, size_t bytes) {
    #ifdef MADV_HUGEPAGE
        size_t skipped = -(size_t)memory % 4096;
        if (bytes >= (size_t)4 << 20)
            madvise((char*)memory + skipped, bytes - skipped, MADV_HUGEPAGE);
    #else
        (void)memory, (void)bytes;
    #endif
    }
    """
    void ask_for_large_pages "cnnx_ask_for_large_pages"(void* memory, size_t bytes) noexcept nogil


cdef void sum_next_tiles(const Layer* layer, const Tiles* tiles, floating* scratch, Py_ssize_t* next,
                         Py_ssize_t tasks) noexcept nogil:
    # One thread's work: blocks of tiles take unlike times, at borders above all.
    cdef Py_ssize_t task = take(next)
    while task < tasks:
        sum_tiles(layer, tiles, scratch, task)
        task = take(next)


cdef inline void transform_pass(const Layer* layer, const floating* F, floating* U, bint rotated, Py_ssize_t first,
                                int threads) noexcept nogil:
    # U of a pass.
    cdef Py_ssize_t size = layer.a * layer.a * (layer.inputs.end - layer.inputs.first) * KERNELS, task
    for task in prange(first, end_of_pass(layer), schedule="static", num_threads=threads):
        pack_kernels(F, F + layer.groups * layer.K * layer.C * layer.R * layer.R, U + (task - first) * size, task,
                     layer.C, layer.K, layer.inputs, layer.a, layer.R, rotated)


cdef Py_ssize_t compute(Layer* layer, const floating* Z, const floating* F, const floating* ready, const floating* b,
                        floating* Y, bint rotated) noexcept nogil:
    # Y from Z and the kernels F, or, where F is NULL, transformed kernels; b = NULL counts as zeros. Returns 0, or how
    # many bytes there is no memory for.
    cdef double work = <double>layer.N * layer.groups * layer.C * layer.K * layer.P * layer.Q
    work *= <double>(layer.a * layer.a) / (layer.m * layer.m)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t lanes = lanes_of(Y), task, tasks, kernels = 0, inputs, worker, first
    cdef Py_ssize_t* next = &first
    cdef Tiles tiles
    if plan_tiles(layer):
        first = layer.groups * layer.K
        for task in prange(layer.N * first, schedule="static", num_threads=threads):
            fill(Y, task, layer.P * layer.Q, first, b)
    plan_passes(layer, lanes, sizeof(floating), F != NULL, threads)
    cdef Py_ssize_t numbers = layer.a * layer.a * layer.inputs_at_once * KERNELS
    cdef Py_ssize_t all_U = times(layer.kernels_at_once, numbers) if F != NULL else 0
    cdef Py_ssize_t room = times(plus(all_U, times(threads, layer.numbers) + KERNELS), sizeof(floating))
    room = plus(room, 2 * layer.inputs_at_once * <Py_ssize_t>sizeof(Py_ssize_t) + 128)
    cdef char* memory = <char*>malloc(room)
    if memory == NULL:
        return room
    ask_for_large_pages(memory, room)
    cdef floating* scratch = <floating*>(memory + 64 - <size_t>memory % 64)
    cdef floating* U = scratch + threads * layer.numbers
    cdef floating* zeros = U + all_U
    cdef Py_ssize_t* taps = <Py_ssize_t*>(<char*>(zeros + KERNELS) + (-<size_t>(zeros + KERNELS) % 64))
    memset(zeros, 0, KERNELS * sizeof(floating))
    tiles = Tiles(Z, U, 0, b, Y, kernels_of(tables, Z), taps, zeros)
    while kernels < layer.kernel_tasks:
        inputs = 0
        while inputs < max_of(1, layer.C):
            begin_pass(layer, kernels, inputs)
            tasks = plan_layer(layer, lanes, sizeof(floating), threads)
            tiles.U_inputs = layer.inputs.end - layer.inputs.first
            if F != NULL:
                transform_pass(layer, F, U, rotated, kernels, threads)
            else:
                tiles.U_inputs = layer.C
                tiles.U = ready + kernels * layer.a * layer.a * layer.C * KERNELS + inputs * KERNELS
            for task in range(layer.inputs_at_once):
                taps[task] = task * layer.width
                taps[layer.inputs_at_once + task] = task * KERNELS  # of what comes next
            first = 0
            for worker in prange(threads, schedule="static", num_threads=threads):
                sum_next_tiles(layer, &tiles, scratch + worker * layer.numbers, next, tasks)
            inputs += layer.inputs_at_once
        kernels = end_of_pass(layer)
    free(memory)
    return 0


cdef Layer layer_of(const floating[:, :, :, ::1] Z, Py_ssize_t C, Py_ssize_t K, Py_ssize_t R,
                    const floating[:, :, :, ::1] Y, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                    Py_ssize_t groups) noexcept nogil:
    cdef Layer layer
    layer.R, layer.m, layer.a = R, t, t + R - 1
    layer.N, layer.C, layer.K, layer.groups = Z.shape[0], C, K, groups
    layer.H, layer.W, layer.P, layer.Q = Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3]
    layer.p_h, layer.p_w = p_h, p_w
    return layer


def conv2d_winograd(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
                    floating[:, :, :, ::1] Y, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t groups):
    cdef Layer layer = layer_of(Z, F.shape[1], F.shape[0] // groups, F.shape[2], Y, t, p_h, p_w, groups)
    cdef Py_ssize_t lacking = 0
    with nogil:
        if layer.N > 0:
            lacking = compute(&layer, &Z[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, &b[0], &Y[0, 0, 0, 0], False)
    if lacking:
        no_memory("conv2d_winograd", lacking)


def conv2d_winograd_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                               floating[:, :, :, ::1] dZ, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                               Py_ssize_t groups):
    # C5 at stride 1: Delta, bordered by R - 1 - p_h rows, with the rotated kernels.
    cdef Py_ssize_t R = F.shape[2]
    cdef Layer layer = layer_of(Delta, F.shape[0] // groups, F.shape[1], R, dZ, t, R - 1 - p_h, R - 1 - p_w, groups)
    cdef Py_ssize_t lacking = 0
    with nogil:
        if layer.N > 0:
            lacking = compute(&layer, &Delta[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, NULL, &dZ[0, 0, 0, 0], True)
    if lacking:
        no_memory("conv2d_winograd_grad_input", lacking)


def conv2d_winograd_weight(const floating[:, :, :, ::1] F, /, floating[:, :, :, :, ::1] U, *, Py_ssize_t t,
                           Py_ssize_t groups):
    cdef Py_ssize_t task, C = F.shape[1], K = F.shape[0] // groups, R = F.shape[2]
    cdef Py_ssize_t size = U.shape[1] * U.shape[2] * C * KERNELS
    cdef double work = <double>U.shape[0] * U.shape[1] * U.shape[2] * U.shape[3] * U.shape[4]
    cdef int threads = threads_for(work)
    cdef const floating* f = &F[0, 0, 0, 0]
    cdef floating* u = &U[0, 0, 0, 0, 0]
    for task in prange(U.shape[0], nogil=True, schedule="static", num_threads=threads):
        pack_kernels(f, f + F.shape[0] * C * R * R, u + task * size, task, C, K, Span(0, C), t + R - 1, R, False)


def conv2d_winograd_frozen(const floating[:, :, :, ::1] Z, const floating[:, :, :, :, ::1] U, const floating[::1] b, /,
                           floating[:, :, :, ::1] Y, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                           Py_ssize_t groups):
    cdef Layer layer = layer_of(Z, U.shape[3], Y.shape[1] // groups, U.shape[1] - t + 1, Y, t, p_h, p_w, groups)
    cdef Py_ssize_t lacking = 0
    with nogil:
        if layer.N > 0:
            lacking = compute(&layer, &Z[0, 0, 0, 0], NULL, &U[0, 0, 0, 0, 0], &b[0], &Y[0, 0, 0, 0], False)
    if lacking:
        no_memory("conv2d_winograd_frozen", lacking)
