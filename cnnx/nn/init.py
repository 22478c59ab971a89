"""Initial weights, drawn from a seed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._check import Array
from ..data._dataset import floating
from ._arguments import Seed, generator


def he(shape: tuple[int, ...], seed: Seed = None, *, groups: int = 1, dtype: npt.DTypeLike = "float32") -> Array:
    """Weights for layers before a ReLU (He et al. 2015): normal, mean 0, variance 2 / fan_in.

    Drawn in double and then rounded to `dtype`, so that networks of both dtypes start alike.

    Parameters
    ----------
    shape : (K, C/groups, R, S) or (out_features, in_features)
        fan_in is the number of terms of one output: the product of all extents but the first.
    seed : int, SeedSequence, Generator or None
        None draws fresh numbers at each call.
    groups : int
        Makes no difference here; `xavier` needs it.
    dtype : float32 or float64

    Returns
    -------
    array of `shape` and `dtype`

    Raises
    ------
    TypeError, ValueError
        A shape that is no tuple of at least two positive integers, another dtype, a seed that is none.

    Examples
    --------
    >>> from cnnx.nn import he
    >>> weight = he((4, 50, 10, 10), seed=0, dtype="float64")
    >>> weight.shape, round(float(weight.var()) * 5000, 1)
    ((4, 50, 10, 10), 2.0)
    """
    fan_in, _ = _fans(shape, groups)
    return _normal(shape, 2 / fan_in, seed, dtype)


def xavier(shape: tuple[int, ...], seed: Seed = None, *, groups: int = 1, dtype: npt.DTypeLike = "float32") -> Array:
    """Weights for layers before a sigmoid or tanh (Glorot, Bengio 2010): normal, variance 2 / (fan_in + fan_out).

    Parameters, results and errors are `he`'s; fan_out is the number of outputs that one input reaches:
    K/groups * R * S, or out_features.

    Examples
    --------
    >>> from cnnx.nn import xavier
    >>> weight = xavier((30, 70), seed=0, dtype="float64")
    >>> round(float(weight.var()) * 100)
    2
    """
    fan_in, fan_out = _fans(shape, groups)
    return _normal(shape, 2 / (fan_in + fan_out), seed, dtype)


_blank: ContextVar[bool] = ContextVar("blank", default=False)


@contextmanager
def blank() -> Iterator[None]:
    """Within this block layers get arrays without memory, for who replaces them at once, as a file's reader does.

    They have the shapes and dtypes that count; all elements are the same one, which cannot be written to.
    """
    before = _blank.set(True)
    try:
        yield
    finally:
        _blank.reset(before)


def constant(value: float, count: int | tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """`count` times the same number, as biases start."""
    if _blank.get():
        return np.broadcast_to(np.zeros((), dtype), count)
    return np.full(count, value, dtype)


INITS: dict[str, Callable[..., Array]] = {"he": he, "xavier": xavier}


def draw(init: str, shape: tuple[int, ...], seed: Seed, groups: int, dtype: np.dtype[Any]) -> Array:
    """Weights by the name of their rule."""
    rule = INITS[_check.choice("init", init, tuple(INITS))]
    if _blank.get():
        return np.broadcast_to(np.zeros((), dtype), shape)
    return rule(shape, seed, groups=groups, dtype=dtype)


def draw_transposed(
    init: str, shape: tuple[int, int, int, int], stride: tuple[int, int], seed: Seed, groups: int, dtype: np.dtype[Any]
) -> Array:
    """Weights (C, K/groups, R, S) of a transposed convolution.

    As for a convolution from C to K channels, but that a stride leaves an output so many terms fewer.
    """
    C, K_group, R, S = shape
    if _blank.get():
        return np.broadcast_to(np.zeros((), dtype), shape)
    drawn = draw(init, (K_group * groups, C // groups, R, S), seed, groups, np.dtype(np.float64))
    by_group = drawn.reshape(groups, K_group, C // groups, R, S).swapaxes(1, 2).reshape(shape)
    return np.asarray(by_group * math.sqrt(min(stride[0], R) * min(stride[1], S))).astype(dtype)


def _fans(shape: tuple[int, ...], groups: int) -> tuple[int, int]:
    if not isinstance(shape, tuple) or len(shape) < 2:
        raise TypeError(f"shape: expected a tuple (outputs, inputs, ...), got {_check.shown(shape)}")
    outputs, inputs, *window = (_check.integer("shape", extent, 1) for extent in shape)
    area = math.prod(window)
    return inputs * area, outputs // _check.integer("groups", groups, 1) * area


def _normal(shape: tuple[int, ...], variance: float, seed: Seed, dtype: npt.DTypeLike) -> Array:
    return generator(seed).normal(0.0, math.sqrt(variance), shape).astype(floating(dtype))
