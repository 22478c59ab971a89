"""Images of another size."""

from typing import Any, get_args

import numpy as np

from .. import _check, ops
from .._check import Array, Pair
from ..ops.upsample2d import Coordinates, Mode, Rounding
from ._extents import Extent, computed, extent, needed
from ._layer import Layer


class Upsample2d(Layer, settings=("scale", "size", "mode", "coordinates", "rounding")):
    """Images made larger, or smaller, to the nearest pixel or bilinear: `cnnx.upsample2d`.

    R1-R5: standard. By whole factors "nearest" makes each pixel scale[0] x scale[1] that are equal to it, as PyTorch's
    `Upsample(scale_factor=scale)` does, but for factors such as 41, of which that rounds the inverse. "bilinear" is
    PyTorch's too; with coordinates "align_corners" it is its align_corners=True.

    Parameters
    ----------
    scale : int, (rows, columns) or None
        Whole factors, from 1.
    size : int, (rows, columns) or None
        The output's rows and columns instead, whatever the images have. As (rows, columns) each may be a text that says
        how it comes of the inputs' shapes, as `Reshape` has it: ("x1[2]", "x1[3]") is the size of a second input.
    mode, coordinates, rounding
        As `cnnx.upsample2d` takes them.
    backend : str or None
        A back end for this layer; None takes the chosen one.

    Raises
    ------
    TypeError, ValueError
        Both scale and size or none of them; an argument of another type or out of its range; forward and backward raise
        what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.Upsample2d((1, 2)).forward(np.array([[[[1.0, 3.0]]]]))
    array([[[[1., 1., 3., 3.]]]])
    >>> nn.Upsample2d((1, 2), mode="bilinear").forward(np.array([[[[1.0, 3.0]]]]))
    array([[[[1. , 1.5, 2.5, 3. ]]]])
    >>> nn.Upsample2d(size=(1, 3)).forward(np.array([[[[1.0, 3.0]]]]))
    array([[[[1., 1., 3.]]]])
    >>> nn.Upsample2d(size=("x1[2]", "x1[3]")).forward(np.array([[[[1.0, 3.0]]]]), np.zeros((1, 1, 1, 4)))
    array([[[[1., 1., 3., 3.]]]])
    """

    _borrows = True
    _needs = 1  # inputs

    # What pickles lack that were made when there was a scale alone.
    size: int | tuple[Extent, Extent] | None = None
    mode: Mode = "nearest"
    coordinates: Coordinates = "half_pixel"
    rounding: Rounding = "round_prefer_floor"

    def __init__(
        self,
        scale: int | Pair | None = None,
        *,
        size: int | tuple[Extent, Extent] | None = None,
        mode: Mode = "nearest",
        coordinates: Coordinates = "half_pixel",
        rounding: Rounding = "round_prefer_floor",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        if (scale is None) == (size is None):
            raise ValueError(f"scale: expected a scale or a size, got {'none' if scale is None else 'both'}")
        self.scale, self.size = scale, size
        match size:
            case (rows, columns) if isinstance(rows, str) or isinstance(columns, str):
                self.size = extent("size", rows, 1), extent("size", columns, 1)
                self._needs = needed(*self.size)
            case _:
                _check.pair(*(("size", size) if scale is None else ("scale", scale)), 1)
        _check.choice("mode", mode, get_args(Mode))
        _check.choice("coordinates", coordinates, get_args(Coordinates))
        _check.choice("rounding", rounding, get_args(Rounding))
        self.mode, self.coordinates, self.rounding = mode, coordinates, rounding

    def _inputs(self) -> tuple[int, int | None]:
        return self._needs, self._needs

    def _target(self, x: Array, others: tuple[Array, ...]) -> int | Pair:
        """The size of what x becomes."""
        if self.size is None:
            rows, columns = _check.pair("scale", self.scale, 1)
            return rows * x.shape[2], columns * x.shape[3]
        if isinstance(self.size, int):
            return self.size
        shapes = [np.shape(one) for one in (x, *others)]
        rows, columns = (computed("size", each, shapes, 1) for each in self.size)
        return rows, columns

    def _options(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "coordinates": self.coordinates,
            "rounding": self.rounding,
            "backend": self._back_end,
        }

    def _forward(self, x: Array, *others: Array) -> tuple[Array, Any]:
        (x,) = _check.floats(x=x)
        _check.rank("x", x.shape, _check.IMAGES)
        return ops.upsample2d(x, self._target(x, others), **self._options()), (x, others)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        if not input_grad:
            return None
        x, others = saved
        grad_x = ops.upsample2d_backward(grad_output, x, self._target(x, others), **self._options())
        return (grad_x, *map(np.zeros_like, others)) if others else grad_x
