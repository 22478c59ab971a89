"""Convolution: entry points for C1 and C3-C6, from arguments to a plan, and on to the loops in conv/."""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport calloc, free, malloc

from ._threads cimport threads_for
from .conv.blocks cimport Arrays, Sums, copy_size, planes_at_a_time
from .conv.depthwise cimport plan_plane
from .conv.grad_bias cimport grad_bias
from .conv.bands_layers cimport MANY, Given, Numbers, compute_bands, forward_layer, grad_input_layer, mostly_padding
from .conv.bands_plan cimport Layer, plan_bands
from .conv.grad_input cimport Phases, find_phases, pack_phases, phase_sums, phases_room
from .conv.grad_weight cimport dF_job, dF_parts
from .conv.grad_weight_plan cimport (
    grad_weight_scratch, limit_scratch, plan_grad_weight, scratch_at, term_by_term,
)
from .conv.grad_weight_terms cimport dF_row_by_terms
from .conv.loops cimport Job, plan_scratch, sum_all_images
from .microkernel.multiply_accumulate cimport IN_ROWS, VECTORS
from .microkernel.table cimport Tables, kernels_of, tables_of
from .pack.grad_weight cimport Plan, Scratch
from .pack.taps cimport free_taps, plan_taps, set_extents, tables_size
from .runtime.integers cimport ceil_div, min_of, plus, times
from .runtime.memory cimport SCRATCH, allocate, no_memory
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)
cdef Py_ssize_t scratch_limit = SCRATCH


def _limit_scratch(Py_ssize_t bytes):
    # For tests: whatever takes more is cut as very large convolutions are.
    global scratch_limit
    scratch_limit = bytes


cdef inline double multiply_adds(const floating[:, :, :, ::1] Y, const floating[:, :, :, ::1] F) noexcept nogil:
    return <double>Y.shape[0] * Y.shape[1] * Y.shape[2] * Y.shape[3] * F.shape[1] * F.shape[2] * F.shape[3]


cdef inline bint forward_sums(Sums* m, Py_ssize_t* offsets, const floating[:, :, :, ::1] Z,
                              const floating[:, :, :, ::1] F, const floating[:, :, :, ::1] Y,
                              Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
                              Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups) noexcept nogil:
    # C1: output (p, q) takes row u p + d_h r - p_h and column v q + d_w s - p_w. False when there is no memory.
    cdef Py_ssize_t lanes = lanes_of(<floating*>NULL), r, s, c
    cdef Py_ssize_t P = Y.shape[2], Q = Y.shape[3], size = Z.shape[2] * Z.shape[3]
    for r in range(F.shape[2]):
        offsets[r] = d_h * r - p_h
    for s in range(F.shape[3]):
        offsets[F.shape[2] + s] = d_w * s - p_w
    set_extents(&m.taps, F.shape[1], Z.shape[2], Z.shape[3], P, Q, u, v)
    m.taps.down, m.taps.R = offsets, F.shape[2]
    m.taps.right, m.taps.S = offsets + F.shape[2], F.shape[3]
    m.taps.kernels = kernels_of(tables, &Z[0, 0, 0, 0])
    m.taps.source = &Z[0, 0, 0, 0]
    m.taps.source_end = &Z[0, 0, 0, 0] + Z.shape[0] * Z.shape[1] * size
    m.K = F.shape[0] // groups
    m.T = F.shape[1] * F.shape[2] * F.shape[3]
    m.source = size
    m.w_is = IN_ROWS
    m.y = 0
    m.y_k = P * Q
    m.w = 0
    m.w_group = m.K * F.shape[1] * F.shape[2] * F.shape[3]
    # A window of one number needs no copy, but for planes that fall on one another in the cache.
    m.copied = not (F.shape[2] * F.shape[3] == 1 and u == 1 and v == 1 and P * Q == size
                    and P * Q >= 2 * VECTORS * lanes and size * <Py_ssize_t>sizeof(floating) % 4096 != 0)
    if not plan_taps(&m.taps, lanes):
        return False
    m.planes = planes_at_a_time(m, sizeof(floating))
    plan_plane(&m.plane, &m.taps, m.K, sizeof(floating), lanes)
    if not m.copied:
        m.plane.used = False
        for c in range(m.taps.C):
            m.taps.tap[c] = c * size
    return True


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


