"""How fast kernels are beside a back end's: on inputs of their own, new ones for each call, whose results are judged.

Each call of one side is followed or preceded by the other's on the same arrays. A round is a ratio of medians.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import OPS, Op
from .. import known
from ..asked import CHECK_SEARCH
from ..checks import CHECKS
from ..contract import Kernel
from ..data import Arrays, draw
from ..report.result import Result
from ..sides import Sides
from ..spot.judged import judge_elements
from ..supervise import Supervisor
from ..trace import KernelCall, Trace, forward_arguments, inputs_count
from ..trial import Trial
from ..work import Say
from . import contracts
from .interval import DTYPE, Speed
from .rounds import judged_rounds

ROUNDS, TURNS = 9, 4


def measured(
    op: str, sides: Sides, baseline: str | Kernel, seed: int, *, rounds: int = ROUNDS, timeout: float | None = None
) -> Speed | Result | str:
    """How fast a back end's forward kernel of an op is beside another's.

    baseline : its name; of functions by contract also a file of kernels, or a contract.
    timeout : seconds that it may take, in a process of its own; None: here.

    Returns
    -------
    Speed, Result or str
        A result has findings: what was timed is wrong, hangs or dies. A text says why nothing could be timed.
    """
    if known.own(sides.backend) is not None:
        return contracts.measured(op, sides, baseline, seed, rounds=rounds, timeout=timeout)
    assert isinstance(baseline, str)  # as of_report has seen to it
    if timeout is None:
        return _work(op, "speed", sides, baseline, seed, rounds)
    with Supervisor(_work, timeout) as supervisor:
        found: Speed | Result | str = supervisor.do(op, "speed", sides, baseline, seed, rounds)
        return found


def _work(
    op_name: str,
    task: str,
    sides: Sides,
    baseline: str,
    seed: int,
    rounds: int,
    say: Say = lambda case, dtype, repro: None,
) -> Speed | Result | str:
    op = next(op for op in OPS if op.name == op_name)
    if not op.kernels:
        return "no kernels"
    case = sides.compat.adapted(op, op.bench[0])
    if case is None:
        return "the conventions do not have its benchmark case"
    say(case.name, DTYPE, "")
    trial = Trial(op, CHECKS[CHECK_SEARCH], case, DTYPE, sides, seed)
    trial.rng = np.random.default_rng([seed, *b"speed", *op_name.encode()])
    found = judged_rounds(
        trial, task, (sides.backend, baseline), rounds, lambda swapped: _round(op, trial, baseline, swapped)
    )
    return Speed.of_rounds(case.name, found) if isinstance(found, list) else found


def _round(op: Op, trial: Trial, baseline: str, swapped: bool) -> float:
    """Time of the baseline / time of the back end, of one round; one of its results is judged."""
    ours: list[float] = []
    theirs: list[float] = []
    drawn = [draw(op, trial.case, trial.dtype, "real", trial.rng) for _ in range(TURNS)]
    looked_at, trace = int(trial.rng.integers(TURNS)), Trace()
    sides = [(trial.sides.backend, ours), (baseline, theirs)]
    for turn, arrays in enumerate(drawn):
        for name, seconds in reversed(sides) if swapped != bool(turn % 2) else sides:
            spent, calls = _timed(op, trial, arrays, name)
            seconds.append(spent)
            if turn == looked_at and seconds is ours:
                trace.calls = calls
    judge_elements(trial, "forward", trace, "real")
    return float(np.median(theirs) / np.median(ours))


def _timed(op: Op, trial: Trial, arrays: Arrays, backend: str) -> tuple[float, list[KernelCall]]:
    """Seconds of one call, and its kernels with what they gave."""
    calls: list[KernelCall] = []

    def note(name: str, kernel: Callable[..., None]) -> Callable[..., None]:
        def noting(*given: Any, **numbers: float) -> None:
            kernel(*given, **numbers)
            calls.append(KernelCall(name, given, (), numbers))  # split later, outside of the time

        return noting

    arguments = forward_arguments(op, trial.case, arrays)
    with _backend.use_backend(backend), _backend.intercept(note):
        start = time.perf_counter()
        op.forward(**arguments)
        seconds = time.perf_counter() - start
    return seconds, [_split(call) for call in calls]


def _split(call: KernelCall) -> KernelCall:
    count = inputs_count(call.kernel)
    return KernelCall(call.kernel, call.inputs[:count], call.inputs[count:], call.numbers)
