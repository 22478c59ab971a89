# Softmax with the maximum shifted out: for softmax and cross entropy alike.
#
# Numbers are taken LANES at a time. Where a row's numbers lie apart, lanes are neighbouring rows. In a row that lies in
# one piece, lanes are parts of the row, which are put together at the end; but NARROW rows are transposed first, so
# that their numbers lie apart too. What is missing from a strip is filled up: every number goes through the same
# instructions, and sums have one order, given by the shape alone.

from cython cimport floating
from libc.math cimport INFINITY
from libc.string cimport memcpy, memset

from .runtime.integers cimport ceil_div
from .simd.exp cimport exp_least, large_exp, of_large
from .simd.log cimport log_for_float, log_positive
from .simd.reduce cimport LANES as DOUBLES, broadcast_sums, sums, sums_in_memory, widen

cdef enum:
    LANES = 32
    WIDEST = 16  # vectors of doubles that LANES of them need, where vectors are shortest
    NARROW = 32  # numbers in a row: taken as parts of it, they would mostly be lanes to put together
    TRANSPOSED = 1024  # numbers in LANES such rows

cdef struct RowLayout:
    Py_ssize_t steps, stride  # a strip every `stride` numbers
    Py_ssize_t width, last  # numbers in a strip, and in the last one
    bint one_row


cdef inline RowLayout contiguous_row(Py_ssize_t M) noexcept nogil:
    # One row in one piece.
    cdef RowLayout walk
    walk.steps, walk.stride, walk.width, walk.one_row = ceil_div(M, LANES), LANES, LANES, True
    walk.last = M - (walk.steps - 1) * LANES
    return walk


cdef inline RowLayout rows_side_by_side(Py_ssize_t M, Py_ssize_t B, Py_ssize_t b) noexcept nogil:
    # Rows b, b + 1, ... of B, as many as there are lanes.
    cdef RowLayout walk
    walk.steps, walk.stride, walk.one_row = M, B, False
    walk.width = walk.last = LANES if B - b > LANES else B - b
    return walk


cdef inline Py_ssize_t room_of(Py_ssize_t M) noexcept nogil:
    # Numbers of scratch memory for three arrays of transposed rows, which are too many for a small stack.
    return 3 * TRANSPOSED if M <= NARROW else 0


cdef inline Py_ssize_t rows_at_once(Py_ssize_t M) noexcept nogil:
    return LANES if M <= NARROW else 1


cdef inline void transpose_rows(const floating* rows, Py_ssize_t M, Py_ssize_t count,
                                floating* transposed) noexcept nogil:
    # `count` rows side by side, for rows_side_by_side(M, LANES, 0).
    cdef Py_ssize_t lane, i
    if count < LANES:
        memset(transposed, 0, M * LANES * sizeof(floating))
    for lane in range(count):
        for i in range(M):
            transposed[i * LANES + lane] = rows[lane * M + i]


cdef inline void transpose_back(const floating* transposed, Py_ssize_t M, Py_ssize_t count,
                                floating* rows) noexcept nogil:
    cdef Py_ssize_t lane, i
    for lane in range(count):
        for i in range(M):
            rows[lane * M + i] = transposed[i * LANES + lane]


cdef inline Py_ssize_t strip_width(RowLayout walk, Py_ssize_t step) noexcept nogil:
    return walk.last if step == walk.steps - 1 else walk.width


cdef inline void load_strip(const floating* z, RowLayout walk, Py_ssize_t step, floating* strip,
                            floating missing) noexcept nogil:
    cdef int width = <int>strip_width(walk, step), j
    z = z + step * walk.stride
    if width == LANES:
        memcpy(strip, z, LANES * sizeof(floating))
    else:
        for j in range(LANES):  # masked loads, where there are any: faster than a copy of so few
            strip[j] = z[j] if j < width else missing


cdef inline void store_strip(const floating* strip, RowLayout walk, Py_ssize_t step, floating* y) noexcept nogil:
    cdef int width = <int>strip_width(walk, step), j
    y = y + step * walk.stride
    if width == LANES:
        memcpy(y, strip, LANES * sizeof(floating))
    else:
        for j in range(LANES):
            if j < width:
                y[j] = strip[j]


