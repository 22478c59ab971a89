"""Upsample2d repeats pixels, and its gradient sums them; bilinear it is torch's."""

import pickle

import numpy as np
import pytest

from cnnx import nn
from cnnx.io._layers import build

pytestmark = pytest.mark.once


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1, 2, (3, 1), (2, 5), (41, 1)])
def test_pixels_are_repeated(scale, dtype, backend):
    rows, columns = scale if isinstance(scale, tuple) else (scale, scale)
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(dtype)
    x[0, 0, 0, :2] = np.nan, np.inf
    layer = nn.Upsample2d(scale, backend=backend)
    y = layer.forward(x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x.repeat(rows, 2).repeat(columns, 3))
    delta = np.arange(y.size, dtype=dtype).reshape(y.shape) % 97  # whole numbers: no sum is rounded
    summed = delta.reshape(2, 3, 4, rows, 5, columns).sum((3, 5))
    np.testing.assert_array_equal(layer.backward(delta), summed)


def test_as_torch():
    torch = pytest.importorskip("torch", reason="it says what is right")
    x = torch.arange(24.0).reshape(1, 2, 3, 4).requires_grad_()
    y = torch.nn.Upsample(scale_factor=(2, 3))(x)
    y.backward(y.detach())
    layer = nn.Upsample2d((2, 3))
    found = layer.forward(x.detach().numpy())
    np.testing.assert_array_equal(found, y.detach().numpy())
    np.testing.assert_array_equal(layer.backward(found), x.grad.numpy())


@pytest.mark.parametrize("scale", [2, (3, 1)])
def test_layers_of_files_and_pickles_that_have_a_scale_alone(scale):
    """As they were saved when there was nothing else."""
    x = np.random.default_rng(2).normal(size=(1, 2, 3, 4))
    expected = nn.Upsample2d(scale).forward(x)
    old = nn.Upsample2d(scale)
    for name in ("size", "mode", "coordinates", "rounding"):
        del vars(old)[name]
    again = pickle.loads(pickle.dumps(old))
    np.testing.assert_array_equal(again.forward(x), expected)
    np.testing.assert_array_equal(build({"type": "Upsample2d", "scale": scale}).forward(x), expected)


@pytest.mark.parametrize(("size", "corners"), [((7, 3), True), (5, False)])
def test_bilinear_as_torch(size, corners):
    torch = pytest.importorskip("torch", reason="it says what is right")
    x = torch.tensor(np.random.default_rng(3).normal(size=(2, 3, 4, 6)), requires_grad=True)
    y = torch.nn.Upsample(size=size, mode="bilinear", align_corners=corners)(x)
    y.backward(y.detach())
    layer = nn.Upsample2d(size=size, mode="bilinear", coordinates="align_corners" if corners else "half_pixel")
    found = layer.forward(x.detach().numpy())
    np.testing.assert_allclose(found, y.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(found), x.grad.numpy(), rtol=1e-12, atol=1e-12)
