"""M17 (4)-(20) as printed, with its indices from 1, its bounds and its 1/N, against both back ends.

Where M17 is in error (cnnx/equations.md, section 6), its equation is taken as corrected there. Data are whole numbers
wherever the operations allow it: then results have to be equal.
"""

import math
from math import ceil, floor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from ox import Counted, integers

import cnnx


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    return request.param


def one_to(extent):
    return range(1, extent + 1)


# -------------------------------------------------------------------------------------- convolution

# N, C, H, W, K, R, S, u, v, p_h, p_w; rows and columns differ wherever they can be mixed up.
GEOMETRIES = {
    "plain": (2, 2, 5, 4, 3, 2, 3, 1, 1, 0, 0),
    "stride": (1, 2, 8, 7, 2, 3, 2, 2, 3, 0, 0),
    "padding": (2, 1, 4, 3, 2, 3, 2, 1, 1, 2, 1),
    "stride and padding": (1, 2, 7, 6, 2, 3, 4, 3, 2, 1, 3),
    "stride beyond the kernel": (1, 1, 9, 8, 2, 2, 1, 4, 3, 1, 0),
    "rows left over": (2, 1, 6, 9, 1, 3, 3, 2, 4, 0, 1),
}
geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)


def m17_sizes(H, W, R, S, u, v, p_h, p_w):
    """Table 1, P with the stride of the rows."""
    return ceil((H - R + 1 + 2 * p_h) / u), ceil((W - S + 1 + 2 * p_w) / v)


def m17_4(Z, F, b, u, v, p_h, p_w):
    (N, C, H, W), (K, _, R, S) = Z.shape, F.shape
    P, Q = m17_sizes(H, W, R, S, u, v, p_h, p_w)
    Z_, F_, b_ = Counted(Z, outside=0), Counted(F), Counted(b)
    Y = np.zeros((N, K, P, Q))
    for n, k, p, q in ((n + 1, k + 1, p + 1, q + 1) for n, k, p, q in np.ndindex(N, K, P, Q)):
        total = 0
        for c in one_to(C):
            for r in one_to(R):
                for s in one_to(S):
                    h, w = (p - 1) * u + r - p_h, (q - 1) * v + s - p_w
                    total += Z_[n, c, h, w] * F_[k, c, r, s]
        Y[n - 1, k - 1, p - 1, q - 1] = total + b_[k,]
    return Y


def m17_5(Delta, Z, R, S, u, v, p_h, p_w):
    (N, C, _, _), (_, K, P, Q) = Z.shape, Delta.shape
    Z_, Delta_ = Counted(Z, outside=0), Counted(Delta)
    dF = np.zeros((K, C, R, S))
    for k, c, r, s in ((k + 1, c + 1, r + 1, s + 1) for k, c, r, s in np.ndindex(K, C, R, S)):
        total = 0
        for n in one_to(N):
            for p in one_to(P):
                for q in one_to(Q):
                    h, w = (p - 1) * u + r - p_h, (q - 1) * v + s - p_w
                    total += Delta_[n, k, p, q] * Z_[n, c, h, w]
        dF[k - 1, c - 1, r - 1, s - 1] = total / N
    return dF


def m17_6(Delta):
    N, K, P, Q = Delta.shape
    Delta_ = Counted(Delta)
    return np.array([
        sum(Delta_[n, k, p, q] * 1 for n in one_to(N) for p in one_to(P) for q in one_to(Q)) / N for k in one_to(K)
    ])  # fmt: skip


def m17_8_9(h, w, R, S, P, Q, u, v, p_h, p_w):
    """The ranges from Pmin to Pmax and from Qmin to Qmax."""
    Pmin, Pmax = max(1, ceil((h - R + p_h) / u + 1)), min(P, floor((h - 1 + p_h) / u + 1))
    Qmin, Qmax = max(1, ceil((w - S + p_w) / v + 1)), min(Q, floor((w - 1 + p_w) / v + 1))
    return range(Pmin, Pmax + 1), range(Qmin, Qmax + 1)


