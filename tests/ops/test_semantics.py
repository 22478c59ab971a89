"""What no equation settles, by hand: NaN and infinities, kinks, padding, ceil_mode, divisors, dtypes, layouts.

Expected values are worked out on paper, never by the function under test; where another formula is used, it is plain
NumPy. Everything holds in both back ends and for both dtypes.
"""

import inspect
import math

import numpy as np
import pytest

import cnnx
from cnnx.ops import OPS, Draw

inf, nan = math.inf, math.nan


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    with cnnx.use_backend(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def same(actual, expected):
    """Equal, NaN to NaN; 0.0 and -0.0 differ."""
    np.testing.assert_array_equal(actual, expected)
    number = ~np.isnan(actual)
    np.testing.assert_array_equal(np.signbit(actual) & number, np.signbit(expected) & number)


# ------------------------------------------------------------------------------------- NaN and infinities

ELEMENTWISE = [op for op in OPS if op.equations == "A1, A2"]


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_nan_passes_activations(op, backend, dtype):
    x, options = np.array([nan, 1, -nan, -1, nan], dtype), op.cases[0].options
    y = op.forward(x, **options)
    assert np.isnan(y).tolist() == [True, False, True, False, True]
    assert np.isnan(op.forward(np.array(nan, dtype), **options))
    same(op.forward(np.array([1, -1], dtype), **options), y[[1, 3]])


def test_nan_passes_sums(backend, dtype):
    x = np.zeros((2, 2, 3, 3), dtype)
    x[1, 0, 1, 2] = nan
    weight, bias = np.zeros((2, 2, 2, 2), dtype), np.zeros(2, dtype)
    hit = np.zeros((2, 2, 2, 2), bool)
    hit[1, :, :, 1] = True  # windows that hold row 1, column 2; a zero weight times NaN is NaN
    same(np.isnan(cnnx.conv2d(x, weight, bias)), hit)
    bias[1] = nan
    assert np.isnan(cnnx.conv2d(x, weight, bias)[:, 1]).all()
    assert np.isnan(cnnx.conv2d(np.zeros_like(x), weight, bias)).sum() == 8

    z, w = np.array([[0, nan], [0, 0]], dtype), np.zeros((2, 2), dtype)
    assert np.isnan(cnnx.affine(z, w)).tolist() == [[True, True], [False, False]]
    assert np.isnan(cnnx.affine(z[1:], np.array([[0, nan], [1, 1]], dtype))).tolist() == [[True, False]]
    assert np.isnan(cnnx.affine(z[1:], w, np.array([nan, 0], dtype))).tolist() == [[True, False]]


def test_nan_passes_pooling(backend, dtype):
    for at in np.ndindex(2, 2):
        x = np.array([[[[1, inf, 5, 6], [-inf, 2, 7, 8]]]], dtype)
        x[(0, 0, *at)] = nan
        for y in (
            cnnx.max_pool2d(x, 2),
            cnnx.max_pool2d(x, 2, return_winners=True)[0],
            cnnx.avg_pool2d(x, 2),
            cnnx.avg_pool2d(x, 2, count_include_pad=True),
            cnnx.lp_pool2d(x, 2, 2),
            cnnx.lp_pool2d(x, 1, 2, normalize=False),
            cnnx.lp_pool2d(x, 1e300, 2),
        ):
            assert np.isnan(y).tolist() == [[[[True, False]]]]


def test_first_nan_wins_a_maximum(backend, dtype):
    window = np.array([[2, nan, inf], [nan, 9, -nan]], dtype).reshape(1, 1, 2, 3)
    y, winners = cnnx.max_pool2d(window, (2, 3), return_winners=True)
    assert np.isnan(y).all()
    assert winners.ravel().tolist() == [1]
    g = np.array([[[[7]]]], dtype)
    expected = [0, 7, 0, 0, 0, 0]
    assert cnnx.max_pool2d_backward(g, window, (2, 3)).ravel().tolist() == expected
    assert cnnx.max_pool2d_backward(g, window, (2, 3), winners=winners).ravel().tolist() == expected
    last = np.array([inf, 3, nan], dtype).reshape(1, 1, 1, 3)
    assert cnnx.max_pool2d(last, (1, 3), return_winners=True)[1].item() == 2


def test_nan_passes_softmax_and_costs(backend, dtype):
    for at in range(3):
        z = np.array([[0.0, 1, 2], [3, 4, 5]], dtype)
        z[0, at] = nan
        for function in (cnnx.softmax, cnnx.log_softmax):
            assert np.isnan(function(z)).tolist() == [[True] * 3, [False] * 3]
        for target in (np.array([0, 1]), np.eye(3, dtype=dtype)[:2], np.zeros((2, 3), dtype)):
            assert math.isnan(cnnx.cross_entropy(z, target))
        assert math.isnan(cnnx.cross_entropy(np.zeros_like(z), z))
        assert math.isnan(cnnx.squared_error(z, np.zeros_like(z)))
        assert math.isnan(cnnx.squared_error(np.zeros_like(z), z))


def test_nan_passes_batch_norm(backend, dtype):
    x = np.arange(16, dtype=dtype).reshape(2, 2, 2, 2)
    one = np.ones(2, dtype)
    x[1, 0, 0, 1] = nan
    y = cnnx.batch_norm2d(x, one, one, training=True)
    assert np.isnan(y[:, 0]).all()
    assert not np.isnan(y[:, 1]).any()
    assert np.isnan(cnnx.batch_norm2d(x, one, one, one, one)).sum() == 1
    bad = np.array([1, nan], dtype)
    for arrays in ((bad, one, one, one), (one, bad, one, one), (one, one, bad, one), (one, one, one, bad)):
        assert np.isnan(cnnx.batch_norm2d(np.zeros_like(x), *arrays))[:, 1].all()
        assert not np.isnan(cnnx.batch_norm2d(np.zeros_like(x), *arrays))[:, 0].any()


def test_nan_of_dropout_and_flatten(backend, dtype):
    x, mask = np.array([nan, nan, inf, -inf, 3], dtype), np.array([1, 0, 0, 0, 1], bool)
    same(cnnx.dropout(x, mask, 0.5), np.array([nan, 0, 0, 0, 6]))
    same(cnnx.dropout_backward(x, mask, 0.5), np.array([nan, 0, 0, 0, 6]))
    same(cnnx.dropout(x, ~mask, 0.0), np.array([0, nan, inf, -inf, 0]))
    same(cnnx.flatten(x), x[:, np.newaxis])


FAR = [  # z, then phi(z) and phi'(z) by activation; -0.0 where the formula's sign is so
    ("relu", [(-inf, 0, 0), (-1000, 0, 0), (inf, inf, 1), (1000, 1000, 1)]),
    ("sigmoid", [(-inf, 0, 0), (-1000, 0, 0), (inf, 1, 0), (1000, 1, 0), (0, 0.5, 0.25), (-0.0, 0.5, 0.25)]),
    ("tanh", [(-inf, -1, 0), (-1000, -1, 0), (inf, 1, 0), (1000, 1, 0), (0.0, 0.0, 1), (-0.0, -0.0, 1)]),
    ("step", [(-inf, 0, 0), (inf, 1, 0), (1e-30, 1, 0), (-1e-30, 0, 0), (0.0, 0, 0), (-0.0, 0, 0)]),
    ("identity", [(-inf, -inf, 1), (inf, inf, 1), (-0.0, -0.0, 1), (0.0, 0.0, 1)]),
    ("leaky_relu", [(-inf, -inf, 0.01), (inf, inf, 1), (1000, 1000, 1), (-0.0, -0.0, 0.01)]),
    ("elu", [(-inf, -1, 0), (-1000, -1, 0), (inf, inf, 1), (1000, 1000, 1), (0.0, 0.0, 1), (-0.0, -0.0, 1)]),
    ("softplus", [(-inf, 0, 0), (-1000, 0, 0), (inf, inf, 1), (1000, 1000, 1)]),
    ("gelu", [(inf, inf, 1), (1000, 1000, 1), (0.0, 0.0, 0.5)]),
    ("hard_sigmoid", [(-inf, 0, 0), (-1000, 0, 0), (inf, 1, 0), (1000, 1, 0), (0.0, 0.5, 1 / 6), (-0.0, 0.5, 1 / 6)]),
    ("hard_swish", [(-inf, 0, 0), (-1000, 0, 0), (inf, inf, 1), (1e38, 1e38, 1), (0.0, 0.0, 0.5), (-0.0, -0.0, 0.5)]),
    ("silu", [(inf, inf, 1), (1e38, 1e38, 1), (0.0, 0.0, 0.5), (-0.0, -0.0, 0.5)]),
]


@pytest.mark.parametrize(("name", "table"), FAR, ids=[name for name, _ in FAR])
def test_far_out_and_zero(name, table, backend, dtype):
    z, y, slope = (np.array(column, dtype) for column in zip(*table, strict=True))
    forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
    same(forward(z), y)
    same(backward(np.full_like(z, 2), z), 2 * slope)


def test_gelu_and_silu_far_below(backend, dtype):
    """They go to 0 and so do their slopes; the sign of zero is nobody's business."""
    for name, far in ("gelu", -50), ("silu", -900):
        z = np.array([-inf, -1000, far], dtype)
        np.testing.assert_array_equal(getattr(cnnx, name)(z), [0, 0, 0])
        np.testing.assert_array_equal(getattr(cnnx, f"{name}_backward")(np.ones_like(z), z), [0, 0, 0])


def test_clip_with_bounds_on_some_sides(backend, dtype):
    x, g = np.array([-inf, -2, -0.0, 1, 3, inf, nan], dtype), np.full(7, 2, dtype)
    same(cnnx.clip(x, 0, 1), np.array([0, 0, 0, 1, 1, 1, nan]))
    same(cnnx.clip(x, None, 1), np.array([-inf, -2, -0.0, 1, 1, 1, nan]))
    same(cnnx.clip(x, -2.5, None), np.array([-2.5, -2, -0.0, 1, 3, inf, nan]))
    same(cnnx.clip(x, None, None), x)
    same(cnnx.clip(x, 1, 1), np.array([1, 1, 1, 1, 1, 1, nan]))
    same(cnnx.clip_backward(g, x, 0, 1), np.array([0, 0, 0, 2, 0, 0, 0]))
    same(cnnx.clip_backward(g, x, None, 1), np.array([0, 2, 2, 2, 0, 0, 0]))  # the one at minus infinity has no left
    same(cnnx.clip_backward(g, x, -2, None), np.array([0, 0, 2, 2, 2, 2, 0]))
    same(cnnx.clip_backward(g, x, 1, 1), np.zeros(7))


def test_bounds_that_are_no_float32(backend):
    """They are doubles: 0.1 lies below the float32 next to it, whose slope is therefore 1, and 0.9 below its own."""
    low, high = np.float32(0.1), np.float32(0.9)
    x, one = np.array([0, low, high, 2], np.float32), np.ones(4, np.float32)
    assert float(low) > 0.1
    assert float(high) < 0.9
    same(cnnx.clip(x, 0.1, 0.9), np.array([low, low, high, high]))
    same(cnnx.clip_backward(one, x, 0.1, 0.9), np.array([0, 1, 1, 0]))
    same(cnnx.clip(x, -1e300, 1e300), x)
    same(cnnx.clip_backward(one, x, -1e300, 1e300), one)


def test_kinks_of_hard_sigmoid_at_its_defaults(backend, dtype):
    """-3/6 + 1/2 is 0 and 3/6 + 1/2 is 1, as they are rounded."""
    x = np.array([-3, 3], dtype)
    same(cnnx.hard_sigmoid(x), np.array([0, 1]))
    same(cnnx.hard_sigmoid_backward(np.full_like(x, 6), x), np.array([0, 1]))


def test_prelu_of_nan_and_of_slopes_beyond_one(backend, dtype):
    """A5."""
    x = np.array([[[nan, 2, -2]], [[-1, -0.0, inf]]], dtype)
    same(cnnx.prelu(x, np.array([-3], dtype)), np.array([[[nan, 2, 6]], [[3, 0.0, inf]]]))
    g = np.ones_like(x)
    grad_x, grad_weight = cnnx.prelu_backward(g, x, np.array([-3], dtype))
    same(grad_x, np.array([[[-3, 1, -3]], [[-3, -3, 1]]]))
    assert np.isnan(grad_weight).all()
    assert cnnx.prelu_backward(g[1:], x[1:], np.array([2], dtype))[1].tolist() == [-1]


def test_small_numbers_keep_their_digits(backend, dtype):
    """expm1, log1p and erfc, where exp(z) - 1, log(1 + exp(z)) and 1 + erf(z) lose everything."""
    tiny = np.array([-1e-12, -1e-9], dtype)
    ulp = {"rtol": 4 * np.finfo(dtype).eps, "atol": 0}
    np.testing.assert_allclose(cnnx.elu(tiny), tiny, rtol=1e-8)
    np.testing.assert_allclose(cnnx.tanh(-tiny), -tiny, **ulp)
    far = np.array([-40, -60], dtype)
    np.testing.assert_allclose(cnnx.softplus(far), [4.248354255291589e-18, 8.75651076269652e-27], **ulp)
    # Phi(-6) = 9.865876450376981e-10 (tables of the normal distribution)
    np.testing.assert_allclose(cnnx.gelu(np.array([-6], dtype)), [-5.919525870226189e-09], rtol=1e-6)


def test_slope_at_kinks_is_the_left_one(backend, dtype):
    for zero in (0.0, -0.0):
        z, g = np.array([zero], dtype), np.array([3], dtype)
        assert cnnx.relu_backward(g, z) == 0
        assert cnnx.step_backward(g, z) == 0
        assert cnnx.prelu_backward(g, z, np.array([0.5], dtype))[0] == 1.5
        assert cnnx.leaky_relu_backward(g, z) == g * np.dtype(dtype).type(0.01)
        assert cnnx.leaky_relu_backward(g, z, -2.0) == -6
        assert cnnx.elu_backward(g, z) == 3
        assert cnnx.elu_backward(g, z, 0.5) == 1.5
    least = np.nextafter(np.zeros(1, dtype), np.ones(1, dtype))
    assert cnnx.relu_backward(np.ones_like(least), least) == 1
    assert cnnx.leaky_relu_backward(np.ones_like(least), least) == 1
    assert cnnx.elu_backward(np.ones_like(least), least, 7.0) == 1
    assert cnnx.step(least) == 1


def test_slopes_by_a_saved_output(backend, dtype):
    """y (1 - y) and 1 - y^2, whatever x holds: only its shape and dtype count."""
    y, g, x = np.array([0.25, 0, 1, nan], dtype), np.array([2, 3, -1, 1], dtype), np.full(4, nan, dtype)
    same(cnnx.sigmoid_backward(g, x, output=y), np.array([0.375, 0, -0.0, nan], dtype))
    same(cnnx.tanh_backward(g, x, output=y), np.array([1.875, 3, -0.0, nan], dtype))
    x = np.array([-1.5, 0.25, 4], dtype)
    for name in ("sigmoid", "tanh"):
        forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
        saved, again = backward(g[:3], x, output=forward(x)), backward(g[:3], x)
        np.testing.assert_allclose(saved, again, rtol=0, atol=8 * np.finfo(dtype).eps)


def test_softmax_backward_by_the_saved_output(backend, dtype):
    """Y (Delta - sum Delta Y) and Delta - exp(Y) sum Delta, whatever x holds: only its shape and dtype count."""
    y, g, x = np.array([[0.25, 0.5, 0.25]], dtype), np.array([[4, 2, -4]], dtype), np.full((1, 3), nan, dtype)
    same(cnnx.softmax_backward(g, x, output=y), np.array([[0.75, 0.5, -1.25]], dtype))  # the sum is 1
    same(cnnx.log_softmax_backward(g, x, output=np.array([[0, -inf, 0]], dtype)), np.array([[2, 2, -6]], dtype))
    x = np.linspace(-3, 4, 2 * 70 * 33).reshape(2, 70, 33).astype(dtype)
    g = np.cos(x)
    for name in ("softmax", "log_softmax"):
        forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
        for axis in (1, -1):
            saved, again = backward(g, x, axis, output=forward(x, axis)), backward(g, x, axis)
            np.testing.assert_allclose(saved, again, rtol=0, atol=99 * np.finfo(dtype).eps)
        with pytest.raises(ValueError, match=r"^output: expected shape"):
            backward(g, x, output=x[:, 1:])
    assert np.isnan(cnnx.softmax_backward(np.ones((1, 2), dtype), np.ones((1, 2), dtype), output=y[:, :2] * nan)).all()


def test_first_of_equal_maxima_wins(backend, dtype):
    """Zeros of both signs are equal: the first counts."""
    x = np.array([[[[-0.0, 0.0], [0.0, -1]]]], dtype)
    y, winners = cnnx.max_pool2d(x, 2, return_winners=True)
    same(y, np.array([[[[-0.0]]]], dtype))
    assert winners.item() == 0
    g = np.full((1, 1, 1, 1), 5, dtype)
    assert cnnx.max_pool2d_backward(g, x, 2).ravel().tolist() == [5, 0, 0, 0]
    assert cnnx.max_pool2d_backward(g, x, 2, ties="all").ravel().tolist() == [5, 5, 5, 0]


def test_padding_is_minus_infinity_to_a_maximum(backend, dtype):
    x = np.full((1, 1, 2, 2), -inf, dtype)
    y, winners = cnnx.max_pool2d(x, 2, stride=1, padding=1, return_winners=True)
    same(y, np.full((1, 1, 3, 3), -inf, dtype))
    # Offsets r 2 + s of each window's first pixel, counted from its corner in the padding.
    assert winners.ravel().tolist() == [3, 2, 2, 1, 0, 0, 1, 0, 0]
    assert winners.dtype == np.int32
    x[...] = -7
    assert (cnnx.max_pool2d(x, 3, stride=1, padding=1) == -7).all()


def test_infinite_images(backend, dtype):
    x = np.array([[[[inf, 1], [2, -inf]]]], dtype)
    same(cnnx.conv2d(x, np.ones((1, 1, 1, 2), dtype)), np.array([[[[inf], [-inf]]]]))
    same(cnnx.avg_pool2d(x, (1, 2)), np.array([[[[inf], [-inf]]]]))
    same(cnnx.avg_pool2d(x, 2), np.array([[[[nan]]]]))
    same(cnnx.lp_pool2d(x, 2, 2), np.array([[[[inf]]]]))
    same(cnnx.max_pool2d(x, 2), np.array([[[[inf]]]]))


# ---------------------------------------------------------------------------------- windows and divisors


def test_same_padding_puts_the_odd_row_last(backend, dtype):
    """4 x 5 image, 2 x 4 kernel: one row of padding, at the bottom; three columns, one left and two right."""
    x = np.arange(1, 21, dtype=dtype).reshape(1, 1, 4, 5)
    pick = np.zeros((1, 1, 2, 4), dtype)
    pick[0, 0, 0, 0] = 1  # the window's corner
    y = cnnx.conv2d(x, pick, padding="same")
    assert y[0, 0].tolist() == [[0, 1, 2, 3, 4], [0, 6, 7, 8, 9], [0, 11, 12, 13, 14], [0, 16, 17, 18, 19]]
    pick[...] = 0
    pick[0, 0, 1, 3] = 1  # its opposite corner: one row down, two columns right
    y = cnnx.conv2d(x, pick, padding="same")
    assert y[0, 0].tolist() == [[8, 9, 10, 0, 0], [13, 14, 15, 0, 0], [18, 19, 20, 0, 0], [0, 0, 0, 0, 0]]
    y = cnnx.max_pool2d(x, (2, 4), stride=1, padding="same")
    assert y[0, 0].tolist() == [[8, 9, 10, 10, 10], [13, 14, 15, 15, 15], [18, 19, 20, 20, 20], [18, 19, 20, 20, 20]]


def test_same_padding_with_strides_and_dilation(backend, dtype):
    # 5 columns, stride 2: 3 outputs at columns 0 - p, 2 - p, 4 - p. Kernel 2 needs one column: right.
    x = np.arange(1, 6, dtype=dtype).reshape(1, 1, 1, 5)
    ones = np.ones((1, 1, 1, 2), dtype)
    assert cnnx.conv2d(x, ones, stride=(1, 2), padding="same").ravel().tolist() == [3, 7, 5]
    # Dilated by 3 a kernel of 2 spans 4: columns -1, 1, 3 and 2, 4, 6, that is 3, 2 + 5, 4.
    assert cnnx.conv2d(x, ones, stride=(1, 2), dilation=(1, 3), padding="same").ravel().tolist() == [3, 7, 4]
    # Stride 3 leaves columns over and needs no padding: 2 outputs at columns 0 and 3.
    assert cnnx.conv2d(x, ones, stride=(1, 3), padding="same").ravel().tolist() == [3, 9]
    assert cnnx.avg_pool2d(x, (1, 2), padding="same").ravel().tolist() == [1.5, 3.5, 5]
    assert cnnx.avg_pool2d(x, (1, 2), padding="same", count_include_pad=True).ravel().tolist() == [1.5, 3.5, 2.5]
    assert cnnx.max_pool2d(x, (1, 9), stride=(1, 2), padding="same").ravel().tolist() == [5, 5, 5]
    same(cnnx.conv2d(x, ones, padding="valid"), cnnx.conv2d(x, ones))


CEIL = [  # extent, window, stride, (first, last) padding, outputs rounded down, outputs rounded up
    (4, 2, 2, (0, 0), 2, 2),  # nothing left over
    (5, 2, 2, (0, 0), 2, 3),  # a last window that starts at 4, inside
    (6, 2, 3, (0, 0), 2, 2),  # one at 6 would start outside
    (7, 2, 3, (0, 0), 2, 3),
    (5, 3, 2, (1, 1), 3, 3),
    (6, 3, 2, (1, 1), 3, 4),  # starts at 5: the last pixel
    (4, 2, 2, (1, 1), 3, 3),
    (5, 2, 2, (1, 1), 3, 3),  # one at 5 would hold padding alone
    (5, 2, 2, (1, 0), 3, 3),
    (3, 3, 2, (1, 1), 2, 2),
    (4, 3, 2, (1, 1), 2, 3),
    (1, 1, 5, (0, 0), 1, 1),
    (2, 1, 5, (0, 0), 1, 1),
    (9, 4, 4, (2, 2), 3, 3),  # one at 10 would start outside
    (9, 4, 3, (2, 2), 4, 4),  # starts at -2, 1, 4, 7: 12 rows of 13 and one left over; one at 10 would be outside
    (10, 3, 4, (1, 1), 3, 3),
    (11, 3, 4, (1, 1), 3, 3),  # one at 11 would be outside
    (8, 3, 4, (1, 0), 2, 3),  # starts at -1, 3 and 7
]


@pytest.mark.parametrize(("extent", "window", "stride", "padding", "down", "up"), CEIL)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "lp_pool2d"])
def test_ceil_mode(name, extent, window, stride, padding, down, up, backend):
    options = {"kernel_size": (window, 1), "stride": (stride, 1), "padding": (padding, (0, 0))}
    options |= {"norm_type": 2} if name == "lp_pool2d" else {}
    x = np.ones((1, 1, extent, 1), np.float32)
    for ceil_mode, outputs in ((False, down), (True, up)):
        y = getattr(cnnx, name)(x, **options, ceil_mode=ceil_mode)
        assert y.shape == (1, 1, outputs, 1)
        assert (y == 1).all()
        turned = options | {"kernel_size": (1, window), "stride": (1, stride), "padding": ((0, 0), padding)}
        assert getattr(cnnx, name)(x.reshape(1, 1, 1, -1), **turned, ceil_mode=ceil_mode).shape == (1, 1, 1, outputs)


