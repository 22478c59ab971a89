"""One element of an output at a time, by its equation, with its error bound: what spot checks hold against."""

from collections.abc import Callable
from functools import partial

import numpy as np

from ... import backend as _backend
from .._signature import signature
from ..data import Array
from ..trace import KernelCall
from ..truth.arithmetic import Bounded, BoundedMath
from ..truth.error_bound import DOUBLE_TRUTH

SUMS = ("conv2d", "conv2d_grad_input", "conv2d_grad_weight", "conv2d_grad_bias")

Index = tuple[int, ...]


class _BoundedElements:
    """An array whose elements are `Bounded` numbers, made when they are read: no copy of the whole in memory."""

    def __init__(self, array: Array, eps: float, tiny: float):
        self.shape = array.shape
        self._item, self._eps, self._tiny = array.data.__getitem__, eps, tiny

    def __getitem__(self, index: Index) -> Bounded:
        return Bounded(self._item(index), self._eps, self._tiny)


def truth_of(call: KernelCall, output: str, dtype: str, *, exact: bool) -> Callable[[Index], tuple[float, float]]:
    """What computes an element of an output and its error bound, from the inputs that a kernel was called with.

    exact: on integers, which doubles hold without rounding. An array's memoryview hands out Python floats.
    """
    element = _backend.equations(call.kernel)[output]
    info = np.finfo(dtype)
    u, tiny, slack = float(info.eps) / 2, float(info.smallest_subnormal), DOUBLE_TRUTH[dtype]
    values = [a.data for a in call.inputs]
    if exact:
        return lambda index: (float(element(*values, *index, **call.numbers)), 0.0)
    if call.kernel in SUMS:
        return _truth_of_sum(partial(element, **call.numbers), call.inputs, u * slack, tiny * slack)
    bounded = [_BoundedElements(a, u, tiny) if a.dtype.kind == "f" else a.data for a in call.inputs]
    extra = {"m": BoundedMath()} if "m" in signature(element).parameters else {}

    def compute(index: Index) -> tuple[float, float]:
        number = element(*bounded, *index, **call.numbers, **extra)
        return (number.value, number.error * slack) if isinstance(number, Bounded) else (float(number), 0.0)

    return compute


def _truth_of_sum(
    element: Callable[..., float], inputs: tuple[Array, ...], u: float, tiny: float
) -> Callable[[Index], tuple[float, float]]:
    """The same for a sum of products, by its equation alone, in a third of the time that `Bounded` numbers take.

    n terms, each rounded once and added in any order, are off by at most n u sum |terms|: on absolute values the
    equation is that sum, and on ones it is n.
    """
    values = [a.data for a in inputs]
    sizes = [np.abs(a).data for a in inputs]
    ones = [np.broadcast_to(np.float64(1), a.shape).data for a in inputs]

    def compute(index: Index) -> tuple[float, float]:
        terms = element(*ones, *index)
        return float(element(*values, *index)), terms * (u * element(*sizes, *index) + tiny)

    return compute