def m17_7(Delta, F, H, W, u, v, p_h, p_w):
    (N, K, P, Q), (_, C, R, S) = Delta.shape, F.shape
    Delta_, F_ = Counted(Delta), Counted(F)  # the bounds let nothing outside be read
    dZ = np.zeros((N, C, H, W))
    for n, c, h, w in ((n + 1, c + 1, h + 1, w + 1) for n, c, h, w in np.ndindex(N, C, H, W)):
        rows, columns = m17_8_9(h, w, R, S, P, Q, u, v, p_h, p_w)
        dZ[n - 1, c - 1, h - 1, w - 1] = sum(
            Delta_[n, k, p, q] * F_[k, c, h - (p - 1) * u + p_h, w - (q - 1) * v + p_w]
            for k in one_to(K)
            for p in rows
            for q in columns
        )
    return dZ


@geometries
def test_m17_4(geometry, backend):
    """C1."""
    N, C, H, W, K, R, S, u, v, p_h, p_w = geometry
    Z, F, b = integers(1, N, C, H, W), integers(2, K, C, R, S), integers(3, K)
    Y = cnnx.conv2d(Z, F, b, stride=(u, v), padding=(p_h, p_w), backend=backend)
    assert_array_equal(Y, m17_4(Z, F, b, u, v, p_h, p_w))


@geometries
def test_m17_5_to_9(geometry, backend):
    """C3 to C6."""
    N, C, H, W, K, R, S, u, v, p_h, p_w = geometry
    Z, F = integers(1, N, C, H, W), integers(2, K, C, R, S)
    Delta = integers(3, N, K, *m17_sizes(H, W, R, S, u, v, p_h, p_w))  # one example's: dE_n/dY
    options = dict(stride=(u, v), padding=(p_h, p_w), backend=backend)
    dZ, dF, db = cnnx.conv2d_backward(Delta, Z, F, **options)
    assert_array_equal(dZ, m17_7(Delta, F, H, W, u, v, p_h, p_w))
    # N is 1 or 2, so neither dividing nor multiplying by it rounds.
    assert_array_equal(dF, N * m17_5(Delta, Z, R, S, u, v, p_h, p_w))
    assert_array_equal(db, N * m17_6(Delta))


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_m17_table_1_ceiling_is_c2(stride, padding, backend):
    for H in range(1, 8):
        for R in range(1, min(4, H + 2 * padding) + 1):
            P = ceil((H - R + 1 + 2 * padding) / stride)
            assert floor((H + 2 * padding - R) / stride) + 1 == P  # C2, CN (1)
            x, weight = np.ones((1, 1, H, 9)), np.ones((1, 1, R, 1))
            y = cnnx.conv2d(x, weight, stride=(stride, 9), padding=(padding, 0), backend=backend)
            assert y.shape == (1, 1, P, 1)


# ------------------------------------------------------------------------------- pooling, activation


def m17_13(Z, R, S, u, v, p_h, p_w):
    N, C, H, W = Z.shape
    P, Q = m17_sizes(H, W, R, S, u, v, p_h, p_w)
    Z_ = Counted(Z, outside=-math.inf)
    Y = np.zeros((N, C, P, Q))
    for n, k, p, q in ((n + 1, k + 1, p + 1, q + 1) for n, k, p, q in np.ndindex(N, C, P, Q)):
        Y[n - 1, k - 1, p - 1, q - 1] = max(
            Z_[n, k, (p - 1) * u + r - p_h, (q - 1) * v + s - p_w] for r in one_to(R) for s in one_to(S)
        )
    return Y


def m17_14(Delta, Z, Y, R, S, u, v, p_h, p_w):
    (N, C, H, W), (_, _, P, Q) = Z.shape, Delta.shape
    Delta_, Z_, Y_ = Counted(Delta), Counted(Z), Counted(Y)
    dZ = np.zeros(Z.shape)
    for n, c, h, w in ((n + 1, c + 1, h + 1, w + 1) for n, c, h, w in np.ndindex(N, C, H, W)):
        rows, columns = m17_8_9(h, w, R, S, P, Q, u, v, p_h, p_w)
        dZ[n - 1, c - 1, h - 1, w - 1] = sum(
            Delta_[n, c, p, q] * (1 if Y_[n, c, p, q] == Z_[n, c, h, w] else 0) for p in rows for q in columns
        )
    return dZ


