"""All that an audit found."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .coverage import ledger
from .machine import facts
from .matrix import matrix
from .result import Discrepancy, Result

SCHEMA = 2  # the version of what as_dict gives


class Verdict(NamedTuple):
    """The outcome of an audit: `cnnx audit`'s exit code, and words for it."""

    code: int
    words: str


@dataclass
class Report:
    """All results of an audit.

    left_out : by op, the cases that the conventions `compat` do not have.
    flushing : whether flush-to-zero was switched on in the calling thread; the audit switched it off while it ran.
    """

    backend: str
    against: str
    seed: int
    compat: str = ""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    speed_up: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    flushing: bool = False

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
        return self.verdict.code == 0

    @property
    def verdict(self) -> Verdict:
        """The outcome. Text, JSON, JUnit XML and the page all follow from it."""
        if self.interrupted:
            return Verdict(130, "interrupted")
        if failures := self.failures():
            mistrusted = sum(result.verdict() == "mistrusted" for result in failures)
            counts = (len(failures) - mistrusted, "failed"), (mistrusted, "mistrusted")
            return Verdict(1, ", ".join(f"{n} check{'s' * (n != 1)} {what}" for n, what in counts if n))
        if not self.judged:
            return Verdict(3, f"nothing of back end {self.backend} ran")
        differing = sum(result.verdict() == "differs" for result in self.results)
        return Verdict(0, f"all agree, but for bits ({differing} checks)" if differing else "all agree")

    def discrepancies(self) -> Iterator[Discrepancy]:
        """All that are failures."""
        for result in self.results:
            yield from result.failing

    def failures(self) -> list[Result]:
        """Results that are not ok."""
        return [result for result in self.results if not result.ok]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, as `schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "backend": self.backend,
            "against": self.against,
            "compat": self.compat,
            "left_out": self.left_out,
            "seed": self.seed,
            "ok": self.ok,
            "interrupted": self.interrupted,
            "cases": self.ran,
            "speed_up": self.speed_up,
            "results": [result.as_dict() for result in self.results],
            "reproducible": {op: {p: c.as_dict() for p, c in row.items()} for op, row in matrix(self.results).items()},
            "ledger": ledger(self.results).as_dict(),
            "machine": facts(flushing=self.flushing),
        }
