"""Public calls drawn at random: from the cases in OPS or of random geometry, then laid out otherwise, then spoiled.

fuzz.py holds them against what they promise, bits.py prints their results' bits.
"""

import inspect
import time

import numpy as np

from cnnx.ops import OPS, Draw

FUNCTIONS = {function.__name__: (op, function) for op in OPS for function in (op.forward, op.backward)}
NUMBERS = np.array([0, -0.0, 1, -1, 0.5, 3, -2.5, 1e-40, 1e-300, 1e30, -1e30, np.inf, -np.inf, np.nan])
INTEGERS = (1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 16, 17, 31, 33)


class Lies:
    """An integer that is another one each time it is asked, an array that gives none."""

    def __index__(self):
        return int(time.perf_counter_ns() % 5)

    def __int__(self):
        return -1

    def __array__(self, dtype=None, copy=None):
        return None

    def __repr__(self):
        raise RuntimeError("no text")


JUNK = (
    None, True, False, 0, 1, 2, -1, 3.5, float("nan"), float("inf"), 2**31 - 1, 2**31, 2**62, 2**63, -(2**63), 10**5000,
    1e308, 1j, "", "same", "valid", "mean", "sum", "winograd", "é", b"x", (), [], {}, (1,), (1, 2), (2, 1), (1, 2, 3),
    ((0, 1), (2, 0)), ((0, 0), (2**31, 0)), [10**400], {1: 2}, object(), Lies(), Lies, len, np.float32(2), np.int8(1),
    np.int64(2), np.uint64(2**63), np.bool_(True), np.datetime64("2020-01-01"), np.array(2), np.array([1, 2]),
    np.zeros((0,)), np.zeros((1, 1, 1, 1), "float32"), np.zeros((2, 2), complex), np.array(["a"]), np.array([None]),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.broadcast_to(np.float32(1), (2**20, 2**20, 2, 2)),
)  # fmt: skip


def described(rng, shape, dtype, drawn):
    """What a case describes as something else than any numbers; else None."""
    kind = getattr(drawn, "kind", "number")
    if kind == "mask":
        return np.asarray(rng.random(shape) < 0.5)
    if kind == "index":
        return np.asarray(rng.integers(0, drawn.high, shape))
    if kind == "probability":
        return np.full(shape, 1 / shape[-1], dtype)
    if kind == "positive":
        return np.asarray(rng.random(shape) + 0.5, dtype)
    return None


def array(rng, shape, dtype, drawn=None):
    """Numbers of a shape, or as a case describes them."""
    found = described(rng, shape, dtype, drawn)
    if found is not None:
        return found
    with np.errstate(over="ignore"):
        if rng.random() < 0.2:
            return np.asarray(rng.choice(NUMBERS, shape)).astype(dtype)
        return np.asarray(rng.integers(-4, 5, shape) if rng.random() < 0.3 else rng.standard_normal(shape)).astype(
            dtype
        )


def one(rng, among=INTEGERS):
    """One of some values."""
    return among[rng.integers(len(among))]


def convolution(rng, n, c, h, w):
    """Of conv2d."""
    groups, r, s = one(rng, (1, 1, 1, 2, 3)), one(rng, (1, 1, 2, 3, 3, 5)), one(rng, (1, 1, 2, 3, 3, 7))
    weight = (groups * one(rng), c, r, s)
    options = {
        "stride": one(rng, (1, 1, 2, (2, 1), 3)),
        "padding": one(rng, (0, 1, "same", (1, 2), ((0, 2), (1, 0)))),
        "dilation": one(rng, (1, 1, 2, (1, 3))),
        "groups": groups,
        "algorithm": one(rng, ("direct", "direct", "auto")),
    }
    if options["padding"] == "same":
        options["stride"] = 1
    if (r, s) == (3, 3) and rng.random() < 0.3:
        options |= {"algorithm": "winograd", "stride": 1, "dilation": 1}
    return {"x": (n, groups * c, h, w), "weight": weight, "bias": weight[:1]}, options


def transposed(rng, n, c, h, w):
    """Of conv_transpose2d."""
    groups, stride = one(rng, (1, 1, 1, 2, 3)), one(rng, (1, 2, 2, (2, 1), 3))
    weight = (groups * c, one(rng), one(rng, (1, 2, 2, 3, 3)), one(rng, (1, 2, 2, 3, 4)))
    options = {"stride": stride, "padding": one(rng, (0, 0, 1, (1, 2), ((0, 2), (1, 0)))), "groups": groups}
    options |= {"dilation": one(rng, (1, 1, 2, (1, 3))), "output_padding": one(rng, (0, 0, 1, (1, 0)))}
    return {"x": (n, groups * c, h, w), "weight": weight, "bias": (weight[1] * groups,)}, options


