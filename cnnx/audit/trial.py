"""The unit of the audit's work: one check of one op on one case in one dtype, on random numbers of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import backend as _backend
from ..ops import Case, Op
from . import known, repro
from .data import Array, Arrays, Mode, draw_like
from .kinds import held
from .report.axes import DEFAULT, PLAIN
from .report.result import Compared, Discrepancy, Result
from .sides import Sides
from .trace import BreachError, Trace, backward_arguments, first, forward_arguments, traced, traced_own
from .truth.precision import Precision

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Check:
    """A way to judge an op, case by case.

    judge : notes what it finds in the trial's result.
    why_not : words why the check does not apply to an op, or "".
    why_not_of : words why it cannot judge a back end, or "".
    takes : whether it applies to a case.
    dtypes : the only ones it knows, whatever was asked for; None: those asked for.
    bench : it also runs on the cases for benchmarks.
    draws : its cases are drawn, until a search has had its time; `cases` has the first ones.
    """

    name: str
    judge: "Callable[[Trial], None]"
    why_not: Callable[[Op], str] = lambda op: ""
    why_not_of: Callable[[str], str] = lambda backend: ""
    takes: Callable[[Op, Case], bool] = lambda op, case: True
    dtypes: tuple[str, ...] | None = None
    bench: bool = False
    draws: bool = False

    def cases(self, op: Op) -> tuple[Case, ...]:
        """The op's own cases that it applies to."""
        return tuple(c for c in (*op.cases, *(op.bench if self.bench else ())) if self.takes(op, c))


@dataclass
class Attempt:
    """One case through one back end. A direction that raised is None."""

    arrays: Arrays
    grad_output: Array | None
    forward: Trace | None = None
    backward: Trace | None = None

    def pairs(self, other: "Attempt") -> Iterator[tuple[str, Trace, Trace]]:
        """The directions in which both back ends gave something, and this one did its own work."""
        for direction in DIRECTIONS:
            mine, theirs = getattr(self, direction), getattr(other, direction)
            if mine is not None and theirs is not None and mine.judged:
                yield direction, mine, theirs


@dataclass
class Trial:
    """Where a check judges a case: what it finds goes to `result`, and its random numbers come from `rng`.

    The stream depends on the seed, the op, the check, the case's name and the dtype alone, so a case sees the same
    numbers whatever else is audited.
    """

    op: Op
    check: Check
    case: Case
    dtype: str
    sides: Sides
    seed: int
    result: Result = field(init=False)
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.result = Result(self.op.name, self.check.name, required=self.check.name in self.sides.required)
        where = "\0".join((self.op.name, self.check.name, self.case.name, self.dtype))
        self.rng = np.random.default_rng([self.seed, *where.encode()])

    @property
    def precision(self) -> Precision:
        """The arithmetic by which results are judged."""
        return known.precision(self.sides.backend, self.op, self.dtype, flushed=self.sides.compat.flushed)

    def judged(self) -> Result:
        """Run the check. What it does not catch itself is the back end's doing."""
        try:
            with np.errstate(all="ignore"):
                self.check.judge(self)
        except _backend.MissingKernelError as error:
            self.result.lacks(error.what, error.why)
        except Exception as error:
            self.raised(self.sides.backend, error)
        if self.result.ran:
            self.result.dtypes.add(self.dtype)
        return self.result

    def ran(
        self, *directions: str, layout: str = PLAIN, threads: tuple[str, ...] = (DEFAULT,), **settings: str
    ) -> None:
        """Count a comparison, if it was of anything, and note what of."""
        if directions:
            self.result.ran += 1
            self.result.cases[self.case.name] = self.case
            self.result.tested |= {
                Compared(self.case.name, self.dtype, d, layout, n, **settings) for d in directions for n in threads
            }

    def found(self, what: str, **where: Any) -> None:
        """Note a discrepancy of this case; `where` are further fields of `Discrepancy`."""
        self.result.discrepancies.append(self._here(what, **where))

    def mistrusted(self, why: str) -> None:
        """Note why this case says nothing, though nothing disagreed."""
        self.result.mistrusted.append(self._here(why))

    def _here(self, what: str, **where: Any) -> Discrepancy:
        command = repro.command(self.op, self.check.name, self.case, self.dtype, self.seed, self.sides)
        return Discrepancy(self.op.name, self.check.name, self.case.name, self.dtype, what, repro=command, **where)

    def raised(self, backend: str, error: Exception) -> None:
        """Note an exception."""
        breach = isinstance(error, BreachError)
        self.found(str(error) if breach else f"back end {backend!r} raised {type(error).__name__}: {error}")

    def run(self, backend: str, arrays: Arrays, mode: Mode) -> Attempt:
        """Run the case forward and backward; draw a grad_output of the result's shape in between."""
        attempt = Attempt(arrays, None)
        forward = forward_arguments(self.op, self.case, arrays)
        attempt.forward = self.noted(lambda: traced(self.op.forward, forward, backend), backend)
        if attempt.forward is not None:
            if not self.op.cost:
                attempt.grad_output = draw_like(first(attempt.forward.result), self.dtype, mode, self.rng)
            self._run_backward(attempt, backend, attempt.forward.result)
        return attempt

    def repeat(self, backend: str, like: Attempt, arrays: Arrays | None = None, delta: Array | None = None) -> Attempt:
        """Run the case again, on the same grad_output and saved winners (or on copies in another layout)."""
        attempt = Attempt(like.arrays if arrays is None else arrays, like.grad_output if delta is None else delta)
        forward = forward_arguments(self.op, self.case, attempt.arrays)
        attempt.forward = self.noted(lambda: traced_own(self.op, self.op.forward, forward, backend), backend)
        if like.forward is not None:
            self._run_backward(attempt, backend, like.forward.result)
        return attempt

    def _run_backward(self, attempt: Attempt, backend: str, saved: Any) -> None:
        delta = np.empty(0) if attempt.grad_output is None else attempt.grad_output
        arguments = backward_arguments(self.op, self.case, attempt.arrays, delta, saved)
        attempt.backward = self.noted(lambda: traced_own(self.op, self.op.backward, arguments, backend), backend)

    def noted(self, call: Callable[[], Trace], backend: str) -> Trace | None:
        """What a call gave; an exception and what the back end lacks are noted."""
        try:
            trace = call()
        except _backend.MissingKernelError as error:  # of an op that has no such direction
            self.result.lacks(error.what, error.why)
            return None
        except Exception as error:
            self.raised(backend, error)
            return None
        for lack in trace.lacking:
            self.result.lacks(lack.what, lack.why)
        if backend == self.sides.against and not self.precision.plain:
            for output in (output for call in trace.calls for output in call.outputs if output.dtype.kind == "f"):
                output[...] = held(output, self.precision.output)  # as what it is held against
        return trace