def test_divisors(backend, dtype):
    """A 4 x 5 image of twelves under 3 x 3 windows, stride 2, padded by 1, 2 (rows) and 1, 0 (columns)."""
    x = np.full((1, 1, 4, 5), 12, dtype)
    options = {"kernel_size": 3, "stride": 2, "padding": ((1, 2), (1, 0))}
    # Rows -1..1, 1..3, 3..5: 2, 3 and 1 of them in the image, 3, 3, 3 in the padded one. Columns -1..1, 1..3: 2, 3.
    assert (cnnx.avg_pool2d(x, **options) == 12).all()
    y = cnnx.avg_pool2d(x, **options, count_include_pad=True)
    sums = 12 * np.outer([2, 3, 1], [2, 3])
    np.testing.assert_allclose(y[0, 0], sums / 9, rtol=1e-6)
    # Rounded up, columns 3..5 come too: two of them are in the image and in the padded image, which ends at 4.
    y = cnnx.avg_pool2d(x, **options, count_include_pad=True, ceil_mode=True)
    sums, divisors = 12 * np.outer([2, 3, 1], [2, 3, 2]), np.outer([3, 3, 3], [3, 3, 2])
    np.testing.assert_allclose(y[0, 0], sums / divisors, rtol=1e-6)
    turned = {"kernel_size": 3, "stride": 2, "padding": ((1, 0), (1, 2)), "count_include_pad": True, "ceil_mode": True}
    np.testing.assert_array_equal(cnnx.avg_pool2d(np.swapaxes(x, 2, 3), **turned), np.swapaxes(y, 2, 3))
    g = cnnx.avg_pool2d_backward(np.ones_like(y), x, **options, count_include_pad=True, ceil_mode=True)
    # A row has 1/3 from each of the 1, 2, 1, 2 windows that hold it; columns alike, but 1/2 from the last window.
    shares = np.outer(np.array([1, 2, 1, 2]) / 3, np.array([1 / 3, 2 / 3, 1 / 3, 1 / 3 + 1 / 2, 1 / 2]))
    np.testing.assert_allclose(g[0, 0], shares, rtol=1e-6)
    g_turned = cnnx.avg_pool2d_backward(np.ones_like(np.swapaxes(y, 2, 3)), np.swapaxes(x, 2, 3), **turned)
    np.testing.assert_allclose(g_turned[0, 0], shares.T, rtol=1e-6)
    norm = cnnx.lp_pool2d(x, 1, **options)
    np.testing.assert_allclose(norm, np.full((1, 1, 3, 2), 12), rtol=1e-6)


