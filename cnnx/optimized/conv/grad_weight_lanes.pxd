# C3 of many planes, each by a kernel of its own, with a lane for each plane (microkernel/lanes.pxd). Parts, units and
# partial sums are those of grad_weight_plan.pxd, and so are the bits.

from cython cimport floating
from cython.parallel cimport prange
from libc.string cimport memset

from ..microkernel.lanes cimport LanePlanes, LaneProducts
from ..pack.grad_weight cimport Plan
from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times
from ..runtime.memory cimport whole_lines, align_to_line
from ..simd.vector cimport SUM_BYTES, lanes_of
from .grad_weight cimport find_positions
from .grad_weight_plan cimport Unit, count_of, next_unit, unit_of
from .grad_weight_terms cimport recompute_nonfinite

cdef enum:
    MOST = 2_097_152  # bytes for one thread


cdef struct LaneMemory:
    # One thread's memory, and how its vectors lie in it.
    Py_ssize_t R, S, block  # taps, up to whole blocks, and which kernel has them
    Py_ssize_t rows, columns  # of a block
    Py_ssize_t L  # partial sums of a tap
    Py_ssize_t width, image  # numbers from one row of Z~ to the next, and from one image
    Py_ssize_t sums, totals, x, Delta, at, places  # bytes to where each begins
    Py_ssize_t size  # of all


cdef inline void plan_block(const Plan* g, LaneMemory* m) noexcept nogil:
    # The kernel that has the fewest taps beyond the window.
    cdef Py_ssize_t i, R, S, least = 0
    for i in range(3):
        R, S = 3 if i == 0 else 2, 3 + 2 * i
        if i == 0 or times(ceil_div(g.R, R) * R, ceil_div(g.S, S) * S) < least:
            m.block, m.rows, m.columns = i, R, S
            m.R, m.S = ceil_div(g.R, R) * R, ceil_div(g.S, S) * S
            least = times(m.R, m.S)


cdef inline LaneMemory lanes_plan(const Plan* g, Py_ssize_t size) noexcept nogil:
    cdef LaneMemory m
    cdef Py_ssize_t bytes = g.lanes * size, height
    plan_block(g, &m)
    m.L = 1 if g.over_channels else g.partial
    height = plus(g.u * (g.rows - 1) + 1, times(g.d_h, m.R - 1))
    m.width = times(max_of(plus(g.v * (g.Q - 1) + 1, times(g.d_w, m.S - 1)), plus(g.p_w, g.W)), g.lanes)
    m.image = times(height, m.width)
    m.sums = 0
    m.totals = times(times(times(m.R, m.S), m.L), bytes)
    m.x = plus(m.totals, times(times(m.R, m.S) + g.lanes, bytes))
    m.Delta = plus(m.x, times(times(g.images, m.image), size))
    m.at = plus(m.Delta, times(g.positions, bytes))
    m.places = plus(m.at, times(g.positions, sizeof(Py_ssize_t)))
    m.size = whole_lines(plus(m.places, times(times(height, g.W), sizeof(Py_ssize_t))) + 192)
    return m


cdef inline bint lanes_pay(const Plan* g, Py_ssize_t most_bytes, Py_ssize_t size, int threads,
                           LaneMemory* m) noexcept nogil:
    # Whether planes had better be the lanes: enough of them for lanes and threads, and tiles that stay in the cache.
    # Plans m then.
    cdef Py_ssize_t L = SUM_BYTES // size, blocks = ceil_div(g.groups, g.lanes)
    if not (g.C == 1 and g.K == 1 and g.parts == 1 and g.column_cuts == 1
            and 3 * g.groups >= 2 * ceil_div(g.groups, L) * L and (blocks >= 2 * threads or blocks % threads == 0)):
        return False
    m[0] = lanes_plan(g, size)
    return m.size <= min_of(MOST, most_bytes)


cdef inline void spread_unit(const floating* Delta, const floating* Z, const Plan* g, const LaneMemory* m,
                             const Unit* it, Py_ssize_t first, Py_ssize_t count, char* memory) noexcept nogil:
    # A unit's numbers of `count` planes from `first` on. Columns beside the image stay 0.
    cdef Py_ssize_t h = g.u * it.p - g.p_h, height = m.image // m.width, i
    cdef Py_ssize_t low = min_of(height, max_of(0, -h)), high = max_of(low, min_of(height, g.H - h))
    cdef floating* x = <floating*>(memory + m.x)
    cdef floating* d = <floating*>(memory + m.Delta)
    cdef LanePlanes planes
    for i in range(it.images):
        planes = LanePlanes(x=Delta + ((it.n + i) * g.groups + first) * g.P * g.Q + it.p * g.Q, plane=g.P * g.Q,
                            K=count, count=it.rows * g.Q, y=d + i * it.rows * g.Q * g.lanes, at=NULL)
        g.kernels.spread_planes(&planes, NULL)
        memset(x, 0, low * m.width * sizeof(floating))
        memset(x + high * m.width, 0, (height - high) * m.width * sizeof(floating))
        if low < high:
            planes = LanePlanes(x=Z + (((it.n + i) * g.groups + first) * g.H + h + low) * g.W, plane=g.H * g.W, K=count,
                                count=(high - low) * g.W, y=x + low * m.width,
                                at=<Py_ssize_t*>(memory + m.places))
            g.kernels.spread_planes(&planes, NULL)
        x += m.image


