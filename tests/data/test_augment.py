"""Augmentation and standardisation, held against NumPy's roll, rot90, mean and std."""

import itertools
import math

import numpy as np
import pytest

from cnnx.data import Augmentation, Standardizer, rotate_images, shift_images
from cnnx.data._augment import resample

pytestmark = pytest.mark.once

DTYPES = ["float32", "float64"]


def images(shape=(3, 2, 7, 7), dtype="float64", seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def rng(seed=0):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------------------------------- what moves


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (2, 0), (0, -3), (-1, 4), (7, 0), (0, 100), (-6, 6)])
def test_shifts_by_whole_pixels_are_rolls_with_zeros(dtype, rows, columns):
    x = images((3, 2, 7, 9), dtype)
    padded = np.pad(x, ((0, 0), (0, 0), (200, 200), (200, 200)))
    expected = np.roll(padded, (rows, columns), axis=(2, 3))[:, :, 200:207, 200:209]
    moved = shift_images(x, rows, columns)
    assert moved.dtype == dtype
    assert np.array_equal(moved, expected)


def test_a_shift_between_pixels_weighs_its_neighbours():
    x = images((1, 1, 1, 4))
    a, b, c, d = x.ravel()
    expected = [0.75 * a, 0.75 * b + 0.25 * a, 0.75 * c + 0.25 * b, 0.75 * d + 0.25 * c]
    assert np.allclose(shift_images(x, 0, 0.25).ravel(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extent", [6, 7])
@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3, 4])
def test_rotations_by_right_angles_are_rot90(dtype, extent, quarters):
    x = images((3, 2, extent, extent), dtype)
    expected = np.rot90(x, quarters, axes=(2, 3))
    assert np.abs(rotate_images(x, 90 * quarters) - expected).max() < 20 * np.finfo(dtype).eps * extent


def test_a_rotation_of_an_oblong_image_by_180_degrees():
    x = images((1, 3, 4, 9))
    assert np.allclose(rotate_images(x, 180), x[:, :, ::-1, ::-1], rtol=0, atol=1e-13)


def test_resampling_is_bilinear_interpolation_of_each_image_for_itself():
    """Against the formula, pixel by pixel in plain Python."""
    x = images((2, 2, 4, 5))
    rows, columns = rng(1).uniform(-2, 5, (2, 4, 5)), rng(2).uniform(-2, 6, (2, 4, 5))

    def pixel(n, c, i, j):
        return x[n, c, i, j] if 0 <= i < 4 and 0 <= j < 5 else 0.0

    found = resample(x, rows, columns)
    for n, c, h, w in itertools.product(range(2), range(2), range(4), range(5)):
        i, j = math.floor(rows[n, h, w]), math.floor(columns[n, h, w])
        u, v = rows[n, h, w] - i, columns[n, h, w] - j
        expected = (1 - u) * ((1 - v) * pixel(n, c, i, j) + v * pixel(n, c, i, j + 1)) + u * (
            (1 - v) * pixel(n, c, i + 1, j) + v * pixel(n, c, i + 1, j + 1)
        )
        assert abs(found[n, c, h, w] - expected) < 1e-13


# ---------------------------------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_off_at_first_and_never_writes_to_its_input(dtype):
    x = images(dtype=dtype)
    before = x.copy()
    x.flags.writeable = False
    same = Augmentation()(x, rng())
    assert np.array_equal(same, before)
    assert not np.shares_memory(same, x)
    changed = Augmentation(shift=2, rotation=15, elastic=1)(x, rng())
    assert np.array_equal(x, before)
    assert changed.shape == x.shape
    assert changed.dtype == dtype
    assert changed.flags.c_contiguous


STRENGTHS = [dict(shift=2), dict(rotation=20), dict(elastic=1.0), dict(shift=1, rotation=10, elastic=0.5)]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_seed_decides(strength):
    x, augment = images(), Augmentation(**strength)
    first = augment(x, rng(3))
    assert np.array_equal(augment(x, rng(3)), first)
    assert not np.array_equal(augment(x, rng(4)), first)
    random = rng(3)
    assert np.array_equal(augment(x, random), first)
    assert not np.array_equal(augment(x, random), first)  # the generator went on


