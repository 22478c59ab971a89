"""A comparison of two runs in words."""

from collections.abc import Iterator

from cnnx._text import aligned
from cnnx.bench.compare import FASTER, METHOD, NOISY, SAME, SLOWER, Change, Comparison
from cnnx.bench.record import LIMIT, Figure
from cnnx.bench.statistic import LEVEL, interval

SHOWN = 5  # names of figures that a line lists


def lines(found: Comparison, verbose: bool = False) -> Iterator[str]:
    """The report: what got slower, what got faster (with `verbose` all figures), then how this was decided."""
    shown = {SLOWER: "slower", FASTER: "faster"}
    if verbose:
        shown |= {NOISY: "beyond the budget, but not beyond the noise", SAME: "the same"}
    for verdict, title in shown.items():
        changes = found.of(verdict)
        if changes:
            yield f"{title}: {len(changes)}"
            yield from (f"  {line}" for line in aligned([_HEAD, *map(_row, changes)]))
            if any(change.extrapolated for change in changes):
                yield "  ~ the reference's time comes from one row of its output"
            yield ""
    for figures, title in ((found.only_base, "only in the base run"), (found.only_new, "only in the new run")):
        if figures:
            yield f"{title}: {_listed(figures, verbose)}"
    for reason in dict.fromkeys(found.unlike.values()):
        figures = [figure for figure, why in found.unlike.items() if why == reason]
        yield f"not compared, {reason}: {_listed(figures, verbose)}"
    yield from (f"note: {note}" for note in found.notes)
    if found.changes:
        yield from _summary(found, verbose)
    if found.problem:
        yield found.problem


_HEAD = ["figure", "beside", "base", "", "new", "", "change", "budget", "p"]


def _row(change: Change) -> list[str]:
    percent = change.yardstick == LIMIT
    return [
        str(change.figure),
        change.yardstick + "~" * change.extrapolated,
        *_median(change.base, percent),
        *_median(change.new, percent),
        f"{100 * change.change:+.1f} %",
        f"{100 * change.budget:g} %",
        f"{change.p:.0e}" if change.p < 0.001 else f"{change.p:.3f}",
    ]


def _median(ratios: list[float], percent: bool) -> tuple[str, str]:
    """The median and its confidence interval."""
    low, median, high = (100 * ratio if percent else ratio for ratio in interval(ratios))
    digits = 1 if percent or median >= 10 else 2
    unit = " %" if percent else "x"
    return f"{median:,.{digits}f}{unit}", f"[{low:,.{digits}f}, {high:,.{digits}f}]"


def _listed(figures: list[Figure], verbose: bool) -> str:
    names = [str(figure) for figure in figures]
    if verbose or len(names) <= SHOWN:
        return "; ".join(names)
    return "; ".join([*names[:SHOWN], f"and {len(names) - SHOWN} more"])


def _summary(found: Comparison, verbose: bool) -> Iterator[str]:
    counts = {verdict: len(found.of(verdict)) for verdict in (SLOWER, FASTER, NOISY, SAME)}
    total = len(found.changes)
    yield f"{total} figure{'s' * (total != 1)}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    yield f"noise: {METHOD}: at most {100 * LEVEL:g} % false alarms a comparison if rounds are exchangeable"
    yield f"budget, beyond which a change has to be as well: {found.budgets}"
    if found.too_few and not found.problem:
        yield f"too few rounds for an alarm: {len(found.too_few)} of {total}: {_listed(found.too_few, verbose)}"
