"""The calls that geometries.py makes: extents and options at random, boundary values up to 2^62 among them.

A kind takes a generator and returns the call in words, how many products it has (0: it is to be refused, infinity: its
outputs take their time) and the call itself, which returns what is wrong with its results, or None.
"""

import numpy as np

import cnnx

BOUNDARIES = [1, 2, 3, 5, 7, 31, *(2**n + d for n in (15, 16, 31, 32, 62) for d in (-1, 0, 1))]
FEW = BOUNDARIES[:6]
ELEMENTS = 2**20  # of an array that holds numbers of its own
OUTPUTS = 2**22, 2**31  # so many take their time; more are refused by a limit on memory
PRODUCTS = 2 * 10**8  # likewise, without those of padding

WHOLE_AXES = "global_avg_pool2d", "global_max_pool2d", "prelu", "local_response_norm", "add", "multiply"
ELEMENTWISE = (
    *("relu", "sigmoid", "tanh", "step", "identity", "leaky_relu", "elu", "softplus", "gelu"),
    *("clip", "hard_sigmoid", "hard_swish", "silu", "flatten"),
)


def number(rng, few=0.6):
    """A boundary value, mostly one of the small ones."""
    values = FEW if rng.random() < few else BOUNDARIES
    return values[rng.integers(len(values))]


def array(rng, shape, dtype):
    """Small integers; where they would be too many, one of them everywhere; None where no array has that shape."""
    try:
        if np.prod([float(n) for n in shape]) <= ELEMENTS:
            return rng.integers(-4, 5, shape).astype(dtype)
        return np.broadcast_to(np.array(2, dtype), shape)
    except ValueError:
        return None


def axis(rng, window=False):
    """Extent, taps, stride, padding on both sides, dilation: some drawn, some such that outputs are few."""
    extent, taps, step = number(rng, 0.7), number(rng, 0.4 if window else 0.75), number(rng)
    apart = 1 if window else number(rng)
    span = apart * (taps - 1) + 1
    before, after = (number(rng) if rng.random() < 0.4 else 0 for _ in range(2))
    if rng.random() < 0.7:  # a few outputs
        need = span + step * int(rng.integers(0, 3)) - extent
        before = min(max(0, need), span - 1 if window else max(0, need))
        after = max(0, need - before)
        if rng.random() < 0.3:
            before, after = after, before
    return extent, taps, step, (before, after), apart


def outputs(extent, taps, step, pads, apart):
    return (extent + sum(pads) - apart * (taps - 1) - 1) // step + 1


