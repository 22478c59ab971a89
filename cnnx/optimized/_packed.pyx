"""Layers of a compiled network whose weights are packed once: C1 of windows of one number, F1 of few samples.

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
from .runtime.integers cimport min_of, share
from .runtime.memory cimport align_to_line, scratch
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)


cdef enum:
    MOST_POSITIONS = 256  # of an image: beyond, whole vectors of positions leave hardly a lane empty
    MANY_TERMS = 128  # so many are worth that sums are transposed


def _pays(const floating[:, ::1] F, Py_ssize_t positions):
    """Whether C1 at so many positions is faster so, by these weights [output channel][term]."""
    cdef Py_ssize_t panel = VECTORS * lanes_of(<floating*>NULL)
    return (2 * F.shape[0] >= panel and positions <= MOST_POSITIONS
            and (F.shape[1] >= MANY_TERMS or positions < 2 * panel))


def _pays_samples(const floating[:, ::1] w, Py_ssize_t samples):
    """Whether F1 of so many samples is. Of few outputs the sums have another order."""
    return w.shape[0] > FEW_OUTPUTS and 2 * samples <= lanes_of(<floating*>NULL)


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


def _conv2d(const floating[:, :, :, ::1] Z, const floating[::1] panels, const floating[::1] b,
            const floating[:, :, :, ::1] R, floating[:, :, :, ::1] Y, double low, double high):
    """C1 of windows of one number, at a stride of 1; then + R where that is not None; then clipped."""
    cdef PackedLayer g
    cdef floating* tag = NULL
    cdef int threads = threads_for(<double>Y.shape[0] * Y.shape[1] * Y.shape[2] * Y.shape[3] * Z.shape[1])
    cdef void* raw
    if Y.shape[0] == 0:
        return
    g.N, g.K, g.C, g.P = Y.shape[0], Y.shape[1], Z.shape[1], Y.shape[2] * Y.shape[3]
    g.epilogue = Epilogue(used=R is not None or low > -INFINITY or high < INFINITY, away=0, low=low, high=high)
    if R is not None:
        g.epilogue.away = <const char*>&R[0, 0, 0, 0] - <const char*>&Y[0, 0, 0, 0]
    g.kernels = kernels_of(tables, tag)
    raw = scratch("conv2d", threads * packed_scratch(tag), tag)
    with nogil:
        multiply_all_packed(&g, &Z[0, 0, 0, 0], &panels[0], &b[0], &Y[0, 0, 0, 0], threads, align_to_line(raw, tag))
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
