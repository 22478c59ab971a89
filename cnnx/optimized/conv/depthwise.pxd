# A convolution of one plane by one kernel, as each group of a depthwise one is: every number of the plane meets R S
# weights and no more, so that the S copies of pack/taps.pxd would take longer than the sums. A band of rows is copied
# once, with its padding, and stays in the first cache.

from cython cimport floating
from libc.string cimport memset

from ..microkernel.depthwise cimport MAX_ROWS, Band
from ..microkernel.depthwise_planes cimport PLANE_ROWS, Planes
from ..microkernel.strided_rows cimport MAX_VECTOR_STRIDE
from ..microkernel.table cimport Depthwise, Microkernels
from ..pack.taps cimport Taps, pack_rows
from ..runtime.integers cimport SATURATED, ceil_div, end_output, first_output, max_of, min_of, plus, times
from ..runtime.memory cimport SCRATCH
from ..simd.prefetch cimport PREFETCH_DISTANCE, prefetch_span
from ..simd.vector cimport lanes_of
from .epilogue cimport Epilogue, finish

cdef enum:
    BAND = 24_576  # bytes of a band


cdef struct Plane:
    bint used  # False: the sum goes by copies of the image (pack/taps.pxd)
    Py_ssize_t top, left  # the least row and column offset of a tap
    Py_ssize_t height  # rows that the taps span
    Py_ssize_t line, pitch  # columns of one phase of a row of a band; from one row to the next
    Py_ssize_t rows, bands  # output rows of a band, bands of a plane
    bint dense  # a tap at each of 3 x 3 places
    Py_ssize_t[3] column  # where a row of them lies
    bint direct  # rows are read where they lie, not from a band
    int[9] place  # then: which weight is for which of the 3 x 3 places


