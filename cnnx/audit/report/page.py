"""A report as one HTML page that needs no network and no script (extra `report`: jinja2)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..._html import render
from ..truth.exact import KINDS
from .coverage import NEVER, ledger
from .machine import facts
from .matrix import head, matrix, not_asked
from .report import Report
from .result import Result
from .searched import summary, text

SHOWN = 10  # further discrepancies of a check that are on the page; JSON has all


@dataclass(frozen=True)
class Bar:
    """One line of the plot: the largest share of its error budget that an op used in a dtype."""

    op: str
    dtype: str
    share: float
    where: str

    @property
    def width(self) -> float:
        """Per cent of the plot, whose budget ends at 80; what is beyond fills it."""
        return 80 * self.share if self.share <= 1 else 100.0

    @property
    def words(self) -> str:
        """The share, with the digits that matter."""
        return f"{self.share:.3f}" if self.share < 10 else f"{self.share:.3g}"


def page(report: Report, *, command: str = "") -> str:
    """The report as HTML.

    Parameters
    ----------
    report : Report
    command : str
        The command line that gave the report.

    Returns
    -------
    str
        A whole document. All text is escaped, whatever a back end's messages hold.
    """
    checks = list(dict.fromkeys(result.check for result in report.results))
    found = [r.failing for r in report.failures() if r.failing]
    bits = matrix(report.results)
    covered = ledger(report.results)
    return render(
        "audit/report/page.html.j2",
        report=report,
        verdict=report.verdict.words,
        state={0: "ok", 130: "interrupted"}.get(report.verdict.code, "bad"),
        command=command,
        machine=facts(flushing=report.flushing),
        checks=checks,
        rows=list(_rows(report, checks)),
        bars=list(_bars(report)),
        truths=list(_truths(report)),
        found=[(first, others[:SHOWN], len(others[SHOWN:])) for first, *others in found],
        mistrusted=[d for result in report.results for d in result.mistrusted],
        empty=[r for r in report.results if r.verdict() == "nothing ran"],
        skipped=[r for r in report.results if r.skipped],
        lacking=sorted({item for r in report.results for item in r.lacking.items()}),
        notes=sorted({f"{r.check}: {note}" for r in report.results for note in r.notes}),
        bits=bits,
        properties={name: head(name) for row in bits.values() for name in row},
        not_asked=not_asked(bits),
        ledger=covered,
        search=summary(report.results, report.seed),
        search_settings=text(report.results),
        apart=covered.apart(),
        never=NEVER,
    )


def _rows(report: Report, checks: list[str]) -> Iterable[tuple[str, list[tuple[str, str]], str]]:
    """By op: a cell per check, as words and a class, and the speed-up."""
    by_op: dict[str, dict[str, Result]] = {}
    for result in report.results:
        by_op.setdefault(result.op, {})[result.check] = result
    for op, results in by_op.items():
        speed_up = report.speed_up.get(op)
        yield op, [_cell(results.get(c)) for c in checks], "" if speed_up is None else f"{speed_up:,.0f}x"


def _cell(result: Result | None) -> tuple[str, str]:
    if result is None:
        return "", "none"
    verdict = result.verdict()
    if verdict == "discrepancy":
        return f"{len(result.failing):,} found", "bad"
    if verdict == "differs":
        return verdict, "differs"
    if not result.ok:
        return verdict, "bad"
    return (f"{result.ran:,}", "ok") if verdict == "passed" else ("-", "none")


def _bars(report: Report) -> Iterable[Bar]:
    for result in report.results:
        if result.check == "bound":
            for dtype, w in sorted(result.worst.items()):
                at = f"{w.kernel} {w.output}{list(w.index)}, case {w.case!r}: expected {w.expected!r}, got {w.got!r}"
                yield Bar(result.op, dtype, math.inf if math.isnan(w.share) else w.share, at)


def _truths(report: Report) -> Iterable[tuple[str, list[Any]]]:
    """By kind of number: the ops and how many of their elements were held against it."""
    for kind in KINDS:
        counts = {r.op: sum(count[kind] for count in r.truth.values()) for r in report.results if r.check == "bound"}
        if any(counts.values()):
            yield kind, [(op, n) for op, n in counts.items() if n]
