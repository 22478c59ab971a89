# The loops of convolution as sums over taps: each image is copied once per kernel column (pack/taps.pxd), then blocks
# of output channels and positions are summed up in registers (blocks.pxd). The input's gradient is such a sum, too.

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from ..microkernel.multiply_accumulate cimport PANEL, ROWS, VECTORS
from ..pack.phases cimport interleave_rows
from ..pack.taps cimport copy_of, pack_plane
from ..runtime.integers cimport Span, ceil_div, max_of, min_of
from ..runtime.memory cimport CACHE_LINE, whole_lines
from ..simd.vector cimport VECTOR_BYTES, lanes_of
from .blocks cimport (
    MIN_SHARING, Arrays, Sums, column_chunks, in_panels, multiply_columns, row_blocks, terms, terms_of,
)
from .depthwise cimport sum_plane, sum_planes
from .job cimport Job, arrays_of, arrays_of_part, output_plane
from .lanes cimport sum_all_lanes
from .tail cimport pack_tail, sum_tail, tail_columns


cdef inline void plan_scratch(Job* job, Py_ssize_t most, floating* tag) noexcept nogil:
    # Adds room for tails, where several images can share a vector and it takes no more than `most` bytes; for a panel;
    # and for a distance between threads: a line of the cache that two of them write to goes to and fro, and lines are
    # fetched in pairs.
    cdef Py_ssize_t lanes = lanes_of(tag), i
    cdef bint panels = False
    # What is added to outputs does not lie where their tails wait.
    if (job.N > 1 and job.groups == 1 and job.part == NULL and job.parts.epilogue.away == 0
            and tail_columns(job.parts, lanes) > 0
            and (terms(job.parts) + ROWS) * lanes * <Py_ssize_t>sizeof(floating) <= most):
        job.tail = job.scratch
        job.scratch += (terms(job.parts) + ROWS) * lanes
    for i in range(job.count):
        panels |= in_panels(&job.parts[i])
    if panels:
        job.panel = job.scratch
        job.scratch += (PANEL + CACHE_LINE) // <Py_ssize_t>sizeof(floating)
    job.scratch = whole_lines((job.scratch * <Py_ssize_t>sizeof(floating)) + 128) // <Py_ssize_t>sizeof(floating)


cdef inline void sum_image(const Sums* m, const Arrays* a, Py_ssize_t tail_width, floating* tail, floating* scratch,
                           floating* panel, bint clear) noexcept nogil:
    # One group of one image, on one thread; of its last `tail_width` columns only the terms, into a part of the vectors
    # `tail`. clear: the scratch holds something else than this sum's copy of another image.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q - tail_width, parts = column_chunks(m, columns, sizeof(floating))
    cdef Py_ssize_t c = 0, i
    cdef const floating* Z = <const floating*>a.Z
    cdef const floating* x = Z
    if m.plane.used and m.plane.direct:
        sum_planes(&m.plane, &m.taps, Z, <const floating*>a.w, <const floating*>a.start, 0, <floating*>a.Y, 1,
                   &m.epilogue)
        return
    if m.plane.used:
        sum_plane(&m.plane, &m.taps, Z, <const floating*>a.w, <const floating*>a.start, <floating*>a.Y,
                  0, m.plane.bands, scratch, &m.epilogue)
        return
    if m.copied and clear:
        memset(scratch, 0, copy_of(&m.taps, m.planes) * sizeof(floating))
    while c < m.taps.C:
        if m.copied:
            for i in range(c, min_of(m.taps.C, c + m.planes)):
                pack_plane(&m.taps, Z + i * m.source, scratch + copy_of(&m.taps, i - c))
            x = scratch
        for i in range(parts):
            multiply_columns(m, a, x, terms_of(m, c), columns, parts, i, False, Span(0, row_blocks(m.K)), panel)
        if tail_width > 0:
            pack_tail(m, x, tail, c, tail_width)
        c += m.planes


cdef inline const floating* phase_row(const Job* job, const floating* planes, Py_ssize_t c, Py_ssize_t h,
                                      Py_ssize_t b) noexcept nogil:
    # Of plane c the part of row h that is phase b of the columns; NULL where no tap reaches it.
    cdef int part = job.part[h % job.u * min_of(job.v, job.W) + b]
    cdef const Sums* m = &job.parts[part]
    return planes + m.y + c * m.y_k + h // job.u * m.taps.Q if part >= 0 else NULL


