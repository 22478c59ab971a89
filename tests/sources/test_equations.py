"""W15, U19 and CN as they are printed against both back ends, and identities between layers.

W15 and CN count from 0, U19 from 1. Where a source is in error (cnnx/equations.md, section 6), its equation is taken
as corrected there. Data are whole numbers wherever the operations allow it: then results have to be equal.
"""

import math
from itertools import pairwise
from math import floor

import numpy as np
import ox
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ox import Counted, correlate, integers, scatter

import cnnx


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    return request.param


def one_to(extent):
    return range(1, extent + 1)


# ------------------------------------------------------------------------------------------ as printed


def test_u19_z_ij(backend):
    W, H = 5, 3
    x, V, v_0 = integers(1, 1, 1, W, W) / 8, integers(2, 1, 1, H, H) / 8, integers(3, 1) / 8
    x_, V_ = Counted(x[0, 0]), Counted(V[0, 0])

    def z(i, j):
        total = sum(V_[p, q] * x_[i + p - 1, j + q - 1] for p in one_to(H) for q in one_to(H)) + v_0[0]
        return ox.sigmoid(total)

    y = cnnx.sigmoid(cnnx.conv2d(x, V, v_0, backend=backend), backend=backend)
    expected = [[z(i, j) for j in one_to(W - H + 1)] for i in one_to(W - H + 1)]
    assert_allclose(y[0, 0], expected, rtol=2e-15)


def test_w15_flipped_kernel(backend):
    """C5: the gradient of the input is a convolution with the kernel turned by 180 degrees."""
    C, H, W, K, R, S = 2, 6, 5, 3, 3, 2
    F, Delta = integers(1, K, C, R, S), integers(2, 2, K, H - R + 1, W - S + 1)
    turned = np.array([[np.rot90(F[k, c], 2) for k in range(K)] for c in range(C)])
    bordered = ox.pad(Delta, (R - 1, R - 1), (S - 1, S - 1))
    expected = np.zeros((2, C, H, W))
    for n, c, i, j in np.ndindex(expected.shape):
        expected[n, c, i, j] = (turned[c] * bordered[n, :, i : i + R, j : j + S]).sum()
    assert_array_equal(cnnx.conv2d_backward(Delta, np.zeros((2, C, H, W)), F, backend=backend)[0], expected)
    # So the forward layer can compute it too.
    assert_array_equal(cnnx.conv2d(Delta, turned, padding=(R - 1, S - 1), backend=backend), expected)


@pytest.mark.parametrize(
    ("H", "W", "H_F", "W_F", "S", "P"), [(5, 4, 2, 3, 1, 0), (6, 7, 3, 2, 2, 1), (4, 4, 1, 1, 3, 0)]
)
def test_cn_2(H, W, H_F, W_F, S, P, backend):
    """C1 to C5: CN's X holds its padding; indices count from 0."""
    image, F, b = integers(1, 1, 1, H, W), integers(2, 1, 1, H_F, W_F), integers(3, 1)
    X = ox.pad(image, (P, P), (P, P))[0, 0]
    OH, OW = floor((H + 2 * P - H_F) / S) + 1, floor((W + 2 * P - W_F) / S) + 1
    kernel = [(k, m) for k in range(H_F) for m in range(W_F)]
    Z = [[sum(X[k + i * S, m + j * S] * F[0, 0, k, m] for k, m in kernel) + b[0] for j in range(OW)] for i in range(OH)]
    options = dict(stride=S, padding=P, backend=backend)
    assert_array_equal(cnnx.conv2d(image, F, b, **options)[0, 0], Z)

    dJ_dZ = integers(4, OH, OW)
    outputs = list(np.ndindex(OH, OW))
    dX = [
        [
            sum(
                dJ_dZ[k, m] * F[0, 0, i - k * S, j - m * S]
                for k, m in outputs
                if 0 <= i - k * S < H_F and 0 <= j - m * S < W_F
            )
            for j in range(W + 2 * P)
        ]
        for i in range(H + 2 * P)
    ]
    dF = [[sum(dJ_dZ[k, m] * X[i + k * S, j + m * S] for k, m in outputs) for j in range(W_F)] for i in range(H_F)]
    grad_image, grad_F, grad_b = cnnx.conv2d_backward(dJ_dZ[None, None], image, F, **options)
    assert_array_equal(grad_image[0, 0], np.array(dX)[P : P + H, P : P + W])
    assert_array_equal(grad_F[0, 0], dF)
    assert grad_b == sum(dJ_dZ[k, m] for k, m in outputs)


