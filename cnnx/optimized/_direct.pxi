# Convolution as sums over taps: each image is copied once per kernel column (_copy.pxi), then blocks of output
# channels and positions are summed up in registers (_pieces.pxi, _tile.pxd). The input's gradient is such a sum, too.
# Included by conv2d.pyx, and no .pxd file, whose functions would have to be inline: the registers' blocks would be
# compiled again for every caller.

cdef void sum_image(Sums* m, const floating* Z, const floating* w, const floating* start, floating* Y,
                    Py_ssize_t left, floating* kept, floating* scratch, bint clear) noexcept nogil:
    # One group of one image, on one thread; of its last `left` columns only the terms, into a part of the vectors
    # `kept`. clear: the scratch holds something else than this sum's copy of another image.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q - left, count = chunks(m, columns, sizeof(floating)), c = 0, i
    cdef const floating* x = Z
    if m.plane.alone:
        sum_plane(&m.plane, &m.taps, Z, w, start, Y, 0, m.plane.bands, scratch)
        return
    if m.copied and clear:
        memset(scratch, 0, m.planes * m.taps.S * m.taps.plane * sizeof(floating))
    while c < m.taps.C:
        if m.copied:
            for i in range(c, least(m.taps.C, c + m.planes)):
                copy_plane(&m.taps, Z + i * m.source, scratch + (i - c) * m.taps.S * m.taps.plane)
            x = scratch
        for i in range(count):
            chunk_columns(m, x, w, start, Y, c, columns, count, i, 0, pieces(m.K))
        if left > 0:
            keep_left_over(m, x, kept, c, left)
        c += m.planes


cdef struct Job:
    # All images and groups of one call.
    Py_ssize_t N, groups
    Sums* parts  # of one output image; one, or for a strided gradient one per phase of the stride
    Py_ssize_t count  # of parts
    Py_ssize_t z_image, z_group, y_image, y_group, start_group
    Py_ssize_t scratch  # numbers that a thread needs: copy, row buffer, and the phases' planes
    Py_ssize_t planes  # where in the scratch the phases' planes lie
    Py_ssize_t left_over  # and the vectors of columns left over; 0 if there are none
    Py_ssize_t u, v, H, W  # the output's rows and columns are phases of this stride; 1 and 1 where they are not
    int* part  # of phase (a, b); -1 where no tap reaches


cdef inline void plan_scratch(Job* job, floating* kind) noexcept nogil:
    # Adds room for the columns left over, where several images can share a vector, and for a distance between threads:
    # a line of the cache that two of them write to goes to and fro, and lines are fetched in pairs.
    cdef Py_ssize_t lanes = lanes_of(kind)
    if job.N > 1 and job.groups == 1 and job.part == NULL and left_over(job.parts, lanes) > 0:
        job.left_over = job.scratch
        job.scratch += (terms(job.parts) + ROWS) * lanes
    job.scratch += 128 // <Py_ssize_t>sizeof(floating)


