"""Convolution by Winograd's algorithm, W1-W3: transformed kernels times transformed tiles, number by number."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ._threads cimport threads_for
from .conv.winograd_plan cimport Layer, plan_layer
from .conv.winograd_tiles cimport Tiles, sum_tiles
from .microkernel.table cimport Tables, kernels_of, tables_of
from .pack.winograd_weight cimport KERNELS, pack_kernels
from .runtime.counter cimport take
from .runtime.integers cimport ceil_div
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


cdef bint compute(Layer* layer, const floating* Z, const floating* F, const floating* ready, const floating* b,
                  floating* Y, Py_ssize_t m, bint rotated) noexcept nogil:
    # Y from Z and the kernels F, or, where F is NULL, transformed kernels; b = NULL counts as zeros. False: no memory.
    cdef double work = <double>layer.N * layer.groups * layer.C * layer.K * layer.P * layer.Q * (4 if m == 2 else 2.25)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t lanes = lanes_of(Y), C = layer.C, task, worker, first = 0
    cdef Py_ssize_t* next = &first
    cdef Tiles tiles
    cdef Py_ssize_t tasks = plan_layer(layer, m, lanes, sizeof(floating), threads)
    cdef Py_ssize_t kernel_tasks = layer.groups * ceil_div(layer.K, KERNELS)
    cdef Py_ssize_t numbers = layer.a * layer.a * kernel_tasks * C * KERNELS if F != NULL else 0
    cdef Py_ssize_t biases = layer.groups * layer.K + KERNELS
    cdef size_t room = (numbers + threads * layer.numbers + biases) * sizeof(floating)
    room += 2 * C * sizeof(Py_ssize_t) + 128
    cdef char* memory = <char*>malloc(room)
    if memory == NULL:
        return False
    ask_for_large_pages(memory, room)
    cdef floating* scratch = <floating*>(memory + 64 - <size_t>memory % 64)
    cdef floating* U = scratch + threads * layer.numbers
    cdef floating* zeros = U + numbers
    cdef Py_ssize_t* taps = <Py_ssize_t*>(<char*>(zeros + biases) + (-<size_t>(zeros + biases) % 64))
    memset(zeros, 0, biases * sizeof(floating))
    for task in range(C):
        taps[task] = task * layer.width
        taps[C + task] = task * KERNELS  # of what comes next
    if F != NULL:
        for task in prange(kernel_tasks, schedule="static", num_threads=threads):
            pack_kernels(F, F + layer.groups * layer.K * C * 9, U, task, C, layer.K, m, rotated)
        ready = U
    if b == NULL:
        b = zeros
    tiles = Tiles(Z, ready, b, Y, kernels_of(tables, Z), taps, zeros)
    for worker in prange(threads, schedule="static", num_threads=threads):
        sum_next_tiles(layer, &tiles, scratch + worker * layer.numbers, next, tasks)
    free(memory)
    return True


cdef Layer layer_of(const floating[:, :, :, ::1] Z, Py_ssize_t C, Py_ssize_t K, const floating[:, :, :, ::1] Y,
                    Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t groups) noexcept nogil:
    cdef Layer layer
    layer.N, layer.C, layer.K, layer.groups = Z.shape[0], C, K, groups
    layer.H, layer.W, layer.P, layer.Q = Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3]
    layer.p_h, layer.p_w = p_h, p_w
    return layer


def conv2d_winograd(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
                    floating[:, :, :, ::1] Y, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w, Py_ssize_t groups):
    cdef Layer layer = layer_of(Z, F.shape[1], F.shape[0] // groups, Y, p_h, p_w, groups)
    cdef bint done = True
    with nogil:
        if layer.N > 0:
            done = compute(&layer, &Z[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, &b[0], &Y[0, 0, 0, 0], t, False)
    if not done:
        raise MemoryError("conv2d_winograd: no memory for the transformed kernels and tiles")


def conv2d_winograd_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                               floating[:, :, :, ::1] dZ, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                               Py_ssize_t groups):
    # C5 at stride 1: Delta, bordered by 2 - p_h rows, with the rotated kernels.
    cdef Layer layer = layer_of(Delta, F.shape[0] // groups, F.shape[1], dZ, 2 - p_h, 2 - p_w, groups)
    cdef bint done = True
    with nogil:
        if layer.N > 0:
            done = compute(&layer, &Delta[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, NULL, &dZ[0, 0, 0, 0], t, True)
    if not done:
        raise MemoryError("conv2d_winograd_grad_input: no memory for the transformed kernels and tiles")


def conv2d_winograd_weight(const floating[:, :, :, ::1] F, /, floating[:, :, :, :, ::1] U, *, Py_ssize_t t,
                           Py_ssize_t groups):
    cdef Py_ssize_t task, C = F.shape[1], K = F.shape[0] // groups
    cdef double work = <double>U.shape[0] * U.shape[1] * U.shape[2] * U.shape[3] * U.shape[4]
    cdef int threads = threads_for(work)
    cdef const floating* f = &F[0, 0, 0, 0]
    cdef floating* u = &U[0, 0, 0, 0, 0]
    for task in prange(U.shape[0], nogil=True, schedule="static", num_threads=threads):
        pack_kernels(f, f + F.shape[0] * C * 9, u, task, C, K, t, False)


def conv2d_winograd_frozen(const floating[:, :, :, ::1] Z, const floating[:, :, :, :, ::1] U, const floating[::1] b, /,
                           floating[:, :, :, ::1] Y, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                           Py_ssize_t groups):
    cdef Layer layer = layer_of(Z, U.shape[3], Y.shape[1] // groups, Y, p_h, p_w, groups)
    cdef bint done = True
    with nogil:
        if layer.N > 0:
            done = compute(&layer, &Z[0, 0, 0, 0], NULL, &U[0, 0, 0, 0, 0], &b[0], &Y[0, 0, 0, 0], t, False)
    if not done:
        raise MemoryError("conv2d_winograd_frozen: no memory for the transformed tiles")
