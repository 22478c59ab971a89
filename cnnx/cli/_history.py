"""What `cnnx bench --history` prints."""

from collections.abc import Iterator, Sequence

from .._text import aligned
from ..bench.compare import METHOD, SAME
from ..bench.curves import Curve, Machine, by_how_much, in_words, since_when, verdict
from ..bench.joined import joined


def lines(machines: Sequence[Machine]) -> Iterator[str]:
    """By machine, each figure's newest value with its change against the run before and since the first."""
    for machine in machines:
        runs = len(machine.records)
        yield f"{machine.name}: {runs} run{'s' * (runs != 1)}"
        yield f"  {verdict(machine)[0]}"
        head = ["figure", "newest", "interval", "change", "since first", ""]
        rows = aligned([head, *map(_row, machine.curves)])
        yield from (f"  {row}" for row in rows)
        if machine.drifts:
            yield "  over many runs:"
        for one in machine.drifts:
            yield f"    {by_how_much(one.ratio)} {one.kind}: {one.name}, {since_when(one, machine.records)}"
    several = joined(machines) if len(machines) > 1 else None
    if several is not None:
        names = ", ".join(machine.name for machine in several.machines)
        yield f"{names}, joined by {several.commits} commits that both have: " + (
            "no more than they show alone" if not several.drifts else "over many runs"
        )
        for one in several.drifts:
            yield f"    {by_how_much(one.ratio)} {one.kind}: {one.name}, {since_when(one, several.records)}"
    yield "%: of the machine's limit; x: the reference's speed, or another's"
    yield f"faster, slower: beyond budget and noise ({METHOD})"
    if any(machine.drifts for machine in machines) or (several is not None and several.drifts):
        yield "over many runs: a level that changed for good; a history without a change has any with a chance of 1 %"


def _row(curve: Curve) -> list[str]:
    last = curve.points[-1]
    first = [point for point in curve.points if point.ratio is None][-1]  # since when they can be compared
    low, median, high = (in_words(value, curve.yardstick) for value in (last.low, last.median, last.high))
    since = by_how_much(last.median / first.median) if last is not first else ""
    mark = last.kind.upper() if last.kind != SAME else ""
    return [str(curve.figure), median, f"{low} to {high}", by_how_much(last.ratio), since, mark]