def test_lp_pool2d_by_hand(backend, dtype):
    """P4."""
    x = np.array([[[[3, -4, 0], [0, 0, 0]]]], dtype)
    close = {"rtol": 1e-6}
    np.testing.assert_allclose(cnnx.lp_pool2d(x, 1, (2, 3)).ravel(), [7 / 6], **close)
    np.testing.assert_allclose(cnnx.lp_pool2d(x, 1, (2, 3), normalize=False).ravel(), [7], **close)
    np.testing.assert_allclose(cnnx.lp_pool2d(x, 2, (2, 3)).ravel(), [5 / math.sqrt(6)], **close)
    np.testing.assert_allclose(cnnx.lp_pool2d(x, 2, (2, 3), normalize=False).ravel(), [5], **close)
    # |R| counts the pixels within the image: two and two.
    y = cnnx.lp_pool2d(x, 1, 2, stride=2, padding=((0, 0), (1, 0)))
    np.testing.assert_allclose(y.ravel(), [3 / 2, 4 / 4], **close)
    g = np.ones((1, 1, 1, 1), dtype)
    backward = cnnx.lp_pool2d_backward
    np.testing.assert_allclose(backward(g, x, 1, (2, 3), normalize=False).ravel(), [1, -1, 0, 0, 0, 0], **close)
    np.testing.assert_allclose(backward(6 * g, x, 1, (2, 3)).ravel(), [1, -1, 0, 0, 0, 0], **close)
    np.testing.assert_allclose(backward(g, x, 2, (2, 3), normalize=False).ravel(), [0.6, -0.8, 0, 0, 0, 0], **close)
    # (1/6) z / y, y = 5 / sqrt 6
    expected = np.array([3, -4, 0, 0, 0, 0]) / 6 * math.sqrt(6) / 5
    np.testing.assert_allclose(backward(g, x, 2, (2, 3)).ravel(), expected, **close)


