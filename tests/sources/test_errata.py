"""What the sources get wrong (cnnx/equations.md, section 6): one test per row, named after it.

Each computes the printed form as it stands, in plain Python or NumPy, shows what is wrong with it, and shows that cnnx
does the right thing, which is found by a way of its own: counting windows, adding up from the other side, differences.

Shown elsewhere or not at all:

- D19's rows: test_errata_d19.py.
- M17 (14), "a gradient check at a tie reports the tie": with the gradient check's own tests.
- W15's formulas are lost, so which bound it names is not known: each one alone is shown not to be enough.
- That CN's `epoch` counts updates: its program is not part of the note. What can be shown is that cnnx keeps the two
  apart.
"""

import math

import numpy as np
import ox
import pytest
from ox import Counted, correlate, integers, scatter

import cnnx


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    return request.param


def fitting(extent, window, stride):
    """How many windows fit into `extent` rows, by laying them out."""
    return sum(1 for start in range(0, extent, stride) if start + window <= extent)


# -------------------------------------------------------------------------------------------------- M17


def test_m17_table_1_rows_and_columns(backend):
    H, W, R, S, u, v = 7, 6, 3, 2, 2, 1
    printed_P = math.ceil((H - R + 1) / v)
    assert (printed_P - 1) * u + R > H  # its last window would leave the image
    x = np.array([[[[10.0 * h + w for w in range(W)] for h in range(H)]]])
    top_left = np.zeros((1, 1, R, S))
    top_left[0, 0, 0, 0] = 1
    y = cnnx.conv2d(x, top_left, stride=(u, v), backend=backend)
    # p, called the index of width, counts rows: it goes down the image in steps of u.
    assert y.tolist() == [[[[10 * h + w for w in range(5)] for h in (0, 2, 4)]]]


def test_m17_4_and_6_one_bias_per_channel(backend):
    N, K = 2, 3
    Z, F, b, Delta = integers(1, N, 2, 4, 3), integers(2, K, 2, 2, 2), integers(3, K), integers(4, N, K, 3, 2)

    def cost(b):  # a cost with dE_n/dY = Delta, linear in b: its differences are its derivative
        return (Delta * correlate(Z, F, b)).sum() / N

    slope_of_one_b = cost(b + 1) - cost(b)  # (4) as printed: all channels share b
    printed_6 = [Delta[:, k].sum() / N for k in range(K)]  # k is free
    assert slope_of_one_b not in printed_6
    assert slope_of_one_b == sum(printed_6)

    np.testing.assert_array_equal(cnnx.conv2d(Z, F, b, backend=backend), correlate(Z, F, b))
    grad_bias = cnnx.conv2d_backward(Delta / N, Z, F, backend=backend)[2]
    for k, step in enumerate(np.eye(K)):
        assert grad_bias[k] == cost(b + step) - cost(b)


def test_m17_10_11_padding(backend):
    H, R, u, p_h, p_w, P = 5, 3, 2, 1, 0, 3

    def reaching(h, padding):  # (10), (11): row_1 <= h <= row_R
        return [p for p in range(1, P + 1) if (p - 1) * u + 1 - padding <= h <= (p - 1) * u + R - padding]

    covered = {h: [p for p in range(1, P + 1) if h in [(p - 1) * u + r - p_h for r in range(1, R + 1)]] for h in (2, 3)}
    assert all(reaching(h, p_h) == covered[h] for h in covered)
    assert all(reaching(h, p_w) != covered[h] for h in covered)
    # With p_w, (7) asks for a kernel row that is not there.
    assert max(3 - (p - 1) * u + p_h for p in reaching(3, p_w)) > R

    x, F, Delta = integers(5, 1, 1, H, 1), integers(6, 1, 1, R, 1), integers(7, 1, 1, P, 1)
    grad_x = cnnx.conv2d_backward(Delta, x, F, stride=(u, 1), padding=(p_h, p_w), backend=backend)[0]
    np.testing.assert_array_equal(grad_x, scatter(Delta, F, H + 2 * p_h, 1, u)[:, :, p_h:-p_h])


def test_m17_13_padding_never_wins(backend):
    x = np.array([[[[-4.0, -3.0], [-2.0, -1.0]]]])
    # Zeros, as convolution pads, would be the maximum of every window that touches the border.
    assert ox.pad(x, (1, 1), (1, 1))[0, 0, :2, :2].max() == 0
    assert cnnx.max_pool2d(x, 2, stride=2, padding=1, backend=backend).tolist() == x.tolist()
    for too_wide in (1, (1, 0), ((0, 2), (0, 0))):
        with pytest.raises(ValueError, match=r"padding: expected every window to hold a pixel"):
            cnnx.max_pool2d(x, 1, stride=1, padding=too_wide, backend=backend)


