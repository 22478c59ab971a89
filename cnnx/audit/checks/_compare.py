"""What two back ends gave, compared: their public results, their bits, and kernel by kernel their error."""

from collections import Counter
from typing import Any

import numpy as np

from ... import backend as _backend
from ..data import Array
from ..report.result import Worst
from ..trace import KernelCall, Trace, named_inputs
from ..trial import Attempt, Trial
from ..truth.error_bound import Comparison
from ..truth.exact import DOUBLES, mpmath_context

NO_MPMATH = (
    "mpmath is not installed, so equations with exp, log, sqrt or erf are computed in double, with bounds "
    "(python -m pip install 'cnnx[audit]')"
)


def where(call: KernelCall, output: str, index: tuple[int, ...], got: Array, expected: Array) -> dict[str, Any]:
    """The fields of a discrepancy that say where it is, and on what."""
    return {
        "kernel": call.kernel,
        "output": output,
        "index": index,
        "arrays": named_inputs(call),
        "numbers": call.numbers,
        "results": {"got": got, "expected": expected},
    }


def same_bits(a: Attempt, b: Attempt) -> bool:
    """Whether every result is the same in both attempts, in the directions that both have."""
    for _, left, right in a.pairs(b):
        lefts, rights = (v if isinstance(v, tuple) else (v,) for v in (left.result, right.result))
        for x, y in zip(lefts, rights, strict=True):
            if np.asarray(x).tobytes() != np.asarray(y).tobytes():
                return False
    return True


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
        comparison = Comparison(theirs.calls, trial.dtype, finite=finite, flushed=trial.sides.compat.flushed)
    except Exception as error:
        trial.found(f"no bound: {type(error).__name__}: {error}")
        return
    for mine, other in zip(ours.calls, theirs.calls, strict=True):
        if mine.missing:
            continue
        for output, got, reference in zip(_backend.equations(other.kernel), mine.outputs, other.outputs, strict=True):
            try:
                use = comparison.worst(got, reference)
            except Exception as error:
                trial.found(f"no bound for {other.kernel}: {type(error).__name__}: {error}")
                continue
            if use is None:
                continue
            trial.result.compared(f"{other.kernel} {output}", int(np.count_nonzero(reference == 0)), reference.size)
            trial.result.used(use.share)
            worst = Worst(
                use.share, trial.case.name, other.kernel, output, use.index, use.expected, use.got, use.error, use.truth
            )
            trial.result.note_worst(trial.dtype, worst)
            if use.share > 1:
                trial.found(
                    f"{other.kernel} at {output}{list(use.index)}: expected {use.expected!r} +- {use.error:.1e}, "
                    f"got {use.got!r} ({use.share:.3g} of the budget)",
                    expected=use.expected,
                    got=use.got,
                    error=use.error,
                    share=use.share,
                    **where(other, output, use.index, got, reference),
                )
    if comparison.truths:
        trial.result.truth.setdefault(trial.dtype, Counter()).update(comparison.truths)
    if finite and comparison.truths[DOUBLES] and mpmath_context() is None:
        trial.result.notes.add(NO_MPMATH)
