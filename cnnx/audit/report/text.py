"""A report in plain text: op x check, what it was held against, what was not tested, what was found."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from ..._text import aligned
from ...ops import OPS
from ..truth.exact import KINDS
from . import searched
from .coverage import ledger
from .report import Report
from .result import Result

SHOWN = 20  # discrepancies that are printed; JSON has all
FLUSHING = "some library has switched flush-to-zero on in this thread; it was off while the audit ran (cnnx doctor)"


def text(
    report: Report, checks: Sequence[str] | None = None, *, budgets: bool = False, whole_ledger: bool = False
) -> str:
    """The report as `cnnx audit` prints it.

    checks : the columns; None takes those that were asked.
    budgets, whole_ledger : what --budgets and --ledger add.
    """
    if checks is None:
        checks = list(dict.fromkeys(result.check for result in report.results))
    rows = [["op", *checks, "budget", "speed-up"]]
    for op in dict.fromkeys([*(op.name for op in OPS), *(result.op for result in report.results)]):
        results = {r.check: r for r in report.results if r.op == op}
        if results:
            shares = [r.share for r in results.values() if r.check == "bound" and r.share is not None]
            speed_up = report.speed_up.get(op)
            rows.append(
                [
                    op,
                    *(_cell(results.get(check)) for check in checks),
                    _share(max(shares)) if shares else "-",
                    "-" if speed_up is None else f"{speed_up:,.0f}x",
                ]
            )
    conventions = f", conventions of {report.compat}" if report.compat else ""
    apart = ", isolated," if report.isolated else ""
    head = f"back end {report.backend}{apart} against {report.against}{conventions}, seed {report.seed}"
    lines = [head, *(f"contract: {words}" for words in report.contracts), "", *aligned(rows), ""]
    lines += _legend(report)
    lines += _budgets(report) if budgets else []
    if whole_ledger:
        lines += [*ledger(report.results).text(), *searched.text(report.results), ""]
    else:
        lines += ledger(report.results).summary()
    lines += searched.summary(report.results, report.seed)
    if report.flushing:
        lines.append(f"notice: {FLUSHING}")
    lines += _discrepancies(report)
    lines += [f"mistrusted: {d}" for r in report.results for d in r.mistrusted]
    lines += [f"{r.op}: {r.check}: no case ran" for r in report.results if r.verdict() == "nothing ran"]
    lines.append(f"{_count(report.ran, 'case')}, {_count(len(report.ops), 'op')}: {report.verdict.words}")
    return "\n".join(lines)


def _share(share: float) -> str:
    return f"{share:.2f}" if share < 1e4 else f"{share:.1e}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _cell(result: Result | None) -> str:
    """Cases that ran; FAIL where they disagree; - where the check does not apply."""
    if result is None:
        return ""
    verdict = result.verdict()
    if verdict == "mistrusted":
        return verdict
    if not result.ok:
        return "FAIL"
    return {"passed": str(result.ran), "differs": "differs"}.get(verdict, "-")


def _legend(report: Report) -> list[str]:
    lines = ["numbers: cases run; -: does not apply; budget: largest share of the error bound used (bound)"]
    if any(result.verdict() == "differs" for result in report.results):
        lines.append("differs: other bits where nobody requires the same ones (--require); --reproducible says how far")
    if report.speed_up:
        lines.append(f"speed-up: time of {report.against} / time of {report.backend}, forward, float32, 1 thread")
    for why in dict.fromkeys(report.not_measured.values()):
        ops = ", ".join(op for op, said in report.not_measured.items() if said == why)
        lines += textwrap.wrap(f"speed not measured: {ops}: {why}", 120, subsequent_indent="  ")
    return [*lines, *_truths(report), *_not_covered(report), ""]


def _not_covered(report: Report) -> Iterable[str]:
    """What the back end lacks, by the reason; and the cases that its conventions do not have."""
    lacking = {what: why for r in report.results for what, why in r.lacking.items()}
    for reason in sorted(set(lacking.values())):
        names = ", ".join(sorted(what for what, why in lacking.items() if why == reason))
        because = f" ({reason})" if reason else ""
        yield from textwrap.wrap(f"not covered{because}: {names}", 120, subsequent_indent="  ")
    for op, cases in report.left_out.items():
        names = ", ".join(cases)
        yield from textwrap.wrap(f"not in {report.compat}: {op}: {names}", 120, subsequent_indent="  ")


def _truths(report: Report) -> list[str]:
    """What the results were held against, for each kind of number: the ops, with "m of n" where not all elements."""
    counts: dict[str, Counter[str]] = {}
    for result in report.results:
        if result.check == "bound":
            counts[result.op] = Counter()
            for count in result.truth.values():
                counts[result.op].update(count)
    lines = []
    for kind in KINDS:
        ops = [_part(op, count[kind], count.total()) for op, count in counts.items() if count[kind]]
        if ops:
            lines += textwrap.wrap(f"truth in {kind}: {', '.join(ops)}", 118, subsequent_indent="    ")
    return lines + sorted(
        {f"note: {note}" for r in report.results for note in r.notes if note.startswith("neither python-flint")}
    )


def _part(op: str, n: int, total: int) -> str:
    return op if n == total else f"{op} ({n:,} of {total:,})"


def _budgets(report: Report) -> list[str]:
    """For each op and dtype the element that used most of its error budget."""
    rows = [["op", "dtype", "budget", "at", "case", "expected", "got", "truth"]]
    for result in report.results:
        if result.check == "bound":
            rows += [
                [
                    result.op,
                    dtype,
                    f"{w.share:.3f}",
                    f"{w.kernel} {w.output}{list(w.index)}",
                    w.case,
                    repr(w.expected),
                    repr(w.got),
                    w.truth,
                ]
                for dtype, w in result.worst.items()
            ]
    return [*aligned(rows), ""] if len(rows) > 1 else []


def _discrepancies(report: Report) -> list[str]:
    found = list(report.discrepancies())
    if not found:
        return []
    lines, seen = [], set()
    for d in found[:SHOWN]:
        lines.append(str(d))
        lines += [f"    {line}" for line in d.terms]
        if d.repro and (d.op, d.check) not in seen:
            lines.append(f"    again: {d.repro}")
        seen.add((d.op, d.check))
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN} more (--json has all)")
    return [*lines, ""]
