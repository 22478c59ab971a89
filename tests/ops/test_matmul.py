"""matmul (J3-J5): stacks by NumPy's rules, in every way that members are walked and shared among threads."""

import numpy as np
import pytest

import cnnx


def whole(rng, shape, dtype):
    """Small integers, of whose products all sums are exact."""
    return rng.integers(-3, 4, shape).astype(dtype)


def summed(terms, shape):
    """Terms added up over the axes along which an array of `shape` was repeated."""
    terms = terms.sum(axis=tuple(range(terms.ndim - len(shape))))
    return terms.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)


def check(rng, shapes, dtype="float32", backend=None):
    a, b = (whole(rng, shape, dtype) for shape in shapes)
    y = cnnx.matmul(a, b, backend=backend)
    expected = np.einsum("...ik,...kj->...ij", a.astype(int), b.astype(int))
    assert (y.shape, y.dtype) == (expected.shape, a.dtype)
    np.testing.assert_array_equal(y, expected)
    delta = whole(rng, y.shape, dtype)
    found = cnnx.matmul_backward(delta, a, b, backend=backend)
    terms = (
        np.einsum("...ij,...kj->...ik", delta.astype(int), b.astype(int)),
        np.einsum("...ik,...ij->...kj", a.astype(int), delta.astype(int)),
    )
    for got, term, operand in zip(found, terms, (a, b), strict=True):
        assert (got.shape, got.dtype) == (operand.shape, operand.dtype)
        np.testing.assert_array_equal(got, summed(term, operand.shape))


@pytest.mark.parametrize(("backend", "count"), [("reference", 25), ("optimized", 250)])
def test_stacks_of_every_kind(backend, count):
    """Up to four axes before the matrices' two, each repeated in one operand or the other, in neither or both."""
    rng = np.random.default_rng(41)
    for _ in range(count):
        rank = int(rng.integers(0, 5))
        stack = rng.choice([1, 1, 2, 3], rank)
        operands = (np.where(rng.random(rank) < 0.3, 1, stack) for _ in range(2))
        a, b = (tuple(n.tolist())[int(rng.integers(0, rank + 1)) * (rng.random() < 0.3) :] for n in operands)
        rows, terms, columns = (int(n) for n in rng.integers(1, 5 if backend == "reference" else 40, 3))
        check(rng, ((*a, rows, terms), (*b, terms, columns)), backend=backend)


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 1, 2, 1, 2, 3, 2), (1, 2, 1, 2, 1, 2, 3)),  # five runs, of which the last one is rows of one matrix
        ((2,) * 7 + (3, 4), (2,) * 7 + (4, 5)),
        ((1,) * 9 + (3, 4), (4, 5)),
    ],
    ids=str,
)
def test_more_axes_than_kernels_have(shapes):
    check(np.random.default_rng(42), shapes, "float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((3, 70, 300), (3, 300, 80)),  # terms in several blocks, rows and columns in several panels
        ((2, 1, 40, 150), (3, 150, 130)),  # either gradient a sum over members
        ((5, 3, 3), (1, 3, 400)),
        ((1, 1200, 9), (3, 9, 5)),  # rows to be shared among threads
        ((3, 9, 5), (3, 5, 1200)),  # columns
        ((1, 5, 2), (700, 2, 3)),
    ],
    ids=str,
)
def test_sums_that_are_cut(shapes, dtype):
    check(np.random.default_rng(43), shapes, dtype)


