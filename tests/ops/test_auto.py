"""algorithm="auto": chosen by shape alone, and the bits of the algorithm that it names."""

import inspect

import numpy as np
import pytest

import cnnx
from cnnx import backend, nn
from cnnx.ops import _winograd
from cnnx.ops._conv import geometry

# x, weight, options; forward, gradient of x.
CHOICES = [
    ((2, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}, ("winograd", "winograd")),
    ((1, 32, 14, 14), (32, 32, 3, 3), {"padding": "same"}, ("winograd", "winograd")),
    ((1, 3, 56, 56), (32, 3, 3, 3), {"padding": 1}, ("direct", "winograd")),
    ((1, 25, 4, 32), (6, 25, 3, 3), {"padding": 1}, ("winograd", "direct")),
    ((1, 64, 7, 7), (64, 64, 3, 3), {"padding": 1}, ("direct", "direct")),
    ((2, 128, 16, 16), (128, 64, 3, 3), {"padding": 1, "groups": 2}, ("winograd", "winograd")),
    ((1, 64, 28, 28), (64, 1, 3, 3), {"padding": 1, "groups": 64}, ("direct", "direct")),
    ((1, 64, 28, 28), (64, 64, 3, 3), {"padding": 1, "stride": (1, 2)}, ("direct", "direct")),
    ((1, 64, 28, 28), (64, 64, 3, 3), {"padding": 1, "dilation": 2}, ("direct", "direct")),
    ((1, 32, 28, 28), (32, 32, 1, 3), {}, ("direct", "direct")),
    ((1, 32, 28, 28), (32, 32, 5, 5), {"padding": 2}, ("winograd", "winograd")),
    ((1, 4, 28, 28), (32, 4, 5, 5), {"padding": 2}, ("direct", "direct")),
    ((1, 32, 28, 28), (32, 32, 5, 5), {"padding": 2, "stride": 2}, ("direct", "direct")),
    ((0, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}, ("winograd", "winograd")),
]


