# One axis of a convolution's sums, forward or backward, cut into phases: C1, C5, and both with image and kernel in
# each other's place. An index j of the weights meets index i of the output where A i + B + G j = D z, z of the source.

from ..runtime.integers cimport Span, ceil_div, max_of, min_of, plus, times


cdef struct Axis:
    Py_ssize_t outputs, taps, source  # extents
    Py_ssize_t A, B, G, D  # A and D are at least 1
    bint reversed  # output i stands at outputs - 1 - i
    Py_ssize_t phases, apart  # outputs of a phase are so far apart: the remainder of A i by D is that of one of them
    Py_ssize_t tap_apart, common, inverse  # taps of a phase, likewise; gcd(G, D); the inverse of G / common


cdef struct Line:
    # A phase: its output i stands at place + apart i, its tap j is number tap + tap_apart j of the weights, and they
    # meet row step i + first + gap j of the source.
    Py_ssize_t outputs, place, apart, step, taps, tap, tap_apart, first, gap, source


cdef inline Py_ssize_t gcd(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    cdef Py_ssize_t rest
    while b:
        rest = a % b
        a, b = b, rest
    return a


cdef inline Py_ssize_t modulo(Py_ssize_t a, Py_ssize_t m) noexcept nogil:
    # 0 ... m - 1.
    a = a % m
    return a + m if a < 0 else a


cdef inline Py_ssize_t inverse_of(Py_ssize_t a, Py_ssize_t m) noexcept nogil:
    # x with a x = 1 modulo m, by Euclid's algorithm; they have no common divisor.
    cdef Py_ssize_t rest = m, x = 0, next_x = 1, q, old
    a = modulo(a, m)
    while a:
        q = rest // a
        old = rest
        rest, a = a, old - q * a
        old = x
        x, next_x = next_x, old - q * next_x
    return modulo(x, m)


cdef inline Axis axis_of(Py_ssize_t outputs, Py_ssize_t taps, Py_ssize_t source, Py_ssize_t A, Py_ssize_t B,
                         Py_ssize_t G, Py_ssize_t D) noexcept nogil:
    cdef Axis x
    x.outputs, x.taps, x.source, x.A, x.B, x.G, x.D, x.reversed = outputs, taps, source, A, B, G, D, False
    x.common = gcd(max_of(G, -G), D)
    x.tap_apart = D // x.common
    x.inverse = inverse_of(G // x.common, x.tap_apart) if x.tap_apart > 1 else 0
    x.apart = D // gcd(A, D)
    x.phases = min_of(x.apart, outputs)
    return x


cdef inline bint line_of(const Axis* x, Py_ssize_t phase, Line* line) noexcept nogil:
    # Phase number `phase`; False if no tap meets it.
    cdef Py_ssize_t begin = x.A * phase + x.B
    line.outputs = ceil_div(x.outputs - phase, x.apart)
    line.place = x.outputs - 1 - phase if x.reversed else phase
    line.apart = -x.apart if x.reversed else x.apart
    if begin % x.common != 0:
        return False
    line.tap = 0
    if x.tap_apart > 1:
        line.tap = modulo(modulo(-(begin // x.common), x.tap_apart) * x.inverse, x.tap_apart)
    if line.tap >= x.taps:
        return False
    line.tap_apart = x.tap_apart
    line.taps = ceil_div(x.taps - line.tap, x.tap_apart)
    line.step = x.A * x.apart // x.D
    line.first = (begin + x.G * line.tap) // x.D
    line.gap = x.G * x.tap_apart // x.D
    line.source = x.source
    return True


cdef inline Line longest_line(const Axis* x) noexcept nogil:
    # As many outputs and taps as a phase has at most.
    cdef Line line
    line.outputs = ceil_div(x.outputs, x.apart)
    line.place, line.apart = 0, -x.apart if x.reversed else x.apart
    line.tap, line.tap_apart, line.taps = 0, x.tap_apart, ceil_div(x.taps, x.tap_apart)
    line.step, line.first, line.gap, line.source = x.A * x.apart // x.D, 0, x.G * x.tap_apart // x.D, x.source
    return line


cdef inline Py_ssize_t taps_met(const Line* line, Py_ssize_t outputs) noexcept nogil:
    # At most so many taps meet the source from so many outputs side by side.
    return min_of(line.taps, (line.source + line.step * (outputs - 1)) // max_of(line.gap, -line.gap) + 1)


cdef inline Py_ssize_t outputs_met(const Line* line) noexcept nogil:
    # At most so many outputs have any tap in the source.
    cdef Py_ssize_t span = plus(line.source, times(max_of(line.gap, -line.gap), line.taps - 1))
    return min_of(line.outputs, (span - 1) // line.step + 1)


cdef inline Py_ssize_t ceil_of(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    # a / b rounded up, whatever a's sign.
    return ceil_div(a, b) if a > 0 else -(-a // b)


cdef inline Line line_within(const Line* line, Span outputs) noexcept nogil:
    # Of the same outputs, without the taps before the first and behind the last that some of them have in the source.
    cdef Py_ssize_t low = -line.step * (outputs.end - 1) - line.first  # least gap j
    cdef Py_ssize_t high = line.source - line.step * outputs.first - line.first  # and one past the largest
    cdef Py_ssize_t first, end
    cdef Line some = line[0]
    if line.gap > 0:
        first, end = ceil_of(low, line.gap), ceil_of(high, line.gap)
    else:
        first, end = ceil_of(1 - high, -line.gap), ceil_of(1 - low, -line.gap)
    first = min_of(line.taps, max_of(0, first))
    some.taps = max_of(0, min_of(line.taps, end) - first)
    some.tap += line.tap_apart * first
    some.first += line.gap * first
    return some
