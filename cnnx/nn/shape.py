"""Layers that only put numbers elsewhere: nothing to compute, nothing to learn."""

import math
from typing import Any

import numpy as np

from .. import _check
from .._check import Array, Pair
from ._layer import Layer


class _Moved(Layer):
    """What these layers share: any float array with a batch goes in."""

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def _given(grad_output: Array, shape: tuple[int, ...]) -> Array:
        (grad_output,) = _check.floats(grad_output=grad_output)
        _check.shape("grad_output", grad_output, shape, "(the output's)")
        return grad_output

    def _taken(self, x: Array, axes: int = 1) -> Array:
        if not _check.plain(x):
            (x,) = _check.floats(x=x)
        if x.ndim < axes:
            raise ValueError(f"x: expected at least {axes} axes (N, ...), got shape {x.shape}")
        return x


class Reshape(_Moved):
    """(N, ...) to (N, *shape), in the order in which the numbers lie; no copy where none is needed.

    Parameters
    ----------
    shape : tuple of int
        Of one image; one extent may be -1, whatever is left.

    Raises
    ------
    TypeError, ValueError
        No integers of at least 1; -1 twice; an x of another size.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.Reshape((2, -1)).forward(np.zeros((5, 6, 1, 1))).shape
    (5, 2, 3)
    """

    _replays = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape: expected a tuple of integers, got {type(shape).__name__}")
        self.shape = tuple(
            -1 if type(extent) is int and extent == -1 else _check.integer(f"shape[{i}]", extent, 1)
            for i, extent in enumerate(shape)
        )
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape: expected -1 once at most, got {shape}")

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        size, known = math.prod(x.shape[1:]), math.prod(extent for extent in self.shape if extent != -1)
        rest, over = divmod(size, known)  # by hand: NumPy does not know what -1 is in a batch of none
        if over or (-1 not in self.shape and rest != 1):
            raise ValueError(f"x: expected images whose numbers fill {self.shape}, got shape {x.shape}")
        y = x.reshape(x.shape[0], *(rest if extent == -1 else extent for extent in self.shape))
        return y, (x.shape, y.shape)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        return self._given(grad_output, saved[1]).reshape(saved[0]) if input_grad else None


class Transpose(_Moved):
    """The axes in another order, that of the images first.

    Parameters
    ----------
    axes : tuple of int
        Which axis of x stands at each place: (0, 2, 3, 1) makes (N, H, W, C) of (N, C, H, W).

    Raises
    ------
    TypeError, ValueError
        No integers; not every axis once, 0 first; an x of another rank.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.Transpose((0, 2, 3, 1)).forward(np.zeros((5, 3, 8, 7))).shape
    (5, 8, 7, 3)
    """

    def __init__(self, axes: tuple[int, ...]) -> None:
        super().__init__()
        if not isinstance(axes, (tuple, list)):
            raise TypeError(f"axes: expected a tuple of integers, got {type(axes).__name__}")
        self.axes = tuple(_check.integer(f"axes[{i}]", axis, 0) for i, axis in enumerate(axes))
        if self.axes[:1] != (0,) or sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"axes: expected 0 first, then each further axis once, got {_check.shown(axes)}")

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        if x.ndim != len(self.axes):
            raise ValueError(f"x: expected {len(self.axes)} axes, got shape {x.shape}")
        y = np.ascontiguousarray(x.transpose(self.axes))
        return y, y.shape

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        back = tuple(map(self.axes.index, range(len(self.axes))))
        return np.ascontiguousarray(self._given(grad_output, saved).transpose(back)) if input_grad else None


class Slice(_Moved):
    """From `start` to before `stop` along an axis.

    Parameters
    ----------
    axis : int
        From 1: that of the images stays whole.
    start, stop : int
        As Python counts, so that -1 is the last; a stop of None is the end.

    Raises
    ------
    TypeError, ValueError
        No integers; an axis that x has not; nothing within.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Slice(1, 1, 3)
    >>> layer.forward(np.array([[1.0, 2.0, 3.0, 4.0]]))
    array([[2., 3.]])
    >>> layer.backward(np.array([[5.0, 6.0]]))
    array([[0., 5., 6., 0.]])
    """

    def __init__(self, axis: int, start: int, stop: int | None = None) -> None:
        super().__init__()
        self.axis = _check.integer("axis", axis, 1)
        self.start = _check.integer("start", start, -_check.LARGEST)
        self.stop = None if stop is None else _check.integer("stop", stop, -_check.LARGEST)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = self._taken(x, self.axis + 1)
        y = x[self._where()]
        if not y.shape[self.axis]:
            raise ValueError(f"x: expected something from {self.start} to {self.stop}, got shape {x.shape}")
        return np.ascontiguousarray(y), (x.shape, y.shape)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        grad_output = self._given(grad_output, saved[1])
        grad_x = np.zeros(saved[0], grad_output.dtype)
        grad_x[self._where()] = grad_output
        return grad_x

    def _where(self) -> tuple[slice, ...]:
        return *[slice(None)] * self.axis, slice(self.start, self.stop)


class ZeroPad2d(_Moved):
    """Zeros around images.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))

    Raises
    ------
    TypeError, ValueError
        No integers from 0; an x that is no (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.ZeroPad2d(((0, 1), (1, 0))).forward(np.ones((1, 1, 1, 1)))
    array([[[[0., 1.],
             [0., 0.]]]])
    """

    def __init__(self, padding: int | Pair | tuple[Pair, Pair]) -> None:
        super().__init__()
        self.padding = padding
        self._sides()

    def _forward(self, x: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        _check.rank("x", x.shape, _check.IMAGES)
        (top, bottom), (left, right) = self._sides()
        y = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        return y, (x.shape, y.shape)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        (top, _), (left, _) = self._sides()
        rows, columns = saved[0][2:]
        grad_output = self._given(grad_output, saved[1])
        return np.ascontiguousarray(grad_output[:, :, top : top + rows, left : left + columns])

    def _sides(self) -> tuple[Pair, Pair]:
        if isinstance(self.padding, str):
            raise TypeError(f"padding: expected integers, got str {_check.shown(self.padding)}")
        sides = _check.padding_form(self.padding)
        assert not isinstance(sides, str), "it was no text"
        return sides