@pytest.mark.parametrize("norm_type", [1, 1.5, 2, 7])
@pytest.mark.parametrize("normalize", [False, True])
def test_lp_pool2d_of_a_zero_window(norm_type, normalize, backend, dtype):
    for zero in (0.0, -0.0):
        x, g = np.full((1, 1, 2, 2), zero, dtype), np.ones((1, 1, 1, 1), dtype)
        same(cnnx.lp_pool2d(x, norm_type, 2, normalize=normalize), np.zeros((1, 1, 1, 1)))
        np.testing.assert_array_equal(
            cnnx.lp_pool2d_backward(g, x, norm_type, 2, normalize=normalize), np.zeros(x.shape)
        )


# ------------------------------------------------------------------------------------ softmax and costs


def test_softmax_shifts_the_maximum_out(backend, dtype):
    big = {"float32": 1e38, "float64": 1e308}[dtype]
    same(cnnx.softmax(np.array([[big, big, -big]], dtype)), np.array([[0.5, 0.5, 0]], dtype))
    same(cnnx.softmax(np.array([[1000, 0]], dtype)), np.array([[1, 0]], dtype))
    same(cnnx.softmax(np.array([[-inf, 3, -inf]], dtype)), np.array([[0, 1, 0]], dtype))
    same(cnnx.log_softmax(np.array([[-inf, 3, -inf]], dtype)), np.array([[-inf, 0, -inf]], dtype))
    same(cnnx.log_softmax(np.array([[1000, 0]], dtype)), np.array([[0, -1000]], dtype))
    y = cnnx.log_softmax(np.array([[-2000, -2000]], dtype))
    np.testing.assert_allclose(y, np.full((1, 2), -math.log(2)), rtol=1e-6)
    same(cnnx.softmax(np.array([[7]], dtype)), np.ones((1, 1), dtype))


