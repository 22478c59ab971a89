"""Upsample2d repeats pixels, and its gradient sums them."""

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1, 2, (3, 1), (2, 5)])
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
