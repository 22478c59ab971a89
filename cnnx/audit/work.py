"""Runs one check over all cases of an op, and shrinks the first finding."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from ..ops import Case, Op
from . import known
from .explain.explain import explain
from .report.result import Discrepancy, Result
from .repro import command
from .search.corners import Corners
from .search.search import FAILURES, Effort, Step, standing, steps, within
from .shrink import describe, shrunk
from .sides import Sides
from .trial import Check, Trial

# Hears of each case before it: its name, the dtype and the command that judges it alone.
Say = Callable[[str, str, str], None]

# A check is mistrusted where more of what it compares is 0, unless that is how it has to be or there are few numbers.
MOST_ZEROS, FEW = 0.95, 32
FLAT = {("step", "step_grad_input dZ"), ("step", "gradients")}


def judge(op: Op, check: Check, case: Case, dtype: str, sides: Sides, seed: int) -> Result:
    """The unit of work: one check of one op on one case in one dtype."""
    return Trial(op, check, case, dtype, sides, seed).judged()


def judge_op(
    op: Op,
    check: Check,
    wanted: list[str | Case] | None,
    dtypes: tuple[str, ...],
    sides: Sides,
    seed: int,
    shrink: float,
    search: Effort,
    *,
    say: Say,
) -> Result:
    """One check of one op. The first discrepancy is shrunk for so many seconds; `say` hears of each case before it.

    search : how much the check of that name draws, where no cases are chosen.
    """
    result = Result(op.name, check.name, skipped=check.why_not(op), required=check.name in sides.required)
    if result.skipped:
        return result
    result.skipped = check.why_not_of(sides.backend)
    own = known.own(sides.backend)
    if own is not None:
        result.kinds = own.kinds(op.name)
        result.lacking |= own.lacks(op.name)
        result.skipped = result.skipped or own.why_not(op.name, check.name)
    if result.skipped:
        result.lacks(f"check {check.name}", result.skipped)
        return result
    base = known.base_of(sides.backend, op)
    corners = Corners(base, dtypes) if check.draws and wanted is None else None
    chosen: Iterator[Step]
    if corners is None:
        adapted = (sides.adapted(op, case) for case in _cases(op, check, wanted))
        cases = [case for case in adapted if case is not None and check.takes(op, case)]
        if not cases and wanted is not None:
            result.skipped = "for none of the chosen cases"
        chosen = (Step(case, dtype) for case in cases for dtype in check.dtypes or dtypes)
    else:
        chosen = _searched(op, base, dtypes, sides, seed, search, corners)
    failures = 0
    for case, dtype in chosen:
        say(case.name, dtype, command(op, check.name, case, dtype, seed, sides))
        one = judge(op, check, case, dtype, sides, seed)
        if shrink and one.failing and not result.failing:
            at = one.discrepancies.index(one.failing[0])
            one.discrepancies[at] = _shrunk(op, check, case, one.discrepancies[at], sides, seed, shrink, say)
        result.merge(one)
        failures += bool(one.failing)
        if corners is not None and failures == FAILURES:
            break
    if corners is not None:
        result.searched = corners.summary()
    return result


def _searched(
    op: Op, base: Op, dtypes: tuple[str, ...], sides: Sides, seed: int, search: Effort, corners: Corners
) -> Iterator[Step]:
    """The standing cases and those that a search draws, by the conventions; with a contract those of the op it comes
    from."""
    drawn = within(steps(base, seed, dtypes, search.limits, corners), search)
    for case, dtype in chain(standing(base, dtypes), drawn):
        adapted = sides.adapted(op, case)
        if adapted is not None:
            yield Step(adapted, dtype)


def mistrust_zeros(result: Result) -> None:
    """What was to be mostly zeros could be computed wrongly unseen."""
    for what, (zeros, total) in result.zeros.items():
        if total >= FEW and zeros > MOST_ZEROS * total and (result.op, what) not in FLAT:
            why = f"{what}: {zeros} of {total} numbers are 0"
            result.mistrusted.append(Discrepancy(result.op, result.check, "all", "all", why))


def _shrunk(
    op: Op,
    check: Check,
    case: Case,
    found: Discrepancy,
    sides: Sides,
    seed: int,
    seconds: float,
    say: Say,
) -> Discrepancy:
    def again(smaller: Case) -> list[Discrepancy]:
        if not check.takes(op, smaller):
            return []
        say(smaller.name, found.dtype, command(op, check.name, smaller, found.dtype, seed, sides))
        return judge(op, check, smaller, found.dtype, sides, seed).discrepancies

    smallest, found = shrunk(op, case, found, again, seconds, lambda smaller: sides.adapted(op, smaller))
    return explained(replace(found, shrunk="" if smallest is case else describe(smallest)))


def explained(found: Discrepancy) -> Discrepancy:
    """The same with the equation's terms at the element."""
    if found.arrays is None or found.index is None:
        return found
    explanation = explain(found.kernel, found.output, found.arrays.values(), found.index, found.numbers)
    return replace(found, terms=tuple(explanation.text().splitlines()))


def _cases(op: Op, check: Check, wanted: list[str | Case] | None) -> tuple[Case, ...]:
    if wanted is None:
        return check.cases(op)
    own = tuple(case for case in check.cases(op) if case.name in wanted)
    return own + tuple(case for case in wanted if isinstance(case, Case) and check.takes(op, case))
