"""How fast an isolated back end is, by the clock of this process, on numbers that it has never seen; all are judged.

Calls go to it many at once, each with arrays of its own, so that a message costs little beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Op
from ..data import Array, draw
from ..report.result import Result
from ..sides import Sides
from ..speed import on_one_thread, seconds
from ..spot.judged import judge_elements
from ..trace import KernelCall, Trace, forward_arguments, inputs_count
from ..trial import Check, Trial
from .arena import START
from .proxies import Proxy, process_of

DTYPE = "float32"
ROUNDS, CALLS = 3, 64  # batches, of which the first loads what has to be loaded, and calls of each
BYTES = 1 << 24  # of the inputs of a batch, beyond which there are fewer calls
PLACES = 3  # elements of an output that are judged


@dataclass
class Measure:
    """How many times as fast as another a back end is, or why that was not measured; and what its results are worth."""

    times: float | None
    why: str
    result: Result


def speed_up(op: Op, sides: Sides) -> Measure:
    """How many times as fast the back end is on the op's first benchmark case, forward, float32, on one thread."""
    trial = Trial(op, Check("speed", lambda trial: None), op.bench[0], DTYPE, sides, 0)
    trial.rng = np.random.default_rng()  # of no seed that anybody knows
    times = []
    try:
        with on_one_thread(sides.backend, sides.against):
            for _ in range(ROUNDS):
                taken, calls = _round(op, trial)
                times.append(taken)
                for made in calls:
                    judge_elements(trial, "forward", Trace(None, made), "real", PLACES)
            slow = seconds(op, _arguments(op, trial), sides.against, 0.05)
    except _backend.MissingKernelError as error:
        return Measure(None, str(error), trial.result)
    except Exception as error:
        trial.raised(sides.backend, error)
    trial.result.discrepancies = [replace(found, repro="") for found in trial.result.discrepancies]
    if trial.result.discrepancies:
        return Measure(None, "wrong while it was measured", trial.result)
    return Measure(slow / min(times[1:]), "", trial.result)  # what else the machine does, messages above all, adds


def _arguments(op: Op, trial: Trial) -> dict[str, Any]:
    return forward_arguments(op, trial.case, draw(op, trial.case, DTYPE, "real", trial.rng))


def _round(op: Op, trial: Trial) -> tuple[float, list[list[KernelCall]]]:
    """Seconds of one call, and of several at once their kernels' calls: first the first kernel of all, then the second,
    which is given what the first gave."""
    drawn = [_arguments(op, trial)]
    size = sum(a.nbytes for a in drawn[0].values() if isinstance(a, np.ndarray))
    drawn += [_arguments(op, trial) for _ in range(min(CALLS, max(BYTES // max(size, 1), 1)) - 1)]
    made: list[list[KernelCall]] = [[] for _ in drawn]
    taken = 0.0
    while True:
        following = [_next(op, trial, given, calls) for given, calls in zip(drawn, made, strict=True)]
        calls_now = [call for call in following if call is not None]
        if not calls_now:
            return taken, made
        taken += _batch(trial, calls_now) / len(drawn)
        for calls, call in zip(made, calls_now, strict=True):
            calls.append(call)


class _StopError(Exception):
    """The next kernel's call is known."""


def _next(op: Op, trial: Trial, arguments: dict[str, Any], made: list[KernelCall]) -> KernelCall | None:
    """The next kernel that a call of the op runs, after those that have run; None after the last."""
    found: list[KernelCall] = []
    before = iter(made)

    def watch(name: str, kernel: _backend.Kernel) -> Callable[..., None]:
        def watched(*arrays: Array, **numbers: Any) -> None:
            count = inputs_count(name)
            known = next(before, None)
            if known is None:
                inputs = tuple(a.copy() for a in arrays[:count])
                found.append(KernelCall(name, inputs, tuple(np.empty_like(a) for a in arrays[count:]), numbers))
                raise _StopError
            for output, given in zip(arrays[count:], known.outputs, strict=True):
                output[...] = given

        return watched

    try:
        with _backend.use_backend(trial.sides.backend), _backend.intercept(watch):
            op.forward(**arguments)
    except _StopError:
        return found[0]
    return None


def _batch(trial: Trial, calls: list[KernelCall]) -> float:
    """Run the calls in the back end's process, one after the other; seconds that all took."""
    kernel = calls[0].kernel
    kernels: Any = _backend.registered_kernels(trial.sides.backend)
    proxy: Proxy | None = kernels.get(kernel)
    if proxy is None or not proxy.takes(calls[0].numbers):
        raise _backend.MissingKernelError(f"the back end does not have {kernel}")
    process = process_of(proxy.candidate)
    ends, layouts = [0, 0], []
    for i, call in enumerate(calls):
        said = {"kernel": kernel, "dtype": "float" if hasattr(proxy, "__signatures__") else "", "numbers": call.numbers}
        key = f"{trial.op.name}, {kernel}, call {i} of {len(calls)}"
        layouts.append(process.laid_out(said, call.inputs, call.outputs, START, key, ends))
        ends = layouts[-1].ends
    process.guard_all(layouts)
    for layout, call in zip(layouts, calls, strict=True):
        process.fill(layout, call.inputs, large=False)
    taken = process.send(kernel, layouts)
    process.settle(kernel, layouts)
    for layout, call in zip(layouts, calls, strict=True):
        for output, copy in zip(call.outputs, layout.copies, strict=True):
            output[...] = copy
    return taken
