# C1 and C5 of many planes, each by a kernel of its own, with a lane for each plane (microkernel/lanes.pxd): where rows
# are short or kernels large, and where outputs are phases of a stride. As many planes as a vector has lanes are spread,
# a band of rows at a time with some zeros at the ends of rows; taps beyond the image are left out.

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memset

from ..microkernel.lanes cimport LONGEST, LanePlanes, LaneSums
from ..pack.taps cimport Taps
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times
from ..runtime.memory cimport CACHE_LINE, align_to_line
from ..simd.prefetch cimport prefetch_bytes, prefetch_span
from ..simd.vector cimport SUM_BYTES, lanes_of
from .blocks cimport Arrays, Sums, terms
from .depthwise cimport smallest, span_of
from .epilogue cimport finish
from .job cimport Job, Lanes

cdef enum:
    TILE = 262_144  # bytes of a band and its outputs: they stay in the second cache
    MOST = 2_097_152  # bytes for one thread
    FEW = 9  # taps, for which rows of one plane are the better vectors, where they lie so (depthwise.pxd)


cdef struct Tile:
    # One thread's memory: start values, weights, source and outputs of a block, a vector for each number.
    void* start
    void* w
    void* x
    void* y
    Py_ssize_t* at  # where a band's numbers lie in x


cdef struct Band:
    # `count` planes from `first` on of an image: output rows begin ... end - 1, which need low ... high - 1 of the
    # source.
    Py_ssize_t image, first, count, begin, end, low, high


cdef inline Py_ssize_t source_rows_of(const Job* job, Py_ssize_t rows) noexcept nogil:
    # At most so many do `rows` rows of outputs need.
    return min_of(job.parts.taps.H, job.parts.taps.u * ceil_div(rows, job.u) + job.lanes.height)


cdef inline Py_ssize_t tile_size(const Job* job, Py_ssize_t lanes) noexcept nogil:
    # Numbers, without the places.
    cdef const Lanes* g = &job.lanes
    return plus(times(plus(1, g.terms) + lanes, lanes),
                plus(times(g.source_rows, g.pitch), times(plus(times(g.rows, job.W), lanes), lanes)))