# R, S, u, v, p_h, p_w on images of 6 x 7
WINDOWS = {
    "apart": (2, 3, 2, 3, 0, 0),
    "overlapping": (3, 2, 1, 1, 0, 0),
    "padding": (3, 4, 2, 1, 1, 2),
    "gaps": (1, 2, 2, 4, 0, 1),
}
windows = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)


@windows
def test_m17_13_14(window, backend):
    """P1, and P2 by each way to say who wins."""
    R, S, u, v, p_h, p_w = window
    options = dict(stride=(u, v), padding=(p_h, p_w), backend=backend)
    tied = integers(4, 2, 2, 6, 7, least=-3, most=0)  # negative, so that a padding of 0 would win
    Y = m17_13(tied, R, S, u, v, p_h, p_w)
    assert_array_equal(cnnx.max_pool2d(tied, (R, S), **options), Y)
    Delta = integers(5, *Y.shape)
    expected = m17_14(Delta, tied, Y, R, S, u, v, p_h, p_w)
    assert_array_equal(cnnx.max_pool2d_backward(Delta, tied, (R, S), ties="all", **options), expected)
    # Where nothing is tied (14) is the derivative, whoever wins a tie.
    distinct = np.random.default_rng(6).permutation(2 * 2 * 6 * 7).reshape(2, 2, 6, 7) - 200.0
    Y, winners = cnnx.max_pool2d(distinct, (R, S), return_winners=True, **options)
    assert_array_equal(Y, m17_13(distinct, R, S, u, v, p_h, p_w))
    expected = m17_14(Delta, distinct, Y, R, S, u, v, p_h, p_w)
    for choice in (dict(ties="first"), dict(ties="all"), dict(winners=winners)):
        assert_array_equal(cnnx.max_pool2d_backward(Delta, distinct, (R, S), **choice, **options), expected)


