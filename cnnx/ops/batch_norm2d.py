"""Batch normalisation per channel.

Statistics are float64 whatever dtype x has, from kernel to kernel too: a mean far from 0 that was rounded to float32
would be off by a good part of the deviation.
"""

from typing import Any

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Draw, Op, Shape

Statistics = tuple[Array, Array]

_DOUBLE = np.zeros(1)  # plain, as arrays of statistics are

_PER_CHANNEL = "(one per channel of x)"
_STATISTICS = ("batch_norm2d_statistics_mean", "batch_norm2d_statistics_var")
_GRADIENTS = ("batch_norm2d_grad_bias", "batch_norm2d_grad_weight", "batch_norm2d_grad_input")
_GRADIENTS_INFERENCE = (*_GRADIENTS[:2], "batch_norm2d_grad_input_inference")


def batch_norm2d(
    x: Array,
    weight: Array,
    bias: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = False,
    eps: float = 1e-5,
    return_statistics: bool = False,
    backend: str | None = None,
) -> Array | tuple[Array, Statistics]:
    """Normalise each channel to the given weight (deviation) and bias (mean).

        Y = g (Z - mean) / sqrt(var + eps) + b

    N1, N2. Sources: standard; U19 mentions a normalisation after pooling. Training uses the batch's mean and
    biased variance over (n, h, w), inference the running ones. Neither is written to. Mean and variance are
    computed and kept in float64, so that channels far from 0 lose nothing; float64 numbers whose squares
    float64 cannot hold (above 1e154) have an infinite variance.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    weight, bias : arrays (C,), dtype of x
        g and b.
    running_mean, running_var : arrays (C,), dtype of x or float64, or None
        Needed for inference; running_var is not negative. Ignored, but checked, when training.
    training : bool
    eps : float
        Positive.
    return_statistics : bool
        Also return the batch's statistics, for the backward call; only when training.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    y : array (N, C, H, W), dtype of x
    statistics : (mean, var), arrays (C,), float64; only with return_statistics=True

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes but for statistics in float64, an option of
        the wrong type.
    ValueError
        Shapes that do not fit, eps not above 0, fewer than two members per channel when training,
        missing running statistics or a negative variance at inference, the batch's statistics asked
        for there, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[1.0, 3.0]]]])
    >>> cnnx.batch_norm2d(x, np.array([2.0]), np.array([10.0]), training=True).round(3)
    array([[[[ 8., 12.]]]])
    """
    if not _check.plain(x, weight, bias):
        x, weight, bias = _check.floats(x=x, weight=weight, bias=bias)
    _forward_fits((x.shape, bias.shape, weight.shape))
    if _check.flag("return_statistics", return_statistics) and not _check.flag("training", training):
        raise ValueError("return_statistics: expected False at inference, which takes none of the batch, got True")
    mean, var, small = _statistics(x, weight, running_mean, running_var, training, eps, None, backend)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel("batch_norm2d", _check.NAMES[x.dtype.char], backend)(x, weight, bias, mean, var, y, eps=small)
    return (y, (mean, var)) if return_statistics else y


