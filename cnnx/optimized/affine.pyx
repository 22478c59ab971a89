"""Affine (fully connected) layer: F1-F3, shared among threads. affine_loops.pxd has each thread's part."""

from cpython.pycapsule cimport PyCapsule_New
from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free

from ._threads cimport threads_for
from .affine_dots cimport FEW_OUTPUTS, Y_dots, dw_few
from .affine_layers cimport LayerGradient, LayerOutputs, Layers
from .affine_loops cimport (
    FIRST_CACHE, GROUP, PANELS, SECOND_CACHE, Shape, Y_few, Y_part, dZ_part, dw_part, few_size, pack_columns,
    pack_samples, panels_within, tables_size, too_large,
)
from .microkernel.multiply_accumulate cimport ROWS, VECTORS
from .microkernel.table cimport Microkernels, Tables, kernels_of, tables_of
from .pack.panel cimport TERMS, first_column, padded, panels_of
from .runtime.integers cimport Span, ceil_div, max_of, min_of, share
from .runtime.memory cimport align_to_line, scratch
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)

cdef enum:
    COLUMNS = 64  # of db at a time


cdef inline bint share_rows(Py_ssize_t blocks, Py_ssize_t panels, Py_ssize_t threads) noexcept nogil:
    # Whether threads had better share blocks of rows than panels of columns, by the largest part of either. Panels are
    # packed by the thread that reads them, but packed beforehand for all where rows are shared.
    cdef double of_rows = <double>(ceil_div(blocks, threads)) / blocks
    cdef double of_panels = <double>(ceil_div(panels, threads)) / panels
    return of_rows < of_panels - 0.02 or (of_rows < of_panels + 0.02 and panels < 8 * threads and threads > 1)


cdef inline bint few_samples(Py_ssize_t N, floating* tag) noexcept nogil:
    # Whether lanes had better be outputs than samples. That w is transposed pays with 16 lanes: one sample takes half
    # of the time; with 8 it does not (784 inputs, 100 outputs).
    return lanes_of(tag) >= 16 and 2 * N <= lanes_of(tag)


