"""Pooling over many geometries, against windows cut out by NumPy: what the audit's few cases may miss."""

import numpy as np
import pytest

import cnnx
from cnnx import native

SEEDS = range(60)


def windows(x, shape, R, S, u, v, p_h, p_w):
    """(p, q, rows, columns, window's pixels) of every window, clipped to the image."""
    H, W = x.shape[2:]
    for p in range(shape[2]):
        for q in range(shape[3]):
            rows = slice(max(0, u * p - p_h), min(H, u * p - p_h + R))
            columns = slice(max(0, v * q - p_w), min(W, v * q - p_w + S))
            yield p, q, rows, columns, x[:, :, rows, columns].reshape(*x.shape[:2], -1)


def drawn(seed, dtype):
    """An image with ties, NaN and infinities, and options that fit it; widths about whole vectors among them."""
    rng = np.random.default_rng(seed)
    R, S = (int(n) for n in rng.choice([1, 2, 2, 3, 3, 4, 5, 7, 20], 2))
    u, v = (int(n) for n in rng.choice([1, 1, 2, 2, 2, 3, 4, 5, 18], 2))
    if seed % 2 == 0:
        S, v = ((2, 2), (3, 2), (3, 1), (3, 3))[seed // 2 % 4]
    top, left = int(rng.integers(R)), int(rng.integers(S))
    bottom, right = int(rng.integers(R)), int(rng.integers(S))
    H = max(1, int(rng.integers(1, 14)), R - top - bottom)
    W = max(1, int(rng.choice([*range(1, 20), 31, 32, 33, 34, 48, 63, 64, 65, 66, 97])), S - left - right)
    x = rng.integers(-9, 9, (2, 19 if seed % 3 == 1 else 3, H, W)).astype(dtype)  # with more maps than lanes, too
    for value in (np.nan, np.inf, -np.inf):
        x[rng.random(x.shape) < 0.02] = value
    x[0, 0] = -np.inf  # a maximum is a pixel, never the padding beside it
    # A window wholly in padding is refused: no padding at that side then.
    if (H + top + bottom - R) // u * u >= H + top or u > 1:
        bottom = max(0, R - H - top)
    if (W + left + right - S) // v * v >= W + left or v > 1:
        right = max(0, S - W - left)
    padding = ((top, bottom), (left, right))
    return rng, x, (R, S, u, v, top, left), {"kernel_size": (R, S), "stride": (u, v), "padding": padding}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", SEEDS)
def test_max(seed, dtype):
    """P1, P2."""
    rng, x, geometry, options = drawn(seed, dtype)
    options["ceil_mode"] = bool(seed % 3 == 0)
    y, winners = cnnx.max_pool2d(x, **options, return_winners=True)
    np.testing.assert_array_equal(cnnx.max_pool2d(x, **options), y)
    delta = rng.integers(-9, 9, y.shape).astype(dtype)
    first, every = np.zeros_like(x), np.zeros_like(x)
    S = geometry[1]
    for p, q, rows, columns, pixels in windows(x, y.shape, *geometry):
        nan = np.isnan(pixels)
        at = np.where(nan.any(axis=-1), nan.argmax(axis=-1), pixels.argmax(axis=-1))
        maximum = np.take_along_axis(pixels, at[..., np.newaxis], -1)
        np.testing.assert_array_equal(y[:, :, p, q], maximum[..., 0])
        wide = columns.stop - columns.start
        h, w = at // wide + rows.start, at % wide + columns.start
        r, s = h + geometry[4] - geometry[2] * p, w + geometry[5] - geometry[3] * q
        np.testing.assert_array_equal(winners[:, :, p, q], r * S + s)
        n, c = np.indices(at.shape)
        first[n, c, h, w] += delta[:, :, p, q]
        mask = (pixels == maximum).reshape(*at.shape, -1, wide)
        every[:, :, rows, columns] += mask * delta[:, :, p, q, np.newaxis, np.newaxis]
    np.testing.assert_array_equal(cnnx.max_pool2d_backward(delta, x, **options), first)
    np.testing.assert_array_equal(cnnx.max_pool2d_backward(delta, x, **options, winners=winners), first)
    np.testing.assert_array_equal(cnnx.max_pool2d_backward(delta, x, **options, ties="all"), every)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", SEEDS)
def test_average_and_norms(seed, dtype):
    """P3, P4."""
    rng, x, geometry, options = drawn(seed, dtype)
    x[~np.isfinite(x)] = 1
    y = cnnx.avg_pool2d(x, **options)
    delta = rng.integers(-9, 9, y.shape).astype(dtype)
    wanted = np.zeros(x.shape)
    norms = {rho: cnnx.lp_pool2d(x, rho, **options) for rho in (1, 2, 3, 2.5)}
    for p, q, rows, columns, pixels in windows(x, y.shape, *geometry):
        np.testing.assert_allclose(y[:, :, p, q], pixels.mean(axis=-1, dtype=float), rtol=1e-5, atol=1e-5)
        wanted[:, :, rows, columns] += (delta[:, :, p, q] / pixels.shape[-1])[..., np.newaxis, np.newaxis]
        for rho, norm in norms.items():
            mean = (np.abs(pixels.astype(float)) ** rho).mean(axis=-1)
            np.testing.assert_allclose(norm[:, :, p, q], mean ** (1 / rho), rtol=1e-5)
    np.testing.assert_allclose(cnnx.avg_pool2d_backward(delta, x, **options), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_window_of_more_rows_than_offsets_have_room_for(dtype):
    """Rows r S of such a window lie beyond what stands for padding in a row of vectors."""
    R = 2**26
    x = np.array([[-np.inf, 1, -2], [5, 5, -np.inf], [0, 7, -1]], dtype).reshape(1, 1, 3, 3)
    options = {"kernel_size": (R, 2), "stride": (R // 2, 1), "padding": ((R - 1, R - 1), (1, 0))}
    y, winners = cnnx.max_pool2d(x, **options, return_winners=True)
    assert y.ravel().tolist() == [-np.inf, 1, 1, 5, 7, 7, 5, 7, 7]
    first = (R - 1) * 2
    assert winners.ravel().tolist()[:3] == [first + 1, first + 1, first]
    assert cnnx.max_pool2d_backward(np.ones_like(y), x, **options, winners=winners).sum() == 9


def test_any_part_of_a_plane_alone(each_threads):
    """One plane is cut into rows for threads: the same bits however many there are."""
    x = np.random.default_rng(0).standard_normal((1, 1, 23, 67)).astype(np.float32)
    results = []
    with native.always_parallel():
        for _ in each_threads(1, 2, 3, 7):
            y, winners = cnnx.max_pool2d(x, 3, stride=2, padding=1, return_winners=True)
            results.append(
                [
                    y,
                    winners,
                    cnnx.max_pool2d_backward(y, x, 3, stride=2, padding=1, winners=winners),
                    cnnx.max_pool2d_backward(y, x, 3, stride=2, padding=1, ties="all"),
                    cnnx.avg_pool2d(x, 3, stride=1, padding=1),
                    cnnx.avg_pool2d_backward(x, x, 3, stride=1, padding=1),
                    cnnx.lp_pool2d(x, 2, 3, stride=1, padding=1),
                    cnnx.lp_pool2d_backward(x, x, 2, 3, stride=1, padding=1),
                ]
            )
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"kernel_size": (2, 3), "stride": 1, "padding": 1}], ids=str)
def test_the_mean_of_the_largest_numbers(options, backend):
    """Four times 3e38 are beyond float32, and their mean is not; other numbers of the row stay what they are."""
    largest = np.finfo("float32").max
    for number in (largest, np.float32(3e38), -largest):
        x = np.full((1, 2, 4, 37), number, "float32")
        assert (cnnx.avg_pool2d(x, backend=backend, **options) == number).all()
    x = np.ones((1, 1, 4, 37), "float32")
    x[0, 0, :, 8:14] = [[largest, largest, -largest, largest, largest, largest]] * 4
    y = cnnx.avg_pool2d(x, 2, backend=backend)[0, 0, 0]
    assert y[4:7].tolist() == [largest, 0, largest]
    assert (np.delete(y, [4, 5, 6]) == 1).all()
    x[0, 0, 1, 20], x[0, 0, 3, 30] = np.inf, np.nan
    y = cnnx.avg_pool2d(x, 2, backend=backend)[0, 0]
    assert y[0, 10] == np.inf
    assert np.isnan(y[1, 15])
    assert np.isfinite(y).sum() == y.size - 2


SMALL = [
    ((4, 4), {"kernel_size": 3, "stride": 1, "padding": 1}),
    ((7, 7), {"kernel_size": 2}),
    ((9, 9), {"kernel_size": 3, "ceil_mode": True}),
    ((12, 31), {"kernel_size": (3, 6), "stride": (2, 5), "padding": (1, 3)}),
    ((30, 40), {"kernel_size": 10, "stride": 7}),
    ((17, 5), {"kernel_size": (17, 5)}),
    ((1, 1), {"kernel_size": 1}),
]


def everything(x, delta, options):
    """All results of both poolings, as bits."""
    y, winners = cnnx.max_pool2d(x, **options, return_winners=True)
    found = [y, winners, cnnx.max_pool2d(x, **options)]
    more = {}, {"winners": winners}, {"ties": "all"}
    found += [cnnx.max_pool2d_backward(delta, x, **options, **each) for each in more]
    found += [cnnx.avg_pool2d(x, **options), cnnx.avg_pool2d_backward(delta, x, **options)]
    return [a.view(f"i{a.itemsize}") for a in found]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("size", "options"), SMALL, ids=str)
