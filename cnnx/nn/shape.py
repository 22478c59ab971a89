"""Layers that only put numbers elsewhere: nothing to compute, nothing to learn."""

import itertools
import math
from typing import Any

import numpy as np

from .. import _check
from .._check import Array, Pair
from ._extents import Extent, computed, extent, needed
from ._layer import Layer


class _Moved(Layer):
    """What these layers share: any float array with a batch goes in, and what else the sizes name."""

    _needs = 1  # inputs

    def __init__(self) -> None:
        super().__init__()

    @staticmethod
    def _given(grad_output: Array, shape: tuple[int, ...]) -> Array:
        (grad_output,) = _check.floats(grad_output=grad_output)
        _check.shape("grad_output", grad_output, shape, "(the output's)")
        return grad_output

    def _inputs(self) -> tuple[int, int | None]:
        return self._needs, self._needs

    @staticmethod
    def _back(grad_x: Array, others: list[Array]) -> Any:
        """The gradients of all inputs: of those that gave their shapes alone, zeros."""
        return (grad_x, *map(np.zeros_like, others)) if others else grad_x

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
    shape : tuple of int or str
        Of one image; one extent may be -1, whatever is left. A text says how an extent comes of the inputs' shapes, as
        "x[2]", "2 * x[3]" or "quotient(x1[2], 4)": x is what is given another shape, x1, x2 are further inputs, of
        which nothing counts but their shapes.

    Raises
    ------
    TypeError, ValueError
        No integers of at least 1; -1 twice; a text that is no size; an x of another size.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.Reshape((2, -1)).forward(np.zeros((5, 6, 1, 1))).shape
    (5, 2, 3)
    >>> nn.Reshape((2, 3, "x[2]", "x[3]")).forward(np.zeros((5, 6, 4, 7))).shape
    (5, 2, 3, 4, 7)
    """

    _replays = True

    def __init__(self, shape: tuple[Extent, ...]) -> None:
        super().__init__()
        if not isinstance(shape, (tuple, list)):
            raise TypeError(f"shape: expected a tuple of integers, got {type(shape).__name__}")
        self.shape = tuple(
            -1 if type(each) is int and each == -1 else extent(f"shape[{i}]", each, 1) for i, each in enumerate(shape)
        )
        self._needs = needed(*self.shape)
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape: expected -1 once at most, got {shape}")

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        shape: tuple[Any, ...] = self.shape
        if any(isinstance(each, str) for each in shape):
            shapes = [np.shape(one) for one in (x, *others)]
            shape = tuple(computed("shape", each, shapes, 1) for each in shape)
        size, known = math.prod(x.shape[1:]), math.prod(each for each in shape if each != -1)
        rest, over = divmod(size, known)  # by hand: NumPy does not know what -1 is in a batch of none
        if over or (-1 not in shape and rest != 1):
            raise ValueError(f"x: expected images whose numbers fill {shape}, got shape {x.shape}")
        y = x.reshape(x.shape[0], *(rest if each == -1 else each for each in shape))
        return y, (x.shape, y.shape, others)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        if not input_grad:
            return None
        return self._back(self._given(grad_output, saved[1]).reshape(saved[0]), saved[2])


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
    """From `start` to before `stop` along an axis, all of it or each `step`-th.

    Parameters
    ----------
    axis : int
        From 1: that of the images stays whole.
    start, stop : int or str
        As Python counts, so that -1 is the last; a stop of None is the end. A text says how it comes of the inputs'
        shapes, as `Reshape` has it.
    step : int
        Other than 0; below 0, from the last to the first, where start may be None too.

    Raises
    ------
    TypeError, ValueError
        No integers; a text that is no size; an axis that x has not; nothing within.

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

    step = 1  # pickles lack it that were made before there was another

    def __init__(self, axis: int, start: Extent | None, stop: Extent | None = None, step: int = 1) -> None:
        super().__init__()
        self.axis = _check.integer("axis", axis, 1)
        self.step = _check.integer("step", step, -_check.LARGEST)
        if not self.step:
            raise ValueError("step: expected an integer other than 0, got 0")
        self.start = None if start is None and step < 0 else extent("start", start, -_check.LARGEST)
        self.stop = None if stop is None else extent("stop", stop, -_check.LARGEST)
        self._needs = needed(self.start, self.stop)

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        x = self._taken(x, self.axis + 1)
        where = self._where([np.shape(one) for one in (x, *others)])
        y = x[where]
        if not y.shape[self.axis]:
            raise ValueError(f"x: expected something from {self.start} to {self.stop}, got shape {x.shape}")
        return np.ascontiguousarray(y), (x.shape, y.shape, where, others)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        if not input_grad:
            return None
        shape, given, where, others = saved
        grad_output = self._given(grad_output, given)
        grad_x = np.zeros(shape, grad_output.dtype)
        grad_x[where] = grad_output
        return self._back(grad_x, others)

    def _where(self, shapes: list[tuple[int, ...]]) -> tuple[slice, ...]:
        start, stop = (
            None if each is None else computed(name, each, shapes, -_check.LARGEST)
            for name, each in (("start", self.start), ("stop", self.stop))
        )
        return *[slice(None)] * self.axis, slice(start, stop, self.step)


class ZeroPad2d(_Moved):
    """Zeros around images.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))
        In the last form each may be a text that says how it comes of the inputs' shapes, as `Reshape` has it.

    Raises
    ------
    TypeError, ValueError
        No integers from 0; a text that is no size; an x that is no (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.ZeroPad2d(((0, 1), (1, 0))).forward(np.ones((1, 1, 1, 1)))
    array([[[[0., 1.],
             [0., 0.]]]])
    """

    def __init__(self, padding: int | Pair | tuple[tuple[Extent, Extent], tuple[Extent, Extent]]) -> None:
        super().__init__()
        self.padding = padding
        self._needs = needed(*itertools.chain.from_iterable(self._sides()))

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        _check.rank("x", x.shape, _check.IMAGES)
        rows, columns = self._amounts([np.shape(one) for one in (x, *others)])
        y = np.pad(x, ((0, 0), (0, 0), rows, columns))
        where = *[slice(None)] * 2, *(slice(a, a + n) for a, n in zip((rows[0], columns[0]), x.shape[2:], strict=True))
        return y, (where, y.shape, others)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        if not input_grad:
            return None
        where, shape, others = saved
        return self._back(np.ascontiguousarray(self._given(grad_output, shape)[where]), others)

    def _amounts(self, shapes: list[tuple[int, ...]]) -> tuple[Pair, Pair]:
        """How many rows and columns, before and behind, for inputs of these shapes."""
        (top, bottom), (left, right) = (
            [computed("padding", each, shapes, 0) for each in pair] for pair in self._sides()
        )
        return (top, bottom), (left, right)

    def _sides(self) -> tuple[tuple[Extent, Extent], tuple[Extent, Extent]]:
        if isinstance(self.padding, str):
            raise TypeError(f"padding: expected integers, got str {_check.shown(self.padding)}")
        match self.padding:
            case ((a, b), (c, d)) if any(isinstance(each, str) for each in (a, b, c, d)):
                return (extent("padding", a, 0), extent("padding", b, 0)), (
                    extent("padding", c, 0),
                    extent("padding", d, 0),
                )
        sides = _check.padding_form(self.padding)
        assert not isinstance(sides, str), "it was no text"
        return sides
