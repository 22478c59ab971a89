"""What group, instance and layer normalisation share: their kernels, which see x as sets of channels of places."""

from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Shape

Statistics = tuple[Array, Array]

KERNELS = (
    "group_norm",
    "group_norm_statistics",
    "group_norm_grad_input",
    "group_norm_grad_weight",
    "group_norm_grad_bias",
    "group_norm_grad_sums",
)


class View(NamedTuple):
    """How the kernels see an x: (N, S, D, P), and how callers see its parameters and its statistics."""

    sets: tuple[int, int, int, int]
    parameters: Shape
    statistics: Shape
    reason: str  # why the parameters have that shape


def arrays(required: dict[str, object], optional: dict[str, object]) -> tuple[Any, ...]:
    """Arguments as arrays of one dtype, in their order; what is optional may be None and stays it."""
    given = required | {name: value for name, value in optional.items() if value is not None}
    if not _check.plain(*given.values()):
        given = dict(zip(given, _check.floats(**given), strict=True))
    return tuple(given.get(name) for name in (*required, *optional))


def forward(
    view: View,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: object,
    return_statistics: object,
    backend: str | None,
) -> Array | tuple[Array, Statistics]:
    """S1, S2."""
    small, kind = _eps(eps), _check.NAMES[x.dtype.char]
    wanted = _check.flag("return_statistics", return_statistics)
    _parameters(view, "bias", bias)
    g = _gain(view, weight, kind)
    b = _plan.zeros(g.size, kind).reshape(g.shape) if bias is None else bias.reshape(g.shape)
    z = x.reshape(view.sets)
    mean, var = _statistics(view, z, None, kind, backend)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel("group_norm", kind, backend)(z, g, b, mean, var, y.reshape(view.sets), eps=small)
    return (y, (mean.reshape(view.statistics), var.reshape(view.statistics))) if wanted else y


def backward(
    view: View,
    grad_output: Array,
    x: Array,
    weight: Array | None,
    eps: object,
    statistics: object,
    backend: str | None,
) -> tuple[Array, Array, Array]:
    """S3, S4."""
    small, kind = _eps(eps), _check.NAMES[x.dtype.char]
    g = _gain(view, weight, kind)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    delta, z = grad_output.reshape(view.sets), x.reshape(view.sets)
    mean, var = _statistics(view, z, statistics, kind, backend)
    grad_weight, grad_bias = _plan.new(view.parameters, x.dtype), _plan.new(view.parameters, x.dtype)
    _backend.kernel("group_norm_grad_bias", kind, backend)(delta, grad_bias.reshape(g.shape))
    kernel = _backend.kernel("group_norm_grad_weight", kind, backend)
    kernel(delta, z, mean, var, grad_weight.reshape(g.shape), eps=small)
    e, f = _plan.new(mean.shape, np.float64), _plan.new(mean.shape, np.float64)
    _backend.kernel("group_norm_grad_sums", kind, backend)(delta, z, g, mean, var, e, f, eps=small)
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel("group_norm_grad_input", kind, backend)
    kernel(delta, z, g, mean, var, e, f, grad_x.reshape(view.sets), eps=small)
    return grad_x, grad_weight, grad_bias


def _eps(eps: object) -> float:
    small = _check.real("eps", eps)
    if small <= 0:
        raise ValueError(f"eps: expected a number above 0, got {small}")
    return small


def _parameters(view: View, name: str, value: Array | None) -> None:
    if value is not None:
        _check.shape(name, value, view.parameters, view.reason)


def _gain(view: View, weight: Array | None, kind: str) -> Array:
    """g (S, D)."""
    _parameters(view, "weight", weight)
    shape = view.sets[1:3]
    return _plan.ones(shape[0] * shape[1], kind).reshape(shape) if weight is None else weight.reshape(shape)


def _statistics(view: View, z: Array, saved: object, kind: str, backend: str | None) -> Statistics:
    """mean and var (N, S), in float64, as saved or computed."""
    shape = view.sets[:2]
    if saved is None:
        mean, var = _plan.new(shape, np.float64), _plan.new(shape, np.float64)
        _backend.kernel("group_norm_statistics", kind, backend)(z, mean, var)
        return mean, var
    if not isinstance(saved, tuple) or len(saved) != 2:
        raise TypeError(f"statistics: expected (mean, var) or None, got {_check.shown(saved)}")
    mean, var = (_saved(view, f"statistics[{i}]", value).reshape(shape) for i, value in enumerate(saved))
    if np.fmin.reduce(var, axis=None, initial=0.0) < 0:  # fmin: a NaN hides nothing
        raise ValueError(f"statistics[1]: expected variances of at least 0, got {var.min()}")
    return mean, var


def _saved(view: View, name: str, value: object) -> Array:
    given = _check.array(name, value)
    if given.dtype != np.float64:
        raise TypeError(f"{name}: expected dtype float64, as the forward call returns it, got {given.dtype}")
    _check.shape(name, given, view.statistics, "(as the forward call returns it)")
    return given
