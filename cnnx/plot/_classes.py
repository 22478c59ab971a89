"""What a classifier takes for what: the confusion matrix and the images it gets wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

Array = npt.NDArray[Any]


def confusion(target: Array, predicted: Array, names: Sequence[str] | None = None, title: str = "") -> Figure:
    """How many images of each class (rows) were taken for which (columns); empty cells are zeros.

    The colour is the share of the row's class, its scale stretched at the low end, where mistakes are.

    Parameters
    ----------
    target : array (N,) of class indices, or (N, M) whose largest element marks the class
    predicted : array alike
        Class indices, or a network's outputs.
    names : sequence of str, or None
        Of the classes; None numbers them.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Arrays of other shapes or dtypes, no image at all, fewer names than classes.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import plot
    >>> figure = plot.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '1', '1']
    """
    wanted, got = _classes("target", target), _classes("predicted", predicted)
    if len(wanted) != len(got) or not len(wanted):
        raise ValueError(f"target, predicted: expected equal lengths above 0, got {len(wanted)} and {len(got)}")
    count = 1 + int(max(wanted.max(), got.max()))
    if names is None:
        names = [str(k) for k in range(count)]
    elif len(names) < count:
        raise ValueError(f"names: expected at least {count}, as there are classes, got {len(names)}")
    count = len(names)
    table = np.zeros((count, count), int)
    np.add.at(table, (wanted, got), 1)
    share = 100 * table / np.maximum(1, table.sum(axis=1, keepdims=True))

    figure = Figure(figsize=(2.5 + 0.42 * count, 1.5 + 0.42 * count), layout="constrained")
    right = int(np.trace(table))
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_title(f"{right} of {len(wanted)} right ({100 * right / len(wanted):.2f} %)", fontsize=10)
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.4, 0, 100))
    for row, column in zip(*table.nonzero(), strict=True):
        dark = share[row, column] > 20
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(count), names)
    axes.set_yticks(range(count), names)
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    figure.colorbar(image, ax=axes, label="share of the row in %", ticks=[0, 1, 5, 20, 50, 100], format="{x:g}")
    return figure


def misclassified(
    images: Array,
    target: Array,
    predicted: Array,
    names: Sequence[str] | None = None,
    title: str = "",
    *,
    most: int = 32,
) -> Figure:
    """The images that were taken for another class, with what they are, what they were taken for, and their row.

    Parameters
    ----------
    images : array (N, C, H, W), with C = 1 or 3, or (N, H, W)
        Of three channels the values are to lie in 0 to 1.
    target, predicted, names, title
        As `confusion` takes them.
    most : int
        At most so many are drawn, the first ones; the title says of how many.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As `confusion` raises them; images of other shapes; `most` is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import plot
    >>> figure = plot.misclassified(np.eye(4).reshape(1, 1, 4, 4).repeat(3, axis=0), [0, 0, 1], [0, 1, 1])
    >>> [axes.get_title() for axes in figure.axes]
    ['0, taken for 1\\nrow 1']
    """
    images = np.asarray(images)
    wanted, got = _classes("target", target), _classes("predicted", predicted)
    if not len(images) == len(wanted) == len(got):
        raise ValueError(
            f"images, target, predicted: expected equal lengths, got {len(images)}, {len(wanted)} and {len(got)}"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] not in (1, 3)):
        raise ValueError(f"images: expected (N, 1, H, W), (N, 3, H, W) or (N, H, W), got shape {images.shape}")
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}")
    wrong = np.flatnonzero(wanted != got)
    drawn = wrong[:most]
    across = min(8, max(4, len(drawn)))
    down = max(1, -(-len(drawn) // across))
    figure = Figure(figsize=(1.2 * across, 0.7 + 1.55 * down), layout="constrained")
    first = f", the first {most} of them" if len(wrong) > most else ""
    figure.suptitle(f"{title}{': ' if title else ''}{len(wrong)} of {len(images)} misclassified{first}")
    if names is None:
        names = [str(k) for k in range(1 + int(max(wanted.max(initial=0), got.max(initial=0))))]
    for place, row in enumerate(drawn):
        axes = figure.add_subplot(down, across, place + 1)
        image = images[row]
        if image.ndim == 3:
            image = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        axes.imshow(image, cmap="gray_r")
        axes.set_title(f"{names[wanted[row]]}, taken for {names[got[row]]}\nrow {row}", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def _classes(name: str, given: Any) -> Array:
    """Class indices, as they are or of rows of outputs."""
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[1]:
        return np.asarray(array.argmax(axis=1))
    if array.ndim != 1:
        raise ValueError(f"{name}: expected class indices (N,) or rows of outputs (N, M), got shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    if len(array) and array.min() < 0:
        raise ValueError(f"{name}: expected class indices of at least 0, got {array.min()}")
    return array.astype(np.intp)
