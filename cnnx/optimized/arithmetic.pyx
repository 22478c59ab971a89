"""Sums and products of two arrays, repeated by NumPy's rules: J1, J2.

Axes next to each other along which the same operands are repeated are walked as one: arrays of one shape are one run.
A repeated operand's gradient is a sum in double, in parts that the shapes alone determine.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.stdlib cimport free
from libc.string cimport memcpy

from ._threads cimport MEMORY, threads_for
from .runtime.integers cimport ceil_div, max_of, min_of
from .runtime.memory cimport allocate
from .simd.multiply_add cimport multiply_add
from .simd.reduce cimport NUMBERS, PRODUCTS, sum_runs

cdef enum:
    AXES = 6
    CHUNK = 8192  # elements that one thread computes
    PART = 16384  # terms of one sum, of neighbours, that one thread sums up, about
    ROWS = 256  # terms of a row of sums that one thread sums up
    COLUMNS = 256  # sums of a row that are taken at once

cdef enum operation:
    ADD
    MULTIPLY


# ------------------------------------------------------------------------------------------------- walks

cdef struct Walk:
    # The elements of Y, axis by axis, the last one fastest; how far each step goes in Y, A and B: 0 where A or B is
    # repeated. kept and summed: how many elements there are along the axes where A is not repeated, and where it is.
    int axes
    Py_ssize_t extent[AXES]
    Py_ssize_t y[AXES]
    Py_ssize_t a[AXES]
    Py_ssize_t b[AXES]
    Py_ssize_t length, runs, kept, summed


cdef inline Walk walk_of(const Py_ssize_t* Y, const Py_ssize_t* A, const Py_ssize_t* B) noexcept nogil:
    # By the shapes. B may be A, where there is no other.
    cdef Walk g
    cdef Py_ssize_t y = 1, a = 1, b = 1, step_a, step_b
    cdef int axis, last = -1
    g.axes, g.kept, g.summed = 0, 1, 1
    for axis in range(AXES - 1, -1, -1):
        if Y[axis] != 1:
            step_a = a if A[axis] != 1 else 0
            step_b = b if B[axis] != 1 else 0
            if last >= 0 and (step_a != 0) == (g.a[last] != 0) and (step_b != 0) == (g.b[last] != 0):
                g.extent[last] *= Y[axis]
            else:
                last += 1
                g.extent[last], g.y[last], g.a[last], g.b[last] = Y[axis], y, step_a, step_b
            if step_a != 0:
                g.kept *= Y[axis]
            else:
                g.summed *= Y[axis]
        y *= Y[axis]
        a *= A[axis]
        b *= B[axis]
    if last < 0:
        last = 0
        g.extent[0], g.y[0], g.a[0], g.b[0] = 1, 1, 1, 1
    g.axes = last + 1  # the fastest axis stands first
    g.length = g.extent[0]
    g.runs = g.kept * g.summed // max_of(1, g.length)
    return g


# ------------------------------------------------------------------------------------- element by element


cdef inline void run(const floating* A, const floating* B, floating* Y, Py_ssize_t length, const Walk* g,
                     operation kind) noexcept nogil:
    cdef Py_ssize_t i
    cdef floating a, b
    if g.a[0] == 0:
        a = A[0]
        for i in range(length):
            Y[i] = a + B[i] if kind == ADD else a * B[i]
    elif g.b[0] == 0:
        b = B[0]
        for i in range(length):
            Y[i] = A[i] + b if kind == ADD else A[i] * b
    else:
        for i in range(length):
            Y[i] = A[i] + B[i] if kind == ADD else A[i] * B[i]


cdef inline void chunk(const floating* A, const floating* B, floating* Y, const Walk* g, Py_ssize_t first,
                       Py_ssize_t end, operation kind) noexcept nogil:
    # The elements first..end-1 of Y.
    cdef Py_ssize_t i, k, at_a, at_b, skipped, length
    cdef int axis
    while first < end:
        i = first // g.length
        skipped = first - i * g.length
        length = min_of(end - first, g.length - skipped)
        at_a, at_b = skipped * g.a[0], skipped * g.b[0]
        for axis in range(1, g.axes):
            k = i % g.extent[axis]
            i //= g.extent[axis]
            at_a += k * g.a[axis]
            at_b += k * g.b[axis]
        run(A + at_a, B + at_b, Y + first, length, g, kind)
        first += length


cdef inline void elements(const floating* A, const floating* B, floating* Y, const Walk* g,
                          operation kind) noexcept:
    cdef Py_ssize_t i, count = g.kept * g.summed
    cdef int threads = threads_for(<double>MEMORY * count)
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        chunk(A, B, Y, g, i * CHUNK, min_of(count, (i + 1) * CHUNK), kind)


cdef inline void copy(const floating* Delta, floating* dA, Py_ssize_t count) noexcept:
    cdef Py_ssize_t i
    cdef int threads = threads_for(<double>MEMORY * count)
    for i in prange(ceil_div(count, CHUNK), nogil=True, schedule="static", num_threads=threads):
        memcpy(dA + i * CHUNK, Delta + i * CHUNK, min_of(CHUNK, count - i * CHUNK) * sizeof(floating))


# ------------------------------------------------------------------------------------------------- sums


cdef inline void split(const Walk* g, Py_ssize_t i, bint summed, int first, Py_ssize_t* y,
                       Py_ssize_t* b) noexcept nogil:
    # Where in Y and B the i-th place along the axes from `first` on is that are summed, or along the others.
    cdef Py_ssize_t k
    cdef int axis
    for axis in range(first, g.axes):
        if (g.a[axis] == 0) == summed:
            k = i % g.extent[axis]
            i //= g.extent[axis]
            y[0] += k * g.y[axis]
            b[0] += k * g.b[axis]


cdef inline double neighbours(const floating* Delta, const floating* B, const Walk* g, Py_ssize_t j, Py_ssize_t first,
                              Py_ssize_t end, Py_ssize_t pieces, operation kind) noexcept nogil:
    # Of the sum j, whose terms lie in runs, the pieces first..end-1 of runs.
    cdef Py_ssize_t piece, y, b, at_y = 0, at_b = 0, start
    cdef double total = 0
    split(g, j, False, 1, &at_y, &at_b)
    for piece in range(first, end):
        start = piece % pieces * PART
        y, b = at_y + start, at_b + start
        split(g, piece // pieces, True, 1, &y, &b)
        if kind == ADD:
            total += sum_runs(Delta + y, Delta + y, 0, 1, min_of(PART, g.length - start), 0, NUMBERS)
        else:
            total += sum_runs(Delta + y, B + b, 0, 1, min_of(PART, g.length - start), 0, PRODUCTS)
    return total


cdef inline void columns(const floating* Delta, const floating* B, const Walk* g, Py_ssize_t row, Py_ssize_t start,
                         Py_ssize_t width, Py_ssize_t first, Py_ssize_t end, operation kind,
                         double* total) noexcept nogil:
    # Of a row of sums, whose terms lie in rows, those from `start` on: the terms first..end-1.
    cdef Py_ssize_t i, j, y, b, at_y = start, at_b = start * g.b[0]
    split(g, row, False, 1, &at_y, &at_b)
    for j in range(width):
        total[j] = 0
    for i in range(first, end):
        y, b = at_y, at_b
        split(g, i, True, 1, &y, &b)
        if kind == ADD:
            for j in range(width):
                total[j] += Delta[y + j]
        elif g.b[0] == 0:
            for j in range(width):
                total[j] = multiply_add(<double>Delta[y + j], <double>B[b], total[j])
        else:
            for j in range(width):
                total[j] = multiply_add(<double>Delta[y + j], <double>B[b + j], total[j])


cdef struct Cut:
    # Tasks: a part of the terms of some sums. pieces: of a run; terms: pieces or rows in a part; blocks: of a row.
    Py_ssize_t pieces, terms, parts, blocks, tasks


cdef inline void sums_task(const floating* Delta, const floating* B, const Walk* g, const Cut* c, Py_ssize_t task,
                           double* totals, floating* dA, operation kind) noexcept nogil:
    cdef double total[COLUMNS]
    cdef Py_ssize_t part = task % c.parts, block = task // c.parts, first = part * c.terms, j, start, width, out
    if g.a[0] == 0:
        width, out = 1, block
        total[0] = neighbours(Delta, B, g, block, first,
                              min_of(g.summed // g.length * c.pieces, first + c.terms), c.pieces, kind)
    else:
        start = block % c.blocks * COLUMNS
        width, out = min_of(COLUMNS, g.length - start), block // c.blocks * g.length + start
        columns(Delta, B, g, block // c.blocks, start, width, first, min_of(g.summed, first + c.terms), kind, total)
    for j in range(width):
        if c.parts == 1:
            dA[out + j] = <floating>total[j]
        else:
            totals[part * g.kept + out + j] = total[j]


cdef inline Cut cut_of(const Walk* g) noexcept nogil:
    cdef Cut c
    c.pieces, c.blocks = 1, 1
    if g.a[0] == 0:
        c.pieces = ceil_div(g.length, PART)
        c.terms = max_of(1, PART // g.length)
        c.parts = ceil_div(g.summed // g.length * c.pieces, c.terms)
        c.tasks = g.kept * c.parts
    else:
        c.blocks = ceil_div(g.length, COLUMNS)
        c.terms = ROWS
        c.parts = ceil_div(g.summed, ROWS)
        c.tasks = g.kept // g.length * c.blocks * c.parts
    return c


cdef int sums(const floating* Delta, const floating* B, floating* dA, const Walk* g, operation kind) except -1:
    cdef Cut c = cut_of(g)
    cdef double* totals = NULL
    cdef double total
    cdef Py_ssize_t task, part, j
    cdef int threads = threads_for(<double>g.kept * g.summed)
    if c.parts > 1:
        totals = <double*>allocate("add" if kind == ADD else "multiply", c.parts * g.kept * sizeof(double))
    for task in prange(c.tasks, nogil=True, schedule="static", num_threads=threads):
        sums_task(Delta, B, g, &c, task, totals, dA, kind)
    if c.parts > 1:
        for j in range(g.kept):
            total = 0
            for part in range(c.parts):
                total += totals[part * g.kept + j]
            dA[j] = <floating>total
        free(totals)
    return 0


# ----------------------------------------------------------------------------------------------- kernels


def add(const floating[:, :, :, :, :, ::1] A, const floating[:, :, :, :, :, ::1] B, /,
        floating[:, :, :, :, :, ::1] Y):
    cdef Walk g = walk_of(Y.shape, A.shape, B.shape)
    if g.kept * g.summed > 0:
        # J1
        elements(&A[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &Y[0, 0, 0, 0, 0, 0], &g, ADD)


def multiply(const floating[:, :, :, :, :, ::1] A, const floating[:, :, :, :, :, ::1] B, /,
             floating[:, :, :, :, :, ::1] Y):
    cdef Walk g = walk_of(Y.shape, A.shape, B.shape)
    if g.kept * g.summed > 0:
        # J2
        elements(&A[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &Y[0, 0, 0, 0, 0, 0], &g, MULTIPLY)


cdef int gradient(const floating[:, :, :, :, :, ::1] Delta, const floating[:, :, :, :, :, ::1] A,
                  const floating[:, :, :, :, :, ::1] B, floating[:, :, :, :, :, ::1] dA,
                  operation kind) except -1:
    cdef Walk g = walk_of(Delta.shape, A.shape, B.shape)
    cdef Py_ssize_t j, count = 1
    for j in range(AXES):
        count *= A.shape[j]
    if count == 0:
        return 0
    if g.kept * g.summed == 0:  # sums of no terms
        for j in range(count):
            (&dA[0, 0, 0, 0, 0, 0])[j] = 0
    elif g.summed > 1:
        sums(&Delta[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &dA[0, 0, 0, 0, 0, 0], &g, kind)
    elif kind == ADD:
        copy(&Delta[0, 0, 0, 0, 0, 0], &dA[0, 0, 0, 0, 0, 0], count)
    else:
        elements(&Delta[0, 0, 0, 0, 0, 0], &B[0, 0, 0, 0, 0, 0], &dA[0, 0, 0, 0, 0, 0], &g, MULTIPLY)
    return 0


def add_grad_input(const floating[:, :, :, :, :, ::1] Delta, const floating[:, :, :, :, :, ::1] A, /,
                   floating[:, :, :, :, :, ::1] dA):
    # J1
    gradient(Delta, A, A, dA, ADD)


def multiply_grad_input(const floating[:, :, :, :, :, ::1] Delta, const floating[:, :, :, :, :, ::1] A,
                        const floating[:, :, :, :, :, ::1] B, /, floating[:, :, :, :, :, ::1] dA):
    # J2
    gradient(Delta, A, B, dA, MULTIPLY)
