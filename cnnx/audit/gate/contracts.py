"""How fast functions by contract are beside a baseline: what they are called with is laid out and converted before.

A function in this process is timed by itself; an isolated one by the clock of this process, many calls at once, with a
copy of what it gives. Each call has numbers of its own, and all results are judged.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import numpy as np

from ... import backend as _backend
from ...ops import Case, Op
from .. import known
from ..asked import CHECK_SEARCH
from ..checks import CHECKS
from ..contract import Kernel, enter, load
from ..contract.call import called, empty_call
from ..contract.callee import BrokenError
from ..contract.session import Contracts
from ..contract.stepwise import by_ops
from ..data import Array, draw
from ..isolation import isolated_file, isolated_kernels
from ..isolation.arena import START
from ..isolation.proxies import process_of
from ..report.result import Result
from ..sides import Sides
from ..spot.judged import judge_elements
from ..supervise import Supervisor
from ..trace import ContractError, KernelCall, Trace, forward_arguments
from ..trial import Trial
from ..work import Say
from .interval import Speed
from .rounds import judged_rounds

CALLS = {False: 4, True: 64}  # of a round; of an isolated function, a message costs little beside so many
BYTES = 1 << 24  # of the inputs of a round of an isolated function, beyond which there are fewer
PLACES = 3  # elements of a result that are judged
LIMIT = 60.0  # seconds that a call of an isolated baseline may take, where nobody says so
ALONE = "the function alone, on arrays laid out and converted before"
FROM_OUTSIDE = "its calls, many at once, by the clock of another process, with a copy of what they give"

Shot = Callable[[], float]  # makes one call or some; seconds of one


class Timed(Protocol):
    """Whose calls are timed."""

    many: bool  # at once

    def shots(self, calls: Sequence[KernelCall], arguments: Sequence[dict[str, Any]]) -> list[Shot]:
        """Ready to be called on these arrays; what comes of it goes into the calls' outputs, or nowhere."""


def measured(
    op: str, sides: Sides, baseline: str | Kernel, seed: int, *, rounds: int, timeout: float | None
) -> Speed | Result | str:
    """As `cnnx.audit.gate.speed.measured`, of a back end of functions by contract. baseline : a back end's name, a
    file of kernels or a contract."""
    own = known.own(sides.backend)
    assert own is not None
    if timeout is None or own.isolated:
        return _work(op, "speed", sides, baseline, seed, rounds, timeout)
    if isinstance(baseline, Kernel):
        if not baseline.origin:
            raise ValueError(f"timeout: expected a baseline of a file with it, got the contract {baseline.name}")
        baseline = baseline.origin
    with Supervisor(partial(_of_file, own.origin), timeout) as supervisor:
        found: Speed | Result | str = supervisor.do(op, "speed", sides, baseline, seed, rounds, timeout)
        return found


def _of_file(
    origin: str, op: str, task: str, sides: Sides, baseline: str, seed: int, rounds: int, timeout: float, say: Say
) -> Speed | Result | str:
    """`_work` in a process that knows the kernels of a file."""
    enter(origin)
    return _work(op, task, sides, baseline, seed, rounds, timeout, say)


def _work(
    label: str,
    task: str,
    sides: Sides,
    baseline: str | Kernel,
    seed: int,
    rounds: int,
    timeout: float | None,
    say: Say = lambda case, dtype, repro: None,
) -> Speed | Result | str:
    own, op = known.own(sides.backend), known.op_of(sides.backend, label)
    assert isinstance(own, Contracts)
    kernel = next((one for one in own.by_op[label] if not one.gradients), None)
    if kernel is None:
        return "there are gradients alone, and forward calls are timed"
    with _contract_of(baseline, own, timeout) as other:
        if other is not None and (other.label != label or other.gradients):
            return f"the baseline is of {other.label}{' backward' * bool(other.gradients)}, and not of {label}"
        case = _case(own, op, sides, other)
        if case is None:
            return "there is no case that both take"
        dtype = kernel.dtypes[0]
        say(case.name, dtype, "")
        trial = Trial(op, CHECKS[CHECK_SEARCH], case, dtype, sides, seed)
        trial.rng = np.random.default_rng([seed, *b"speed", *label.encode()])
        mine = _timed(kernel)
        name = baseline if other is None else None
        theirs = _timed(other) if other is not None else _Ops(own.bases[label], kernel, str(name))
        backends = () if name is None else (str(name),)
        found = judged_rounds(
            trial, task, backends, rounds, lambda swapped: _round(trial, mine, theirs, swapped), repro=""
        )
    if not isinstance(found, list):
        return found
    return Speed.of_rounds(case.name, found, dtype, FROM_OUTSIDE if mine.many else ALONE)


def _case(own: Contracts, op: Op, sides: Sides, other: Kernel | None) -> Case | None:
    """The op's first case for benchmarks, else its first one, that both take."""
    theirs = None if other is None else Contracts([other])
    for case in (*op.bench, *op.cases):
        adapted = sides.adapted(op, case)
        if adapted is not None and (theirs is None or theirs.adapted(op.name, adapted) == adapted):
            return adapted
    return None