def met(extent, taps, step, pads, apart, count):
    """How many pairs of an output and a tap meet the image."""
    if min(taps, count) > ELEMENTS:
        return float("inf")
    if taps <= count:
        first = pads[0] - np.arange(taps, dtype=object) * apart
        return sum(max(0, min(count, -(-(n + extent) // step)) - max(0, -(-n // step))) for n in first)
    first = pads[0] - np.arange(count, dtype=object) * step
    return sum(max(0, min(taps, -(-(n + extent) // apart)) - max(0, -(-n // apart))) for n in first)


def products(planes, C, rows, columns, P, Q):
    """How many a call has; infinity if its outputs take too long, 0 if there are none or it is to be refused."""
    if min(P, Q, planes) < 1 or planes * P * Q > OUTPUTS[1]:
        return 0.0
    if planes * P * Q > OUTPUTS[0]:
        return float("inf")
    return float(planes * C) * met(*rows, P) * met(*columns, Q)


def convolution(rng):
    rows, columns = axis(rng), axis(rng)
    N, groups = int(rng.integers(0, 3)), int(rng.choice([1, 1, 2]))
    C, K = (number(rng, 0.9) for _ in range(2))
    dtype = ("float32", "float64")[rng.integers(2)]
    algorithm = ("direct", "auto", "winograd")[rng.integers(3)]
    if algorithm == "winograd":  # which has these alone, and in float32 more rounding than not_adjoint() allows
        rows, columns = ((extent, 3, 1, pads, 1) for extent, _, _, pads, _ in (rows, columns))
        dtype = "float64"
    shape, kernel = (N, C * groups, rows[0], columns[0]), (K * groups, C, rows[1], columns[1])
    options = dict(
        stride=(rows[2], columns[2]), padding=(rows[3], columns[3]), dilation=(rows[4], columns[4]), groups=groups
    )
    options["algorithm"] = algorithm
    P, Q = outputs(*rows), outputs(*columns)
    said = f"conv2d x {shape} weight {kernel} {dtype} {options}"
    work = products(N * groups * K, C, rows, columns, P, Q)

    return said, work, by_weight(rng, "conv2d", shape, kernel, dtype, options)


def transposed(rng):
    """The transposes of such convolutions, and output padding: what is left of the image behind the last output."""
    rows, columns = axis(rng), axis(rng)
    N, groups = int(rng.integers(0, 3)), int(rng.choice([1, 1, 2]))
    C, K = (number(rng, 0.9) for _ in range(2))
    dtype = ("float32", "float64")[rng.integers(2)]
    P, Q = outputs(*rows), outputs(*columns)
    shape, kernel = (N, K * groups, P, Q), (K * groups, C, rows[1], columns[1])
    left = [(r[0] + sum(r[3]) - r[4] * (r[1] - 1) - 1) % r[2] for r in (rows, columns)]
    options = dict(
        stride=(rows[2], columns[2]), padding=(rows[3], columns[3]), dilation=(rows[4], columns[4]), groups=groups
    )
    options["output_padding"] = tuple(left if rng.random() < 0.7 else (number(rng) for _ in left))
    given = [n - left[i] + options["output_padding"][i] for i, n in enumerate((rows[0], columns[0]))]
    size = N * groups * C * max(given[0], 0) * max(given[1], 0)
    work = products(N * groups * K, C, rows, columns, P, Q) if size <= OUTPUTS[1] else 0.0
    if OUTPUTS[0] < size <= OUTPUTS[1]:
        work = float("inf")

    said = f"conv_transpose2d x {shape} weight {kernel} {dtype} {options}"
    return said, work, by_weight(rng, "conv_transpose2d", shape, kernel, dtype, options)


def by_weight(rng, name, shape, kernel, dtype, options):
    """A call of an op with weights, forward and backward."""

    def call():
        x, weight = array(rng, shape, dtype), array(rng, kernel, dtype)
        if x is None or weight is None:
            return None
        y = getattr(cnnx, name)(x, weight, **options)
        grad = array(rng, y.shape, dtype)
        found = getattr(cnnx, f"{name}_backward")(grad, x, weight, **options)
        return not_adjoint(grad, y, ("x", found[0], x), ("weight", found[1], weight))

    return call


def not_adjoint(grad, y, *pairs):
    """Which gradient is wrong, of an op that is linear in each of these arrays: <grad, L x> is <L* grad, x>."""
    if max(of.size for _, _, of in pairs) > ELEMENTS:
        return None
    product, size = np.vdot(grad.astype("f8"), y), np.vdot(abs(grad.astype("f8")), abs(y))
    for name, gradient, of in pairs:
        if gradient is not None and abs(np.vdot(gradient.astype("f8"), of) - product) > 1e-5 * (1 + size):
            return f"grad_{name} is not the adjoint's"
    return None


def whole_axes(rng):
    """Ops without windows of rows and columns."""
    dtype = ("float32", "float64")[rng.integers(2)]
    shape = (int(rng.integers(0, 3)), *(number(rng, 0.7) for _ in range(3)))
    name = (WHOLE_AXES + ELEMENTWISE)[rng.integers(len(WHOLE_AXES + ELEMENTWISE))]
    more, options = {}, {}
    if name == "prelu":
        more = {"weight": (shape[1] if rng.random() < 0.9 else number(rng),)}
    elif name == "local_response_norm":
        options = {"size": number(rng, 0.3), "alpha": 0.5}
    elif name == "clip":
        options = {"min": -1.0, "max": 2.0}
    elif name in ("add", "multiply"):
        more = {"b": tuple(n if rng.random() < 0.5 else 1 for n in shape)}
    elements = float(np.prod([float(n) for n in shape]))
    work = elements * min(options.get("size", 1), shape[1]) if elements <= OUTPUTS[1] else 0.0
    if elements > OUTPUTS[0] and not (name.startswith("global") and elements <= PRODUCTS):
        work = work and float("inf")
    if name.startswith("global") and elements > OUTPUTS[1]:
        work = float("inf")  # its outputs may be few, and then its input takes its time

    def call():
        x, others = array(rng, shape, dtype), [array(rng, given, dtype) for given in more.values()]
        if x is None or any(other is None for other in others):
            return None
        y = getattr(cnnx, name)(x, *others, **options)
        grad = array(rng, y.shape, dtype)
        found = getattr(cnnx, f"{name}_backward")(grad, x, *others, **options)
        if name == "add":
            return not_adjoint(grad, np.broadcast_to(x, y.shape), ("a", found[0], x))
        if name == "local_response_norm" or name in ELEMENTWISE:
            return None if y.size == found.size == x.size and found.shape == x.shape else "another shape"
        return not_adjoint(grad, y, ("x", found[0] if more else found, x))

    return f"{name} {shape} {more} {dtype} {options}", work, call


def work_of(elements, each=1.0):
    """Of arrays, the largest with so many elements: 0 if it is to be refused, infinity if it takes its time."""
    if elements > OUTPUTS[1]:
        return 0.0
    return float("inf") if elements > OUTPUTS[0] else elements * each


def resizing(rng):
    dtype = ("float32", "float64")[rng.integers(2)]
    shape = (int(rng.integers(0, 3)), *(number(rng, 0.8) for _ in range(3)))
    size = number(rng, 0.8), number(rng, 0.8)
    options = dict(size=size, mode=("nearest", "bilinear")[rng.integers(2)])
    options["coordinates"] = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")[rng.integers(4)]
    planes = float(shape[0]) * shape[1]

    def call():
        x = array(rng, shape, dtype)
        if x is None:
            return None
        y = cnnx.upsample2d(x, **options)
        grad = array(rng, y.shape, dtype)
        return not_adjoint(grad, y, ("x", cnnx.upsample2d_backward(grad, x, **options), x))

    work = work_of(planes * max(float(shape[2]) * shape[3], float(size[0]) * size[1]))
    return f"upsample2d x {shape} {dtype} {options}", work, call


def stacks(rng):
    """Products of stacks of matrices, some members of which are repeated."""
    dtype = ("float32", "float64")[rng.integers(2)]
    rows, terms, columns = (number(rng, 0.8) for _ in range(3))
    lead = [number(rng, 0.9) for _ in range(rng.integers(0, 3))]
    a, b = ((*(n if rng.random() < 0.7 else 1 for n in lead), *of) for of in ((rows, terms), (terms, columns)))
    members = float(np.prod([float(max(n, m)) for n, m in zip(a[:-2], b[:-2], strict=True)]))

    def call():
        first, second = array(rng, a, dtype), array(rng, b, dtype)
        if first is None or second is None:
            return None
        y = cnnx.matmul(first, second)
        grad = array(rng, y.shape, dtype)
        found = cnnx.matmul_backward(grad, first, second)
        return not_adjoint(grad, y, ("a", found[0], first), ("b", found[1], second))

    largest = members * max(float(rows) * terms, float(terms) * columns, float(rows) * columns)
    return f"matmul {a} {b} {dtype}", work_of(largest, min(rows, terms, columns)), call


def normalisation(rng):
    """Linear in the weight, if there is no bias."""
    dtype = ("float32", "float64")[rng.integers(2)]
    shape = (int(rng.integers(0, 3)), *(number(rng, 0.75) for _ in range(3)))
    name = ("batch_norm2d", "group_norm", "instance_norm", "layer_norm")[rng.integers(4)]
    given, of, options = (), shape[1:2], {}
    if name == "batch_norm2d":
        options = {"training": True}
    elif name == "group_norm":
        given = (number(rng) if rng.random() < 0.5 else shape[1],)
    elif name == "layer_norm":
        of = shape[rng.integers(1, 4) :]
        given = (of,)

    def call():
        x, weight = array(rng, shape, dtype), array(rng, of, dtype)
        if x is None or weight is None:
            return None
        bias = (np.broadcast_to(np.zeros((), dtype), of),) if name == "batch_norm2d" else ()
        y = getattr(cnnx, name)(x, *given, weight, *bias, **options)
        grad = array(rng, y.shape, dtype)
        found = getattr(cnnx, f"{name}_backward")(grad, x, *given, weight, **options)
        return not_adjoint(grad, y, ("weight", found[1], weight), ("x", None, x))

    return f"{name} {shape} {given} {dtype}", work_of(float(np.prod([float(n) for n in shape]))), call


def pooling(rng):
    rows, columns = axis(rng, window=True), axis(rng, window=True)
    shape = (int(rng.integers(0, 3)), number(rng, 0.9), rows[0], columns[0])
    dtype = ("float32", "float64")[rng.integers(2)]
    kind = ("max", "avg", "lp")[rng.integers(3)]
    options = dict(kernel_size=(rows[1], columns[1]), stride=(rows[2], columns[2]), padding=(rows[3], columns[3]))
    given = (2,) if kind == "lp" else ()
    P, Q = outputs(*rows), outputs(*columns)
    work = products(shape[0] * shape[1], 1, rows, columns, P, Q)

    def call():
        x = array(rng, shape, dtype)
        if x is None:
            return None
        forward, backward = getattr(cnnx, f"{kind}_pool2d"), getattr(cnnx, f"{kind}_pool2d_backward")
        y = forward(x, *given, **options)
        grad = array(rng, y.shape, dtype)
        gradient = backward(grad, x, *given, **options)
        return None if kind == "lp" else not_adjoint(grad, y, ("x", gradient, x))  # linear where the winners stay

    return f"{kind}_pool2d x {shape} {dtype} {options}", work, call


def rows(rng):
    """Rows by weights, softmax and its cost, what has a mask or a target, arrays one behind the other."""
    dtype = ("float32", "float64")[rng.integers(2)]
    name = ("affine", "softmax", "log_softmax", "cross_entropy", "squared_error", "dropout", "concat")[rng.integers(7)]
    N, J, I = (number(rng, 0.75) for _ in range(3))  # noqa: E741
    other, more = (N, J), {}
    if name == "affine":
        other = (I, J)
    elif name == "concat":
        other = (N, I)
    elif name == "dropout":
        more = {"rate": 0.5}
    elif name.endswith("softmax"):
        more = {"axis": int(rng.integers(2))}

    def call():
        x, second = array(rng, (N, J), dtype), array(rng, other, dtype)
        if x is None or second is None:
            return None
        forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
        if name == "affine":
            y = forward(x, second)
            grad = array(rng, y.shape, dtype)
            found = backward(grad, x, second)
            return not_adjoint(grad, y, ("x", found[0], x), ("weight", found[1], second))
        if name == "concat":
            y = forward([x, second])
            return None if [g.shape for g in backward(y, [x, second])] == [x.shape, second.shape] else "another shape"
        if name in ("cross_entropy", "squared_error"):
            target = np.broadcast_to(np.intp(J - 1), (N,)) if name == "cross_entropy" else second
            forward(x, target)
            return None if backward(x, target).shape == x.shape else "another shape"
        given = (np.broadcast_to(np.bool_(True), (N, J)),) if name == "dropout" else ()
        y = forward(x, *given, **more)
        found = backward(y, *(given or (x,)), **more)
        return None if y.shape == found.shape == x.shape else "another shape"

    largest = max(float(N) * J, float(np.prod([float(n) for n in other])), float(N) * I if name == "affine" else 0.0)
    return f"{name} {(N, J)} {other} {dtype} {more}", work_of(largest, min(N, I, J) if name == "affine" else 1.0), call


KINDS = convolution, transposed, pooling, whole_axes, convolution, resizing, stacks, normalisation, rows
