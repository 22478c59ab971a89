"""A sample's result is the same bits alone and anywhere in a batch (gradients of parameters, which are sums, apart)."""

import numpy as np
import pytest

import cnnx

SIZES = [(1, 1), (7, 5), (30, 17), (100, 784), (33, 257), (10, 4096), (48, 400)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("outputs", "inputs"), SIZES)
def test_affine(outputs, inputs, dtype):
    rng = np.random.default_rng(outputs)
    weight, bias = rng.standard_normal((outputs, inputs)).astype(dtype), rng.standard_normal(outputs).astype(dtype)
    x, delta = rng.standard_normal((33, inputs)).astype(dtype), rng.standard_normal((33, outputs)).astype(dtype)
    y, grad = cnnx.affine(x, weight, bias), cnnx.affine_backward(delta, x, weight)[0]
    for count in (1, 2, 3, 4, 5, 8, 9, 16, 17, 25):
        for first in {0, 33 - count}:
            part = slice(first, first + count)
            np.testing.assert_array_equal(cnnx.affine(x[part], weight, bias), y[part])
            np.testing.assert_array_equal(cnnx.affine_backward(delta[part], x[part], weight)[0], grad[part])
