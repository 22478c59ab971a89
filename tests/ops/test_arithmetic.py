"""add and multiply (J1, J2): NumPy's broadcasting, and sums over what was repeated, in every way that they are cut."""

import numpy as np
import pytest

import cnnx

OPERATIONS = [(cnnx.add, cnnx.add_backward, np.add), (cnnx.multiply, cnnx.multiply_backward, np.multiply)]
every_operation = pytest.mark.parametrize(("forward", "backward", "of_numpy"), OPERATIONS, ids=["add", "multiply"])


def whole(rng, shape, dtype):
    """Small integers, of whose products all sums are exact."""
    return rng.integers(-3, 4, shape).astype(dtype)


def summed(terms, shape):
    """Terms added up over the axes along which an array of `shape` was repeated."""
    terms = terms.sum(axis=tuple(range(terms.ndim - len(shape))))
    return terms.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)


def check(rng, shapes, dtype, forward, backward, of_numpy):
    a, b = (whole(rng, shape, dtype) for shape in shapes)
    y = forward(a, b)
    expected = of_numpy(a, b)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(y, expected)
    delta = whole(rng, y.shape, dtype)
    grad_a, grad_b = backward(delta, a, b)
    terms = (delta, delta) if forward is cnnx.add else (delta * b, delta * a)
    for got, term, operand in zip((grad_a, grad_b), terms, (a, b), strict=True):
        assert (got.shape, got.dtype) == (operand.shape, operand.dtype)
        np.testing.assert_array_equal(got, summed(term.astype(float), operand.shape))


@every_operation
def test_shapes_of_every_kind(forward, backward, of_numpy):
    """Up to six axes, each repeated in one operand or the other, or in neither, or of one element in both."""
    rng = np.random.default_rng(31)
    for _ in range(150):
        rank = int(rng.integers(0, 7))
        y = rng.choice([1, 1, 2, 3], rank)
        operands = (np.where(rng.random(rank) < 0.3, 1, y) for _ in range(2))
        shapes = [tuple(n.tolist())[int(rng.integers(0, rank + 1)) * (rng.random() < 0.3) :] for n in operands]
        check(rng, shapes, "float32", forward, backward, of_numpy)


@every_operation
@pytest.mark.parametrize(
    "shapes",
    [
        ((2,) * 9, (2,) * 9),
        ((2,) * 9, (1, 2, 2)),
        ((2, 2, 1, 1, 1, 3, 3, 2, 1, 1), (1, 1, 2, 2, 1, 3, 3, 1, 2, 2)),
        ((1,) * 11, (1,) * 7),
    ],
    ids=str,
)
def test_more_axes_than_kernels_have(shapes, forward, backward, of_numpy):
    check(np.random.default_rng(35), shapes, "float64", forward, backward, of_numpy)


@every_operation
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3, 70, 120), (3, 1, 1)),  # runs of 8400 terms, two to a part
        ((1, 2, 200, 200), (2, 1, 1)),  # of 40,000: three pieces
        ((50_000,), (1,)),
        ((3, 20_000), (3, 1)),
        ((700, 300), (300,)),  # rows of more columns than are summed at once, of more terms than one part has
        ((600, 1, 3), (1, 5, 3)),
        ((9000, 2), (1, 2)),
        ((3, 1, 257, 1, 3), (1, 2, 1, 300, 1)),
    ],
    ids=str,
)
def test_sums_that_are_cut(shapes, dtype, forward, backward, of_numpy):
    check(np.random.default_rng(32), shapes, dtype, forward, backward, of_numpy)
    check(np.random.default_rng(33), shapes[::-1], dtype, forward, backward, of_numpy)


@every_operation
def test_any_number_of_threads_gives_the_same_bits(forward, backward, of_numpy, each_threads):
    rng = np.random.default_rng(34)
    for shapes in ((4, 3, 90, 120), (3, 1, 1)), ((5000, 70), (70,)), ((300_000,), ()):
        a, b = (rng.standard_normal(shape).astype("float32") for shape in shapes)
        delta = rng.standard_normal(shapes[0]).astype("float32")
        found = set()
        for _ in each_threads(1, 2, 3, 5):
            arrays = forward(a, b), *backward(delta, a, b)
            found.add(tuple(array.tobytes() for array in arrays))
        assert len(found) == 1


def test_operands_may_be_one_array():
    x = np.array([1.0, -2.0, 3.0])
    assert cnnx.multiply(x, x).tolist() == [1, 4, 9]
    grad_a, grad_b = cnnx.multiply_backward(np.ones(3), x, x)
    assert grad_a.tolist() == grad_b.tolist() == [1, -2, 3]
    assert not np.shares_memory(grad_a, grad_b)


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_no_terms_are_zero_and_infinities_are_as_arithmetic_has_them(backend, dtype):
    """J1 and J2 of empty arrays; inf - inf and 0 inf are NaN."""
    empty, row = np.zeros((0, 2), dtype), np.array([np.inf, -np.inf], dtype)
    assert cnnx.add(empty, row, backend=backend).shape == (0, 2)
    for backward in cnnx.add_backward, cnnx.multiply_backward:
        assert backward(empty, empty, row, backend=backend)[1].tolist() == [0, 0]
    assert np.isnan(cnnx.add(row, -row, backend=backend)).all()
    assert np.isnan(cnnx.multiply(row, np.zeros(1, dtype), backend=backend)).all()
    assert np.isnan(cnnx.add_backward(row, row, np.ones((), dtype), backend=backend)[1])
