"""`Graph.fuse`: figures worked by hand, the same outputs but for rounding, and what is left alone."""

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once

RNG = np.random.default_rng(8)


def normed(channels, weight, bias, mean, var, eps=1e-5):
    layer = nn.BatchNorm2d(channels, eps=eps, dtype="float64")
    layer.parameters["weight"][:], layer.parameters["bias"][:] = weight, bias
    layer.buffers["running_mean"][:], layer.buffers["running_var"][:] = mean, var
    return layer


def test_by_hand():
    """F = (2, -1), b = (1, 0); g = (3, 4), beta = (5, 6), mean = (7, 1), var + eps = (9, 4):
    F' = F g / deviation = (2, -2), b' = (b - mean) g / deviation + beta = (-1, 4)."""
    conv = nn.Conv2d(1, 2, 1, dtype="float64")
    conv.parameters["weight"][:, 0, 0, 0], conv.parameters["bias"][:] = (2, -1), (1, 0)
    model = nn.Sequential(conv, normed(2, (3, 4), (5, 6), (7, 1), (8, 3), eps=1.0)).eval()
    fused = model.fuse()
    assert repr(fused) == "Graph(\n  0 = Conv2d(1, 2, 1, dtype='float64')(x)\n)"
    assert fused.parameters["0.weight"].reshape(-1).tolist() == [2, -2]
    assert fused.parameters["0.bias"].tolist() == [-1, 4]
    assert conv.parameters["weight"].reshape(-1).tolist() == [2, -1]  # the network's own stays
    x = np.full((1, 1, 1, 1), 10.0)
    assert fused(x).reshape(-1).tolist() == model(x).reshape(-1).tolist() == [19, -16]


def test_chain_is_rounded_once():
    """w 3, then times 1/3, then times 3, in float32: 3 (1/3 as float32) 3 rounds to 3, at each step it would be another
    number for w = 7 (7 x 0.3333333433 = 2.3333334 rounded, times 3)."""
    conv, third, thrice = nn.Conv2d(1, 1, 1, bias=False), nn.Scale(1), nn.Scale(1, learned=False)
    conv.parameters["weight"][:], third.parameters["weight"][:], thrice.buffers["weight"][:] = 7, 1 / 3, 3
    fused = nn.Sequential(conv, third, thrice).eval().fuse()
    exact = 7 * float(np.float32(1 / 3)) * 3
    assert fused.parameters["0.weight"].item() == np.float32(exact)
    assert "bias=False" in repr(fused)  # there is none to have


@pytest.mark.parametrize(("dtype", "least"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False),
        nn.Conv2d(4, 6, 2, stride=2),
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        nn.ConvTranspose2d(4, 6, 2, bias=False),
    ],
)
def test_each_convolution(layer, dtype, least):
    arguments = {name: getattr(layer, name) for name in ("stride", "padding", "groups", "bias")}
    layer = type(layer)(4, 6, layer.kernel_size, **arguments, dtype=dtype, seed=3)
    factor, summand = nn.Scale(6, dtype=dtype), nn.Bias((1, 1, 1), dtype=dtype)
    factor.parameters["weight"][:], summand.parameters["bias"][:] = RNG.standard_normal(6), 0.75
    norm = nn.BatchNorm2d(6, dtype=dtype)
    for array in (*norm.parameters.values(), *norm.buffers.values()):
        array[:] = RNG.uniform(0.5, 2, 6)
    model = nn.Sequential(layer, norm, factor, nn.Dropout(), summand, nn.ReLU()).eval()
    fused, x = model.fuse(), RNG.standard_normal((2, 4, 5, 6)).astype(dtype)
    assert [name for name, *_ in fused.lines] == ["0", "5"]
    expected = model(x)
    np.testing.assert_allclose(fused(x), expected, rtol=0, atol=least * np.abs(expected).max())


def test_affine():
    layer, factor = nn.Affine(3, 2, dtype="float64", seed=0), nn.Scale((2,), dtype="float64")
    factor.parameters["weight"][:] = 2, -4
    fused = nn.Sequential(layer, factor).eval().fuse()
    np.testing.assert_array_equal(fused.parameters["0.weight"], layer.parameters["weight"] * [[2], [-4]])
    assert len(fused) == 1


