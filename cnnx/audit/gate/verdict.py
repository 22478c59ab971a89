"""A report as one verdict, for loops that write kernels: good or bad, a score, how fast, why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import backend as _backend
from ..compat import COMPAT
from ..contract import Kernel
from ..report.machine import facts
from ..report.report import Report
from ..report.result import Discrepancy, Result, number
from ..run import audit
from ..sides import Sides
from ..workers import known_by_name
from . import speed as _speed
from .assertion import SHRINK
from .backends import Ops, given
from .contracts import is_file
from .interval import Speed
from .suite import OF_THE_REFERENCE
from .words import used_share

SCHEMA = 1
SHOWN = 50  # reasons; how many there are is said
BASELINE = "optimized"
_WORDS = {0: "good", 1: "bad", 3: "nothing ran", 130: "interrupted"}


def verdict(
    backend: Any,
    op: Ops = None,
    *,
    baseline: str | Kernel | None = BASELINE,
    rounds: int = _speed.ROUNDS,
    shrink: float = SHRINK,
    **options: Any,
) -> dict[str, Any]:
    """Judge kernels; what came of it as one object for JSON, which `schema()` describes.

    The score is 0 where anything that was computed is wrong: a number beyond its bound, a NaN that was lost, an
    exception, a call that hangs or dies, an input that was written to. Else it is a mean over the ops, each the mean
    over its checks of cases that passed among those that were asked. So cases that a kernel declares not to support,
    required bits that differ, and checks that are mistrusted lower it, and an op of which nothing ran counts as 0.
    Kernels that are not there at all, as a gradient's, are not asked for: `not_covered` has them.

    Parameters
    ----------
    backend, op
        As `assert_kernel` takes them.
    baseline : str, Kernel or None
        The back end beside which a good one is timed, forward, on inputs whose results are judged as well; None, or the
        same one: not at all. Of kernels by contract the functions are timed, on arrays that are laid out and converted
        before; the baseline is the back end's op, and one for each step of a tail, or another contract: "FILE.py:NAME",
        or what `kernel` made.
    rounds : int
        So many rounds, at least 6; each is a ratio of medians of four calls a side.
    shrink : float
        Seconds to spend on each check's first finding.
    **options
        As `cnnx.audit.audit` takes them.

    Returns
    -------
    dict
        verdict ("good", "bad", "nothing ran", "interrupted"), exit_code, score, ops, speed, reasons, environment, ...

    Raises
    ------
    TypeError, ValueError
        As `assert_kernel` raises them.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.audit import verdict
    >>> def relu(Z, /, Y):
    ...     np.maximum(Z, 0, out=Y)
    >>> found = verdict(relu, checks=["exact", "bound"], baseline=None)
    >>> found["verdict"], found["score"], found["speed"]
    ('good', 1.0, None)
    """
    check_timing(baseline, rounds)
    what = given(backend, op)
    isolated, limit = options.get("isolated", False), options.get("timeout")
    with what.at_hand() as known_as, known_by_name(known_as, isolated=isolated, limit=limit) as name:
        report = audit(what.ops, backend=name, shrink=shrink, **{"measure": False, **options})
        return of_report(report, baseline=baseline, rounds=rounds, timeout=options.get("timeout"))


def check_timing(baseline: str | Kernel | None, rounds: int = _speed.ROUNDS) -> None:
    """Raise, before anything is judged, where nothing could be timed so."""
    if rounds < 6:
        raise ValueError(f"rounds: expected at least 6, of which an interval follows, got {rounds}")
    if isinstance(baseline, str) and not is_file(baseline):
        with _backend.use_backend(baseline):
            pass


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `verdict` gives."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "verdict.schema.json").read_text(encoding="utf-8"))
    return found


def of_report(
    report: Report, *, baseline: str | Kernel | None = None, rounds: int = _speed.ROUNDS, timeout: float | None = None
) -> dict[str, Any]:
    """The verdict on a report, whose back end is timed beside `baseline` if it is good."""
    check_timing(baseline, rounds)
    found, code, words = list(report.results), report.verdict.code, report.verdict.words
    speed, why = None, "no baseline was given"
    if code != 0:
        why = f"refused: the verdict is {_WORDS[code]}"
    elif baseline == report.backend:
        why = f"the baseline is {baseline} itself"
    elif report.isolated and not report.contracts:  # here it would hold the clock
        why = "an isolated back end is timed by the audit alone: its report has the speed-up"
    elif report.backend not in _backend.backends():
        why = "the back end was known to the audit alone"
    elif not report.contracts and not (baseline is None or (isinstance(baseline, str) and not is_file(baseline))):
        why = f"a contract as the baseline is one for contracts, and {report.backend} has none"
    elif baseline is not None:
        speed, why, wrong = _timed(report, baseline, rounds, timeout)
        if wrong:
            found += wrong
            speed, code, words = None, 1, "what was timed is wrong"
            why = "refused: what was timed is wrong"
    reasons = [reason for result in found for reason in _reasons(result)]
    scores = {} if _wrong(found) else _scores(report, found)
    return {
        "schema": SCHEMA,
        "verdict": _WORDS[code],
        "exit_code": code,
        "words": words,
        "score": round(sum(scores.values()) / len(scores), 6) if scores else 0.0,
        "backend": str(report.backend),
        "against": report.against,
        "compat": report.compat,
        "seed": report.seed,
        "ops": _ops(report, found, scores),
        "speed": speed,
        "why_no_speed": "" if speed is not None else why,
        "reasons": reasons[:SHOWN],
        "reasons_left_out": max(len(reasons) - SHOWN, 0),
        "environment": facts(flushing=report.flushing),
    }


def _timed(
    report: Report, baseline: str | Kernel, rounds: int, timeout: float | None
) -> tuple[dict[str, Any] | None, str, list[Result]]:
    """The speed of each op that ran, why there is none, and what is wrong with what was timed."""
    sides = Sides(report.backend, report.against, COMPAT[report.compat])
    by_op: dict[str, Any] = {}
    whys: list[str] = []
    wrong: list[Result] = []
    for op in report.ops:
        one = _speed.measured(op, sides, baseline, report.seed, rounds=rounds, timeout=timeout)
        if isinstance(one, Speed):
            by_op[op] = one.as_dict()
        elif isinstance(one, Result):
            wrong.append(one)
        else:
            whys.append(f"{op}: {one}")
    name = baseline.name if isinstance(baseline, Kernel) else baseline
    return {"baseline": name, "ops": by_op} if by_op else None, "; ".join(whys), wrong


def _counts(result: Result) -> bool:
    """Whether a check says something of the back end."""
    return bool(result.asked) and result.check != OF_THE_REFERENCE


def _is_wrong(found: Discrepancy) -> bool:
    """Wrong, and not only other bits than with another layout, thread or batch."""
    return found.ulp is None or found.ulp == float("inf")


def _wrong(results: list[Result]) -> bool:
    return any(_is_wrong(d) for result in results for d in result.failing)


def _part(result: Result) -> float:
    return 0.0 if result.verdict() == "mistrusted" else result.passed / result.asked


def _names(report: Report, results: list[Result]) -> list[str]:
    """The ops that were named or of which something is said."""
    return list(dict.fromkeys([*report.asked, *(r.op for r in results if _counts(r))]))


def _scores(report: Report, results: list[Result]) -> dict[str, float]:
    """By op, the mean of its checks."""
    parts = {name: [_part(r) for r in results if r.op == name and _counts(r)] for name in _names(report, results)}
    return {name: sum(some) / len(some) if some else 0.0 for name, some in parts.items()}


def _ops(report: Report, results: list[Result], scores: Mapping[str, float]) -> dict[str, Any]:
    return {
        name: {
            "score": round(scores.get(name, 0.0), 6),
            "checks": {
                r.check: {
                    "verdict": r.verdict(),
                    "asked": r.asked,
                    "passed": r.passed,
                    "budget": number(used_share(r)),
                }
                for r in results
                if r.op == name and _counts(r)
            },
            "not_covered": {what: why for r in results if r.op == name for what, why in sorted(r.lacking.items())},
        }
        for name in _names(report, results)
    }


def _reasons(result: Result) -> list[dict[str, Any]]:
    """What fails, as data: wrong ones first."""
    found = [(d, "wrong" if _is_wrong(d) else "other bits") for d in result.failing]
    found += [(d, "mistrusted") for d in result.mistrusted]
    if result.verdict() == "nothing ran":
        found.append((Discrepancy(result.op, result.check, "", "", "no case ran"), "nothing ran"))
    return [_reason(d, kind) for d, kind in sorted(found, key=lambda one: one[1] != "wrong")]


def _reason(found: Discrepancy, kind: str) -> dict[str, Any]:
    numbers = {"expected": found.expected, "got": found.got, "budget": found.error, "share": found.share}
    element = None
    if found.index is not None:
        element = {"kernel": found.kernel, "output": found.output, "index": list(found.index)}
    return {
        "kind": kind,
        "op": found.op,
        "check": found.check,
        "case": found.case,
        "dtype": found.dtype,
        "what": found.what,
        "element": element,
        **{name: number(value) for name, value in numbers.items()},
        "shrunk": found.shrunk,
        "reproducer": found.repro,
        "terms": list(found.terms),
    }
