"""Layer normalisation: statistics over the last axes of each example (S1-S4)."""

import math

from .. import _check
from .._check import Array
from . import _norm, _plan
from ._norm import Statistics
from ._spec import Case, Draw, Op, Shape


def layer_norm(
    x: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: bool = False,
    backend: str | None = None,
) -> Array | tuple[Array, Statistics]:
    """Normalise the last axes of x; then a weight (deviation) and a bias (mean) for each of their elements.

        Y = g (Z - mean) / sqrt(var + eps) + b

    S1, S2: standard. Mean and biased variance are computed and kept in float64, as `batch_norm2d`'s are.

    Parameters
    ----------
    x : array (..., *normalized_shape), float32 or float64
    normalized_shape : int or tuple of int
        Extents of the last axes, over which the statistics are taken.
    weight, bias : arrays of normalized_shape, dtype of x, or None
        g and b; None counts as ones and zeros.
    eps : float
        Positive.
    return_statistics : bool
        Also return the statistics, for the backward call.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    y : array of x's shape and dtype
    statistics : (mean, var), arrays of the shape of x's other axes, float64; only with return_statistics=True

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes, an option of the wrong type.
    ValueError
        Shapes that do not fit, an extent below 1, eps not above 0, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[1.0, 3.0], [30.0, 10.0]])
    >>> cnnx.layer_norm(x, 2, np.array([1.0, 2.0]), np.array([0.0, 5.0])).round(3)
    array([[-1.,  7.],
           [ 1.,  3.]])
    """
    x, weight, bias = _norm.arrays({"x": x}, {"weight": weight, "bias": bias})
    return _norm.forward(_rows((x.shape,), normalized_shape), x, weight, bias, eps, return_statistics, backend)


def layer_norm_backward(
    grad_output: Array,
    x: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    statistics: Statistics | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of a cost through `layer_norm`.

        db = sum Delta,  dg = sum Delta Zh,  Zh = (Z - mean) / sqrt(var + eps)
        dZ = (g Delta - e/M - Zh f/M) / sqrt(var + eps),  e = sum g Delta,  f = sum g Delta Zh

    S3, S4: standard. dg and db sum over the first axes, e and f over the M elements of normalized_shape.

    Parameters
    ----------
    grad_output : array of x's shape and dtype
    x, normalized_shape, weight, eps, backend
        As in the forward call.
    statistics : (mean, var), arrays of the shape of x's other axes, float64, or None
        What the forward call returned: they need not be computed again.

    Returns
    -------
    grad_x : array of x's shape and dtype
    grad_weight, grad_bias : arrays of normalized_shape, dtype of x

    Raises
    ------
    TypeError, ValueError
        As `layer_norm` does; ValueError also for a grad_output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, delta = np.array([[1.0, 3.0]]), np.array([[1.0, 0.0]])
    >>> grad_x, grad_weight, grad_bias = cnnx.layer_norm_backward(delta, x, 2)
    >>> grad_weight.round(3), grad_bias
    (array([-1.,  0.]), array([1., 0.]))
    """
    grad_output, x, weight = _norm.arrays({"grad_output": grad_output, "x": x}, {"weight": weight})
    return _norm.backward(_rows((x.shape,), normalized_shape), grad_output, x, weight, eps, statistics, backend)


def extents(normalized_shape: object) -> Shape:
    """`normalized_shape=` as a tuple of ints."""
    if not isinstance(normalized_shape, (tuple, list)):
        return (_check.integer("normalized_shape", normalized_shape, 1),)
    if not normalized_shape:
        raise ValueError(f"normalized_shape: expected at least one extent, got {_check.shown(normalized_shape)}")
    return tuple(_check.integer(f"normalized_shape[{i}]", extent, 1) for i, extent in enumerate(normalized_shape))


@_plan.remembered
def _rows(shapes: _plan.Shapes, normalized_shape: object) -> _norm.View:
    (x,), last = shapes, extents(normalized_shape)
    if x[-len(last) :] != last:
        raise ValueError(f"normalized_shape: expected the last extents of x, of shape {x}, got {last}")
    rows = x[: -len(last)]
    return _norm.View((math.prod(rows), 1, math.prod(last), 1), last, rows, "(normalized_shape)")


def _case(name: str, rows: Shape, last: Shape, *, weight: bool = True, bias: bool = True, eps: float = 1e-5) -> Case:
    parameters = ({"weight": last} if weight else {}) | ({"bias": last} if bias else {})
    options = {"normalized_shape": last} | ({} if eps == 1e-5 else {"eps": eps})
    return Case(name, {"x": Draw((*rows, *last), "sets", length=math.prod(last)), **parameters}, options)


OP = Op(
    name="layer_norm",
    forward=layer_norm,
    backward=layer_norm_backward,
    summary="the last axes of each example to mean 0 and deviation 1, then b and g per element",
    equations="S1-S4",
    kernels=_norm.KERNELS,
    differentiable=("x", "weight", "bias"),
    cases=(
        _case("rows", (5,), (12,)),
        _case("sequences", (2, 3), (7,)),
        _case("two axes", (3,), (2, 5)),
        _case("whole images", (2,), (3, 2, 2)),
        _case("long rows", (2,), (45,)),
        _case("whole vectors", (3,), (32,)),
        _case("no weight, no bias", (2, 2), (6,), weight=False, bias=False),
        _case("no bias", (4,), (5,), bias=False),
        _case("no weight", (4,), (5,), weight=False),
        _case("eps", (3,), (4,), eps=0.25),
        _case("small eps", (3,), (6,), eps=1e-6),
        _case("empty batch", (0, 2), (3,)),
    ),
    bench=(_case("64 x 768", (64,), (768,)),),
    large=(_case("2048 x 768", (2048,), (768,)),),
)