cdef inline void add_unit(const Plan* g, const LaneMemory* m, const Unit* it, char* memory,
                          floating* tag) noexcept nogil:
    cdef Py_ssize_t r = 0, s
    cdef LaneProducts o
    o.at, o.x_row, o.x_column = <Py_ssize_t*>(memory + m.at), g.d_h * m.width, g.d_w * g.lanes
    o.Delta, o.count, o.L, o.sums_row = memory + m.Delta, count_of(it), m.L, m.S * m.L * g.lanes
    while r < m.R:
        s = 0
        while s < m.S:
            o.x = <floating*>(memory + m.x) + r * o.x_row + s * o.x_column
            o.sums = <floating*>(memory + m.sums) + (r * m.S + s) * m.L * g.lanes
            g.kernels.add_products[m.block](&o, NULL)
            s += m.columns
        r += m.rows


cdef inline void finish_block(const floating* Delta, const floating* Z, const Plan* g, const LaneMemory* m,
                              Py_ssize_t first, Py_ssize_t count, char* memory, floating* dF) noexcept nogil:
    cdef Py_ssize_t r, k
    cdef floating* totals = <floating*>(memory + m.totals)
    cdef LanePlanes planes = LanePlanes(x=dF + first * g.T, plane=g.T, K=count, count=g.T, y=totals, at=NULL)
    for r in range(g.R):
        g.kernels.add_up(<floating*>(memory + m.sums) + r * m.S * m.L * g.lanes, m.L, totals + r * g.S * g.lanes, g.S,
                         NULL)
    g.kernels.gather_planes(&planes, NULL)
    if not g.inside:
        for k in range(first, first + count):
            recompute_nonfinite(Delta, Z, g, k, Span(0, 1), Span(0, g.T), dF + k * g.T)


cdef inline void dF_block(const floating* Delta, const floating* Z, floating* dF, const Plan* g, const LaneMemory* m,
                          Py_ssize_t block, char* memory) noexcept nogil:
    cdef Py_ssize_t first = block * g.lanes, count = min_of(g.lanes, g.groups - first), unit = 0
    cdef Unit it, known = Unit(0, 0, 0, 0, 0, 0)
    memset(memory + m.sums, 0, m.totals)
    while unit < g.units:
        it = unit_of(g, unit)
        if it.images != known.images or it.rows != known.rows:
            known = it
            find_positions(g, &it, m.image, m.width, g.lanes, <Py_ssize_t*>(memory + m.at))
        spread_unit(Delta, Z, g, m, &it, first, count, memory)
        add_unit(g, m, &it, memory, dF)
        unit = next_unit(g, unit)
    finish_block(Delta, Z, g, m, first, count, memory, dF)


cdef inline void dF_share(const floating* Delta, const floating* Z, floating* dF, const Plan* g, const LaneMemory* m,
                          Span blocks, char* memory) noexcept nogil:
    cdef Py_ssize_t block, i, j
    cdef Py_ssize_t* places
    memory = <char*>align_to_line(memory, dF)
    places = <Py_ssize_t*>(memory + m.places)
    memset(memory + m.x, 0, m.Delta - m.x)
    for i in range(m.image // m.width):
        for j in range(g.W):
            places[i * g.W + j] = i * m.width + (g.p_w + j) * g.lanes
    for block in range(blocks.first, blocks.end):
        dF_block(Delta, Z, dF, g, m, block, memory)


cdef inline void dF_lanes(const floating* Delta, const floating* Z, floating* dF, const Plan* g, const LaneMemory* m,
                          int threads, char* memory) noexcept nogil:
    cdef Py_ssize_t blocks = ceil_div(g.groups, g.lanes), worker
    if threads == 1:
        dF_share(Delta, Z, dF, g, m, Span(0, blocks), memory)
        return
    for worker in prange(threads, schedule="static", num_threads=threads):
        dF_share(Delta, Z, dF, g, m, Span(blocks * worker // threads, blocks * (worker + 1) // threads),
                 memory + worker * m.size)