@pytest.mark.parametrize("strength", STRENGTHS)
def test_each_image_is_changed_for_itself_and_its_channels_alike(strength):
    one = images((1, 1, 9, 9))
    changed = Augmentation(**strength)(one.repeat(4, axis=0).repeat(3, axis=1), rng())
    assert all(np.array_equal(changed[:, 0], changed[:, c]) for c in (1, 2))
    assert not any(np.array_equal(changed[i], changed[j]) for i in range(4) for j in range(i))


def ramps(count, extent=41):
    """Images whose value is their row, and their column: what comes out says where each pixel came from."""
    rows, columns = np.meshgrid(np.arange(float(extent)), np.arange(float(extent)), indexing="ij")
    return np.broadcast_to(np.stack([rows, columns]), (count, 2, extent, extent)).copy(), rows, columns


def test_shifts_are_even_within_their_limits():
    x, rows, columns = ramps(3000, 9)
    moved = Augmentation(shift=3)(x, rng())[:, :, 4, 4] - [rows[4, 4], columns[4, 4]]
    assert np.abs(moved).max() <= 3
    assert np.abs(moved).max() > 2.9
    assert np.abs(moved.mean(axis=0)).max() < 0.15
    assert np.allclose(moved.std(axis=0), 3 / math.sqrt(3), rtol=0.05)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.1


def test_rotations_are_even_within_their_limits():
    x, _, _ = ramps(2000, 15)
    changed = Augmentation(rotation=30)(x, rng())
    assert np.allclose(changed[:, :, 7, 7], 7)  # the middle stays
    down, right = changed[:, 0, 7, 10] - 7, changed[:, 1, 7, 10] - 7
    assert np.allclose(np.hypot(down, right), 3)
    angles = np.degrees(np.arctan2(down, right))
    assert np.abs(angles).max() <= 30 + 1e-9
    assert np.abs(angles).max() > 29
    assert abs(angles.mean()) < 1.5
    assert abs(angles.std() - 30 / math.sqrt(3)) < 1


def test_elastic_bends_are_as_strong_and_as_smooth_as_they_say():
    x, _, _ = ramps(300)
    inner = slice(8, -8)
    for strength, smoothness in (1.0, 3.0), (2.0, 5.0):
        changed = Augmentation(elastic=strength, smoothness=smoothness)(x, rng())
        bend = (changed - x)[:, :, inner, inner]
        assert np.allclose(bend.std(axis=(0, 2, 3)), strength, rtol=0.06)
        assert np.abs(bend.mean(axis=(0, 2, 3))).max() < 0.1 * strength
        # Gaussian weights of deviation s make a correlation of exp(-d^2 / (4 s^2)) over a distance d.
        d = int(smoothness)
        near = (bend[..., :, :-d] * bend[..., :, d:]).mean() / (bend**2).mean()
        assert abs(near - math.exp(-((d / smoothness) ** 2) / 4)) < 0.06


def test_to_switch_one_off_does_not_change_the_others():
    x = images()
    both, alone = Augmentation(shift=2, elastic=1e-12)(x, rng()), Augmentation(shift=2)(x, rng())
    assert np.allclose(both, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(shift=-1), ValueError, "shift: expected a finite number of at least 0, got -1"),
        (dict(rotation=float("nan")), ValueError, "rotation: expected a finite number of at least 0, got nan"),
        (dict(elastic="1"), TypeError, "elastic: expected a number, got str '1'"),
        (dict(shift=True), TypeError, "shift: expected a number, got bool True"),
        (dict(smoothness=0), ValueError, "smoothness: expected a finite number above 0, got 0"),
    ],
)
def test_strengths_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        Augmentation(**arguments)


def test_batches_that_do_not_fit():
    augment = Augmentation(shift=1)
    for x, error in ([[[[1.0]]]], TypeError), (np.ones((1, 1, 2, 2), int), TypeError), (np.ones((2, 2)), ValueError):
        for function in (lambda x: augment(x, rng()), lambda x: shift_images(x, 0, 0), lambda x: rotate_images(x, 0)):
            with pytest.raises(error, match="x: expected"):
                function(x)
    with pytest.raises(TypeError, match=r"rng: expected a numpy\.random\.Generator, got int"):
        augment(images(), 0)
    assert augment(images((0, 1, 4, 4)), rng()).shape == (0, 1, 4, 4)


