"""How fast is every op? OPS x bench cases x directions x back ends, on one thread, in float32.

    pytest benchmarks

The optimized back end's `extra_info` holds the speed-up over the reference, measured in the same run.
No time is asserted: a machine that is busy must not fail a test.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx.audit.calls import backward_arguments, first, forward_arguments
from cnnx.audit.data import draw, draw_like
from cnnx.ops import OPS, Case, Op

BACKENDS = ("reference", "optimized")  # in this order: the first is what the second is compared with
DIRECTIONS = ("forward", "backward")
CASES = [
    pytest.param(op, case, direction, backend, id=f"{op.name}-{case.name}-{direction}-{backend}")
    for op in OPS
    for case in op.bench
    for direction in DIRECTIONS
    for backend in (BACKENDS if op.kernels else ("optimized",))
]

_reference_medians: dict[tuple[str, str, str], float] = {}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = cnnx.get_num_threads()
    cnnx.set_num_threads(1)
    yield
    cnnx.set_num_threads(before)


def call_of(op: Op, case: Case, direction: str) -> Callable[[], Any]:
    """The call to be timed, arguments drawn."""
    rng = np.random.default_rng(0)
    arrays = draw(op, case, "float32", "real", rng)
    forward = forward_arguments(op, case, arrays)
    if direction == "forward":
        return lambda: op.forward(**forward)
    result = op.forward(**forward)
    grad_output = np.empty(0) if op.cost else draw_like(first(result), "float32", "real", rng)
    backward = backward_arguments(op, case, arrays, grad_output, result)
    return lambda: op.backward(**backward)


@pytest.mark.parametrize(("op", "case", "direction", "backend"), CASES)
def test_speed(
    benchmark: Any, speed_ups: list[tuple[str, ...]], op: Op, case: Case, direction: str, backend: str
) -> None:
    benchmark.group = f"{op.name}, {case.name}, {direction}"
    benchmark.extra_info |= {"op": op.name, "case": case.name, "direction": direction, "backend": backend, "threads": 1}
    with cnnx.use_backend(backend):
        call = call_of(op, case, direction)
        if backend == "reference":
            benchmark.pedantic(call, rounds=3)
        else:
            benchmark(call)
    if benchmark.stats is None:  # --benchmark-disable
        return
    median = benchmark.stats.stats.median
    key = op.name, case.name, direction
    if backend == "reference":
        _reference_medians[key] = median
    elif key in _reference_medians:
        speed_up = _reference_medians[key] / median
        benchmark.extra_info["speed_up"] = speed_up
        speed_ups.append((*key, _time(_reference_medians[key]), _time(median), f"{speed_up:,.0f}x"))


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"
