"""What fails, short enough to be read in a terminal: element, numbers, terms of the equation, what repeats it."""

from collections.abc import Callable

from ..report.report import Report
from ..report.result import Discrepancy, Result
from ..repro import words_of

Again = Callable[[str, str], str]  # from what --repro takes, and the command line of the audit: what to say instead


def failure(report: Report, budget: float = 1.0, again: Again = lambda words, command: command) -> str:
    """Why a report is not good enough, or "".

    Of each check that fails the first finding, with the equation's terms and what repeats it, and how many more there
    are; what is mistrusted, and where nothing ran. A share of the error bound above `budget` fails as well.
    """
    lines: list[str] = []
    for result in report.results:
        if not result.ok:
            lines += _of(result, again)
        elif (share := used_share(result) or 0.0) > budget:
            lines += _beyond(result, share, budget)
    if not lines and not report.ok:
        lines = [report.verdict.words, *sorted({f"    {why}" for r in report.results for why in _lacks(r)})]
    return "\n".join(lines)


def _of(result: Result, again: Again) -> list[str]:
    where = f"{result.op}, {result.check}"
    found = result.failing or result.mistrusted
    if not found:
        return [f"{where}: no case ran"]
    first, more = found[0], len(found) - 1
    kind = "" if result.failing else "mistrusted: "
    return [
        f"{where}: {kind}{first.what}",
        f"    {_where(first)}",
        *(f"    {line}" for line in first.terms if line.strip()),
        *([f"    again: {again(words_of(first.repro), first.repro)}"] if first.repro else []),
        *([f"    and {more} more of this check"] if more else []),
    ]


def _where(found: Discrepancy) -> str:
    return f"case {found.case!r}, {found.dtype}" + (f", shrunk to {found.shrunk}" if found.shrunk else "")


def used_share(result: Result) -> float | None:
    """The largest share of an equation's error bound that an element used; None where the check has none."""
    return max([*(worst.share for worst in result.worst.values()), *result.shares.values()], default=None)


def _beyond(result: Result, share: float, budget: float) -> list[str]:
    lines = [f"{result.op}, {result.check}: {share:.3g} of the error bound is used, expected at most {budget:g}"]
    for dtype, worst in result.worst.items():
        if worst.share > budget:
            lines += [
                f"    case {worst.case!r}, {dtype}: {worst.kernel} at {worst.output}{list(worst.index)}: expected "
                f"{worst.expected!r} +- {worst.error:.1e}, got {worst.got!r} ({worst.share:.3g} of it)"
            ]
    return lines + [
        f"    {kernel} {output}: {share:.3g} of it" for (kernel, output), share in _shares(result) if share > budget
    ]


def _shares(result: Result) -> list[tuple[tuple[str, str], float]]:
    """By kernel and output, over the dtypes."""
    largest: dict[tuple[str, str], float] = {}
    for (what, _), share in result.shares.items():
        kernel, output = what.split(" ")
        largest[kernel, output] = max(share, largest.get((kernel, output), 0.0))
    return list(largest.items())


def _lacks(result: Result) -> list[str]:
    return [f"not there: {what}{f' ({why})' if why else ''}" for what, why in result.lacking.items()]