def test_cn_3_4(backend):
    """P1-P3. Windows H_P x W_P, side by side, as corrected: rows i H_P to i H_P + H_P, columns j W_P to j W_P + W_P."""
    H_P, W_P = 2, 4
    X = np.random.default_rng(1).permutation(6 * 8).reshape(6, 8).astype(float)  # no ties
    dJ_dZ = integers(2, 3, 2)

    def members(i, j):
        return [(k, m) for k in range(i * H_P, (i + 1) * H_P) for m in range(j * W_P, (j + 1) * W_P)]

    maximum, average = np.zeros((3, 2)), np.zeros((3, 2))
    by_maximum, by_average = np.zeros((6, 8)), np.zeros((6, 8))
    for i, j in np.ndindex(3, 2):
        R_ij = members(i, j)
        maximum[i, j] = max(X[at] for at in R_ij)
        average[i, j] = sum(X[at] for at in R_ij) / (H_P * W_P)
        for at in R_ij:
            by_maximum[at] = dJ_dZ[i, j] if X[at] == maximum[i, j] else 0
            by_average[at] = dJ_dZ[i, j] / (H_P * W_P)
    x, Delta, size = X[None, None], dJ_dZ[None, None], (H_P, W_P)
    assert_array_equal(cnnx.max_pool2d(x, size, backend=backend)[0, 0], maximum)
    assert_array_equal(cnnx.max_pool2d_backward(Delta, x, size, backend=backend)[0, 0], by_maximum)
    assert_array_equal(cnnx.avg_pool2d(x, size, backend=backend)[0, 0], average)
    assert_array_equal(cnnx.avg_pool2d_backward(Delta, x, size, backend=backend)[0, 0], by_average)


# ---------------------------------------------------------------- the general convolution (equations.md, section 1)


# padding by side, dilation, groups; u, v = 2, 1
GENERAL = {
    "padding by side": (((0, 2), (3, 1)), (1, 1), 1),
    "dilation": (((0, 0), (0, 0)), (2, 3), 1),
    "groups": (((1, 0), (0, 0)), (1, 1), 2),
    "depthwise": (((1, 1), (1, 1)), (1, 2), 4),
    "all": (((2, 1), (0, 3)), (3, 2), 2),
}


