"""What a check found."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Discrepancy:
    """One disagreement: where it was seen, and what was expected and got there."""

    op: str
    check: str
    case: str
    dtype: str
    what: str

    def __str__(self) -> str:
        return f"{self.op}: {self.check}, case {self.case!r}, {self.dtype}: {self.what}"


@dataclass
class Result:
    """One check of one op: how many cases ran, and what they found.

    share : the largest share of the error budget that any element used; None where there is no
        budget (results must be equal).
    skipped : why nothing ran, where the check does not apply to the op.
    lacking : what the back end does not have, so that it could not be judged.
    """

    op: str
    check: str
    ran: int = 0
    share: float | None = None
    note: str = ""
    skipped: str = ""
    lacking: list[str] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No discrepancy; and something ran, unless the check does not apply. No case run is a failure."""
        return not self.discrepancies and (self.ran > 0 or bool(self.skipped or self.lacking))

    def used(self, share: float) -> None:
        """Note a share of the error budget."""
        self.share = share if self.share is None else max(self.share, share)

    def lacks(self, what: str) -> None:
        """Note what the back end does not have."""
        if what not in self.lacking:
            self.lacking.append(what)

    def found(self, case: str, dtype: str, what: str) -> None:
        """Note a discrepancy."""
        self.discrepancies.append(Discrepancy(self.op, self.check, case, dtype, what))


@dataclass
class Report:
    """All results of an audit."""

    backend: str
    against: str
    seed: int
    results: list[Result] = field(default_factory=list)
    speed_up: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def ran(self) -> int:
        """How many cases ran, over all checks."""
        return sum(result.ran for result in self.results)

    @property
    def judged(self) -> int:
        """How many cases of the back end itself ran: all but those of `dual`, which judges the reference's equations.
        (Asked for alone, they are what was to be judged.)"""
        return sum(r.ran for r in self.results if r.check != "dual") if self._more_than_dual else self.ran

    @property
    def _more_than_dual(self) -> bool:
        return any(result.check != "dual" for result in self.results)

    @property
    def ok(self) -> bool:
        """Every result is, the audit came to its end, and something of the back end was judged."""
        return not self.interrupted and self.judged > 0 and all(result.ok for result in self.results)

    def discrepancies(self) -> Iterator[Discrepancy]:
        """All of them."""
        for result in self.results:
            yield from result.discrepancies

    def failures(self) -> list[Result]:
        """Results that are not ok."""
        return [result for result in self.results if not result.ok]

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Schema version 1."""
        return {
            "schema": 1,
            "backend": self.backend,
            "against": self.against,
            "seed": self.seed,
            "ok": self.ok,
            "interrupted": self.interrupted,
            "cases": self.ran,
            "speed_up": self.speed_up,
            "results": [
                {
                    "op": r.op,
                    "check": r.check,
                    "ok": r.ok,
                    "ran": r.ran,
                    "share": r.share,
                    "note": r.note,
                    "skipped": r.skipped,
                    "lacking": r.lacking,
                    "discrepancies": [{"case": d.case, "dtype": d.dtype, "what": d.what} for d in r.discrepancies],
                }
                for r in self.results
            ],
        }
