# The gradient of max pooling, window by window in their order: each adds its Delta where its winner lies. An element's
# sum is that of P2, term by term. A thread has a share of the image's rows and passes over winners in other rows.

from cython cimport floating
from libc.stdint cimport int32_t
from libc.string cimport memset

from ..runtime.integers cimport end_output, first_output, max_of, min_of
from .max_row cimport integer
from .window cimport Window

cdef enum:
    TABLE = 256  # members of a window up to which tables say where they lie; beyond, a division does
    SMALL = 1024  # rows and columns of a plane whose windows have a table


cdef struct Places:
    # Of each member of a window: how far from the first one it lies in the plane, and by how many columns.
    Py_ssize_t at[TABLE]
    Py_ssize_t columns[TABLE]
    bint known


cdef struct Table:
    # Of each window of a small plane: where it begins in the plane, and its first column.
    int at[TABLE]
    int columns[TABLE]
    bint known, inside  # inside: no window leaves the image


cdef enum:
    TOGETHER = 4  # planes


cdef inline void set_places(Places* places, const Window* g) noexcept nogil:
    cdef Py_ssize_t r, s
    places.known = g.R <= TABLE // g.S
    if places.known:
        for r in range(g.R):
            for s in range(g.S):
                places.at[r * g.S + s] = r * g.W + s
                places.columns[r * g.S + s] = s


cdef inline void set_table(Table* table, const Places* places, bint wanted, const Window* g) noexcept nogil:
    # Where a plane has few windows and none lies far beyond it.
    cdef Py_ssize_t p, q
    table.known = (wanted and places.known and g.P <= TABLE // g.Q and g.H <= SMALL and g.W <= SMALL
                   and g.p_h <= SMALL and g.p_w <= SMALL and (g.u <= SMALL or g.P == 1) and (g.v <= SMALL or g.Q == 1))
    table.inside = (g.p_h == 0 and g.p_w == 0 and g.R <= g.H - g.u * (g.P - 1) and g.S <= g.W - g.v * (g.Q - 1))
    for p in range(g.P if table.known else 0):
        for q in range(g.Q):
            table.at[p * g.Q + q] = <int>((g.u * p - g.p_h) * g.W + g.v * q - g.p_w)
            table.columns[p * g.Q + q] = <int>(g.v * q - g.p_w)


cdef inline void add_windows(const floating* Delta, const int32_t* B, floating* dZ, const Window* g,
                             const Places* places, const Table* table, bint inside, int planes) noexcept nogil:
    cdef size_t members = g.R * g.S, pixels = g.H * g.W, W = g.W
    cdef Py_ssize_t outputs = g.P * g.Q, o, at, winner
    cdef int i
    for o in range(outputs):
        for i in range(planes):
            winner = B[i * outputs + o]
            if <size_t>winner < members:
                at = table.at[o] + places.at[winner]
                if inside or (<size_t>at < pixels and <size_t>(table.columns[o] + places.columns[winner]) < W):
                    dZ[i * pixels + at] += Delta[i * outputs + o]


cdef inline void add_plane(const floating* Delta, const int32_t* B, floating* dZ, const Window* g,
                           const Places* places, const Table* table, int planes) noexcept nogil:
    # All windows of small planes, whose rows are too short for what a row costs.
    if table.inside:
        add_windows(Delta, B, dZ, g, places, table, True, planes)
    else:
        add_windows(Delta, B, dZ, g, places, table, False, planes)


cdef inline void add_any(floating delta, Py_ssize_t winner, floating* dZ, Py_ssize_t h, Py_ssize_t w,
                         Py_ssize_t first, Py_ssize_t end, const Window* g) noexcept nogil:
    # To the window at (h, w), whatever its size.
    cdef Py_ssize_t r = winner // g.S
    if winner < 0 or r >= g.R:
        return
    h += r
    w += winner - r * g.S
    if first <= h < end and 0 <= w < g.W:
        dZ[h * g.W + w] += delta


cdef inline void add_columns(const floating* Delta, const integer* B, floating* dZ, Py_ssize_t h, Py_ssize_t q,
                             Py_ssize_t end_q, Py_ssize_t first, Py_ssize_t end, const Window* g, const Places* places,
                             bint inside, int planes) noexcept nogil:
    # The outputs q ... end_q - 1. inside: no window has columns beyond the image.
    cdef size_t members = g.R * g.S, room = (end - first) * g.W, W = g.W
    cdef Py_ssize_t v = g.v, p_w = g.p_w, below = (h - first) * g.W - g.p_w, pixels = g.H * g.W, outputs = g.P * g.Q
    cdef Py_ssize_t at, winner
    cdef floating* rows = dZ + first * g.W
    cdef int i
    for q in range(q, end_q):
        for i in range(planes):
            winner = B[i * outputs + q]
            if <size_t>winner < members:
                at = below + v * q + places.at[winner]
                if <size_t>at < room and (inside or <size_t>(v * q - p_w + places.columns[winner]) < W):
                    rows[i * pixels + at] += Delta[i * outputs + q]


cdef inline void add_row(const floating* Delta, const integer* B, floating* dZ, Py_ssize_t p, Py_ssize_t first,
                         Py_ssize_t end, const Window* g, const Places* places, int planes) noexcept nogil:
    # Row p of Delta and its winners, to the rows first ... end - 1 of the plane dZ, and of the planes behind it, which
    # take turns: neighbours often have one winner, and then each sum waits for the one before. A winner that is no
    # member of its window, or lies beyond the image, wins nothing.
    cdef Py_ssize_t h = g.u * p - g.p_h, q, inside, end_inside
    cdef int i
    if not places.known:
        for i in range(planes):
            for q in range(g.Q):
                add_any(Delta[i * g.P * g.Q + q], B[i * g.P * g.Q + q], dZ + i * g.H * g.W, h, g.v * q - g.p_w, first,
                        end, g)
        return
    inside = min_of(first_output(g.p_w, g.v), g.Q)
    end_inside = max_of(inside, end_output(g.W + g.p_w - g.S + 1, g.v, g.Q))
    add_columns(Delta, B, dZ, h, 0, inside, first, end, g, places, False, planes)
    add_columns(Delta, B, dZ, h, inside, end_inside, first, end, g, places, True, planes)
    add_columns(Delta, B, dZ, h, end_inside, g.Q, first, end, g, places, False, planes)