cdef void one_image(Job* job, const floating* Z, const floating* w, const floating* start, floating* Y,
                    Py_ssize_t task, Py_ssize_t left, floating* kept, floating* scratch, bint clear) noexcept nogil:
    # Image task // groups, group task % groups, by one thread.
    cdef Py_ssize_t group = task % job.groups, at = task // job.groups * job.z_image + group * job.z_group, i, c
    cdef floating* out = Y + task // job.groups * job.y_image + group * job.y_group
    cdef floating* planes = out if job.part == NULL else scratch + job.planes
    cdef Sums* m
    for i in range(job.count):
        m = &job.parts[i]
        sum_image(m, Z + at, w + m.w + group * m.w_group, start + group * job.start_group, planes + m.y,
                  left, kept, scratch, clear or job.count > 1)
    if job.part != NULL:
        for c in range(job.y_group // (job.H * job.W)):
            interleave(job, planes, out + c * job.H * job.W, c)


cdef void some_images(Job* job, const floating* Z, const floating* w, const floating* start, floating* Y,
                      Py_ssize_t first, Py_ssize_t end, floating* scratch) noexcept nogil:
    # One worker's share of the tasks.
    cdef Py_ssize_t lanes = lanes_of(Y), task, left = 0, kept = 0
    cdef floating* vectors = scratch + job.left_over
    if job.left_over > 0:
        left = left_over(job.parts, lanes)
    for task in range(first, end):
        one_image(job, Z, w, start, Y, task, left, vectors + kept * left, scratch, task == first)
        if left == 0:
            continue
        kept += 1
        if (kept + 1) * left > lanes or task + 1 == end:
            sum_left_over(job.parts, <const floating*>vectors, w, start, Y + (task + 1 - kept) * job.y_image,
                          job.y_image, kept, left, vectors + terms(job.parts) * lanes)
            kept = 0


cdef void some_copies(Sums* m, const floating* Z, Py_ssize_t first, Py_ssize_t end, floating* copy,
                      Py_ssize_t worker, Py_ssize_t workers) noexcept nogil:
    # One worker's share of the source planes first ... end - 1.
    cdef Py_ssize_t c, count = end - first
    for c in range(count * worker // workers, count * (worker + 1) // workers):
        memset(copy + c * m.taps.S * m.taps.plane, 0, m.taps.S * m.taps.plane * sizeof(floating))
        copy_plane(&m.taps, Z + (first + c) * m.source, copy + c * m.taps.S * m.taps.plane)


cdef void some_columns(Sums* m, const floating* x, const floating* w, const floating* start, floating* Y,
                       Py_ssize_t c, Py_ssize_t task, Py_ssize_t count, Py_ssize_t shares) noexcept nogil:
    cdef Py_ssize_t share = task % shares, all_pieces = pieces(m.K)
    chunk_columns(m, x, w, start, Y, c, m.taps.P * m.taps.Q, count, task // shares, all_pieces * share // shares,
                  all_pieces * (share + 1) // shares)


cdef inline Py_ssize_t piece_shares(Sums* m, int threads) noexcept nogil:
    # How many shares of the pieces are tasks of their own: each, but of those with a panel in common only so few that
    # the panel is filled no more than once for each thread.
    return least(threads, pieces(m.K) // SHARING) if in_panels(m) else pieces(m.K)


cdef inline Py_ssize_t parallel_chunks(Sums* m, int threads, Py_ssize_t size) noexcept nogil:
    # Enough parts for all threads to have some of.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q, wide = VECTORS * VECTOR_BYTES // size
    return least(up(columns, wide), most(chunks(m, columns, size), up(4 * threads, piece_shares(m, threads))))


cdef void shared_image(Job* job, const floating* Z, const floating* w, const floating* start, floating* Y,
                       Py_ssize_t task, int threads, floating* scratch) noexcept nogil:
    # The same image and group by all threads: they share a copy.
    cdef Py_ssize_t group = task % job.groups, at = task // job.groups * job.z_image + group * job.z_group
    cdef Py_ssize_t i, c, worker, step, tasks, count, shares, K
    cdef const floating* x
    cdef floating* out = Y + task // job.groups * job.y_image + group * job.y_group
    cdef floating* planes = out if job.part == NULL else scratch + job.planes
    cdef Sums* m
    for i in range(job.count):
        m = &job.parts[i]
        if m.plane.alone:
            for worker in prange(threads, schedule="static", num_threads=threads):
                sum_plane(&m.plane, &m.taps, Z + at, w + m.w + group * m.w_group, start + group * job.start_group,
                          planes + m.y, m.plane.bands * worker // threads, m.plane.bands * (worker + 1) // threads,
                          scratch + worker * job.scratch)
            continue
        x = Z + at
        count = parallel_chunks(m, threads, sizeof(floating))
        shares = piece_shares(m, threads)
        tasks = count * shares
        c = 0
        while c < m.taps.C:
            if m.copied:
                for worker in prange(threads, schedule="static", num_threads=threads):
                    some_copies(m, Z + at, c, least(m.taps.C, c + m.planes), scratch, worker, threads)
                x = scratch
            for step in prange(tasks, schedule="static", num_threads=threads):
                some_columns(m, x, w + m.w + group * m.w_group, start + group * job.start_group, planes + m.y, c, step,
                             count, shares)
            c = c + m.planes
    if job.part != NULL:
        K = job.y_group // (job.H * job.W)
        for c in prange(K, schedule="static", num_threads=threads):
            interleave(job, planes, out + c * job.H * job.W, c)


cdef void all_images(Job* job, const floating* Z, const floating* w, const floating* start, floating* Y,
                     int threads, floating* scratch) noexcept nogil:
    # Whole images to each thread as long as there are enough; the rest by all threads together.
    cdef Py_ssize_t tasks = job.N * job.groups, whole = tasks // threads * threads, share = whole // threads
    cdef Py_ssize_t worker, task
    if threads == 1:  # a parallel region costs microseconds, even one of a single thread
        some_images(job, Z, w, start, Y, 0, whole, scratch)
    elif whole > 0:
        for worker in prange(threads, schedule="static", num_threads=threads):
            some_images(job, Z, w, start, Y, worker * share, (worker + 1) * share, scratch + worker * job.scratch)
    for task in range(whole, tasks):
        shared_image(job, Z, w, start, Y, task, threads, scratch)
