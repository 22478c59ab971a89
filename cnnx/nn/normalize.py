"""Normalisation of each example by itself (S1-S4): layers that need no batch and keep no running statistics."""

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from .. import _check, ops
from .._check import Array
from ..data._dataset import floating
from ..ops.layer_norm import extents
from ._arguments import number
from ._layer import Layer
from .init import constant


class _Norm(Layer):
    """What the three have in common: weight and bias of one shape, or neither; training and evaluation are alike."""

    _borrows = True

    def __init__(
        self, parameters: tuple[int, ...], eps: float, affine: bool, dtype: npt.DTypeLike, backend: str | None
    ) -> None:
        super().__init__(backend=backend)
        self.eps = number("eps", eps, "a number above 0", lambda v: v > 0)
        self.affine = _check.flag("affine", affine)
        self.dtype = floating(dtype).name
        if self.affine:
            self._parameters = {
                "weight": constant(1.0, parameters, self.dtype),
                "bias": constant(0.0, parameters, self.dtype),
            }

    def _there(self, call: Callable[..., Any], x: Array, *options: Any) -> tuple[Array, Any]:
        given = self._parameters.get("weight"), self._parameters.get("bias")
        y, statistics = call(x, *options, *given, eps=self.eps, return_statistics=True, backend=self._back_end)
        return y, (x, statistics)

    def _back(self, call: Callable[..., Any], grad_output: Array, saved: Any, input_grad: bool, *options: Any) -> Any:
        (x, statistics), weight = saved, self._parameters.get("weight")
        more = {"eps": self.eps, "statistics": statistics, "backend": self._back_end}
        grad_x, *rest = call(grad_output, x, *options, weight, **more)
        self._gradients = dict(zip(self._parameters, rest, strict=False))
        return grad_x if input_grad else None


class GroupNorm(_Norm, settings=("num_groups", "eps", "affine")):
    """Groups of channels of each example to mean 0 and deviation 1, then a weight and a bias: `cnnx.group_norm`.

    S1-S4: standard.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels are cut; it divides them.
    channels : int
    eps : float
        Above 0; added to the variance.
    affine : bool
        Whether there are a weight and a bias.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : with affine "weight" (channels,), ones at first, and "bias" (channels,), zeros at first

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.GroupNorm(2, 4, dtype="float64")
    >>> layer.forward(np.array([[[1.0], [3.0], [10.0], [30.0]]])).round(3).ravel()
    array([-1.,  1., -1.,  1.])
    """

    def __init__(
        self,
        num_groups: int,
        channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        self.num_groups = _check.integer("num_groups", num_groups, 1)
        self.channels = _check.integer("channels", channels, 1)
        if self.channels % self.num_groups:
            raise ValueError(f"num_groups: expected a divisor of the {self.channels} channels, got {self.num_groups}")
        super().__init__((self.channels,), eps, affine, dtype, backend)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return self._there(ops.group_norm, x, self.num_groups)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        grad_x: Array | None = self._back(ops.group_norm_backward, grad_output, saved, input_grad, self.num_groups)
        return grad_x


class InstanceNorm2d(_Norm, settings=("eps", "affine")):
    """Each channel of each example to mean 0 and deviation 1, then, if asked for, a weight and a bias.

    `cnnx.instance_norm`; S1-S4: standard. There are no running statistics.

    Parameters
    ----------
    channels : int
    eps : float
        Above 0; added to the variance.
    affine : bool
        Whether there are a weight and a bias.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : with affine "weight" (channels,), ones at first, and "bias" (channels,), zeros at first

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.InstanceNorm2d(1).forward(np.array([[[[1.0, 3.0]]]])).round(3)
    array([[[[-1.,  1.]]]])
    """

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = False,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        self.channels = _check.integer("channels", channels, 1)
        super().__init__((self.channels,), eps, affine, dtype, backend)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return self._there(ops.instance_norm, x)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        grad_x: Array | None = self._back(ops.instance_norm_backward, grad_output, saved, input_grad)
        return grad_x


class LayerNorm(_Norm, settings=("normalized_shape", "eps", "affine")):
    """The last axes of each example to mean 0 and deviation 1, then a weight and a bias each: `cnnx.layer_norm`.

    S1-S4: standard.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Extents of the last axes.
    eps : float
        Above 0; added to the variance.
    affine : bool
        Whether there are a weight and a bias.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : with affine "weight", ones at first, and "bias", zeros at first, both of normalized_shape

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.LayerNorm(2, dtype="float64").forward(np.array([[1.0, 3.0], [30.0, 10.0]])).round(3)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        self.normalized_shape = extents(normalized_shape)
        super().__init__(self.normalized_shape, eps, affine, dtype, backend)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return self._there(ops.layer_norm, x, self.normalized_shape)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        last = self.normalized_shape
        grad_x: Array | None = self._back(ops.layer_norm_backward, grad_output, saved, input_grad, last)
        return grad_x
