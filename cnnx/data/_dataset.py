"""Images with what they show, and the split into training and test rows."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import shown

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and what they show.

    Attributes
    ----------
    images : array (N, C, H, W)
        Pixels from 0 to `white`; uint8 where they come from files.
    labels : array (N,) of integers, or (N, M)
        The class of each image, or a row of targets, one per output unit.
    white : int
        The largest pixel value there can be.
    """

    images: Array
    labels: Array
    white: int

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or len(self.images) != len(self.labels):
            raise ValueError(
                f"images, labels: expected (N, C, H, W) and N labels, got shapes {self.images.shape} "
                f"and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images of {' x '.join(map(str, self.images.shape[1:]))})"

    def split(self, test: int = 1000, train: int | None = 9000, *, dtype: npt.DTypeLike = "float32") -> "Split":
        """The first `test` rows to test with, the next `train` rows to learn from, pixels / white.

        The defaults are CN's: of MNIST, rows 0-999 test and rows 1000-9999 train.

        Parameters
        ----------
        test : int
            At least 1.
        train : int or None
            At least 1; None takes all rows that are left.
        dtype : float32 or float64

        Returns
        -------
        Split
            `x_train`, `y_train`, `x_test`, `y_test`; the images divided by `white`, of `dtype`.

        Raises
        ------
        TypeError
            test or train is no integer, dtype neither float32 nor float64.
        ValueError
            There are fewer rows than that.

        Examples
        --------
        >>> import cnnx.data, numpy as np
        >>> images = np.full((5, 1, 2, 2), 51, dtype="uint8")
        >>> five = cnnx.data.Dataset(images, np.arange(5), white=255)
        >>> x_train, y_train, x_test, y_test = five.split(test=2, train=None)
        >>> y_train, y_test, x_test[0, 0, 0, 0]
        (array([2, 3, 4]), array([0, 1]), np.float32(0.2))
        """
        _integer("test", test)
        if train is not None:
            _integer("train", train)
        dtype = floating(dtype)
        rest = len(self) - test
        train = rest if train is None else train
        if test < 1 or not 1 <= train <= rest:
            raise ValueError(f"test, train: expected at least one row each and {len(self)} in all, got {test}, {train}")
        return Split(
            x_train=scaled(self.images[test : test + train], self.white, dtype),
            y_train=self.labels[test : test + train],
            x_test=scaled(self.images[:test], self.white, dtype),
            y_test=self.labels[:test],
        )


class Split(NamedTuple):
    """What to learn from and what to test with."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def scaled(images: Array, white: int, dtype: npt.DTypeLike) -> Array:
    """Pixels divided by `white`, computed in `dtype`."""
    return np.divide(images, white, dtype=dtype)


def floating(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        found = np.dtype(object if dtype is None else dtype)  # None would be NumPy's float64
    except TypeError:
        found = np.dtype(object)
    if found.char not in "fd":
        raise TypeError(f"dtype: expected float32 or float64, got {shown(dtype)}")
    return found.newbyteorder("=")


def _integer(name: str, value: object) -> None:
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__} {shown(value)}")
