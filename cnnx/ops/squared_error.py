"""Squared error (E1, E2)."""

from typing import Literal

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op

Reduction = Literal["mean", "sum"]

_FLOAT64 = np.dtype(np.float64)


def squared_error(y: Array, target: Array, *, reduction: Reduction = "mean", backend: str | None = None) -> float:
    """Half the sum of squared differences, over all examples.

        C = (1/2) sum_i (t_i - a_i)^2,  E = (1/N) sum_n C_n ("mean") or sum_n C_n ("sum")

    E1, E2. Sources: D19 (C_k, C_T: "sum"); M17 2.1 ("mean").

    Parameters
    ----------
    y, target : arrays (N, ...) of one shape and dtype, float32 or float64
    reduction : "mean" or "sum"
        "mean" divides by N, the number of examples.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    float
        Computed in double. 0.0 for N = 0.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes.
    ValueError
        Shapes that differ, arrays without axes, an unknown reduction or back end.

    Examples
    --------
    D19's cost of the o example at the start:

    >>> import cnnx, numpy as np
    >>> round(cnnx.squared_error(np.array([[0.2268, 0.8219]]), np.array([[1.0, 0.0]])), 4)
    0.6367
    """
    y, target, divisor = _checked(y, target, reduction)
    E = _plan.new((1,), _FLOAT64)
    kernel = _backend.kernel("squared_error", _check.NAMES[y.dtype.char], backend)
    kernel(y.ravel(), target.ravel(), E, divisor=divisor)
    return float(E[0])


def squared_error_backward(
    y: Array, target: Array, *, reduction: Reduction = "mean", backend: str | None = None
) -> Array:
    """dE/dy of `squared_error`, with the reduction's 1/N in it: (a_i - t_i) / N or a_i - t_i.

    E1: D19 (1), whose factor phi'(z_i) belongs to the activation.

    Parameters
    ----------
    y, target, reduction, backend
        As in the forward call.

    Returns
    -------
    array of y's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `squared_error` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.squared_error_backward(np.array([[0.5, 2.0]]), np.array([[1.0, 0.0]]))
    array([[-0.5,  2. ]])
    """
    y, target, divisor = _checked(y, target, reduction)
    grad_y = _plan.new(y.shape, y.dtype)
    kernel = _backend.kernel("squared_error_grad_input", _check.NAMES[y.dtype.char], backend)
    kernel(y.ravel(), target.ravel(), grad_y.ravel(), divisor=divisor)
    return grad_y


def _checked(y: Array, target: Array, reduction: object) -> tuple[Array, Array, int]:
    if not _check.plain(y, target):
        y, target = _check.floats(y=y, target=target)
    if y.ndim == 0:
        raise ValueError("y: expected at least one axis (N, ...), got an array of no axes")
    _check.shape("target", target, y.shape, "(y's)")
    return y, target, divisor(reduction, y.shape[0])


def divisor(reduction: object, N: int) -> int:
    """What a cost divides by: 1 for "sum", N for "mean" (and 1 for N = 0, whose cost is 0)."""
    return max(N, 1) if _check.choice("reduction", reduction, ("mean", "sum")) == "mean" else 1


OP = Op(
    name="squared_error",
    forward=squared_error,
    backward=squared_error_backward,
    summary="half the sum of squared differences, mean or sum over examples",
    equations="E1, E2",
    kernels=("squared_error", "squared_error_grad_input"),
    differentiable=("y",),
    cost=True,
    cases=tuple(
        Case(f"{name}, {reduction}", {"y": shape, "target": shape}, {"reduction": reduction}, exact=reduction == "sum")
        for reduction in ("mean", "sum")
        for name, shape in {
            "one": (1,),
            "rows": (3, 5),
            "images": (2, 2, 3, 4),
            "tail": (7, 9),
            "empty batch": (0, 4),
        }.items()
    ),
    bench=(Case("64 x 10", {"y": (64, 10), "target": (64, 10)}),),
)