def drawn(shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def kernels_of(call):
    used = []
    with backend.intercept(lambda name, kernel: used.append(name) or kernel):
        call()
    return [name for name in used if name.startswith("conv2d")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("x", "weight", "options", "expected"), CHOICES)
def test_bits_of_the_algorithm_that_it_names(x, weight, options, expected, dtype):
    assert cnnx.conv2d_algorithm(x, weight, **options) == expected
    x, weight, bias = drawn(x, dtype), drawn(weight, dtype, 1), drawn(weight[0], dtype, 2)
    y = cnnx.conv2d(x, weight, bias, algorithm="auto", **options)
    np.testing.assert_array_equal(y, cnnx.conv2d(x, weight, bias, algorithm=expected[0], **options))
    found = cnnx.conv2d_backward(y, x, weight, algorithm="auto", **options)
    named = cnnx.conv2d_backward(y, x, weight, algorithm=expected[1], **options)
    for ours, theirs in zip(found, named, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    names = kernels_of(lambda: cnnx.conv2d_backward(y, x, weight, algorithm="auto", **options))
    assert names[0] == ("conv2d_grad_input" if expected[1] == "direct" else "conv2d_winograd_grad_input")


def test_the_choice_is_one_of_shapes_alone(each_threads):
    """Nothing else is asked: neither the batch, nor threads, nor what the processor has, nor the numbers."""
    assert [*inspect.signature(_winograd.pays).parameters] == ["C", "K", "P", "Q", "R"]
    known = {name for name, value in vars(_winograd).items() if not name.startswith("_") and callable(value)}
    assert set(_winograd.pays.__code__.co_names) <= known
    for _ in each_threads(1, 3):
        for x, weight, options, expected in CHOICES:
            numbers = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
            for images in (1, 2, 8, 1000):
                shapes = (images, *x[1:]), weight
                assert inspect.unwrap(geometry)(shapes, *numbers.values(), "auto").algorithms == expected


def test_an_image_alone_and_in_any_batch():
    x, weight = drawn((9, 64, 14, 14)), drawn((64, 64, 3, 3), seed=1)
    y = cnnx.conv2d(x, weight, padding=1, algorithm="auto")
    grad, *_ = cnnx.conv2d_backward(y, x, weight, padding=1, algorithm="auto")
    for n in range(len(x)):
        one = x[n : n + 1]
        np.testing.assert_array_equal(cnnx.conv2d(one, weight, padding=1, algorithm="auto")[0], y[n])
        alone, *_ = cnnx.conv2d_backward(y[n : n + 1], one, weight, padding=1, algorithm="auto")
        np.testing.assert_array_equal(alone[0], grad[n])


def test_costs_by_hand():
    """64 to 64 channels. 14 x 14: 16 tiles of 4 x 4; 7 x 7: 4, which count as 8; 6 x 6: 9 of 2 x 2, as 16."""
    products = 64 * 64
    for extent, winograd in ((14, 36 * (16 * 84 / 64 + 8)), (7, 36 * (8 * 84 / 64 + 8)), (6, 16 * (16 * 84 / 64 + 8))):
        # Per product of two channels: a tile takes 1 and, transformed, 4 / 64 + 16 / 64 more.
        faster = 9 * extent**2 * products > 1.2 * winograd * products
        assert _winograd.pays(64, 64, extent, extent, 3) == faster == (extent == 14)


@pytest.mark.parametrize(
    ("x", "weight", "options", "error", "message"),
    [
        ((1, 2, 3), (2, 2, 3, 3), {}, ValueError, r"x: expected 4 axes|x: expected .*\(N, C, H, W\)"),
        ((1, 2, 9, 9), (2, 3, 3, 3), {}, ValueError, "weight: expected 2 input channels"),
        (np.ones((1, 2, 9, 9)), (2, 2, 3, 3), {}, TypeError, "x: expected a shape, a tuple of integers, got"),
        ((1, 2, 9.5, 9), (2, 2, 3, 3), {}, TypeError, r"x\[2\]: expected an integer"),
        ((1, 2, 9, 9), (2, 2, 0, 3), {}, ValueError, r"weight\[2\]: expected"),
        ((1, 2, 9, 9), (2, 2, 3, 3), {"groups": 3}, ValueError, "groups: expected a divisor"),
        ((1, 2, 9, 9), (2, 2, 3, 3), {"stride": 0}, ValueError, "stride"),
        ((1, 2, 2, 2), (2, 2, 3, 3), {}, ValueError, "weight"),
    ],
)
def test_shapes_that_are_none(x, weight, options, error, message):
    with pytest.raises(error, match=message):
        cnnx.conv2d_algorithm(x, weight, **options)


def test_a_back_end_without_the_algorithm_says_so():
    x, weight = drawn((1, 64, 28, 28)), drawn((64, 64, 3, 3))
    kernel = backend.reference_kernel("conv2d")
    cnnx.register_backend("direct-alone", {"conv2d": kernel})
    with pytest.raises(NotImplementedError, match="back end 'direct-alone' has no kernel 'conv2d_winograd'"):
        cnnx.conv2d(x, weight, padding=1, algorithm="auto", backend="direct-alone")


# ----------------------------------------------------------------------------------------------- layers


def network():
    options = {"padding": 1, "algorithm": "auto"}
    return nn.Sequential(nn.Conv2d(3, 32, 3, seed=0, **options), nn.ReLU(), nn.Conv2d(32, 32, 3, seed=1, **options))


def test_layers_and_summary():
    model, x = network(), drawn((2, 3, 28, 28))
    assert kernels_of(lambda: model.forward(x)) == ["conv2d", "conv2d_winograd"]
    assert "Conv2d(32, 32, 3, padding=1, algorithm='auto')" in repr(model)
    found = model.summary((3, 28, 28))
    assert [row.algorithm for row in found.layers] == ["direct", None, "winograd"]
    assert "(2) Conv2d(32, 32, 3, padding=1, algorithm='auto'): winograd" in str(found)
    assert found.as_dict()["layers"][0]["algorithm"] == "direct"
    assert [row.algorithm for row in model.summary((3, 7, 7)).layers] == ["direct", None, "direct"]


def test_freezing_changes_no_bits():
    model, x = network(), drawn((2, 3, 28, 28))
    before = model.forward(x)
    model.freeze()
    assert kernels_of(lambda: model.forward(x)) == ["conv2d", "conv2d_winograd_weight", "conv2d_winograd_frozen"]
    assert kernels_of(lambda: model.forward(x)) == ["conv2d", "conv2d_winograd_frozen"]
    np.testing.assert_array_equal(model.forward(x), before)
    small = x[..., :7, :7]  # direct again
    assert kernels_of(lambda: model.forward(small)) == ["conv2d", "conv2d"]


def test_networks_take_it():
    model = nn.resnet18(3, 5, width=32, small_images=True, algorithm="auto", seed=0)
    found = {row.layer.split(")")[0][1:]: row.algorithm for row in model.summary((3, 28, 28)).layers}
    chosen = [name for name, algorithm in found.items() if algorithm == "winograd"]
    blocks = [f"layer1.{i}.conv{j}" for i in (0, 1) for j in (1, 2)]
    assert chosen == [*blocks, "layer2.0.conv2", "layer2.1.conv1", "layer2.1.conv2"]
    assert found["conv1"] == "direct"
    direct = nn.resnet18(3, 5, width=32, small_images=True, seed=0)
    x = drawn((2, 3, 28, 28))
    expected = direct.forward(x)
    assert np.abs(model.forward(x) - expected).max() < 1e-4 * np.abs(expected).max()
    assert model.backward(np.ones((2, 5), "float32")).shape == x.shape
    with pytest.raises(ValueError, match="algorithm: expected one of 'direct', 'auto', got 'winograd'"):
        nn.resnet18(3, 5, algorithm="winograd")
    assert nn.cnn((3, 8, 8), 2, algorithm="auto")[0].algorithm == "auto"
    for upsampling in ("transposed", "nearest"):
        options = {"width": 16, "depth": 1, "upsampling": upsampling, "seed": 0}
        model, x = nn.unet(1, 2, algorithm="auto", **options), drawn((1, 1, 28, 28))
        rows = model.summary((1, 28, 28)).layers
        chosen = {row.layer.split(")")[0][1:]: row.algorithm for row in rows if row.algorithm}
        assert chosen["down1.0"] == chosen["head"] == "direct"
        assert chosen["down1.3"] == chosen["up1.0"] == "winograd"
        assert len(chosen) == 7 + (upsampling == "nearest")
        np.testing.assert_allclose(model.forward(x), nn.unet(1, 2, **options).forward(x), rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match="algorithm: expected one of 'direct', 'auto', got 'winograd'"):
        nn.unet(1, 2, algorithm="winograd")
