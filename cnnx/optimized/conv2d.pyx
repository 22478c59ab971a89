"""Convolution: entry points for C1 and C3-C6, from arguments to a plan, and on to the loops in conv/.

Transposed convolution (T1-T3) is C5, C3 and C1 in other roles.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from ._threads cimport threads_for
from .affine_layers cimport Layers, layers_of
from .conv.blocks cimport Arrays, Sums, copy_size
from .conv.epilogue cimport Epilogue, finish_images
from .conv.forward cimport forward_sums
from .conv.grad_bias cimport grad_bias
from .conv.bands_layers cimport MANY, Given, Numbers, compute_bands, forward_layer, grad_input_layer, mostly_padding
from .conv.bands_plan cimport Layer, plan_bands
from .conv.grad_input cimport Phases, find_phases, pack_phases, phase_sums, phases_room
from .conv.grad_weight cimport dF_job, dF_parts
from .conv.grad_weight_lanes cimport LaneMemory, dF_lanes, lanes_pay
from .conv.grad_weight_plan cimport (
    grad_weight_scratch, limit_scratch, plan_grad_weight, scratch_at, term_by_term,
)
from .conv.grad_weight_terms cimport dF_row_by_terms
from .conv.job cimport Job, Lanes
from .conv.lanes cimport plan_lanes
from .conv.loops cimport plan_scratch, sum_all_images
from .microkernel.table cimport Tables, kernels_of, tables_of
from .pack.grad_weight cimport Plan, Scratch
from .pack.taps cimport free_taps, tables_size
from .runtime.integers cimport ceil_div, min_of, plus, times
from .runtime.memory cimport CACHE_LINE, SCRATCH, align_to_line, allocate, no_memory
from .simd.vector cimport lanes_of

from ._microkernels import TABLES
from .affine import LAYERS

cdef const Tables* tables = tables_of(TABLES)
cdef const Layers* layers = layers_of(LAYERS)
cdef Py_ssize_t scratch_limit = SCRATCH
cdef Lanes NO_LANES  # all 0
cdef Epilogue NOTHING_MORE = Epilogue(used=False, away=0, low=0, high=0)


def _limit_scratch(Py_ssize_t bytes):
    # For tests: whatever takes more is cut as very large convolutions are.
    global scratch_limit
    scratch_limit = bytes


cdef inline double multiply_adds(const floating[:, :, :, ::1] Y, const floating[:, :, :, ::1] F) noexcept nogil:
    return <double>Y.shape[0] * Y.shape[1] * Y.shape[2] * Y.shape[3] * F.shape[1] * F.shape[2] * F.shape[3]


cdef inline bint is_affine(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F,
                           const floating[:, :, :, ::1] Y, const Numbers* o) noexcept nogil:
    # Whether a window is the image: outputs are then those of an affine layer, and so are the gradients, term by term.
    return (Y.shape[2] == 1 and Y.shape[3] == 1 and F.shape[2] == Z.shape[2] and F.shape[3] == Z.shape[3]
            and o.groups == 1 and o.p_h == 0 and o.p_w == 0 and (o.d_h == 1 or F.shape[2] == 1)
            and (o.d_w == 1 or F.shape[3] == 1))


cdef inline Py_ssize_t weights_of(const floating[:, :, :, ::1] F) noexcept nogil:
    # Of one output channel.
    return F.shape[1] * F.shape[2] * F.shape[3]


cdef void sum_images_of(const Job* job, const Arrays* arrays, int threads, floating* scratch) noexcept nogil:
    # Not inline: or the loops would be compiled once for C1 and once for C5.
    sum_all_images(job, arrays, threads, scratch)


cdef int sum_bands_of(str kernel, Layer* g, const Given* arrays, floating[:, :, :, ::1] Y, int threads) except -1:
    # Where whole images' copies, or tables, would take more scratch memory than SCRATCH.
    cdef Py_ssize_t bytes
    cdef char* memory
    plan_bands(g, scratch_limit, sizeof(floating), lanes_of(<floating*>NULL), threads)
    bytes = times(threads, g.bytes)
    memory = <char*>allocate(kernel, bytes)
    with nogil:
        compute_bands(g, kernels_of(tables, <floating*>NULL), arrays, Y, threads, memory)
    free(memory)
    return 0


cdef int convolve(str kernel, const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating* b,
                  floating[:, :, :, ::1] Y, const Numbers* o, const Epilogue* epilogue) except -1:
    # C1.
    cdef Py_ssize_t size = Z.shape[2] * Z.shape[3], bytes = 0
    cdef int threads = threads_for(multiply_adds[floating](Y, F))
    cdef Given given
    cdef Layer layer
    cdef Sums sums
    cdef Job job
    cdef Arrays arrays
    cdef Py_ssize_t* offsets
    cdef floating* scratch = NULL
    cdef void* memory
    cdef bint banded
    if Y.shape[0] == 0:
        return 0
    if is_affine(Z, F, Y, o):
        layers.outputs[sizeof(floating) // sizeof(double)](kernel, &Z[0, 0, 0, 0], &F[0, 0, 0, 0], b, &Y[0, 0, 0, 0],
                                                           Z.shape[0], F.shape[0], weights_of(F))
        if epilogue.used:
            finish_images(epilogue, kernels_of(tables, scratch), Y, threads)
        return 0
    banded = multiply_adds(Y, F) > <double>MANY * Y.shape[0]
    if banded:
        layer = forward_layer(Z, F, Y, o)
        banded = mostly_padding(&layer, <double>F.shape[2] * F.shape[3])
    sums.taps.C, sums.taps.R, sums.taps.S = F.shape[1], F.shape[2], F.shape[3]
    bytes = tables_size(&sums.taps)
    banded |= bytes > scratch_limit
    if not banded:
        offsets = <Py_ssize_t*>allocate(kernel, (F.shape[2] + F.shape[3]) * sizeof(Py_ssize_t))
        if not forward_sums(&sums, offsets, Z, F, Y, o, epilogue, kernels_of(tables, scratch)):
            free(offsets)
            no_memory(kernel, bytes)
        job = Job(N=Z.shape[0], groups=o.groups, parts=&sums, count=1, z_image=Z.shape[1] * size,
                  z_group=F.shape[1] * size, y_image=Y.shape[1] * sums.y_k, y_group=sums.K * sums.y_k,
                  start_group=sums.K, planes=0, scratch=copy_size(&sums, lanes_of(scratch)) if sums.copied else 0,
                  tail=0, panel=0, u=1, v=1, H=Y.shape[2], W=Y.shape[3], part=NULL,
                  lanes=NO_LANES)
        plan_lanes(&job, scratch)
        bytes = plus(bytes, times(job.scratch, sizeof(floating)))
        banded = bytes > scratch_limit
        if banded:
            free_taps(&sums.taps)
            free(offsets)
    given = Given(&Z[0, 0, 0, 0], &F[0, 0, 0, 0], b, &Y[0, 0, 0, 0])
    if banded:
        layer = forward_layer(Z, F, Y, o)
        if layer.swapped:
            given.Z, given.F = given.F, given.Z
        sum_bands_of(kernel, &layer, &given, Y, threads)
        if epilogue.used:
            finish_images(epilogue, kernels_of(tables, scratch), Y, threads)
        return 0
    plan_scratch(&job, scratch_limit - bytes, <floating*>NULL)
    bytes = threads * job.scratch * sizeof(floating) + CACHE_LINE
    memory = malloc(bytes)
    if memory != NULL:
        arrays = Arrays(given.Z, given.F, given.b, given.Y)
        with nogil:
            sum_images_of(&job, &arrays, threads, align_to_line(memory, scratch))
    free_taps(&sums.taps)
    free(offsets)
    free(memory)
    if memory == NULL:
        no_memory(kernel, bytes)
    return 0


cdef int convolve_back(str kernel, const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F,
                       const floating* b, floating[:, :, :, ::1] dZ, const Numbers* o) except -1:
    # C5; b is NULL, or has for each of dZ's channels what its sums begin with (T1).
    cdef Py_ssize_t size = Delta.shape[2] * Delta.shape[3], plane = dZ.shape[2] * dZ.shape[3], i, phases, parts
    cdef Py_ssize_t weights = F.shape[0] * F.shape[1] * F.shape[2] * F.shape[3], bytes, shared
    cdef int threads = threads_for(multiply_adds[floating](Delta, F))
    cdef Phases rows = Phases(phases=0, begin=NULL, reached=NULL, offset=NULL), columns = rows
    cdef Py_ssize_t u = o.u, v = o.v, groups = o.groups
    cdef Job job = Job(N=dZ.shape[0], groups=groups, parts=NULL, count=0, z_image=Delta.shape[1] * size,
                       z_group=Delta.shape[1] // groups * size, y_image=dZ.shape[1] * plane,
                       y_group=F.shape[1] * plane, start_group=F.shape[1] if b != NULL else 0, scratch=0, planes=0,
                       tail=0, panel=0, u=u, v=v, H=dZ.shape[2], W=dZ.shape[3], part=NULL, lanes=NO_LANES)
    cdef Given given
    cdef Layer layer
    cdef Arrays arrays
    cdef floating* w = NULL
    cdef floating* zeros = NULL
    cdef floating* scratch = NULL
    cdef bint banded
    if dZ.shape[0] == 0:
        return 0
    if b == NULL and is_affine(dZ, F, Delta, o):
        return layers.grad_input[sizeof(floating) // sizeof(double)](
            kernel, &Delta[0, 0, 0, 0], &F[0, 0, 0, 0], &dZ[0, 0, 0, 0], Delta.shape[0], F.shape[0], weights_of(F))
    phases = min_of(u, dZ.shape[2]) * min_of(v, dZ.shape[3])
    parts = min_of(phases, F.shape[2] * F.shape[3])  # one that no kernel row or column reaches needs no sums
    shared = phases_room(F, dZ.shape[2], dZ.shape[3], u, v, parts, groups)
    bytes = shared
    banded = shared > scratch_limit
    with nogil:
        if (not banded and find_phases(&rows, dZ.shape[2], F.shape[2], u, o.p_h, o.d_h)
                and find_phases(&columns, dZ.shape[3], F.shape[3], v, o.p_w, o.d_w)):
            job.parts = <Sums*>malloc(parts * sizeof(Sums))
            if phases > 1:
                job.part = <int*>malloc(phases * sizeof(int))
            w = <floating*>malloc(weights * sizeof(floating))
            zeros = <floating*>calloc(F.shape[1], sizeof(floating))
            if (job.parts != NULL and (job.part != NULL or phases == 1) and w != NULL and zeros != NULL
                    and phase_sums(&job, &rows, &columns, Delta, F, kernels_of(tables, w))):
                bytes = plus(shared, times(job.scratch, sizeof(floating)))
                banded = bytes > scratch_limit
                if not banded:
                    plan_scratch(&job, scratch_limit - bytes, <floating*>NULL)
                    bytes = threads * job.scratch * sizeof(floating)
                    scratch = <floating*>malloc(bytes)
                if scratch != NULL:
                    pack_phases(&job, &rows, &columns, F, w, threads if groups == 1 else 1)
                    arrays = Arrays(&Delta[0, 0, 0, 0], w, zeros, &dZ[0, 0, 0, 0])
                    if b != NULL:
                        arrays.start = b
                    sum_images_of(&job, &arrays, threads, scratch)
        for i in range(job.count):
            free_taps(&job.parts[i].taps)
        free(zeros)
        free(w)
        free(job.part)
        free(job.parts)
        free(columns.begin)
        free(rows.begin)
        free(scratch)
    if banded:
        layer = grad_input_layer(Delta, F, dZ, o)
        given = Given(&Delta[0, 0, 0, 0], &F[0, 0, 0, 0], b, &dZ[0, 0, 0, 0])
        if layer.swapped:
            given.Z, given.F = given.F, given.Z
        sum_bands_of(kernel, &layer, &given, dZ, threads)
    elif scratch == NULL:
        no_memory(kernel, bytes)
    return 0


cdef inline void clamp_step(Py_ssize_t* d, Py_ssize_t R, Py_ssize_t* p_h, Py_ssize_t H, Py_ssize_t u,
                            Py_ssize_t P) noexcept nogil:
    # A dilation larger than the image plus the outputs' span has the same effect as that span: at most one kernel row
    # meets the image. And a stride d of R outputs larger than the image plus the span of a kernel of P rows, u apart:
    # at most one output does. Clamped, or time would grow with the padding.
    cdef Py_ssize_t span = H + u * (P - 1) + 1, r
    if R == 1:
        d[0] = 1
    elif d[0] > span:
        r = ceil_div(p_h[0] - u * (P - 1), d[0]) if p_h[0] > u * (P - 1) else 0  # the first that is not before it
        r = min_of(r, R)
        p_h[0] = span * r - min_of(d[0] * r - p_h[0], H)
        d[0] = span


cdef int pair_up(str kernel, const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z,
                 floating[:, :, :, ::1] dF, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                 Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups) except -1:
    # C3.
    cdef double work = multiply_adds[floating](Delta, dF)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t job, i
    cdef floating* none = NULL
    cdef void* memory
    cdef Plan g
    cdef LaneMemory lane_memory
    cdef Scratch scratch
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    if work == 0:
        dF[...] = 0
        return 0
    if is_affine(Z, dF, Delta, &numbers):
        return layers.grad_weight[sizeof(floating) // sizeof(double)](
            kernel, &Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], Z.shape[0], dF.shape[0], weights_of(dF))
    clamp_step(&d_h, dF.shape[2], &p_h, Z.shape[2], u, Delta.shape[2])
    clamp_step(&d_w, dF.shape[3], &p_w, Z.shape[3], v, Delta.shape[3])
    clamp_step(&u, Delta.shape[2], &p_h, Z.shape[2], d_h, dF.shape[2])
    clamp_step(&v, Delta.shape[3], &p_w, Z.shape[3], d_w, dF.shape[3])
    g.N, g.H, g.W, g.P, g.Q, g.R, g.S = (Z.shape[0], Z.shape[2], Z.shape[3], Delta.shape[2], Delta.shape[3],
                                         dF.shape[2], dF.shape[3])
    g.C, g.K, g.groups = dF.shape[1], dF.shape[0] // groups, groups
    g.u, g.v, g.p_h, g.p_w, g.d_h, g.d_w = u, v, p_h, p_w, d_h, d_w
    plan_grad_weight(&g, lanes_of(none), threads)
    if term_by_term(&g):
        for i in prange(g.groups * g.K * g.C * g.R, nogil=True, schedule="static", num_threads=threads):
            dF_row_by_terms(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, i)
        return 0
    g.kernels = kernels_of(tables, none)
    if lanes_pay(&g, scratch_limit, sizeof(floating), threads, &lane_memory):
        memory = allocate(kernel, threads * lane_memory.size)
        with nogil:
            dF_lanes(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &lane_memory, threads, <char*>memory)
        free(memory)
        return 0
    limit_scratch(&g, scratch_limit, sizeof(floating), threads)
    memory = allocate(kernel, grad_weight_scratch(&g, sizeof(floating)))
    scratch = scratch_at(&g, memory, sizeof(floating))
    for job in prange(g.jobs, nogil=True, schedule="static", num_threads=threads):
        dF_job(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch, job)
    if g.parts > 1:
        dF_parts(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch)
    free(memory)
    return 0


def conv2d(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
           floating[:, :, :, ::1] Y, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
           Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    convolve[floating]("conv2d", Z, F, &b[0], Y, &numbers, &NOTHING_MORE)


cdef int convolve_and_finish(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b,
                             const floating[:, :, :, ::1] R, floating[:, :, :, ::1] Y, const Numbers* o, double low,
                             double high) except -1:
    cdef Epilogue epilogue = Epilogue(used=True, away=0, low=low, high=high)
    if R is not None and Y.shape[0] > 0:
        epilogue.away = <const char*>&R[0, 0, 0, 0] - <const char*>&Y[0, 0, 0, 0]
    return convolve[floating]("conv2d", Z, F, &b[0], Y, o, &epilogue)


def _finished_float(const float[:, :, :, ::1] Z, const float[:, :, :, ::1] F, const float[::1] b,
                    const float[:, :, :, ::1] R, float[:, :, :, ::1] Y, double low, double high,
                    tuple numbers):
    cdef Numbers o
    o.u, o.v, o.p_h, o.p_w, o.d_h, o.d_w, o.groups = numbers
    convolve_and_finish(Z, F, b, R, Y, &o, low, high)


def _finished_double(const double[:, :, :, ::1] Z, const double[:, :, :, ::1] F, const double[::1] b,
                     const double[:, :, :, ::1] R, double[:, :, :, ::1] Y, double low, double high,
                     tuple numbers):
    cdef Numbers o
    o.u, o.v, o.p_h, o.p_w, o.d_h, o.d_w, o.groups = numbers
    convolve_and_finish(Z, F, b, R, Y, &o, low, high)


# For compiled networks: a convolution, then + R where that is not None, then clipped to low ... high, while outputs are
# in the cache. The bits are those of conv2d, add and clip. R is no part of Y.
FINISHED = {"float32": _finished_float, "float64": _finished_double}


def conv2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                      floating[:, :, :, ::1] dZ, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                      Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    convolve_back[floating]("conv2d_grad_input", Delta, F, NULL, dZ, &numbers)


def conv2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                       floating[:, :, :, ::1] dF, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                       Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    pair_up[floating]("conv2d_grad_weight", Delta, Z, dF, u, v, p_h, p_w, d_h, d_w, groups)


def conv2d_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[::1] db):
    grad_bias(Delta, db)


def conv_transpose2d(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
                     floating[:, :, :, ::1] Y, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                     Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    # T1: what C5 makes of a Delta, made of Z.
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    convolve_back[floating]("conv_transpose2d", Z, F, &b[0], Y, &numbers)


def conv_transpose2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                                floating[:, :, :, ::1] dZ, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                                Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    # T3: Delta, convolved (C1).
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    cdef Py_ssize_t bytes = dZ.shape[1] * sizeof(floating)
    cdef floating* zeros = <floating*>allocate("conv_transpose2d_grad_input", bytes)
    memset(zeros, 0, bytes)
    try:
        convolve[floating]("conv_transpose2d_grad_input", Delta, F, zeros, dZ, &numbers, &NOTHING_MORE)
    finally:
        free(zeros)


def conv_transpose2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                                 floating[:, :, :, ::1] dF, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                                 Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    # T2: C3 with Z and Delta in each other's place.
    pair_up[floating]("conv_transpose2d_grad_weight", Z, Delta, dF, u, v, p_h, p_w, d_h, d_w, groups)
