"""Whether a back end's results are a function of the arguments alone: op x what else may not change a bit."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..sides import PROPERTIES
from .result import Result

HEADS = {"isa": "instruction set"}  # of columns that are not called after their check


@dataclass(frozen=True)
class Cell:
    """One op and property.

    ran : how many comparisons were made; 0 where it was not asked, and `why` says why.
    ulp : how far results are apart at most, in numbers of their dtype; None where all are the same bits.
    failed : whether there is no answer, as the back end raised, hung or broke its contract.
    why : what else is to be said: why it was not asked, what failed, what differs.
    """

    ran: int
    ulp: float | None = None
    failed: bool = False
    why: str = ""

    @property
    def same(self) -> bool | None:
        """Whether all bits are the same; None where that was not asked."""
        return self.ulp is None if self.ran and not self.failed else None

    @property
    def words(self) -> str:
        """The cell in a few characters."""
        if self.failed:
            return "failed"
        if self.ulp is not None:
            return f"{ulps(self.ulp)} ulp" if math.isfinite(self.ulp) else "differs"
        return "same" if self.ran else "-"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        ulp = self.ulp if self.ulp is None or math.isfinite(self.ulp) else str(self.ulp)
        return {"same": self.same, "ulp": ulp, "cases": self.ran, "why": self.why}


def matrix(results: Iterable[Result]) -> dict[str, dict[str, Cell]]:
    """By op and property of PROPERTIES, what was found; those that no check asked for are not in it."""
    found: dict[str, dict[str, Cell]] = {}
    for result in results:
        if result.check in PROPERTIES:
            found.setdefault(result.op, {})[result.check] = _cell(result)
    return {op: {p: row[p] for p in PROPERTIES if p in row} for op, row in found.items()}


def head(name: str) -> str:
    """The head of a property's column."""
    return HEADS.get(name, name)


def not_asked(rows: dict[str, dict[str, Cell]]) -> dict[str, list[str]]:
    """By "properties: reason", the ops of which they were not asked."""
    found: dict[str, list[str]] = {}
    for op, row in rows.items():
        unasked = {name: cell.why for name, cell in row.items() if not cell.ran and not cell.failed}
        for why in dict.fromkeys(unasked.values()):
            names = ", ".join(head(name) for name in unasked if unasked[name] == why)
            found.setdefault(f"{names}: {why}", []).append(op)
    return found


def ulps(count: float) -> str:
    """A number of ulps, short."""
    return f"{count:,.0f}" if count < 10_000 else f"{count:.0e}".replace("e+0", "e").replace("e+", "e")


def _cell(result: Result) -> Cell:
    found = sorted(result.discrepancies, key=lambda d: -math.inf if d.ulp is None else -d.ulp)  # the worst one first
    if found:
        return Cell(result.ran, result.ulp, found[0].ulp is None, f"case {found[0].case!r}: {found[0].what}")
    if result.ran:
        return Cell(result.ran)
    lacking = f"the back end lacks {', '.join(sorted(result.lacking))}" if result.lacking else "no case ran"
    return Cell(0, why=result.skipped or lacking)