def batch_norm2d_backward(
    grad_output: Array,
    x: Array,
    weight: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    training: bool = False,
    eps: float = 1e-5,
    statistics: Statistics | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of a cost through `batch_norm2d`.

        db = sum Delta,  dg = sum Delta Zh,  Zh = (Z - mean) / sqrt(var + eps)
        training:   dZ = g / sqrt(var + eps) (Delta - db/M - Zh dg/M), M = N H W
        inference:  dZ = g Delta / sqrt(var + eps)

    N3, N4 (training), N5 (inference): standard.

    Parameters
    ----------
    grad_output : array (N, C, H, W), dtype of x
    x, weight, running_mean, running_var, training, eps, backend
        As in the forward call.
    statistics : (mean, var), arrays (C,), float64 or dtype of x, or None
        What the forward call returned: they need not be computed again. Only when training.

    Returns
    -------
    grad_x : array (N, C, H, W), dtype of x
    grad_weight, grad_bias : arrays (C,), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `batch_norm2d` does; ValueError also for a grad_output of another shape than x's, and for
        statistics at inference.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, delta = np.array([[[[1.0, 3.0]]]]), np.array([[[[1.0, 0.0]]]])
    >>> grad_x, grad_weight, grad_bias = cnnx.batch_norm2d_backward(delta, x, np.array([2.0]), training=True)
    >>> grad_weight.round(3), grad_bias
    (array([-1.]), array([1.]))
    """
    if not _check.plain(grad_output, x, weight):
        grad_output, x, weight = _check.floats(grad_output=grad_output, x=x, weight=weight)
    _backward_fits((x.shape, grad_output.shape, weight.shape))
    mean, var, eps = _statistics(x, weight, running_mean, running_var, training, eps, statistics, backend)
    dtype, C = _check.NAMES[x.dtype.char], weight.size
    sums = _plan.new((2 * C,), np.float64) if dtype == "float32" else None  # made once, and looked at once for overflow
    if sums is None:
        dg, db = _plan.new(weight.shape, x.dtype), _plan.new(weight.shape, x.dtype)
    else:
        dg, db = sums[:C], sums[C:]
    grad_x = _plan.new(x.shape, x.dtype)
    in_one = _backend.batch_norm_in_one(dtype, backend) if training else None
    if in_one is not None:
        in_one.gradients(grad_output, x, weight, mean, var, dg, db, grad_x, eps=eps)
    else:
        names = _GRADIENTS if training else _GRADIENTS_INFERENCE
        of_bias, of_weight, of_input = _backend.kernels(names, dtype, backend)
        of_bias(grad_output, db)
        of_weight(grad_output, x, mean, var, dg, eps=eps)
        if training:
            of_input(grad_output, x, weight, mean, var, dg, db, grad_x, eps=eps)
        else:
            of_input(grad_output, weight, var, grad_x, eps=eps)
    if sums is None:
        return grad_x, dg, db
    if sums.dot(sums) < 1e76:  # none is above 1e38; errstate takes longer than all the rest
        return grad_x, _rounded(dg, x.dtype), _rounded(db, x.dtype)
    with np.errstate(over="ignore"):
        return grad_x, _rounded(dg, x.dtype), _rounded(db, x.dtype)


def _statistics(
    x: Array,
    weight: Array,
    running_mean: Array | None,
    running_var: Array | None,
    training: object,
    eps: object,
    saved: Statistics | None,
    backend: str | None,
) -> tuple[Array, Array, float]:
    """The checked mean and variance, in float64, and eps.

    They are the batch's when training, as saved or computed, else the running ones.
    """
    small = _check.real("eps", eps)
    if small <= 0:
        raise ValueError(f"eps: expected a number above 0, got {small}")
    mean = None if running_mean is None else _given(x, "running_mean", running_mean)
    var = None if running_var is None else _given(x, "running_var", running_var, variance=True)
    if not _check.flag("training", training):
        if saved is not None:
            raise ValueError("statistics: expected None at inference, which takes the running ones, got the batch's")
        for name, value in ("running_mean", mean), ("running_var", var):
            if value is None:
                raise ValueError(f"{name}: expected an array (C,) at inference, got None; or set training=True")
        return mean, var, small  # type: ignore[return-value]
    if x.size // x.shape[1] < 2:
        raise ValueError(f"x: expected at least two members per channel when training, got shape {x.shape}")
    if saved is not None:
        if not isinstance(saved, tuple) or len(saved) != 2:
            raise TypeError(f"statistics: expected (mean, var) or None, got {_check.shown(saved)}")
        mean, var = _given(x, "statistics[0]", saved[0]), _given(x, "statistics[1]", saved[1], variance=True)
        if mean is None or var is None:
            raise TypeError("statistics: expected two arrays (C,), got None")
        return mean, var, small
    dtype = _check.NAMES[x.dtype.char]
    mean, var = _plan.new(weight.shape, np.float64), _plan.new(weight.shape, np.float64)
    in_one = _backend.batch_norm_in_one(dtype, backend)
    if in_one is not None:
        in_one.statistics(x, mean, var)
    else:
        of_mean, of_var = _backend.kernels(_STATISTICS, dtype, backend)
        of_mean(x, mean)
        of_var(x, mean, var)
    return mean, var, small


def _rounded(sums: Array, dtype: np.dtype[Any]) -> Array:
    """As an array of the dtype, of its own memory."""
    if _plan.lender.get() is None:
        return sums.astype(dtype)
    rounded = _plan.new(sums.shape, dtype)
    rounded[...] = sums
    return rounded


def _given(x: Array, name: str, value: Array | None, *, variance: bool = False) -> Array | None:
    """A checked array of one number, or variance, per channel, in float64; or None."""
    if value is None:
        return None
    if _check.plain(_DOUBLE, value):
        _check.shape(name, value, x.shape[1:2], _PER_CHANNEL)
        checked = value
    elif _check.plain(x, value):
        _check.shape(name, value, x.shape[1:2], _PER_CHANNEL)
        checked = value.astype(np.float64)
    else:
        given = _check.unconverted(name, value)
        if given.dtype.char not in ("d", x.dtype.char):
            also = ", or float64" if x.dtype.char == "f" else ""
            raise TypeError(f"{name}: expected dtype {x.dtype}, as x has{also}, got {given.dtype}")
        _check.shape(name, given, x.shape[1:2], _PER_CHANNEL)
        checked = np.require(given, np.float64, ["C", "A"])
    if variance and np.fmin.reduce(checked) < 0:  # fmin: a NaN hides nothing
        raise ValueError(f"{name}: expected variances of at least 0, got {checked.min()}")
    return checked


@_plan.remembered
def _forward_fits(shapes: _plan.Shapes) -> None:
    x, bias, weight = shapes
    _check.rank("x", x, _check.IMAGES)
    _check.extents("bias", bias, x[1:2], _PER_CHANNEL)
    _check.extents("weight", weight, x[1:2], _PER_CHANNEL)


@_plan.remembered
def _backward_fits(shapes: _plan.Shapes) -> None:
    x, grad_output, weight = shapes
    _check.rank("x", x, _check.IMAGES)
    _check.extents("grad_output", grad_output, x, "(x's)")
    _check.extents("weight", weight, x[1:2], _PER_CHANNEL)


def _case(name: str, x: tuple[int, ...], *, training: bool, **options: object) -> Case:
    C = x[1]
    running: dict[str, Shape | Draw] = {} if training else {"running_mean": (C,), "running_var": Draw((C,), "positive")}
    return Case(
        f"{name}, {'training' if training else 'inference'}",
        {"x": Draw(x, "channels"), "weight": (C,), "bias": (C,), **running},
        {"training": training, **options},
    )


OP = Op(
    name="batch_norm2d",
    forward=batch_norm2d,
    backward=batch_norm2d_backward,
    summary="each channel to mean b and deviation g; training and inference",
    equations="N1-N5",
    kernels=(
        "batch_norm2d",
        "batch_norm2d_statistics_mean",
        "batch_norm2d_statistics_var",
        "batch_norm2d_grad_input",
        "batch_norm2d_grad_input_inference",
        "batch_norm2d_grad_weight",
        "batch_norm2d_grad_bias",
    ),
    differentiable=("x", "weight", "bias"),
    cases=(
        _case("plain", (2, 3, 4, 3), training=True),
        _case("one channel", (3, 1, 2, 5), training=True),
        _case("vectors", (7, 4, 1, 1), training=True),
        _case("one image", (1, 2, 3, 4), training=True),
        _case("eps", (2, 2, 3, 2), training=True, eps=0.25),
        _case("six channels", (2, 6, 1, 4), training=True),
        _case("small eps", (2, 2, 3, 2), training=True, eps=1e-6),
        _case("plain", (2, 3, 4, 3), training=False),
        _case("one", (1, 1, 1, 1), training=False),
        _case("eps", (2, 2, 3, 2), training=False, eps=0.25),
        _case("long row", (1, 2, 1, 45), training=False),
        _case("empty batch", (0, 2, 3, 2), training=False),
    ),
    bench=(_case("images", (8, 4, 14, 14), training=True),),
    large=(_case("64 channels", (2, 64, 56, 56), training=True),),
)
