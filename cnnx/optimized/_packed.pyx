"""Layers of a compiled network whose weights are packed once: C1 of few positions, F1 of few samples.

No kernels: they have the bits of conv2d's and affine's, term by term. Their lanes are output channels, for which the
weights have to lie in panels, [panel][term][lane]; packed at each call, that would cost more than it saves.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.math cimport INFINITY
from libc.stdlib cimport free

from ._threads cimport threads_for
from .affine_dots cimport FEW_OUTPUTS
from .affine_loops cimport Shape, Y_few, few_size
from .conv.epilogue cimport Epilogue
from .conv.packed cimport PackedLayer, multiply_all_packed, packed_scratch
from .microkernel.multiply_accumulate cimport VECTORS
from .microkernel.table cimport Microkernels, Tables, kernels_of, tables_of
from .pack.panel cimport first_column, pack_transposed, padded, panels_of
from .pack.taps cimport copy_of, free_taps, plan_taps, set_extents, tables_size
from .runtime.integers cimport max_of, min_of, share, times
from .runtime.memory cimport align_to_line, allocate, no_memory, scratch, whole_lines
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)


cdef enum:
    MOST_VECTORS = 16  # of an image's positions: beyond, hardly a lane would be empty if those were the lanes
    MANY_TERMS = 128  # so many are worth that sums are transposed
    MOST_UNROLLED = 262_144  # numbers of an image: they stay in the cache
    MOST_WORK = 1_000_000_000  # from there on conv2d may leave terms of padding out: MANY of conv/bands_layers.pxd
    MOST_BYTES = 16_777_216  # of weights that a few samples pass by: more of them come from memory, however they lie


cdef bint samples_pay(const floating[:, ::1] w, Py_ssize_t samples):
    # Of few outputs affine's sums have another order.
    return (w.shape[0] > FEW_OUTPUTS and 2 * samples <= lanes_of(<floating*>NULL)
            and times(times(w.shape[0], w.shape[1]), sizeof(floating)) <= MOST_BYTES)


def _pays_samples(const floating[:, ::1] w, Py_ssize_t samples):
    """Whether F1 of so many samples is faster with packed weights [output][term]."""
    return samples_pay(w, samples)


def _pays(const floating[:, ::1] F, Py_ssize_t images, Py_ssize_t positions, bint as_it_lies):
    """Whether C1 at so many positions is, by weights [output channel][term]. Where windows are of one number and meet
    each number of the image, that serves as it lies. conv2d puts the ends of several images together."""
    cdef Py_ssize_t lanes = lanes_of(<floating*>NULL), panel = VECTORS * lanes, K = F.shape[0], T = F.shape[1]
    if positions == 1:  # an affine layer, of one sample
        return images == 1 and samples_pay(F, 1)
    if 2 * K < panel or positions > MOST_VECTORS * lanes:
        return False
    if images > 1:
        return as_it_lies and (T >= 2 * MANY_TERMS or positions <= lanes)
    if as_it_lies:
        return T >= MANY_TERMS or positions < 2 * panel
    return (T >= MANY_TERMS and positions < 2 * panel and times(T, positions) <= MOST_UNROLLED
            and <double>K * T * positions <= MOST_WORK)


def _padded(const floating[:, ::1] F):
    """Numbers that a matrix takes in panels."""
    return padded(F.shape[0], <floating*>NULL) * F.shape[1]


def _pack(const floating[:, ::1] F, floating[::1] panels):
    """A matrix [output channel][term], in panels: as affine_loops.pxd would lay it out, a panel after the other."""
    cdef floating* packed = &panels[0]
    cdef Py_ssize_t K = F.shape[0], C = F.shape[1], p, k
    for p in range(panels_of(K, packed)):
        k = first_column(p, K, packed)
        pack_transposed(&F[k, 0], C, C, min_of(first_column(p + 1, K, packed), K) - k,
                        first_column(p + 1, K, packed) - k, packed + k * C)


cdef bint plan_unrolled(PackedLayer* g, const floating[:, :, :, ::1] Z, const floating[:, :, :, ::1] Y,
                        Py_ssize_t* offsets, tuple window):
    # False when there is no memory.
    cdef Py_ssize_t R, S, u, v, p_h, p_w, d_h, d_w, r, s
    R, S, u, v, p_h, p_w, d_h, d_w = window
    for r in range(R):
        offsets[r] = d_h * r - p_h
    for s in range(S):
        offsets[R + s] = d_w * s - p_w
    set_extents(&g.taps, 1, Z.shape[2], Z.shape[3], Y.shape[2], Y.shape[3], u, v)
    g.taps.down, g.taps.R, g.taps.right, g.taps.S = offsets, R, offsets + R, S
    g.taps.kernels, g.taps.source = g.kernels, &Z[0, 0, 0, 0]
    g.taps.source_end = &Z[0, 0, 0, 0] + Z.shape[0] * Z.shape[1] * g.source
    return plan_taps(&g.taps, lanes_of(<floating*>NULL))


def _conv2d(const floating[:, :, :, ::1] Z, const floating[::1] panels, const floating[::1] b,
            const floating[:, :, :, ::1] R, floating[:, :, :, ::1] Y, double low, double high, tuple window):
    """C1; then + R where that is not None; then clipped.

    window: R, S, u, v, p_h, p_w, d_h, d_w; None where images serve as they lie.
    """
    cdef PackedLayer g
    cdef floating* tag = NULL
    cdef int threads
    cdef Py_ssize_t size = packed_scratch(tag), unrolled = 0, images, n
    cdef Py_ssize_t* offsets = NULL
    cdef void* raw = NULL
    cdef floating* memory
    g.N, g.K, g.C, g.P, g.source = (Y.shape[0], Y.shape[1], Z.shape[1], Y.shape[2] * Y.shape[3],
                                    Z.shape[2] * Z.shape[3])
    g.T, g.unrolled, g.kernels = g.C, window is not None, kernels_of(tables, tag)
    g.epilogue = Epilogue(used=R is not None or low > -INFINITY or high < INFINITY, away=0, low=low, high=high)
    if R is not None:
        g.epilogue.away = <const char*>&R[0, 0, 0, 0] - <const char*>&Y[0, 0, 0, 0]
    if g.unrolled:
        g.T *= window[0] * window[1]
        offsets = <Py_ssize_t*>allocate("conv2d", (window[0] + window[1]) * sizeof(Py_ssize_t))
        if not plan_unrolled[floating](&g, Z, Y, offsets, window):
            free(offsets)
            no_memory("conv2d", tables_size(&g.taps))
        size = max_of(size, copy_of(&g.taps, 1))
        unrolled = g.T * g.P
    size = whole_lines(size * sizeof(floating)) // <Py_ssize_t>sizeof(floating)
    threads = threads_for(<double>g.N * g.K * g.P * g.T)
    try:
        raw = scratch("conv2d", threads * size + unrolled, tag)
        memory = align_to_line(raw, tag)
        images = g.N
        g.N = 1 if g.unrolled else images  # one is unrolled at a time
        with nogil:
            n = 0
            while n < images:
                multiply_all_packed(&g, &Z[n, 0, 0, 0], &panels[0], &b[0], &Y[n, 0, 0, 0], threads, memory, size,
                                    memory + threads * size)
                n += g.N
    finally:
        if g.unrolled:
            free_taps(&g.taps)
        free(offsets)
        free(raw)


def _affine(const floating[:, ::1] Z, const floating[::1] panels, const floating[::1] b, floating[:, ::1] Y):
    """F1."""
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Shape g = Shape(Z.shape[0], Y.shape[1], Z.shape[1])
    cdef Py_ssize_t count = panels_of(g.I, tag), parts = min_of(threads_for(<double>g.N * g.I * g.J), count), part
    cdef void* raw
    cdef floating* room
    if g.N == 0:
        return
    raw = scratch("affine", parts * few_size(tag), tag)
    room = align_to_line(raw, tag)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts):
        Y_few(kernels, &Z[0, 0], &panels[0], &b[0], &Y[0, 0], &g, True, room + part * few_size(tag),
              share(part, parts, count, 1, count))
    free(raw)
