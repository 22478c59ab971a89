"""Do two back ends agree? Exactly on integers, within a derived bound on real numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ops import Case, Op
from .calls import KernelCall, Trace, address, backward_arguments, first, forward_arguments, replay, traced
from .data import Array, Arrays, Mode, draw, draw_like
from .numbers import Bounded, BoundedMath
from .result import Result


@dataclass(frozen=True)
class Sides:
    """The back end under audit and the one it is held against."""

    backend: str
    against: str = "reference"


@dataclass
class Runs:
    """One case through one back end: forward, then backward."""

    forward: Trace
    backward: Trace


def run(op: Op, case: Case, arrays: Arrays, grad_output: Array | None, backend: str, winners: Any = None) -> Runs:
    """Run a case forward and backward. winners: what to hand the backward call instead of its own."""
    forward = traced(op.forward, forward_arguments(op, case, arrays), backend)
    result = forward.result if winners is None else (None, winners)
    delta = np.empty(0) if grad_output is None else grad_output
    backward = traced(op.backward, backward_arguments(op, case, arrays, delta, result), backend)
    return Runs(forward, backward)


def exact(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """Integer-valued data, on which every sum is exact: the results must be equal."""
    return _agreement(op, "exact", "integer", tuple(c for c in op.cases if c.exact), dtypes, sides, rng)


def bound(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """Real-valued data: both back ends within the bound that the equations themselves give.

    The reference's element functions run on `Bounded` numbers; for a sum of products that is
    eps * number of terms * sum of |terms|, for an elementwise function a few ulp.
    """
    return _agreement(op, "bound", "real", op.cases, dtypes, sides, rng)


def _agreement(
    op: Op,
    check: str,
    mode: Mode,
    cases: tuple[Case, ...],
    dtypes: tuple[str, ...],
    sides: Sides,
    rng: np.random.Generator,
) -> Result:
    result = Result(op.name, check)
    if not cases:
        result.skipped = "no case of this op is exact on integers"
    for case in cases:
        for dtype in dtypes:
            arrays = draw(op, case, dtype, mode, rng)
            truth = attempt(result, case, dtype, sides.against, op, arrays, mode, rng)
            if truth is None:
                continue
            theirs, grad_output = truth
            ours = attempt_again(result, case, dtype, sides.backend, op, arrays, grad_output, theirs)
            if ours is None:
                continue
            for direction in ("forward", "backward"):
                a: Trace = getattr(ours, direction)
                b: Trace = getattr(theirs, direction)
                result.ran += 1
                _compare_results(result, case, dtype, direction, a.result, b.result, equal=mode == "integer")
                _compare_calls(result, case, dtype, a, b, bounded=mode == "real")
    return result


def attempt(
    result: Result, case: Case, dtype: str, backend: str, op: Op, arrays: Arrays, mode: Mode, rng: np.random.Generator
) -> tuple[Runs, Array | None] | None:
    try:
        forward = traced(op.forward, forward_arguments(op, case, arrays), backend)
        grad_output = None if op.cost else draw_like(first(forward.result), dtype, mode, rng)
        return run(op, case, arrays, grad_output, backend), grad_output
    except NotImplementedError as error:
        result.skipped = str(error)
    except Exception as error:
        result.found(case.name, dtype, f"back end {backend!r} raised {type(error).__name__}: {error}")
    return None


def attempt_again(
    result: Result, case: Case, dtype: str, backend: str, op: Op, arrays: Arrays, grad_output: Any, theirs: Runs
) -> Runs | None:
    saved = theirs.forward.result[1] if isinstance(theirs.forward.result, tuple) else None
    try:
        return run(op, case, arrays, grad_output, backend, saved)
    except NotImplementedError as error:
        result.skipped = str(error)
    except Exception as error:
        result.found(case.name, dtype, f"back end {backend!r} raised {type(error).__name__}: {error}")
    return None


def _compare_results(
    result: Result, case: Case, dtype: str, direction: str, got: Any, expected: Any, *, equal: bool
) -> None:
    """Public results: number, shapes, dtypes and layout; in exact mode every bit of the values but a zero's sign."""
    got_all, expected_all = (v if isinstance(v, tuple) else (v,) for v in (got, expected))
    for i, (g, e) in enumerate(zip(got_all, expected_all, strict=True)):
        if isinstance(e, float):
            if not isinstance(g, float) or (equal and g != e):
                result.found(case.name, dtype, f"{direction}: expected {e!r}, got {g!r}")
            continue
        if g.shape != e.shape or g.dtype != e.dtype or not g.flags.c_contiguous:
            result.found(
                case.name,
                dtype,
                f"{direction}, result {i}: expected {e.dtype} {e.shape}, C-contiguous, got {g.dtype} {g.shape}",
            )
        elif equal and not np.array_equal(g, e, equal_nan=True):
            at = tuple(int(j) for j in np.argwhere(~((g == e) | (np.isnan(g) & np.isnan(e))))[0])
            result.found(case.name, dtype, f"{direction}, result {i} at {at}: expected {e[at]!r}, got {g[at]!r}")


def _compare_calls(result: Result, case: Case, dtype: str, ours: Trace, theirs: Trace, *, bounded: bool) -> None:
    """Kernel by kernel, so that the bound is that of one equation (or of a chain, where they are chained)."""
    if [c.kernel for c in ours.calls] != [c.kernel for c in theirs.calls]:
        result.found(case.name, dtype, "the back ends were asked for different kernels")
        return
    if not bounded:
        return
    info = np.finfo(dtype)
    eps, tiny = float(info.eps), float(info.smallest_subnormal)

    def lift(a: Array) -> Array:
        lifted = a.astype(object)
        if a.dtype.kind == "f":
            for index in np.ndindex(a.shape):
                lifted[index] = Bounded(float(a[index]), eps, tiny)
        return lifted

    outputs = replay(theirs.calls, lift, float, BoundedMath())
    for mine, call in zip(ours.calls, theirs.calls, strict=True):
        for got, reference, truth in zip(mine.outputs, call.outputs, _outputs(call, outputs), strict=True):
            _compare_bounded(result, case, dtype, call.kernel, got, reference, truth)


def _outputs(call: KernelCall, outputs: dict[tuple[int, int], Array]) -> list[Array]:
    return [outputs[address(a)].reshape(a.shape) for a in call.outputs]


def _compare_bounded(
    result: Result, case: Case, dtype: str, kernel: str, got: Array, reference: Array, truth: Array
) -> None:
    worst, at = 0.0, None
    for index in np.ndindex(truth.shape):
        t = truth[index]
        value, error = (t.value, t.error) if isinstance(t, Bounded) else (float(t), 0.0)
        for number in (got[index], reference[index]):
            off = abs(float(number) - value)
            share = 0.0 if off == 0 else (off / error if error > 0 else np.inf)
            if not share <= worst:  # a NaN counts as worse than anything
                worst, at = (np.inf if share != share else share), (index, value, error, number)
    result.used(worst)
    if worst > 1 and at is not None:
        index, value, error, number = at
        result.found(
            case.name,
            dtype,
            f"{kernel} at {tuple(int(i) for i in index)}: expected {value!r} +- {error:.1e}, got {number!r} "
            f"({worst:.3g} of the budget)",
        )
