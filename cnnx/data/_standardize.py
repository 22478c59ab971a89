"""Standardisation: mean 0 and standard deviation 1, as the training images have them."""

from collections.abc import Iterator
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from .._check import shown
from ._dataset import Array, floating

Per = Literal["channel", "pixel"]


class Standardizer:
    """(x - mean) / std, with the mean and the standard deviation of the training images alone.

    `fit` is to see the training images and nothing else: what the test images are like must not be known. Images are
    read in parts, so that memory-mapped arrays may be larger than memory.

    Parameters
    ----------
    per : "channel" or "pixel"
        One mean and standard deviation for each channel, or for each pixel of each channel.
    batch_size : int
        Images that are read at once.

    Attributes
    ----------
    mean, std : array (1, C, 1, 1) or (1, C, H, W), float64; None before `fit`
        A standard deviation of 0 (a pixel that is always black, say) counts as 1.

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; images that are no array (N, C, H, W) of real numbers, are
        none at all, not finite, or not of the shape that was fitted.
    RuntimeError
        `transform` or `inverse` before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.data import Standardizer
    >>> train = np.array([0, 2, 4, 6], "float32").reshape(4, 1, 1, 1)
    >>> standard = Standardizer().fit(train)
    >>> standard.mean.item(), round(standard.std.item(), 4)
    (3.0, 2.2361)
    >>> standard.transform(train).ravel().round(3)
    array([-1.342, -0.447,  0.447,  1.342], dtype=float32)
    """

    def __init__(self, per: Per = "channel", *, batch_size: int = 1000) -> None:
        if per not in get_args(Per):
            raise ValueError(f"per: expected one of {', '.join(map(repr, get_args(Per)))}, got {shown(per)}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"batch_size: expected an integer, got {type(batch_size).__name__} {shown(batch_size)}")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.per = per
        self.batch_size = int(batch_size)
        self.mean: Array | None = None
        self.std: Array | None = None

    def fit(self, x: Array) -> Self:
        """Take mean and (biased) standard deviation from x (N, C, H, W), in one pass and in float64."""
        _check_images(x)
        if not x.size:
            raise ValueError(f"x: expected at least one image with pixels, got shape {x.shape}")
        axes = (0, 2, 3) if self.per == "channel" else (0,)
        seen, mean, squares = 0, np.zeros(()), np.zeros(())
        for rows in self._parts(len(x)):
            part = np.asarray(x[rows], dtype=np.float64)
            members = part.size // int(np.prod([part.shape[i] for i in range(4) if i not in axes]))
            part_mean = part.mean(axis=axes, keepdims=True)
            # Chan, Golub and LeVeque: squares about the common mean from those about each part's own.
            away = part_mean - mean
            part_squares = ((part - part_mean) ** 2).sum(axis=axes, keepdims=True)
            squares = squares + part_squares + away**2 * (seen * members / (seen + members))
            mean = mean + away * (members / (seen + members))
            seen += members
        if not np.isfinite(squares).all():
            raise ValueError("x: expected finite numbers, got others")
        std = np.sqrt(squares / seen)
        self.mean, self.std = mean, np.where(std == 0, 1.0, std)
        return self

    def transform(self, x: Array, *, dtype: npt.DTypeLike = "float32", out: Array | None = None) -> Array:
        """(x - mean) / std, computed in float64; `dtype` of the result, or an array `out` (a memory map, say)."""
        return self._map(x, dtype, out, forth=True)

    def inverse(self, x: Array, *, dtype: npt.DTypeLike = "float32", out: Array | None = None) -> Array:
        """x * std + mean: what `transform` was given, up to rounding."""
        return self._map(x, dtype, out, forth=False)

    def _map(self, x: Array, dtype: npt.DTypeLike, out: Array | None, *, forth: bool) -> Array:
        if self.mean is None or self.std is None:
            raise RuntimeError("Standardizer: expected fit first, with the training images")
        _check_images(x)
        kept = self.mean.shape[1:]
        if x.shape[1] != kept[0] or (self.per == "pixel" and x.shape[1:] != kept):
            raise ValueError(f"x: expected images like those that were fitted, {kept}, got shape {x.shape}")
        if out is None:
            out = np.empty(x.shape, floating(dtype))
        elif not isinstance(out, np.ndarray) or out.shape != x.shape or out.dtype.kind != "f":
            got = f"{out.shape}, {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"out: expected an array of floats of shape {x.shape}, got {got}")
        for rows in self._parts(len(x)):
            part = x[rows]
            out[rows] = (part - self.mean) / self.std if forth else part * self.std + self.mean
        return out

    def _parts(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self.batch_size) for start in range(0, count, self.batch_size))

    def __repr__(self) -> str:
        return f"Standardizer({self.per!r})"


def _check_images(x: object) -> None:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x: expected an array of images, got {type(x).__name__}")
    if x.dtype.kind not in "iuf":
        raise TypeError(f"x: expected real numbers, got {x.dtype}")
    if x.ndim != 4:
        raise ValueError(f"x: expected images (N, C, H, W), got shape {x.shape}")