@pytest.mark.parametrize(("padding", "dilation", "groups"), GENERAL.values(), ids=GENERAL)
def test_general_convolution(padding, dilation, groups, backend):
    """A border of zeros, a kernel with zeros in between, a convolution per group: C1-C6 of the plain form."""
    N, C, H, W, K, R, S, u, v = 2, 4, 9, 8, 4, 3, 2, 2, 1
    Z, F, b = integers(1, N, C, H, W), integers(2, K, C // groups, R, S), integers(3, K)
    (top, _), (left, _) = padding
    bordered = ox.pad(Z, *padding)
    spread = np.zeros((K, C // groups, dilation[0] * (R - 1) + 1, dilation[1] * (S - 1) + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = F
    of_group = [(slice(g * C // groups, (g + 1) * C // groups), slice(g * K // groups, (g + 1) * K // groups))
                for g in range(groups)]  # fmt: skip
    Y = np.concatenate([correlate(bordered[:, c], spread[k], b[k], u, v) for c, k in of_group], axis=1)
    options = dict(stride=(u, v), padding=padding, dilation=dilation, groups=groups, backend=backend)
    assert_array_equal(cnnx.conv2d(Z, F, b, **options), Y)

    Delta = integers(4, *Y.shape)
    dZ = np.concatenate([scatter(Delta[:, k], spread[k], *bordered.shape[2:], u, v) for c, k in of_group], axis=1)
    dF = np.zeros_like(F)
    for k, c, r, s in np.ndindex(F.shape):
        channel = k // (K // groups) * (C // groups) + c
        first = dilation[0] * r, dilation[1] * s
        seen = bordered[:, channel, first[0] :: u, first[1] :: v][:, : Y.shape[2], : Y.shape[3]]
        dF[k, c, r, s] = (Delta[:, k] * seen).sum()
    grad_x, grad_weight, grad_bias = cnnx.conv2d_backward(Delta, Z, F, **options)
    assert_array_equal(grad_x, dZ[:, :, top : top + H, left : left + W])
    assert_array_equal(grad_weight, dF)
    assert_array_equal(grad_bias, Delta.sum(axis=(0, 2, 3)))


# ------------------------------------------------------------------------------------------- identities


def test_1x1_convolution_is_affine_at_every_pixel(backend):
    Z, w, b = integers(1, 2, 3, 4, 5), integers(2, 6, 3), integers(3, 6)
    pixels = np.ascontiguousarray(Z.transpose(0, 2, 3, 1)).reshape(-1, 3)
    expected = np.einsum("kc,nchw->nkhw", w, Z) + b[:, None, None]
    assert_array_equal(cnnx.conv2d(Z, w[:, :, None, None], b, backend=backend), expected)
    y = cnnx.affine(pixels, w, b, backend=backend)
    assert_array_equal(y.reshape(2, 4, 5, 6).transpose(0, 3, 1, 2), expected)

    Delta = integers(4, 2, 6, 4, 5)
    by_conv = cnnx.conv2d_backward(Delta, Z, w[:, :, None, None], backend=backend)
    rows = np.ascontiguousarray(Delta.transpose(0, 2, 3, 1)).reshape(-1, 6)
    by_affine = cnnx.affine_backward(rows, pixels, w, backend=backend)
    assert_array_equal(by_conv[0], by_affine[0].reshape(2, 4, 5, 3).transpose(0, 3, 1, 2))
    assert_array_equal(by_conv[1][:, :, 0, 0], by_affine[1])
    assert_array_equal(by_conv[2], by_affine[2])
    assert_array_equal(by_conv[1][:, :, 0, 0], np.einsum("nkhw,nchw->kc", Delta, Z))


def test_convolution_of_the_whole_image_is_affine(backend):
    Z, F, b = integers(1, 3, 2, 4, 5), integers(2, 6, 2, 4, 5), integers(3, 6)
    expected = np.einsum("nchw,kchw->nk", Z, F) + b
    assert_array_equal(cnnx.conv2d(Z, F, b, backend=backend)[:, :, 0, 0], expected)
    assert_array_equal(cnnx.affine(cnnx.flatten(Z), F.reshape(6, -1), b, backend=backend), expected)

    Delta = integers(4, 3, 6)
    by_conv = cnnx.conv2d_backward(Delta[:, :, None, None], Z, F, backend=backend)
    by_affine = cnnx.affine_backward(Delta, cnnx.flatten(Z), F.reshape(6, -1), backend=backend)
    assert_array_equal(cnnx.flatten(by_conv[0]), by_affine[0])
    assert_array_equal(by_conv[1].reshape(6, -1), by_affine[1])
    assert_array_equal(by_conv[2], by_affine[2])
    assert_array_equal(by_conv[0], np.einsum("nk,kchw->nchw", Delta, F))


def test_average_pooling_is_a_depthwise_convolution(backend):
    """P3 with a kernel of 1/|R|; |R| = 8 divides without rounding."""
    Z, kernel = integers(1, 2, 3, 7, 9), np.full((3, 1, 2, 4), 1 / 8)
    expected = correlate(Z.reshape(6, 1, 7, 9), kernel[:1], np.zeros(1), 2, 3).reshape(2, 3, 3, 2)
    assert_array_equal(cnnx.avg_pool2d(Z, (2, 4), stride=(2, 3), backend=backend), expected)
    assert_array_equal(cnnx.conv2d(Z, kernel, stride=(2, 3), groups=3, backend=backend), expected)
    Delta = integers(2, 2, 3, 3, 2)
    by_pool = cnnx.avg_pool2d_backward(Delta, Z, (2, 4), stride=(2, 3), backend=backend)
    by_conv = cnnx.conv2d_backward(Delta, Z, kernel, stride=(2, 3), groups=3, backend=backend)[0]
    assert_array_equal(by_pool, by_conv)
    assert_array_equal(by_pool, scatter(Delta.reshape(6, 1, 3, 2), kernel[:1], 7, 9, 2, 3).reshape(Z.shape))


def test_pooling_means_are_ordered(backend):
    """Average <= Lp of growing p <= maximum, for what is not negative; U19 names the three as one family."""
    Z = integers(1, 2, 2, 6, 8, least=0) + np.linspace(0, 1, 192).reshape(2, 2, 6, 8)
    options = dict(kernel_size=(2, 3), stride=(2, 1), backend=backend)
    average, maximum = cnnx.avg_pool2d(Z, **options), cnnx.max_pool2d(Z, **options)
    means = [average, *(cnnx.lp_pool2d(Z, p, **options) for p in (1.5, 2, 3, 8)), maximum]
    for smaller, larger in pairwise(means):
        assert (smaller < larger).all()
    assert_allclose(cnnx.lp_pool2d(Z, 1, **options), average, rtol=1e-14)
    # The largest of six is at most (6 times the mean of p-th powers)^(1/p).
    assert (maximum <= 6 ** (1 / 64) * cnnx.lp_pool2d(Z, 64, **options) * (1 + 1e-14)).all()


def test_softmax_and_cross_entropy(backend):
    """A3, A4 and E3: -t/y through the softmax's derivative is y sum_j t_j - t; the exponential is taken apart here."""
    logits = np.array([[1.5, -0.5, 0.0, 2.0], [-3.0, 0.25, 1.0, -1.0]])
    t = np.array([[0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 1.25, 0.25]])  # the second row does not add up to 1
    y = np.array([[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in logits.tolist()])
    assert_allclose(cnnx.softmax(logits, backend=backend), y, rtol=1e-14)
    gradient = np.array([y[0] - t[0], 2 * y[1] - t[1]])
    assert_allclose(cnnx.softmax_backward(-t / y, logits, backend=backend), gradient, rtol=1e-13, atol=1e-15)
    assert_allclose(cnnx.log_softmax_backward(-t, logits, backend=backend), gradient, rtol=1e-13, atol=1e-15)
    by_cost = cnnx.cross_entropy_backward(logits, t, reduction="sum", backend=backend)
    assert_allclose(by_cost, gradient, rtol=1e-13, atol=1e-15)
    E = -sum(t_i * math.log(y_i) for t_i, y_i in zip(t.ravel(), y.ravel(), strict=True))
    assert cnnx.cross_entropy(logits, t, reduction="sum", backend=backend) == pytest.approx(E, rel=1e-14)
