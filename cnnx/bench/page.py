"""A history as one HTML page of curves that needs no network and no script (extra `bench`: jinja2)."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .._html import render
from .compare import METHOD, SAME
from .curves import Curve, Drift, Machine, Point, by_how_much, in_words, since_when, verdict
from .record import COPY, LIMIT, MULTIPLY_ADDS, REFERENCE, Record
from .run_as_yardstick import RUN
from .statistic import LEVEL

# A picture's units are pixels where the page has room. The plot lies within these edges.
WIDTH, HEIGHT = 320, 140
LEFT, RIGHT, TOP, BOTTOM = 46, 310, 10, 116
CROWDED = 40  # with more runs the intervals are a band instead of whiskers
STEEP = 4  # with values this many times apart an axis is logarithmic
FLAT = 0.25  # an axis spans at least this share of its middle, or noise would fill the picture
SHOWN = 100  # changes of a machine in the table
_BESIDE = {LIMIT: "of the limit", REFERENCE: "the reference", RUN: "the others of its run"}


def page(machines: Sequence[Machine], *, command: str = "") -> str:
    """The history as HTML.

    Parameters
    ----------
    machines : sequence of Machine
        What `curves` made of the records.
    command : str
        The command line that gave the page.

    Returns
    -------
    str
        A whole document. All text is escaped, whatever the history's commits and cases hold.

    Raises
    ------
    ValueError
        There is no machine.
    """
    if not machines:
        raise ValueError("machines: expected at least one, got none")
    words, worse = verdict(machines[0])
    return render(
        "bench/page.html.j2",
        verdict=words,
        state="bad" if worse else "ok",
        command=command,
        method=METHOD,
        level=f"{100 * LEVEL:g} %",
        baseline=any(curve.baseline is not None for machine in machines for curve in machine.curves),
        machines=[
            {
                "name": machine.name,
                "facts": _facts(machine),
                "changes": changes[:SHOWN],
                "hidden": len(changes[SHOWN:]),
                "drifts": [
                    {"name": one.name, "kind": one.kind, "by": by_how_much(one.ratio)}
                    | {"when": since_when(one, machine.records), "date": _day(machine.records[one.since])}
                    for one in machine.drifts
                ],
                "ops": _by_op(machine),
            }
            for machine in machines
            for changes in [_changes(machine)]
        ],
        edges={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
    )


def _facts(machine: Machine) -> dict[str, str]:
    """Of the machine and of its newest run."""
    first, last = machine.records[0], machine.records[-1]
    days = " to ".join(dict.fromkeys((_day(first), _day(last))))
    runs = f"{len(machine.records):,}, {days}"
    facts = {**machine.fingerprint, "runs": runs, "newest run": _which(last)}
    if last.versions:
        facts["with"] = ", ".join(f"{name} {version}" for name, version in last.versions.items())
    for threads, limit in last.limits.items():
        fused, copied = limit.get(MULTIPLY_ADDS), limit.get(COPY)
        found = [f"{fused / 1e9:.3g} billion multiply-adds/s"] if fused else []
        found += [f"{copied / 1e9:.3g} GB/s copied"] if copied else []
        facts[f"limit, {threads} thread{'s' * (threads != '1')}"] = ", ".join(found)
    return facts


@dataclass(frozen=True)
class Change:
    """A line of the table of changes."""

    figure: str
    kind: str
    before: str
    after: str
    by: str
    commit: str
    date: str


def _changes(machine: Machine) -> list[Change]:
    """The newest first, and those of a run by size."""
    found = [
        (point.place, abs(math.log(point.ratio or 1)), curve, before, point)
        for curve in machine.curves
        for before, point in zip(curve.points, curve.points[1:], strict=False)
        if point.kind != SAME
    ]
    found.sort(key=lambda item: item[:2], reverse=True)
    return [
        Change(
            str(curve.figure),
            point.kind,
            in_words(before.median, curve.yardstick),
            in_words(point.median, curve.yardstick),
            by_how_much(point.ratio),
            machine.records[place].commit or "unknown",
            _day(machine.records[place]),
        )
        for place, _, curve, before, point in found
    ]


def _day(record: Record) -> str:
    return record.date[:10] or "no date"


def _which(record: Record) -> str:
    """Commit and minute."""
    return f"{record.date[:16].replace('T', ' ') or 'no date'}, commit {record.commit or 'unknown'}"


# -------------------------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Dot:
    """A run on a curve. `kind` is "faster" or "slower" where it changed, else "same"."""

    x: float
    y: float
    low: float
    high: float
    kind: str
    title: str


@dataclass(frozen=True)
class Picture:
    """A curve as it is drawn. Paths are SVG's; ticks are a place and words."""

    name: str
    label: str
    latest: str
    beside: str
    kind: str
    by: str
    dots: list[Dot]
    line: str
    band: str
    baseline: tuple[float, str] | None
    values: list[tuple[float, str]]
    dates: list[tuple[float, str, str]] = field(default_factory=list)
    radius: float = 2.5
    drifts: list[tuple[float, float, str, str]] = field(default_factory=list)  # from, how far, kind, words


