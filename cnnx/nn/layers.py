"""Layers with weights or with memory; convolution has a file of its own."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check, ops
from .._check import Array
from ..data._dataset import floating
from ..ops import _plan
from ._arguments import Seed, below_one, generator, number
from ._layer import Layer
from ._share import meet, share
from .init import constant, draw


class Affine(Layer, settings=("bias",)):
    """Fully connected layer (F1-F3): `cnnx.affine` with its weights, over the last axis of what comes in.

    Parameters
    ----------
    in_features, out_features : int
    bias, dtype, seed, init, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : "weight" (out_features, in_features) and "bias" (out_features,)

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Affine(3, 2, dtype="float64")
    >>> layer.parameters["weight"][:] = [[1, 2, 3], [0, 0, 1]]
    >>> layer.forward(np.array([[1.0, 1.0, 1.0]]))
    array([[6., 1.]])
    """

    _borrows = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        dtype: npt.DTypeLike = "float32",
        seed: Seed = None,
        init: str = "he",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        self.in_features = _check.integer("in_features", in_features, 1)
        self.out_features = _check.integer("out_features", out_features, 1)
        self.bias = _check.flag("bias", bias)
        self.dtype = floating(dtype).name
        self.init = init
        self._parameters["weight"] = draw(init, (self.out_features, self.in_features), seed, 1, floating(dtype))
        if self.bias:
            self._parameters["bias"] = constant(0.0, self.out_features, self.dtype)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        y = ops.affine(x, self._parameters["weight"], self._parameters.get("bias"), backend=self._back_end)
        return y, x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        weight = self._parameters["weight"]
        grad_x, grad_weight, grad_bias = ops.affine_backward(
            grad_output, saved, weight, input_grad=input_grad, backend=self._back_end
        )
        self._gradients = {"weight": grad_weight, "bias": grad_bias} if self.bias else {"weight": grad_weight}
        return grad_x

    def _multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int:
        return self._parameters["weight"].size * math.prod(x[1:-1])


class BatchNorm2d(Layer):
    """Batch normalisation per channel: `cnnx.batch_norm2d` with its weights and running statistics.

    Training normalises with the batch's mean and biased variance, and moves the running ones towards the
    batch's: r <- (1 - momentum) r + momentum s, with s the mean or the unbiased variance. Evaluation
    normalises with the running ones. The batch's are float64; the running ones are rounded to dtype, so
    that images far from 0, seen from their deviation, are better centred before, or kept in float64.

    Parameters
    ----------
    channels : int
    momentum : float
        From 0 to 1, where the running statistics are the last batch's.
    eps : float
        Above 0; added to the variance.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : "weight" (channels,), ones at first, and "bias" (channels,), zeros at first
    buffers : "running_mean" (channels,), zeros at first, and "running_var" (channels,), ones at first

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; fewer than two members per channel (N * H * W)
        when training; what the op raises.
    """

    _borrows = _replays = _in_place = True

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.1,
        eps: float = 1e-5,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        self.channels = _check.integer("channels", channels, 1)
        self.momentum = number("momentum", momentum, "a number from 0 to 1", lambda v: 0 <= v <= 1)
        self.eps = number("eps", eps, "a number above 0", lambda v: v > 0)
        self.dtype = floating(dtype).name
        self._parameters = {
            "weight": constant(1.0, self.channels, self.dtype),
            "bias": constant(0.0, self.channels, self.dtype),
        }
        self._buffers = {
            "running_mean": constant(0.0, self.channels, self.dtype),
            "running_var": constant(1.0, self.channels, self.dtype),
        }

    def _forward(self, x: Array) -> tuple[Array, Any]:
        together = meet.get() if self.training else None
        if together is not None:
            return self._forward_together(x, together)
        options: dict[str, Any] = dict(training=self.training, eps=self.eps, backend=self._back_end)
        if not self.training:
            options |= self._buffers
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        y: Any = ops.batch_norm2d(x, weight, bias, return_statistics=self.training, **options)
        if self.training:
            y, (mean, var) = y
            members = np.size(x) // self.channels
            self._move("running_mean", mean)
            self._move("running_var", var * (members / (members - 1)))
            options["statistics"] = mean, var
        return y, (x, options)

    def _move(self, name: str, batch: Array) -> None:
        running = self._buffers[name]
        with np.errstate(over="ignore"):  # a statistic, in float64, that the layer's dtype cannot hold is infinite
            running[:] = (1 - self.momentum) * running + self.momentum * batch

    def _forward_together(self, x: Array, together: Callable[[Array], Array]) -> tuple[Array, Any]:
        """As in training, where x is a part of the batch and `together` adds up over the parts."""
        wide = x.astype(np.float64)
        sums = together(np.append(self._sums(wide), wide.size // self.channels))
        mean, members = sums[:-1] / sums[-1], sums[-1]
        if members < 2:
            raise ValueError(f"x: expected at least two members per channel (N * H * W) when training, got {members:g}")
        var = together(self._sums((wide - mean[:, None, None]) ** 2)) / members
        self._move("running_mean", mean)
        self._move("running_var", var * (members / (members - 1)))
        options: dict[str, Any] = dict(eps=self.eps, backend=self._back_end)
        statistics = mean.astype(self.dtype), var.astype(self.dtype)
        y: Any = ops.batch_norm2d(x, self._parameters["weight"], self._parameters["bias"], *statistics, **options)
        return y, (x, (statistics, members, options))

    def _sums(self, wide: Array) -> Array:
        """Each channel's sum, in the order of the kernels: NumPy's own is its processor's."""
        one, zero = np.ones(self.channels), np.zeros(self.channels)
        return ops.batch_norm2d_backward(wide, wide, one, zero, one, backend=self._back_end)[2]

    def _backward_together(self, grad_output: Array, saved: Any, together: Callable[[Array], Array]) -> Array:
        """This part's gradients of the parameters (N3), and of x by those of all parts (N4)."""
        x, ((mean, var), members, options) = saved
        weight = self._parameters["weight"]
        wide = [a.astype(np.float64) for a in (grad_output, x, weight, mean, var)]
        _, *rest = ops.batch_norm2d_backward(*wide, training=False, **options)
        self._gradients = {name: g.astype(self.dtype) for name, g in zip(self._parameters, rest, strict=True)}
        dg, db = together(np.stack(rest))[..., None, None]
        Delta, Z, g, mean, var = wide[0], wide[1], *(a[:, None, None] for a in wide[2:])
        deviation = np.sqrt(var + self.eps)
        Zh = (Z - mean) / deviation
        grad_x: Array = (g / deviation * (Delta - db / members - Zh * (dg / members))).astype(x.dtype)
        return grad_x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        together = meet.get() if self.training else None
        if together is not None:
            return self._backward_together(grad_output, saved, together)
        x, options = saved
        grad_x, *rest = ops.batch_norm2d_backward(grad_output, x, self._parameters["weight"], **options)
        self._gradients = dict(zip(self._parameters, rest, strict=True))
        return grad_x