def test_terms_too_many_for_one_copy():
    check(np.random.default_rng(44), ((2, 3, 2), (2, 2, 150_000)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(dtype, each_threads):
    rng = np.random.default_rng(45)
    for shapes in (
        ((3, 90, 200), (3, 200, 70)),
        ((1, 1500, 40), (3, 40, 17)),
        ((2, 1, 60, 70), (5, 70, 180)),
        ((33, 60, 50), (33, 50, 40)),
        ((700, 100), (100, 40)),
    ):
        a, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
        delta = rng.standard_normal(np.matmul(a, b).shape).astype(dtype)
        found = set()
        for _ in each_threads(1, 2, 3, 5):
            arrays = cnnx.matmul(a, b), *cnnx.matmul_backward(delta, a, b)
            found.add(tuple(array.tobytes() for array in arrays))
        assert len(found) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_member_and_a_row_have_the_same_bits_alone(dtype):
    rng = np.random.default_rng(46)
    a, b = rng.standard_normal((5, 37, 150)).astype(dtype), rng.standard_normal((5, 150, 70)).astype(dtype)
    delta = rng.standard_normal((5, 37, 70)).astype(dtype)
    y, (grad_a, grad_b) = cnnx.matmul(a, b), cnnx.matmul_backward(delta, a, b)
    for k in range(5):
        np.testing.assert_array_equal(cnnx.matmul(a[k], b[k]), y[k])
        alone = cnnx.matmul_backward(delta[k], a[k], b[k])
        np.testing.assert_array_equal(alone[0], grad_a[k])
        np.testing.assert_array_equal(alone[1], grad_b[k])
    for rows in (slice(0, 1), slice(3, 5), slice(8, 37)):
        np.testing.assert_array_equal(cnnx.matmul(a[:, rows], b), y[:, rows])
        np.testing.assert_array_equal(cnnx.matmul_backward(delta[:, rows], a[:, rows], b)[0], grad_a[:, rows])
    for columns in (slice(0, 1), slice(3, 5), slice(8, 70)):
        np.testing.assert_array_equal(cnnx.matmul(a, b[:, :, columns]), y[:, :, columns])


def test_one_matrix_for_all_is_the_same_however_the_rows_are_stacked():
    rng = np.random.default_rng(47)
    a, b = rng.standard_normal((3, 4, 5, 60), "float32"), rng.standard_normal((60, 30), "float32")
    delta = rng.standard_normal((3, 4, 5, 30), "float32")
    rows = a.reshape(60, 60), delta.reshape(60, 30)
    np.testing.assert_array_equal(cnnx.matmul(a, b).reshape(60, 30), cnnx.matmul(rows[0], b))
    (grad_a, grad_b), (of_rows, of_b) = cnnx.matmul_backward(delta, a, b), cnnx.matmul_backward(rows[1], rows[0], b)
    np.testing.assert_array_equal(grad_a.reshape(60, 60), of_rows)
    np.testing.assert_array_equal(grad_b, of_b)


def test_operands_may_be_one_array():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert cnnx.matmul(x, x).tolist() == [[7, 10], [15, 22]]
    grad_a, grad_b = cnnx.matmul_backward(np.eye(2), x, x)
    assert grad_a.tolist() == grad_b.tolist() == [[1, 3], [2, 4]]
    assert not np.shares_memory(grad_a, grad_b)


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_of_no_terms_are_zero_and_nan_stays_in_its_row(backend, dtype):
    def zeros(*shape):
        return np.zeros(shape, dtype)

    on = dict(backend=backend)
    assert cnnx.matmul(zeros(2, 0), zeros(0, 3), **on).tolist() == [[0] * 3] * 2
    assert cnnx.matmul(zeros(0, 2, 3), zeros(3, 4), **on).shape == (0, 2, 4)
    assert cnnx.matmul_backward(zeros(0, 2, 4), zeros(0, 2, 3), zeros(3, 4), **on)[1].tolist() == [[0] * 4] * 3
    assert cnnx.matmul_backward(zeros(0, 2, 4), zeros(2, 3), zeros(0, 3, 4), **on)[0].tolist() == [[0] * 3] * 2
    assert cnnx.matmul_backward(zeros(2, 0), zeros(2, 3), zeros(3, 0), **on)[0].tolist() == [[0] * 3] * 2
    assert cnnx.matmul_backward(zeros(0, 4), zeros(0, 3), zeros(3, 4), **on)[1].tolist() == [[0] * 4] * 3
    a, b = np.array([[np.nan, 0], [1, np.inf]], dtype), np.array([[1, 0], [0, 1]], dtype)
    assert np.isnan(cnnx.matmul(a, b, **on)).tolist() == [[True, True], [True, False]]  # inf 0 is NaN