def test_a_norm_without_a_convolution_before_it():
    """g = (3, 4), beta = (5, 6), times (2, -1), plus 0.5: g = (6, -4), beta = (10.5, -5.5); then a norm of mean 1,
    deviation 2: g = (3, -2), beta = (4.75, -3.25). The statistics stay."""
    norm = normed(2, (3, 4), (5, 6), (7, 1), (8, 3), eps=1.0)
    factor, summand = nn.Scale(2, dtype="float64"), nn.Bias((1, 1, 1), dtype="float64")
    factor.parameters["weight"][:], summand.parameters["bias"][:] = (2, -1), 0.5
    again = normed(2, (1, 1), (0, 0), (1, 1), (3, 3), eps=1.0)
    model = nn.Sequential(norm, factor, summand, again, nn.ReLU(), nn.Conv2d(2, 1, 1, dtype="float64", seed=0)).eval()
    fused = model.fuse()
    assert [name for name, *_ in fused.lines] == ["0", "4", "5"]
    assert fused.parameters["0.weight"].tolist() == [3, -2]
    assert fused.parameters["0.bias"].tolist() == [4.75, -3.25]
    assert fused.buffers["0.running_mean"].tolist() == [7, 1]
    assert norm.parameters["weight"].tolist() == [3, 4]
    x = RNG.standard_normal((2, 2, 3, 3))
    np.testing.assert_allclose(fused(x), model(x), rtol=0, atol=1e-13)


def test_what_is_left_alone():
    """A value that is wanted elsewhere, a norm that comes first, factors of another shape, a layer of one's own."""

    class Own(nn.Conv2d):
        pass

    def conv(kind=nn.Conv2d):
        return kind(2, 2, 1, seed=0)

    model = nn.Graph(
        ("first", nn.BatchNorm2d(2)),
        ("conv1", conv()),
        ("used twice", nn.BatchNorm2d(2)),
        ("sum", nn.Add(), "used twice", "conv1"),
        ("conv2", conv()),
        ("columns", nn.Scale((1, 1, 3))),
        ("own", conv(Own)),
        ("after own", nn.BatchNorm2d(2)),
    ).eval()
    fused = model.fuse()
    assert [name for name, *_ in fused.lines] == [name for name, *_ in model.lines]
    x = RNG.standard_normal((1, 2, 3, 3)).astype("float32")
    np.testing.assert_array_equal(fused(x), model(x))


def test_layers_that_do_nothing():
    """Where a value is used twice behind a Dropout, it counts as used twice."""
    model = nn.Graph(
        ("conv", nn.Conv2d(1, 1, 1, seed=0)),
        ("drop", nn.Dropout()),
        ("norm", nn.BatchNorm2d(1), "drop"),
        ("same", nn.Identity(), "drop"),
        ("sum", nn.Add(), "norm", "same"),
        ("end", nn.Dropout()),
    ).eval()
    fused, x = model.fuse(), RNG.standard_normal((1, 1, 2, 2)).astype("float32")
    assert [line[::2] for line in fused.lines] == [("conv", "x"), ("norm", "conv"), ("sum", "norm")]
    np.testing.assert_array_equal(fused(x), model(x))
    alone = nn.Sequential(nn.Dropout()).eval().fuse()
    assert len(alone) == 1
    assert not alone.training
    np.testing.assert_array_equal(alone(x), x)


def test_network_within_a_network():
    model = nn.resnet18(3, 5, width=8, seed=0)
    for layer in model._walk():
        if isinstance(layer, nn.BatchNorm2d):
            layer.buffers["running_mean"][:] = RNG.standard_normal(layer.channels)
            layer.buffers["running_var"][:] = RNG.uniform(0.5, 2, layer.channels)
    x = RNG.standard_normal((2, 3, 33, 40)).astype("float32")
    fused, expected = model.eval().fuse(), model(x)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused._walk())
    np.testing.assert_allclose(fused(x), expected, rtol=0, atol=4e-6 * np.abs(expected).max())
    assert set(fused.parameters) >= {"layer1.0.conv1.weight", "layer1.0.conv1.bias"}


def test_training_is_refused():
    with pytest.raises(ValueError, match="fuse: expected a network in evaluation, got Sequential in training"):
        nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).fuse()
