"""Depthwise 3x3 convolutions on integers, where all is exact, of shapes drawn at random: planes narrower than a vector,
wider, odd and even, with padding by side; and numbers that are none. The truth is NumPy's, in integers.
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
