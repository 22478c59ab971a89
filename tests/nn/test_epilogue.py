"""What compiled networks do in one: convolutions with sums and clips behind them, and concatenation without copies."""

import numpy as np
import pytest

import cnnx
from cnnx import nn

pytestmark = pytest.mark.once

# What stands before ("a" is its output), shape of x, options of a convolution.
CONVOLUTIONS = {
    "3x3": ((2, 5, 9, 11), dict(out_channels=9, kernel_size=3, padding=1)),
    "many planes": ((1, 70, 20, 23), dict(out_channels=9, kernel_size=3)),
    "many planes and rows": ((1, 90, 34, 35), dict(out_channels=40, kernel_size=3)),
    "1x1, where it lies": ((1, 6, 7, 7), dict(out_channels=11, kernel_size=1)),
    "1x1, where it lies, rows of blocks": ((1, 40, 14, 14), dict(out_channels=75, kernel_size=1)),
    "1x1, tails together": ((5, 6, 7, 7), dict(out_channels=11, kernel_size=1)),
    "1x1, planes that fall on one another": ((2, 19, 32, 32), dict(out_channels=3, kernel_size=1)),
    "the image is the window": ((3, 6, 5, 4), dict(out_channels=9, kernel_size=(5, 4))),
    "one row": ((2, 5, 3, 90), dict(out_channels=9, kernel_size=(3, 7), padding=(0, 3))),
    "stride 2": ((3, 3, 12, 13), dict(out_channels=8, kernel_size=3, stride=2)),
    "groups": ((2, 6, 8, 7), dict(out_channels=4, kernel_size=3, groups=2)),
    "depthwise": ((2, 7, 14, 14), dict(out_channels=7, kernel_size=3, padding=1, groups=7)),
    "depthwise, large planes": ((1, 3, 90, 97), dict(out_channels=3, kernel_size=3, padding=1, groups=3)),
    "depthwise, stride 2": ((2, 7, 15, 13), dict(out_channels=7, kernel_size=3, padding=1, groups=7, stride=2)),
    "depthwise, 5x5": ((1, 3, 33, 30), dict(out_channels=3, kernel_size=5, padding=2, groups=3)),
    "depthwise, many planes": ((2, 21, 9, 14), dict(out_channels=21, kernel_size=7, padding=3, groups=21)),
    "Winograd": ((1, 8, 16, 16), dict(out_channels=8, kernel_size=3, padding=1, algorithm="winograd")),
}
BEHIND = {
    "nothing": [],
    "relu": [("y", nn.ReLU(), "c")],
    "relu6": [("y", nn.ReLU6(), "c")],
    "from below": [("y", nn.Clip(-0.25, None), "c")],
    "from above": [("y", nn.Clip(None, 0.25), "c")],
    "sum": [("y", nn.Add(), "c", "x2")],
    "sum the other way": [("y", nn.Add(), "x2", "c")],
    "sum, relu": [("s", nn.Add(), "c", "x2"), ("y", nn.ReLU(), "s")],
    "sum of two": [("s", nn.Add(), "c", "x2"), ("y", nn.Add(), "s", "x3")],
    "relu, then sum": [("r", nn.ReLU(), "c"), ("y", nn.Add(), "r", "x2")],
    "with itself": [("y", nn.Add(), "c", "c")],
    "sum of three": [("y", nn.Add(), "c", "x2", "x3")],
    "broadcast": [("y", nn.Add(), "c", "bar")],
    "product": [("y", nn.Multiply(), "c", "x2")],
    "used again": [("r", nn.ReLU(), "c"), ("y", nn.Add(), "r", "c")],
    "leaky": [("y", nn.LeakyReLU(0.1), "c")],
}
JOINED = {"relu", "relu6", "from below", "from above", "sum", "sum the other way", "sum of two", "relu, then sum"}


def compiled_and_not(name, behind, dtype, seed=0):
    """A network and arrays for it."""
    shape, options = CONVOLUTIONS[name]
    rng = np.random.default_rng(seed)
    layer = nn.Conv2d(shape[1], **options, dtype=dtype, seed=seed)
    layer.parameters["bias"][:] = rng.standard_normal(options["out_channels"])
    x = rng.standard_normal(shape).astype(dtype)
    y = layer(x).shape
    extra = {"x2": y, "x3": y, "bar": (1, y[1], 1, 1)}
    lines = [("c", layer, "x"), *BEHIND[behind]]
    inputs = ["x", *(name for name in extra if any(name in line[2:] for line in lines))]
    xs = [x, *(rng.standard_normal(extra[name]).astype(dtype) for name in inputs[1:])]
    return nn.Graph(*lines, inputs=inputs).eval(), xs


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_same_bits(name, behind, dtype, threads):
    if threads > 1 and not cnnx.native.build_info()["openmp"]:
        pytest.skip("this build has no OpenMP")
    cnnx.set_num_threads(threads)
    model, xs = compiled_and_not(name, behind, dtype)
    expected = model(*xs)
    fast = model.compile(*(x.shape for x in xs), dtype=dtype)
    for _ in range(2):
        assert fast(*xs).tobytes() == expected.tobytes()