cdef inline void interleave_phases(const Job* job, const floating* planes, floating* Y, Py_ssize_t c,
                                   const floating* start) noexcept nogil:
    # Put the phases of plane c together; where no tap reaches, a sum stays what it begins with.
    cdef Py_ssize_t b, h, j, v = min_of(job.v, job.W)
    cdef const floating* row
    for h in range(job.H):
        if v == 2:
            interleave_rows(phase_row(job, planes, c, h, 0), phase_row(job, planes, c, h, 1), start + c,
                            Y + h * job.W, job.W)
            continue
        for b in range(v):
            row = phase_row(job, planes, c, h, b)
            for j in range(ceil_div(job.W - b, job.v)):
                Y[h * job.W + b + j * job.v] = row[j] if row != NULL else start[c]


cdef inline void one_image(const Job* job, const Arrays* all, Py_ssize_t task, Py_ssize_t tail_width, floating* tail,
                           floating* scratch, bint clear) noexcept nogil:
    # By one thread.
    cdef floating* planes = scratch + job.planes
    cdef Arrays image = arrays_of(job, all, task, planes), a
    cdef Py_ssize_t i, c
    for i in range(job.count):
        a = arrays_of_part(&job.parts[i], &image, task % job.groups, scratch)
        sum_image(&job.parts[i], &a, tail_width, tail, scratch, scratch + job.panel, clear or job.count > 1)
    if job.part != NULL:
        for c in range(job.y_group // (job.H * job.W)):
            interleave_phases(job, planes, output_plane(job, all, task, c, scratch), c, <const floating*>image.start)


cdef inline void sum_groups(const Job* job, const Arrays* all, Span tasks, floating* tag) noexcept nogil:
    # Where a group is a plane that is read where it lies: those of an image in one call.
    cdef Py_ssize_t task = tasks.first, count
    cdef Arrays first, a
    while task < tasks.end:
        count = min_of(tasks.end - task, job.groups - task % job.groups)
        first = arrays_of(job, all, task, tag)
        a = arrays_of_part(job.parts, &first, task % job.groups, tag)
        sum_planes(&job.parts.plane, &job.parts.taps, <const floating*>a.Z, <const floating*>a.w,
                   <const floating*>a.start, job.start_group, <floating*>a.Y, count, &job.parts.epilogue)
        task += count


cdef inline void sum_images(const Job* job, const Arrays* all, Span tasks, floating* scratch) noexcept nogil:
    # One worker's share of the tasks.
    cdef Py_ssize_t lanes = lanes_of(scratch), task, width = 0, count = 0
    cdef floating* tail = scratch + job.tail
    cdef Arrays first
    if job.parts.plane.used and job.parts.plane.direct and job.part == NULL:
        sum_groups(job, all, tasks, scratch)
        return
    if job.tail > 0:
        width = tail_columns(job.parts, lanes)
        if min_of(tasks.end - tasks.first, lanes // width) * width < lanes:
            # malloc() may have left numbers below the normal ones in lanes without an image: a hundred times as slow.
            memset(tail, 0, terms(job.parts) * lanes * sizeof(floating))
    for task in range(tasks.first, tasks.end):
        one_image(job, all, task, width, tail + count * width, scratch, task == tasks.first)
        if width == 0:
            continue
        count += 1
        if (count + 1) * width > lanes or task + 1 == tasks.end:
            first = arrays_of(job, all, task + 1 - count, scratch)
            sum_tail(job.parts, &first, <const floating*>tail, job.y_image, count, width,
                     tail + terms(job.parts) * lanes)
            count = 0


cdef inline void pack_share(const Sums* m, const floating* Z, Span planes, floating* copy, Py_ssize_t worker,
                            Py_ssize_t workers) noexcept nogil:
    # One worker's share of the source planes.
    cdef Py_ssize_t c, count = planes.end - planes.first
    for c in range(count * worker // workers, count * (worker + 1) // workers):
        memset(copy + copy_of(&m.taps, c), 0, copy_of(&m.taps, 1) * sizeof(floating))
        pack_plane(&m.taps, Z + (planes.first + c) * m.source, copy + copy_of(&m.taps, c))


cdef inline void multiply_share(const Sums* m, const Arrays* a, const floating* x, Py_ssize_t c, Py_ssize_t task,
                                Py_ssize_t parts, Py_ssize_t shares, floating* panel) noexcept nogil:
    cdef Py_ssize_t share = task % shares, blocks = row_blocks(m.K)
    multiply_columns(m, a, x, terms_of(m, c), m.taps.P * m.taps.Q, parts, task // shares, True,
                     Span(blocks * share // shares, blocks * (share + 1) // shares), panel)


cdef inline Py_ssize_t row_block_shares(const Sums* m, int threads) noexcept nogil:
    # How many shares of the row blocks are tasks of their own: each, but of those with a panel in common only so few
    # that the panel is packed no more than once for each thread.
    return min_of(threads, row_blocks(m.K) // MIN_SHARING) if in_panels(m) else row_blocks(m.K)


cdef inline Py_ssize_t parallel_column_chunks(const Sums* m, int threads, Py_ssize_t size) noexcept nogil:
    # Enough parts for all threads to have some of.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q, wide = VECTORS * VECTOR_BYTES // size
    return min_of(ceil_div(columns, wide), max_of(column_chunks(m, columns, size),
                                                  ceil_div(4 * threads, row_block_shares(m, threads))))


cdef inline void sum_plane_share(const Job* job, const Sums* m, const Arrays* a, int threads, Py_ssize_t worker,
                                 floating* scratch) noexcept nogil:
    sum_plane(&m.plane, &m.taps, <const floating*>a.Z, <const floating*>a.w, <const floating*>a.start, <floating*>a.Y,
              m.plane.bands * worker // threads, m.plane.bands * (worker + 1) // threads,
              scratch + worker * job.scratch, &m.epilogue)


cdef inline void shared_part(const Job* job, const Sums* m, const Arrays* a, int threads,
                             floating* scratch) noexcept nogil:
    # One part of an image by all threads, which share a copy.
    cdef Py_ssize_t parts, shares, tasks, worker, task, c = 0
    cdef const floating* x = <const floating*>a.Z
    cdef Span planes
    if m.plane.used:
        for worker in prange(threads, schedule="static", num_threads=threads):
            sum_plane_share(job, m, a, threads, worker, scratch)
        return
    parts = parallel_column_chunks(m, threads, sizeof(floating))
    shares = row_block_shares(m, threads)
    tasks = parts * shares
    while c < m.taps.C:
        if m.copied:
            planes = Span(c, min_of(m.taps.C, c + m.planes))
            for worker in prange(threads, schedule="static", num_threads=threads):
                pack_share(m, <const floating*>a.Z, planes, scratch, worker, threads)
            x = scratch
        for task in prange(tasks, schedule="static", num_threads=threads):
            multiply_share(m, a, x, c, task, parts, shares, scratch + threadid() * job.scratch + job.panel)
        c = c + m.planes


cdef inline void shared_image(const Job* job, const Arrays* all, Py_ssize_t task, int threads,
                              floating* scratch) noexcept nogil:
    # The same image and group by all threads.
    cdef floating* planes = scratch + job.planes
    cdef Arrays image = arrays_of(job, all, task, planes), a
    cdef Py_ssize_t i, c, K
    for i in range(job.count):
        a = arrays_of_part(&job.parts[i], &image, task % job.groups, scratch)
        shared_part(job, &job.parts[i], &a, threads, scratch)
    if job.part != NULL:
        K = job.y_group // (job.H * job.W)
        for c in prange(K, schedule="static", num_threads=threads):
            interleave_phases(job, planes, output_plane(job, all, task, c, scratch), c, <const floating*>image.start)


cdef inline void sum_all_images(const Job* job, const Arrays* all, int threads, floating* scratch) noexcept nogil:
    # Whole images to each thread as long as there are enough; the rest by all threads together.
    cdef Py_ssize_t tasks = job.N * job.groups, share = tasks // threads
    cdef Py_ssize_t worker, task
    if job.lanes.used:
        sum_all_lanes(job, all, threads, scratch)
        return
    if threads == 1:  # a parallel region costs microseconds, even one of a single thread
        sum_images(job, all, Span(0, tasks), scratch)
        return
    if share > 0:
        for worker in prange(threads, schedule="static", num_threads=threads):
            sum_images(job, all, Span(worker * share, (worker + 1) * share), scratch + worker * job.scratch)
    for task in range(threads * share, tasks):
        shared_image(job, all, task, threads, scratch)
