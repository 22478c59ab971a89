"""Convolution's gradient with respect to weights, where work is cut: more of it than the audit's cases have."""

import numpy as np
import pytest

import cnnx


def expected(grad, x, shape, stride, padding, groups):
    """C3 in double, a sum over positions for every tap."""
    _, C, R, S = shape
    P, Q = grad.shape[2:]
    x = np.pad(x.astype(float), ((0, 0), (0, 0), (padding, padding + R), (padding, padding + S)))
    K = shape[0] // groups
    result = np.empty(shape)
    for group in range(groups):
        k, c = slice(group * K, (group + 1) * K), slice(group * C, (group + 1) * C)
        for r in range(R):
            for s in range(S):
                seen = x[:, c, r : r + stride * P : stride, s : s + stride * Q : stride][:, :, :P, :Q]
                result[k, :, r, s] = np.einsum("nkpq,ncpq->kc", grad[:, k].astype(float), seen)
    return result


CUTS = {
    "images in parts, over positions": ((40, 1, 28, 28), 8, 3, 1, 1, 1),
    "images in parts, over channels": ((20, 8, 14, 14), 16, 3, 1, 1, 1),
    "rows in parts": ((1, 2, 130, 90), 12, 5, 1, 2, 1),
    "taps among threads": ((1, 16, 14, 14), 64, 3, 1, 1, 1),
    "channels among threads": ((2, 10, 9, 11), 128, 3, 1, 0, 1),
    "channels and taps among threads": ((3, 9, 12, 12), 130, 3, 2, 1, 1),
    "three groups": ((2, 12, 15, 15), 48, 3, 1, 1, 3),
    "depthwise": ((2, 20, 40, 40), 20, 3, 1, 1, 20),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cut", CUTS)
def test_cuts(cut, dtype, each_threads):
    shape, K, R, stride, padding, groups = CUTS[cut]
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(dtype)
    weight = np.zeros((K, shape[1] // groups, R, R), dtype)
    options = {"stride": stride, "padding": padding, "groups": groups}
    grad = rng.standard_normal(cnnx.conv2d(x, weight, **options).shape).astype(dtype)
    found = [cnnx.conv2d_backward(grad, x, weight, input_grad=False, **options)[1:] for _ in each_threads(1, 2, 3, 8)]
    terms = np.sqrt(grad.size / K)
    eps = np.finfo(dtype).eps
    assert np.abs(found[0][0] - expected(grad, x, weight.shape, stride, padding, groups)).max() < 100 * eps * terms
    assert np.abs(found[0][1] - grad.sum((0, 2, 3), dtype=float)).max() < 100 * eps * terms
    for weights, biases in found[1:]:
        np.testing.assert_array_equal(weights, found[0][0])
        np.testing.assert_array_equal(biases, found[0][1])


@pytest.mark.parametrize("K", [3, 16])
def test_infinite_gradient_beside_padding(K):
    # A term that padding removes is left out: it would be inf x 0.
    x, weight = np.ones((40, 2, 20, 20), "float32"), np.zeros((K, 2, 3, 3), "float32")
    grad = np.ones((40, K, 20, 20), "float32")
    grad[39, 1, 0, 5] = np.inf
    grad_weight = cnnx.conv2d_backward(grad, x, weight, padding=1, input_grad=False)[1]
    assert (grad_weight[1, :, 0] == [40 * 19 * 19, 40 * 19 * 20, 40 * 19 * 19]).all()
    assert (grad_weight[1, :, 1:] == np.inf).all()
    assert np.isfinite(np.delete(grad_weight, 1, axis=0)).all()
