"""A factor or a summand for each channel, or for all of an image."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy.typing as npt

from .. import _check, ops
from .._check import Array
from ..data._dataset import floating
from ._layer import Layer
from .init import constant


class _Operand(Layer):
    _borrows = _replays = True
    _op: ClassVar[tuple[Callable[..., Array], Callable[..., tuple[Array, Array]]]]
    _name: ClassVar[str]
    _start: ClassVar[float]

    def __init__(
        self,
        shape: int | tuple[int, ...],
        *,
        learned: bool = True,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        given = shape if isinstance(shape, (tuple, list)) else (shape, 1, 1)
        extents = tuple(_check.integer(f"shape[{i}]", extent, 1) for i, extent in enumerate(given))
        self.shape: int | tuple[int, ...] = extents if isinstance(shape, (tuple, list)) else extents[0]
        self.learned = _check.flag("learned", learned)
        self.dtype = floating(dtype).name
        self._kept[self._name] = constant(self._start, math.prod(extents), self.dtype)

    @property
    def extents(self) -> tuple[int, ...]:
        """What the factors' or summands' shape is when they meet x."""
        return self.shape if isinstance(self.shape, tuple) else (self.shape, 1, 1)

    @property
    def operand(self) -> Array:
        """The factors or summands, as they meet x."""
        return self._kept[self._name].reshape(self.extents)

    @property
    def _kept(self) -> dict[str, Array]:
        return self._parameters if self.learned else self._buffers

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return self._op[0](x, self.operand, backend=self._back_end), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not (input_grad or self.learned):
            return None
        grad_x, gradient = self._op[1](grad_output, saved, self.operand, backend=self._back_end)
        if self.learned:
            self._gradients = {self._name: gradient.reshape(-1)}
        return grad_x if input_grad else None


class Scale(_Operand):
    """x times a factor for each channel, or of any shape that broadcasts: `cnnx.multiply` with its weights.

    Parameters
    ----------
    shape : int or tuple of int
        How many channels (N, C, H, W) has; or the factors' shape, as it meets the last axes of x: (1,) is one factor
        for all.
    learned : bool
        False keeps the factors as a buffer, which no optimiser changes.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters (or buffers, if not learned) : "weight", as many as shape has, ones at first

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Scale((2,), dtype="float64")
    >>> layer.parameters["weight"][:] = [3, 5]
    >>> layer.forward(np.array([[1.0, 1.0], [2.0, 2.0]]))
    array([[ 3.,  5.],
           [ 6., 10.]])
    >>> _ = layer.backward(np.array([[1.0, 1.0], [1.0, 1.0]]))
    >>> layer.gradients["weight"]
    array([3., 3.])
    """

    _op = ops.multiply, ops.multiply_backward
    _name, _start = "weight", 1.0


class Bias(_Operand):
    """x plus a summand for each channel, or of any shape that broadcasts: `cnnx.add` with its "bias", zeros at first.

    As `Scale` otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Bias((2,), dtype="float64")
    >>> layer.parameters["bias"][:] = [3, 5]
    >>> layer.forward(np.array([[1.0, 1.0]]))
    array([[4., 6.]])
    """

    _op = ops.add, ops.add_backward
    _name, _start = "bias", 0.0
