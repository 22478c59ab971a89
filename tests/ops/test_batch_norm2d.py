"""Batch normalisation and dropout beyond the audit's small cases: many parts, far numbers, saved statistics."""

from fractions import Fraction
from math import sqrt

import numpy as np
import pytest

import cnnx
from cnnx import backend, native

# A channel is summed up in parts of 16384 members, and elements are changed in chunks of 8192.
SHAPES = [(1, 1, 150, 340), (3, 2, 91, 93), (70, 2, 17, 19), (20_000, 3, 1, 1), (2, 5, 1, 33), (1, 40, 3, 43)]


def images(shape, dtype, offset=0.0):
    rng = np.random.default_rng(7)
    return (rng.standard_normal(shape) + offset).astype(dtype), rng.standard_normal(shape).astype(dtype)


def expected(x, delta, g, b, eps):
    """Y, dZ, dg, db of N1 to N4, in long double."""
    x, delta = x.astype(np.longdouble), delta.astype(np.longdouble)
    g, b = g.astype(np.longdouble)[:, None, None], b.astype(np.longdouble)[:, None, None]
    M, axes = x.size // x.shape[1], (0, 2, 3)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    Zh = (x - mean) / np.sqrt(var + eps)
    db, dg = delta.sum(axes, keepdims=True), (delta * Zh).sum(axes, keepdims=True)
    dZ = g / np.sqrt(var + eps) * (delta - db / M - Zh * dg / M)
    return mean.ravel(), var.ravel(), g * Zh + b, dZ, dg.ravel(), db.ravel()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_large_images_in_training(shape, offset, dtype):
    x, delta = images(shape, dtype, offset)
    C = shape[1]
    g, b = np.linspace(-2, 3, C).astype(dtype), np.linspace(5, 1, C).astype(dtype)
    u = np.finfo(dtype).eps / 2
    mean, var, Y, dZ, dg, db = expected(x, delta, g, b, 1e-5)
    y, (batch_mean, batch_var) = cnnx.batch_norm2d(x, g, b, training=True, return_statistics=True)
    grad_x, grad_weight, grad_bias = cnnx.batch_norm2d_backward(delta, x, g, training=True)
    # What is added up in double is off by a few ulp of the arrays' dtype, however many members there are.
    few = 4 * u if dtype == "float32" else 300 * u
    assert np.allclose(batch_mean, mean, rtol=few, atol=few)
    assert np.allclose(batch_var, var, rtol=few * 2)
    mass = np.abs(delta).sum((0, 2, 3))
    shift = (offset + 3) * few  # an error of the mean moves every Zh by as much
    assert np.all(np.abs(grad_bias - db) <= few * mass)
    assert np.all(np.abs(grad_weight - dg) <= (few + shift) * 5 * mass)
    assert np.allclose(y, Y, rtol=0, atol=3 * (few * 10 + shift))
    assert np.allclose(grad_x, dZ, rtol=0, atol=3 * (few * 10 + 5 * shift))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extents", [(1, 1), (1, 2), (1, 7), (2, 4), (3, 3), (3, 5), (4, 4)], ids=str)
def test_few_numbers_in_an_image(extents, dtype):
    """Channels side by side, in vectors over all of them, have the bits of each alone; several parts and blocks."""
    shape = (16_500 // extents[0] // extents[1] + 37, 71, *extents)
    x, delta = images(shape, dtype, 3.0)
    g, b = np.linspace(-2, 3, shape[1]).astype(dtype), np.linspace(5, 1, shape[1]).astype(dtype)
    mean, var, Y, dZ, dg, db = expected(x, delta, g, b, 1e-5)
    y, (batch_mean, batch_var) = cnnx.batch_norm2d(x, g, b, training=True, return_statistics=True)
    found = (y, batch_mean, batch_var, *cnnx.batch_norm2d_backward(delta, x, g, training=True))
    for value, exact in zip(found, (Y, mean, var, dZ, dg, db), strict=True):
        np.testing.assert_allclose(value, exact, rtol=0, atol=np.abs(exact).max() * 64 * np.finfo(dtype).eps)
    inference = (
        cnnx.batch_norm2d(x, g, b, batch_mean, batch_var),
        *cnnx.batch_norm2d_backward(delta, x, g, batch_mean, batch_var),
    )
    for c in (0, 1, 63, 64, 70):
        one = slice(c, c + 1)
        x_c, delta_c, g_c, b_c = x[:, one], delta[:, one], g[one], b[one]
        y, (mean, var) = cnnx.batch_norm2d(x_c, g_c, b_c, training=True, return_statistics=True)
        alone = (y, mean, var, *cnnx.batch_norm2d_backward(delta_c, x_c, g_c, training=True))
        running = batch_mean[one], batch_var[one]
        alone += (cnnx.batch_norm2d(x_c, g_c, b_c, *running), *cnnx.batch_norm2d_backward(delta_c, x_c, g_c, *running))
        for value, of_all in zip(alone, (*found, *inference), strict=True):
            np.testing.assert_array_equal(value, of_all[:, one] if of_all.ndim == 4 else of_all[one])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 65, 17, 19), (60, 64, 16, 17), (1, 66, 129, 130)], ids=str)
