"""A factor or a summand for each channel, or for all of an image; numbers that stand for themselves."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _check, ops
from .._check import Array
from ..data._dataset import floating
from ..ops._plan import new
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


class Constant(_Operand):
    """The same numbers for each image, whatever x is: what a network puts beside an image, as transformers do a token.

    `forward(x)` is (N, *shape) for an x of N images, "value" again and again, zeros at first; its gradient is the sum
    over the images, of which x gets none.

    Parameters
    ----------
    shape : int or tuple of int
        Of one image; C stands for (C, 1, 1), as `Scale` has it.
    learned, dtype, backend
        As `Scale` takes them.

    Attributes
    ----------
    parameters (or buffers, if not learned) : "value", as many as shape has

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; an x without axes.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> network = nn.Graph(
    ...     ("token", nn.Constant((1, 2), dtype="float64")),
    ...     ("row", nn.Concat(1), "token", "x"),
    ... )
    >>> network.parameters["token.value"][:] = [3, 5]
    >>> network.forward(np.ones((1, 2, 2)))
    array([[[3., 5.],
            [1., 1.],
            [1., 1.]]])
    """

    _name, _start = "value", 0.0
    _borrows = _replays = False

    def _forward(self, x: Array) -> tuple[Array, Any]:
        (x,) = _check.floats(x=x)
        if not x.ndim:
            raise ValueError("x: expected at least 1 axis (N, ...), got shape ()")
        y = new((x.shape[0], *self.extents), np.dtype(self.dtype))
        y[...] = self.operand
        return y, (x.shape, x.dtype)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if self.learned:
            _, gradient = ops.add_backward(grad_output, grad_output, self.operand, backend=self._back_end)
            self._gradients = {self._name: gradient.reshape(-1)}
        return np.zeros(*saved) if input_grad else None