cdef int layer_outputs(str kernel, const floating* Z, const floating* w, const floating* b, floating* Y,
                       Py_ssize_t N, Py_ssize_t I, Py_ssize_t J) except -1:  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Shape g = Shape(N, I, J)
    cdef Py_ssize_t width = PANELS * VECTORS * lanes_of(tag), T = J
    cdef Py_ssize_t sums = tables_size(tag) + GROUP * width, own
    cdef Py_ssize_t blocks = ceil_div(I, ROWS), panels = panels_of(N, tag), parts, part
    cdef bint by_rows
    cdef void* raw
    cdef floating* room
    cdef floating* shared = NULL
    if I <= FEW_OUTPUTS:
        parts = min_of(threads, N)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_dots(Z, w, b, Y, N * part // parts, N * (part + 1) // parts, I, J)
        return 0
    if few_samples(N, tag):
        panels = panels_of(I, tag)
        parts = min_of(threads, panels)
        raw = scratch(kernel, parts * few_size(tag), tag)
        room = align_to_line(raw, tag)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_few(kernels, Z, w, b, Y, &g, False, room + part * few_size(tag),
                  share(part, parts, panels, 1, panels))
        free(raw)
        return 0
    own = min_of(width, padded(N, tag)) * J
    if too_large(own, tag):
        T = TERMS
        own = width * T
    if share_rows(blocks, panels, threads) and not too_large(padded(N, tag) * J, tag):
        parts = min_of(threads, blocks)
        raw = scratch(kernel, padded(N, tag) * J + parts * sums, tag)
        shared = align_to_line(raw, tag)
        room = shared + padded(N, tag) * J
        for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
            pack_samples(Z, shared + first_column(part, N, tag) * J, part, N, J, J)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_part(kernels, Z, w, b, Y, &g, shared, shared, J, room + part * sums,
                   share(part, parts, blocks, ROWS, I), Span(0, panels))
    else:
        by_rows = panels < threads and share_rows(blocks, panels, threads)
        parts = min_of(threads, blocks if by_rows else panels)
        raw = scratch(kernel, parts * (own + sums), tag)
        room = align_to_line(raw, tag)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            Y_part(kernels, Z, w, b, Y, &g, shared, room + part * (own + sums) + sums, T,
                   room + part * (own + sums), share(part, parts, blocks, ROWS, I) if by_rows else Span(0, I),
                   Span(0, panels) if by_rows else share(part, parts, panels, 1, panels))
    free(raw)
    return 0


cdef int layer_grad_input(str kernel, const floating* Delta, const floating* w, floating* dZ, Py_ssize_t N,
                          Py_ssize_t I, Py_ssize_t J) except -1:  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Shape g = Shape(N, I, J)
    cdef Py_ssize_t blocks = ceil_div(N, ROWS), panels = panels_of(J, tag), parts, part, size
    cdef void* raw
    cdef floating* room
    size = tables_size(tag) + max_of(FIRST_CACHE // <Py_ssize_t>sizeof(floating), TERMS * VECTORS * lanes_of(tag))
    if blocks >= 16 * threads or panels < threads:  # every thread packs w
        parts = min_of(threads, blocks)
        raw = scratch(kernel, parts * size, tag)
        room = align_to_line(raw, tag)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dZ_part(kernels, Delta, w, dZ, &g, room + part * size,
                    share(part, parts, blocks, ROWS, N), Span(0, panels))
    else:
        parts = min_of(threads, panels)
        raw = scratch(kernel, parts * size, tag)
        room = align_to_line(raw, tag)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dZ_part(kernels, Delta, w, dZ, &g, room + part * size, Span(0, N),
                    share(part, parts, panels, 1, panels))
    free(raw)
    return 0


cdef int layer_grad_weight(str kernel, const floating* Delta, const floating* Z, floating* dw, Py_ssize_t N,
                           Py_ssize_t I, Py_ssize_t J) except -1:  # no-cython-lint
    cdef int threads = threads_for(<double>N * I * J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Shape g = Shape(N, I, J)
    cdef Py_ssize_t blocks = ceil_div(I, ROWS), panels = panels_of(J, tag), parts, part, own
    cdef bint by_rows
    cdef void* raw
    cdef floating* room
    cdef floating* shared = NULL
    if I <= FEW_OUTPUTS:
        for part in prange(threads, nogil=True, schedule="static", num_threads=threads):
            dw_few(Delta, Z, dw, N, I, J, J * part // threads, J * (part + 1) // threads)
        return 0
    if share_rows(blocks, panels, threads) and not too_large(padded(J, tag) * N, tag):
        parts = min_of(threads, blocks)
        own = tables_size(tag)
        raw = scratch(kernel, padded(J, tag) * N + parts * own, tag)
        shared = align_to_line(raw, tag)
        room = shared + padded(J, tag) * N
        for part in prange(panels, nogil=True, schedule="static", num_threads=threads):
            pack_columns(Z, shared + first_column(part, J, tag) * N, part, N, J)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dw_part(kernels, Delta, Z, dw, &g, shared, room + part * own,
                    share(part, parts, blocks, ROWS, I), Span(0, panels), False)
    else:
        by_rows = panels < threads and share_rows(blocks, panels, threads)
        parts = min_of(threads, blocks if by_rows else panels)
        own = panels_within(SECOND_CACHE, min_of(N, TERMS), panels) * VECTORS * lanes_of(tag) * min_of(N, TERMS)
        own += tables_size(tag)
        raw = scratch(kernel, parts * own, tag)
        room = align_to_line(raw, tag)
        for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
            dw_part(kernels, Delta, Z, dw, &g, shared, room + part * own,
                    share(part, parts, blocks, ROWS, I) if by_rows else Span(0, I),
                    Span(0, panels) if by_rows else share(part, parts, panels, 1, panels), False)
    free(raw)
    return 0


def affine(const floating[:, ::1] Z, const floating[:, ::1] w, const floating[::1] b, /, floating[:, ::1] Y):
    if Z.shape[0] > 0:
        layer_outputs("affine", &Z[0, 0], &w[0, 0], &b[0], &Y[0, 0], Z.shape[0], w.shape[0], w.shape[1])


def affine_grad_input(const floating[:, ::1] Delta, const floating[:, ::1] w, /, floating[:, ::1] dZ):
    if Delta.shape[0] > 0:
        layer_grad_input("affine_grad_input", &Delta[0, 0], &w[0, 0], &dZ[0, 0], Delta.shape[0], w.shape[0],
                         w.shape[1])


def affine_grad_weight(const floating[:, ::1] Delta, const floating[:, ::1] Z, /, floating[:, ::1] dw):
    if Z.shape[0] > 0:
        layer_grad_weight("affine_grad_weight", &Delta[0, 0], &Z[0, 0], &dw[0, 0], Z.shape[0], dw.shape[0],
                          dw.shape[1])
    else:
        dw[:, :] = 0


cdef inline void db_columns(const floating[:, ::1] Delta, floating[::1] db, Py_ssize_t first_i,
                            Py_ssize_t width) noexcept nogil:
    # F2.
    cdef Py_ssize_t n, i
    cdef double total[COLUMNS]
    for i in range(COLUMNS):
        total[i] = 0
    for n in range(Delta.shape[0]):
        if width == COLUMNS:
            for i in range(COLUMNS):
                total[i] += Delta[n, first_i + i]
        else:
            for i in range(width):
                total[i] += Delta[n, first_i + i]
    for i in range(width):
        db[first_i + i] = <floating>total[i]


def affine_grad_bias(const floating[:, ::1] Delta, /, floating[::1] db):
    cdef Py_ssize_t I = db.shape[0], part  # no-cython-lint
    cdef int threads = threads_for(<double>Delta.shape[0] * I)
    for part in prange(ceil_div(I, COLUMNS), nogil=True, schedule="static", num_threads=threads):
        db_columns(Delta, db, part * COLUMNS, min_of(COLUMNS, I - part * COLUMNS))


cdef Layers layers
layers.outputs = [<LayerOutputs>layer_outputs[float], <LayerOutputs>layer_outputs[double]]
layers.grad_input = [<LayerGradient>layer_grad_input[float], <LayerGradient>layer_grad_input[double]]
layers.grad_weight = [<LayerGradient>layer_grad_weight[float], <LayerGradient>layer_grad_weight[double]]

LAYERS = PyCapsule_New(&layers, "cnnx.affine", NULL)
