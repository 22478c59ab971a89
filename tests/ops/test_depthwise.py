"""Depthwise convolutions on integers, where all is exact, of shapes drawn at random: planes narrower than a vector,
wider, odd and even, with padding by side, few and many of them, kernels larger than the image; and numbers that are
none. The truth is NumPy's, in integers.
"""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import cnnx


def truth(x, weight, bias, stride, sides):
    padded = np.pad(x, ((0, 0), (0, 0), *sides))
    seen = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
    each = len(weight) // x.shape[1]  # kernels of a plane
    y = np.einsum("ncpqrs,ckrs->nckpq", seen, weight.reshape(-1, each, 3, 3))
    return y.reshape(len(x), -1, *y.shape[3:]) + bias[:, None, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_exact_on_integers(seed, dtype):
    rng = np.random.default_rng(seed)
    sides = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (2, 2)))
    least = [max(1, 3 - sum(side)) for side in sides]
    H, W = (int(rng.integers(a, rng.choice([6, 18, 40, 75]) + a)) for a in least)
    N, C, each = int(rng.integers(1, 4)), int(rng.integers(1, 10)), int(rng.choice([1, 1, 1, 2]))
    stride = tuple(int(a) for a in rng.choice([(1, 1), (2, 2), (2, 2), (1, 2), (2, 1)]))
    x, weight = rng.integers(-4, 5, (N, C, H, W)), rng.integers(-4, 5, (C * each, 1, 3, 3))
    bias = rng.integers(-9, 10, C * each)
    expected = truth(x, weight, bias, stride, sides)
    for threads in (1, 2, 3) if cnnx.native.build_info()["openmp"] else (1,):
        cnnx.set_num_threads(threads)
        floats = (a.astype(dtype) for a in (x, weight, bias))
        got = cnnx.conv2d(*floats, stride=stride, padding=sides, groups=C)
        assert np.array_equal(got, expected), (x.shape, stride, sides)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(1, 3, 7, 7), (2, 3, 14, 15), (1, 2, 5, 40)])
def test_each_output_meets_its_own_numbers_alone(shape, stride):
    # One number that is none, wherever it is, reaches the windows that hold it.
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape).astype("float32"), rng.standard_normal((shape[1], 1, 3, 3)).astype("float32")
    options = dict(stride=stride, padding=1, groups=shape[1])
    for place in [(0, 0, 0, 0), (-1, -1, -1, -1), (0, 1, 2, 3), (-1, 0, shape[2] - 1, 0), (0, 1, 0, shape[3] - 1)]:
        spoiled = x.copy()
        spoiled[place] = np.nan
        found = np.isnan(cnnx.conv2d(spoiled, weight, **options))
        assert np.array_equal(found, np.isnan(cnnx.conv2d(spoiled, weight, **options, backend="reference")))


@pytest.mark.parametrize("stride", [1, 2])
def test_nothing_beside_the_arrays_is_touched(stride):
    # Arrays that end where others begin: what lies behind an output stays, and what lies around x is not read into it.
    rng = np.random.default_rng(0)
    for H, W in [(7, 7), (14, 14), (4, 5), (3, 3), (9, 16), (13, 33)]:
        room = np.full(2 * H * W * 3 + 64, np.nan, "float32")
        x = room[32 : 32 + 3 * H * W].reshape(1, 3, H, W)
        x[...] = rng.integers(-4, 5, x.shape)
        weight = rng.integers(-4, 5, (3, 1, 3, 3)).astype("float32")
        bias = np.zeros(3, "float32")
        y = truth(x, weight, bias, (stride, stride), ((1, 1), (1, 1)))
        out = np.full(y.size + 64, 7, "float32")
        kernel = cnnx.backend.kernel("conv2d", "float32", "optimized")
        numbers = dict(u=stride, v=stride, p_h=1, p_w=1, d_h=1, d_w=1, groups=3)
        kernel(x, weight, bias, out[32:-32].reshape(y.shape), **numbers)
        assert np.array_equal(out[32:-32].reshape(y.shape), y)
        assert (out[:32] == 7).all()
        assert (out[-32:] == 7).all()


def anything(rng, dtype):
    """A depthwise convolution of 11 to 49 planes, of which some vectors are full and one may not be: arrays, numbers
    and what the padding by side is."""
    R, S = (int(a) for a in rng.choice([1, 2, 3, 4, 5, 7, 9, 13, 18], 2))
    H, W = (int(a) for a in rng.choice([1, 2, 3, 5, 7, 13, 14, 15, 16, 17, 29, 43], 2))
    u, v = (int(a) for a in rng.choice([1, 1, 2, 3], 2))
    d_h, d_w = (int(a) for a in rng.choice([1, 1, 1, 2, 3], 2))
    sides = []
    for extent, taps, step in ((H, R, d_h), (W, S, d_w)):
        window = step * (taps - 1) + 1
        least = max(0, window - extent)
        before = int(rng.integers(0, window + 1))
        sides.append((before, max(0, least - before) + int(rng.integers(0, 3))))
    N, C = int(rng.integers(1, 4)), int(rng.integers(11, 50))
    x, weight, bias = (rng.integers(-4, 5, shape).astype(dtype) for shape in ((N, C, H, W), (C, 1, R, S), (C,)))
    return x, weight, bias, dict(stride=(u, v), padding=tuple(sides), dilation=(d_h, d_w), groups=C)


