"""Where images come from: D19's o and x, scikit-learn's digits, MNIST."""

import importlib.util
import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import numpy.typing as npt

from .._check import shown
from ._dataset import Array, Dataset, floating
from ._idx import read_idx

_O, _X = "111 101 111", "101 010 101"
_O_DAMAGED, _X_DAMAGED = "111 100 111", "001 010 101"
_EXAMPLES = {
    "two": (_O, _X),
    "six": (_O, _O, _O, _X, _X, _X),
    "damaged": (_O, _O, _O_DAMAGED, _X, _X, _X_DAMAGED),
}

# As OpenML has them: the 60,000 first, then the 10,000.
_PARTS = ("train", "t10k")


def ox_images(examples: Literal["two", "six", "damaged"] = "six", *, dtype: npt.DTypeLike = "float64") -> Dataset:
    """D19's 3x3 images of an o and an x (1 is black), the o's before the x's.

    Source: D19 (equations.md section 7).

    Parameters
    ----------
    examples : "two", "six" or "damaged"
        One o and one x; three of each; or the six of D19's printed run, where one o lacks its right
        middle pixel and one x its upper left one (found by search: the slides do not show them).
    dtype : float32 or float64

    Returns
    -------
    Dataset
        images (N, 1, 3, 3); labels (N, 2): (1, 0) for an o, (0, 1) for an x; both of `dtype`.

    Raises
    ------
    TypeError
        dtype is neither float32 nor float64.
    ValueError
        No set of examples has that name.

    Examples
    --------
    >>> import cnnx.data
    >>> data = cnnx.data.ox_images("two")
    >>> data.images[0, 0]
    array([[1., 1., 1.],
           [1., 0., 1.],
           [1., 1., 1.]])
    >>> data.labels
    array([[1., 0.],
           [0., 1.]])
    """
    if examples not in _EXAMPLES:
        raise ValueError(f"examples: expected one of {', '.join(map(repr, _EXAMPLES))}, got {shown(examples)}")
    dtype = floating(dtype)
    drawn = _EXAMPLES[examples]
    images = np.array([[[list(map(int, row)) for row in image.split()]] for image in drawn], dtype)
    labels = np.array([(1, 0) if image in (_O, _O_DAMAGED) else (0, 1) for image in drawn], dtype)
    return Dataset(images, labels, white=1)


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels, which come with that package.

    Returns
    -------
    Dataset
        images (1797, 1, 8, 8), uint8 from 0 to 16; labels (1797,), uint8 from 0 to 9.

    Raises
    ------
    ImportError
        scikit-learn is not installed (extra `sklearn`).
    """
    bunch = _sklearn_datasets("digits()").load_digits()
    return Dataset(bunch.images[:, None].astype(np.uint8), bunch.target.astype(np.uint8), white=16)


def mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """MNIST, from a folder of its IDX files or through scikit-learn from OpenML, as CN loads it.

    Parameters
    ----------
    folder : str, path or None
        Where `train-images-idx3-ubyte` and `train-labels-idx1-ubyte` lie, or the two files named
        `t10k-...`, or all four (then the 60,000 come first, as on OpenML); gzip-compressed (`.gz`) or
        not. None asks OpenML through scikit-learn, which downloads 15 MB at the first call.

    Returns
    -------
    Dataset
        images (N, 1, 28, 28), uint8 from 0 to 255; labels (N,), uint8 from 0 to 9.
        `mnist(...).split()` is CN's split: rows 0-999 test, rows 1000-9999 train, pixels / 255.

    Raises
    ------
    OSError
        The folder holds no MNIST files or one of a pair only; OpenML cannot be reached.
    ValueError
        A file is broken, or images and labels do not belong together.
    ImportError
        No folder was given and scikit-learn is not installed (extra `sklearn`).
    """
    if folder is None:
        return _openml()
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected a folder of MNIST files, got no folder")
    halves = [half for part in _PARTS if (half := _half(folder, part))]
    if not halves:
        raise FileNotFoundError(
            f"{folder}: expected {' or '.join(f'{part}-images-idx3-ubyte' for part in _PARTS)} (or .gz), got neither"
        )
    if len({images.shape[1:] for images, _ in halves}) > 1:
        raise ValueError(f"{folder}: expected images of one size, got {' and '.join(str(i.shape) for i, _ in halves)}")
    images, labels = (np.concatenate(arrays) for arrays in zip(*halves, strict=True))
    return Dataset(images[:, None], labels, white=255)


def _half(folder: Path, part: str) -> tuple[Array, Array] | None:
    """Images and labels of "train" or "t10k", or None where the folder has neither file."""
    images_path, labels_path = _find(folder, f"{part}-images", 3), _find(folder, f"{part}-labels", 1)
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        there = images_path or labels_path
        missing = f"{part}-images-idx3-ubyte" if images_path is None else f"{part}-labels-idx1-ubyte"
        raise FileNotFoundError(f"{folder}: expected {missing} (or .gz) beside {there and there.name}, got none")
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, axes in (images_path, images, 3), (labels_path, labels, 1):
        if array.ndim != axes or array.dtype != np.uint8 or 0 in array.shape[1:]:
            raise ValueError(f"{path}: expected {axes} axes of uint8, got shape {array.shape}, {array.dtype}")
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: expected {len(images)} labels, one per image, got {len(labels)}")
    if labels.max(initial=0) > 9:
        raise ValueError(f"{labels_path}: expected labels from 0 to 9, got {labels.max()}")
    return images, labels


def _find(folder: Path, stem: str, axes: int) -> Path | None:
    """The file by its published name, or by the one with a dot that some mirrors use."""
    for name in (f"{stem}{mark}idx{axes}-ubyte{end}" for mark in "-." for end in ("", ".gz")):
        if (folder / name).is_file():
            return folder / name
    return None


def _openml() -> Dataset:
    datasets = _sklearn_datasets("mnist() without a folder")
    # The pandas parser needs far less memory; scikit-learn does not choose by what is installed.
    parser = "pandas" if importlib.util.find_spec("pandas") else "liac-arff"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of every attempt that failed; the error says it once
            bunch = datasets.fetch_openml("mnist_784", version=1, as_frame=False, parser=parser)
    except OSError as error:
        raise OSError(
            f"MNIST cannot be fetched from OpenML ({error}); give a folder of its files: mnist(folder), or --data DIR"
        ) from error
    return Dataset(bunch.data.astype(np.uint8).reshape(-1, 1, 28, 28), bunch.target.astype(np.uint8), white=255)


def _sklearn_datasets(asker: str) -> ModuleType:
    try:
        import sklearn.datasets as datasets
    except ImportError as error:
        raise ImportError(f"{asker} needs scikit-learn: python -m pip install 'cnnx[sklearn]' ({error})") from error
    return datasets  # type: ignore[no-any-return]
