"""All that an audit found."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .coverage import ledger
from .machine import facts
from .matrix import matrix
from .result import Discrepancy, Result

SCHEMA = 2  # the version of what as_dict gives


def _form(name: str) -> Any:
    """What writes a report in some form: it takes one, and so waits until it is asked for."""
    return importlib.import_module(f".{name}", __package__)


class Verdict(NamedTuple):
    """The outcome of an audit: `cnnx audit`'s exit code, and words for it."""

    code: int
    words: str


@dataclass(repr=False)
class Report:
    """All results of an audit.

    print(report) shows what `cnnx audit` does; `html` and `junit` the files of --report and --junit, `as_dict` that
    of --json.

    asked : the ops that were named; of each of them something has to run.
    left_out : by op, the cases that the conventions `compat` do not have.
    isolated : whether the back end ran in a process of its own that never held the truth.
    not_measured : by op, why its speed was not measured there.
    flushing : whether flush-to-zero was switched on in the calling thread; the audit switched it off while it ran.
    contracts : of somebody's own kernels (`cnnx.audit.kernel`), what each was judged to be.
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
    asked: tuple[str, ...] = ()
    contracts: list[str] = field(default_factory=list)
    isolated: bool = False
    not_measured: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        ops = len(self.ops)
        return (
            f"<Report of {self.backend} against {self.against}: {self.ran:,} case{'s' * (self.ran != 1)} of {ops} "
            f"op{'s' * (ops != 1)}, {self.verdict.words}>"
        )

    def __str__(self) -> str:
        return self.text()

    def text(self, *, budgets: bool = False, whole_ledger: bool = False) -> str:
        """What `cnnx audit` prints; with where each op used most of its error budget, and with all that was not tested.

        Examples
        --------
        >>> from cnnx.audit import audit
        >>> report = audit(["relu"], checks=["exact"], measure=False)
        >>> report
        <Report of optimized against reference: 32 cases of 1 op, all agree>
        >>> print(report.text().splitlines()[-1])
        32 cases, 1 op: all agree
        """
        written: str = _form("text").text(self, budgets=budgets, whole_ledger=whole_ledger)
        return written

    def html(self) -> str:
        """One page that needs no network and no script (extra `report`: jinja2)."""
        written: str = _form("page").page(self)
        return written

    def junit(self) -> bytes:
        """JUnit XML for CI systems, in UTF-8."""
        written: bytes = _form("junit").junit(self)
        return written

    @property
    def ops(self) -> list[str]:
        """The ops of which something of the back end ran."""
        return list(dict.fromkeys(result.op for result in self.results if result.ran and self._counts(result)))

    @property
    def idle(self) -> list[str]:
        """The ops that were named and of which nothing of the back end ran, though it has their kernels."""
        lacking = {r.op for r in self.results if any(not what.startswith("check ") for what in r.lacking)}
        return [op for op in self.asked if op not in {*self.ops, *lacking}]

    def _counts(self, result: Result) -> bool:
        return result.check != "dual" or not self._more_than_dual

    @property
    def ran(self) -> int:
        """How many cases ran, over all checks."""
        return sum(result.ran for result in self.results)

    @property
    def judged(self) -> int:
        """How many cases of the back end itself ran: all but those of `dual`, which judges the reference's equations.
        (Asked for alone, they are what was to be judged.)"""
        return sum(result.ran for result in self.results if self._counts(result))

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
        if self.idle:
            return Verdict(3, f"nothing of {', '.join(self.idle)} ran")
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
            "contracts": self.contracts,
            "left_out": self.left_out,
            "seed": self.seed,
            "ok": self.ok,
            "interrupted": self.interrupted,
            "cases": self.ran,
            "speed_up": self.speed_up,
            "isolated": self.isolated,
            "not_measured": self.not_measured,
            "results": [result.as_dict() for result in self.results],
            "reproducible": {op: {p: c.as_dict() for p, c in row.items()} for op, row in matrix(self.results).items()},
            "ledger": ledger(self.results).as_dict(),
            "machine": facts(flushing=self.flushing),
        }
