"""Affine (fully connected) layer (F1-F3)."""

import math
from collections.abc import Mapping

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op, Shape


def affine(x: Array, weight: Array, bias: Array | None = None, *, backend: str | None = None) -> Array:
    """Multiply rows by a matrix and add a bias.

        Y[n,i] = sum_j w[i,j] Z[n,j] + b[i]

    F1. Sources: M17 (17); U19 y_j; D19 Z^O_n. Of an x with more axes than two the last one is j, and n counts what
    the others count: each place of an image by itself. The order of the sum is not specified, here and in the
    gradients: where a part of it overflows, the result may be infinite or NaN, though the whole would be a number.

    Parameters
    ----------
    x : array (N, J) or (N, ..., J), float32 or float64
    weight : array (I, J), dtype of x
    bias : array (I,), dtype of x, or None
        None counts as zeros.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (N, I) or (N, ..., I), dtype of x

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes.
    ValueError
        Ranks or extents that do not fit, an unknown back end.

    Examples
    --------
    D19's output layer on the pooled o, before the sigmoid:

    >>> import cnnx, numpy as np
    >>> weight = np.array([[1.5, -4.2], [-2.6, 3.5]])
    >>> cnnx.affine(np.array([[0.9820, 0.8808]]), weight, np.array([1.0, 1.0])).round(3)
    array([[-1.226,  1.53 ]])
    """
    if bias is None:
        if not _check.plain(x, weight):
            x, weight = _check.floats(x=x, weight=weight)
    elif not _check.plain(x, weight, bias):
        x, weight, bias = _check.floats(x=x, weight=weight, bias=bias)
    output, kind = _output((x.shape, weight.shape)), _check.NAMES[x.dtype.char]
    if bias is None:
        bias = _plan.zeros(output[-1], kind)
    else:
        _check.shape("bias", bias, output[-1:], "(one per row of weight)")
    y = _plan.new(output, x.dtype)
    if x.ndim == 2:
        _backend.kernel("affine", kind, backend)(x, weight, bias, y)
    else:
        _backend.kernel("affine", kind, backend)(_rows(x), weight, bias, _rows(y))
    return y


def affine_backward(
    grad_output: Array, x: Array, weight: Array, *, input_grad: bool = True, backend: str | None = None
) -> tuple[Array | None, Array, Array]:
    """Gradients of a cost through `affine`, given the gradient with respect to its output.

        dw[i,j] = sum_n Delta[n,i] Z[n,j],  db[i] = sum_n Delta[n,i],  dZ[n,j] = sum_i Delta[n,i] w[i,j]

    F2, F3. Sources: M17 (18)-(20); D19 (2)-(4). They sum: a mean over the batch is already in
    grad_output (equations.md section 5).

    Parameters
    ----------
    grad_output : array (N, I) or (N, ..., I), dtype of x
    x, weight, backend
        As in the forward call.
    input_grad : bool
        False skips dZ, as a first layer wants.

    Returns
    -------
    grad_x : array of x's shape, or None with input_grad=False
    grad_weight : array (I, J)
    grad_bias : array (I,)

    Raises
    ------
    TypeError, ValueError
        As `affine` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> delta, x, weight = np.array([[1.0]]), np.array([[2.0, 3.0]]), np.array([[4.0, 5.0]])
    >>> cnnx.affine_backward(delta, x, weight)
    (array([[4., 5.]]), array([[2., 3.]]), array([1.]))
    """
    if not _check.plain(grad_output, x, weight):
        grad_output, x, weight = _check.floats(grad_output=grad_output, x=x, weight=weight)
    _check.shape("grad_output", grad_output, _output((x.shape, weight.shape)), "(the output's)")
    dtype, kind, grad_x = x.dtype, _check.NAMES[x.dtype.char], None
    many_axes = x.ndim > 2
    if many_axes:
        grad_output = _rows(grad_output)
    if _check.flag("input_grad", input_grad):
        grad_x = _plan.new(x.shape, dtype)
        _backend.kernel("affine_grad_input", kind, backend)(grad_output, weight, _rows(grad_x) if many_axes else grad_x)
    if many_axes:
        x = _rows(x)
    grad_weight = _plan.new(weight.shape, dtype)
    _backend.kernel("affine_grad_weight", kind, backend)(grad_output, x, grad_weight)
    grad_bias = _plan.new(weight.shape[:1], dtype)
    _backend.kernel("affine_grad_bias", kind, backend)(grad_output, grad_bias)
    return grad_x, grad_weight, grad_bias


def _rows(x: Array) -> Array:
    """A view: all axes but the last as one. By hand, since NumPy does not know what -1 is in a batch of none."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@_plan.remembered
def _output(shapes: _plan.Shapes) -> Shape:
    """The output's shape."""
    x, weight = shapes
    _check.rank("x", (math.prod(x[:-1]), x[-1]) if len(x) > 2 else x, "(N, J)")
    _check.rank("weight", weight, "(I, J)")
    if weight[1] != x[-1]:
        raise ValueError(f"weight: expected {x[-1]} columns, as x has, got shape {weight}")
    return *x[:-1], weight[0]


def _case(name: str, N: int, J: int, I: int, *, bias: bool = True) -> Case:  # noqa: E741
    arrays = {"x": (N, J), "weight": (I, J)} | ({"bias": (I,)} if bias else {})
    return Case(name, arrays, exact=True)


def _multiply_adds(shapes: Mapping[str, Shape], output: Shape) -> tuple[int, int]:
    """J at each output; backward once for the inputs and once for the weights."""
    forward = math.prod(output) * shapes["weight"][1]
    return forward, 2 * forward


OP = Op(
    name="affine",
    forward=affine,
    backward=affine_backward,
    summary="rows times a matrix plus a bias",
    equations="F1-F3",
    kernels=("affine", "affine_grad_input", "affine_grad_weight", "affine_grad_bias"),
    differentiable=("x", "weight", "bias"),
    linear=("x", "weight", "bias"),
    cases=(
        _case("one", 1, 1, 1),
        _case("wide", 3, 17, 4),
        _case("tall", 4, 3, 19),
        _case("no bias", 5, 6, 7, bias=False),
        _case("one row", 1, 33, 9),
        _case("one output", 6, 12, 1),
        _case("batch", 13, 5, 8),
        _case("large", 21, 37, 13),
        _case("blocks of outputs", 17, 3, 70),
        _case("panels of samples", 100, 3, 5),
        _case("panels of columns", 3, 115, 5),
        _case("many terms", 17, 131, 3),
        _case("many terms back", 18, 3, 130),
        _case("many samples", 130, 3, 9),
        _case("empty batch", 0, 4, 3),
    ),
    bench=(_case("64 x 196 to 20", 64, 196, 20),),
    large=(_case("64 x 4096 to 1024", 64, 4096, 1024),),
    multiply_adds=_multiply_adds,
)