@pytest.mark.parametrize("numbers", ["real", "zeros of both signs"])
def test_maps_side_by_side_have_the_bits_of_each_alone(size, options, dtype, numbers):
    """37 maps: whole vectors of maps and what is left, of small images; alone a map goes row by row."""
    rng = np.random.default_rng(size[0])
    shape = cnnx.avg_pool2d(np.zeros((1, 1, *size), dtype), **options).shape[2:]
    x, delta = (rng.standard_normal((1, 37, *extents)).astype(dtype) for extents in (size, shape))
    if numbers != "real":
        x, delta = (np.copysign(0, a) for a in (x, delta))
    together = everything(x, delta, options)
    for c in range(37):
        alone = everything(x[:, c : c + 1], delta[:, c : c + 1], options)
        for one, all_maps in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, all_maps[:, c : c + 1])
    if native.build_info()["openmp"]:
        x, delta = (np.tile(a, (40, 1, 1, 1)) for a in (x, delta))  # enough for several threads
        before = cnnx.get_num_threads()
        try:
            results = []
            for threads in (1, 3):
                cnnx.set_num_threads(threads)
                results.append(everything(x, delta, options))
        finally:
            cnnx.set_num_threads(before)
        for one, three in zip(*results, strict=True):
            np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [(4, 4, 0), (3, 1, 1), (3, 2, 1), (20, 20, 0), (20, 3, 7), (2, 7, 0)], ids=str)
def test_a_column_has_the_bits_of_a_row(options, dtype):
    R, u, p_h = options
    rng = np.random.default_rng(R)
    column = {"kernel_size": (R, 1), "stride": (u, 1), "padding": (p_h, 0)}
    row = {"kernel_size": (1, R), "stride": (1, u), "padding": (0, p_h)}
    shape = cnnx.avg_pool2d(np.zeros((2, 1, 203, 1), dtype), **column).shape
    x, delta = (rng.integers(-3, 4, extents).astype(dtype) for extents in ((2, 1, 203, 1), shape))
    across = [a.transpose(0, 1, 3, 2) for a in (x, delta)]
    for one, other in zip(everything(x, delta, column), everything(*across, row), strict=True):
        np.testing.assert_array_equal(one, other.transpose(0, 1, 3, 2))
