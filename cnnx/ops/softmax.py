"""Softmax and its logarithm along one axis."""

import math

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op


def softmax(x: Array, axis: int = 1, *, backend: str | None = None) -> Array:
    """Softmax along an axis, with the maximum shifted out.

        Y_i = exp(Z_i - max Z) / sum_j exp(Z_j - max Z)

    A3. Source: U19 footnote 4.

    Parameters
    ----------
    x : array of rank >= 1, float32 or float64
    axis : int
        Negative axes count from the end.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        x is no array or of another dtype, axis is no integer.
    ValueError
        x has no axes or not this one; an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]])
    """
    return _forward("softmax", x, axis, backend)


def softmax_backward(
    grad_output: Array, x: Array, axis: int = 1, *, output: Array | None = None, backend: str | None = None
) -> Array:
    """Gradient of a cost through `softmax`.

        dZ_i = Y_i (Delta_i - sum_j Delta_j Y_j)

    A3. Source: U19 footnote 4.

    Parameters
    ----------
    grad_output, x : arrays of one shape and dtype
    axis, backend
        As in the forward call.
    output : array of x's shape and dtype, or None
        What the forward call returned, saved: no exponential is computed then, x's numbers are not read, and the
        gradient is as good as the rounded output allows.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `softmax` does; ValueError also for a grad_output or output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))
    array([[ 0.25, -0.25]])
    """
    return _backward("softmax", grad_output, x, axis, output, backend)


def log_softmax(x: Array, axis: int = 1, *, backend: str | None = None) -> Array:
    """Logarithm of the softmax along an axis.

        Y_i = Z_i - max Z - log sum_j exp(Z_j - max Z)

    A4. Source: standard.

    Parameters
    ----------
    x : array of rank >= 1, float32 or float64
    axis : int
        Negative axes count from the end.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `softmax` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> np.exp(cnnx.log_softmax(np.array([[0.0, np.log(3.0)]])))
    array([[0.25, 0.75]])
    """
    return _forward("log_softmax", x, axis, backend)


def log_softmax_backward(
    grad_output: Array, x: Array, axis: int = 1, *, output: Array | None = None, backend: str | None = None
) -> Array:
    """Gradient of a cost through `log_softmax`.

        dZ_i = Delta_i - exp(Y_i) sum_j Delta_j

    A4. Source: standard.

    Parameters
    ----------
    grad_output, x : arrays of one shape and dtype
    axis, backend
        As in the forward call.
    output : array of x's shape and dtype, or None
        What the forward call returned, saved: one exponential is left for each number, x's are not read, and the
        gradient is as good as the rounded output allows: where that is -100, its exponential is off by 100 roundings.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `softmax_backward` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.log_softmax_backward(np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]]))
    array([[ 0.5, -0.5]])
    """
    return _backward("log_softmax", grad_output, x, axis, output, backend)


def _forward(name: str, x: Array, axis: int, backend: str | None) -> Array:
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    rows = _rows((x.shape,), axis)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(x.reshape(rows), y.reshape(rows))
    return y


def _backward(name: str, grad_output: Array, x: Array, axis: int, output: Array | None, backend: str | None) -> Array:
    if output is None:
        if not _check.plain(grad_output, x):
            grad_output, x = _check.floats(grad_output=grad_output, x=x)
    elif not _check.plain(grad_output, x, output):
        grad_output, x, output = _check.floats(grad_output=grad_output, x=x, output=output)
    rows = _rows((x.shape,), axis)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel_name = f"{name}_grad_input"
    if output is not None:
        _check.shape("output", output, x.shape, "(x's)")
        x, kernel_name = output, f"{name}_grad_input_output"
    kernel = _backend.kernel(kernel_name, _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.reshape(rows), x.reshape(rows), grad_x.reshape(rows))
    return grad_x


@_plan.remembered
def _rows(shapes: _plan.Shapes, axis: object) -> tuple[int, int, int]:
    """x's shape as (A, M, B): what comes before the axis, the axis, what comes after it."""
    (x,) = shapes
    rank = len(x)
    if rank == 0:
        raise ValueError("x: expected at least one axis, got an array of no axes")
    i = _check.integer("axis", axis, -_check.LARGEST)
    if not -rank <= i < rank:
        raise ValueError(f"axis: expected an axis from {-rank} to {rank - 1} of shape {x}, got {i}")
    i %= rank
    if x[i] == 0:
        raise ValueError(f"x: expected at least one element along axis {i}, got shape {x}")
    return math.prod(x[:i]), x[i], math.prod(x[i + 1 :])


def _cases() -> tuple[Case, ...]:
    return (
        Case("rows", {"x": (4, 7)}),
        Case("one class", {"x": (3, 1)}),
        Case("columns", {"x": (5, 3)}, {"axis": 0}),
        Case("vector", {"x": (9,)}, {"axis": -1}),
        Case("channels", {"x": (2, 5, 3, 4)}),
        Case("last axis", {"x": (2, 3, 6)}, {"axis": -1}),
        Case("inner axis", {"x": (2, 2, 4, 3)}, {"axis": 2}),
        Case("many classes", {"x": (1, 131)}),
        Case("empty batch", {"x": (0, 4)}),
        Case("rows, output", {"x": (4, 7)}, {"output": True}),
        Case("columns, output", {"x": (5, 3)}, {"axis": 0, "output": True}),
        Case("channels, output", {"x": (2, 5, 3, 4)}, {"output": True}),
        Case("many classes, output", {"x": (1, 131)}, {"output": True}),
        Case("empty batch, output", {"x": (0, 4)}, {"output": True}),
    )


def _op(name: str, summary: str, equations: str) -> Op:
    return Op(
        name=name,
        forward=globals()[name],
        backward=globals()[f"{name}_backward"],
        summary=summary,
        equations=equations,
        kernels=(name, f"{name}_grad_input", f"{name}_grad_input_output"),
        differentiable=("x",),
        cases=_cases(),
        bench=(Case("64 x 10", {"x": (64, 10)}, {"output": True}),),
        large=(Case("256 x 1000", {"x": (256, 1000)}, {"output": True}),),
    )


OPS = (
    _op("softmax", "softmax along an axis, maximum shifted out", "A3"),
    _op("log_softmax", "logarithm of the softmax", "A4"),
)
