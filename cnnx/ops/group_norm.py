"""Group and instance normalisation: statistics of each example by itself (S1-S4)."""

import math

from .. import _check
from .._check import Array
from . import _norm, _plan
from ._norm import Statistics
from ._spec import Case, Draw, Op, Shape


def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: bool = False,
    backend: str | None = None,
) -> Array | tuple[Array, Statistics]:
    """Normalise each group of channels of each example; then a weight (deviation) and a bias (mean) per channel.

        Y = g (Z - mean) / sqrt(var + eps) + b

    S1, S2: standard. Mean and biased variance are those of an example's C/num_groups neighbouring channels, over all
    of their elements; they are computed and kept in float64, as `batch_norm2d`'s are.

    Parameters
    ----------
    x : array (N, C, ...), float32 or float64
    num_groups : int
        Into how many groups the channels are cut; it divides C.
    weight, bias : arrays (C,), dtype of x, or None
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
    statistics : (mean, var), arrays (N, num_groups), float64; only with return_statistics=True

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes, an option of the wrong type.
    ValueError
        Shapes that do not fit, groups that do not divide the channels or have no elements, eps not above 0, an unknown
        back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[1.0], [3.0], [10.0], [30.0]]])
    >>> cnnx.group_norm(x, 2).round(3).ravel()
    array([-1.,  1., -1.,  1.])
    """
    x, weight, bias = _norm.arrays({"x": x}, {"weight": weight, "bias": bias})
    return _norm.forward(_grouped((x.shape,), num_groups), x, weight, bias, eps, return_statistics, backend)


def group_norm_backward(
    grad_output: Array,
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    statistics: Statistics | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of a cost through `group_norm`.

        db = sum Delta,  dg = sum Delta Zh,  Zh = (Z - mean) / sqrt(var + eps)
        dZ = (g Delta - e/M - Zh f/M) / sqrt(var + eps),  e = sum g Delta,  f = sum g Delta Zh

    S3, S4: standard. dg and db sum over the examples and a channel's elements, e and f over the M elements of a
    group.

    Parameters
    ----------
    grad_output : array of x's shape and dtype
    x, num_groups, weight, eps, backend
        As in the forward call.
    statistics : (mean, var), arrays (N, num_groups), float64, or None
        What the forward call returned: they need not be computed again.

    Returns
    -------
    grad_x : array of x's shape and dtype
    grad_weight, grad_bias : arrays (C,), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `group_norm` does; ValueError also for a grad_output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, delta = np.array([[[1.0], [3.0]]]), np.array([[[1.0], [0.0]]])
    >>> grad_x, grad_weight, grad_bias = cnnx.group_norm_backward(delta, x, 1)
    >>> grad_weight.round(3), grad_bias
    (array([-1.,  0.]), array([1., 0.]))
    """
    grad_output, x, weight = _norm.arrays({"grad_output": grad_output, "x": x}, {"weight": weight})
    return _norm.backward(_grouped((x.shape,), num_groups), grad_output, x, weight, eps, statistics, backend)


def instance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: bool = False,
    backend: str | None = None,
) -> Array | tuple[Array, Statistics]:
    """Normalise each channel of each example: `group_norm` with as many groups as channels.

        Y = g (Z - mean) / sqrt(var + eps) + b

    S1, S2: standard. There are no running statistics.

    Parameters
    ----------
    x : array (N, C, ...), float32 or float64
        With one axis or more behind the channels.
    weight, bias, eps, return_statistics, backend
        As `group_norm` takes them.

    Returns
    -------
    y : array of x's shape and dtype
    statistics : (mean, var), arrays (N, C), float64; only with return_statistics=True

    Raises
    ------
    TypeError, ValueError
        As `group_norm` does.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[1.0, 3.0], [10.0, 30.0]]])
    >>> cnnx.instance_norm(x, np.array([1.0, 2.0]), np.array([0.0, 5.0])).round(3)
    array([[[-1.,  1.],
            [ 3.,  7.]]])
    """
    x, weight, bias = _norm.arrays({"x": x}, {"weight": weight, "bias": bias})
    return _norm.forward(_single((x.shape,)), x, weight, bias, eps, return_statistics, backend)


def instance_norm_backward(
    grad_output: Array,
    x: Array,
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    statistics: Statistics | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of a cost through `instance_norm`, as `group_norm_backward` has them.

    S3, S4: standard.

    Parameters
    ----------
    grad_output : array of x's shape and dtype
    x, weight, eps, backend
        As in the forward call.
    statistics : (mean, var), arrays (N, C), float64, or None
        What the forward call returned: they need not be computed again.

    Returns
    -------
    grad_x : array of x's shape and dtype
    grad_weight, grad_bias : arrays (C,), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `instance_norm` does; ValueError also for a grad_output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, delta = np.array([[[1.0, 3.0]]]), np.array([[[1.0, 0.0]]])
    >>> grad_x, grad_weight, grad_bias = cnnx.instance_norm_backward(delta, x)
    >>> grad_weight.round(3), grad_bias
    (array([-1.]), array([1.]))
    """
    grad_output, x, weight = _norm.arrays({"grad_output": grad_output, "x": x}, {"weight": weight})
    return _norm.backward(_single((x.shape,)), grad_output, x, weight, eps, statistics, backend)


