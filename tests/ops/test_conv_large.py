"""Convolutions large enough for every way in which the optimized kernels cut them up, on integers, where all is exact.

The truth is NumPy's, in integers: windows by stride tricks, sums by einsum. The reference would take minutes.
"""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import cnnx

# x, weight, options; a copy of 768 KiB is where planes or columns are taken in parts.
SHAPES = {
    "planes in parts": ((2, 70, 40, 30), (9, 70, 3, 3), dict(padding=1)),
    "planes in parts, columns left over": ((5, 90, 34, 33), (8, 90, 3, 3), dict()),
    "columns in parts": ((1, 8, 90, 100), (40, 8, 5, 5), dict(padding=2)),
    "a plane larger than the cache": ((1, 2, 260, 270), (3, 2, 3, 3), dict(padding=1)),
    "no copy": ((3, 40, 17, 19), (21, 40, 1, 1), dict()),
    "no copy, planes that fall on one another": ((2, 5, 32, 32), (4, 5, 1, 1), dict()),
    "few outputs of planes that fall on one another": ((2, 19, 64, 48), (3, 19, 1, 1), dict()),
    "a window that is the image": ((19, 5, 6, 7), (11, 5, 6, 7), dict()),
    "one row of outputs": ((3, 5, 4, 300), (9, 5, 4, 9), dict(padding=(0, 4))),
    "one row of outputs, padding above": ((2, 3, 5, 70), (5, 3, 3, 4), dict(stride=(9, 1), padding=(2, 7))),
    "one row of outputs, dilation": ((2, 3, 5, 90), (5, 3, 2, 5), dict(dilation=(4, 6), padding=(0, 11))),
    "columns left over of several images": ((19, 3, 9, 7), (5, 3, 3, 3), dict(padding=(1, 0))),
    "nothing but columns left over": ((23, 4, 3, 3), (9, 4, 2, 2), dict()),
    "stride, planes in parts": ((2, 64, 60, 57), (7, 64, 3, 3), dict(stride=2, padding=1)),
    "stride 3, dilation": ((3, 6, 40, 50), (13, 6, 3, 2), dict(stride=3, dilation=(2, 4), padding=(3, 1))),
    "groups": ((3, 24, 30, 31), (18, 8, 3, 3), dict(groups=3, padding=1)),
    "depthwise": ((3, 20, 30, 29), (20, 1, 3, 3), dict(groups=20, padding=1)),
    "depthwise in bands": ((1, 3, 130, 140), (3, 1, 3, 3), dict(groups=3, padding=1)),
    "depthwise in bands, stride 2": ((1, 3, 131, 150), (3, 1, 3, 3), dict(groups=3, padding=1, stride=2)),
    "depthwise in bands, 5x5": ((2, 2, 90, 97), (2, 1, 5, 5), dict(groups=2, padding=(3, 2), dilation=(2, 1))),
    "depthwise, strides 3 and 5": ((1, 3, 61, 90), (3, 1, 2, 4), dict(groups=3, stride=(3, 5), padding=(1, 2))),
    "depthwise, rows within a vector": ((3, 5, 14, 14), (5, 1, 3, 3), dict(groups=5, padding=1)),
    "depthwise, fewer rows than are summed together": ((2, 3, 3, 40), (3, 1, 3, 3), dict(groups=3, padding=1)),
    "depthwise, taps far apart": ((1, 2, 20, 21), (2, 1, 2, 3), dict(groups=2, dilation=(15, 9), padding=(9, 8))),
    "one plane": ((1, 1, 200, 210), (1, 1, 3, 3), dict(padding=1)),
    "rows within a vector, padding": ((4, 3, 12, 10), (5, 3, 5, 5), dict(padding=(1, 4))),
    "rows within a vector, stride 4": ((2, 3, 30, 50), (5, 3, 3, 5), dict(stride=(1, 4), padding=2)),
    "stride 5": ((2, 3, 30, 61), (5, 3, 3, 7), dict(stride=5, padding=3)),
    "panels": ((2, 5, 13, 17), (33, 5, 3, 3), dict(padding=1)),
    "panels, planes in parts, columns left over": ((3, 90, 34, 35), (37, 90, 3, 3), dict()),
    "panels, more terms than fit, groups": ((2, 180, 9, 11), (64, 90, 3, 3), dict(groups=2, padding=1)),
    "panels, no copy": ((3, 650, 7, 9), (34, 650, 1, 1), dict()),
    "panels, stride 2": ((2, 34, 15, 21), (66, 34, 3, 5), dict(stride=2, padding=2)),
    "one image": ((1, 64, 28, 28), (48, 64, 3, 3), dict(padding=1)),
}


