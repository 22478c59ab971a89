"""Products of stacks of matrices, repeated by NumPy's rules: J3-J5, shared among threads.

Each is one of affine's loops, member by member of the stack, without a transposed copy: J3 is dZ = Delta w, J4 is
Y = Z w^T and J5 is dw = Delta^T Z. A sum over repeated members goes on term by term, in the order of the stack.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memset

from ._threads cimport threads_for
from .affine_loops cimport (
    FIRST_CACHE, GROUP, PANELS, SECOND_CACHE, Shape, Y_part, dZ_part, dw_part, panels_within, tables_size, too_large,
)
from .microkernel.multiply_accumulate cimport ROWS, VECTORS
from .microkernel.table cimport Microkernels, Tables, kernels_of, tables_of
from .pack.panel cimport TERMS, padded, panels_of
from .runtime.integers cimport Span, ceil_div, max_of, min_of, share
from .runtime.memory cimport align_to_line, scratch
from .simd.vector cimport lanes_of

from ._microkernels import TABLES

cdef const Tables* tables = tables_of(TABLES)

cdef enum:
    AXES = 4  # before the matrices' own two


# ------------------------------------------------------------------------------------------------- stacks

cdef struct Stack:
    # The members of a result X, axis by axis, and those that each is a sum over; how far a step along an axis goes in
    # the two factors, in members: 0 where one is repeated.
    Py_ssize_t kept[AXES]
    Py_ssize_t summed[AXES]
    Py_ssize_t first[AXES]
    Py_ssize_t second[AXES]
    Py_ssize_t count, terms


cdef inline Stack stack_of(const Py_ssize_t* Y, const Py_ssize_t* X, const Py_ssize_t* first,
                           const Py_ssize_t* second) noexcept nogil:
    # By the shapes: of Y, of the result and of the two factors.
    cdef Stack s
    cdef Py_ssize_t a = 1, b = 1
    cdef int axis
    s.count, s.terms = 1, 1
    for axis in range(AXES - 1, -1, -1):
        s.kept[axis] = X[axis]
        s.summed[axis] = Y[axis] if X[axis] == 1 else 1
        s.first[axis] = a if first[axis] != 1 else 0
        s.second[axis] = b if second[axis] != 1 else 0
        s.count *= s.kept[axis]
        s.terms *= s.summed[axis]
        a *= first[axis]
        b *= second[axis]
    return s


cdef inline Py_ssize_t place(Py_ssize_t i, const Py_ssize_t* extent, const Py_ssize_t* step) noexcept nogil:
    cdef Py_ssize_t at = 0
    cdef int axis
    for axis in range(AXES - 1, -1, -1):
        at += i % extent[axis] * step[axis]
        i //= extent[axis]
    return at


cdef struct Task:
    # A member of the result, a part of its rows and of its panels of columns; which members of the factors come first.
    Py_ssize_t member, first, second
    Span rows, panels


cdef struct Cut:
    # How a member is shared among threads, where there are fewer members than threads, or few more.
    Py_ssize_t pieces, rows, blocks, panels
    bint by_rows


cdef inline Cut cut_of(Py_ssize_t count, Py_ssize_t rows, Py_ssize_t panels, Py_ssize_t threads) noexcept nogil:
    cdef Cut cut
    cut.rows, cut.blocks, cut.panels = rows, ceil_div(rows, ROWS), panels
    cut.by_rows = cut.blocks >= 16 * threads or panels < threads
    cut.pieces = 1
    if count % threads != 0 and count < 8 * threads:
        cut.pieces = min_of(threads, cut.blocks if cut.by_rows else panels)
    return cut


cdef inline Task task_of(Py_ssize_t i, const Cut* cut, const Stack* s) noexcept nogil:
    cdef Task task
    cdef Py_ssize_t piece = i % cut.pieces
    task.member = i // cut.pieces
    task.first, task.second = place(task.member, s.kept, s.first), place(task.member, s.kept, s.second)
    task.rows, task.panels = Span(0, cut.rows), Span(0, cut.panels)
    if cut.by_rows:
        task.rows = share(piece, cut.pieces, cut.blocks, ROWS, cut.rows)
    else:
        task.panels = share(piece, cut.pieces, cut.panels, 1, cut.panels)
    return task


# ----------------------------------------------------------------------------------------------- products


cdef inline void Y_tasks(const Microkernels* kernels, const floating* A, const floating* B, floating* Y, const Stack* s,
                         const Shape* g, const Cut* cut, floating* memory, Span tasks) noexcept nogil:
    # J3. Shape: rows of A, its columns, columns of B.
    cdef Py_ssize_t i
    cdef Task task
    for i in range(tasks.first, tasks.end):
        task = task_of(i, cut, s)
        dZ_part(kernels, A + task.first * g.N * g.I, B + task.second * g.I * g.J, Y + task.member * g.N * g.J, g,
                memory, task.rows, task.panels)


def matmul(const floating[:, :, :, :, :, ::1] A, const floating[:, :, :, :, :, ::1] B, /,
           floating[:, :, :, :, :, ::1] Y):
    cdef Shape g = Shape(A.shape[AXES], A.shape[AXES + 1], B.shape[AXES + 1])
    cdef Stack s = stack_of(Y.shape, Y.shape, A.shape, B.shape)
    cdef int threads = threads_for(<double>s.count * g.N * g.I * g.J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Cut cut = cut_of(s.count, g.N, panels_of(g.J, tag), threads)
    cdef Py_ssize_t tasks = s.count * cut.pieces, parts = min_of(threads, tasks), part, size
    cdef void* raw
    cdef floating* room
    if s.count == 0 or g.N == 0 or g.J == 0:
        return
    if g.I == 0:
        memset(&Y[0, 0, 0, 0, 0, 0], 0, s.count * g.N * g.J * sizeof(floating))
        return
    size = tables_size(tag) + max_of(FIRST_CACHE // <Py_ssize_t>sizeof(floating), TERMS * VECTORS * lanes_of(tag))
    raw = scratch("matmul", parts * size, tag)
    room = align_to_line(raw, tag)
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        Y_tasks(kernels, &A[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &Y[0, 0, 0, 0, 0, 0], &s, &g, &cut,
                room + part * size, share(part, parts, tasks, 1, tasks))
    free(raw)


cdef inline void dA_tasks(const Microkernels* kernels, const floating* Delta, const floating* B, floating* dA,
                          const Stack* s, const Shape* g, const Cut* cut, const floating* zeros, floating* memory,
                          Py_ssize_t sums, Py_ssize_t at_once, Span tasks) noexcept nogil:
    # J4. Shape: rows of Delta, of B, columns of both. The first term starts from zeros, those behind it go on.
    cdef Py_ssize_t i, t
    cdef Task task
    for i in range(tasks.first, tasks.end):
        task = task_of(i, cut, s)
        for t in range(s.terms):
            Y_part(kernels, Delta + (task.first + place(t, s.summed, s.first)) * g.N * g.J,
                   B + (task.second + place(t, s.summed, s.second)) * g.I * g.J, zeros if t == 0 else NULL,
                   dA + task.member * g.N * g.I, g, NULL, memory + sums, at_once, memory, task.rows, task.panels)


def matmul_grad_a(const floating[:, :, :, :, :, ::1] Delta, const floating[:, :, :, :, :, ::1] A,
                  const floating[:, :, :, :, :, ::1] B, /, floating[:, :, :, :, :, ::1] dA):
    cdef Shape g = Shape(A.shape[AXES], B.shape[AXES], B.shape[AXES + 1])
    cdef Stack s = stack_of(Delta.shape, A.shape, Delta.shape, B.shape)
    cdef int threads = threads_for(<double>s.count * s.terms * g.N * g.I * g.J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Cut cut = cut_of(s.count, g.I, panels_of(g.N, tag), threads)
    cdef Py_ssize_t tasks = s.count * cut.pieces, parts = min_of(threads, tasks), part, i
    cdef Py_ssize_t width = PANELS * VECTORS * lanes_of(tag), sums = tables_size(tag) + GROUP * width
    cdef Py_ssize_t own = min_of(width, padded(g.N, tag)) * g.J, at_once = g.J, size
    cdef void* raw
    cdef floating* room
    cdef floating* zeros
    if s.count == 0 or g.N == 0 or g.I == 0:
        return
    if s.terms == 0 or g.J == 0:
        memset(&dA[0, 0, 0, 0, 0, 0], 0, s.count * g.N * g.I * sizeof(floating))
        return
    if too_large(own, tag):
        at_once = TERMS
        own = width * TERMS
    size = own + sums
    raw = scratch("matmul_grad_a", parts * size + g.I, tag)
    room = align_to_line(raw, tag)
    zeros = room + parts * size
    for i in range(g.I):
        zeros[i] = 0
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        dA_tasks(kernels, &Delta[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &dA[0, 0, 0, 0, 0, 0], &s, &g, &cut, zeros,
                 room + part * size, sums, at_once, share(part, parts, tasks, 1, tasks))
    free(raw)


cdef inline void dB_tasks(const Microkernels* kernels, const floating* A, const floating* Delta, floating* dB,
                          const Stack* s, const Shape* g, const Cut* cut, floating* memory, Span tasks) noexcept nogil:
    # J5. Shape: rows of A and Delta, columns of A, of Delta.
    cdef Py_ssize_t i, t
    cdef Task task
    for i in range(tasks.first, tasks.end):
        task = task_of(i, cut, s)
        for t in range(s.terms):
            dw_part(kernels, A + (task.first + place(t, s.summed, s.first)) * g.N * g.I,
                    Delta + (task.second + place(t, s.summed, s.second)) * g.N * g.J, dB + task.member * g.I * g.J, g,
                    NULL, memory, task.rows, task.panels, t > 0)


def matmul_grad_b(const floating[:, :, :, :, :, ::1] Delta, const floating[:, :, :, :, :, ::1] A,
                  const floating[:, :, :, :, :, ::1] B, /, floating[:, :, :, :, :, ::1] dB):
    cdef Shape g = Shape(A.shape[AXES], B.shape[AXES], B.shape[AXES + 1])
    cdef Stack s = stack_of(Delta.shape, B.shape, A.shape, Delta.shape)
    cdef int threads = threads_for(<double>s.count * s.terms * g.N * g.I * g.J)
    cdef floating* tag = NULL
    cdef const Microkernels* kernels = kernels_of(tables, tag)
    cdef Py_ssize_t panels = panels_of(g.J, tag)
    cdef Cut cut = cut_of(s.count, g.I, panels, threads)
    cdef Py_ssize_t tasks = s.count * cut.pieces, parts = min_of(threads, tasks), part, own
    cdef void* raw
    cdef floating* room
    if s.count == 0 or g.I == 0 or g.J == 0:
        return
    if s.terms == 0 or g.N == 0:
        memset(&dB[0, 0, 0, 0, 0, 0], 0, s.count * g.I * g.J * sizeof(floating))
        return
    own = panels_within(SECOND_CACHE, min_of(g.N, TERMS), panels) * VECTORS * lanes_of(tag) * min_of(g.N, TERMS)
    own += tables_size(tag)
    raw = scratch("matmul_grad_b", parts * own, tag)
    room = align_to_line(raw, tag)
    for part in prange(parts, nogil=True, schedule="static", num_threads=threads):
        dB_tasks(kernels, &A[0, 0, 0, 0, 0, 0], &Delta[0, 0, 0, 0, 0, 0], &dB[0, 0, 0, 0, 0, 0], &s, &g, &cut,
                 room + part * own, share(part, parts, tasks, 1, tasks))
    free(raw)
