"""global_avg_pool2d and global_max_pool2d: P1-P3 with the image as the window; against PyTorch, and ties."""

import numpy as np
import pytest

import cnnx
from cnnx import nn

SHAPES = [(2, 3, 7, 7), (1, 5, 1, 90), (3, 2, 33, 2), (2, 4, 56, 56)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_torch_computes_the_same(shape, dtype):
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    rng = np.random.default_rng(51)
    x = rng.permutation(np.prod(shape)).reshape(shape).astype(dtype)  # no ties
    delta = rng.integers(-3, 4, (*shape[:2], 1, 1)).astype(dtype)
    for name, of_torch in ("avg", torch.nn.functional.adaptive_avg_pool2d), ("max", torch.amax):
        given = torch.tensor(x, requires_grad=True)
        expected = of_torch(given, 1) if name == "avg" else of_torch(given, (2, 3), keepdim=True)
        expected.backward(torch.tensor(delta))
        y = getattr(cnnx, f"global_{name}_pool2d")(x)
        grad_x = getattr(cnnx, f"global_{name}_pool2d_backward")(delta, x)
        assert (y.shape, y.dtype, grad_x.dtype) == ((*shape[:2], 1, 1), x.dtype, x.dtype)
        rtol = 0 if name == "max" else 1e-6
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=rtol)
        np.testing.assert_allclose(grad_x, given.grad.numpy(), rtol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pixels", [255, 256, 257, 263, 264, 319, 320, 383, 384, 1031])
def test_the_first_maximum_of_many_receives_the_gradient(pixels, dtype):
    """Once or twice in a map, or a NaN: about where vectors, and several side by side, begin and end."""
    rng = np.random.default_rng(pixels)
    x = rng.integers(-9, 3, (2, 40, 1, pixels)).astype(dtype)
    flat = x.reshape(80, pixels)
    flat[np.arange(80), rng.integers(0, pixels, 80)] = 7
    flat[np.arange(40), rng.integers(0, pixels, 40)] = 7
    flat[np.arange(10), rng.integers(0, pixels, 10)] = np.nan
    flat[40], flat[41, -1], flat[42, 0] = 7, 8, 8
    delta = rng.integers(1, 9, (2, 40, 1, 1)).astype(dtype)
    expected = np.zeros_like(flat)
    expected[np.arange(80), flat.argmax(axis=1)] = delta.ravel()  # of NumPy's maxima a NaN is the largest, too
    np.testing.assert_array_equal(cnnx.global_max_pool2d_backward(delta, x), expected.reshape(x.shape))


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ties_nan_and_large_numbers(backend, dtype):
    most = np.finfo("float32").max
    x = np.array([[[[2, 5, 5]], [[-1, np.nan, 3]], [[most, most, most]]]], dtype)
    y = cnnx.global_max_pool2d(x, backend=backend)
    np.testing.assert_array_equal(y.ravel(), np.array([5, np.nan, most], dtype))
    grad_x = cnnx.global_max_pool2d_backward(np.ones_like(y), x, backend=backend)
    assert grad_x.tolist() == [[[[0, 1, 0]], [[0, 1, 0]], [[1, 0, 0]]]]
    means = cnnx.global_avg_pool2d(x, backend=backend).ravel()
    assert means[0] == 4
    assert np.isnan(means[1])
    assert means[2] == most


@pytest.mark.parametrize("backend", ["reference", "optimized"])
def test_winners_are_offsets_in_the_map(backend):
    x = np.array([[[[2, 5, 1], [5, 0, 5]], [[-1, 0, np.nan], [np.nan, 9, 3]]]], "float32")
    y, winners = cnnx.global_max_pool2d(x, return_winners=True, backend=backend)
    np.testing.assert_array_equal(y.ravel(), [5, np.nan])
    assert (winners.dtype, winners.shape, winners.ravel().tolist()) == (np.dtype("int32"), (1, 2, 1, 1), [1, 2])
    delta = np.array([[[[3]], [[4]]]], "float32")
    other = np.zeros_like(x)  # of x the shape is read
    grad_x = cnnx.global_max_pool2d_backward(delta, other, winners=winners, backend=backend)
    assert grad_x.tolist() == [[[[0, 3, 0], [0, 0, 0]], [[0, 0, 4], [0, 0, 0]]]]


def test_winners_that_are_none():
    x, delta = np.zeros((1, 2, 3, 4)), np.ones((1, 2, 1, 1))
    for winners, error, words in (
        (np.full((1, 2, 1, 1), 12, "int32"), ValueError, "winners: expected offsets of pixels in their 3 x 4 windows"),
        (np.full((1, 2, 1, 1), -1, "int32"), ValueError, "winners: expected offsets"),
        (np.zeros((1, 2, 1, 1)), TypeError, "winners: expected dtype int32, got float64"),
        (np.zeros((1, 2), "int32"), ValueError, "winners: expected shape"),
    ):
        with pytest.raises(error, match=f"^{words}"):
            cnnx.global_max_pool2d_backward(delta, x, winners=winners)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("size", "window"), [((4, 4), 4), ((7, 7), 7), ((14, 14), 7), ((31, 62), 31), ((23, 40), (23, 9))]
)
def test_sums_of_whole_images_and_of_windows_side_by_side(size, window, dtype):
    """Of integers every sum is exact, whatever its order."""
    rng = np.random.default_rng(3)
    x = rng.integers(-99, 100, (3, 7, *size)).astype(dtype)
    R, S = (window, window) if isinstance(window, int) else window
    P, Q = size[0] // R, size[1] // S
    windows = x[:, :, : P * R, : Q * S].reshape(3, 7, P, R, Q, S)
    expected = (windows.astype(float).sum(axis=(3, 5)) / (R * S)).astype(dtype)
    np.testing.assert_array_equal(cnnx.avg_pool2d(x, window), expected)
    if (P, Q) == (1, 1) and size == (R, S):
        np.testing.assert_array_equal(cnnx.global_avg_pool2d(x), expected)


@pytest.mark.parametrize("layer", [nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d()], ids=repr)
def test_layers_say_what_is_wrong_with_an_image(layer):
    with pytest.raises(ValueError, match=r"^x: expected 4 axes"):
        layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^x: expected at least one element along W"):
        layer.forward(np.ones((1, 2, 3, 0)))
    assert layer.forward(np.ones((0, 2, 3, 3))).shape == (0, 2, 1, 1)