def windows(x, weight, stride=1, padding=0, dilation=1, groups=1):
    """Per group the windows (N, C, P, Q, R, S) of the padded image."""
    (u, v), (p, q), (d, e) = (a if isinstance(a, tuple) else (a, a) for a in (stride, padding, dilation))
    R, S = weight.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    span = sliding_window_view(padded, (d * (R - 1) + 1, e * (S - 1) + 1), axis=(2, 3))
    return np.split(span[:, :, ::u, ::v, ::d, ::e], groups, axis=1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SHAPES)
def test_exact_on_integers(name, dtype, threads, set_threads):
    set_threads(threads)
    shape, kernel, options = SHAPES[name]
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-4, 5, shape), rng.integers(-4, 5, kernel)
    bias = rng.integers(-9, 10, kernel[0])
    groups = options.get("groups", 1)
    seen = windows(x, weight, **options)
    parts = np.split(weight, groups)
    y = np.concatenate(
        [np.einsum("ncpqrs,kcrs->nkpq", z, f, optimize=True) for z, f in zip(seen, parts, strict=True)], axis=1
    )
    delta = rng.integers(-4, 5, y.shape)
    grad_weight = np.concatenate(
        [
            np.einsum("nkpq,ncpqrs->kcrs", d, z, optimize=True)
            for d, z in zip(np.split(delta, groups, axis=1), seen, strict=True)
        ]
    )
    # The gradient of the input is what each window's elements add to the places that they came from.
    place = np.arange(1, x[0].size + 1).reshape(1, *x.shape[1:])
    grad_x = np.zeros((x.shape[0], x[0].size + 1))
    for d, f, at in zip(np.split(delta, groups, axis=1), parts, windows(place, weight, **options), strict=True):
        terms = np.einsum("nkpq,kcrs->ncpqrs", d, f, optimize=True)
        for n in range(len(terms)):
            grad_x[n] += np.bincount(at[0].ravel(), terms[n].ravel(), grad_x.shape[1])
    floats = [a.astype(dtype) for a in (x, weight, bias, delta)]
    got = cnnx.conv2d(*floats[:3], **options)
    assert np.array_equal(got, y + bias[:, None, None])
    got = cnnx.conv2d_backward(floats[3], *floats[:2], **options)
    assert np.array_equal(got[0].reshape(len(x), -1), grad_x[:, 1:])
    assert np.array_equal(got[1], grad_weight)
    assert np.array_equal(got[2], delta.sum((0, 2, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_depthwise_taps_that_never_meet_the_image(dtype):
    # Of three kernel rows, 3 apart, two lie above the image for every output.
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-4, 5, (1, 2, 2, 40)).astype(dtype), rng.integers(1, 5, (2, 1, 3, 3)).astype(dtype)
    options = dict(groups=2, dilation=(3, 1), padding=((8, 0), (1, 1)))
    y = cnnx.conv2d(x, weight, **options)
    assert np.array_equal(y, cnnx.conv2d(x, weight, **options, backend="reference"))
    delta = rng.integers(-4, 5, y.shape).astype(dtype)
    got = cnnx.conv2d_backward(delta, x, weight, **options)
    expected = cnnx.conv2d_backward(delta, x, weight, **options, backend="reference")
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradient_where_no_tap_meets_the_image(dtype):
    # The image is one column wide; outputs take the columns beside it.
    delta, weight = np.ones((1, 37, 27, 2), dtype), np.ones((37, 37, 1, 1), dtype)
    grad_x = np.full((1, 37, 25, 1), np.nan, dtype)
    numbers = dict(u=1, v=2, p_h=1, p_w=1, d_h=1, d_w=1, groups=1)
    cnnx.backend.kernel("conv2d_grad_input", dtype, "optimized")(delta, weight, grad_x, **numbers)
    assert not grad_x.any()