cdef inline void plan_bands_of_lanes(Job* job, Py_ssize_t lanes, Py_ssize_t size) noexcept nogil:
    # Rows are as many as stay in the cache, whatever the instruction set; whole turns of the stride.
    cdef Lanes* g = &job.lanes
    cdef Py_ssize_t row = job.parts.taps.u * g.pitch + job.u * job.W * lanes  # of numbers, for a turn
    g.rows = max_of(1, (TILE // size - times(g.height, g.pitch)) // row) * job.u
    g.bands = ceil_div(job.H, min_of(g.rows, job.H))
    g.rows = ceil_div(ceil_div(job.H, g.bands), job.u) * job.u
    g.bands = ceil_div(job.H, g.rows)
    g.source_rows = source_rows_of(job, g.rows)


cdef inline bint lanes_fit(const Job* job, Py_ssize_t planes) noexcept nogil:
    # Whether lanes serve: one plane by one kernel each, few lanes that are empty, and no rows that had better be the
    # vectors.
    cdef Py_ssize_t i
    cdef const Sums* m
    for i in range(job.count):
        m = &job.parts[i]
        if not m.plane.used or m.taps.v > 2:
            return False
    if job.count == 0 or 3 * job.groups < 2 * ceil_div(job.groups, planes) * planes:
        return False
    m = job.parts
    return job.part != NULL or not (m.plane.dense or (terms(m) <= FEW and m.taps.Q >= planes))


cdef inline void plan_lanes(Job* job, floating* tag) noexcept nogil:
    # After plan_plane() of all parts, whose scratch memory lanes do not need.
    cdef Py_ssize_t lanes = lanes_of(tag), size = sizeof(floating), i, left = 0, right = 0, bottom = 0, bytes
    cdef Lanes* g = &job.lanes
    cdef const Taps* t
    g.used = lanes_fit(job, SUM_BYTES // size)
    if not g.used:
        return
    g.terms, g.top = 0, smallest(job.parts.taps.down, job.parts.taps.R)
    for i in range(job.count):
        t = &job.parts[i].taps
        g.terms += t.R * t.S
        g.top = min_of(g.top, smallest(t.down, t.R))
        bottom = max_of(bottom, smallest(t.down, t.R) + span_of(t.down, t.R))
        left = max_of(left, -smallest(t.right, t.S))
        right = max_of(right, smallest(t.right, t.S) + span_of(t.right, t.S) + t.v * (t.Q - 1) - t.W)
    g.height = bottom - g.top
    t = &job.parts.taps
    g.left = min_of(left, t.v * (LONGEST - 1))
    g.pitch = times(g.left + t.W + min_of(right, t.v * (LONGEST - 1)), lanes)
    # By numbers that are the same with every instruction set.
    g.used = (times(plus(t.W, t.u * t.v * job.W), SUM_BYTES) <= MOST // 64
              and times(plus(g.terms, times(g.height, t.W + 2 * t.v * LONGEST)), SUM_BYTES) <= MOST // 4)
    if not g.used:
        return
    plan_bands_of_lanes(job, lanes, size)
    bytes = times(tile_size(job, lanes), size) + g.source_rows * t.W * <Py_ssize_t>sizeof(Py_ssize_t)
    job.scratch = (bytes + CACHE_LINE) // size


cdef inline Tile tile_of(const Job* job, floating* memory) noexcept nogil:
    cdef const Lanes* g = &job.lanes
    cdef Py_ssize_t lanes = lanes_of(memory), i, j, W = job.parts.taps.W
    cdef floating* here = align_to_line(memory, memory)
    cdef Tile tile
    tile.start, tile.w = here, here + lanes
    tile.x = here + (1 + g.terms) * lanes
    tile.y = <floating*>tile.x + g.source_rows * g.pitch
    tile.at = <Py_ssize_t*>(here + tile_size(job, lanes))
    memset(tile.x, 0, g.source_rows * g.pitch * sizeof(floating))
    for i in range(g.source_rows):
        for j in range(W):
            tile.at[i * W + j] = i * g.pitch + (g.left + j) * lanes
    return tile


cdef inline void spread_weights(const Job* job, const Arrays* all, const Tile* tile, Py_ssize_t first, Py_ssize_t count,
                                floating* tag) noexcept nogil:
    # Weights and start values of `count` groups from `first` on.
    cdef Py_ssize_t lanes = lanes_of(tag), i, k
    cdef const floating* start = <const floating*>all.start + first * job.start_group
    cdef const Sums* m
    cdef LanePlanes planes
    for k in range(lanes):
        (<floating*>tile.start)[k] = start[min_of(k, count - 1) * job.start_group]
    for i in range(job.count):
        m = &job.parts[i]
        planes = LanePlanes(x=<const floating*>all.w + m.w + first * m.w_group, plane=m.w_group, K=count,
                            count=terms(m), y=<floating*>tile.w + m.w // job.groups * lanes, at=NULL)
        m.taps.kernels.spread_planes(&planes, NULL)


cdef inline Span met(const Py_ssize_t* offsets, Py_ssize_t count, Py_ssize_t low, Py_ssize_t end) noexcept nogil:
    # Which of the offsets, that only grow or only fall, are within low ... end - 1.
    cdef Span s = Span(0, count)
    while s.first < s.end and not low <= offsets[s.first] < end:
        s.first += 1
    while s.first < s.end and not low <= offsets[s.end - 1] < end:
        s.end -= 1
    return s


cdef inline Py_ssize_t gap_of(const Py_ssize_t* offsets, Span s) noexcept nogil:
    return offsets[s.first + 1] - offsets[s.first] if s.end - s.first > 1 else 0


cdef inline bint by_places(const Sums* m, Py_ssize_t p) noexcept nogil:
    # Whether the terms of row p are added in the order of their places, which is that of the kernel the other way
    # round: as depthwise.pxd has them.
    cdef Py_ssize_t rows = m.plane.rows
    return m.plane.dense and m.taps.down[0] > m.plane.top and min_of(rows, m.taps.P - p // rows * rows) >= 4


cdef inline void sum_lanes_row(const Job* job, const Sums* m, const Tile* tile, Py_ssize_t p, Py_ssize_t low,
                               floating* Y) noexcept nogil:
    # Row p of a part, whose outputs in Y are as far apart as the stride says. low: the source's first row in the tile.
    cdef Py_ssize_t lanes = lanes_of(Y), j = 0, Q = m.taps.Q, h = m.taps.u * p, v = m.taps.v, r, s
    cdef int size = 0, M, turn = -1 if by_places(m, p) else 1
    cdef Span rows = met(m.taps.down, m.taps.R, -h, m.taps.H - h), columns
    cdef const floating* w = <const floating*>tile.w + m.w // job.groups * lanes
    cdef const int* outputs = m.taps.kernels.lane_outputs
    cdef LaneSums o
    o.start, o.y_step, o.w_column, o.w_row = tile.start, job.v * lanes, turn * lanes, turn * m.taps.S * lanes
    o.R, o.x_row = rows.end - rows.first, turn * gap_of(m.taps.down, rows) * job.lanes.pitch
    r = rows.first if turn > 0 else rows.end - 1
    while j < Q:
        while outputs[size] > Q - j:
            if outputs[size] <= Q and outputs[size + 1] < Q - j:
                j = Q - outputs[size]  # some a second time
            else:
                size += 1
        M = outputs[size]
        columns = met(m.taps.right, m.taps.S, -v * (j + M - 1), m.taps.W - v * j)
        o.S, o.x_column = columns.end - columns.first, turn * gap_of(m.taps.right, columns) * lanes
        if o.R * o.S == 0:
            o.R = 0
        else:
            s = columns.first if turn > 0 else columns.end - 1
            o.x = (<const floating*>tile.x + (h + m.taps.down[r] - low) * job.lanes.pitch
                   + (v * j + m.taps.right[s] + job.lanes.left) * lanes)
            o.w = w + (r * m.taps.S + s) * lanes
        o.Y = Y + j * o.y_step
        m.taps.kernels.sum_lanes[v - 1][size](&o, NULL, NULL)
        j += M


cdef inline void fill_lanes_row(const Job* job, const Tile* tile, Py_ssize_t count, floating* Y) noexcept nogil:
    # Of a phase that no tap reaches.
    cdef Py_ssize_t lanes = lanes_of(Y), j, k
    for j in range(count):
        for k in range(lanes):
            Y[j * job.v * lanes + k] = (<const floating*>tile.start)[k]


cdef inline Band band_of(const Job* job, Py_ssize_t task, Py_ssize_t lanes) noexcept nogil:
    # Bands of images, of one block after the other.
    cdef const Taps* t = &job.parts.taps
    cdef Band x
    x.first = task // (job.N * job.lanes.bands) * lanes
    x.count = min_of(lanes, job.groups - x.first)
    x.image = task // job.lanes.bands % job.N
    x.begin = task % job.lanes.bands * job.lanes.rows
    x.end = min_of(job.H, x.begin + job.lanes.rows)
    x.low = max_of(0, t.u * (x.begin // job.u) + job.lanes.top)
    x.high = max_of(x.low, min_of(t.H, t.u * ((x.end - 1) // job.u) + job.lanes.top + job.lanes.height))
    return x


cdef inline const floating* source_of(const Job* job, const Arrays* all, const Band* x, floating* tag) noexcept nogil:
    return (<const floating*>all.Z + x.image * job.z_image + x.first * job.z_group
            + min_of(x.low, job.parts.taps.H) * job.parts.taps.W)


cdef inline void prefetch_for_row(const Job* job, const Band* next, const floating* Z, const floating* Y,
                                  Py_ssize_t row, Py_ssize_t rows, Py_ssize_t count) noexcept nogil:
    # Of `count` planes where outputs of row `row` will go, and a share of the next band's source: so many planes side
    # by side the processor does not see coming.
    cdef Py_ssize_t size = (next.high - next.low) * job.parts.taps.W, k, first = size * row // rows
    cdef Py_ssize_t end = size * (row + 1) // rows
    for k in range(count):
        prefetch_span(Y + k * job.y_group + row * job.W, job.W * sizeof(floating), NULL)
        prefetch_bytes(Z + k * job.z_group + first, (end - first) * sizeof(floating))


cdef inline void sum_lanes_band(const Job* job, const Arrays* all, const Tile* tile, const Band* x, const Band* next,
                                floating* tag) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(tag), v = min_of(job.v, job.W), h, b, part
    cdef const Taps* t = &job.parts.taps
    cdef const floating* ahead = source_of(job, all, next, tag)
    cdef floating* Y = <floating*>all.Y + x.image * job.y_image + x.first * job.y_group + x.begin * job.W
    cdef floating* y
    cdef LanePlanes source = LanePlanes(x=source_of(job, all, x, tag), plane=job.z_group, K=x.count,
                                        count=(x.high - x.low) * t.W, y=tile.x, at=tile.at)
    cdef LanePlanes outputs = LanePlanes(x=Y, plane=job.y_group, K=x.count, count=(x.end - x.begin) * job.W, y=tile.y,
                                         at=NULL)
    t.kernels.spread_planes(&source, NULL)
    for h in range(x.begin, x.end):
        prefetch_for_row(job, next, ahead, Y, h - x.begin, x.end - x.begin, min_of(x.count, next.count))
        for b in range(v):
            part = 0 if job.part == NULL else job.part[h % job.u * v + b]
            y = <floating*>tile.y + ((h - x.begin) * job.W + b) * lanes
            if part >= 0:
                sum_lanes_row(job, &job.parts[part], tile, h // job.u, x.low, y)
            else:
                fill_lanes_row(job, tile, ceil_div(job.W - b, job.v), y)
    t.kernels.gather_planes(&outputs, NULL)
    if job.parts.epilogue.used:
        finish(&job.parts.epilogue, t.kernels, Y, job.y_group, x.count, outputs.count)


cdef inline void sum_lanes_share(const Job* job, const Arrays* all, Span tasks, floating* memory) noexcept nogil:
    # One worker's share.
    cdef Py_ssize_t lanes = lanes_of(memory), task, known = -1
    cdef Tile tile = tile_of(job, memory)
    cdef Band x, next = band_of(job, tasks.first, lanes)
    for task in range(tasks.first, tasks.end):
        x = next
        if task + 1 < tasks.end:
            next = band_of(job, task + 1, lanes)
        if x.first != known:
            known = x.first
            spread_weights(job, all, &tile, x.first, x.count, memory)
        sum_lanes_band(job, all, &tile, &x, &next, memory)


cdef inline void sum_all_lanes(const Job* job, const Arrays* all, int threads, floating* scratch) noexcept nogil:
    cdef Py_ssize_t tasks = ceil_div(job.groups, lanes_of(scratch)) * job.N * job.lanes.bands, worker
    if threads == 1:
        sum_lanes_share(job, all, Span(0, tasks), scratch)
        return
    for worker in prange(threads, schedule="static", num_threads=threads):
        sum_lanes_share(job, all, Span(tasks * worker // threads, tasks * (worker + 1) // threads),
                        scratch + worker * job.scratch)