cdef inline void spread_sum(double* total, RowLayout walk) noexcept nogil:
    # The sum of all lanes in every lane, if they are parts of one row.
    cdef double sum
    cdef int j
    if walk.one_row:
        for j in range(16):
            total[j] = total[j] + total[j + 16]
        for j in range(8):
            total[j] = total[j] + total[j + 8]
        for j in range(4):
            total[j] = total[j] + total[j + 4]
        sum = (total[0] + total[2]) + (total[1] + total[3])
        for j in range(LANES):
            total[j] = sum


cdef inline floating larger(floating a, floating b) noexcept nogil:
    # A NaN may be passed over here, since it is none of the exponentials' sum.
    return a if a > b else b


cdef inline void maxima(const floating* z, RowLayout walk, floating* most) noexcept nogil:
    cdef floating strip[LANES]
    cdef floating largest[LANES]
    cdef Py_ssize_t step
    cdef int j
    load_strip(z, walk, walk.steps - 1, largest, <floating>-INFINITY)
    if walk.width == LANES:
        for step in range(walk.steps - 1):
            for j in range(LANES):
                largest[j] = larger(z[step * walk.stride + j], largest[j])
    else:
        for step in range(walk.steps - 1):
            load_strip(z, walk, step, strip, <floating>-INFINITY)
            for j in range(LANES):
                largest[j] = larger(strip[j], largest[j])
    if walk.one_row:
        for j in range(16):
            largest[j] = larger(largest[j + 16], largest[j])
        for j in range(8):
            largest[j] = larger(largest[j + 8], largest[j])
        for j in range(4):
            largest[j] = larger(largest[j + 4], largest[j])
        largest[0] = larger(larger(largest[0], largest[2]), larger(largest[1], largest[3]))
        for j in range(LANES):
            most[j] = largest[0]
    else:
        memcpy(most, largest, sizeof(largest))


cdef inline void partitions(const floating* z, RowLayout walk, const floating* most, floating* e,
                            double* total) noexcept nogil:
    # sum_j exp(z_j - max z), summed in double; the exponentials go to e, if it is not NULL. All are too large by a
    # factor (large_exp), which cancels.
    cdef floating strip[LANES]
    cdef floating shift[LANES]
    cdef floating strips[2 * LANES]
    cdef sums a[WIDEST]  # numbers in an array would go through memory, where each step waits for the last one
    cdef Py_ssize_t step = 0
    cdef int j
    cdef floating largest = most[0]
    memcpy(shift, most, sizeof(shift))
    for j in range(LANES // DOUBLES):
        a[j] = broadcast_sums(0)
    if walk.one_row:
        while step < walk.steps - 2:  # two whole steps: enough exponentials at once that none is waited for
            for j in range(2 * LANES):  # a loop of its own: gcc would make two cases of all that follows
                strips[j] = exp_least(z[step * LANES + j] - largest)
            for j in range(2 * LANES):
                strips[j] = large_exp(strips[j])
            for j in range(LANES // DOUBLES):
                a[j] = a[j] + widen(&strips[j * DOUBLES])
            for j in range(LANES // DOUBLES):
                a[j] = a[j] + widen(&strips[LANES + j * DOUBLES])
            if e != NULL:
                memcpy(e + step * LANES, strips, sizeof(strips))
            step += 2
    for step in range(step, walk.steps):
        load_strip(z, walk, step, strip, <floating>-INFINITY)
        for j in range(LANES):
            strip[j] = exp_least(strip[j] - shift[j])
        for j in range(LANES):
            strip[j] = large_exp(strip[j])
        for j in range(LANES // DOUBLES):
            a[j] = a[j] + widen(&strip[j * DOUBLES])
        if e != NULL:
            store_strip(strip, walk, step, e)
    for j in range(LANES // DOUBLES):
        (<sums_in_memory*>&total[j * DOUBLES])[0] = a[j]
    spread_sum(total, walk)


cdef inline void row_sums(const floating* x, RowLayout walk, double* total) noexcept nogil:
    cdef floating strip[LANES]
    cdef Py_ssize_t step
    cdef int j
    for j in range(LANES):
        total[j] = 0
    for step in range(walk.steps):
        load_strip(x, walk, step, strip, <floating>0)
        for j in range(LANES):
            total[j] = total[j] + strip[j]
    spread_sum(total, walk)


cdef inline double log_of(double total, const floating* tag) noexcept nogil:
    # log sum_j exp(z_j - max z).
    total = total * of_large[floating](NULL)
    return log_for_float(total) if floating is float else log_positive(total)
