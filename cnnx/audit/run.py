"""The whole audit: ops x checks x cases x dtypes."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from .. import backend as _backend
from .. import native as _native
from ..ops import OPS, Case, Op
from . import repro
from .agreement import bound, exact
from .calls import forward_arguments
from .data import draw
from .exact import adjoint, dual
from .gradient import gradient
from .invariance import layout, special, threads
from .result import Report, Result
from .trial import Check, Sides, Trial
from .worked import worked

CHECKS: dict[str, Check] = {
    check.name: check for check in (exact, bound, layout, special, threads, gradient, dual, adjoint, worked)
}
T = TypeVar("T")

DTYPES = ("float32", "float64")


def audit(
    ops: Iterable[str] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    backend: str = "optimized",
    against: str = "reference",
    checks: Iterable[str] | None = None,
    cases: Iterable[str | Case] | None = None,
    seed: int = 0,
    measure: bool = True,
    progress: Callable[[str, str], None] | None = None,
) -> Report:
    """Judge a back end: hold it against another and against mathematics.

    Parameters
    ----------
    ops : names of ops, or None for all of `cnnx.ops.OPS`
    dtypes : of "float32", "float64"
    backend, against : str
        The back end under audit and the one it is compared with.
    checks : names of checks, or None for all
        exact: equal on integers. bound: within a derived error bound on real numbers. layout: any
        memory layout of the input gives the same bits. special: NaN and infinities come out at the
        same places. threads: any thread count gives the same bits. gradient: central differences.
        dual: the reference's backward equations against dual numbers. adjoint: <A x, d> = <x, A* d>.
        worked: the sources' printed figures and sums done by hand.
    cases : names of cases or `Case` objects, or None for all cases of the ops
        A name stands for the cases of that name of all chosen ops; a `Case` is for one op alone.
    seed : int
        Every random number comes from it: a case's numbers from the seed and the names of op, check, case and dtype.
    measure : bool
        Also measure how many times as fast as `against` the back end is.
    progress : callable or None
        Called with the op's and the check's name before each check.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        An op, dtype, check, case or back end of that name does not exist, or a list of names is empty; `against`
        is `backend`; a `Case` and more than one op.

    Examples
    --------
    >>> from cnnx.audit import audit
    >>> report = audit(["relu"], measure=False)
    >>> report.ok, report.ran > 100
    (True, True)
    """
    chosen = _select("op", ops, {op.name: op for op in OPS})
    chosen_checks = _select("check", checks, CHECKS)
    kinds = tuple(_select("dtype", dtypes, {name: name for name in DTYPES}).values())
    sides = _sides(backend, against)
    wanted = _select_cases(cases, chosen)
    report = Report(backend, against, seed)
    try:
        for op in chosen.values():
            for check in chosen_checks.values():
                if progress is not None:
                    progress(op.name, check.name)
                report.results.append(_judge_op(op, check, wanted, kinds, sides, seed))
            if measure and op.kernels:
                if progress is not None:
                    progress(op.name, "speed")
                _measure(report, op, sides)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def again(words: str, *, backend: str = "optimized", against: str = "reference") -> Report:
    """Judge what a discrepancy's `repro` says, and nothing else.

    Raises
    ------
    ValueError
        The text is not what the audit prints, or names what does not exist.
    """
    op, check, case, dtype, seed = repro.parse(words)
    (chosen,) = _select("check", [check], CHECKS).values()
    if dtype not in (chosen.dtypes or DTYPES):
        raise ValueError(f"--repro: expected 'dtype' to be one of {', '.join(chosen.dtypes or DTYPES)}, got {dtype!r}")
    report = Report(backend, against, seed)
    report.results.append(judge(op, chosen, case, dtype, _sides(backend, against), seed))
    return report


def judge(op: Op, check: Check, case: Case, dtype: str, sides: Sides, seed: int) -> Result:
    """The unit of work: one check of one op on one case in one dtype."""
    return Trial(op, check, case, dtype, sides, seed).judged()


def _sides(backend: str, against: str) -> Sides:
    for name in (backend, against):
        with _backend.use_backend(name):
            pass  # an unknown name is an error now, not a discrepancy later
    if backend == against:
        raise ValueError(f"against: expected another back end than {backend!r}, got the same")
    return Sides(backend, against)


def _judge_op(
    op: Op, check: Check, wanted: list[str | Case] | None, dtypes: tuple[str, ...], sides: Sides, seed: int
) -> Result:
    result = Result(op.name, check.name, skipped=check.why_not(op))
    if result.skipped:
        return result
    cases = _cases(op, check, wanted)
    if not cases and wanted is not None:
        result.skipped = "for none of the chosen cases"
    for case in cases:
        for dtype in check.dtypes or dtypes:
            result.merge(judge(op, check, case, dtype, sides, seed))
    return result


def _cases(op: Op, check: Check, wanted: list[str | Case] | None) -> tuple[Case, ...]:
    if wanted is None:
        return check.cases(op)
    own = tuple(case for case in check.cases(op) if case.name in wanted)
    return own + tuple(case for case in wanted if isinstance(case, Case) and check.takes(op, case))


def _select_cases(cases: Iterable[str | Case] | None, ops: dict[str, Op]) -> list[str | Case] | None:
    if cases is None:
        return None
    wanted: list[str | Case] = [cases] if isinstance(cases, (str, Case)) else list(cases)
    if not wanted:
        raise ValueError("cases: expected some, got none")
    names = {case.name: case for op in ops.values() for case in _all_cases(op)}
    _select("case", [case for case in wanted if isinstance(case, str)] or None, names)
    if any(isinstance(case, Case) for case in wanted) and len(ops) != 1:
        raise ValueError(f"cases: expected one op for a Case, got {', '.join(ops)}")
    return wanted


def _all_cases(op: Op) -> tuple[Case, ...]:
    """Of all checks, and those for benchmarks."""
    return (*op.bench, *(case for check in CHECKS.values() for case in check.cases(op)))


def _select(what: str, names: Iterable[str] | None, known: dict[str, T]) -> dict[str, T]:
    if names is None:
        return known
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not chosen:
        raise ValueError(f"{what}: expected some of {', '.join(known)}, got none")
    for name in chosen:
        if name not in known:
            raise ValueError(f"{what}: expected one of {', '.join(known)}, got {name!r}")
    return {name: known[name] for name in chosen}


def _measure(report: Report, op: Op, sides: Sides) -> None:
    """How many times as fast the back end is on the op's first benchmark case, forward, float32, on one thread."""
    arrays = draw(op, op.bench[0], "float32", "real", np.random.default_rng(report.seed))
    arguments = forward_arguments(op, op.bench[0], arrays)

    def seconds(backend: str, budget: float) -> float:
        times: list[float] = []
        with _backend.use_backend(backend):
            while not times or (sum(times) < budget and len(times) < 50):
                start = time.perf_counter()
                op.forward(**arguments)
                times.append(time.perf_counter() - start)
        return float(np.median(times))

    threads = None
    try:
        threads = _native.get_num_threads()
        _native.set_num_threads(1)
        seconds(sides.backend, 0.0)  # loads what has to be loaded
        slow = seconds(sides.against, 0.05)
        report.speed_up[op.name] = slow / seconds(sides.backend, 0.05)
    except Exception:
        return  # what cannot be called was found by the checks already
    finally:
        if threads is not None:
            _native.set_num_threads(threads)