def conv2d(const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] F, const floating[::1] b, /,
           floating[:, :, :, ::1] Y, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h, Py_ssize_t p_w,
           Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Py_ssize_t size = Z.shape[2] * Z.shape[3], bytes = 0
    cdef int threads = threads_for(multiply_adds[floating](Y, F))
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    cdef Given given
    cdef Layer layer
    cdef Sums sums
    cdef Job job
    cdef Arrays arrays
    cdef Py_ssize_t* offsets
    cdef floating* scratch = NULL
    cdef bint banded
    if Y.shape[0] == 0:
        return
    banded = multiply_adds(Y, F) > <double>MANY * Y.shape[0]
    if banded:
        layer = forward_layer(Z, F, Y, &numbers)
        banded = mostly_padding(&layer, <double>F.shape[2] * F.shape[3])
    sums.taps.C, sums.taps.R, sums.taps.S = F.shape[1], F.shape[2], F.shape[3]
    bytes = tables_size(&sums.taps)
    banded |= bytes > scratch_limit
    if not banded:
        offsets = <Py_ssize_t*>allocate("conv2d", (F.shape[2] + F.shape[3]) * sizeof(Py_ssize_t))
        if not forward_sums(&sums, offsets, Z, F, Y, u, v, p_h, p_w, d_h, d_w, groups):
            free(offsets)
            no_memory("conv2d", bytes)
        job = Job(N=Z.shape[0], groups=groups, parts=&sums, count=1, z_image=Z.shape[1] * size,
                  z_group=F.shape[1] * size, y_image=Y.shape[1] * sums.y_k, y_group=sums.K * sums.y_k,
                  start_group=sums.K, planes=0, scratch=copy_size(&sums, lanes_of(scratch)) if sums.copied else 0,
                  tail=0, panel=0, u=1, v=1, H=Y.shape[2], W=Y.shape[3], part=NULL)
        bytes = plus(bytes, times(job.scratch, sizeof(floating)))
        banded = bytes > scratch_limit
        if banded:
            free_taps(&sums.taps)
            free(offsets)
    given = Given(&Z[0, 0, 0, 0], &F[0, 0, 0, 0], &b[0], &Y[0, 0, 0, 0])
    if banded:
        layer = forward_layer(Z, F, Y, &numbers)
        if layer.rows.reversed:
            given.Z, given.F = given.F, given.Z
        sum_bands_of("conv2d", &layer, &given, Y, threads)
        return
    plan_scratch(&job, scratch_limit - bytes, <floating*>NULL)
    bytes = threads * job.scratch * sizeof(floating)
    scratch = <floating*>malloc(bytes)
    if scratch != NULL:
        arrays = Arrays(given.Z, given.F, given.b, given.Y)
        with nogil:
            sum_images_of(&job, &arrays, threads, scratch)
    free_taps(&sums.taps)
    free(offsets)
    free(scratch)
    if scratch == NULL:
        no_memory("conv2d", bytes)


def conv2d_grad_input(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] F, /,
                      floating[:, :, :, ::1] dZ, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                      Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef Py_ssize_t size = Delta.shape[2] * Delta.shape[3], plane = dZ.shape[2] * dZ.shape[3], i, phases, parts
    cdef Py_ssize_t weights = F.shape[0] * F.shape[1] * F.shape[2] * F.shape[3], bytes, shared
    cdef int threads = threads_for(multiply_adds[floating](Delta, F))
    cdef Phases rows = Phases(phases=0, begin=NULL, reached=NULL, offset=NULL), columns = rows
    cdef Job job = Job(N=dZ.shape[0], groups=groups, parts=NULL, count=0, z_image=Delta.shape[1] * size,
                       z_group=Delta.shape[1] // groups * size, y_image=dZ.shape[1] * plane,
                       y_group=F.shape[1] * plane, start_group=0, scratch=0, planes=0, tail=0, panel=0, u=u,
                       v=v, H=dZ.shape[2], W=dZ.shape[3], part=NULL)
    cdef Numbers numbers = Numbers(u, v, p_h, p_w, d_h, d_w, groups)
    cdef Given given
    cdef Layer layer
    cdef Arrays arrays
    cdef floating* w = NULL
    cdef floating* zeros = NULL
    cdef floating* scratch = NULL
    cdef bint banded
    if dZ.shape[0] == 0:
        return
    phases = min_of(u, dZ.shape[2]) * min_of(v, dZ.shape[3])
    parts = min_of(phases, F.shape[2] * F.shape[3])  # one that no kernel row or column reaches needs no sums
    shared = phases_room(F, dZ.shape[2], dZ.shape[3], u, v, parts, groups)
    bytes = shared
    banded = shared > scratch_limit
    with nogil:
        if (not banded and find_phases(&rows, dZ.shape[2], F.shape[2], u, p_h, d_h)
                and find_phases(&columns, dZ.shape[3], F.shape[3], v, p_w, d_w)):
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
        layer = grad_input_layer(Delta, F, dZ, &numbers)
        given = Given(&Delta[0, 0, 0, 0], &F[0, 0, 0, 0], NULL, &dZ[0, 0, 0, 0])
        if layer.source == given.F:
            given.Z, given.F = given.F, given.Z
        sum_bands_of("conv2d_grad_input", &layer, &given, dZ, threads)
    elif scratch == NULL:
        no_memory("conv2d_grad_input", bytes)


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


def conv2d_grad_weight(const floating[:, :, :, ::1] Delta, const floating[:, :, :, ::1] Z, /,
                       floating[:, :, :, ::1] dF, *, Py_ssize_t u, Py_ssize_t v, Py_ssize_t p_h,
                       Py_ssize_t p_w, Py_ssize_t d_h, Py_ssize_t d_w, Py_ssize_t groups):
    cdef double work = multiply_adds[floating](Delta, dF)
    cdef int threads = threads_for(work)
    cdef Py_ssize_t job, i
    cdef floating* none = NULL
    cdef void* memory
    cdef Plan g
    cdef Scratch scratch
    if work == 0:
        dF[...] = 0
        return
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
        return
    limit_scratch(&g, scratch_limit, sizeof(floating), threads)
    g.kernels = kernels_of(tables, none)
    memory = allocate("conv2d_grad_weight", grad_weight_scratch(&g, sizeof(floating)))
    scratch = scratch_at(&g, memory, sizeof(floating))
    for job in prange(g.jobs, nogil=True, schedule="static", num_threads=threads):
        dF_job(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch, job)
    if g.parts > 1:
        dF_parts(&Delta[0, 0, 0, 0], &Z[0, 0, 0, 0], &dF[0, 0, 0, 0], &g, &scratch)
    free(memory)


def conv2d_grad_bias(const floating[:, :, :, ::1] Delta, /, floating[::1] db):
    grad_bias(Delta, db)