def test_softmax_axes(backend, dtype):
    x = np.log(np.arange(1, 25, dtype=dtype).reshape(2, 3, 4))
    for axis in range(3):
        expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
        for name in (axis, axis - 3, np.int8(axis - 3), np.uint64(axis)):
            np.testing.assert_allclose(cnnx.softmax(x, name), expected, rtol=2e-6)
            np.testing.assert_allclose(cnnx.log_softmax(x, axis=name), np.log(expected), rtol=3e-6)
        g = np.zeros_like(x)
        g[1, 2, 3] = 1
        along = tuple(slice(None) if i == axis else n for i, n in enumerate((1, 2, 3)))
        slope = np.zeros_like(x)
        slope[along] = -expected[along] * expected[1, 2, 3]
        slope[1, 2, 3] += expected[1, 2, 3]
        np.testing.assert_allclose(cnnx.softmax_backward(g, x, axis - 3), slope, rtol=1e-5, atol=1e-7)
    same(cnnx.softmax(x), cnnx.softmax(x, 1))
    same(cnnx.softmax(x[:, 0, 0], 0), cnnx.softmax(x[:, :1, :1], 0).ravel())


def test_cross_entropy_by_hand(backend, dtype):
    """E2, E3."""
    logits = np.log(np.array([[1, 3], [1, 1]], dtype))  # y = 1/4, 3/4 and 1/2, 1/2
    target = np.array([0, 1])
    np.testing.assert_allclose(cnnx.cross_entropy(logits, target), (math.log(4) + math.log(2)) / 2, rtol=1e-6)
    np.testing.assert_allclose(cnnx.cross_entropy(logits, target, reduction="sum"), math.log(8), rtol=1e-6)
    soft = np.array([[0.5, 0.5], [0.25, 0.25]], dtype)  # a row need not sum to 1
    expected = 0.5 * math.log(4) + 0.5 * math.log(4 / 3) + 0.5 * math.log(2)
    np.testing.assert_allclose(cnnx.cross_entropy(logits, soft, reduction="sum"), expected, rtol=1e-6)
    gradient = np.array([[1 / 4 - 1, 3 / 4], [1 / 2, 1 / 2 - 1]])
    np.testing.assert_allclose(cnnx.cross_entropy_backward(logits, target, reduction="sum"), gradient, rtol=1e-6)
    np.testing.assert_allclose(cnnx.cross_entropy_backward(logits, target), gradient / 2, rtol=1e-6)
    soft_gradient = np.array([[1 / 4 - 0.5, 3 / 4 - 0.5], [1 / 4 - 0.25, 1 / 4 - 0.25]])
    np.testing.assert_allclose(
        cnnx.cross_entropy_backward(logits, soft, reduction="sum"), soft_gradient, rtol=1e-6, atol=1e-7
    )