def pooling(rng, n, c, h, w):
    """Of windows."""
    options = {"kernel_size": one(rng, (1, 2, 2, 3, (2, 3), (5, 1))), "stride": one(rng, (None, 1, 2, (1, 3)))}
    options |= {"padding": one(rng, (0, 0, 1)), "ceil_mode": one(rng, (False, True))}
    return {"x": (n, c, h, w)}, options


def resizing(rng, n, c, h, w):
    """Of upsample2d."""
    options = {"size": (one(rng), one(rng)), "mode": one(rng, ("nearest", "bilinear"))}
    options["coordinates"] = one(rng, ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"))
    if options["mode"] == "nearest":
        options["rounding"] = one(rng, ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    return {"x": (n, c, h, w)}, options


def broadcast(rng, *shape):
    """Two shapes that fit: axes that one of them repeats, or has not."""
    shape, of_b = shape[rng.integers(len(shape)) :], rng.integers(0, 4, len(shape))
    a = tuple(1 if of == 3 else extent for extent, of in zip(shape, of_b, strict=False))
    b = tuple(1 if of == 2 else extent for extent, of in zip(shape, of_b, strict=False))
    return one(rng, ((a, b), (b, a), (a, b[rng.integers(len(b) + 1) :])))


def product(rng, n, c, h, w):
    """Of matmul: stacks of matrices."""
    a, b = broadcast(rng, one(rng, (1, 1, 2, 3)), n, one(rng, (1, 2, 3)))
    return {"a": (*a, c, h), "b": (*b, h, w)}, {}


def normalisation(rng, op, n, c, h, w):
    """Of the norms: some without a weight or a bias."""
    tail = ((h, w), (h * w,), (h, 2, w), ())[rng.integers(4)]
    options = {"eps": one(rng, (1e-5, 0.25))}
    if op.name == "batch_norm2d":
        arrays = {"x": (n, c, h, w), "weight": (c,), "bias": (c,)}
        if rng.random() < 0.5:
            return arrays, options | {"training": True}
        return arrays | {"running_mean": (c,), "running_var": Draw((c,), "positive")}, options
    if op.name == "group_norm":
        options["num_groups"] = one(rng, (1, 2, 3))
        c *= options["num_groups"]
    scaled = (c,)
    if op.name == "layer_norm":
        scaled = options["normalized_shape"] = (c, *tail)[rng.integers(1 + len(tail)) :]
    arrays = {"x": (n, c, *tail), "weight": scaled, "bias": scaled}
    return {key: shape for key, shape in arrays.items() if key == "x" or rng.random() < 0.8}, options


def window_of_channels(rng, n, c, h, w):
    """Of local_response_norm."""
    options = {"size": one(rng), "alpha": one(rng, (1e-4, 0.5, 2.0)), "beta": one(rng, (0.75, 0.5, 1.0, 1.5))}
    return {"x": (n, c, h, w) if rng.random() < 0.8 else (n, c, h)}, options | {"k": one(rng, (1.0, 2.0))}


def geometry(rng, op):
    """Array shapes and options of random size; None for ops of which this knows none, whose cases are drawn."""
    n, c, h, w = one(rng, (0, 1, 1, 2, 3, 9)), one(rng), one(rng), one(rng)
    windows = {"conv2d": convolution, "conv_transpose2d": transposed, "upsample2d": resizing, "matmul": product}
    if op.name in windows:
        return windows[op.name](rng, n, c, h, w)
    if op.name == "local_response_norm":
        return window_of_channels(rng, n, c, h, w)
    if op.name.endswith("pool2d") and not op.name.startswith("global_"):
        arrays, options = pooling(rng, n, c, h, w)
        return arrays, options | ({"norm_type": one(rng, (1, 2, 2.5, 3.0))} if op.name == "lp_pool2d" else {})
    if op.name.endswith(("_norm", "_norm2d")):
        return normalisation(rng, op, n, c, h, w)
    if op.broadcasts:
        return dict(zip(("a", "b"), broadcast(rng, n, c, h, w), strict=True)), {}
    if op.name == "affine":
        return {"x": (n, c * h), "weight": (w, c * h), "bias": (w,)}, {}
    if op.name in ("softmax", "log_softmax"):
        return {"x": (n, c, h)}, {"axis": one(rng, (0, 1, 2, -1))}
    if op.name == "prelu":
        return {"x": (n, c, h, w), "weight": (one(rng, (1, c)),)}, {}
    if op.name == "cross_entropy":
        return {"logits": (n, c), "target": one(rng, (Draw((n,), "index", c), Draw((n, c), "probability")))}, {}
    if op.name == "dropout":
        return {"x": (n, c, h, w), "mask": Draw((n, c, h, w), "mask")}, {"rate": one(rng, (0.0, 0.25, 0.5))}
    if op.name == "squared_error":
        return {"y": (n, c, h), "target": (n, c, h)}, {"reduction": one(rng, ("mean", "sum"))}
    case = one(rng, op.cases)
    if list(case.arrays) == ["x"]:  # element by element, or pooled as a whole
        return {"x": (n, c, h, w)}, dict(case.options)
    return None


def valid(rng):
    """The name of a function and the arguments of a call that most probably is one."""
    op = one(rng, OPS)
    drawn = geometry(rng, op) if rng.random() < 0.5 else None
    if drawn is None:
        case = one(rng, op.cases)
        drawn = case.arrays, dict(case.options)
    dtype = one(rng, ("float32", "float64"))
    arguments = {
        key: array(rng, spec.shape if isinstance(spec, Draw) else spec, dtype, spec) for key, spec in drawn[0].items()
    } | drawn[1]
    name = one(rng, (op.forward.__name__, op.backward.__name__))
    known = inspect.signature(FUNCTIONS[name][1]).parameters
    if "grad_output" in known:
        accepted = inspect.signature(op.forward).parameters
        y = op.forward(**{key: value for key, value in arguments.items() if key in accepted})
        arguments["grad_output"] = array(rng, np.shape(y[0] if isinstance(y, tuple) else y), dtype)
    return name, {key: value for key, value in arguments.items() if key in known}


def accepted(rng):
    """The first such call whose random geometry the forward call accepts."""
    while True:
        try:
            return valid(rng)
        except ValueError:
            continue


def laid_out(rng, a):
    """The same numbers in another layout."""
    kind = one(rng, ("C", "F", "strided", "reversed", "swapped", "read-only", "broadcast", "offset"))
    if kind == "F":
        return np.asfortranarray(a)
    if kind == "strided" and a.ndim:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    if kind == "reversed":
        return np.flip(np.flip(a).copy())
    if kind == "swapped" and a.dtype.kind == "f":
        return a.astype(a.dtype.newbyteorder())
    if kind == "broadcast" and a.size:
        return np.broadcast_to(a[:1] if a.ndim else a, a.shape)
    if kind == "offset":
        room = np.zeros(a.nbytes + 1, "uint8")
        room[1:] = np.frombuffer(a.tobytes(), "uint8")
        return room[1:].view(a.dtype).reshape(a.shape)
    a = a.copy()
    a.flags.writeable = kind != "read-only"
    return a


def spoiled(rng, name, arguments):
    """With some argument that does not fit, or none."""
    key = one(rng, [key for key in inspect.signature(FUNCTIONS[name][1]).parameters if key != "backend"])
    value = arguments.get(key)
    if isinstance(value, np.ndarray) and value.size < 2**20 and rng.random() < 0.6:
        shape = list(value.shape)
        if shape and rng.random() < 0.8:
            shape[rng.integers(len(shape))] = one(rng, (0, 1, 2, 3, 5, 8))
        else:
            shape = one(rng, ([*shape, 2], shape[1:], [1, *shape]))
        dtype = (
            value.dtype
            if rng.random() < 0.8
            else np.dtype(one(rng, ("float64", "float16", "int64", "bool", "complex64")))
        )
        return arguments | {key: array(rng, shape, dtype)}
    return arguments | {key: one(rng, JUNK)}


def call_of(seed, number):
    """Call `number` of a seed."""
    rng = np.random.default_rng((seed, number))
    name, arguments = accepted(rng)
    for key, value in arguments.items():
        if isinstance(value, np.ndarray) and rng.random() < 0.5:
            arguments[key] = laid_out(rng, value)
    for _ in range(one(rng, (0, 0, 1, 1, 2))):
        arguments = spoiled(rng, name, arguments)
    return name, arguments
