"""What an audit was asked for, checked: ops, checks, cases, properties, the effort of a search."""

import math
from collections.abc import Iterable
from typing import TypeVar

from .. import backend as _backend
from .._text import expected_one_of
from ..ops import Case, Op
from .checks import CHECKS
from .compat import Compat
from .search.search import Effort, effort
from .sides import PROPERTIES
from .trial import Check

T = TypeVar("T")

CHECK_SEARCH = "search"


def left_out(op: Op, checks: Iterable[Check], compat: Compat) -> list[str]:
    """The cases that no check takes by these conventions."""
    taken: dict[str, bool] = {}
    for check in (check for check in checks if not check.draws):
        for case in check.cases(op):
            adapted = compat.adapted(op, case)
            taken[case.name] = taken.get(case.name, False) or (adapted is not None and check.takes(op, adapted))
    return [name for name, any_takes in taken.items() if not any_takes]


def select_cases(cases: Iterable[str | Case] | None, ops: dict[str, Op]) -> list[str | Case] | None:
    if cases is None:
        return None
    wanted: list[str | Case] = [cases] if isinstance(cases, (str, Case)) else list(cases)
    if not wanted:
        raise ValueError("cases: expected some, got none")
    names = {case.name: case for op in ops.values() for case in (*op.cases, *op.bench)}
    select("case", [case for case in wanted if isinstance(case, str)] or None, names)
    if any(isinstance(case, Case) for case in wanted) and len(ops) != 1:
        raise ValueError(f"cases: expected one op for a Case, got {', '.join(ops)}")
    return wanted


def has_any(op: Op, wanted: list[str | Case]) -> bool:
    return any(case.name in wanted for check in CHECKS.values() if not check.draws for case in check.cases(op))


def select(what: str, names: Iterable[str] | None, known: dict[str, T]) -> dict[str, T]:
    if names is None:
        return known
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not chosen:
        raise ValueError(f"{what}: expected some of {', '.join(known)}, got none")
    for name in chosen:
        if name not in known:
            raise ValueError(f"{what}: {expected_one_of(known, name)}")
    return {name: known[name] for name in chosen}


def effort_of(
    seconds: float | None,
    cases: int | None,
    jobs: int,
    ops: dict[str, Op],
    checks: dict[str, Check],
    wanted: list[str | Case] | None,
) -> Effort:
    for name, value in (("search", seconds), ("search_cases", cases)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: expected more than 0, got {value}")
        if value is not None and CHECK_SEARCH not in checks:
            raise ValueError(f"{name}: expected {CHECK_SEARCH!r} among the checks, got {', '.join(checks)}")
        if value is not None and wanted is not None:
            raise ValueError(f"{name}: expected no cases with it, since it draws its own")
    shares = sum(bool(op.kernels) for op in ops.values())
    return effort(None if seconds is None else seconds * min(jobs, shares), cases, shares)


def check_names(backend: str, against: str) -> None:
    for name in (backend, against):
        with _backend.use_backend(name):
            pass  # an unknown name is an error now, not a discrepancy later
    if backend == against:
        raise ValueError(f"against: expected another back end than {backend!r}, got the same")


def required_of(names: Iterable[str] | None) -> tuple[str, ...] | None:
    """The properties that are asked for by name, which may be none; None for those that the back end promises."""
    if names is None:
        return None
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in PROPERTIES:
            raise ValueError(f"require: expected some of {', '.join(PROPERTIES)}, got {name!r}")
    return chosen
