"""Activations, elementwise (A1, A2): two public functions each, which the table in _activation_ops.py describes."""

import math

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan


def _forward(name: str, x: Array, backend: str | None, **numbers: float) -> Array:
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(x.ravel(), y.ravel(), **numbers)
    return y


def _backward(name: str, grad_output: Array, x: Array, backend: str | None, **numbers: float) -> Array:
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel(f"{name}_grad_input", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.ravel(), x.ravel(), grad_x.ravel(), **numbers)
    return grad_x


def _backward_by_output(name: str, grad_output: Array, x: Array, output: Array | None, backend: str | None) -> Array:
    """`_backward` where phi' is simple in Y, which may have been saved."""
    if output is None:
        return _backward(name, grad_output, x, backend)
    if not _check.plain(grad_output, x, output):
        grad_output, x, output = _check.floats(grad_output=grad_output, x=x, output=output)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    _check.shape("output", output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel(f"{name}_grad_input_output", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.ravel(), output.ravel(), grad_x.ravel())
    return grad_x


def relu(x: Array, *, backend: str | None = None) -> Array:
    return _forward("relu", x, backend)


def relu_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("relu", grad_output, x, backend)


def sigmoid(x: Array, *, backend: str | None = None) -> Array:
    return _forward("sigmoid", x, backend)


def sigmoid_backward(grad_output: Array, x: Array, *, output: Array | None = None, backend: str | None = None) -> Array:
    return _backward_by_output("sigmoid", grad_output, x, output, backend)


def tanh(x: Array, *, backend: str | None = None) -> Array:
    return _forward("tanh", x, backend)


def tanh_backward(grad_output: Array, x: Array, *, output: Array | None = None, backend: str | None = None) -> Array:
    return _backward_by_output("tanh", grad_output, x, output, backend)


def step(x: Array, *, backend: str | None = None) -> Array:
    return _forward("step", x, backend)


def step_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("step", grad_output, x, backend)


def identity(x: Array, *, backend: str | None = None) -> Array:
    return _forward("identity", x, backend)


def identity_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("identity", grad_output, x, backend)


def leaky_relu(x: Array, negative_slope: float = 0.01, *, backend: str | None = None) -> Array:
    return _forward("leaky_relu", x, backend, slope=_check.real("negative_slope", negative_slope))


def leaky_relu_backward(
    grad_output: Array, x: Array, negative_slope: float = 0.01, *, backend: str | None = None
) -> Array:
    return _backward("leaky_relu", grad_output, x, backend, slope=_check.real("negative_slope", negative_slope))


def elu(x: Array, alpha: float = 1.0, *, backend: str | None = None) -> Array:
    return _forward("elu", x, backend, alpha=_check.real("alpha", alpha))


def elu_backward(grad_output: Array, x: Array, alpha: float = 1.0, *, backend: str | None = None) -> Array:
    return _backward("elu", grad_output, x, backend, alpha=_check.real("alpha", alpha))


def softplus(x: Array, *, backend: str | None = None) -> Array:
    return _forward("softplus", x, backend)


def softplus_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("softplus", grad_output, x, backend)


def gelu(x: Array, *, backend: str | None = None) -> Array:
    return _forward("gelu", x, backend)


def gelu_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("gelu", grad_output, x, backend)


def clip(x: Array, min: float | None, max: float | None, *, backend: str | None = None) -> Array:
    low, high = bounds(min, max)
    return _forward("clip", x, backend, low=low, high=high)


def clip_backward(
    grad_output: Array, x: Array, min: float | None, max: float | None, *, backend: str | None = None
) -> Array:
    low, high = bounds(min, max)
    return _backward("clip", grad_output, x, backend, low=low, high=high)


def bounds(low: float | None, high: float | None) -> tuple[float, float]:
    """The bounds of `clip`, infinite where there is none."""
    least = -math.inf if low is None else _check.real("min", low)
    most = math.inf if high is None else _check.real("max", high)
    if least > most:
        raise ValueError(f"max: expected a number of at least min, {least}, got {most}")
    return least, most


def hard_sigmoid(x: Array, alpha: float = 1 / 6, beta: float = 0.5, *, backend: str | None = None) -> Array:
    return _forward("hard_sigmoid", x, backend, alpha=_rising(alpha), beta=_check.real("beta", beta))


def hard_sigmoid_backward(
    grad_output: Array, x: Array, alpha: float = 1 / 6, beta: float = 0.5, *, backend: str | None = None
) -> Array:
    return _backward("hard_sigmoid", grad_output, x, backend, alpha=_rising(alpha), beta=_check.real("beta", beta))


def _rising(alpha: float) -> float:
    slope = _check.real("alpha", alpha)
    if slope <= 0:
        raise ValueError(f"alpha: expected a number above 0, got {slope}")
    return slope


def hard_swish(x: Array, *, backend: str | None = None) -> Array:
    return _forward("hard_swish", x, backend)


def hard_swish_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("hard_swish", grad_output, x, backend)


def silu(x: Array, *, backend: str | None = None) -> Array:
    return _forward("silu", x, backend)


def silu_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("silu", grad_output, x, backend)