def test_channels_two_by_two_have_the_bits_of_each_alone(shape, dtype):
    x, delta = images(shape, dtype, 3.0)
    g = np.linspace(-2, 3, shape[1]).astype(dtype)

    def results(x, delta, g):
        _, statistics = cnnx.batch_norm2d(x, g, g, training=True, return_statistics=True)
        return *statistics, *cnnx.batch_norm2d_backward(delta, x, g, training=True)[1:]

    with backend.intercept(lambda name, kernel: kernel):  # all of a kernel's channels at once
        found = results(x, delta, g)
    mean, var, _, _, dg, db = expected(x, delta, g, g, 1e-5)
    for value, truth in zip(found, (mean, var, dg, db), strict=True):
        np.testing.assert_allclose(value, truth, rtol=0, atol=np.abs(truth).max() * 64 * np.finfo(dtype).eps)
    for c in (0, 1, shape[1] - 2, shape[1] - 1):
        one = slice(c, c + 1)
        for alone, of_all in zip(results(x[:, one], delta[:, one], g[one]), found, strict=True):
            np.testing.assert_array_equal(alone, of_all[one])


# Read channel by channel or not: few, many and far too many numbers in the images, powers of two apart, other threads.
IN_ONE = [(2, 8, 17, 16), (3, 9, 91, 93), (70, 2, 17, 19), (32, 16, 32, 32), (2, 1, 300, 300), (5, 4, 3, 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", IN_ONE, ids=str)
def test_several_kernels_in_one_have_their_bits(shape, dtype, each_threads):
    x, delta = images(shape, dtype)
    x[:, 0] += 1e6  # far from 0: its variance is corrected
    g, seen = np.linspace(-2, 3, shape[1]).astype(dtype), []

    def results():
        y, statistics = cnnx.batch_norm2d(x, g, g, training=True, return_statistics=True)
        return y, *statistics, *cnnx.batch_norm2d_backward(delta, x, g, training=True)

    def note(name, kernel):
        seen.append(name)
        return kernel

    with backend.intercept(note):
        expected = results()
    assert len(seen) == 8  # whoever looks into calls sees kernels
    for _ in each_threads(1, 2, 3):
        with native.always_parallel():
            found, (replayed, calls) = results(), backend.recorded(results)
        assert len(calls) == 4
        for one, again, kernels in zip(found, replayed, expected, strict=True):
            assert one.tobytes() == again.tobytes() == kernels.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extents", [(), (2,), (3, 5), (4, 4)], ids=str)
def test_prelu_of_few_numbers_in_an_example(extents, dtype):
    x, delta = images((1100, 33, *extents), dtype)
    weight = np.linspace(-2, 3, 33).astype(dtype)
    slopes = np.where(x > 0, 1, weight.reshape(33, *(1 for _ in extents)))
    np.testing.assert_array_equal(cnnx.prelu(x, weight), slopes * x)
    grad_x, grad_weight = cnnx.prelu_backward(delta, x, weight)
    np.testing.assert_array_equal(grad_x, delta * slopes)
    terms = (delta.astype(np.longdouble) * np.minimum(x, 0)).sum((0, *range(2, x.ndim)))
    np.testing.assert_allclose(grad_weight, terms, rtol=0, atol=np.abs(terms).max() * 64 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_parts_and_chunks_do_not_depend_on_threads(shape, dtype, each_threads):
    x, delta = images(shape, dtype, 10.0)
    g, mask = np.linspace(-2, 3, shape[1]).astype(dtype), delta > 0

    def results():
        yield cnnx.batch_norm2d(x, g, g, training=True)
        yield cnnx.batch_norm2d(x, g, g, g, g**2)
        yield from cnnx.batch_norm2d_backward(delta, x, g, training=True)
        yield from cnnx.batch_norm2d_backward(delta, x, g, g, g**2)
        yield cnnx.dropout(x, mask, 0.3)

    cnnx.set_num_threads(1)
    one = [a.tobytes() for a in results()]
    for _ in each_threads(2, 3):
        with native.always_parallel():
            assert [a.tobytes() for a in results()] == one


@pytest.mark.parametrize("shape", [(4095,), (16384,), (3, 16385), (40_001,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_of_many_elements(shape, dtype):
    """D1, forward and backward."""
    x, delta = images(shape, dtype)
    mask = delta > 0
    for z in cnnx.dropout(x, mask, 0.3), cnnx.dropout_backward(x, mask, 0.3):
        assert np.array_equal(z[~mask], np.zeros(z.size - mask.sum()))
        assert np.allclose(z[mask], x[mask] / 0.7, rtol=np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_factors_that_float32_cannot_hold(backend):
    """A constant channel and an eps whose root's inverse is beyond float32; a gain that a small eps makes large."""
    x = np.full((2, 2, 3, 5), 7, "float32")
    x[:, 1, :, ::2] = 1e-3
    g, b = np.array([3, 1e35], "float32"), np.array([2, 0], "float32")
    y = cnnx.batch_norm2d(x, g, b, training=True, eps=1e-100, backend=backend)
    assert y[:, 0].tolist() == np.full((2, 3, 5), 2).tolist()
    grad_x, grad_weight, _ = cnnx.batch_norm2d_backward(x, x, g, training=True, eps=1e-100, backend=backend)
    assert grad_weight[0] == 0
    assert grad_x[:, 0].tolist() == np.zeros((2, 3, 5)).tolist()
    zeros, tiny = np.zeros(2, "float32"), np.full((1, 2, 1, 2), 1e-20, "float32")
    y = cnnx.batch_norm2d(tiny, np.full(2, 1e10, "float32"), b, zeros, zeros, eps=1e-60, backend=backend)
    assert np.allclose(y[0, 1], 1e20, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_saved_statistics_spare_the_backward_call_its_own(backend, dtype):
    x, delta = images((2, 3, 2, 5), dtype, 3.0)
    g = np.array([1, -2, 0.5], dtype)
    options = {"training": True, "eps": 0.125, "backend": backend}
    y, (mean, var) = cnnx.batch_norm2d(x, g, g, return_statistics=True, **options)
    assert mean.dtype == var.dtype == np.float64
    assert np.allclose(mean, x.mean((0, 2, 3)), rtol=1e-6)
    assert np.allclose(var, x.var((0, 2, 3)), rtol=1e-5)
    assert y.tobytes() == cnnx.batch_norm2d(x, g, g, **options).tobytes()
    plain = cnnx.batch_norm2d_backward(delta, x, g, **options)
    saved = cnnx.batch_norm2d_backward(delta, x, g, statistics=(mean, var), **options)
    assert [a.tobytes() for a in saved] == [a.tobytes() for a in plain]
    strided = np.repeat(mean, 2)[::2], np.repeat(var, 2)[::2]
    again = cnnx.batch_norm2d_backward(delta, x, g, statistics=strided, **options)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in plain]
    assert [a.dtype for a in plain] == [np.dtype(dtype)] * 3


def exact(numbers, delta, eps):
    """Y, dZ, dg of N1 to N4 for one channel with gain 1 and bias 0, in Fractions but for the root."""
    z, d, M = [Fraction(float(v)) for v in numbers], [Fraction(float(v)) for v in delta], len(numbers)
    mean = sum(z) / M
    root = sqrt(sum((v - mean) ** 2 for v in z) / M + Fraction(eps))
    Zh = [float(v - mean) / root for v in z]
    db, dg = sum(d) / M, sum(float(v) * h for v, h in zip(delta, Zh, strict=True))
    return Zh, [(float(v - db) - h * dg / M) / root for v, h in zip(d, Zh, strict=True)], dg


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize(
    "numbers",
    [
        [1e7, 1e7 + 1, 1e7 + 1],
        [-1e6, 1 - 1e6, 0.5 - 1e6, 3 - 1e6],
        [1e4, 1e4 + 1, 1e4 + 1],
        [1e20, -1e20],
        [3e38, -3e38, 0, 1e38],
        [16777215, 16777214, 16777214, 16777214, 16777213, 16777212],
    ],
    ids=str,
)
def test_numbers_far_from_0(numbers, backend):
    """The inputs are exact, and so is what a mean in float32 would lose: the budget is a few roundings."""
    x = np.array(numbers, "float32").reshape(1, 1, 1, -1)
    delta = (100 + np.arange(len(numbers)) ** 2).astype("float32").reshape(x.shape)
    one, zero = np.ones(1, "float32"), np.zeros(1, "float32")
    Y, dZ, dg = exact(x.ravel(), delta.ravel(), 1e-5)
    y = cnnx.batch_norm2d(x, one, zero, training=True, backend=backend).ravel()
    assert y.dtype == np.float32
    assert np.allclose(y, Y, rtol=1e-6, atol=0 if 0 not in Y else 1e-7)
    grad_x, grad_weight, grad_bias = cnnx.batch_norm2d_backward(delta, x, one, training=True, backend=backend)
    scale = max(abs(float(v) - float(delta.mean(dtype=float))) for v in delta.ravel()) / np.std(x.astype(float))
    assert np.allclose(grad_x.ravel(), dZ, rtol=0, atol=2e-6 * scale)
    assert abs(grad_weight[0] - dg) <= 1e-6 * float(np.abs(delta).sum())
    assert grad_bias[0] == np.float32(delta.sum(dtype=float))


def test_the_variance_takes_back_what_a_rounded_mean_adds():
    x = (np.random.default_rng(0).integers(-24, 25, 2000) / 8 + 1e15).reshape(2, 1, 40, 25)
    numbers = [Fraction(float(v)) for v in x.ravel()]
    mean = sum(numbers) / 2000
    var = float(sum((v - mean) ** 2 for v in numbers) / 2000)
    one = np.ones(1)
    _, (_, found) = cnnx.batch_norm2d(x, one, one, training=True, return_statistics=True)
    assert abs(float(mean) - np.float64(mean)) < 0.07
    assert np.isclose(found[0], var, rtol=1e-13, atol=0)


@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_running_statistics_in_either_dtype(backend):
    """What float32 holds gives the same bits either way; what it does not hold is heeded."""
    x, delta = (a.astype("float32") for a in images((2, 3, 2, 5), "float32", 3.0))
    g = np.array([1, -2, 0.5], "float32")
    mean, var = np.array([1, 2.5, -3], "float32"), np.array([1, 0.25, 4], "float32")
    given = {"x": x, "weight": g, "backend": backend}
    results = []
    for statistics in (mean, var), (mean.astype(float), var.astype(float)):
        running = dict(zip(("running_mean", "running_var"), statistics, strict=True))
        y = cnnx.batch_norm2d(bias=g, **given, **running)
        gradients = cnnx.batch_norm2d_backward(delta, **given, **running)
        results.append([one.tobytes() for one in (y, *gradients)])
    assert results[0] == results[1]
    far, one = np.full((1, 1, 1, 1), 2**24, "float32"), np.ones(1, "float32")
    y = cnnx.batch_norm2d(far, one, 0 * one, np.array([2.0**24 + 0.5]), np.ones(1), eps=1e-9, backend=backend)
    assert y.item() == -0.5
    with pytest.raises(TypeError, match="running_mean: expected dtype float32, as x has, or float64, got int64"):
        cnnx.batch_norm2d(x, g, g, np.ones(3, int), var)


def test_a_gradient_that_float32_cannot_hold_is_infinite_without_a_warning():
    delta, one = np.full((1, 1, 1, 2), 3e38, "float32"), np.ones(1, "float32")
    _, _, grad_bias = cnnx.batch_norm2d_backward(delta, delta, one, training=True)
    assert grad_bias[0] == np.inf


X = np.ones((2, 3, 2, 2))
CHANNELS = np.ones(3)


@pytest.mark.parametrize(
    ("statistics", "error", "message"),
    [
        ((CHANNELS,), TypeError, r"statistics: expected \(mean, var\) or None, got"),
        ([CHANNELS, CHANNELS], TypeError, r"statistics: expected \(mean, var\) or None, got"),
        ((CHANNELS, None), TypeError, "statistics: expected two arrays"),
        ((CHANNELS, [1, 1, 1]), TypeError, r"statistics\[1\]: expected a NumPy array, got list"),
        ((CHANNELS.astype("float32"), CHANNELS), TypeError, r"statistics\[0\]: expected dtype float64, as x has"),
        ((CHANNELS, np.ones(2)), ValueError, r"statistics\[1\]: expected shape \(3,\)"),
        ((CHANNELS, -CHANNELS), ValueError, r"statistics\[1\]: expected variances of at least 0, got -1"),
    ],
)
def test_statistics_that_do_not_fit(statistics, error, message):
    with pytest.raises(error, match=message):
        cnnx.batch_norm2d_backward(X, X, CHANNELS, training=True, statistics=statistics)


def test_statistics_of_the_batch_belong_to_training():
    with pytest.raises(ValueError, match="return_statistics: expected False at inference"):
        cnnx.batch_norm2d(X, CHANNELS, CHANNELS, CHANNELS, CHANNELS, return_statistics=True)
    with pytest.raises(TypeError, match="return_statistics: expected True or False"):
        cnnx.batch_norm2d(X, CHANNELS, CHANNELS, training=True, return_statistics=1)
    with pytest.raises(ValueError, match="statistics: expected None at inference"):
        cnnx.batch_norm2d_backward(X, X, CHANNELS, CHANNELS, CHANNELS, statistics=(CHANNELS, CHANNELS))
