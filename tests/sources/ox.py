"""What the tests of the sources share: D19's network for o and x, arrays indexed as printed, plain convolution."""

import math
from types import SimpleNamespace

import numpy as np

import cnnx

RING, CROSS = "111 101 111", "101 010 101"
# The six images of D19's printed update hold one of each of these; see cnnx/equations.md, section 7.
RING_DAMAGED, CROSS_DAMAGED = "111 100 111", "001 010 101"


# ---------------------------------------------------------------------------- D19's network for o and x


def draw(*images):
    """Images (N, 1, 3, 3) and targets (N, 2): (1, 0) for an o, (0, 1) for an x."""
    pixels = [[[[float(pixel) for pixel in row] for row in image.split()]] for image in images]
    targets = [(1.0, 0.0) if image in (RING, RING_DAMAGED) else (0.0, 1.0) for image in images]
    return np.array(pixels), np.array(targets)


def start():
    """The parameters that D19 starts from."""
    return SimpleNamespace(
        F=np.array([[[[1.0, 1.0], [1.0, -1.0]]], [[[1.0, -1.0], [-1.0, 1.0]]]]),
        b=np.array([1.0, 1.0]),
        w=np.array([[1.5, -4.2], [-2.6, 3.5]]),
        b_O=np.array([1.0, 1.0]),
    )


def run(net, image, target, *, backend, ties="first", squared=False):
    """Forward and backward through the network; every quantity under D19's name.

    `squared` multiplies by the convolution's sigmoid' once more than the chain rule has it, as D19's
    (4) does: pooling's Z^P is the maximum of a^F, so the factor is a^P (1 - a^P).
    """
    on = dict(backend=backend)
    Z_F = cnnx.conv2d(image, net.F, net.b, **on)
    a_F = cnnx.sigmoid(Z_F, **on)
    a_P = cnnx.max_pool2d(a_F, 2, **on)
    flat = cnnx.flatten(a_P)
    Z_O = cnnx.affine(flat, net.w, net.b_O, **on)
    a_O = cnnx.sigmoid(Z_O, **on)
    C_T = cnnx.squared_error(a_O, target, reduction="sum", **on)

    delta_O = cnnx.sigmoid_backward(cnnx.squared_error_backward(a_O, target, reduction="sum", **on), Z_O, **on)
    delta_flat, dw, db_O = cnnx.affine_backward(delta_O, flat, net.w, **on)
    through_pool = cnnx.flatten_backward(delta_flat, a_P)
    if squared:
        through_pool = through_pool * a_P * (1 - a_P)
    delta_F = cnnx.sigmoid_backward(cnnx.max_pool2d_backward(through_pool, a_F, 2, ties=ties, **on), Z_F, **on)
    _, dF, db = cnnx.conv2d_backward(delta_F, image, net.F, input_grad=False, **on)
    return SimpleNamespace(
        Z_F=Z_F,
        a_F=a_F,
        a_P=a_P[:, :, 0, 0],
        Z_O=Z_O,
        a_O=a_O,
        C_T=C_T,
        delta_O=delta_O,
        delta_F=delta_F,
        gradients=SimpleNamespace(F=dF, b=db, w=dw, b_O=db_O),
    )


def descend(net, gradients, eta):
    """G1: D19 (5), (6), (11), (12)."""
    return SimpleNamespace(**{name: value - eta * getattr(gradients, name) for name, value in vars(net).items()})


def plain_features(net, image):
    """D19's Z^F of one image (3, 3) as nested lists, in plain Python."""
    return [
        [
            [sum(F[0][r][s] * image[p + r][q + s] for r in range(2) for s in range(2)) + b for q in range(2)]
            for p in range(2)
        ]
        for F, b in zip(net.F.tolist(), net.b.tolist(), strict=True)
    ]


def plain_cost(net, Z_F, target):
    """D19's C behind the convolution, in plain Python: what finite differences are taken of."""
    pooled = [max(sigmoid(z) for row in feature for z in row) for feature in Z_F]
    outputs = [
        sigmoid(sum(w * a for w, a in zip(row, pooled, strict=True)) + b)
        for row, b in zip(net.w.tolist(), net.b_O.tolist(), strict=True)
    ]
    return sum((t - a) ** 2 for t, a in zip(target, outputs, strict=True)) / 2


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


# ----------------------------------------------------------------------------------- as the sources print


def printed(actual, expected, digits):
    """Assert that `actual` is what was printed, to its last digit (`digits` behind the point)."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=0.5001 * 10.0**-digits)


class Counted:
    """An array read by indices that count from `first`; what lies outside is `outside`, or an error if that is None."""

    def __init__(self, array, first=1, outside=None):
        self.array, self.first, self.outside = array, first, outside

    def __getitem__(self, index):
        at = tuple(i - self.first for i in index)
        if all(0 <= i < extent for i, extent in zip(at, self.array.shape, strict=True)):
            return self.array[at]
        if self.outside is None:
            raise IndexError(f"{index} is outside")
        return self.outside


# ------------------------------------------------------------------------- convolution in NumPy's own words


def pad(Z, rows, columns):
    """Z with `rows` and `columns` (before, after) of zeros around its images."""
    return np.pad(Z, ((0, 0), (0, 0), rows, columns))


def correlate(Z, F, b, u=1, v=1):
    """C1 of an image that is padded already: every window's product with the kernel."""
    windows = np.lib.stride_tricks.sliding_window_view(Z, F.shape[2:], axis=(2, 3))[:, :, ::u, ::v]
    return np.einsum("ncpqrs,kcrs->nkpq", windows, F) + b[:, None, None]


def scatter(Delta, F, H, W, u=1, v=1):
    """dE/dZ of such an image, by adding each Delta F to the pixels it came from: no bounds to get wrong."""
    N, K, P, Q = Delta.shape
    dZ = np.zeros((N, F.shape[1], H, W))
    for n, k, p, q in np.ndindex(N, K, P, Q):
        dZ[n, :, u * p : u * p + F.shape[2], v * q : v * q + F.shape[3]] += Delta[n, k, p, q] * F[k]
    return dZ


def integers(seed, *shape, least=-9, most=9):
    """Whole numbers as float64: sums of products of them have no rounding, so results can be held equal."""
    return np.random.default_rng(seed).integers(least, most, shape, endpoint=True).astype(np.float64)