def windows(padded, options, shape):
    """For each tap what the outputs meet there, P and Q last."""
    (u, v), (d_h, d_w) = options["stride"], options["dilation"]
    P, Q = shape[2:]
    for r in range(options["taps"][0]):
        for s in range(options["taps"][1]):
            yield r, s, padded[:, :, d_h * r : d_h * r + u * P : u, d_w * s : d_w * s + v * Q : v][:, :, :P, :Q]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(40))
def test_many_planes(seed, dtype, each_threads):
    rng = np.random.default_rng(seed)
    x, weight, bias, options = anything(rng, dtype)
    padded = np.pad(x, ((0, 0), (0, 0), *options["padding"]))
    for _ in each_threads(1, 2, 3):
        y = cnnx.conv2d(x, weight, bias, **options)
        taps = options | {"taps": weight.shape[2:]}
        expected = sum(weight[:, 0, r, s, None, None] * seen for r, s, seen in windows(padded, taps, y.shape))
        assert np.array_equal(y, expected + bias[:, None, None]), (x.shape, weight.shape, options)
        grad = rng.integers(-4, 5, y.shape).astype(dtype)
        spread, grad_weight = np.zeros_like(padded), np.empty_like(weight)
        for r, s, seen in windows(spread, taps, y.shape):
            seen += weight[:, 0, r, s, None, None] * grad
        for r, s, seen in windows(padded, taps, y.shape):
            grad_weight[:, 0, r, s] = (seen * grad).sum((0, 2, 3))
        (top, _), (left, _) = options["padding"]
        found = cnnx.conv2d_backward(grad, x, weight, **options)
        within = spread[:, :, top : top + x.shape[2], left : left + x.shape[3]]
        assert np.array_equal(found[0], within), (x.shape, weight.shape, options)
        assert np.array_equal(found[1], grad_weight), (x.shape, weight.shape, options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(40))
def test_a_plane_has_the_same_bits_beside_few_and_many(seed, dtype):
    # Few planes are summed up row by row, many side by side.
    rng = np.random.default_rng(seed)
    x, weight, bias, options = anything(rng, dtype)
    x, weight, bias = (rng.standard_normal(a.shape).astype(dtype) for a in (x[:1], weight, bias))
    y = cnnx.conv2d(x, weight, bias, **options)
    grad = rng.standard_normal(y.shape).astype(dtype)
    grad_x, grad_weight, _ = cnnx.conv2d_backward(grad, x, weight, **options)
    for first in range(0, len(weight), 3):
        some = slice(first, first + 3)
        few = options | {"groups": len(weight[some])}
        assert np.array_equal(cnnx.conv2d(x[:, some], weight[some], bias[some], **few), y[:, some])
        alone = cnnx.conv2d_backward(grad[:, some], x[:, some], weight[some], **few)
        assert np.array_equal(alone[0], grad_x[:, some])
        assert np.array_equal(alone[1], grad_weight[some])


@pytest.mark.parametrize("shape", [(2, 16, 7, 7), (1, 17, 14, 15)])
@pytest.mark.parametrize("stride", [1, 2])
def test_what_is_no_number_reaches_its_own_plane_and_windows_alone(shape, stride):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype("float32")
    weight = rng.standard_normal((shape[1], 1, 5, 5)).astype("float32")
    options = dict(stride=stride, padding=2, groups=shape[1])
    grad = rng.standard_normal(cnnx.conv2d(x, weight, **options).shape).astype("float32")
    for plane, row, column, value in [(0, 0, 0, np.nan), (15, -1, -1, np.inf), (-1, 0, -1, np.nan), (3, 3, 2, -np.inf)]:
        for spoiled in (x, grad):
            kept = spoiled[-1, plane, row, column]
            spoiled[-1, plane, row, column] = value
            for backend in "optimized", "reference":
                y = cnnx.conv2d(x, weight, **options, backend=backend)
                results = y, *cnnx.conv2d_backward(grad, x, weight, **options, backend=backend)
                finite = [np.isfinite(a) for a in results]
                if backend == "optimized":
                    expected = finite
            assert all(np.array_equal(a, b) for a, b in zip(finite, expected, strict=True))
            spoiled[-1, plane, row, column] = kept
