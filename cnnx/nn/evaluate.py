"""What a model makes of images it need not learn from."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..ops import _check
from ..ops._check import Array
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

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.nn import accuracy
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4]]), np.array([1, 0, 1]))
    0.6666666666666666
    """
    if y.ndim != 2 or y.shape[1] < 2 or not len(y):
        return None
    wanted = target if target.ndim == 1 else target.argmax(axis=1)
    return float(np.mean(y.argmax(axis=1) == wanted))


def predict(model: Layer, x: Array, *, batch_size: int = 100) -> Array:
    """A model's outputs in evaluation mode; the mode is then what it was.

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
        As the layers' ops raise them.

    Examples
    --------
    >>> import cnnx.data, cnnx.nn
    >>> cnnx.nn.predict(cnnx.nn.ox_network(), cnnx.data.ox_images().images).shape
    (6, 2)
    """
    x = _check.array("x", x)
    with _evaluating(model):
        parts = [model.forward(x[rows]) for rows in batches(len(x), _check.integer("batch_size", batch_size, 1))]
    return np.concatenate(parts)


def evaluate(model: Layer, cost: Cost, x: Array, y: Array, *, batch_size: int = 100) -> tuple[float, float | None]:
    """Cost and accuracy of a model in evaluation mode; the mode is then what it was.

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
    x, y = examples("x", x, "y", y)
    tally = Tally(cost)
    with _evaluating(model):
        for rows in batches(len(x), _check.integer("batch_size", batch_size, 1)):
            output = model.forward(x[rows])
            tally.add(cost.forward(output, y[rows]), output, y[rows])
    return tally.loss, tally.accuracy


class Tally:
    """Cost and accuracy of several batches, put together."""

    def __init__(self, cost: Cost) -> None:
        self.images = 0
        self._mean = cost.reduction == "mean"
        self._loss = 0.0
        self._correct: float | None = 0.0

    def add(self, loss: float, y: Array, target: Array) -> None:
        self.images += len(y)
        self._loss += loss * (len(y) if self._mean else 1)
        share = accuracy(y, target)
        self._correct = None if share is None or self._correct is None else self._correct + round(share * len(y))

    @property
    def loss(self) -> float:
        return self._loss / (self.images if self._mean else 1)

    @property
    def accuracy(self) -> float | None:
        return None if self._correct is None else self._correct / self.images


def examples(x_name: str, x: object, y_name: str, y: object) -> tuple[Array, Array]:
    """Images and targets as arrays of equal, positive length."""
    images, targets = _check.array(x_name, x), _check.array(y_name, y)
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
def _evaluating(model: Layer) -> Iterator[None]:
    was = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was)
