"""Layers that make one value of several: nothing to learn."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from .. import _check, ops
from .._check import Array
from ._layer import Layer


class _Pairwise(Layer):
    """The first two, then what that gives and the third, and so on."""

    _borrows = _replays = _in_place = True
    _op: ClassVar[tuple[Callable[..., Array], Callable[..., tuple[Array, Array]]]]

    def _forward(self, a: Array, b: Array, *more: Array) -> tuple[Array, Any]:
        pairs, y = [], a
        for x in (b, *more):
            pairs.append((y, x))
            y = self._op[0](y, x, backend=self._back_end)
        return y, pairs

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> tuple[Array, ...] | None:
        if not input_grad:
            return None
        found: list[Array] = []
        for y, x in reversed(saved):
            grad_output, grad_x = self._op[1](grad_output, y, x, backend=self._back_end)
            found.append(grad_x)
        return grad_output, *reversed(found)


class Add(_Pairwise):
    """The sum of two values or more, from the first to the last: `cnnx.add`, with NumPy's broadcasting.

    `forward(a, b, *more)`; `backward` returns a tuple of gradients. It stands in a `Graph`.

    Parameters
    ----------
    backend : str or None
        A back end for this layer; None takes the one chosen at each call.

    Raises
    ------
    TypeError, ValueError
        No back end of that name; fewer than two inputs; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Add()
    >>> layer.forward(np.array([[1.0, 2.0]]), np.array([[10.0], [20.0]]))
    array([[11., 12.],
           [21., 22.]])
    >>> layer.backward(np.array([[1.0, 1.0], [1.0, 1.0]]))
    (array([[2., 2.]]), array([[2.],
           [2.]]))
    """

    _op = ops.add, ops.add_backward


class Multiply(_Pairwise):
    """The product of two values or more, element by element, from the first to the last: `cnnx.multiply`.

    As `Add` otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Multiply()
    >>> layer.forward(np.array([2.0, 3.0]), np.array([5.0, 7.0]))
    array([10., 21.])
    >>> layer.backward(np.array([1.0, 1.0]))
    (array([5., 7.]), array([2., 3.]))
    """

    _op = ops.multiply, ops.multiply_backward


class MatMul(Layer):
    """The matrix product of two values: `cnnx.matmul`, of stacks of matrices with NumPy's broadcasting.

    `forward(a, b)`; `backward` returns both gradients. It stands in a `Graph`.

    Parameters
    ----------
    backend : str or None
        As `Add` takes it.

    Raises
    ------
    TypeError, ValueError
        No back end of that name; another number of inputs than two; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.MatMul()
    >>> layer.forward(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    >>> layer.backward(np.array([[10.0]]))
    (array([[30., 40.]]), array([[10.],
           [20.]]))
    """

    _borrows = _replays = True

    def _forward(self, a: Array, b: Array) -> tuple[Array, Any]:
        return ops.matmul(a, b, backend=self._back_end), (a, b)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> tuple[Array, ...] | None:
        if not input_grad:
            return None
        return ops.matmul_backward(grad_output, *saved, backend=self._back_end)

    def _multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
        return math.prod(y[1:]) * x[-1]


class Concat(Layer):
    """Values one behind the other along an axis: `cnnx.concat`. The axis 1 is that of the channels.

    `forward(*xs)`; `backward` returns a tuple of gradients. It stands in a `Graph`.

    Parameters
    ----------
    axis : int
    backend : str or None
        As `Add` takes it; the copies are the same with each.

    Raises
    ------
    TypeError, ValueError
        An argument of another type, no back end of that name; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Concat()
    >>> layer.forward(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    array([[1., 2., 3.]])
    >>> layer.backward(np.array([[4.0, 5.0, 6.0]]))
    (array([[4., 5.]]), array([[6.]]))
    """

    _borrows = True

    def __init__(self, axis: int = 1, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.axis = _check.integer("axis", axis, -_check.LARGEST)

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        xs = (x, *others)
        return ops.concat(xs, self.axis), xs

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> tuple[Array, ...] | None:
        if not input_grad:
            return None
        return ops.concat_backward(grad_output, saved, self.axis)