cdef inline Py_ssize_t smallest(const Py_ssize_t* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, a = x[0]
    for i in range(1, n):
        a = min_of(a, x[i])
    return a


cdef inline Py_ssize_t span_of(const Py_ssize_t* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, a = x[0]
    for i in range(1, n):
        a = max_of(a, x[i])
    return a - smallest(x, n) + 1


cdef inline Py_ssize_t band_size(const Plane* plane, const Taps* g, Py_ssize_t lanes) noexcept nogil:
    # Numbers of a band, as many as the vectors that begin in its last row reach beyond it, and a page to move it by.
    return plus(times(g.u * (plane.rows - 1) + plane.height + 1, plane.pitch), 2 * lanes + 1024)


cdef inline void plan_plane(Plane* plane, Taps* g, Py_ssize_t K, Py_ssize_t size, Py_ssize_t lanes) noexcept nogil:
    # After plan_taps(); where this is used, the taps are offsets into a band. A band holds whatever lies
    # between its taps and outputs: where that is far more than they take, as with long strides, copies are the better
    # way.
    cdef Py_ssize_t r, s, width = span_of(g.right, g.S), offset
    plane.height = span_of(g.down, g.R)
    plane.used = (g.C == 1 and K == 1 and g.u <= MAX_VECTOR_STRIDE and g.v <= MAX_VECTOR_STRIDE
                  and plane.height <= g.H + g.R and width <= g.W + g.S)
    if not plane.used:
        return
    plane.line = (width - 1) // g.v + g.Q
    if g.v > 1:  # or a phase's last vector would reach into the next one
        plane.line = ceil_div(plane.line, lanes) * lanes
    plane.pitch = g.v * plane.line
    plane.used = times(plane.height, plane.pitch) < SATURATED
    if not plane.used:
        return
    plane.top = smallest(g.down, g.R)
    plane.left = smallest(g.right, g.S)
    plane.rows = min_of(g.P, max_of(MAX_ROWS, (BAND // times(plane.pitch, size) - plane.height) // g.u + 1))
    plane.bands = ceil_div(g.P, plane.rows)
    plane.used = times(band_size(plane, g, lanes), size) <= SCRATCH
    if not plane.used:
        return
    # Taps beyond the image were moved to where they may share a place, and leave another one without any.
    plane.dense = (g.R == 3 and g.S == 3 and plane.height == 3 and width == 3
                   and g.down[1] == plane.top + 1 and g.right[1] == plane.left + 1)
    for s in range(3):
        plane.column[s] = s % g.v * plane.line + s // g.v
    plan_direct(plane, g, lanes)
    for r in range(g.R):
        for s in range(g.S):
            offset = g.right[s] - plane.left
            g.tap[r * g.S + s] = ((g.down[r] - plane.top) * plane.pitch + offset % g.v * plane.line + offset // g.v)


cdef inline void plan_direct(Plane* plane, const Taps* g, Py_ssize_t lanes) noexcept nogil:
    # Terms are added in the order of their places: in a band of few rows, in that of the kernel.
    cdef Py_ssize_t r, s
    # And a band is as fast where rows take many vectors, of which few stay in few registers.
    plane.direct = (plane.dense and g.u == g.v and g.u <= 2 and (PLANE_ROWS > 4 or g.u == 2 or g.Q <= 3 * lanes)
                    and ((plane.bands == 1 and g.P >= 4) or (g.down[0] == plane.top and g.right[0] == plane.left))
                    and g.kernels.depthwise_planes[g.u - 1] != NULL)
    if plane.direct:
        for r in range(3):
            for s in range(3):
                plane.place[3 * (g.down[r] - plane.top) + g.right[s] - plane.left] = 3 * r + s


cdef inline void sum_planes(const Plane* plane, const Taps* g, const floating* Z, const floating* w,
                            const floating* start, Py_ssize_t start_step, floating* Y, Py_ssize_t count,
                            const Epilogue* epilogue) noexcept nogil:
    # `count` planes side by side, each by its own kernel, where they lie; with an epilogue some at a time.
    cdef Py_ssize_t size = g.P * g.Q, step = max_of(1, BAND // (size * <Py_ssize_t>sizeof(floating))), i = 0
    cdef Planes planes = Planes(count=count, H=g.H, W=g.W, P=g.P, Q=g.Q, top=plane.top, left=plane.left,
                                step=start_step, place=plane.place, x=Z, w=w, start=start, Y=Y)
    if not epilogue.used:
        g.kernels.depthwise_planes[g.u - 1](&planes, NULL)
        return
    while i < count:
        planes.count = min_of(step, count - i)
        planes.x, planes.w, planes.start, planes.Y = Z + i * g.H * g.W, w + 9 * i, start + start_step * i, Y + i * size
        g.kernels.depthwise_planes[g.u - 1](&planes, NULL)
        finish(epilogue, g.kernels, Y + i * size, 0, 1, planes.count * size)
        i += step


cdef inline void pack_band(const Plane* plane, const Taps* g, const floating* Z, floating* band, Py_ssize_t p,
                           Py_ssize_t count) noexcept nogil:
    # The rows that `count` output rows from p on need.
    cdef Py_ssize_t h = g.u * p + plane.top, rows = g.u * (count - 1) + plane.height, b, column
    cdef Py_ssize_t low = min_of(rows, max_of(0, -h)), high = max_of(low, min_of(rows, g.H - h))
    memset(band, 0, low * plane.pitch * sizeof(floating))
    for b in range(g.v if low < high else 0):  # or their address may be anywhere
        column = plane.left + b
        pack_rows(g, Z + (h + low) * g.W + column, g.W, band + low * plane.pitch + b * plane.line, plane.pitch,
                  plane.line, high - low, first_output(-column, g.v), end_output(g.W - column, g.v, plane.line))
    # And what the last row's vectors reach beyond it: sums of it are not kept, but take a hundred times as long where
    # malloc() left numbers below the normal ones there.
    memset(band + high * plane.pitch, 0, ((rows - high) * plane.pitch + 2 * lanes_of(band)) * sizeof(floating))


cdef inline Depthwise kernel_for(const Microkernels* kernels, const Plane* plane, Py_ssize_t u,
                                 Py_ssize_t M) noexcept nogil:
    # For M = 1, 4 or 8 output rows at a time.
    if plane.dense and M > 1 and u == 1:
        return kernels.depthwise_3x3[M // 8]
    if plane.dense and M == 4 and u == 2:
        return kernels.depthwise_3x3_stride_2
    return kernels.depthwise_taps[M // 4]


cdef inline void sum_band(const Plane* plane, const Taps* g, const floating* band, const floating* w,
                          const floating* dense_w, const floating* start, floating* Y, Py_ssize_t count,
                          const floating* ahead) noexcept nogil:
    # Y: `count` output rows. dense_w: of dense taps, w in the order of their places. ahead: what will be copied next.
    cdef Py_ssize_t p = 0, M = 8 if count >= 8 and g.u == 1 else 4 if count >= 4 else 1, lanes = lanes_of(Y), s
    cdef Depthwise multiply = kernel_for(g.kernels, plane, g.u, M)
    cdef bint dense = plane.dense and M > 1 and g.u <= 2
    cdef Band rows
    rows.pitch, rows.u, rows.taps, rows.terms, rows.start, rows.Q = plane.pitch, g.u, g.tap, g.R * g.S, start, g.Q
    rows.w = dense_w if dense else w
    for s in range(3):
        rows.column[s] = plane.column[s]
    while p < count:
        p = min_of(p, count - M)  # some rows a second time
        rows.x = band + g.u * p * plane.pitch
        rows.Y = Y + p * g.Q
        # Where a row is shorter than a vector, what is written beyond it is written again by the next one, if there is
        # one.
        rows.width = lanes if (count - p) * g.Q >= (M - 1) * g.Q + lanes else min_of(lanes, g.Q)
        multiply(&rows, NULL)
        prefetch_span(ahead + g.u * p * g.W, g.u * M * g.W * sizeof(floating), NULL)
        prefetch_span(Y + p * g.Q + PREFETCH_DISTANCE // <Py_ssize_t>sizeof(floating), M * g.Q * sizeof(floating), NULL)
        p += M


cdef inline void sum_plane(const Plane* plane, const Taps* g, const floating* Z, const floating* w,
                           const floating* start, floating* Y, Py_ssize_t first, Py_ssize_t end,
                           floating* memory, const Epilogue* epilogue) noexcept nogil:
    # Bands first ... end - 1.
    cdef Py_ssize_t i, p, count, r, s, ahead
    cdef floating[9] dense_w
    cdef floating* band
    if plane.dense:
        for r in range(3):
            for s in range(3):
                dense_w[3 * (g.down[r] - plane.top) + g.right[s] - plane.left] = w[3 * r + s]
    for i in range(first, end):
        p = i * plane.rows
        count = min_of(plane.rows, g.P - p)
        # Half a page from what is written, of whichever page: a load is taken for one of what was just stored at the
        # same place in another page, and waits.
        band = memory + (<size_t>(Y + p * g.Q) % 4096 + 6144 - <size_t>memory % 4096) % 4096 // sizeof(floating)
        pack_band(plane, g, Z, band, p, count)
        # The next plane lies behind this one. With a padding that is far larger than the image no row may be near.
        ahead = min_of(g.H, max_of(0, g.u * (p + count - 1) + plane.top + plane.height))
        sum_band(plane, g, <const floating*>band, w, <const floating*>dense_w, start, Y + p * g.Q, count,
                 Z + ahead * g.W)
        if epilogue.used:
            finish(epilogue, g.kernels, Y + p * g.Q, 0, 1, count * g.Q)
