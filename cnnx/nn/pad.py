"""Images with more around them: their own pixels again, or a number."""

from typing import Any, Literal, get_args

import numpy as np

from .. import _check
from .._check import Array, Pair
from ._extents import Extent
from .shape import ZeroPad2d

Filling = Literal["reflect", "edge", "wrap", "constant"]


class Pad2d(ZeroPad2d):
    """Pixels of the images themselves around them, or a number.

    Parameters
    ----------
    padding : int, (rows, columns) or ((top, bottom), (left, right))
        As `ZeroPad2d` takes it.
    mode : "reflect", "edge", "wrap" or "constant"
        As `numpy.pad` names them: mirrored at the first and last pixel, which come once ("reflect", PyTorch's too); the
        first and the last again and again ("edge", PyTorch's "replicate"); from the other side ("wrap", "circular").
    value : float
        What is put there with mode "constant".

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; an x that is no (N, C, H, W); more padding than the images have
        pixels for: with "reflect" fewer than they have, with "wrap" as many at most.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Pad2d(((0, 0), (2, 1)))
    >>> layer.forward(np.array([[[[1.0, 2.0, 3.0]]]]))
    array([[[[3., 2., 1., 2., 3., 2.]]]])
    >>> layer.backward(np.ones((1, 1, 1, 6)))
    array([[[[1., 3., 2.]]]])
    """

    def __init__(
        self,
        padding: int | Pair | tuple[tuple[Extent, Extent], tuple[Extent, Extent]],
        mode: Filling = "reflect",
        value: float = 0.0,
    ) -> None:
        super().__init__(padding)
        _check.choice("mode", mode, get_args(Filling))
        self.mode: Filling = mode
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"value: expected a number, got {_check.shown(value)}")
        self.value = value

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        x = self._taken(x)
        _check.rank("x", x.shape, _check.IMAGES)
        sides = self._amounts([np.shape(one) for one in (x, *others)])
        for name, extent, pair in zip(("rows", "columns"), x.shape[2:], sides, strict=True):
            most = {"reflect": extent - 1, "wrap": extent}.get(self.mode, max(pair))
            if max(pair) > most:
                raise ValueError(f"padding: expected at most {most} for {extent} {name}, {self.mode!r}, got {pair}")
        if self.mode == "constant":
            y = np.pad(x, ((0, 0), (0, 0), *sides), constant_values=self.value)
            return y, (x.shape, y.shape, sides, None, others)
        # Which pixel stands at each place, along rows and along columns.
        rows, columns = (np.pad(np.arange(n), pair, self.mode) for n, pair in zip(x.shape[2:], sides, strict=True))
        y = np.ascontiguousarray(x[:, :, rows[:, None], columns])
        return y, (x.shape, y.shape, sides, (rows, columns), others)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        if not input_grad:
            return None
        shape, given, ((top, _), (left, _)), taken, others = saved
        grad_output = self._given(grad_output, given)
        if taken is None:
            H, W = shape[2:]
            return self._back(np.ascontiguousarray(grad_output[:, :, top : top + H, left : left + W]), others)
        rows, columns = taken
        wide = np.zeros((*shape[:3], given[3]), grad_output.dtype)
        for p, h in enumerate(rows):  # one after the other, so that the sum's order is always the same
            wide[:, :, h] += grad_output[:, :, p]
        grad_x = np.zeros(shape, grad_output.dtype)
        for q, w in enumerate(columns):
            grad_x[..., w] += wide[..., q]
        return self._back(grad_x, others)
