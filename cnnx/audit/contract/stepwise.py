"""What a fused kernel computes, by the ops of cnnx one after the other: what it is timed beside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ... import ops as _ops
from ...ops import Op
from .._signature import signature
from ..data import Array
from .tail import ADD, BATCH_NORM, FUNCTIONS, ROUND, Step, arrays_of

# Numbers of functions by their public names.
_PUBLIC = {"low": "min", "high": "max", "slope": "negative_slope"}


def by_ops(base: Op, tail: Sequence[Step], arguments: Mapping[str, Any]) -> Callable[[], Array]:
    """A call of the op on a case's arguments, and of an op for each step of a tail: a bias that comes first is the op's
    own, and rounding is none."""
    steps = [step for step in tail if step.name != ROUND]
    parameters = signature(base.forward).parameters
    beside = {*arrays_of(tail)}
    if steps and steps[0].name == "bias" and "bias" in parameters:
        beside.discard("bias")
        del steps[0]
    own = {name: value for name, value in arguments.items() if name in parameters and name not in beside}
    later = [_step(step, arguments) for step in steps]

    def run() -> Array:
        y: Array = base.forward(**own)
        for step in later:
            y = step(y)
        return y

    return run


def _step(step: Step, arguments: Mapping[str, Any]) -> Callable[[Array], Array]:
    arrays = [arguments[name] for name in step.arrays]
    if step.name == ADD:
        return lambda y: _ops.add(y, arrays[0])
    if step.name == BATCH_NORM:
        scale, shift, mean, variance = arrays
        eps = step.numbers[0] if step.numbers else 1e-5
        return lambda y: np.asarray(_ops.batch_norm2d(y, scale, shift, mean, variance, eps=eps))
    if step.name in ("bias", "shift"):
        return lambda y: _ops.add(y, _of_channels(arrays[0], y))
    if step.name == "scale":
        return lambda y: _ops.multiply(y, _of_channels(arrays[0], y))
    kernel, defaults = FUNCTIONS[step.name]
    numbers = dict(zip(defaults, (*step.numbers, *list(defaults.values())[len(step.numbers) :]), strict=True))
    function = getattr(_ops, kernel)
    options = {_PUBLIC.get(name, name): value for name, value in numbers.items()}
    return lambda y: np.asarray(function(y, **options))


def _of_channels(a: Array, y: Array) -> Array:
    return a.reshape(-1, *(1,) * (y.ndim - 2))
