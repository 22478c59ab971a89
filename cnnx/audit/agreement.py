"""Do two back ends agree? Exactly on integers, within a derived bound on real numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops import Case, Op
from .bounds import Comparison
from .calls import Trace, backward_arguments, first, forward_arguments, traced
from .data import Array, Arrays, Mode, draw, draw_like
from .result import Result

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Sides:
    """The back end under audit and the one it is held against."""

    backend: str
    against: str = "reference"


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
    """Where a case is tried, and what for: errors become discrepancies of `result`."""

    result: Result
    op: Op
    case: Case
    dtype: str

    def found(self, what: str) -> None:
        """Note a discrepancy of this case."""
        self.result.found(self.case.name, self.dtype, what)

    def run(self, backend: str, arrays: Arrays, mode: Mode, rng: np.random.Generator) -> Attempt:
        """Run the case forward and backward; draw a grad_output of the result's shape in between."""
        attempt = Attempt(arrays, None)
        attempt.forward = self._traced(self.op.forward, forward_arguments(self.op, self.case, arrays), backend)
        if attempt.forward is not None:
            if not self.op.cost:
                attempt.grad_output = draw_like(first(attempt.forward.result), self.dtype, mode, rng)
            self._run_backward(attempt, backend, attempt.forward.result)
        return attempt

    def repeat(self, backend: str, like: Attempt, arrays: Arrays | None = None, delta: Array | None = None) -> Attempt:
        """Run the case again, on the same grad_output and saved winners (or on copies in another layout)."""
        attempt = Attempt(like.arrays if arrays is None else arrays, like.grad_output if delta is None else delta)
        forward = forward_arguments(self.op, self.case, attempt.arrays)
        attempt.forward = self._traced(self.op.forward, forward, backend)
        if like.forward is not None:
            self._run_backward(attempt, backend, like.forward.result)
        return attempt

    def _run_backward(self, attempt: Attempt, backend: str, saved: Any) -> None:
        delta = np.empty(0) if attempt.grad_output is None else attempt.grad_output
        arguments = backward_arguments(self.op, self.case, attempt.arrays, delta, saved)
        attempt.backward = self._traced(self.op.backward, arguments, backend)

    def _traced(self, function: Any, arguments: dict[str, Any], backend: str) -> Trace | None:
        try:
            trace = traced(function, arguments, backend)
        except Exception as error:
            self.found(f"back end {backend!r} raised {type(error).__name__}: {error}")
            return None
        for lack in trace.lacking:
            self.result.lacks(lack)
        return trace


def exact(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """Integer-valued data, on which every sum is exact: the results must be equal."""
    result = Result(op.name, "exact")
    cases = tuple(case for case in op.cases if case.exact)
    if not cases:
        result.skipped = "no case of this op is exact on integers"
    for case in cases:
        for dtype in dtypes:
            trial = Trial(result, op, case, dtype)
            theirs = trial.run(sides.against, draw(op, case, dtype, "integer", rng), "integer", rng)
            ours = trial.repeat(sides.backend, theirs)
            for direction, mine, other in ours.pairs(theirs):
                result.ran += 1
                compare_results(trial, direction, mine.result, other.result, equal=True)
    return result


def bound(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """Real-valued data: both back ends within the bound that the equations themselves give.

    The reference's element functions run on `Bounded` numbers; for a sum of products that is
    eps * number of terms * sum of |terms|, for an elementwise function a few ulp. Each case runs on
    numbers about 1 and on numbers of all sizes, zeros among them.
    """
    result = Result(op.name, "bound")
    modes: tuple[Mode, ...] = ("real", "far")
    for case in op.cases:
        for dtype in dtypes:
            for mode in modes:
                trial = Trial(result, op, case, dtype)
                theirs = trial.run(sides.against, draw(op, case, dtype, mode, rng), mode, rng)
                ours = trial.repeat(sides.backend, theirs)
                for direction, mine, other in ours.pairs(theirs):
                    result.ran += 1
                    # Without kernels nothing is computed: flatten's numbers stay what they were.
                    compare_results(trial, direction, mine.result, other.result, equal=not op.kernels)
                    compare_kernels(trial, mine, other)
    return result


def compare_results(trial: Trial, direction: str, got: Any, expected: Any, *, equal: bool) -> None:
    """Public results: number, shapes, dtypes and layout; if `equal`, every bit of the values but a zero's sign."""
    got_all, expected_all = (v if isinstance(v, tuple) else (v,) for v in (got, expected))
    for i, (g, e) in enumerate(zip(got_all, expected_all, strict=True)):
        if isinstance(e, float):
            if not isinstance(g, float) or (equal and g != e):
                trial.found(f"{direction}: expected {e!r}, got {g!r}")
            continue
        if g.shape != e.shape or g.dtype != e.dtype or not g.flags.c_contiguous:
            trial.found(f"{direction}, result {i}: expected {e.dtype} {e.shape}, C-contiguous, got {g.dtype} {g.shape}")
        elif equal and not np.array_equal(g, e, equal_nan=True):
            at = tuple(int(j) for j in np.argwhere(~((g == e) | (np.isnan(g) & np.isnan(e))))[0])
            trial.found(f"{direction}, result {i} at {at}: expected {e[at]!r}, got {g[at]!r}")


def compare_kernels(trial: Trial, ours: Trace, theirs: Trace, *, finite: bool = True) -> None:
    """Kernel by kernel, so that the bound is that of one equation (or of a chain, where they are chained).

    finite=False: the inputs hold NaN or infinities; of numbers without a bound only their kind is compared.
    """
    if [c.kernel for c in ours.calls] != [c.kernel for c in theirs.calls]:
        trial.found("the back ends were asked for different kernels")
        return
    try:
        comparison = Comparison(theirs.calls, trial.dtype)
    except Exception as error:
        trial.found(f"no bound: {type(error).__name__}: {error}")
        return
    for mine, other in zip(ours.calls, theirs.calls, strict=True):
        if mine.missing:
            continue
        for got, reference in zip(mine.outputs, other.outputs, strict=True):
            share, what = comparison.worst(other.kernel, got, reference, finite=finite)
            trial.result.used(share)
            if what:
                trial.found(what)
