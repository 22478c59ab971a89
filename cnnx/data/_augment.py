"""Augmentation: images shifted, turned and bent a little, anew each time they are learnt from."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._check import shown
from ._dataset import Array


@dataclass(frozen=True)
class Augmentation:
    """Random shifts, rotations and elastic bends, in one bilinear resampling; at first all of them off.

    Called with a batch and a random generator it returns a new batch, in which each image was changed for itself
    and all its channels alike. What comes in from outside the image is 0. `cnnx.nn.fit(augment=...)` takes it, or
    any other function of the two. The same generator state gives the same batch.

    Parameters
    ----------
    shift : float
        The most pixels an image moves, along rows and columns each, evenly drawn; not only whole pixels.
    rotation : float
        The most degrees an image turns about its middle, either way, evenly drawn.
    elastic : float
        How far the pixels are displaced at random, as the standard deviation in pixels along each axis
        (Simard, Steinkraus and Platt, 2003).
    smoothness : float
        Over how many pixels the elastic displacements stay alike: the standard deviation of their Gaussian, above 0.

    Raises
    ------
    TypeError, ValueError
        A strength that is no number, or negative or not finite; in a call: images that are no float array
        (N, C, H, W), no numpy.random.Generator.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.data import Augmentation
    >>> images = np.zeros((2, 1, 5, 5), "float32")
    >>> images[:, :, 2, 2] = 1
    >>> augment = Augmentation(shift=1, rotation=10)
    >>> changed = augment(images, np.random.default_rng(0))
    >>> changed.shape, bool((changed[0] == changed[1]).all())
    ((2, 1, 5, 5), False)
    >>> bool((Augmentation()(images, np.random.default_rng(0)) == images).all())
    True
    """

    shift: float = 0.0
    rotation: float = 0.0
    elastic: float = 0.0
    smoothness: float = 4.0

    def __post_init__(self) -> None:
        for name in ("shift", "rotation", "elastic", "smoothness"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise TypeError(f"{name}: expected a number, got {type(value).__name__} {shown(value)}")
            if not 0 <= value < math.inf or (name == "smoothness" and value == 0):
                least = "above 0" if name == "smoothness" else "of at least 0"
                raise ValueError(f"{name}: expected a finite number {least}, got {shown(value)}")

    def __call__(self, x: Array, rng: np.random.Generator) -> Array:
        """A new batch: `x` (N, C, H, W), float32 or float64, each image changed at random."""
        _check_images(x)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng: expected a numpy.random.Generator, got {type(rng).__name__}")
        if not (self.shift or self.rotation or self.elastic):
            return x.copy()
        count, _, height, width = x.shape
        # Each is drawn whatever its strength: to switch one off does not change what the others do.
        shift = rng.uniform(-1, 1, (2, count, 1, 1)) * self.shift
        angle = rng.uniform(-1, 1, (count, 1, 1)) * math.radians(self.rotation)
        noise = rng.standard_normal((2, count, height, width), dtype=np.float32)
        rows, columns = _turned(x, angle) - shift
        if self.elastic:
            bend = _smoothing(height, self.smoothness) @ noise @ _smoothing(width, self.smoothness).T
            rows, columns = rows + self.elastic * bend[0], columns + self.elastic * bend[1]
        return resample(x, rows, columns)


def shift_images(x: Array, rows: float, columns: float) -> Array:
    """Move images down and to the right, or with negative numbers up and to the left; 0 comes in.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    rows, columns : float
        In pixels; between pixels it is interpolated.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        x is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.data import shift_images
    >>> shift_images(np.array([[[[1.0, 2.0, 3.0]]]]), 0, 1)
    array([[[[0., 1., 2.]]]])
    """
    _check_images(x)
    moved = _turned(x, np.zeros((1, 1, 1))) - np.reshape([rows, columns], (2, 1, 1, 1))
    return resample(x, *moved)


def rotate_images(x: Array, degrees: float) -> Array:
    """Turn images about their middle, counterclockwise as `numpy.rot90` does; 0 comes in at the corners.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    degrees : float

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        x is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.data import rotate_images
    >>> rotate_images(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]), 90).round(6)
    array([[[[2., 4.],
             [1., 3.]]]])
    """
    _check_images(x)
    return resample(x, *_turned(x, np.full((1, 1, 1), math.radians(degrees))))


def resample(x: Array, rows: Array, columns: Array) -> Array:
    """Each pixel (n, h, w) from the place (rows[n, h, w], columns[n, h, w]) of image n, bilinear, 0 outside."""
    count, channels, height, width = x.shape
    # A frame of zeros stands for all that is outside, so that the four neighbours need no conditions.
    framed = np.zeros((count, channels, height + 3, width + 3), x.dtype)
    framed[:, :, 1:-2, 1:-2] = x
    rows = np.clip(rows, -1, height).astype(x.dtype) + 1
    columns = np.clip(columns, -1, width).astype(x.dtype) + 1
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    below, right = (rows - top)[:, None], (columns - left)[:, None]
    plane = np.arange(count * channels).reshape(count, channels, 1, 1) * ((height + 3) * (width + 3))
    corner = plane + (top * (width + 3) + left)[:, None]
    flat = framed.reshape(-1)
    upper = flat.take(corner) * (1 - right) + flat.take(corner + 1) * right
    corner += width + 3
    lower = flat.take(corner) * (1 - right) + flat.take(corner + 1) * right
    return np.asarray(upper * (1 - below) + lower * below, dtype=x.dtype)


def _turned(x: Array, angle: Array) -> Array:
    """(2, N, H, W): whence each pixel comes, in rows and columns, when image n turns by angle[n]."""
    height, width = x.shape[2:]
    down, right = np.arange(height)[:, None] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * down + sin * right + (height - 1) / 2, cos * right - sin * down + (width - 1) / 2])


@lru_cache(maxsize=16)
def _smoothing(extent: int, smoothness: float) -> Array:
    """(extent, extent): Gaussian weights that turn independent numbers of variance 1 into smooth ones of variance 1."""
    distance = np.subtract.outer(np.arange(extent), np.arange(extent))
    weights = np.exp(-((distance / smoothness) ** 2) / 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)), dtype=np.float32)


def _check_images(x: object) -> None:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x: expected an array of images, got {type(x).__name__}")
    if x.dtype.char not in "fd":
        raise TypeError(f"x: expected float32 or float64, got {x.dtype}")
    if x.ndim != 4:
        raise ValueError(f"x: expected images (N, C, H, W), got shape {x.shape}")
