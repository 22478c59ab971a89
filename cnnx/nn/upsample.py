"""Images made larger."""

from typing import Any

import numpy as np

from .. import _check, ops
from .._check import Array, Pair
from ._layer import Layer


class Upsample2d(Layer):
    """Nearest neighbour, by whole factors: each pixel becomes scale[0] x scale[1] that are equal to it.

    A transposed convolution of each channel alone by ones, whose stride is the kernel's size (T1), so that its gradient
    is a convolution by ones, the sum of those pixels (T2). It is PyTorch's `Upsample(scale_factor=scale)`, and ONNX's
    Resize with mode "nearest".

    Parameters
    ----------
    scale : int or (rows, columns)
        From 1.
    backend : str or None
        As `ConvTranspose2d` takes it.

    Raises
    ------
    TypeError, ValueError
        Factors that are no integers from 1; an x that is no (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.Upsample2d((1, 2)).forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1., 1., 2., 2.]]]])
    """

    def __init__(self, scale: int | Pair, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.scale = scale
        self._factors()

    def _forward(self, x: Array) -> tuple[Array, Any]:
        (x,) = _check.floats(x=x)
        _check.rank("x", x.shape, _check.IMAGES)
        C = x.shape[1]
        y = ops.conv_transpose2d(x, self._ones(x), stride=self._factors(), groups=C, backend=self._back_end)
        return y, x[:0]

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        ones = self._ones(saved)
        return ops.conv2d(grad_output, ones, stride=self._factors(), groups=ones.shape[0], backend=self._back_end)

    def _factors(self) -> Pair:
        return _check.pair("scale", self.scale, 1)

    def _ones(self, x: Array) -> Array:
        return np.ones((x.shape[1], 1, *self._factors()), x.dtype)
