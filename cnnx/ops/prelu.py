"""Parametric rectified linear unit: a slope that is learnt, for all channels or one for each."""

import math

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op, Shape


def prelu(x: Array, weight: Array, *, backend: str | None = None) -> Array:
    """Rectified linear unit with a slope of its own for z <= 0: Y = Z (Z > 0), w Z (else)

    A5: standard. NaN in gives NaN out.

    Parameters
    ----------
    x : array (N, C, ...), float32 or float64; of any shape where weight is (1,)
    weight : array (C,) or (1,), dtype of x
        w: the slopes, one for each channel or one for all.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes.
    ValueError
        A weight of another shape, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.prelu(np.array([[-4.0, -4.0], [2.0, 0.0]]), np.array([0.25, 0.5]))
    array([[-1., -2.],
           [ 2.,  0.]])
    """
    if not _check.plain(x, weight):
        x, weight = _check.floats(x=x, weight=weight)
    shape = _channels(x.shape, weight.shape)
    y = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel("prelu", _check.NAMES[x.dtype.char], backend)
    kernel(x.reshape(shape), weight, y.reshape(shape))
    return y


def prelu_backward(grad_output: Array, x: Array, weight: Array, *, backend: str | None = None) -> tuple[Array, Array]:
    """Gradients of a cost through `prelu`.

        dZ = Delta (Z > 0), w Delta (else),  dw = sum Delta min(Z, 0), of a channel or of all

    A5: standard. At the kink the slope is the left one, w.

    Parameters
    ----------
    grad_output : array of x's shape and dtype
    x, weight, backend
        As in the forward call.

    Returns
    -------
    grad_x : array of x's shape and dtype
    grad_weight : array of weight's shape, dtype of x

    Raises
    ------
    TypeError, ValueError
        As `prelu` does; ValueError also for a grad_output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[-4.0, -4.0], [2.0, 0.0]])
    >>> grad_x, grad_weight = cnnx.prelu_backward(np.ones((2, 2)), x, np.array([0.25, 0.5]))
    >>> grad_x, grad_weight
    (array([[0.25, 0.5 ],
           [1.  , 0.5 ]]), array([-4., -4.]))
    """
    if not _check.plain(grad_output, x, weight):
        grad_output, x, weight = _check.floats(grad_output=grad_output, x=x, weight=weight)
    shape = _channels(x.shape, weight.shape)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    delta, z, dtype = grad_output.reshape(shape), x.reshape(shape), _check.NAMES[x.dtype.char]
    grad_weight = _plan.new(weight.shape, x.dtype)
    _backend.kernel("prelu_grad_weight", dtype, backend)(delta, z, grad_weight)
    grad_x = _plan.new(x.shape, x.dtype)
    _backend.kernel("prelu_grad_input", dtype, backend)(delta, z, weight, grad_x.reshape(shape))
    return grad_x, grad_weight


def _channels(x: Shape, weight: Shape) -> Shape:
    """x's shape as (N, C, elements of a channel), with one channel for a single slope."""
    if weight == (1,):
        return 1, 1, math.prod(x)
    if len(x) < 2:
        raise ValueError(f"weight: expected shape (1,), as x of shape {x} has no channels, got {weight}")
    if weight != x[1:2]:
        raise ValueError(f"weight: expected shape ({x[1]},), as x {x} has channels, or (1,), got {weight}")
    return x[0], x[1], math.prod(x[2:])


def _case(name: str, x: Shape, slopes: int) -> Case:
    return Case(name, {"x": x, "weight": (slopes,)}, exact=True)


OP = Op(
    name="prelu",
    forward=prelu,
    backward=prelu_backward,
    summary="z (z > 0), w z (z <= 0), w learnt, for each channel or for all",
    equations="A5",
    kernels=("prelu", "prelu_grad_input", "prelu_grad_weight"),
    differentiable=("x", "weight"),
    linear=("weight",),
    kinks="zero",
    cases=(
        _case("images", (2, 3, 4, 5), 3),
        _case("images, one slope", (2, 3, 4, 5), 1),
        _case("one channel", (3, 1, 2, 5), 1),
        _case("rows", (5, 7), 7),
        _case("long rows", (2, 2, 517), 2),
        _case("vector", (37,), 1),
        _case("five axes", (2, 3, 2, 1, 3), 3),
        _case("no axes", (), 1),
        _case("empty batch", (0, 3, 2), 3),
        _case("empty batch, one slope", (0, 3, 2), 1),
    ),
    bench=(_case("images", (10, 4, 28, 28), 4),),
)