# ---------------------------------------------------------------------------------------------- standardisation


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize(("per", "axes"), [("channel", (0, 2, 3)), ("pixel", (0,))])
def test_standardisation_is_numpy_s_mean_and_std(per, axes, batch_size):
    train, test = images((50, 3, 4, 5), seed=1) * 5 + 100, images((20, 3, 4, 5), seed=2)
    mean, std = train.mean(axis=axes, keepdims=True), train.std(axis=axes, keepdims=True)
    standard = Standardizer(per, batch_size=batch_size).fit(train)
    assert np.allclose(standard.mean, mean, rtol=1e-13)
    assert np.allclose(standard.std, std, rtol=1e-12)
    found = standard.transform(test, dtype="float64")
    assert np.allclose(found, (test - mean) / std, rtol=1e-11)
    assert np.allclose(standard.inverse(found, dtype="float64"), test, rtol=0, atol=1e-11)
    assert standard.transform(test).dtype == "float32"
    assert np.allclose(standard.transform(train, dtype="float64").mean(axis=axes), 0, atol=1e-11)


def test_a_small_spread_about_a_large_mean_is_not_lost():
    train = 1e8 + images((200, 1, 3, 3))
    assert np.allclose(Standardizer(batch_size=9).fit(train).std, train.std(), rtol=1e-7)


def test_bytes_and_pixels_that_never_change():
    train = np.zeros((5, 1, 2, 2), "uint8")
    train[:, 0, 0, 0] = [0, 50, 100, 150, 250]
    standard = Standardizer("pixel").fit(train)
    found = standard.transform(train)
    assert np.allclose(found[:, 0, 0, 0], (train[:, 0, 0, 0] - 110.0) / train[:, 0, 0, 0].std(), rtol=1e-6)
    assert not found[:, 0, 1].any()
    assert np.array_equal(standard.inverse(found).round().astype("uint8"), train)


def test_memory_mapped_images_are_read_and_written_in_parts(tmp_path):
    train = images((40, 2, 6, 6), "float32")
    np.save(tmp_path / "x.npy", train)
    largest = 0

    class Watched(np.ndarray):
        """Says how many images are read at once."""

        def __getitem__(self, key):
            nonlocal largest
            found = super().__getitem__(key)
            if isinstance(key, slice):
                largest = max(largest, len(found))
            return np.asarray(found)

    mapped = np.load(tmp_path / "x.npy", mmap_mode="r").view(Watched)
    out = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", "float32", train.shape)
    standard = Standardizer(batch_size=16).fit(mapped)
    assert standard.transform(mapped, out=out) is out
    out.flush()
    assert largest == 16
    assert np.allclose(np.load(tmp_path / "y.npy"), Standardizer().fit(train).transform(train), rtol=0, atol=1e-6)


def test_standardisation_of_what_does_not_fit():
    standard = Standardizer("pixel")
    with pytest.raises(RuntimeError, match="expected fit first"):
        standard.transform(images())
    standard.fit(images())
    with pytest.raises(ValueError, match="x: expected images like those that were fitted"):
        standard.transform(images((1, 2, 7, 8)))
    with pytest.raises(ValueError, match=r"out: expected an array of floats of shape \(3, 2, 7, 7\), got int"):
        standard.transform(images(), out=5)
    for x in images((0, 1, 2, 2)), np.full((2, 1, 2, 2), np.nan), np.ones((2, 2)):
        with pytest.raises(ValueError, match="x: expected"), np.errstate(all="ignore"):
            Standardizer().fit(x)
    with pytest.raises(TypeError, match="x: expected"):
        Standardizer().fit([[1.0]])
    with pytest.raises(ValueError, match="per: expected one of 'channel', 'pixel', got 'image'"):
        Standardizer("image")
    for batch_size, error in (0, ValueError), (1.5, TypeError):
        with pytest.raises(error, match="batch_size"):
            Standardizer(batch_size=batch_size)
