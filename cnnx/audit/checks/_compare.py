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
from ..truth.exact import DOUBLES, has_functions
from ._hint import of_examples

NO_FUNCTIONS = (
    "neither python-flint nor mpmath is installed, so equations with exp, log, sqrt or erf are in double, with bounds "
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


def ulps(a: Attempt, b: Attempt) -> float | None:
    """How far the results of two attempts are apart, in the directions that both have; None: they are the same bits."""
    found = None
    for _, left, right in a.pairs(b):
        lefts, rights = (v if isinstance(v, tuple) else (v,) for v in (left.result, right.result))
        for x, y in zip(lefts, rights, strict=True):
            found = farther(found, ulps_between(np.asarray(x), np.asarray(y)))
    return found


def farther(a: float | None, b: float | None) -> float | None:
    """The larger of two distances, of which None is that of the same bits."""
    return b if a is None else a if b is None else max(a, b)


def ulps_between(a: Array, b: Array) -> float | None:
    """How many numbers of their dtype two arrays are apart at most (-0 and 0: one); None where they are the same bits,
    infinite where that does not say it: shapes, indices, NaN."""
    if a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes():
        return None
    if a.dtype != b.dtype or a.shape != b.shape or a.dtype.kind != "f":
        return np.inf
    if ((a.view(_BITS[a.itemsize]) != b.view(_BITS[b.itemsize])) & ~(np.isfinite(a) & np.isfinite(b))).any():
        return np.inf
    low, high = (_ordered(np.ascontiguousarray(x)).astype(float) for x in (a, b))  # apart by 2**53: who would count
    exact = _ordered(np.ascontiguousarray(a)) - _ordered(np.ascontiguousarray(b))
    return float(np.where(np.abs(low - high) < 2.0**62, np.abs(exact).astype(float), np.abs(low - high)).max())


_BITS = {4: np.int32, 8: np.int64}


def _ordered(a: Array) -> Array:
    """Integers in the order of the numbers, one apart where these are neighbours."""
    bits = a.view(_BITS[a.itemsize]).astype(np.int64)
    return np.where(bits >= 0, bits, ~(bits & (np.int64(2**31 - 1) if a.itemsize == 4 else np.int64(2**63 - 1))))


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
        comparison = Comparison(theirs.calls, trial.dtype, finite=finite, precision=trial.precision)
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
                    f"got {use.got!r} ({use.share:.3g} of the budget){of_examples(other, got, reference)}",
                    expected=use.expected,
                    got=use.got,
                    error=use.error,
                    share=use.share,
                    **where(other, output, use.index, got, reference),
                )
    if comparison.truths:
        trial.result.truth.setdefault(trial.dtype, Counter()).update(comparison.truths)
    if finite and comparison.truths[DOUBLES] and not has_functions():
        trial.result.notes.add(NO_FUNCTIONS)
