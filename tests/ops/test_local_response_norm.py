"""local_response_norm (N6, N7): its windows, beside other libraries', and every way to cut the work."""

import math

import numpy as np
import pytest

import cnnx

BACKENDS = pytest.mark.parametrize("backend", ["reference", "optimized"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EPS = {"float32": 2.0**-24, "float64": 2.0**-53}
NUMBERS = {"alpha": 2.0, "beta": 0.75, "k": 1.5}


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bits(*arrays):
    return tuple(a.tobytes() for a in arrays)


@BACKENDS
@pytest.mark.parametrize(
    ("size", "seen"),
    [
        (1, ["0", "1", "2", "3", "4"]),
        (2, ["01", "12", "23", "34", "4"]),
        (3, ["01", "012", "123", "234", "34"]),
        (4, ["012", "0123", "1234", "234", "34"]),
        (9, ["01234"] * 5),
        (2**31 - 1, ["01234"] * 5),
    ],
)
def test_windows(size, seen, backend):
    """As ONNX has them: from c - floor((size - 1) / 2) to c + ceil((size - 1) / 2)."""
    alone = np.eye(5) + 1e-3
    y = cnnx.local_response_norm(alone, size, alpha=float(size), beta=1.0, backend=backend)
    below = y < 0.9 * alone  # row i: which outputs have seen channel i
    assert ["".join(str(i) for i in range(5) if below[i, c]) for c in range(5)] == seen


@DTYPES
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 30])
def test_torch_has_the_same_for_an_odd_size_and_the_mirror_image_for_an_even_one(size, dtype):
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    x, delta = normal((2, 11, 3, 50), dtype, 1), normal((2, 11, 3, 50), dtype, 2)
    order = slice(None, None, -1 if size % 2 == 0 else 1)
    z = torch.tensor(x[:, order].copy(), requires_grad=True)
    expected = torch.nn.functional.local_response_norm(z, size, **NUMBERS)
    expected.backward(torch.tensor(delta[:, order].copy()))
    y, grad_x = (
        cnnx.local_response_norm(x, size, **NUMBERS),
        cnnx.local_response_norm_backward(delta, x, size, **NUMBERS),
    )
    np.testing.assert_allclose(y[:, order], expected.detach().numpy(), rtol=16 * EPS[dtype])
    np.testing.assert_allclose(grad_x[:, order], z.grad.numpy(), rtol=16 * EPS[dtype], atol=64 * EPS[dtype])


@pytest.mark.parametrize("size", [1, 3, 5, 31])
def test_onnxruntime_has_the_same(size):
    """Not to the last bits: it moves one sum from channel to channel, which cancels."""
    onnx = pytest.importorskip("onnx", reason="onnxruntime's models are made with onnx")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is a peer, not among the extras for tests")
    x, number = normal((2, 11, 3, 5), "float32", 3), onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("LRN", ["x"], ["y"], size=size, alpha=2.0, beta=0.75, bias=1.5)
    ends = [onnx.helper.make_tensor_value_info(name, number, x.shape) for name in "xy"]
    graph = onnx.helper.make_graph([node], "LRN", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(cnnx.local_response_norm(x, size, **NUMBERS), expected, rtol=1e-4)


@DTYPES
@pytest.mark.parametrize("shape", [(3, 6, 700), (5, 40, 7), (1, 3, 129), (4, 70), (1, 1, 128)], ids=str)
@pytest.mark.parametrize("size", [2, 5, 64])
def test_columns_images_and_threads_change_no_bits(shape, size, dtype, each_threads):
    x, delta = normal(shape, dtype, 4), normal(shape, dtype, 5)

    def both(columns=slice(None), images=slice(None)):
        z, d = (np.ascontiguousarray(a.reshape(*shape[:2], -1)[images, :, columns]) for a in (x, delta))
        return cnnx.local_response_norm(z, size), cnnx.local_response_norm_backward(d, z, size)

    y, grad_x = both()
    for _ in each_threads(1, 2, 3, 7):
        assert bits(*both()) == bits(y, grad_x)
    for n in range(shape[0]):
        assert bits(*both(images=slice(n, n + 1))) == bits(y[n], grad_x[n])
    for columns in (slice(0, 1), slice(1, None), slice(5, 90)):
        assert bits(*both(columns)) == bits(*(np.ascontiguousarray(a[:, :, columns]) for a in (y, grad_x)))


@BACKENDS
@DTYPES
def test_nan_and_infinity_stay_within_the_windows_that_hold_them(backend, dtype):
    x = np.ones((1, 7), dtype)
    for number in (math.nan, math.inf):
        x[0, 3] = number
        y = cnnx.local_response_norm(x, 3, backend=backend)
        grad_x = cnnx.local_response_norm_backward(np.ones_like(x), x, 3, backend=backend)
        expected = [math.nan] * 3 if math.isnan(number) else [0, math.nan, 0]
        np.testing.assert_array_equal(y[0, 2:5], np.array(expected, dtype))
        assert np.isfinite(y[0, [0, 1, 5, 6]]).all()
        assert np.isfinite(grad_x[0, [0, 6]]).all()


@BACKENDS
def test_squares_that_leave_the_range_of_a_double(backend):
    """S is infinite, Y is 0, as documented; float32's squares never do."""
    y = cnnx.local_response_norm(np.array([[1e200, 1.0, 1.0]]), 3, backend=backend)
    np.testing.assert_array_equal(y[0, :2], [0, 0])
    large = np.full((1, 1), 3e38, np.float32)
    y = cnnx.local_response_norm(large, 1, alpha=1.0, beta=0.5, backend=backend)
    np.testing.assert_array_equal(y, np.ones((1, 1), np.float32))


@DTYPES
def test_size_one_is_a_function_of_each_element(dtype):
    """z / sqrt(1 + z^2), whose derivative is (1 + z^2)^(-3/2)."""
    z = normal((3, 4, 5), dtype, 6)
    options = {"alpha": 1.0, "beta": 0.5}
    exact = z.astype(float)
    y, grad_x = (
        cnnx.local_response_norm(z, 1, **options),
        cnnx.local_response_norm_backward(np.ones_like(z), z, 1, **options),
    )
    np.testing.assert_allclose(y, exact / np.sqrt(1 + exact**2), rtol=8 * EPS[dtype])
    np.testing.assert_allclose(grad_x, (1 + exact**2) ** -1.5, rtol=64 * EPS[dtype])
