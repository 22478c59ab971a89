# C1 of few positions, where the weights were packed beforehand: lanes are output channels, so that small images leave
# none of them empty; positions are the rows of a register block. Sums of a run of positions are left in scratch memory,
# position by position, and transposed from there into the output's planes. Windows of more than a number are unrolled,
# to a row of positions for each term: weights are far more than that.

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memcpy, memset

from ..microkernel.multiply_accumulate cimport INTERLEAVED, ROWS, VECTORS, Next, Operands, panel_layout
from ..microkernel.table cimport Microkernels, multiply_accumulate
from ..pack.panel cimport TERMS, fill_taps, first_column, panels_of
from ..pack.taps cimport Taps, copy_of, pack_plane
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, share
from ..runtime.memory cimport CACHE_LINE
from ..simd.shuffle cimport transpose
from ..simd.vector cimport lanes_of
from .epilogue cimport Epilogue, finish

cdef enum:
    RUN = 32  # blocks of positions, at most, whose sums stay in the cache while the terms pass by


cdef struct PackedLayer:
    # Y[n, k, p] = b[k] + sum_t F[k, t] x[n, t, p], where x is Z or, of images that are unrolled, made of it.
    Py_ssize_t N, K, T, P
    Epilogue epilogue
    const Microkernels* kernels
    bint unrolled
    Py_ssize_t C, source  # planes of an image, numbers of each
    Taps taps  # of one of them


cdef inline Py_ssize_t packed_scratch(floating* tag) noexcept nogil:
    # Numbers that a thread needs: sums, and offsets of a panel's terms and of their lines.
    return (RUN * ROWS * VECTORS * lanes_of(tag)
            + 2 * TERMS * <Py_ssize_t>sizeof(Py_ssize_t) // <Py_ssize_t>sizeof(floating))


cdef inline Py_ssize_t runs_of(const PackedLayer* g) noexcept nogil:
    return ceil_div(ceil_div(g.P, ROWS), RUN)


cdef inline void sum_run(const PackedLayer* g, const floating* x, const floating* panel, Py_ssize_t width, Span run,
                         floating* sums, Py_ssize_t* offsets) noexcept nogil:
    # To sums[p - run.first][k]. What lies behind a panel's terms is wanted next: the blocks of positions fetch it, a
    # line with each term.
    cdef Py_ssize_t t_0 = 0, n, line = CACHE_LINE // <Py_ssize_t>sizeof(floating)
    cdef Operands o
    cdef Next next
    next.offsets = offsets + TERMS
    o.stride, o.taps, o.start, o.width, o.y_stride = g.P, offsets, NULL, width, width
    while t_0 < g.T:
        o.T = min_of(TERMS, g.T - t_0)
        o.x = panel + t_0 * width
        n = run.first
        while n < run.end:
            o.w, o.rows, o.Y = x + t_0 * g.P + n, min_of(ROWS, run.end - n), sums + (n - run.first) * width
            next.x = NULL
            if (n - run.first) // ROWS * line < width:
                next.x = <const floating*>o.x + o.T * (width + (n - run.first) // ROWS * line)
            multiply_accumulate(g.kernels, INTERLEAVED, panel_layout(), &o, &next, x)
            n += ROWS
        t_0 += o.T


cdef inline void spread_run(const floating* sums, Py_ssize_t width, Py_ssize_t columns, Py_ssize_t count, floating* Y,
                            Py_ssize_t P) noexcept nogil:
    # The sums of `columns` channels at `count` positions, to their planes. The last vector begins before the others
    # have ended.
    cdef Py_ssize_t lanes = lanes_of(sums), i = 0, n
    while i < columns:
        n = 0
        while n < count:
            n = max_of(0, min_of(n, count - lanes))
            transpose(sums + n * width + i, width, min_of(lanes, count - n), min_of(lanes, columns - i),
                      Y + i * P + n, P, min_of(lanes, count - n))
            n += lanes
        i += lanes


cdef inline void multiply_packed(const PackedLayer* g, const floating* x, const floating* F, const floating* b,
                                 floating* Y, Span tasks, floating* sums) noexcept nogil:
    # One worker's share of the images' runs, each by all panels.
    cdef Py_ssize_t panels = panels_of(g.K, sums), runs = runs_of(g), blocks = ceil_div(g.P, ROWS), n, k, p, task
    cdef Py_ssize_t width = 0, wide, columns, image, line = CACHE_LINE // <Py_ssize_t>sizeof(floating)
    cdef Py_ssize_t* offsets = <Py_ssize_t*>(sums + RUN * ROWS * VECTORS * lanes_of(sums))
    cdef Span run
    fill_taps(offsets + TERMS, line, TERMS)
    for task in range(tasks.first, tasks.end):
        p, image = task % panels, task // panels // runs
        run = share(task // panels % runs, runs, blocks, ROWS, g.P)
        k = first_column(p, g.K, sums)
        wide = first_column(p + 1, g.K, sums) - k
        columns = min_of(wide, g.K - k)
        if wide != width:
            width = wide
            fill_taps(offsets, width, TERMS)
        for n in range(run.end - run.first):
            memcpy(sums + n * width, b + k, columns * sizeof(floating))
            memset(sums + n * width + columns, 0, (width - columns) * sizeof(floating))
        sum_run(g, x + image * g.T * g.P, F + k * g.T, width, run, sums, offsets)
        k = (image * g.K + k) * g.P + run.first
        if g.epilogue.used and g.epilogue.away == 0:
            finish(&g.epilogue, g.kernels, sums, 0, 1, (run.end - run.first) * width)
        spread_run(sums, width, columns, run.end - run.first, Y + k, g.P)
        if g.epilogue.away != 0:
            finish(&g.epilogue, g.kernels, Y + k, g.P, columns, run.end - run.first)


cdef inline void unroll_planes(const PackedLayer* g, const floating* Z, Span planes, floating* copy,
                               floating* x) noexcept nogil:
    # One worker's share of all images' planes.
    cdef Py_ssize_t c, t, taps = g.taps.R * g.taps.S
    memset(copy, 0, copy_of(&g.taps, 1) * sizeof(floating))
    for c in range(planes.first, planes.end):
        pack_plane(&g.taps, Z + c * g.source, copy)
        for t in range(taps):
            memcpy(x + (c * taps + t) * g.P, copy + g.taps.tap[t], g.P * sizeof(floating))


cdef inline void multiply_all_packed(const PackedLayer* g, const floating* Z, const floating* F, const floating* b,
                                     floating* Y, int threads, floating* memory, Py_ssize_t size,
                                     floating* unrolled) noexcept nogil:
    # memory: `size` numbers for each thread.
    cdef Py_ssize_t tasks = g.N * runs_of(g) * panels_of(g.K, memory), planes = g.N * g.C, part
    cdef const floating* x = Z
    if g.unrolled:
        x = unrolled
    if threads == 1:  # a parallel region costs microseconds, even one of a single thread
        if g.unrolled:
            unroll_planes(g, Z, Span(0, planes), memory, unrolled)
        multiply_packed(g, x, F, b, Y, Span(0, tasks), memory)
        return
    if g.unrolled:
        for part in prange(threads, schedule="static", num_threads=threads):
            unroll_planes(g, Z, share(part, threads, planes, 1, planes), memory + part * size, unrolled)
    for part in prange(threads, schedule="static", num_threads=threads):
        multiply_packed(g, x, F, b, Y, share(part, threads, tasks, 1, tasks), memory + part * size)