@_plan.remembered
def _grouped(shapes: _plan.Shapes, num_groups: object) -> _norm.View:
    (x,) = shapes
    if len(x) < 2:
        raise ValueError(f"x: expected shape (N, C, ...), got {x}")
    groups = _check.integer("num_groups", num_groups, 1)
    if x[1] % groups:
        raise ValueError(f"num_groups: expected a divisor of the {x[1]} channels of x, got {groups}")
    return _view(x, groups)


@_plan.remembered
def _single(shapes: _plan.Shapes) -> _norm.View:
    (x,) = shapes
    if len(x) < 3:
        raise ValueError(f"x: expected shape (N, C, ...) with an axis or more behind the channels, got {x}")
    return _view(x, x[1])


def _view(x: Shape, groups: int) -> _norm.View:
    places = math.prod(x[2:])
    if x[1] * places == 0:
        raise ValueError(f"x: expected at least one element in each channel and one channel, got shape {x}")
    sets = x[0], groups, x[1] // groups, places
    return _norm.View(sets, x[1:2], sets[:2], "(one per channel of x)")


def _case(
    name: str, x: Shape, groups: int | None, *, weight: bool = True, bias: bool = True, eps: float = 1e-5
) -> Case:
    C = x[1]
    parameters = ({"weight": (C,)} if weight else {}) | ({"bias": (C,)} if bias else {})
    length = C // (groups or C) * math.prod(x[2:])
    options = ({} if groups is None else {"num_groups": groups}) | ({} if eps == 1e-5 else {"eps": eps})
    return Case(name, {"x": Draw(x, "sets", length=length), **parameters}, options)


OPS = (
    Op(
        name="group_norm",
        forward=group_norm,
        backward=group_norm_backward,
        summary="each group of channels of each example to mean 0 and deviation 1, then b and g per channel",
        equations="S1-S4",
        kernels=_norm.KERNELS,
        differentiable=("x", "weight", "bias"),
        cases=(
            _case("two groups", (2, 6, 3, 2), 2),
            _case("one group", (3, 4, 2, 3), 1),
            _case("a channel each", (2, 3, 2, 4), 3),
            _case("rows", (5, 12), 3),
            _case("long rows", (3, 74), 2),
            _case("no weight, no bias", (2, 4, 3, 3), 2, weight=False, bias=False),
            _case("no bias", (2, 4, 5), 2, bias=False),
            _case("five axes", (2, 4, 1, 3, 2), 2),
            _case("eps", (2, 4, 3), 2, eps=0.25),
            _case("small eps", (2, 4, 2, 2), 2, eps=1e-6),
            _case("many places", (1, 2, 5, 9), 1),
            _case("empty batch", (0, 4, 3, 2), 2),
        ),
        bench=(_case("images", (8, 16, 14, 14), 4),),
        large=(_case("64 channels", (2, 64, 56, 56), 32),),
    ),
    Op(
        name="instance_norm",
        forward=instance_norm,
        backward=instance_norm_backward,
        summary="each channel of each example to mean b and deviation g",
        equations="S1-S4",
        kernels=_norm.KERNELS,
        differentiable=("x", "weight", "bias"),
        cases=(
            _case("images", (2, 3, 4, 3), None),
            _case("one channel", (3, 1, 2, 5), None),
            _case("no weight, no bias", (2, 3, 3, 3), None, weight=False, bias=False),
            _case("no bias", (2, 3, 5), None, bias=False),
            _case("long rows", (2, 2, 45), None),
            _case("five axes", (1, 2, 2, 3, 2), None),
            _case("eps", (2, 2, 3, 2), None, eps=0.25),
            _case("empty batch", (0, 3, 2), None),
        ),
        bench=(_case("images", (8, 16, 14, 14), None),),
        large=(_case("64 channels", (2, 64, 56, 56), None),),
    ),
)