def _by_op(machine: Machine) -> list[tuple[str, list[Picture]]]:
    across = _across(len(machine.records))
    dates = _dates(machine.records, across)
    by_op: dict[str, list[Picture]] = {}
    for curve in machine.curves:
        by_op.setdefault(curve.figure.op, []).append(_picture(machine, curve, across, dates))
    return list(by_op.items())


def _picture(machine: Machine, curve: Curve, across: list[float], dates: list[tuple[float, str, str]]) -> Picture:
    points, unit = curve.points, curve.yardstick
    levels = [value for point in points for value in (point.low, point.high)]
    axis = Axis.around([*levels, *([curve.baseline] if curve.baseline is not None else [])])
    dots = [
        Dot(
            across[point.place],
            axis.at(point.median),
            axis.at(point.low),
            axis.at(point.high),
            point.kind,
            _title(machine.records[point.place], point, unit),
        )
        for point in points
    ]
    crowded = len(machine.records) > CROWDED
    starts = [i for i, point in enumerate(points) if point.ratio is None]  # what cannot be compared is not joined
    parts = [dots[start:end] for start, end in itertools.pairwise([*starts, len(dots)])]
    changes = sum(point.kind != SAME for point in points)
    last = points[-1]
    return Picture(
        name=str(curve.figure).removeprefix(f"{curve.figure.op}, "),
        label=f"{curve.figure}: {len(points)} run{'s' * (len(points) != 1)}, latest {in_words(last.median, unit)}, "
        f"{changes} change{'s' * (changes != 1)}",
        latest=in_words(last.median, unit),
        beside=_BESIDE.get(unit, unit) + ", extrapolated" * curve.extrapolated,
        kind=last.kind,
        by=by_how_much(last.ratio),
        dots=dots,
        line="".join(_path((dot.x, dot.y) for dot in part) for part in parts),
        band="".join(_path(_around(part)) + "Z" for part in parts) if crowded else "",
        baseline=None if curve.baseline is None else (axis.at(curve.baseline), in_words(curve.baseline, unit)),
        values=[(axis.at(value), in_words(value, unit)) for value in axis.ticks()],
        dates=dates,
        radius=1.3 if crowded else 2.5,
        drifts=[_drawn(one, machine.records, across) for one in machine.drifts if curve.figure in one.figures],
    )


def _drawn(drift: Drift, records: list[Record], across: list[float]) -> tuple[float, float, str, str]:
    left, right = across[drift.before], across[drift.since]
    words = f"{drift.name}: {by_how_much(drift.ratio)} {drift.kind} {since_when(drift, records)}"
    return left, right - left, drift.kind, words


def _title(record: Record, point: Point, unit: str) -> str:
    low, high = in_words(point.low, unit), in_words(point.high, unit)
    words = f"{_which(record)}: {in_words(point.median, unit)} ({low} to {high})"
    if point.ratio is not None:
        words += f", {by_how_much(point.ratio)} against the run before"
    return words + (f": {point.kind}" if point.kind != SAME else "")


def _around(dots: list[Dot]) -> list[tuple[float, float]]:
    return [(dot.x, dot.high) for dot in dots] + [(dot.x, dot.low) for dot in reversed(dots)]


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _across(runs: int) -> list[float]:
    """Where the runs stand: evenly, as many may be of one day and none of the next month."""
    if runs == 1:
        return [(LEFT + RIGHT) / 2]
    step = (RIGHT - LEFT - 16) / (runs - 1)
    return [LEFT + 8 + step * i for i in range(runs)]


def _dates(records: list[Record], across: list[float]) -> list[tuple[float, str, str]]:
    """At most three ticks: place, words and where the words are anchored. Of one day, the time tells more."""
    one_day = len({_day(record) for record in records}) == 1 and len(records) > 1
    words = [record.date[11:16] if one_day else _day(record) for record in records]
    last = len(records) - 1
    if last == 0:
        return [(across[0], words[0], "middle")]
    ticks = [(across[0], words[0], "start"), (across[last], words[last], "end")]
    if last > 1 and words[last // 2] not in (words[0], words[last]):
        ticks.insert(1, (across[last // 2], words[last // 2], "middle"))
    return ticks


@dataclass(frozen=True)
class Axis:
    """From values to places, linear or logarithmic."""

    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, values: Sequence[float]) -> "Axis":
        """An axis with room around all values."""
        low, high = min(values), max(values)
        if low > 0 and high / low >= STEEP:
            room = (high / low) ** 0.06
            return cls(low / room, high * room, True)
        middle = (low + high) / 2
        half = max((high - low) / 2 * 1.12, abs(middle) * FLAT / 2) or 1.0
        return cls(middle - half, middle + half, False)

    def at(self, value: float) -> float:
        """The place of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return BOTTOM - share * (BOTTOM - TOP)

    def ticks(self) -> list[float]:
        """Two to five round values within the axis."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for leading in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
                found = [d * 10.0**e for e in range(first, last + 1) for d in leading if self._has(d * 10.0**e)]
                if len(found) >= 3:
                    return found[:: math.ceil(len(found) / 5)]
            return found
        size = math.floor(math.log10(self.high - self.low))
        for step in (d * 10.0**e for e in (size - 1, size) for d in (1, 2, 5)):
            found = [step * i for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
            if len(found) <= 5:
                break
        return found

    def _has(self, value: float) -> bool:
        return self.low <= value <= self.high