class Dropout(Layer):
    """Dropout: in training each element is 0 with probability `rate`, else scaled by 1 / (1 - rate).

    Source: CN's classifier takes a rate (inverted form). In evaluation everything passes unchanged. Where several
    processes share a batch (`Ranks`), each draws the whole batch's mask and uses its rows, so that the masks are those
    of one process.

    Parameters
    ----------
    rate : float
        From 0 to below 1.
    seed : int, SeedSequence, Generator or None
        Where the masks are drawn from; None draws fresh ones.
    backend : str or None

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.Dropout(0.5, seed=0)
    >>> sorted(set(layer.forward(np.ones(100)).tolist()))
    [0.0, 2.0]
    >>> sorted(set(layer.eval().forward(np.ones(100)).tolist()))
    [1.0]
    """

    _borrows = True

    def __init__(self, rate: float = 0.5, *, seed: Seed = None, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.rate = below_one("rate", rate)
        self._random = generator(seed)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if not self.training:
            return ops.identity(x, backend=self._back_end), (x, None)
        shape, part = np.shape(x), share.get()
        drawn = _plan.new(shape if part is None else (part.images, *shape[1:]), np.float64)
        self._random.random(out=drawn)
        mask = _plan.new(shape, np.bool_)
        np.greater_equal(drawn if part is None else drawn[part.rows], self.rate, out=mask)
        return ops.dropout(x, mask, self.rate, backend=self._back_end), (x, mask)

    def _infer(self, x: Array) -> Array:
        return x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        x, mask = saved
        if not input_grad:
            return None
        if mask is None:
            return ops.identity_backward(grad_output, x, backend=self._back_end)
        return ops.dropout_backward(grad_output, mask, self.rate, backend=self._back_end)


class Flatten(Layer, settings=()):
    """(N, C, H, W), or any (N, ...), to (N, J) and back (M17 2.5, CN); no copy where none is needed."""

    _borrows = True

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.flatten(x), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        return ops.flatten_backward(grad_output, saved) if input_grad else None
