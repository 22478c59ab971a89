"""The layer of transposed convolution."""

from typing import Any

import numpy.typing as npt

from .. import _check, ops
from .._check import Array, Padding, Pair
from ..data._dataset import floating
from ..ops._conv import check_output_padding, padding_by_side
from ._arguments import Seed
from ._layer import Layer
from .init import constant, draw_transposed


class ConvTranspose2d(Layer, settings=("stride", "padding", "output_padding", "dilation", "groups", "bias")):
    """Transposed convolution (T1-T4): `cnnx.conv_transpose2d` with its weights.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (rows, columns)
    stride, padding, output_padding, dilation, groups
        As `cnnx.conv_transpose2d` takes them.
    bias : bool
        False leaves the biases out.
    dtype, seed, backend
        As `Conv2d` takes them.
    init : "he" or "xavier"
        The weights' variance (`he`, `xavier`), for as many terms as an output has on average; biases start at zero.

    Attributes
    ----------
    parameters : "weight" (in_channels, out_channels/groups, R, S) and "bias" (out_channels,)

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.ConvTranspose2d(8, 4, 2, stride=2, seed=0)
    >>> layer
    ConvTranspose2d(8, 4, 2, stride=2)
    >>> layer.forward(np.ones((10, 8, 7, 7), "float32")).shape
    (10, 4, 14, 14)
    """

    _borrows = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: int | Pair | Padding = 0,
        output_padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
        seed: Seed = None,
        init: str = "he",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        self.in_channels = _check.integer("in_channels", in_channels, 1)
        self.out_channels = _check.integer("out_channels", out_channels, 1)
        self.kernel_size = kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.output_padding = output_padding
        strides, dilations = _check.pair("stride", stride, 1), _check.pair("dilation", dilation, 1)
        padding_by_side(padding)
        check_output_padding(_check.pair("output_padding", output_padding, 0), strides, dilations)
        self.groups = _check.integer("groups", groups, 1)
        self.bias = _check.flag("bias", bias)
        self.dtype = floating(dtype).name
        self.init = init
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups: expected a divisor of in_channels {in_channels} and out_channels {out_channels}, got {groups}"
            )
        R, S = _check.pair("kernel_size", kernel_size, 1)
        shape = (self.in_channels, self.out_channels // self.groups, R, S)
        self._parameters["weight"] = draw_transposed(init, shape, strides, seed, self.groups, floating(dtype))
        if self.bias:
            self._parameters["bias"] = constant(0.0, self.out_channels, self.dtype)

    def _options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "dilation": self.dilation,
            "groups": self.groups,
            "backend": self._back_end,
        }

    def _forward(self, x: Array) -> tuple[Array, Any]:
        weight, bias = self._parameters["weight"], self._parameters.get("bias")
        return ops.conv_transpose2d(x, weight, bias, **self._options()), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        weight = self._parameters["weight"]
        grad_x, grad_weight, grad_bias = ops.conv_transpose2d_backward(
            grad_output, saved, weight, input_grad=input_grad, **self._options()
        )
        self._gradients = {"weight": grad_weight, "bias": grad_bias} if self.bias else {"weight": grad_weight}
        return grad_x
