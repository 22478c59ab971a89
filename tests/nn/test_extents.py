"""Sizes that layers compute of what comes in."""

import json

import numpy as np
import pytest

from cnnx import nn
from cnnx.io._layers import build, describe


def rows(*shape):
    return np.arange(1.0, 1 + np.prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x[2]", 3),
        ("2*x[2] + x1[1] - 1", 9),
        ("quotient(-x[3], 2)", -2),  # towards 0, as ONNX divides: Python's -5 // 2 is -3
        ("x[3] % 2", 1),
        ("trunc(f32(x[3]) * 0.5)", 2),
        ("trunc(ceil(f32(x[3]) / 2.0))", 3),
        ("trunc(floor(2.75))", 2),
        ("whole(x1[1], 1.5)", 6),
        ("min(x[2], x1[1]) + 10*max(x[2], x1[1])", 43),
    ],
)
def test_sizes_are_computed_of_shapes(text, expected):
    x, other = np.zeros((1, 1, 3, 5)), np.zeros((1, 4))
    layer = nn.Slice(1, f"{text} - ({expected})", None)  # from 0, or nothing is left of one channel
    y = layer.forward(x, other) if "x1" in text else layer.forward(x)
    assert y.shape == x.shape


@pytest.mark.parametrize(
    "text",
    ["x[-1]", "x[2] ** 3", "x[2] // 2", "abs(x[2])", "x[True]", "y[1]", "x01[1]", "x", "x[2", "", "quotient(x[2])",
     "x[2].real", "x[2] if x[3] else 1", "(" * 400, "x[2] + " * 100 + "1", "x100[2]", "'x'", "[1][0]", "min(*x)"],
)  # fmt: skip
def test_what_is_no_size_is_refused_when_the_layer_is_made(text):
    with pytest.raises(ValueError, match=r"shape\[1\]: expected"):
        nn.Reshape((1, text))


@pytest.mark.parametrize(
    "text", ["x[2] - x[3]", "x[3] / 2", "quotient(x[2], x[2] - x[2])", "x[4]", "whole(x[3], 0.5)", "x[3] % 0", "0.5",
             "*".join(["x[3]"] * 60), "trunc(f32(x[3]) / 0)"],
)  # fmt: skip
def test_what_comes_to_no_size_is_refused_when_it_is_called(text):
    with pytest.raises(ValueError, match="shape: expected"):
        nn.Reshape((text, -1)).forward(np.zeros((1, 1, 3, 5)))


def test_an_input_too_many_or_too_few_is_refused():
    layer = nn.Reshape(("x1[1]", -1))
    with pytest.raises(TypeError, match="expected 2 inputs, got 1"):
        layer.forward(np.zeros((1, 4)))
    with pytest.raises(TypeError, match="expected 1 input, got 2"):
        nn.Reshape((2, -1)).forward(np.zeros((1, 4)), np.zeros((1, 4)))


def test_images_made_as_large_as_others():
    layer = nn.Upsample2d(size=("x1[2]", "2*x1[3]"))
    x, other = np.array([[[[1.0, 2.0]]]]), np.zeros((1, 7, 2, 2))
    assert layer.forward(x, other).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    grad_x, grad_other = layer.backward(np.ones((1, 1, 2, 4)))
    assert grad_x.tolist() == [[[[4, 4]]]]
    assert grad_other.shape == other.shape
    assert not grad_other.any()
    other = np.zeros((1, 7, 1, 1))
    assert layer.forward(x, other).tolist() == [[[[1, 2]]]]


def test_padding_up_to_another_size():
    layer = nn.ZeroPad2d(((0, "x1[2] - x[2]"), (1, 0)))
    assert layer.forward(np.array([[[[5.0]]]]), np.zeros((1, 1, 2, 1))).tolist() == [[[[0, 5], [0, 0]]]]
    grad_x, _ = layer.backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert grad_x.tolist() == [[[[2]]]]
    with pytest.raises(ValueError, match="padding: expected an integer of at least 0"):
        layer.forward(np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("start", "stop", "step", "expected"),
    [(0, None, 2, [1, 3, 5]), (1, None, 2, [2, 4]), (None, None, -1, [5, 4, 3, 2, 1]), (3, 0, -2, [4, 2]),
     (0, "x[1] - 1", 3, [1, 4]), ("quotient(x[1], 2)", None, 1, [3, 4, 5])],
)  # fmt: skip
def test_slices_with_steps(start, stop, step, expected):
    layer = nn.Slice(1, start, stop, step)
    assert layer.forward(rows(1, 5)).tolist() == [expected]
    grad = layer.backward(np.array([[10.0 * each for each in expected]]))
    assert grad.tolist() == [[10 * each if each in expected else 0 for each in range(1, 6)]]


def test_no_step_of_0():
    with pytest.raises(ValueError, match="step: expected an integer other than 0"):
        nn.Slice(1, 0, None, 0)
    with pytest.raises(TypeError, match="start"):
        nn.Slice(1, None)


def network():
    return nn.Graph(
        ("small", nn.Conv2d(3, 4, 3, stride=2, padding=1, seed=0), "x"),
        ("rows", nn.Reshape((4, "x[2]*x[3]")), "small"),
        ("doubled", nn.Scale((1,)), "rows"),
        ("map", nn.Reshape((4, "x1[2]", "x1[3]")), "doubled", "small"),
        ("large", nn.Upsample2d(size=("x1[2]", "x1[3]"), mode="bilinear"), "map", "x"),
        ("sum", nn.Concat(1), "large", "x"),
    )


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (3, 12)])
def test_a_network_of_open_sizes_compiles_to_the_same_bits(size):
    model = network().eval()
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype("f4")
    expected = model.forward(x)
    assert expected.shape == (2, 7, *size)
    compiled = model.compile(x.shape)
    assert np.array_equal(compiled(-x), model.forward(-x))
    assert np.array_equal(compiled(x), expected)


def test_a_network_of_open_sizes_learns_on_several():
    model = network().reuse_buffers()
    for size in ((7, 9), (7, 9), (8, 8), (7, 9)):
        x = np.random.default_rng(1).standard_normal((2, 3, *size)).astype("f4")
        y = model.forward(x)
        model.backward(np.ones_like(y))
        again = network()
        again.backward(np.ones_like(again.forward(x)))
        for name, gradient in again.gradients.items():
            assert np.array_equal(model.gradients[name], gradient), name


def test_a_network_of_open_sizes_is_saved_as_text():
    description = json.loads(json.dumps(describe(network())))
    assert repr(build(description)) == repr(network())