@contextmanager
def _contract_of(baseline: str | Kernel, own: Contracts, timeout: float | None) -> Iterator[Kernel | None]:
    """The contract that a baseline is, isolated where the other is; None of a back end's name."""
    limit = LIMIT if timeout is None else timeout
    if isinstance(baseline, Kernel):
        if not own.isolated:
            yield baseline
            return
        with isolated_kernels([baseline], limit) as kernels:
            yield kernels[0]
    elif not is_file(baseline):
        yield None
    elif own.isolated:
        with isolated_file(baseline, limit) as found:
            yield _only(found, baseline)
    else:
        yield _only(load(baseline), baseline)


def is_file(baseline: str) -> bool:
    """Whether a baseline is a file of kernels."""
    return baseline.endswith(".py") or ".py:" in baseline


def _only(found: dict[str, list[Kernel]], where: str) -> Kernel:
    kernels = [kernel for some in found.values() for kernel in some]
    if len(kernels) != 1:
        raise ValueError(f"baseline: expected one kernel, {where}:NAME, got {len(kernels)}")
    return kernels[0]


# --------------------------------------------------------------------------------------------- rounds


def _round(trial: Trial, mine: Timed, theirs: Timed, swapped: bool) -> float:
    """Time of the baseline / time of the function, of one round; all its results are judged."""
    drawn = [_drawn(trial)]
    size = sum(a.nbytes for a in drawn[0].values() if isinstance(a, np.ndarray))
    count = CALLS[mine.many or theirs.many]
    drawn += [_drawn(trial) for _ in range(min(count, max(BYTES // max(size, 1), 4)) - 1)]
    calls = [empty_call(trial.op, arguments, trial.sides.backend) for arguments in drawn]
    ours, others = mine.shots(calls, drawn), theirs.shots(calls, drawn)
    seconds: tuple[list[float], list[float]] = [], []
    for turn in range(max(len(ours), len(others))):
        both = [(shots[turn], times) for shots, times in zip((ours, others), seconds, strict=True) if turn < len(shots)]
        for shot, times in reversed(both) if swapped != bool(turn % 2) else both:
            times.append(shot())
    judge_elements(trial, "forward", Trace(None, calls), "real", PLACES)
    return float(np.median(seconds[1]) / np.median(seconds[0]))


def _drawn(trial: Trial) -> dict[str, Any]:
    return forward_arguments(trial.op, trial.case, draw(trial.op, trial.case, trial.dtype, "real", trial.rng))


def _timed(kernel: Kernel) -> Timed:
    return _Here(kernel) if kernel.remote is None else _Apart(kernel)


class _Here:
    """A function in this process."""

    many = False

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def shots(self, calls: Sequence[KernelCall], arguments: Sequence[dict[str, Any]]) -> list[Shot]:
        return [self._shot(call) for call in calls]

    def _shot(self, call: KernelCall) -> Shot:
        callee, one = self._kernel.callee, called(self._kernel, 0, (*call.inputs, *call.outputs), call.numbers)
        given = one.prepared()

        def shot() -> float:
            try:
                ready = callee.ready(given.values, given.results)
                start = time.perf_counter()
                returned = ready()
                seconds = time.perf_counter() - start
                one.take(callee.result(returned, given.results, given.mine))
            except BrokenError as error:
                raise ContractError(str(error)) from None
            return seconds

        return shot


class _Apart:
    """A function in a process of its own."""

    many = True

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def shots(self, calls: Sequence[KernelCall], arguments: Sequence[dict[str, Any]]) -> list[Shot]:
        return [lambda: self._all(calls)]

    def _all(self, calls: Sequence[KernelCall]) -> float:
        kernel, remote = self._kernel, self._kernel.remote
        process = process_of(remote.candidate)
        ones = [called(kernel, 0, (*call.inputs, *call.outputs), call.numbers) for call in calls]
        given = [one.prepared() for one in ones]
        ends, layouts = [0, 0], []
        for i, prepared in enumerate(given):
            key = f"timed, {remote.index}, {kernel.label}, call {i} of {len(given)}"
            layouts.append(remote.laid_out(process, kernel, prepared, START, key=key, ends=ends))
            ends = layouts[-1].ends
        process.guard_all(layouts)
        for layout, prepared in zip(layouts, given, strict=True):
            process.fill(layout, [value.array for value in prepared.inputs], large=False)
        seconds = process.send(kernel.name, layouts)
        process.settle(kernel.name, layouts)
        for one, layout in zip(ones, layouts, strict=True):
            one.take(layout.copies[0])
        return seconds / len(calls)


class _Ops:
    """A back end's own op, and each step of a tail by its own."""

    many = False

    def __init__(self, base: Op, kernel: Kernel, backend: str) -> None:
        self._base, self._tail, self._backend = base, kernel.tail, backend

    def shots(self, calls: Sequence[KernelCall], arguments: Iterable[dict[str, Array]]) -> list[Shot]:
        return [partial(self._one, by_ops(self._base, self._tail, given)) for given in arguments]

    def _one(self, run: Callable[[], Any]) -> float:
        with _backend.use_backend(self._backend):
            start = time.perf_counter()
            run()
            return time.perf_counter() - start
