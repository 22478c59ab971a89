"""Activation layers (A1, A2): one class per function, each a line of a table."""

from collections.abc import Callable
from typing import Any, ClassVar

from .. import _check, ops
from .._check import Array
from ._layer import Layer


class Activation(Layer):
    """Y = phi(Z) and dE/dZ = dE/dY phi'(Z); arrays of any rank.

    A subclass names the two functions (and the option they take, if there is one):
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
    _functions: ClassVar[tuple[Callable[..., Array], Callable[..., Array]]]
    _option: ClassVar[str | None] = None
    _saves_output: ClassVar[bool] = False

    def __init_subclass__(
        cls,
        *,
        forward: Callable[..., Array],
        backward: Callable[..., Array],
        option: str | None = None,
        saves_output: bool = False,
    ) -> None:
        super().__init_subclass__(settings=() if option is None else (option,))
        ours = all(getattr(ops, phi.__name__, None) is phi for phi in (forward, backward))
        if not ours or cls._forward is not Activation._forward or cls._backward is not Activation._backward:
            cls._settings = None  # it may do more than to call ops
        cls._functions = forward, backward
        cls._option = option
        cls._saves_output = saves_output

    def _options(self) -> dict[str, Any]:
        assert self._option is not None
        return {self._option: getattr(self, self._option), "backend": self._back_end}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if self._option is None:
            y = self._functions[0](x, backend=self._back_end)
            return y, (y if self._saves_output else x)
        return self._functions[0](x, **self._options()), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        if self._saves_output:  # of x, the shape and the dtype are wanted: y's are the same, and x may go
            return self._functions[1](grad_output, saved, output=saved, backend=self._back_end)
        if self._option is None:
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


class Softmax(Activation, forward=ops.softmax, backward=ops.softmax_backward, option="axis"):
    """exp(z_i) / sum_j exp(z_j) along an axis (U19 footnote 4). Not before CrossEntropy, which has its own."""

    def __init__(self, axis: int = 1, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.axis = _check.integer("axis", axis, -_check.LARGEST)


class LogSoftmax(Activation, forward=ops.log_softmax, backward=ops.log_softmax_backward, option="axis"):
    """The logarithm of Softmax, along an axis."""

    def __init__(self, axis: int = 1, *, backend: str | None = None) -> None:
        super().__init__(backend=backend)
        self.axis = _check.integer("axis", axis, -_check.LARGEST)
