"""The convolution layer."""

from typing import Any, Self, get_args

import numpy.typing as npt

from .. import _check, ops
from .._check import Array, Padding2d, Pair
from ..data._dataset import floating
from ..ops import _winograd
from ..ops._conv import Algorithm, geometry
from ._arguments import Seed
from ._layer import Layer
from .init import constant, draw


class Conv2d(Layer, settings=("stride", "padding", "dilation", "groups", "algorithm", "bias")):
    """Convolution (C1-C6): `cnnx.conv2d` with its weights.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or (rows, columns)
    stride, padding, dilation, groups, algorithm
        As `cnnx.conv2d` takes them. With "winograd", and "auto" where that is it, a layer that is frozen (`freeze`)
        transforms its kernels once; `summary` says what "auto" is.
    bias : bool
        False leaves the biases out.
    dtype : float32 or float64
        The weights'; what comes in must have it too.
    seed : int, SeedSequence, Generator or None
        Where the weights are drawn from; None draws fresh ones.
    init : "he" or "xavier"
        The weights' variance (`he`, `xavier`); biases start at zero.
    backend : str or None
        A back end for this layer; None takes the one chosen at each call.

    Attributes
    ----------
    parameters : "weight" (out_channels, in_channels/groups, R, S) and "bias" (out_channels,)

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Conv2d(1, 4, 3, padding=1, seed=0)
    >>> layer
    Conv2d(1, 4, 3, padding=1)
    >>> layer.forward(np.ones((10, 1, 28, 28), "float32")).shape
    (10, 4, 28, 28)
    """

    _borrows = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: Padding2d = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        algorithm: Algorithm = "direct",
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
        strides, dilations = _check.pair("stride", stride, 1), _check.pair("dilation", dilation, 1)
        _check.padding_form(padding)
        self.groups = _check.integer("groups", groups, 1)
        self.bias = _check.flag("bias", bias)
        _check.choice("algorithm", algorithm, get_args(Algorithm))
        self.algorithm: Algorithm = algorithm
        self.dtype = floating(dtype).name
        self.init = init
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups: expected a divisor of in_channels {in_channels} and out_channels {out_channels}, got {groups}"
            )
        extents = _check.pair("kernel_size", kernel_size, 1)
        if self.algorithm == "winograd":
            _winograd.check_fits(extents, strides, dilations)
        shape = (self.out_channels, self.in_channels // self.groups, *extents)
        self._parameters["weight"] = draw(init, shape, seed, self.groups, floating(dtype))
        if self.bias:
            self._parameters["bias"] = constant(0.0, self.out_channels, self.dtype)
        self._kept: _winograd.Kept | None = None

    def _forward(self, x: Array) -> tuple[Array, Any]:
        weight: Any = self._parameters["weight"]
        if self.frozen and self.algorithm != "direct":
            weight = self._kept = self._kept or _winograd.Kept(weight)
        y = ops.conv2d(
            x,
            weight,
            self._parameters.get("bias"),
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            algorithm=self.algorithm,
            backend=self._back_end,
        )
        return y, x

    def _chosen(self, x: tuple[int, ...]) -> str | None:
        if self.algorithm != "auto":
            return None
        shapes = x, self._parameters["weight"].shape
        options = self.stride, self.padding, self.dilation, self.groups, self.algorithm
        return geometry(shapes, *options).algorithms[0]

    def _set_frozen(self, frozen: bool) -> Self:
        self._kept = None
        return super()._set_frozen(frozen)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_kept": None}

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        weight = self._parameters["weight"]
        grad_x, grad_weight, grad_bias = ops.conv2d_backward(
            grad_output,
            saved,
            weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            algorithm=self.algorithm,
            input_grad=input_grad,
            backend=self._back_end,
        )
        self._gradients = {"weight": grad_weight, "bias": grad_bias} if self.bias else {"weight": grad_weight}
        return grad_x
