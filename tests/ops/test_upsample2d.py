"""upsample2d (R1-R5): the coordinates themselves, other libraries', the adjoint, and every way to cut the work."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import cnnx
from cnnx.ops.upsample2d import place

BACKENDS = pytest.mark.parametrize("backend", ["reference", "optimized"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EPS = {"float32": 2.0**-24, "float64": 2.0**-53}
HALF = Fraction(1, 2)
COORDINATES = {  # as ONNX's documentation writes them
    "half_pixel": lambda p, H, P: (p + HALF) * Fraction(H, P) - HALF,
    "align_corners": lambda p, H, P: p * Fraction(H - 1, P - 1) if P > 1 else Fraction(0),
    "asymmetric": lambda p, H, P: p * Fraction(H, P),
    "pytorch_half_pixel": lambda p, H, P: (p + HALF) * Fraction(H, P) - HALF if P > 1 else Fraction(0),
}
ROUNDINGS = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - HALF),
    "round_prefer_ceil": lambda x: math.floor(x + HALF),
}
EXTENTS = [*itertools.product(range(1, 8), range(1, 10)), (41, 123), (100, 7), (7, 700)]
MODES = [{"mode": "nearest", "coordinates": c, "rounding": r} for c in COORDINATES for r in ROUNDINGS]
MODES += [{"mode": "bilinear", "coordinates": c} for c in COORDINATES]
SHAPES = [  # x, size: several groups of columns, one column, fewer than before, doubled, as large
    ((2, 3, 5, 300), (9, 1300)),
    ((2, 2, 70, 1), (131, 1)),
    ((3, 2, 40, 1100), (7, 90)),
    ((2, 3, 6, 520), (12, 1040)),
    ((1, 2, 7, 600), (7, 600)),
    ((1, 2, 3, 2), (5, 1100)),
]


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(x, delta, size, **options):
    return cnnx.upsample2d(x, size, **options), cnnx.upsample2d_backward(delta, x, size, **options)


def bits(arrays):
    return [a.tobytes() for a in arrays]


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_places_are_the_formulas_without_rounding(coordinates):
    """R1."""
    for H, P in EXTENTS:
        A, B, D = place(H, P, coordinates)
        assert [Fraction(A * p + B, D) for p in range(P)] == [COORDINATES[coordinates](p, H, P) for p in range(P)]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest_pixels_are_the_rounded_places(coordinates, rounding):
    """R2, R3, along rows and along columns."""
    for H, P in EXTENTS:
        x = np.arange(float(H))
        expected = [ROUNDINGS[rounding](COORDINATES[coordinates](p, H, P)) for p in range(P)]
        expected = np.clip(expected, 0, H - 1)
        options = {"coordinates": coordinates, "rounding": rounding}
        rows = cnnx.upsample2d(x.reshape(1, 1, H, 1).repeat(2, 3), (P, 2), **options)
        columns = cnnx.upsample2d(x.reshape(1, 1, 1, H), (1, P), **options)
        np.testing.assert_array_equal(rows[0, 0, :, 1], expected)
        np.testing.assert_array_equal(columns[0, 0, 0], expected)


@pytest.mark.parametrize("coordinates", COORDINATES)
def test_bilinear_of_a_ramp_is_the_place_itself(coordinates):
    """R4, R5: of 0, 1, 2, ... the blend at x is x, between 0 and the last."""
    for H, P in EXTENTS:
        expected = [float(min(max(COORDINATES[coordinates](p, H, P), 0), H - 1)) for p in range(P)]
        y = cnnx.upsample2d(np.arange(float(H)).reshape(1, 1, H, 1), (P, 1), mode="bilinear", coordinates=coordinates)
        np.testing.assert_allclose(y.ravel(), expected, rtol=1e-14)


@DTYPES
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"coordinates": "asymmetric", "rounding": "floor"}, {"mode": "nearest"}),
        ({"rounding": "round_prefer_ceil"}, {"mode": "nearest-exact"}),
        ({"mode": "bilinear"}, {"mode": "bilinear", "align_corners": False}),
        ({"mode": "bilinear", "coordinates": "align_corners"}, {"mode": "bilinear", "align_corners": True}),
    ],
    ids=str,
)
def test_torch_has_the_same(ours, theirs, dtype):
    torch = pytest.importorskip("torch", reason="torch is a peer, not among the extras for tests")
    for H, P in EXTENTS[::3]:
        x, delta = normal((2, 3, H, 4), dtype, 1), normal((2, 3, P, 7), dtype, 2)
        z = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.interpolate(z, (P, 7), **theirs)
        expected.backward(torch.tensor(delta))
        y, grad_x = both(x, delta, (P, 7), **ours)
        near = {"atol": 64 * max(H, P) * EPS[dtype], "rtol": 0}  # torch rounds coordinates
        np.testing.assert_allclose(y, expected.detach().numpy(), **near)
        np.testing.assert_allclose(grad_x, z.grad.numpy(), **near)


@DTYPES
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "-".join(mode.values()))
def test_back_ends_agree_beyond_the_cases(mode, dtype):
    for shape, size in (((2, 2, 5, 3), (7, 11)), ((1, 2, 9, 8), (2, 3)), ((1, 1, 4, 6), (8, 1))):
        x, delta = normal(shape, dtype, 3), normal((*shape[:2], *size), dtype, 4)
        for one, other in zip(
            both(x, delta, size, **mode), both(x, delta, size, **mode, backend="reference"), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=0, atol=64 * EPS[dtype])


@DTYPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("shape", "size"), SHAPES, ids=str)
def test_threads_and_images_change_no_bits(shape, size, mode, dtype, each_threads):
    x, delta = normal(shape, dtype, 5), normal((*shape[:2], *size), dtype, 6)
    whole = both(x, delta, size, mode=mode)
    for _ in each_threads(1, 2, 3, 7):
        assert bits(both(x, delta, size, mode=mode)) == bits(whole)
    for n in range(shape[0]):
        assert bits(both(x[n : n + 1], delta[n : n + 1], size, mode=mode)) == bits(a[n] for a in whole)


@DTYPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize(("shape", "size"), SHAPES, ids=str)
def test_rows_and_columns_are_alike_and_the_way_back_is_the_adjoint(shape, size, mode, dtype):
    """Of integers, with powers of two as denominators, nothing is rounded."""
    rng = np.random.default_rng(7)
    P, Q = (2 * n if mode == "bilinear" else m for n, m in zip(shape[2:], size, strict=True))
    x, delta = rng.integers(-4, 5, shape).astype(dtype), rng.integers(-4, 5, (*shape[:2], P, Q)).astype(dtype)
    y, grad_x = both(x, delta, (P, Q), mode=mode)
    turned = both(*(np.ascontiguousarray(a.swapaxes(2, 3)) for a in (x, delta)), (Q, P), mode=mode)
    for a, b in zip((y, grad_x), turned, strict=True):
        np.testing.assert_array_equal(a, b.swapaxes(2, 3))
    assert (y.astype(float) * delta).sum() == (grad_x.astype(float) * x).sum()


@BACKENDS
@DTYPES
def test_pixels_of_weight_0_do_not_count(backend, dtype):
    x = np.array([[[[1.0, np.inf], [2.0, np.nan]]]], dtype)
    y = cnnx.upsample2d(x, (3, 3), mode="bilinear", coordinates="align_corners", backend=backend)
    np.testing.assert_array_equal(y[0, 0, :, 0], np.array([1, 1.5, 2], dtype))
    np.testing.assert_array_equal(y[0, 0, :, 2], np.array([np.inf, np.nan, np.nan], dtype))
    delta = np.zeros((1, 1, 3, 3), dtype)
    delta[0, 0, 0, 0] = np.inf
    grad_x = cnnx.upsample2d_backward(delta, x, (3, 3), mode="bilinear", coordinates="align_corners", backend=backend)
    np.testing.assert_array_equal(grad_x[0, 0], np.array([[np.inf, 0], [0, 0]], dtype))


@BACKENDS
def test_as_large_it_is_a_copy(backend):
    x = normal((2, 3, 4, 5), "float32", 8)
    x[0, 0, 0, 0] = np.nan
    for mode in MODES:
        y = cnnx.upsample2d(x, (4, 5), **mode, backend=backend)
        assert y.tobytes() == x.tobytes()
        assert not np.shares_memory(x, y)


def test_long_axes_are_computed_or_refused():
    """H P up to 2^57 goes without an overflow; beyond 2^60 it is refused, whatever the batch."""
    x = np.zeros((0, 1, 2**28, 1), np.float32)
    assert cnnx.upsample2d(x, (2**29, 1)).shape == (0, 1, 2**29, 1)
    with pytest.raises(ValueError, match="size: expected fewer rows and columns, for integers of 64 bits, got 2147483"):
        cnnx.upsample2d(np.zeros((0, 1, 2**30, 1), np.float32), (2**31 - 1, 1))
