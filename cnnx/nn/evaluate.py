"""What a model makes of images it need not learn from."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .. import _check
from .._check import Array
from ._arguments import instance
from ._layer import Layer
from .cost import Cost


def accuracy(y: Array, target: Array) -> float | None:
    """The share of rows whose largest output is the target's (the first, where several are equal).

    Parameters
    ----------
    y : array (N, M)
    target : array (N,) of class indices, or (N, M) whose largest element marks the class

    Returns
    -------
    float or None
        None where y holds no rows of at least two outputs.

    Raises
    ------
    TypeError
        An argument is no array.
    ValueError
        The target is neither one index per row nor of y's shape.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.nn import accuracy
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]]), np.array([1, 0, 1]))
    0.6666666666666666
    """
    y, target = _check.array("y", y), _check.array("target", target)
    if y.ndim != 2 or y.shape[1] < 2 or not len(y):
        return None
    if not _classes(y, target):
        raise ValueError(
            f"target: expected {len(y)} class indices or shape {y.shape}, got shape {target.shape}, {target.dtype}"
        )
    return _correct(y, target) / len(y)


def _correct(y: Array, target: Array) -> int:
    """How many rows have their largest output where the target has it."""
    wanted = target if target.ndim == 1 else target.argmax(axis=1)
    return int(np.count_nonzero(y.argmax(axis=1) == wanted))


def _classes(y: Array, target: Array) -> bool:
    """Whether the target says of each row of y which class it is."""
    return target.shape == y.shape or (target.shape == y.shape[:1] and target.dtype.kind in "iu")


def predict(model: Layer, x: Array, *, batch_size: int = 100) -> Array:
    """A model's outputs in evaluation mode; each layer's mode is then what it was.

    Parameters
    ----------
    model : Layer
    x : array (N, ...), of the model's dtype
    batch_size : int
        Images per forward call.

    Returns
    -------
    array (N, ...)

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit; what the ops raise.

    Examples
    --------
    >>> import cnnx.data, cnnx.nn
    >>> cnnx.nn.predict(cnnx.nn.ox_network(), cnnx.data.ox_images().images).shape
    (6, 2)
    """
    instance("model", model, Layer)
    x = _check.unconverted("x", x)
    if x.ndim < 2:
        raise ValueError(f"x: expected images (N, ...), got shape {x.shape}")
    batch_size = _check.integer("batch_size", batch_size, 1)
    with evaluating(model):
        # Copies: layers that reuse their buffers only lend what they return.
        return np.concatenate([np.array(model.forward(x[rows])) for rows in batches(len(x), batch_size)])


def evaluate(model: Layer, cost: Cost, x: Array, y: Array, *, batch_size: int = 100) -> tuple[float, float | None]:
    """Cost and accuracy of a model in evaluation mode; each layer's mode is then what it was.

    Parameters
    ----------
    model : Layer
    cost : Cost
    x : array (N, ...), of the model's dtype
    y : array (N, ...)
        Targets, as the cost takes them.
    batch_size : int
        Images per forward call.

    Returns
    -------
    loss : float
        Per image, or their sum with reduction="sum".
    accuracy : float or None
        See `accuracy`.

    Raises
    ------
    TypeError, ValueError
        Arguments that do not fit; what the ops raise.

    Examples
    --------
    >>> import cnnx.data
    >>> from cnnx import nn
    >>> data = cnnx.data.ox_images("two")
    >>> loss, correct = nn.evaluate(nn.ox_network(), nn.SquaredError(), data.images, data.labels)
    >>> round(loss, 4), correct
    (0.3303, 0.5)
    """
    instance("model", model, Layer)
    instance("cost", cost, Cost)
    x, y = examples("x", x, "y", y)
    tally = measure(model, cost, x, y, batch_size=_check.integer("batch_size", batch_size, 1))
    return tally.loss, tally.accuracy


class Tally:
    """Cost and accuracy of several batches, put together."""

    def __init__(self, cost: Cost, numbers: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        """`numbers`: what another tally's `numbers` were, or the sum of several tallies'."""
        self._mean = cost.reduction == "mean"
        images, self._loss, self._correct = numbers
        self.images = int(images)

    def add(self, loss: float, images: int, correct: float) -> None:
        """One batch; `correct` as `right` counts."""
        self.images += images
        self._loss += loss * (images if self._mean else 1)
        self._correct += correct

    @property
    def numbers(self) -> list[float]:
        return [self.images, self._loss, self._correct]

    @property
    def loss(self) -> float:
        return self._loss / (self.images if self._mean else 1)

    @property
    def accuracy(self) -> float | None:
        return None if math.isnan(self._correct) else self._correct / self.images


def right(y: Array, target: Array) -> float:
    """How many rows have their largest output where the target has it; NaN where outputs are no classes."""
    if not len(y):
        return 0.0  # of another process's images
    return _correct(y, target) if y.ndim == 2 and y.shape[1] > 1 and _classes(y, target) else math.nan


def measure(
    model: Layer, cost: Cost, x: Array, y: Array, *, batch_size: int = 100, stop: Callable[[], bool] = lambda: False
) -> Tally:
    """The tally of arguments that were checked; of fewer images where `stop` says so between two batches."""
    tally = Tally(cost)
    with evaluating(model):
        for rows in batches(len(x), batch_size):
            if stop():
                break
            target = y[rows]
            output = model.forward(x[rows])
            tally.add(cost.forward(output, target), len(output), right(output, target))
    return tally


def examples(x_name: str, x: object, y_name: str, y: object) -> tuple[Array, Array]:
    """Images and targets as arrays of equal, positive length; not copied, as they may be larger than memory."""
    images, targets = _check.unconverted(x_name, x), _check.unconverted(y_name, y)
    if images.ndim < 2 or not len(images):
        raise ValueError(f"{x_name}: expected at least one image, (N, ...), got shape {images.shape}")
    if targets.ndim < 1 or len(targets) != len(images):
        raise ValueError(f"{y_name}: expected {len(images)} rows, as many as {x_name} has, got shape {targets.shape}")
    return images, targets


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """Slices of `batch_size` rows; the last may be shorter, and no rows are one empty batch."""
    for start in range(0, max(count, 1), batch_size):
        yield slice(start, min(start + batch_size, count))


@contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    modes = [(layer, layer.training) for layer in model._walk()]
    model.eval()
    try:
        yield
    finally:
        model.train(modes[0][1])  # also what a layer of one's own holds unknown to _walk
        for layer, mode in modes:
            layer.training = mode