def test_indices_of_every_integer_dtype_equal_one_hot(backend, dtype):
    logits = np.array([[2, -1, 0.5], [0, 300, -300], [-1, -2, -3], [0, 0, 0]], dtype)
    indices = np.array([2, 0, 1, 0])
    one_hot = np.eye(3, dtype=dtype)[indices]
    cost, gradient = cnnx.cross_entropy(logits, one_hot), cnnx.cross_entropy_backward(logits, one_hot)
    for code in "bhilqBHILQ":
        for target in (indices.astype(code), indices.astype(np.dtype(code).newbyteorder())):
            assert cnnx.cross_entropy(logits, target) == cost
            np.testing.assert_array_equal(cnnx.cross_entropy_backward(logits, target), gradient)
    assert cost == pytest.approx(
        -(np.log(cnnx.softmax(logits[[0, 2, 3]].astype("float64")))[[0, 1, 2], [2, 1, 0]].sum() - 300) / 4
    )


def test_impossible_classes_without_a_share_cost_nothing(backend, dtype):
    """-inf logits: a probability of 0. With t = 0 the term is 0 log 0 = 0; with t > 0 the cost is infinite."""
    logits = np.array([[-inf, 0, 0]], dtype)
    assert cnnx.cross_entropy(logits, np.array([[0, 1, 0]], dtype)) == pytest.approx(math.log(2))
    assert cnnx.cross_entropy(logits, np.array([1])) == pytest.approx(math.log(2))
    assert cnnx.cross_entropy(logits, np.array([[0.5, 0.5, 0]], dtype)) == inf
    assert cnnx.cross_entropy(logits, np.array([0])) == inf
    same(cnnx.cross_entropy_backward(logits, np.array([1])), np.array([[0, -0.5, 0.5]], dtype))
    huge = np.array([[1e30, 0]], dtype)
    assert cnnx.cross_entropy(huge, np.array([0])) == 0
    assert cnnx.cross_entropy(huge, np.array([1])) == pytest.approx(1e30)


def test_squared_error_by_hand(backend, dtype):
    """E1, E2."""
    y, target = np.array([[1, 2, 3], [4, 5, 6]], dtype), np.array([[1, 0, 6], [0, 5, 5]], dtype)
    # Differences 0 2 -3, 4 0 1: squares 13 and 17.
    assert cnnx.squared_error(y, target) == 7.5
    assert cnnx.squared_error(y, target, reduction="sum") == 15
    assert cnnx.squared_error_backward(y, target, reduction="sum").tolist() == [[0, 2, -3], [4, 0, 1]]
    assert cnnx.squared_error_backward(y, target).tolist() == [[0, 1, -1.5], [2, 0, 0.5]]
    images, blank = np.ones((4, 1, 3, 2), dtype), np.zeros((4, 1, 3, 2), dtype)
    assert cnnx.squared_error(images, blank) == 3  # over N = 4, not over the 24 elements
    assert cnnx.squared_error(images[:, 0, 0, 0], blank[:, 0, 0, 0]) == 0.5


def test_costs_are_python_floats_in_double(backend):
    y = np.array([[1e20, 2e-20]], np.float32)  # the square is no float32
    cost = cnnx.squared_error(y, np.zeros_like(y), reduction="sum")
    assert type(cost) is float
    assert cost == pytest.approx(0.5 * float(y[0, 0]) ** 2, rel=1e-15)
    many = np.full((3000, 1), 0.1, np.float32)
    exact = 0.5 * float(np.float32(0.1)) ** 2
    assert cnnx.squared_error(many, np.zeros_like(many)) == pytest.approx(exact, rel=1e-12)
    rows = np.zeros((1000, 2), np.float32)
    assert cnnx.cross_entropy(rows, np.zeros(1000, int)) == pytest.approx(math.log(2), rel=1e-12)


def test_costs_of_no_examples(backend, dtype):
    for reduction in ("mean", "sum"):
        for target in (np.zeros(0, int), np.zeros((0, 3), dtype)):
            cost = cnnx.cross_entropy(np.zeros((0, 3), dtype), target, reduction=reduction)
            assert type(cost) is float
            assert math.copysign(1, cost) == 1
            assert cost == 0
            assert cnnx.cross_entropy_backward(np.zeros((0, 3), dtype), target, reduction=reduction).shape == (0, 3)
        empty = np.zeros((0, 2, 1), dtype)
        assert cnnx.squared_error(empty, empty, reduction=reduction) == 0.0
        assert cnnx.squared_error_backward(empty, empty, reduction=reduction).shape == (0, 2, 1)


# --------------------------------------------------------------------------------- batch norm, dropout, flatten


def test_batch_norm2d_by_hand(backend, dtype):
    """N1 to N5."""
    x = np.array([1, 3, 5, 7, 10, 10, 10, 10], dtype).reshape(2, 4, 1, 1).transpose(1, 0, 2, 3)  # N 4, C 2
    x[:, 1, 0, 0] = [10, 20, 10, 20]
    weight, bias, eps = np.array([2, -1], dtype), np.array([0.5, 0], dtype), 0.25
    # Channel 0: mean 4, biased variance (9 + 1 + 1 + 9) / 4 = 5. Channel 1: 15 and 25.
    expected = np.empty((4, 2, 1, 1))
    expected[:, 0, 0, 0] = 2 * np.array([-3, -1, 1, 3]) / math.sqrt(5.25) + 0.5
    expected[:, 1, 0, 0] = -np.array([-5, 5, -5, 5]) / math.sqrt(25.25)
    y = cnnx.batch_norm2d(x, weight, bias, training=True, eps=eps)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    mean, var = np.array([1, 2], dtype), np.array([0.75, 8.75], dtype)
    before = mean.copy(), var.copy()
    ignored = cnnx.batch_norm2d(x, weight, bias, mean, var, training=True, eps=eps)
    np.testing.assert_array_equal(ignored, y)
    running = cnnx.batch_norm2d(x, weight, bias, mean, var, eps=eps)
    np.testing.assert_array_equal(running[:, 0, 0, 0], 2 * np.array([0, 2, 4, 6]) + 0.5)  # sqrt(0.75 + 0.25) = 1
    np.testing.assert_allclose(running[:, 1, 0, 0], -np.array([8, 18, 8, 18]) / 3, rtol=1e-6)
    np.testing.assert_array_equal((mean, var), before)

    g = np.zeros((4, 2, 1, 1), dtype)
    g[0] = 1
    grad_x, grad_weight, grad_bias = cnnx.batch_norm2d_backward(g, x, weight, training=True, eps=eps)
    assert grad_bias.tolist() == [1, 1]
    hat = np.array([-3, -1, 1, 3]) / math.sqrt(5.25)
    np.testing.assert_allclose(grad_weight[0], hat[0], rtol=1e-6)
    slope = 2 / math.sqrt(5.25) * (np.array([1, 0, 0, 0]) - 1 / 4 - hat * hat[0] / 4)
    np.testing.assert_allclose(grad_x[:, 0, 0, 0], slope, rtol=1e-5, atol=1e-7)
    grad_x, grad_weight, _ = cnnx.batch_norm2d_backward(g, x, weight, mean, var, eps=eps)
    assert grad_x[:, 0, 0, 0].tolist() == [2, 0, 0, 0]
    assert grad_weight[0] == 0  # x - mean is 0 there


