"""conv_transpose2d (T1-T4): against PyTorch, as the adjoint of conv2d, and however its sums are cut."""

import numpy as np
import pytest

import cnnx
from cnnx import native
from cnnx.ops import OPS

(OP,) = (op for op in OPS if op.name == "conv_transpose2d")
LARGER = [  # x, weight, options: several blocks of channels and columns, and phases of every kind
    ((2, 24, 11, 13), (24, 20, 2, 2), dict(stride=2)),
    ((1, 17, 9, 35), (17, 9, 4, 4), dict(stride=2, padding=1)),
    ((3, 6, 8, 70), (6, 5, 3, 3), dict(stride=(1, 3), padding=(2, 1), groups=3)),
    ((1, 5, 7, 6), (5, 40, 3, 5), dict(stride=3, dilation=2, output_padding=2)),
    ((2, 3, 2, 3), (3, 4, 20, 28), dict(padding=(3, 2))),
    ((1, 32, 6, 50), (32, 1, 3, 3), dict(groups=32, stride=2, padding=1, output_padding=1)),
]


def whole(rng, shape, dtype):
    """Small integers, of whose products all sums are exact."""
    return rng.integers(-3, 4, shape).astype(dtype)


def drawn(rng, shape, weight, options, dtype):
    K = weight[1] * options.get("groups", 1)
    return whole(rng, shape, dtype), whole(rng, weight, dtype), whole(rng, (K,), dtype)


def of_torch(torch, delta, x, weight, bias, options):
    """Output and gradients; what torch cannot cut, one side more than the other, is cut afterwards."""
    x, weight, bias = (torch.tensor(a, requires_grad=True) for a in (x, weight, bias))
    padding = options.get("padding", 0)
    by_side = isinstance(padding, tuple) and isinstance(padding[0], tuple)
    given = options | {"padding": 0} if by_side else options
    y = torch.nn.functional.conv_transpose2d(x, weight, bias, **given)
    if by_side:
        (top, bottom), (left, right) = padding
        y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    y.backward(torch.tensor(delta))
    return y.detach().numpy(), *(a.grad.numpy() for a in (x, weight, bias))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [*((c.arrays["x"], c.arrays["weight"], c.options) for c in OP.cases if c.arrays["x"][0]), *LARGER],
    ids=str,
)
def test_torch_computes_the_same(shape, kernel, options, dtype):
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    rng = np.random.default_rng(41)
    x, weight, bias = drawn(rng, shape, kernel, options, dtype)
    y = cnnx.conv_transpose2d(x, weight, bias, **options)
    delta = whole(rng, y.shape, dtype)
    found = y, *cnnx.conv_transpose2d_backward(delta, x, weight, **options)
    for got, expected in zip(found, of_torch(torch, delta, x, weight, bias, dict(options)), strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("shape", "kernel", "options"), LARGER, ids=str)
def test_it_is_the_adjoint_of_convolution(shape, kernel, options):
    """<T x, y> is <x, C y>, C the convolution with the same weight; where output_padding stays below the stride."""
    rng = np.random.default_rng(42)
    x, weight, _ = drawn(rng, shape, kernel, options, "float64")
    made = cnnx.conv_transpose2d(x, weight, **options)
    image = whole(rng, made.shape, "float64")
    forward = {name: value for name, value in options.items() if name != "output_padding"}
    assert np.vdot(made, image) == np.vdot(x, cnnx.conv2d(image, weight, **forward))
    np.testing.assert_array_equal(made, cnnx.conv2d_backward(x, image, weight, **forward)[0])


@pytest.fixture
def limit():
    """Sets how many bytes of scratch memory make a sum one that is cut."""
    kernels = native.kernels("conv2d")
    yield kernels._limit_scratch
    kernels._limit_scratch(2**24)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "kernel", "options"), LARGER, ids=str)
def test_bits_depend_neither_on_threads_nor_on_cuts(shape, kernel, options, dtype, limit, each_threads):
    rng = np.random.default_rng(43)
    x, weight, bias = drawn(rng, shape, kernel, options, dtype)
    y = cnnx.conv_transpose2d(x, weight, bias, **options)
    delta = whole(rng, y.shape, dtype)
    expected = y, *cnnx.conv_transpose2d_backward(delta, x, weight, **options)
    for most in (2**24, 2**16, 2**13):
        limit(most)
        for threads in each_threads(1, 2, 5):
            found = (
                cnnx.conv_transpose2d(x, weight, bias, **options),
                *cnnx.conv_transpose2d_backward(delta, x, weight, **options),
            )
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b, f"{most} bytes, {threads} threads")


@pytest.mark.parametrize("threads", [1, 2])
def test_images_alone_have_the_bits_that_they_have_in_a_batch(threads, set_threads):
    rng = np.random.default_rng(44)
    set_threads(threads)
    for (_, *shape), kernel, options in LARGER:
        x, weight = (rng.standard_normal(n).astype("float32") for n in ((5, *shape), kernel))
        y = cnnx.conv_transpose2d(x, weight, **options)
        for n in range(5):
            assert cnnx.conv_transpose2d(x[n : n + 1], weight, **options).tobytes() == y[n : n + 1].tobytes()


def test_output_beyond_memory_is_refused():
    x, weight = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 1, 1), np.float32)
    with pytest.raises(MemoryError, match=r"^output of shape \(1, 1, 4294967295, 4294967295\): "):
        cnnx.conv_transpose2d(x, weight, stride=2**31 - 1)
    most = cnnx.conv_transpose2d(2 * x, weight, stride=2**31 - 1, padding=2**31 - 1)
    assert most.tolist() == [[[[2]]]]
