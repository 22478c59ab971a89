"""Activation layers (A1, A2, A5): one class per function, most of them a line of a table."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy.typing as npt

from .. import _check, ops
from .._check import Array
from ..data._dataset import floating
from ..ops.activation import bounds
from ._arguments import number
from ._layer import Layer
from .init import constant


class Activation(Layer):
    """Y = phi(Z) and dE/dZ = dE/dY phi'(Z); arrays of any rank.

    A subclass names the two functions (and the option they take, or a tuple of several):
    `class ReLU(Activation, forward=cnnx.relu, backward=cnnx.relu_backward)`. With saves_output=True the
    layer keeps the output for the way back, not the input: the backward function takes it as `output`.

    Parameters
    ----------
    backend : str or None
        A back end for this layer; None takes the one chosen at each call. What the function takes
        besides (slope, alpha, axis) comes before it.

    Raises
    ------
    TypeError, ValueError
        An option of another type, not finite, or no back end of that name; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.LeakyReLU(0.25)
    >>> layer.forward(np.array([-4.0, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    >>> layer.backward(np.array([1.0, 1.0, 1.0]))
    array([0.25, 0.25, 1.  ])
    """

    _borrows = True
    _in_place = True
    _functions: ClassVar[tuple[Callable[..., Array], Callable[..., Array]]]
    _option: ClassVar[tuple[str, ...]] = ()
    _saves_output: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        forward: Callable[..., Array],
        backward: Callable[..., Array],
        option: str | tuple[str, ...] | None = None,
        saves_output: bool = False,
    ) -> None:
        names = (option,) if isinstance(option, str) else option or ()
        super().__init_subclass__(settings=names)
        ours = all(getattr(ops, phi.__name__, None) is phi for phi in (forward, backward))
        if not ours or cls._forward is not Activation._forward or cls._backward is not Activation._backward:
            cls._settings = None  # it may do more than to call ops
        cls._replays = cls._settings is not None
        cls._in_place = cls._replays and vars(cls).get("_in_place", cls._in_place)
        cls._functions = forward, backward
        cls._option = names
        cls._saves_output = saves_output

    def _options(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in self._option}, "backend": self._back_end}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if not self._option:
            y = self._functions[0](x, backend=self._back_end)
            return y, (y if self._saves_output else x)
        y = self._functions[0](x, **self._options())
        return y, (y if self._saves_output else x)

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        if self._saves_output:  # of x, the shape and the dtype are wanted: y's are the same, and x may go
            return self._functions[1](grad_output, saved, output=saved, **self._options())
        if not self._option:
            return self._functions[1](grad_output, saved, backend=self._back_end)
        return self._functions[1](grad_output, saved, **self._options())


class ReLU(Activation, forward=ops.relu, backward=ops.relu_backward):
    """max(0, z) (W15)."""


class Sigmoid(Activation, forward=ops.sigmoid, backward=ops.sigmoid_backward):
    """1 / (1 + exp(-z)) (D19). Keeps z, since the output is 1 from z = 17 on (float32), where the slope is not 0."""


class Tanh(Activation, forward=ops.tanh, backward=ops.tanh_backward):
    """tanh(z) (D19). Keeps z, since the output is 1 from |z| = 9 on (float32), where the slope is not 0."""


class Step(Activation, forward=ops.step, backward=ops.step_backward):
    """1 where z > 0, else 0 (D19); stops every gradient."""


class Identity(Activation, forward=ops.identity, backward=ops.identity_backward):
    """z (D19)."""

    def _infer(self, x: Array) -> Array:
        return x


class Softplus(Activation, forward=ops.softplus, backward=ops.softplus_backward):
    """log(1 + exp(z))."""


class GELU(Activation, forward=ops.gelu, backward=ops.gelu_backward):
    """z Phi(z), Phi the normal distribution (exact, by erf)."""


class LeakyReLU(Activation, forward=ops.leaky_relu, backward=ops.leaky_relu_backward, option="negative_slope"):
    """z where z > 0, else negative_slope * z; negative_slope is a finite float."""

    def __init__(self, negative_slope: float = 0.01, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.negative_slope = _check.real("negative_slope", negative_slope)


class ELU(Activation, forward=ops.elu, backward=ops.elu_backward, option="alpha"):
    """z where z > 0, else alpha (exp(z) - 1); alpha is a finite float."""

    def __init__(self, alpha: float = 1.0, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.alpha = _check.real("alpha", alpha)


class Clip(Activation, forward=ops.clip, backward=ops.clip_backward, option=("min", "max")):
    """min(max(z, min), max); a bound is a finite float, or None where there is none."""

    def __init__(self, min: float | None, max: float | None, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        low, high = bounds(min, max)
        self.min, self.max = None if min is None else low, None if max is None else high


class ReLU6(Activation, forward=ops.clip, backward=ops.clip_backward, option=("min", "max")):
    """min(max(z, 0), 6)."""

    min, max = 0.0, 6.0


class HardSigmoid(Activation, forward=ops.hard_sigmoid, backward=ops.hard_sigmoid_backward, option=("alpha", "beta")):
    """max(0, min(1, alpha z + beta)); alpha and beta are finite floats, alpha above 0 (ONNX's default of it is 0.2)."""

    def __init__(self, alpha: float = 1 / 6, beta: float = 0.5, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.alpha = number("alpha", alpha, "a number above 0", lambda v: v > 0)
        self.beta = _check.real("beta", beta)


class HardSwish(Activation, forward=ops.hard_swish, backward=ops.hard_swish_backward):
    """z max(0, min(6, z + 3)) / 6."""


class SiLU(Activation, forward=ops.silu, backward=ops.silu_backward):
    """z / (1 + exp(-z)), also called swish."""


class Softmax(Activation, forward=ops.softmax, backward=ops.softmax_backward, option="axis", saves_output=True):
    """exp(z_i) / sum_j exp(z_j) along an axis (U19 footnote 4). Not before CrossEntropy, which has its own.

    Keeps the output, which is all that its gradient asks for.
    """

    _in_place = False

    def __init__(self, axis: int = 1, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.axis = _check.integer("axis", axis, -_check.LARGEST)


class LogSoftmax(
    Activation, forward=ops.log_softmax, backward=ops.log_softmax_backward, option="axis", saves_output=True
):
    """The logarithm of Softmax, along an axis. Keeps the output."""

    _in_place = False

    def __init__(self, axis: int = 1, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.axis = _check.integer("axis", axis, -_check.LARGEST)


class PReLU(Layer, settings=()):
    """z where z > 0, else w z (A5): `cnnx.prelu` with slopes that are learnt.

    Parameters
    ----------
    channels : int
        How many slopes: one for each channel of (N, C, ...), or 1 for all.
    slope : float
        What each is at first.
    dtype, backend
        As `Conv2d` takes them.

    Attributes
    ----------
    parameters : "weight" (channels,)

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.PReLU(2, dtype="float64")
    >>> layer.forward(np.array([[-4.0, 3.0]]))
    array([[-1.,  3.]])
    >>> _ = layer.backward(np.array([[2.0, 2.0]]))
    >>> layer.gradients["weight"]
    array([-8.,  0.])
    """

    _borrows = True

    def __init__(
        self,
        channels: int = 1,
        *,
        slope: float = 0.25,
        dtype: npt.DTypeLike = "float32",
        backend: str | None = None,
    ) -> None:
        super().__init__(backend=backend)
        self.channels = _check.integer("channels", channels, 1)
        self.slope = _check.real("slope", slope)
        self.dtype = floating(dtype).name
        self._parameters["weight"] = constant(self.slope, self.channels, self.dtype)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.prelu(x, self._parameters["weight"], backend=self._back_end), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        weight = self._parameters["weight"]
        grad_x, grad_weight = ops.prelu_backward(grad_output, saved, weight, backend=self._back_end)
        self._gradients = {"weight": grad_weight}
        return grad_x if input_grad else None
