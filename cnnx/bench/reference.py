"""How long the reference takes: measured, or where that takes too long, from one row of its output."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend as _backend
from ..audit.trace import KernelCall, traced
from .figures import Call

PATIENCE = 1.0  # seconds of a call that is measured as a whole
REPEATS, SHORT = 5, 0.05  # of a row, and the seconds after which one is as good as several


def seconds(call: Call) -> tuple[float | None, bool]:
    """Seconds of the reference's call, and whether they were extrapolated; None where it has nothing to compute."""
    extrapolated = estimate(call)
    if extrapolated is None or extrapolated > PATIENCE:
        return extrapolated, extrapolated is not None
    with _backend.use_backend("reference"):
        return _timed(call), False


def estimate(call: Call) -> float | None:
    """Seconds, by one row of each kernel's output; None where the call needs no kernel."""
    trace = traced(call.function, {**call.arrays, **call.options}, "optimized")
    return sum(map(from_one_row, trace.calls)) if trace.calls else None


def from_one_row(call: KernelCall) -> float:
    """Seconds of a kernel of the reference, by the elements of a row in the middle of each of its outputs.

    A row in the middle, since at a border windows are cut and sums have fewer terms.
    """
    total = _timed(lambda: [a.astype(object) for a in call.inputs])  # as the reference's loop begins
    inputs = [a.astype(object) for a in call.inputs]
    for output, element in zip(call.outputs, _backend.equations(call.kernel).values(), strict=True):
        if output.size:
            *rows, length = output.shape
            middle = tuple(n // 2 for n in rows)
            total += output.size / length * _least(_row(element, inputs, middle, length, call.numbers))
    return total


def _row(
    element: Callable[..., Any], inputs: list[np.ndarray], middle: tuple[int, ...], length: int, numbers: Any
) -> Callable[[], None]:
    def compute() -> None:
        for i in range(length):
            element(*inputs, *middle, i, **numbers)

    return compute


def _least(call: Callable[[], Any]) -> float:
    """Of a short call the least of several times: a disturbance lengthens one, and is multiplied with it."""
    times = [_timed(call)]
    while len(times) < REPEATS and sum(times) < SHORT:
        times.append(_timed(call))
    return min(times)


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