@pytest.mark.parametrize("behind", BEHIND)
def test_steps(behind):
    model, xs = compiled_and_not("3x3", behind, "float32")
    fast = model.compile(*(x.shape for x in xs))
    alone = len(BEHIND[behind]) + 1 + (behind == "sum of three")  # which is two sums
    joined = 2 if behind == "sum, relu" else 1 if behind in JOINED else 0
    assert f" {alone - joined} steps" in repr(fast)


def test_numbers_that_are_none():
    # NaN stays, the signs of zeros are those that clip and add give, infinities are clipped.
    model, (x, other) = compiled_and_not("1x1, where it lies", "sum, relu", "float32")
    model["c"].parameters["weight"][:] = 1
    model["c"].parameters["bias"][:] = -0.0
    x[:] = -0.0
    x[0, :, 0, 0], x[0, :, 0, 1], x[0, :, 0, 2] = np.nan, np.inf, -np.inf
    other[:] = -0.0
    other[0, :, 1] = np.nan
    expected = model(x, other)
    assert model.compile(x.shape, other.shape)(x, other).tobytes() == expected.tobytes()


@pytest.mark.parametrize("limit", [20_000, 100_000])
def test_in_bands(limit):
    kernels = cnnx.native.kernels("conv2d")
    model, xs = compiled_and_not("many planes", "sum, relu", "float32")
    expected = model(*xs)
    fast = model.compile(*(x.shape for x in xs))
    kernels._limit_scratch(limit)
    try:
        assert fast(*xs).tobytes() == expected.tobytes()
    finally:
        kernels._limit_scratch(16 << 20)


def test_other_back_ends_keep_their_own():
    model, xs = compiled_and_not("3x3", "sum, relu", "float32")
    with cnnx.use_backend("reference"):
        expected = model(*xs)
        fast = model.compile(*(x.shape for x in xs))
    assert fast(*xs).tobytes() == expected.tobytes()
    assert " 3 steps" in repr(fast)


CONCATENATED = {
    "two": [("a", 4, "x"), ("b", 12, "x"), ("y", nn.Concat(), "a", "b")],
    "an input": [("a", 4, "x"), ("y", nn.Concat(), "x", "a")],
    "twice the same": [("a", 4, "x"), ("y", nn.Concat(), "a", "a")],
    "used before": [("a", 4, "x"), ("b", 8, "a"), ("y", nn.Concat(), "a", "b")],
    "used after": [("a", 4, "x"), ("b", 4, "x"), ("s", nn.Concat(), "a", "b"), ("c", 8, "s"), ("d", 4, "a"),
                   ("y", nn.Concat(), "c", "d", "s")],
    "overwritten after": [("a", 4, "x"), ("b", 4, "x"), ("s", nn.Concat(), "a", "b"), ("r", nn.ReLU(), "a"),
                          ("y", nn.Concat(), "r", "s")],
    "clipped before": [("a", 4, "x"), ("r", nn.ReLU(), "a"), ("b", 4, "x"), ("y", nn.Concat(), "r", "b")],
    "clipped behind": [("a", 4, "x"), ("b", 4, "x"), ("s", nn.Concat(), "a", "b"), ("y", nn.ReLU(), "s")],
    "one in the other": [("a", 4, "x"), ("b", 4, "a"), ("s", nn.Concat(), "a", "b"), ("c", 4, "s"),
                         ("t", nn.Concat(), "s", "c"), ("d", 4, "t"), ("y", nn.Concat(), "t", "d")],
    "in two": [("a", 4, "x"), ("b", 4, "x"), ("s", nn.Concat(), "a", "b"), ("t", nn.Concat(), "b", "a"),
               ("y", nn.Add(), "s", "t")],
    "rows": [("a", 4, "x"), ("b", 4, "x"), ("y", nn.Concat(2), "a", "b")],
    "images": [("a", 4, "x"), ("b", 4, "x"), ("y", nn.Concat(-4), "a", "b")],
}  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 8, 8), (1, 3, 5, 7), (1, 3, 1, 1)])
@pytest.mark.parametrize("name", CONCATENATED)
def test_concatenated(name, shape):
    channels = {"x": 3}
    lines = []
    for to, what, *sources in CONCATENATED[name]:
        if isinstance(what, int):
            lines.append((to, nn.Conv2d(channels[sources[0]], what, 1, seed=len(lines)), *sources))
            channels[to] = what
        else:
            lines.append((to, what, *sources))
            over = type(what) is nn.Concat and what.axis == 1
            channels[to] = sum(channels[s] for s in sources) if over else channels[sources[0]]
    model = nn.Graph(*lines).eval()
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    expected, fast = model(x), model.compile(shape)
    for _ in range(2):
        assert fast(x).tobytes() == expected.tobytes()


def test_nothing_is_copied():
    lines = [("a", nn.Conv2d(3, 4, 1, seed=0), "x"), ("b", nn.Conv2d(3, 4, 1, seed=1), "x")]
    model = nn.Graph(*lines, ("y", nn.Concat(), "a", "b")).eval()
    assert " 2 steps" in repr(model.compile((1, 3, 8, 8)))
    assert " 4 steps" in repr(model.compile((2, 3, 8, 8)))