def test_batch_norm2d_with_a_variance_of_zero(backend, dtype):
    x, one = np.full((2, 1, 1, 1), 3, dtype), np.ones(1, dtype)
    assert (cnnx.batch_norm2d(x, one, one, training=True) == 1).all()
    zero = np.zeros(1, dtype)
    assert (cnnx.batch_norm2d(x, one, zero, one, zero, eps=0.25) == 4).all()
    assert (cnnx.batch_norm2d(x, one, zero, one, -zero, eps=0.25) == 4).all()
    assert cnnx.batch_norm2d(x[:0], one, one, one, one).shape == (0, 1, 1, 1)


def test_dropout_scales_what_it_keeps(backend, dtype):
    """D1."""
    x, mask = np.array([[1, 2], [3, -4]], dtype), np.array([[True, False], [True, True]])
    same(cnnx.dropout(x, mask, 0.75), np.array([[4, 0], [12, -16]], dtype))
    same(cnnx.dropout(x, mask, 0), np.array([[1, 0], [3, -4]], dtype))
    same(cnnx.dropout_backward(x, mask, np.float32(0.5)), np.array([[2, 0], [6, -8]], dtype))
    odd = np.array([2, 0, 255, 1], np.uint8).view(bool).reshape(2, 2)  # True need not be 1 in memory
    same(cnnx.dropout(x, odd, 0.5), np.array([[2, 0], [6, -8]], dtype))


def test_flatten(dtype):
    x = np.arange(24, dtype=dtype).reshape(2, 3, 2, 2)
    y = cnnx.flatten(x)
    assert y.shape == (2, 12)
    assert y[1].tolist() == list(range(12, 24))
    assert np.shares_memory(x, y)
    back = cnnx.flatten_backward(y, x)
    np.testing.assert_array_equal(back, x)
    turned = x.transpose(0, 3, 2, 1)
    flat = cnnx.flatten(turned)
    assert flat.flags.c_contiguous
    assert flat[0].tolist() == [0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11]
    np.testing.assert_array_equal(cnnx.flatten_backward(flat, turned), turned)
    assert cnnx.flatten(x[:, 0, 0, 0]).shape == (2, 1)
    assert cnnx.flatten(x[:0]).shape == (0, 12)
    assert cnnx.flatten(np.zeros((3, 0, 2))).shape == (3, 0)
    assert cnnx.flatten_backward(np.zeros((0, 12)), np.zeros((0, 3, 2, 2))).shape == (0, 3, 2, 2)


# ---------------------------------------------------------------------- any layout in, new arrays out


def arguments_of(op, function, case, dtype="float32"):
    """A call of the case, with data of its own."""
    rng = np.random.default_rng(11)

    def array(drawn):
        shape, kind = (drawn.shape, drawn.kind) if isinstance(drawn, Draw) else (drawn, "number")
        if kind == "mask":
            return np.asarray(rng.random(shape) < 0.6)
        if kind == "index":
            return np.asarray(rng.integers(0, drawn.high, shape))
        return np.asarray(rng.random(shape) + 0.1 if kind != "number" else rng.standard_normal(shape), dtype)

    arguments = {key: array(drawn) for key, drawn in case.arrays.items()} | dict(case.options)
    known, accepted = inspect.signature(function).parameters, inspect.signature(op.forward).parameters
    if "grad_output" in known:
        y = op.forward(**{key: value for key, value in arguments.items() if key in accepted})
        arguments["grad_output"] = array(y[0].shape if isinstance(y, tuple) else y.shape)
        if isinstance(y, tuple):
            arguments["winners"] = y[1]
        if arguments.get("output"):
            arguments["output"] = y
    return {key: value for key, value in arguments.items() if key in known}


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def strided(a):
    """Every other element of a larger array, along every axis."""
    big = np.full([2 * n + 1 for n in a.shape], 1, a.dtype)
    part = big[(slice(1, None, 2),) * a.ndim]
    part[...] = a
    return part


def negative(a):
    """Negative strides along every axis."""
    axes = (slice(None, None, -1),) * a.ndim
    return a[axes].copy()[axes]


def unaligned(a):
    """One byte off."""
    memory = bytearray(a.nbytes + 1)
    view = np.frombuffer(memory, a.dtype, a.size, offset=1).reshape(a.shape)
    view[...] = a
    return view


