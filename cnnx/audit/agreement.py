"""Do two back ends agree? Exactly on integers, within a derived bound on real numbers."""

from collections import Counter
from typing import Any

import numpy as np

from .. import backend as _backend
from .bounds import Comparison
from .calls import KernelCall, Trace, named_inputs
from .data import Array, Mode, draw
from .result import Worst
from .trial import Check, Trial
from .truth import DOUBLES, mpmath_context

NO_MPMATH = (
    "mpmath is not installed, so equations with exp, log, sqrt or erf are computed in double, with bounds "
    "(python -m pip install 'cnnx[audit]')"
)


def _exact(trial: Trial) -> None:
    """Integer-valued data, on which every sum is exact: the results must be equal."""
    theirs = trial.run(trial.sides.against, draw(trial.op, trial.case, trial.dtype, "integer", trial.rng), "integer")
    ours = trial.repeat(trial.sides.backend, theirs)
    for direction, mine, other in ours.pairs(theirs):
        trial.ran(direction)
        compare_results(trial, direction, mine.result, other.result, equal=not _unequal_kernel(trial, mine, other))


def _unequal_kernel(trial: Trial, ours: Trace, theirs: Trace) -> bool:
    """Note the first kernel whose outputs differ; whether there is one."""
    if [c.kernel for c in ours.calls] != [c.kernel for c in theirs.calls]:
        return False  # what they come to is compared
    for mine, other in zip(ours.calls, theirs.calls, strict=True):
        for output, g, e in zip(_backend.equations(other.kernel), mine.outputs, other.outputs, strict=True):
            if mine.missing:
                continue
            trial.result.compared(f"{other.kernel} {output}", int(np.count_nonzero(e == 0)), e.size)
            if not np.array_equal(g, e, equal_nan=True):
                at = tuple(int(j) for j in np.argwhere(~((g == e) | (np.isnan(g) & np.isnan(e))))[0])
                expected, got = float(e[at]), float(g[at])
                trial.found(
                    f"{other.kernel} at {output}{list(at)}: expected {expected!r} exactly, got {got!r}",
                    expected=expected,
                    got=got,
                    error=0.0,
                    **_where(other, output, at, g, e),
                )
                return True
    return False


def _where(call: KernelCall, output: str, index: tuple[int, ...], got: Array, expected: Array) -> dict[str, Any]:
    """The fields of a discrepancy that say where it is, and on what."""
    return {
        "kernel": call.kernel,
        "output": output,
        "index": index,
        "arrays": named_inputs(call),
        "numbers": call.numbers,
        "results": {"got": got, "expected": expected},
    }


def _bound(trial: Trial) -> None:
    """Real-valued data: both back ends within the bound that the equations themselves give.

    The reference's element functions run on `Bounded` numbers; for a sum of products that is
    eps * number of terms * sum of |terms|, for an elementwise function a few ulp. Each case runs on
    numbers about 1 and on numbers of all sizes, zeros among them.
    """
    modes: tuple[Mode, ...] = ("real", "far")
    for mode in modes:
        theirs = trial.run(trial.sides.against, draw(trial.op, trial.case, trial.dtype, mode, trial.rng), mode)
        ours = trial.repeat(trial.sides.backend, theirs)
        for direction, mine, other in ours.pairs(theirs):
            trial.ran(direction)
            # Without kernels nothing is computed: flatten's numbers stay what they were.
            compare_results(trial, direction, mine.result, other.result, equal=not trial.op.kernels)
            compare_kernels(trial, mine, other)


exact = Check(
    "exact",
    _exact,
    why_not=lambda op: "" if any(case.exact for case in op.cases) else "no case of this op is exact on integers",
    takes=lambda op, case: case.exact,
)
bound = Check("bound", _bound)


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
                    **_where(other, output, use.index, got, reference),
                )
    if comparison.truths:
        trial.result.truth.setdefault(trial.dtype, Counter()).update(comparison.truths)
    if finite and comparison.truths[DOUBLES] and mpmath_context() is None:
        trial.result.notes.add(NO_MPMATH)
