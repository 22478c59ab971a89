"""group_norm, instance_norm, layer_norm (S1-S4): beside torch, far from 0, and however the work is cut."""

import math

import numpy as np
import pytest

import cnnx

BACKENDS = pytest.mark.parametrize("backend", ["reference", "optimized"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EPS = {"float32": 2.0**-24, "float64": 2.0**-53}

# Calls of each kind whose sums are cut and not cut, along places, units and examples.
IMAGES = [(2, 6, 5, 7), (3, 16, 1, 1), (1, 8, 40, 60), (2, 2, 150, 140), (70, 2, 300), (600, 6), (5, 12, 2)]
IMAGES += [(30, 40, 3, 5)]
ROWS = [
    ((5,), (3,)),
    ((2, 3), (4, 5)),
    ((700,), (33,)),
    ((2,), (20_000,)),
    ((1030,), (16,)),
    ((), (8,)),
    ((3,), (2100,)),
]


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bits(*arrays):
    return tuple(a.tobytes() for a in arrays)


def both(kind, x, delta, *options, weight=None, bias=None, **more):
    """y and the three gradients."""
    y = getattr(cnnx, kind)(x, *options, weight, bias, **more)
    return (y, *getattr(cnnx, f"{kind}_backward")(delta, x, *options, weight, **more))


def by_torch(kind, x, delta, *options, weight, bias):
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    z, w, b = (torch.tensor(a.astype(float), requires_grad=True) for a in (x, weight, bias))
    if kind == "instance_norm":
        y = torch.nn.functional.instance_norm(z, weight=w, bias=b)
    else:
        y = getattr(torch.nn.functional, kind)(z, *options, w, b)
    y.backward(torch.tensor(delta.astype(float)))
    return [t.numpy() for t in (y.detach(), z.grad, w.grad, b.grad)]


def near(got, expected, dtype):
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, dtype)
        np.testing.assert_allclose(
            a, b, rtol=1e-5 if dtype == "float32" else 1e-12, atol=32 * EPS[dtype] * abs(b).max()
        )


@DTYPES
@pytest.mark.parametrize("shape", IMAGES, ids=str)
@pytest.mark.parametrize("groups", [1, 2, None])
def test_images_as_torch_has_them(shape, groups, dtype):
    if math.prod(shape[2:]) == 1 and groups in (None, shape[1]):
        pytest.skip("torch takes no sets of one element")
    kind, options = ("instance_norm", ()) if groups is None else ("group_norm", (groups,))
    if groups is None and len(shape) == 2:
        pytest.skip("instances have places")
    x, delta = normal(shape, dtype, 1), normal(shape, dtype, 2)
    parameters = {"weight": normal(shape[1], dtype, 3), "bias": normal(shape[1], dtype, 4)}
    near(both(kind, x, delta, *options, **parameters), by_torch(kind, x, delta, *options, **parameters), dtype)


@DTYPES
@pytest.mark.parametrize(("rows", "last"), ROWS, ids=str)
def test_rows_as_torch_has_them(rows, last, dtype):
    x, delta = normal(rows + last, dtype, 1), normal(rows + last, dtype, 2)
    parameters = {"weight": normal(last, dtype, 3), "bias": normal(last, dtype, 4)}
    near(both("layer_norm", x, delta, last, **parameters), by_torch("layer_norm", x, delta, last, **parameters), dtype)


@BACKENDS
@DTYPES
def test_far_from_0(dtype, backend):
    """1e7, 1e7 + 1, 1e7 + 1: mean 1e7 + 2/3 and variance 2/9, in float32 too."""
    x = np.array([[1e7, 1e7 + 1, 1e7 + 1]], dtype)
    expected = np.array([[-2 / 3, 1 / 3, 1 / 3]]) / math.sqrt(2 / 9 + 1e-5)
    for y in (
        cnnx.layer_norm(x, 3, backend=backend),
        cnnx.group_norm(x, 1, backend=backend),
        cnnx.instance_norm(x[None], backend=backend)[0],
    ):
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    for offset in (1e5, -1e6, 1e7):
        small = np.random.default_rng(7).integers(-4, 5, (2, 3, 50))
        moved = cnnx.instance_norm((small + offset).astype(dtype), backend=backend)
        np.testing.assert_allclose(
            moved, cnnx.instance_norm(small.astype(dtype), backend=backend), rtol=1e-6, atol=1e-6
        )


@BACKENDS
@DTYPES
def test_sets_that_are_constant_or_of_one_element_become_the_bias(dtype, backend):
    """Zh is 0 and its slope too, but for the gradients of the others' means."""
    x, b = np.full((2, 4, 1), 3.25, dtype), np.array([1, -2, 3, 4], dtype)
    expected = np.broadcast_to(b[:, None], x.shape)
    for groups in (1, 2, 4):
        np.testing.assert_array_equal(cnnx.group_norm(x, groups, None, b, backend=backend), expected)
    np.testing.assert_array_equal(cnnx.layer_norm(x, 1, None, b[:1], backend=backend), np.ones(x.shape))
    grad_x, grad_weight, _ = cnnx.instance_norm_backward(np.ones_like(x), x, backend=backend)
    assert not grad_x.any()
    assert not grad_weight.any()


@DTYPES
@pytest.mark.parametrize("kind", ["group_norm", "instance_norm", "layer_norm"])
@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_a_missing_weight_is_ones_and_a_missing_bias_zeros(kind, dtype, backend):
    x, delta = normal((2, 4, 3), dtype, 1), normal((2, 4, 3), dtype, 2)
    options, shape = {"group_norm": ((2,), 4), "instance_norm": ((), 4), "layer_norm": (((4, 3),), (4, 3))}[kind]
    ones, zeros = np.ones(shape, dtype), np.zeros(shape, dtype)
    given = both(kind, x, delta, *options, weight=ones, bias=zeros, backend=backend)
    assert bits(*both(kind, x, delta, *options, backend=backend)) == bits(*given)
    assert [a.shape for a in given] == [x.shape, x.shape, ones.shape, ones.shape]


@DTYPES
def test_one_family(dtype):
    """Instances are groups of one channel; rows are groups of channels of one place."""
    x, delta, w = normal((3, 5, 7), dtype, 1), normal((3, 5, 7), dtype, 2), normal(5, dtype, 3)
    assert bits(*both("instance_norm", x, delta, weight=w)) == bits(*both("group_norm", x, delta, 5, weight=w))
    rows, wide = x.reshape(15, 7), normal(7, dtype, 4)
    expected = both("group_norm", rows, delta.reshape(15, 7), 1, weight=wide)
    assert bits(*both("layer_norm", x, delta, 7, weight=wide)) == bits(*expected)


@DTYPES
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_threads_and_batches_change_no_bits(shape, dtype, each_threads):
    x, delta, w = normal(shape, dtype, 1), normal(shape, dtype, 2), normal(shape[1], dtype, 3)
    whole = both("group_norm", x, delta, 2, weight=w)
    for _ in each_threads(1, 2, 3, 7):
        assert bits(*both("group_norm", x, delta, 2, weight=w)) == bits(*whole)
    for images in (slice(0, 1), slice(1, None), slice(1, 9)):
        y, grad_x, *_ = both("group_norm", x[images], delta[images], 2, weight=w)
        assert bits(y, grad_x) == bits(whole[0][images], whole[1][images])


@DTYPES
@pytest.mark.parametrize(("rows", "last"), ROWS, ids=str)
def test_threads_and_rows_change_no_bits(rows, last, dtype, each_threads):
    x, delta, w = normal(rows + last, dtype, 1), normal(rows + last, dtype, 2), normal(last, dtype, 3)
    whole = both("layer_norm", x, delta, last, weight=w)
    for _ in each_threads(1, 2, 5):
        assert bits(*both("layer_norm", x, delta, last, weight=w)) == bits(*whole)
    if rows:
        y, grad_x, *_ = both("layer_norm", x[1:], delta[1:], last, weight=w)
        assert bits(y, grad_x) == bits(whole[0][1:], whole[1][1:])


@BACKENDS
@pytest.mark.parametrize("kind", ["group_norm", "instance_norm", "layer_norm"])
def test_statistics_that_are_returned_and_given_back(kind, backend):
    x, delta = normal((2, 4, 3, 2), "float32", 1), normal((2, 4, 3, 2), "float32", 2)
    options, axes = {
        "group_norm": ((2,), (2, 3, 4)),
        "instance_norm": ((), (2, 3)),
        "layer_norm": (((3, 2),), (2, 3)),
    }[kind]
    forward, backward = getattr(cnnx, kind), getattr(cnnx, f"{kind}_backward")
    y, (mean, var) = forward(x, *options, return_statistics=True, backend=backend)
    assert bits(y) == bits(forward(x, *options, backend=backend))
    seen = x.astype(float).reshape((2, 2, 2, 3, 2) if kind == "group_norm" else x.shape)
    for got, expected in ((mean, seen.mean(axis=axes)), (var, seen.var(axis=axes))):
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    given = backward(delta, x, *options, statistics=(mean, var), backend=backend)
    assert bits(*given) == bits(*backward(delta, x, *options, backend=backend))
    moved = backward(delta, x, *options, statistics=(mean, var + 1), backend=backend)
    assert bits(*moved) != bits(*given)  # they are used


@pytest.mark.parametrize(
    ("statistics", "error", "message"),
    [
        ([1, 2], TypeError, r"statistics: expected \(mean, var\) or None, got"),
        ((np.zeros((2, 3)),), TypeError, "statistics: expected"),
        ((np.zeros((2, 3)), None), TypeError, r"statistics\[1\]: expected a NumPy array, got NoneType"),
        (
            (np.zeros((2, 3), "float32"), np.ones((2, 3))),
            TypeError,
            r"statistics\[0\]: expected dtype float64, .* float32",
        ),
        ((np.zeros(3), np.ones((2, 3))), ValueError, r"statistics\[0\]: expected shape \(2, 3\) .* got \(3,\)"),
        (
            (np.zeros((2, 3)), -np.ones((2, 3))),
            ValueError,
            r"statistics\[1\]: expected variances of at least 0, got -1",
        ),
    ],
)
def test_statistics_that_are_none(statistics, error, message):
    x = np.ones((2, 3, 4))
    with pytest.raises(error, match=message):
        cnnx.instance_norm_backward(x, x, statistics=statistics)


@BACKENDS
@DTYPES
def test_nan_and_infinity_stay_within_their_set(backend, dtype):
    for number in (math.nan, math.inf):
        x = normal((2, 4, 3), dtype, 1)
        x[0, 1, 2] = number
        y = cnnx.group_norm(x, 2, backend=backend)
        grad_x = cnnx.group_norm_backward(np.ones_like(x), x, 2, backend=backend)[0]
        for a in (y, grad_x):
            assert np.isnan(a[0, :2]).all()
            assert np.isfinite(a[0, 2:]).all()
            assert np.isfinite(a[1]).all()


@DTYPES
@pytest.mark.parametrize("eps", [1e-100, 1e-40, 1e30])
def test_factors_that_a_float_does_not_hold(eps, dtype):
    """The kernels go on in double where a factor has no float, as of a constant set with an eps of 1e-100."""
    x, delta = np.full((1, 2, 40), 0.5, dtype), normal((1, 2, 40), dtype, 2)
    x[0, 1] = normal(40, dtype, 3)
    for backend in ("reference", "optimized"):
        y, grad_x, _, _ = both("instance_norm", x, delta, eps=eps, backend=backend)
        assert not y[0, 0].any()
        expected = (delta[0, 0].astype(float) - delta[0, 0].astype(float).mean()) / math.sqrt(eps)
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(grad_x[0, 0], expected.astype(dtype), rtol=1e-4, atol=abs(expected).max() * 1e-6)