def test_m17_13_p_v(backend):
    W, S, v, p_h, p_w = 4, 2, 2, 1, 0

    def columns(p_v):
        return {(q - 1) * v + s - p_v for q in range(1, (W + 2 * p_w - S) // v + 2) for s in range(1, S + 1)}

    assert columns(p_w) == {1, 2, 3, 4}
    assert columns(p_h) == {0, 1, 2, 3}  # the other padding there is: a column outside, and the last never seen
    x = np.array([[[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 5.0]]]])
    y = cnnx.max_pool2d(x, 2, stride=2, padding=(p_h, p_w), backend=backend)
    assert y.tolist() == [[[[2, 4], [2, 5]]]]


def test_m17_14_ties(backend):
    """M17 (14), D19 (7), CN (4)."""
    x, Delta = np.full((1, 1, 2, 3), 7.0), np.array([[[[5.0]]]])
    as_printed = Delta * (x == x.max())
    # Raising all pixels by t raises the maximum by t: the cost changes by 5 t. The printed gradient has six times that.
    change = 5 * ((x + 1).max() - x.max())
    assert as_printed.sum() == 6 * change

    def backward(image, **options):
        return cnnx.max_pool2d_backward(Delta, image, (2, 3), backend=backend, **options)

    np.testing.assert_array_equal(backward(x, ties="all"), as_printed)
    assert backward(x).tolist() == [[[[5, 0, 0], [0, 0, 0]]]]
    # Without a tie the two are one.
    x[0, 0, 1, 1] = 8
    for ties in ("first", "all"):
        assert backward(x, ties=ties).tolist() == [[[[0, 0, 0], [0, 5, 0]]]]


# ------------------------------------------------------------------------------------------ W15 and U19


def test_w15_both_bounds(backend):
    M, m = 4, 3
    F, Delta = integers(8, 1, 1, m, m), integers(9, 1, 1, M - m + 1, M - m + 1)
    right = scatter(Delta, F, M, M)

    def grad(i, j, left_out):  # sum_{s,t} Delta[i-s, j-t] F[s,t] but for the terms named
        return sum(
            Counted(Delta[0, 0], first=0)[i - s, j - t] * F[0, 0, s, t]
            for s in range(m)
            for t in range(m)
            if not (left_out(i - s) or left_out(j - t))
        )

    with pytest.raises(IndexError):
        grad(M - 1, M - 1, left_out=lambda index: index < 0)  # i - s beyond the map's last row
    with pytest.raises(IndexError):
        grad(0, 0, left_out=lambda index: index > M - m)  # i - s before its first
    both = [[grad(i, j, left_out=lambda index: not 0 <= index <= M - m) for j in range(M)] for i in range(M)]
    np.testing.assert_array_equal(both, right[0, 0])
    np.testing.assert_array_equal(cnnx.conv2d_backward(Delta, np.zeros((1, 1, M, M)), F, backend=backend)[0], right)


@pytest.mark.parametrize(("W", "H", "beta"), [(10, 4, 3), (11, 4, 3), (4, 2, 2), (5, 2, 1)])
def test_u19_stride_output_size(W, H, beta, backend):
    as_printed, count = (W - H) / beta, fitting(W, H, beta)
    assert as_printed != count
    if beta == 1:
        assert count == W - H + 1  # U19's own size without strides
    y = cnnx.conv2d(np.ones((1, 1, W, W)), np.ones((1, 1, H, H)), stride=beta, backend=backend)
    assert y.shape == (1, 1, count, count)


@pytest.mark.parametrize("beta", [1, 2])
def test_u19_uij_offsets(beta, backend):
    W, H, K = 5, 2, 3
    Z, V, v_0 = integers(10, 1, K, W, W), integers(11, 1, K, H, H), integers(12, 1)
    image = Counted(Z[0])  # columns count from 1

    def u_ij(i, j, minus):
        return v_0[0] + sum(
            V[0, k, p - 1, q - 1] * image[k + 1, beta * (i - 1) + p, beta * (j - 1) + q - minus]
            for k in range(K)
            for p in range(1, H + 1)
            for q in range(1, H + 1)
        )

    with pytest.raises(IndexError):
        u_ij(1, 1, minus=1)  # column 0
    count = range(1, fitting(W, H, beta) + 1)
    right = [[u_ij(i, j, minus=0) for j in count] for i in count]
    np.testing.assert_array_equal(cnnx.conv2d(Z, V, v_0, stride=beta, backend=backend)[0, 0], right)
    if beta == 1:  # z_ij, which U19 prints rightly
        z_11 = sum(
            V[0, k, p - 1, q - 1] * image[k + 1, 1 + p - 1, 1 + q - 1]
            for k in range(K)
            for p in range(1, H + 1)
            for q in range(1, H + 1)
        )
        assert right[0][0] == z_11 + v_0[0]


def test_u19_d19_lp_absolute_value(backend):
    window = [-2.0, 1.0, 1.0, -1.0]
    x = np.array(window).reshape(1, 1, 2, 2)
    mean = sum(z**3 for z in window) / 4
    assert isinstance(mean ** (1 / 3), complex)  # as printed: the root of a negative number
    assert sum(window) / 4 < 0  # p = 1: a mean, not a mean absolute value

    def pool(p, **options):
        return cnnx.lp_pool2d(x, p, 2, backend=backend, **options).item()

    assert pool(3) == pytest.approx(((8 + 1 + 1 + 1) / 4) ** (1 / 3), rel=4e-15)
    assert pool(1) == pytest.approx((2 + 1 + 1 + 1) / 4, rel=4e-15)
    assert pool(3, normalize=False) == pytest.approx((8 + 1 + 1 + 1) ** (1 / 3), rel=4e-15)
    # dY/dz = (1/|R|) sign(z) z^2 / Y^2: the derivative of the form with the absolute value.
    Y = (11 / 4) ** (1 / 3)
    grad_x = cnnx.lp_pool2d_backward(np.ones((1, 1, 1, 1)), x, 3, 2, backend=backend)
    np.testing.assert_allclose(grad_x.ravel(), [-4 / 4 / Y**2, 1 / 4 / Y**2, 1 / 4 / Y**2, -1 / 4 / Y**2], rtol=1e-14)


def test_u19_fully_connected_bias(backend):
    m, weight, z = 2, np.zeros((2, 3)), np.ones((1, 3))

    def one_v_0(v_0):
        return [float(weight[j] @ z[0]) + v_0 for j in range(m)]

    assert one_v_0(0.5)[0] == one_v_0(0.5)[1]  # without weights no v_0 makes the outputs differ
    bias = np.array([1.0333, 0.9686])  # D19's after one update: they do differ
    assert cnnx.affine(z, weight, bias, backend=backend).tolist() == [[1.0333, 0.9686]]
    Delta = np.array([[-0.1356, 0.1203]])
    # One v_0 would receive the sum, which is neither's.
    assert cnnx.affine_backward(Delta, z, weight, backend=backend)[2].tolist() == [-0.1356, 0.1203]


# --------------------------------------------------------------------------------------------------- CN


def test_cn_3_windows(backend):
    H, W, H_P, W_P = 4, 6, 2, 3
    x = integers(13, 1, 1, H, W)
    image = Counted(x[0, 0], first=0)

    def maximum(i, j, rows, columns):
        return max(image[k, m] for k in range(i * H_P, i * H_P + rows) for m in range(j * W_P, j * W_P + columns))

    assert maximum(0, 0, H, W) == x.max()  # as printed, the first window is the whole image
    with pytest.raises(IndexError):
        maximum(1, 0, H, W)  # and every other one leaves it
    right = [[maximum(i, j, H_P, W_P) for j in range(2)] for i in range(2)]
    assert cnnx.max_pool2d(x, (H_P, W_P), backend=backend)[0, 0].tolist() == right


def test_cn_3_average_columns(backend):
    H_P, W_P = 2, 4
    x = integers(14, 1, 1, 4, 8)

    def average(i, j, first_column):
        return x[0, 0, i * H_P : i * H_P + H_P, first_column : first_column + W_P].sum() / (H_P * W_P)

    # As printed, the columns start at i W_P, so every j averages the same window.
    assert average(0, 0, 0 * W_P) == average(0, 1, 0 * W_P)
    right = [[average(i, j, j * W_P) for j in range(2)] for i in range(2)]
    assert right[0][0] != right[0][1]
    assert cnnx.avg_pool2d(x, (H_P, W_P), backend=backend)[0, 0].tolist() == right
    # The sum of H W members over H_P W_P is no average either.
    assert np.ones((4, 8)).sum() / (H_P * W_P) == 4
    assert (cnnx.avg_pool2d(np.ones((1, 1, 4, 8)), (H_P, W_P), backend=backend) == 1).all()


@pytest.mark.parametrize(("H", "FH", "S", "P"), [(5, 2, 2, 0), (7, 3, 3, 0), (6, 3, 2, 1)])
def test_cn_1_floor(H, FH, S, P, backend):
    as_printed = (H + 2 * P - FH) / S + 1
    assert not as_printed.is_integer()
    count = fitting(H + 2 * P, FH, S)
    x, F = np.ones((1, 1, H, H)), np.ones((1, 1, FH, FH))
    assert cnnx.conv2d(x, F, stride=S, padding=P, backend=backend).shape == (1, 1, count, count)
    assert cnnx.max_pool2d(x, FH, stride=S, padding=P, backend=backend).shape == (1, 1, count, count)
    # ceil_mode lets a last window hang over the edge.
    hanging = cnnx.max_pool2d(x, FH, stride=S, padding=P, ceil_mode=True, backend=backend)
    assert hanging.shape == (1, 1, count + 1, count + 1)


def test_cn_epochs():
    from cnnx import nn  # the one test of the sources that needs more than the ops

    images, targets = ox.draw(ox.RING, ox.RING, ox.RING, ox.CROSS, ox.CROSS, ox.CROSS)

    def train(**length):
        model = nn.Sequential(nn.Flatten(), nn.Affine(9, 2, dtype="float64", seed=0))
        cost, optimizer = nn.SquaredError(), nn.SGD(0.01)
        return nn.fit(model, cost, optimizer, images, targets, batch_size=2, progress=False, **length).updates

    assert train(updates=4) == 4
    assert train(epochs=4) == 4 * 3  # a pass over six images by twos
    with pytest.raises(ValueError, match="exactly one"):
        train(updates=4, epochs=4)
