"""Dropout, inverted form, with the mask as an argument."""

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Draw, Op

_UINT8 = np.dtype(np.uint8)


def dropout(x: Array, mask: Array, rate: float, *, backend: str | None = None) -> Array:
    """Keep the elements whose mask is True, scaled by 1/(1-rate); the others become 0, whatever they held.

        Y = m Z / (1 - rate), m in {0, 1}

    equations.md section 4, standard; CN's classifier takes a rate.

    Parameters
    ----------
    x : array of any shape, float32 or float64
    mask : array of x's shape, bool
        True keeps.
    rate : float
        The share that is dropped, 0 <= rate < 1.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        An argument that is no array, another dtype of x, a mask that is not bool, a rate that is no number.
    ValueError
        A mask of another shape, a rate outside [0, 1), an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.dropout(np.array([1.0, np.nan]), np.array([True, False]), 0.5)
    array([2., 0.])
    """
    return _apply("dropout", "x", x, mask, rate, backend)


def dropout_backward(grad_output: Array, mask: Array, rate: float, *, backend: str | None = None) -> Array:
    """Gradient of a cost through `dropout`: dZ = m Delta / (1 - rate).

    equations.md section 4.

    Parameters
    ----------
    grad_output : array of the mask's shape, float32 or float64
    mask, rate, backend
        As in the forward call.

    Returns
    -------
    array of grad_output's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `dropout` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.dropout_backward(np.array([1.0, 1.0]), np.array([True, False]), 0.5)
    array([2., 0.])
    """
    return _apply("dropout_grad_input", "grad_output", grad_output, mask, rate, backend)


def _apply(kernel: str, name: str, value: Array, mask: Array, rate: float, backend: str | None) -> Array:
    z = value
    if not _check.plain(z):
        (z,) = _check.floats(**{name: value})
    mask = _check.array("mask", mask)
    if mask.dtype.char != "?":
        raise TypeError(f"mask: expected dtype bool, got {mask.dtype}")
    _check.shape("mask", mask, z.shape, f"({name}'s)")
    share = _check.real("rate", rate)
    if not 0 <= share < 1:
        raise ValueError(f"rate: expected a number from 0 to below 1, got {share}")
    result = _plan.new(z.shape, z.dtype)
    _backend.kernel(kernel, _check.NAMES[z.dtype.char], backend)(
        z.ravel(), mask.ravel().view(_UINT8), result.ravel(), rate=share
    )
    return result


def _case(name: str, shape: tuple[int, ...], rate: float, *, exact: bool = False) -> Case:
    return Case(name, {"x": shape, "mask": Draw(shape, "mask")}, {"rate": rate}, exact=exact)


OP = Op(
    name="dropout",
    forward=dropout,
    backward=dropout_backward,
    summary="kept elements over 1 - rate, the others 0; the mask is an argument",
    equations="section 4",
    kernels=("dropout", "dropout_grad_input"),
    differentiable=("x",),
    linear=("x",),
    cases=(
        _case("half", (2, 3, 4, 5), 0.5, exact=True),
        _case("none", (3, 7), 0.0, exact=True),
        _case("vector", (37,), 0.5, exact=True),
        _case("no axes", (), 0.75, exact=True),
        _case("tenth", (3, 11), 0.1),
        _case("most", (2, 3, 5), 0.9),
        _case("empty batch", (0, 4), 0.5, exact=True),
    ),
    bench=(_case("images", (10, 4, 28, 28), 0.5),),
)
