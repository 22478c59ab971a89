# Convolution as sums over taps: each image is copied once per kernel column (_copy.pxd), then blocks of output
# channels and positions are summed up in registers (_tile.pxd). The gradient of the input is such a sum, too.
# Included by conv2d.pyx, and no .pxd file, whose functions would have to be inline: the registers' blocks would be
# compiled again for every caller.

cdef enum:
    CACHE = 786_432  # bytes of a copy that stay in a core's own cache while the weights pass by


cdef struct Sums:
    # K output planes, each a sum over the taps of a group of source planes.
    Taps taps
    Py_ssize_t K
    Py_ssize_t source  # numbers of a source plane
    Py_ssize_t planes  # of the source that are copied and summed at a time
    bint copied  # False: windows of one number, the source serves as it is
    bint packed  # weights lie as pieces of [term][output channel], otherwise as [output channel][term]
    Py_ssize_t y, y_k  # where the output planes begin, and from one to the next
    Py_ssize_t w, w_group  # where the weights begin, and from one group to the next
    Plane plane  # of a sum from one plane to one


cdef inline Py_ssize_t terms(Sums* m) noexcept nogil:
    return m.taps.C * m.taps.R * m.taps.S


cdef inline Py_ssize_t copy_size(Sums* m, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a copy, or of a band of one.
    if m.plane.alone:
        return band_size(&m.plane, &m.taps, lanes)
    return m.planes * m.taps.S * m.taps.plane + lanes


cdef inline Py_ssize_t pieces(Py_ssize_t K) noexcept nogil:
    # Output channels are taken ROWS at a time; what is left in one or two pieces of at most half as many.
    cdef Py_ssize_t left = K % ROWS
    return K // ROWS + (left > 0) + (2 * left > ROWS)


cdef inline Py_ssize_t piece_begin(Py_ssize_t K, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t full = K // ROWS, left = K % ROWS
    if i <= full:
        return i * ROWS
    if i == full + 1 and 2 * left > ROWS:
        return full * ROWS + (left + 1) // 2
    return K


cdef inline Py_ssize_t column_blocks(Py_ssize_t columns, Py_ssize_t rows, Py_ssize_t lanes) noexcept nogil:
    # How many blocks cover the columns: few rows leave registers for wider ones.
    cdef Py_ssize_t widest = (2 * VECTORS if 2 * rows <= ROWS else VECTORS) * lanes
    return up(columns, widest)


cdef inline Py_ssize_t block_begin(Py_ssize_t columns, Py_ssize_t blocks, Py_ssize_t i,
                                   Py_ssize_t lanes) noexcept nogil:
    # Whole vectors, evenly spread.
    return least(columns, up(columns, lanes) * i // blocks * lanes)


cdef void piece_columns(Sums* m, const floating* x, const Py_ssize_t* taps, const floating* w, const floating* start,
                        floating* Y, Py_ssize_t y_k, Py_ssize_t piece, Py_ssize_t c, Py_ssize_t first, Py_ssize_t end,
                        const floating* ahead) noexcept nogil:
    # The sums of one piece of output channels over the source planes from c, for columns first ... end - 1; those of
    # the planes before are in Y already. ahead: columns that will be wanted next, or NULL.
    cdef Py_ssize_t lanes = lanes_of(Y), T = terms(m), t = c * m.taps.R * m.taps.S
    cdef Py_ssize_t k = piece_begin(m.K, piece), rows = piece_begin(m.K, piece + 1) - k
    cdef Py_ssize_t count = least(m.planes * m.taps.R * m.taps.S, T - t)
    # Whole vectors, evenly spread: a block of one vector alone keeps the processor waiting.
    cdef Py_ssize_t blocks = column_blocks(end - first, rows, lanes), vectors = up(end - first, lanes)
    cdef Py_ssize_t least_vectors = vectors // blocks, more = vectors % blocks, j = first, i, width
    w = w + k * T + (t * rows if m.packed else t)
    for i in range(blocks):
        width = least(end - j, (least_vectors + (i < more)) * lanes)
        if not m.copied and m.taps.P * m.taps.Q - j < up(width, lanes) * lanes:
            j = m.taps.P * m.taps.Q - up(width, lanes) * lanes  # or it would read beyond the image
            width = m.taps.P * m.taps.Q - j
        block_ahead(w, rows if m.packed else 1, 1 if m.packed else T, x + j, taps, count,
                    start + k if c == 0 else NULL, Y + j, y_k, width, rows, ahead, taps)
        j += width


cdef inline void chunk_columns(Sums* m, const floating* x, const floating* w, const floating* start, floating* Y,
                               Py_ssize_t c, Py_ssize_t columns, Py_ssize_t count, Py_ssize_t i, Py_ssize_t piece,
                               Py_ssize_t end_piece) noexcept nogil:
    # Pieces piece ... end_piece - 1 of part i of the columns. Where there is no copy and a part is a block, the first
    # pieces call the next block's columns into the cache, a vector of each term at a time: they lie so far apart that
    # the processor does not see them coming.
    cdef Py_ssize_t lanes = lanes_of(Y), first = block_begin(columns, count, i, lanes)
    cdef Py_ssize_t end = block_begin(columns, count, i + 1, lanes), next
    for piece in range(piece, end_piece):
        next = end + piece * lanes
        piece_columns(m, x, m.taps.tap, w, start, Y + piece_begin(m.K, piece) * m.y_k, m.y_k, piece, c, first, end,
                      x + next if not m.copied and piece <= VECTORS and next < columns else NULL)


cdef inline Py_ssize_t planes_at_a_time(Sums* m, Py_ssize_t size) noexcept nogil:
    # So many that their copy stays in the cache, if the output does so beside it; else all of them.
    cdef Py_ssize_t plane = m.taps.S * m.taps.plane * size, blocks = m.taps.C * plane // CACHE + 1
    if not m.copied or m.K * m.taps.P * m.taps.Q * size > CACHE or plane > CACHE:
        return m.taps.C
    return up(m.taps.C, blocks)


cdef inline Py_ssize_t chunks(Sums* m, Py_ssize_t columns, Py_ssize_t size) noexcept nogil:
    # How many parts the columns are taken in: so many that a part of the copy stays in the cache. Without a copy a
    # block each, if all weights stay in the cache.
    cdef Py_ssize_t blocks = up(columns, VECTORS * VECTOR_BYTES // size)
    if not m.copied and m.K > ROWS and m.K * terms(m) * size <= CACHE // 2:
        return blocks
    return least(blocks, m.planes * m.taps.S * m.taps.plane * size // CACHE + 1)


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


# The columns that are left when an image's are cut into vectors: those of several images share one.

cdef inline Py_ssize_t left_over(Sums* m, Py_ssize_t lanes) noexcept nogil:
    # How many columns; 0 if they fill more than half of a vector.
    cdef Py_ssize_t left = m.taps.P * m.taps.Q % lanes
    return left if m.copied and not m.plane.alone and 2 * left <= lanes else 0


cdef void keep_left_over(Sums* m, const floating* x, floating* kept, Py_ssize_t c, Py_ssize_t left) noexcept nogil:
    # Their terms from the source planes c ..., of which x is the copy.
    cdef Py_ssize_t lanes = lanes_of(x), t, j = 0, taps = m.taps.R * m.taps.S
    cdef Py_ssize_t first = m.taps.P * m.taps.Q - left
    cdef Py_ssize_t count = least(m.planes, m.taps.C - c) * taps
    x += first
    kept += c * taps * lanes
    while j + 4 <= left:  # a copy of so many bytes is no call
        for t in range(count):
            memcpy(kept + t * lanes + j, x + m.taps.tap[t] + j, 4 * sizeof(floating))
        j += 4
    for j in range(j, left):
        for t in range(count):
            kept[t * lanes + j] = x[m.taps.tap[t] + j]


cdef void sum_left_over(Sums* m, const floating* kept, const floating* w, const floating* start, floating* Y,
                        Py_ssize_t y_image, Py_ssize_t images, Py_ssize_t left, floating* sums) noexcept nogil:
    # Y: the first of the images. sums: room for ROWS vectors.
    cdef Py_ssize_t lanes = lanes_of(Y), T = terms(m), piece, k, n, i, j, c
    cdef Py_ssize_t first = m.taps.P * m.taps.Q - left
    for piece in range(pieces(m.K)):
        k = piece_begin(m.K, piece)
        c = 0
        while c < m.taps.C:
            piece_columns(m, kept + c * m.taps.R * m.taps.S * lanes, m.taps.tap + T, w, start, sums, lanes, piece, c, 0,
                          images * left, NULL)
            c += m.planes
        for n in range(images):
            for i in range(piece_begin(m.K, piece + 1) - k):
                for j in range(left):
                    Y[n * y_image + (k + i) * m.y_k + first + j] = sums[i * lanes + n * left + j]


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
                       Py_ssize_t c, Py_ssize_t task, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t piece = task % pieces(m.K)
    chunk_columns(m, x, w, start, Y, c, m.taps.P * m.taps.Q, count, task // pieces(m.K), piece, piece + 1)


cdef inline Py_ssize_t parallel_chunks(Sums* m, int threads, Py_ssize_t size) noexcept nogil:
    # Enough parts for all threads to have some of.
    cdef Py_ssize_t columns = m.taps.P * m.taps.Q, wide = VECTORS * VECTOR_BYTES // size, parts = pieces(m.K)
    return least(up(columns, wide), most(chunks(m, columns, size), up(4 * threads, parts)))


cdef void shared_image(Job* job, const floating* Z, const floating* w, const floating* start, floating* Y,
                       Py_ssize_t task, int threads, floating* scratch) noexcept nogil:
    # The same image and group by all threads: they share a copy.
    cdef Py_ssize_t group = task % job.groups, at = task // job.groups * job.z_image + group * job.z_group
    cdef Py_ssize_t i, c, worker, step, tasks, count, K
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
        tasks = count * pieces(m.K)
        c = 0
        while c < m.taps.C:
            if m.copied:
                for worker in prange(threads, schedule="static", num_threads=threads):
                    some_copies(m, Z + at, c, least(m.taps.C, c + m.planes), scratch, worker, threads)
                x = scratch
            for step in prange(tasks, schedule="static", num_threads=threads):
                some_columns(m, x, w + m.w + group * m.w_group, start + group * job.start_group, planes + m.y, c, step,
                             count)
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
