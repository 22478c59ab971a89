"""Convolution by Winograd's algorithm, W1-W3: transformed kernels times transformed tiles, number by number.

Each lane of a vector is a tile. A block of tiles, which run on over rows and images, is transformed channel by channel,
multiplied with the transformed kernels, and its products are transformed back, PART output channels at a time.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ._ahead cimport fetch_span
from ._index cimport least, most, up
from ._threads cimport threads_for
from ._tile cimport PANEL, VECTORS, panel_ahead
from ._vector cimport MOST_LANES, doubles, floats, lanes_in, lanes_of, size_of, vector, vector_at
from ._winograd cimport across, back, copy_row, down
from ._winograd_kernels cimport KERNELS, kernels_task
from ._winograd_plan cimport PART, Layer, Run, planned, runs_of


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


cdef void inputs(const Layer* layer, const void* Z, Py_ssize_t first_c, const Run* runs, Py_ssize_t run_count,
                 Py_ssize_t width, void* V, void* s, void* shifted, void* d, vector* kind) noexcept nogil:
    # W2: V[i, j, c, tile] for a block of tiles.
    cdef Py_ssize_t size = size_of(kind), lanes = lanes_in(kind), m = layer.m, a = layer.a
    cdef Py_ssize_t pitch = m * layer.width + lanes, d_pitch, c, r, i, h, w, z, d_run, left, right, target, columns
    cdef const void* source
    cdef Run run
    memset(d, 0, a * layer.width * (m + 2 + lanes) * size)  # padding stays as it is while the channels change
    memset(s, 0, a * pitch * size)
    memset(shifted, 0, a * pitch * size)
    for c in range(layer.C):
        d_run = 0
        for r in range(run_count):
            run = runs[r]
            w = m * run.column - layer.p_w
            d_pitch = m * run.count + 2 + lanes
            left, right = most(0, -w), least(m * run.count + 2, layer.W - w)
            for i in range(a):
                h = m * run.row - layer.p_h + i
                if 0 <= h < layer.H and left < right:
                    z = (((run.n * layer.groups * layer.C + first_c + c) * layer.H + h) * layer.W + w + left)
                    if c + 1 < layer.C:
                        fetch_span(vector_at(Z, z + layer.H * layer.W, kind), (right - left) * size, NULL)
                    copy_row(vector_at(Z, z, kind), vector_at(d, d_run + i * d_pitch + left, kind), right - left, kind)
            source, target, columns = vector_at(d, d_run, kind), m * run.first, m * run.count
            if m == 2:
                down(source, d_pitch, vector_at(s, target, kind), pitch, columns, kind, 2)
                down(vector_at(source, 2, kind), d_pitch, vector_at(shifted, target, kind), pitch, columns, kind, 2)
            else:
                down(source, d_pitch, vector_at(s, target, kind), pitch, columns, kind, 4)
                down(vector_at(source, 4, kind), d_pitch, vector_at(shifted, target, kind), pitch, columns, kind, 4)
            d_run += a * d_pitch
        if m == 2:
            across(s, shifted, pitch, vector_at(V, c * layer.width, kind), layer.step, width, kind, 2)
        else:
            across(s, shifted, pitch, vector_at(V, c * layer.width, kind), layer.step, width, kind, 4)


cdef void products(const Layer* layer, const void* U, Py_ssize_t first_k, Py_ssize_t group, Py_ssize_t count,
                   const void* V, const Py_ssize_t* taps, const void* zeros, void* M, Py_ssize_t width,
                   vector* kind) noexcept nogil:
    # M[i, j, k, tile] = sum_c U[i, j, k, c] V[i, j, c, tile] for `count` output channels from first_k.
    cdef Py_ssize_t numbers = layer.a * layer.a, side = layer.C * KERNELS, ij, kernels, k
    cdef const void* first = vector_at(U, (group * up(layer.K, KERNELS) + first_k // KERNELS) * numbers * side, kind)
    cdef const void* u
    cdef const void* v
    cdef const void* ahead
    cdef void* y
    for ij in range(numbers):
        v = vector_at(V, ij * layer.step, kind)
        for kernels in range(up(count, KERNELS)):
            k = kernels * KERNELS
            u = vector_at(first, (kernels * numbers + ij) * side, kind)
            ahead = vector_at(u, numbers * side, kind)
            if k + KERNELS >= count:
                ahead = vector_at(first, (ij + 1) % numbers * side, kind)
            y = vector_at(M, ij * layer.M_step + k * layer.width, kind)
            if vector is floats:
                panel_ahead[float](<const float*>u, KERNELS, 1, <const float*>v, taps, layer.C, <const float*>zeros,
                                   <float*>y, layer.width, width, least(KERNELS, count - k), <const float*>ahead,
                                   taps + layer.C)
            else:
                panel_ahead[double](<const double*>u, KERNELS, 1, <const double*>v, taps, layer.C, <const double*>zeros,
                                    <double*>y, layer.width, width, least(KERNELS, count - k), <const double*>ahead,
                                    taps + layer.C)


cdef void outputs(const Layer* layer, const void* M, const void* b, Py_ssize_t first_k, Py_ssize_t count,
                  const Run* runs, Py_ssize_t run_count, Py_ssize_t width, void* Y, void* y,
                  vector* kind) noexcept nogil:
    # W3: the products of `count` output channels (from first_k of all) become outputs.
    cdef Py_ssize_t lanes = lanes_in(kind), m = layer.m
    cdef Py_ssize_t pitch = m * layer.width + lanes, k, r, i, target
    cdef const void* source
    cdef Run run
    for k in range(count):
        source = vector_at(M, k * layer.width, kind)
        if m == 2:
            back(source, layer.M_step, vector_at(b, first_k + k, kind), y, pitch, width, kind, 2)
        else:
            back(source, layer.M_step, vector_at(b, first_k + k, kind), y, pitch, width, kind, 4)
        for r in range(run_count):
            run = runs[r]
            for i in range(least(m, layer.P - m * run.row)):
                target = ((run.n * layer.groups * layer.K + first_k + k) * layer.P + m * run.row + i) * layer.Q
                copy_row(vector_at(y, i * pitch + m * run.first, kind), vector_at(Y, target + m * run.column, kind),
                         least(m * run.count, layer.Q - m * run.column), kind)


cdef void task_of(const Layer* layer, const void* Z, const void* U, const void* b, void* Y, const Py_ssize_t* taps,
                  const void* zeros, void* scratch, Py_ssize_t task, vector* kind) noexcept nogil:
    # Task number (group, block of tiles, part of the group's output channels).
    cdef Py_ssize_t lanes = lanes_in(kind)
    cdef Py_ssize_t group = task // (layer.blocks * layer.parts), part = task % layer.parts
    cdef Py_ssize_t start = task // layer.parts % layer.blocks * layer.width
    cdef Py_ssize_t end = least(start + layer.width, layer.N * layer.rows * layer.columns)
    cdef Py_ssize_t per_part = up(up(layer.K, KERNELS), layer.parts) * KERNELS
    cdef Py_ssize_t k = part * per_part, last_k = least(layer.K, k + per_part), count
    cdef Py_ssize_t row = layer.a * (layer.m * layer.width + lanes), width, run_count
    cdef Run runs[VECTORS * MOST_LANES]  # no more than there are tiles
    cdef void* V = scratch
    cdef void* M = vector_at(V, layer.a * layer.a * layer.step, kind)
    cdef void* s = vector_at(M, layer.a * layer.a * layer.M_step, kind)
    cdef void* shifted = vector_at(s, row, kind)
    cdef void* d = vector_at(shifted, row, kind)
    if k >= last_k:
        return
    run_count = runs_of(layer, start, end, runs)
    width = layer.width if PANEL > 0 else up(end - start, lanes) * lanes  # a panel's terms have no gaps between them
    inputs(layer, Z, group * layer.C, runs, run_count, width, V, s, shifted, d, kind)
    while k < last_k:
        count = least(PART, last_k - k)
        products(layer, U, k, group, count, V, taps, zeros, M, width, kind)
        outputs(layer, M, b, group * layer.K + k, count, runs, run_count, width, Y, s, kind)
        k += count


cdef inline void tiles_task(const Layer* layer, const floating* Z, const floating* U, const floating* b, floating* Y,
                            const Py_ssize_t* taps, const floating* zeros, floating* scratch,
                            Py_ssize_t task) noexcept nogil:
    if floating is float:
        task_of[floats](layer, Z, U, b, Y, taps, zeros, scratch, task, NULL)
    else:
        task_of[doubles](layer, Z, U, b, Y, taps, zeros, scratch, task, NULL)


# ------------------------------------------------------------------------------------------- the calls


cdef bint computed(Layer* layer, const floating* Z, const floating* F, const floating* ready, const floating* b,
                   floating* Y, Py_ssize_t m, bint turned) noexcept nogil:
    # Y from Z and the kernels F, or, where F is NULL, transformed kernels; b = NULL counts as zeros. False: no memory.
    cdef double work = <double>layer.N * layer.groups * layer.C * layer.K * layer.P * layer.Q * (4 if m == 2 else 2.25)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t lanes = lanes_of(Y), C = layer.C, task
    cdef Py_ssize_t tasks = planned(layer, m, lanes, sizeof(floating), threads)
    cdef Py_ssize_t kernel_tasks = layer.groups * up(layer.K, KERNELS)
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
            kernels_task(F, F + layer.groups * layer.K * C * 9, U, task, C, layer.K, m, turned)
        ready = U
    if b == NULL:
        b = zeros
    for task in prange(tasks, schedule="dynamic", num_threads=threads):
        tiles_task(layer, Z, ready, b, Y, taps, zeros, scratch + threadid() * layer.numbers, task)
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
            done = computed(&layer, &Z[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, &b[0], &Y[0, 0, 0, 0], t, False)
    if not done:
        raise MemoryError("conv2d_winograd: no memory for the transformed kernels and tiles")


def conv2d_winograd_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                               floating[:, :, :, ::1] dZ, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                               Py_ssize_t groups):
    # C5 at stride 1: Delta, bordered by 2 - p_h rows, with the turned kernels.
    cdef Layer layer = layer_of(Delta, F.shape[0] // groups, F.shape[1], dZ, 2 - p_h, 2 - p_w, groups)
    cdef bint done = True
    with nogil:
        if layer.N > 0:
            done = computed(&layer, &Delta[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, NULL, &dZ[0, 0, 0, 0], t, True)
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
        kernels_task(f, f + F.shape[0] * C * 9, u, task, C, K, t, False)


def conv2d_winograd_frozen(const floating[:, :, :, ::1] Z, const floating[:, :, :, :, ::1] U, const floating[::1] b, /,
                           floating[:, :, :, ::1] Y, *, Py_ssize_t t, Py_ssize_t p_h, Py_ssize_t p_w,
                           Py_ssize_t groups):
    cdef Layer layer = layer_of(Z, U.shape[3], Y.shape[1] // groups, Y, p_h, p_w, groups)
    cdef bint done = True
    with nogil:
        if layer.N > 0:
            done = computed(&layer, &Z[0, 0, 0, 0], NULL, &U[0, 0, 0, 0, 0], &b[0], &Y[0, 0, 0, 0], t, False)
    if not done:
        raise MemoryError("conv2d_winograd_frozen: no memory for the transformed tiles")