ACTIVATIONS = {
    "relu": (lambda z: max(0.0, z), lambda z: float(z > 0)),
    "sigmoid": (lambda z: 1 / (1 + math.exp(-z)), lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2),
    "tanh": (
        lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z)),
        lambda z: 4 / (math.exp(z) + math.exp(-z)) ** 2,
    ),
    "step": (lambda z: 0.0 if z <= 0 else 1.0, lambda z: 0.0),
    "identity": (lambda z: z, lambda z: 1.0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_m17_15_16(name, backend):
    """A1, A2 with W15's and D19's functions; the derivatives are written out, not by y."""
    phi, phi_prime = ACTIVATIONS[name]
    Z = np.array([-3.0, -1.25, -0.5, 0.0, 0.5, 1.25, 3.0]).reshape(1, 7, 1, 1)
    Delta = np.array([2.0, -3.0, 0.5, 4.0, -1.0, 7.0, 0.25]).reshape(1, 7, 1, 1)
    Y = getattr(cnnx, name)(Z, backend=backend)
    assert_allclose(Y.ravel(), [phi(z) for z in Z.ravel()], rtol=2e-15, atol=1e-16)
    dZ = getattr(cnnx, f"{name}_backward")(Delta, Z, backend=backend)
    # Within a few ulp of 1: 1 - y^2 cancels.
    slopes = [phi_prime(z) for z in Z.ravel()]
    assert_allclose((dZ / Delta).ravel(), slopes, rtol=0, atol=1e-15)


# ------------------------------------------------------------------------------- affine, and the 1/N


def m17_17(Z, w, b):
    Z_, w_, b_ = Counted(Z), Counted(w), Counted(b)
    outputs, inputs = w.shape
    return np.array([
        [sum(w_[i, j] * Z_[n, j] for j in one_to(inputs)) + b_[i,] for i in one_to(outputs)] for n in one_to(len(Z))
    ])  # fmt: skip


def m17_18_19(Delta, Z):
    (N, outputs), Delta_, Z_ = Delta.shape, Counted(Delta), Counted(Z)
    dw = [[sum(Delta_[n, i] * Z_[n, j] for n in one_to(N)) / N for j in one_to(Z.shape[1])] for i in one_to(outputs)]
    return np.array(dw), np.array([sum(Delta_[n, i] * 1 for n in one_to(N)) / N for i in one_to(outputs)])


def m17_20(Delta, w):
    Delta_, w_ = Counted(Delta), Counted(w)
    outputs, inputs = w.shape
    return np.array([
        [sum(Delta_[n, i] * w_[i, j] for i in one_to(outputs)) for j in one_to(inputs)] for n in one_to(len(Delta))
    ])  # fmt: skip


def test_m17_17_to_20(backend):
    """F1-F3."""
    N = 4
    Z, w, b, Delta = integers(1, N, 5), integers(2, 3, 5), integers(3, 3), integers(4, N, 3)
    assert_array_equal(cnnx.affine(Z, w, b, backend=backend), m17_17(Z, w, b))
    dZ, dw, db = cnnx.affine_backward(Delta, Z, w, backend=backend)
    printed_dw, printed_db = m17_18_19(Delta, Z)
    assert_array_equal(dZ, m17_20(Delta, w))
    assert_array_equal(dw, N * printed_dw)
    assert_array_equal(db, N * printed_db)


def test_m17_one_over_n_lives_in_the_cost(backend):
    """(5), (6), (18), (19) with 1/N and Delta per example, against layers that sum behind a cost that means."""
    N, K = 4, 2  # a power of two: dividing by it does not round
    Z, F, b = integers(1, N, 2, 5, 4, least=-3, most=3), integers(2, K, 2, 2, 3, least=-3, most=3), integers(3, K)
    w, b_O, target = integers(4, 3, K * 3 * 4), integers(5, 3), integers(6, N, 3)
    stride, padding = (2, 1), (1, 1)

    # M17, every example on its own: E = (1/N) sum_n E_n, Delta = dE_n/dZ.
    convolved = m17_4(Z, F, b, *stride, *padding)
    flat = np.maximum(convolved, 0).reshape(N, -1)
    output = m17_17(flat, w, b_O)
    E = sum(sum((target[n, i] - output[n, i]) ** 2 for i in range(3)) / 2 for n in range(N)) / N
    Delta_O = output - target
    dw, db_O = m17_18_19(Delta_O, flat)
    Delta = m17_20(Delta_O, w).reshape(convolved.shape) * (convolved > 0)  # (16)
    dF, db = m17_5(Delta, Z, *F.shape[2:], *stride, *padding), m17_6(Delta)

    # cnnx, reduction "mean"
    on = dict(backend=backend)
    z = cnnx.conv2d(Z, F, b, stride=stride, padding=padding, **on)
    x = cnnx.flatten(cnnx.relu(z, **on))
    y = cnnx.affine(x, w, b_O, **on)
    assert cnnx.squared_error(y, target, **on) == E
    grad_x, grad_w, grad_b_O = cnnx.affine_backward(cnnx.squared_error_backward(y, target, **on), x, w, **on)
    grad_z = cnnx.relu_backward(cnnx.flatten_backward(grad_x, z), z, **on)
    _, grad_F, grad_b = cnnx.conv2d_backward(grad_z, Z, F, stride=stride, padding=padding, **on)
    for ours, theirs in (grad_w, dw), (grad_b_O, db_O), (grad_F, dF), (grad_b, db):
        assert_array_equal(ours, theirs)
    # D19's "sum" is N times as much.
    summed = cnnx.affine_backward(cnnx.squared_error_backward(y, target, reduction="sum", **on), x, w, **on)
    assert_array_equal(summed[1], N * dw)


def test_m17_one_over_n_of_cross_entropy(backend):
    logits = np.array([[0.5, -1.0, 2.0], [3.0, 0.0, -0.5], [-1.0, -2.0, 1.5]])
    target = np.array([2, 0, 1])
    softmax = np.array([[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in logits.tolist()])
    E = -sum(math.log(softmax[n, t]) for n, t in enumerate(target)) / 3
    assert cnnx.cross_entropy(logits, target, backend=backend) == pytest.approx(E, rel=1e-14)
    Delta = cnnx.cross_entropy_backward(logits, target, backend=backend)
    x, weight = integers(7, 3, 4), np.zeros((3, 4))
    dw, db = m17_18_19(softmax - np.eye(3)[target], x)  # dE_n/dz = y - t
    _, grad_w, grad_b = cnnx.affine_backward(Delta, x, weight, backend=backend)
    assert_allclose(grad_w, dw, rtol=1e-13, atol=1e-15)
    assert_allclose(grad_b, db, rtol=1e-13, atol=1e-15)
