"""concat and its gradient: copies, so that all results are exact; and what is refused."""

import numpy as np
import pytest

import cnnx

DTYPES = ("float32", "float64")
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@both_dtypes
def test_by_hand(dtype):
    """Two channels and one, of two images of one row."""
    a = np.array([[[[1, 2]], [[3, 4]]], [[[5, 6]], [[7, 8]]]], dtype)
    b = np.array([[[[10, 20]]], [[[30, 40]]]], dtype)
    y = cnnx.concat([a, b])
    assert y.tolist() == [[[[1, 2]], [[3, 4]], [[10, 20]]], [[[5, 6]], [[7, 8]], [[30, 40]]]]
    assert y.dtype == dtype
    grad_a, grad_b = cnnx.concat_backward(-y, (a, b))
    assert grad_a.tolist() == (-a).tolist()
    assert grad_b.tolist() == (-b).tolist()
    assert cnnx.concat([b, a])[:, 0].tolist() == [[[10, 20]], [[30, 40]]]


@both_dtypes
@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(3,), (4,), (1,)], 0),
        ([(2, 3), (2, 5)], 1),
        ([(2, 3), (2, 5)], -1),
        ([(1, 3), (4, 3), (2, 3)], 0),
        ([(1, 3), (4, 3)], -2),
        ([(2, 3, 4, 5)], 1),
        ([(2, 3, 4, 5), (2, 1, 4, 5), (2, 0, 4, 5)], 1),
        ([(2, 3, 4, 5), (2, 3, 4, 2)], 3),
        ([(0, 3), (0, 2)], 1),
        ([(2, 1)] * 12, 1),
    ],
    ids=str,
)
def test_every_axis(shapes, axis, dtype):
    """Places are numpy.concatenate's; the gradient is the adjoint, to the last bit."""
    rng = np.random.default_rng(41)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    y = cnnx.concat(arrays, axis)
    np.testing.assert_array_equal(y, np.concatenate(arrays, axis))
    assert y.flags.c_contiguous
    assert y.dtype == dtype
    delta = rng.standard_normal(y.shape).astype(dtype)
    gradients = cnnx.concat_backward(delta, arrays, axis)
    assert type(gradients) is tuple
    assert [g.shape for g in gradients] == shapes
    assert all(g.flags.c_contiguous and g.dtype == dtype for g in gradients)
    assert np.concatenate(gradients, axis).tobytes() == delta.tobytes()
    for result in (y, *gradients):
        assert not any(np.shares_memory(result, a) for a in (*arrays, delta))


@both_dtypes
def test_any_layout_gives_the_same_bits(dtype):
    rng = np.random.default_rng(42)
    plain = [rng.standard_normal((2, 3, 4)).astype(dtype) for _ in range(2)]
    delta = rng.standard_normal((2, 6, 4)).astype(dtype)
    for change in (
        np.asfortranarray,
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: a[::-1].copy()[::-1],
    ):
        changed = [change(a) for a in plain]
        for a in changed:
            a.flags.writeable = False
        y = cnnx.concat(changed)
        assert y.dtype.isnative
        assert y.tobytes() == cnnx.concat(plain).tobytes()
        for g, expected in zip(
            cnnx.concat_backward(change(delta), changed), cnnx.concat_backward(delta, plain), strict=True
        ):
            assert g.dtype.isnative
            assert g.tobytes() == expected.tobytes()


def test_nan_and_infinities_pass():
    a, b = np.array([[np.nan, -0.0]]), np.array([[np.inf]])
    y = cnnx.concat([a, b])
    np.testing.assert_array_equal(y, [[np.nan, 0, np.inf]])
    assert np.signbit(y[0, 1])


def test_torch_agrees():
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    rng = np.random.default_rng(43)
    arrays = [rng.standard_normal((2, n, 3, 3)).astype("float32") for n in (1, 4, 2)]
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    joined = torch.cat(tensors, 1)
    y = cnnx.concat(arrays)
    assert y.tobytes() == joined.detach().numpy().tobytes()
    delta = rng.standard_normal(y.shape).astype("float32")
    joined.backward(torch.from_numpy(delta))
    for gradient, tensor in zip(cnnx.concat_backward(delta, arrays), tensors, strict=True):
        assert gradient.tobytes() == tensor.grad.numpy().tobytes()


ROW = np.zeros((1, 2))
REFUSED = [
    (ROW, 1, TypeError, "arrays: expected a list or tuple of arrays, got ndarray"),
    (None, 1, TypeError, "arrays: expected a list or tuple of arrays, got NoneType"),
    ((a for a in (ROW, ROW)), 1, TypeError, "arrays: expected a list or tuple of arrays, got generator"),
    ([], 1, ValueError, "arrays: expected at least one array, got none"),
    ([ROW, [1.0]], 1, TypeError, r"arrays\[1\]: expected a NumPy array, got list"),
    ([ROW, None], 1, TypeError, r"arrays\[1\]: expected a NumPy array, got NoneType"),
    ([ROW.astype(int)], 1, TypeError, r"arrays\[0\]: expected dtype float32 or float64, got int64"),
    ([ROW, ROW.astype("f4")], 1, TypeError, r"arrays\[1\]: expected dtype float64, as arrays\[0\] has, got float32"),
    ([ROW, np.zeros((2, 2))], 1, ValueError, r"arrays\[1\]: expected shape \(1, 2\), .* along axis 1, got \(2, 2\)"),
    ([ROW, np.zeros(2)], 1, ValueError, r"arrays\[1\]: expected shape \(1, 2\), .* got \(2,\)"),
    ([ROW, ROW], 2, ValueError, r"axis: expected an axis from -2 to 1 of shape \(1, 2\), got 2"),
    ([ROW, ROW], -3, ValueError, r"axis: expected an axis from -2 to 1 of shape \(1, 2\), got -3"),
    ([np.zeros(()), np.zeros(())], 0, ValueError, r"arrays\[0\]: expected at least one axis, got an array of no axes"),
    ([ROW, ROW], True, TypeError, "axis: expected an integer, got bool"),
    ([ROW, ROW], 1.0, TypeError, "axis: expected an integer, got float"),
    ([ROW, ROW], 2**40, ValueError, "axis: expected an integer"),
]


@pytest.mark.parametrize(("arrays", "axis", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(arrays, axis, error, message):
    with pytest.raises(error, match=f"^{message}"):
        cnnx.concat(arrays, axis)
    with pytest.raises(error, match=f"^{message}" if not hasattr(arrays, "gi_frame") else "^arrays: expected"):
        cnnx.concat_backward(ROW, arrays, axis)


@pytest.mark.parametrize(
    ("grad_output", "error", "message"),
    [
        (np.zeros((1, 3)), ValueError, r"grad_output: expected shape \(1, 4\) \(the output's\), got \(1, 3\)"),
        (np.zeros((1, 4), "f4"), TypeError, r"grad_output: expected dtype float64, as arrays\[0\] has, got float32"),
        (np.zeros((1, 4), int), TypeError, "grad_output: expected dtype float32 or float64, got int64"),
        ([[0.0] * 4], TypeError, "grad_output: expected a NumPy array, got list"),
        (None, TypeError, "grad_output: expected a NumPy array, got NoneType"),
    ],
)
def test_gradients_that_do_not_fit_are_refused(grad_output, error, message):
    with pytest.raises(error, match=f"^{message}"):
        cnnx.concat_backward(grad_output, [ROW, ROW])