class Wrapped:
    """An object that is no array but has one."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


class Old(Wrapped):
    """One from before NumPy 2."""

    def __array__(self, dtype=None):
        return self.a


class Subclass(np.ndarray):
    """An array subclass whose arithmetic must not be trusted."""

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("a subclass's arithmetic was used")

    def reshape(self, *args, **kwargs):
        raise AssertionError("a subclass's method was used")


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "negative strides": negative,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "read-only": read_only,
    "object with __array__": Wrapped,
    "object with an old __array__": Old,
    "subclass": lambda a: a.view(Subclass),
    "memmap-like": lambda a: read_only(strided(a)),
}


def result_arrays(result):
    return [y for y in (result if isinstance(result, tuple) else (result,)) if y is not None]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_layouts(op):
    """Whatever the memory looks like, the bits are those of a plain array, and nothing is written to."""
    case = max(op.cases, key=lambda case: (len(case.arrays), len(case.options)))
    for function in (op.forward, op.backward):
        for dtype in ("float32", "float64"):
            plain = arguments_of(op, function, case, dtype)
            expected = result_arrays(function(**plain))
            for name, change in LAYOUTS.items():
                changed = {k: change(v) if isinstance(v, np.ndarray) else v for k, v in plain.items()}
                before = {k: np.array(v) for k, v in changed.items() if isinstance(v, np.ndarray)}
                results = result_arrays(function(**changed))
                for y, y0 in zip(results, expected, strict=True):
                    if not isinstance(y0, float):
                        assert type(y) is np.ndarray
                        assert y.dtype == y0.dtype
                        assert y.dtype.isnative
                        assert y.flags.c_contiguous
                        assert y.flags.aligned
                    np.testing.assert_array_equal(y, y0, err_msg=f"{function.__name__}, {name}")
                for key, a in before.items():
                    np.testing.assert_array_equal(np.asarray(changed[key]), a, err_msg=f"{key} was written to")


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_results_are_new_and_inputs_untouched(op, backend):
    for case in op.cases:
        for function in (op.forward, op.backward):
            for dtype in ("float32", "float64"):
                arguments = arguments_of(op, function, case, dtype)
                arrays = {key: value for key, value in arguments.items() if isinstance(value, np.ndarray)}
                before = {key: value.tobytes() for key, value in arrays.items()}
                results = result_arrays(function(**arguments))
                assert {key: value.tobytes() for key, value in arrays.items()} == before
                for i, y in enumerate(results):
                    if isinstance(y, float):
                        continue
                    assert type(y) is np.ndarray
                    assert y.flags.c_contiguous
                    assert y.flags.writeable
                    assert y.dtype == ("int32" if i == 1 and "max_pool2d" in function.__name__ else dtype)
                    if op.name != "flatten":  # the one that may return a view
                        assert y.flags.owndata
                        assert not any(np.shares_memory(y, a) for a in (*arrays.values(), *results[:i]))


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_zero_batch(op, backend):
    """No example: empty results, and parameter gradients of zero, not of what was in memory."""
    cases = [case for case in op.cases if 0 in next(iter(arguments_of(op, op.forward, case).values())).shape]
    if not cases:
        assert op.name == "batch_norm2d", "every op but one in training has a case without examples"
    for case in cases:
        for function in (op.forward, op.backward):
            for y in result_arrays(function(**arguments_of(op, function, case))):
                assert not np.any(y)
                assert np.all(np.isfinite(y))


def test_zero_batch_of_layers_with_parameters(backend, dtype):
    dirty = [np.full(1000, nan) for _ in range(8)]  # what freed memory may hold
    del dirty
    x, weight = np.zeros((0, 4, 5, 5), dtype), np.ones((6, 2, 3, 3), dtype)
    y = cnnx.conv2d(x, weight, groups=2)
    assert y.shape == (0, 6, 3, 3)
    grad_x, grad_weight, grad_bias = cnnx.conv2d_backward(y, x, weight, groups=2)
    assert grad_x.shape == x.shape
    same(grad_weight, np.zeros_like(weight))
    same(grad_bias, np.zeros(6))
    _, grad_w, grad_b = cnnx.affine_backward(np.zeros((0, 3), dtype), np.zeros((0, 2), dtype), np.ones((3, 2), dtype))
    same(grad_w, np.zeros((3, 2)))
    same(grad_b, np.zeros(3))
    one = np.ones(4, dtype)
    for gradient, expected in zip(cnnx.batch_norm2d_backward(x, x, one, one, one), (x, 0 * one, 0 * one), strict=True):
        same(gradient, expected)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (cnnx.conv2d_backward, {"grad_output": (1, 2, 2, 2), "x": (1, 1, 3, 3), "weight": (2, 1, 2, 2)}),
        (cnnx.affine_backward, {"grad_output": (2, 3), "x": (2, 4), "weight": (3, 4)}),
    ],
)
def test_first_layers_skip_their_input_gradient(function, arguments, backend, dtype):
    arrays = {key: np.arange(math.prod(shape), dtype=dtype).reshape(shape) for key, shape in arguments.items()}
    grad_x, *others = function(**arrays)
    skipped, *same_others = function(**arrays, input_grad=False)
    assert skipped is None
    assert grad_x.shape == arrays["x"].shape
    for a, b in zip(others, same_others, strict=True):
        same(a, b)


def test_numpy_integers_count_as_integers(backend):
    x, weight = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4), np.ones((2, 1, 2, 2), np.float32)
    plain = cnnx.conv2d(x, weight, stride=(2, 1), padding=((1, 0), (0, 1)), dilation=2, groups=2)
    numpy = cnnx.conv2d(
        x,
        weight,
        stride=(np.int8(2), np.uint64(1)),
        padding=[[np.int16(1), np.uint8(0)], (0, np.int64(1))],
        dilation=np.uint32(2),
        groups=np.intp(2),
    )
    np.testing.assert_array_equal(plain, numpy)
    np.testing.assert_array_equal(cnnx.max_pool2d(x, np.int64(2)), cnnx.max_pool2d(x, [2, 2], stride=(2, 2)))


@pytest.mark.parametrize("op", [op for op in OPS if op.kernels], ids=lambda op: op.name)
def test_numpy_error_settings_change_nothing(op, backend):
    """An overflow is inf and 0/0 is NaN whatever a caller made of np.errstate, and no warning comes with them."""
    case = max((case for case in op.cases if len(case.arrays) > 0), key=lambda case: len(case.arrays))
    rough = np.array([3e38, -3e38, 1e-45, np.inf, -np.inf, np.nan, 0, 1e-30, 1e30], np.float32)
    for function in (op.forward, op.backward):
        arguments = arguments_of(op, function, case)
        for key, a in arguments.items():
            if isinstance(a, np.ndarray) and a.dtype == np.float32 and key != "running_var":
                arguments[key] = np.resize(rough, a.shape)
        plain = result_arrays(function(**arguments))
        with np.errstate(all="raise"):
            results = result_arrays(function(**arguments))
        for y, y0 in zip(results, plain, strict=True):
            np.testing.assert_array_equal(y, y0)


@pytest.mark.parametrize("number", [1e308, -1e308, 1e39, 3e38, 2e-38, 1e-39, -1e-46, 1e-320])
def test_numbers_of_activations_that_float32_cannot_hold(number):
    """Products of slopes that are infinite or 0 as float32 with arrays that are: 0, or what float32 can hold again."""
    x = np.array([-2, -0.4, -1e-3, -1e-38, -0.0, 0, 0.3, 2, 1e38], "float32")
    calls = {
        cnnx.elu: ({"alpha": number},),
        cnnx.leaky_relu: ({"negative_slope": number},),
        cnnx.hard_sigmoid: (
            {"alpha": abs(number), "beta": 0.5},
            {"alpha": 0.5, "beta": number},
            {"alpha": abs(number), "beta": 0.0},
        ),
        cnnx.clip: ({"min": -abs(number), "max": abs(number)},),
    }
    for function, choices in calls.items():
        backward = getattr(cnnx, f"{function.__name__}_backward")
        for options in choices:
            with np.errstate(over="ignore"):
                y, expected = (function(x, **options, backend=name) for name in ("optimized", "reference"))
                np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-44, err_msg=f"{function.__name__} {options}")
                for delta in (0, 1, -3, 1e-38, 1e30):
                    grad = np.full(x.shape, delta, "float32")
                    dx, expected = (backward(grad, x, **options, backend=name) for name in ("optimized", "reference"))
                    text = f"{backward.__name__} of {delta}, {options}"
                    np.testing.assert_allclose(dx, expected, rtol=1e-6, atol=1e-44, err_msg=text)


@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_affine_of_more_axes_without_a_bias_has_a_zero_for_each_output(backend):
    """Fewer rows in a stack than outputs: zeros for the rows alone would be too few."""
    x, weight = np.ones((2, 3, 4)), np.ones((70, 4))
    assert np.array_equal(cnnx.affine(x, weight, backend=backend), np.full((2, 3, 70), 4.0))
