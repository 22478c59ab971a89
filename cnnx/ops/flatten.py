"""Flatten: (N, ...) to (N, J) and back. A reshape: it has no kernels."""

import math

from .. import _check
from .._check import Array
from ._spec import Case, Op


def flatten(x: Array) -> Array:
    """Join all axes but the first: (N, C, H, W) to (N, J).

    M17 2.5; CN.

    Parameters
    ----------
    x : array (N, ...), float32 or float64, of rank >= 1

    Returns
    -------
    array (N, J), dtype of x; a view where x is C-contiguous

    Raises
    ------
    TypeError
        x is no array or of another dtype.
    ValueError
        x has no axes.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.flatten(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    return x.reshape(_rows(x))


def flatten_backward(grad_output: Array, x: Array) -> Array:
    """Gradient of a cost through `flatten`: the same numbers in x's shape.

    Parameters
    ----------
    grad_output : array (N, J), dtype of x
    x : array (N, ...)
        The forward call's; of it only the shape counts.

    Returns
    -------
    array of x's shape; a view where grad_output is C-contiguous

    Raises
    ------
    TypeError, ValueError
        As `flatten` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.flatten_backward(np.zeros((2, 60)), np.zeros((2, 3, 4, 5))).shape
    (2, 3, 4, 5)
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    _check.shape("grad_output", grad_output, _rows(x), "(the output's)")
    return grad_output.reshape(x.shape)


def _rows(x: Array) -> tuple[int, int]:
    if x.ndim == 0:
        raise ValueError("x: expected at least one axis (N, ...), got an array of no axes")
    return x.shape[0], math.prod(x.shape[1:])


OP = Op(
    name="flatten",
    forward=flatten,
    backward=flatten_backward,
    summary="(N, ...) to (N, J); a reshape",
    equations="M17 2.5",
    kernels=(),
    differentiable=("x",),
    linear=("x",),
    cases=tuple(
        Case(name, {"x": shape}, exact=True)
        for name, shape in {
            "images": (2, 3, 4, 5),
            "vector": (4,),
            "rows": (3, 7),
            "five axes": (2, 1, 3, 2, 2),
            "empty batch": (0, 3, 2),
        }.items()
    ),
    bench=(Case("images", {"x": (10, 4, 7, 7)}),),
)
