"""What every figure of a history was over time, machine by machine, and where it changed (extra `bench`: scipy)."""

import itertools
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from .budgets import Budgets
from .compare import FASTER, SAME, SLOWER, Change, compare
from .drift import ALARMS, FEWEST, shifts
from .record import LIMIT, REFERENCE, Figure, Measured, Record
from .run_as_yardstick import along
from .statistic import interval

Series = tuple[dict[int, float], tuple[Figure, ...], str]  # values by place, of which figures, and their name


@dataclass(frozen=True)
class Point:
    """A figure in a run: the median of its rounds and the interval around it.

    place : of the run among the machine's.
    ratio : to the run before that has the figure; None in the first, and where they cannot be compared.
    kind : "faster" or "slower" where that is beyond the figure's budget and the noise, else "same".
    """

    place: int
    low: float
    median: float
    high: float
    ratio: float | None = None
    kind: str = SAME


@dataclass(frozen=True)
class Curve:
    """A figure over time on one machine.

    yardstick : the one that decides in the newest run that has the figure.
    baseline : the committed one's median, if it has any.
    extrapolated : the yardstick is the reference, whose time comes from one row of its output.
    """

    figure: Figure
    yardstick: str
    points: list[Point]
    baseline: float | None = None
    extrapolated: bool = False


@dataclass(frozen=True)
class Drift:
    """A level that changed over many runs, of a figure or of several together (`cnnx.bench.drift`).

    name : the figure, or what the several have in common.
    before, since : places of the last run at the old level and of the first at the new one.
    figures : what changed: the figure alone, or the several.
    """

    name: str
    before: int
    since: int
    ratio: float
    figures: tuple[Figure, ...]

    @property
    def kind(self) -> str:
        """ "slower" or "faster"."""
        return SLOWER if self.ratio < 1 else FASTER


@dataclass(frozen=True)
class Machine:
    """What one machine's runs have, oldest first: those of equal fingerprints, as no others can be compared.

    drifts : the newest first.
    """

    fingerprint: dict[str, str]
    records: list[Record]
    curves: list[Curve]
    drifts: list[Drift] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the fingerprint begins with, which is the processor."""
        return next(iter(self.fingerprint.values()), "") or "unknown machine"


def curves(records: Sequence[Record], budgets: Budgets | None = None, baseline: Record | None = None) -> list[Machine]:
    """Every figure over time, by machine; the machine with the newest run first.

    Parameters
    ----------
    records : sequence of Record
        Oldest first, as `read` gives them.
    budgets : Budgets or None
        What change of a figure counts; None: the default for all.
    baseline : Record or None
        The committed one: a level for the curves of its machine.

    Returns
    -------
    list of Machine
        Changes are those of `compare`, of each run with what was before it: by the same test, with the same chance of
        any false alarm in a run. Drifts are changes over many runs, of figures and of all of an op and direction
        together: the chance of any in a machine's history without a change is 1 %.

    Examples
    --------
    >>> figure = Figure("conv2d", "cn layer 2", "forward", threads=1)
    >>> runs = [Record({"processor": "A"}, [Measured(figure, ratios={"limit": [share + i / 1000 for i in range(10)]})])
    ...         for share in (0.8, 0.8, 0.6)]
    >>> [machine] = curves(runs)
    >>> [point.kind for point in machine.curves[0].points]
    ['same', 'same', 'slower']
    >>> verdict(machine)[0]
    '1 slower of 1 figure: newest run without a date, commit unknown'
    """
    runs: dict[frozenset[tuple[str, str]], list[Record]] = {}
    for record in records:
        runs.setdefault(frozenset(record.fingerprint.items()), []).append(record)
    machines = [_machine(along(mine), budgets, baseline) for mine in runs.values()]
    return sorted(machines, key=lambda machine: machine.records[-1].date, reverse=True)


def _machine(runs: list[Record], budgets: Budgets | None, baseline: Record | None) -> Machine:
    latest: dict[Figure, Measured] = {}  # a run may have some figures only: each is held against the last that has it
    found: list[dict[Figure, Change]] = []
    for run in runs:
        compared = compare(replace(run, figures=list(latest.values())), run, budgets)
        found.append({change.figure: change for change in compared.changes})
        latest |= run.by_figure()
    levels = baseline.by_figure() if baseline is not None and baseline.fingerprint == runs[0].fingerprint else {}
    by_figure = [run.by_figure() for run in runs]
    in_order = dict.fromkeys(figure for run in reversed(by_figure) for figure in run)
    curves = []
    for figure in in_order:
        for yardstick in latest[figure].yardsticks()[:1]:
            samples = [run[figure].ratios.get(yardstick) if figure in run else None for run in by_figure]
            points = list(_points(yardstick, samples, [changes.get(figure) for changes in found]))
            level = levels[figure].ratios.get(yardstick) if figure in levels else None
            extrapolated = yardstick == REFERENCE and latest[figure].extrapolated
            curves.append(Curve(figure, yardstick, points, interval(level)[1] if level else None, extrapolated))
    return Machine(runs[0].fingerprint, runs, curves, drifts(curves))


def drifts(curves: Sequence[Curve]) -> list[Drift]:
    """What changed over many runs, the newest first: figures alone, and together those that did not change alone."""
    alone = [(part, (curve.figure,), str(curve.figure)) for curve in curves for part in _parts(curve)]
    together = list(_together(curves))
    level = ALARMS / max(1, len(alone) + len(together))
    found = list(_drifts(alone, level))
    if changed := {one.figures[0] for one in found}:
        together = list(_together([curve for curve in curves if curve.figure not in changed]))
    found += _drifts(together, level)
    return sorted(found, key=lambda one: (-one.since, one.name))


def _drifts(series: Iterable[Series], level: float) -> Iterator[Drift]:
    for values, figures, name in series:
        places = list(values)
        for shift in shifts(list(values.values()), level):
            yield Drift(name, places[shift.before], places[shift.since], shift.ratio, figures)


def _parts(curve: Curve) -> Iterator[dict[int, float]]:
    """Medians by place, of points that can be compared with one another."""
    starts = [i for i, point in enumerate(curve.points) if point.ratio is None]
    for start, end in itertools.pairwise([*starts, len(curve.points)]):
        if end - start >= FEWEST and all(point.median > 0 for point in curve.points[start:end]):
            yield {point.place: point.median for point in curve.points[start:end]}


def _together(curves: Sequence[Curve]) -> Iterator[Series]:
    """The geometric means of all figures of an op and direction, over the runs that have them all."""
    groups: dict[tuple[str, str], list[tuple[Figure, dict[int, float]]]] = {}
    for curve in curves:
        for part in list(_parts(curve))[-1:]:
            groups.setdefault((curve.figure.op, curve.figure.direction), []).append((curve.figure, part))
    for (op, direction), members in groups.items():
        places = set.intersection(*(set(part) for _, part in members))
        if len(members) > 1 and len(places) >= FEWEST:
            values = {k: statistics.geometric_mean(part[k] for _, part in members) for k in sorted(places)}
            name = ", ".join(filter(None, (op, direction))) + f", {len(members)} figures together"
            yield values, tuple(figure for figure, _ in members), name


def _points(yardstick: str, samples: list[list[float] | None], changes: list[Change | None]) -> Iterator[Point]:
    """By run, of those that have it."""
    for place, (ratios, change) in enumerate(zip(samples, changes, strict=True)):
        if ratios:
            point = Point(place, *interval(ratios))
            if change is not None and change.yardstick == yardstick:
                kind = change.verdict if change.verdict in (SLOWER, FASTER) else SAME
                point = replace(point, ratio=1 + change.change, kind=kind)
            yield point


# ----------------------------------------------------------------------------------------------- words


def in_words(value: float, yardstick: str) -> str:
    """What was reached, of the limit in per cent, else as a multiple of another's speed.

    Examples
    --------
    >>> in_words(0.6312, "limit"), in_words(1234.5, "reference")
    ('63.1 %', '1,234x')
    """
    number, unit = (100 * value, " %") if yardstick == LIMIT else (value, "x")
    return (f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}") + unit


def by_how_much(ratio: float | None) -> str:
    """A ratio as a change, "" where there is none.

    Examples
    --------
    >>> by_how_much(0.877), by_how_much(None)
    ('-12.3 %', '')
    """
    return "" if ratio is None else f"{100 * (ratio - 1):+.1f} %"


def since_when(drift: Drift, records: Sequence[Record]) -> str:
    """Between which commits it changed: the last of the old level, the first of the new one.

    Examples
    --------
    >>> runs = [Record({}, [], commit=name) for name in ("a", "b", "c")]
    >>> since_when(Drift("relu", 0, 1, 0.9, ()), runs), since_when(Drift("relu", 0, 2, 0.9, ()), runs)
    ('at b, after a', 'in 2 runs, from b to c, after a')
    """
    before, first, since = (records[k].commit or "unknown" for k in (drift.before, drift.before + 1, drift.since))
    if drift.since == drift.before + 1:
        return f"at {since}, after {before}"
    return f"in {drift.since - drift.before} runs, from {first} to {since}, after {before}"


def verdict(machine: Machine) -> tuple[str, bool]:
    """What the newest run of a machine changed, in words, and whether a figure got slower."""
    place = len(machine.records) - 1
    run = machine.records[place]
    points = [curve.points[-1] for curve in machine.curves if curve.points[-1].place == place]
    found = {kind: sum(point.kind == kind for point in points) for kind in (SLOWER, FASTER)}
    figures = f"{len(points)} figure{'s' * (len(points) != 1)}"
    if any(found.values()):
        words = ", ".join(f"{count} {kind}" for kind, count in found.items() if count) + f" of {figures}"
    elif any(point.ratio is not None for point in points):
        words = f"no change in {figures}"
    else:
        words = f"{figures}, nothing to compare with yet"
    which = f"newest run {run.date[:10] or 'without a date'}, commit {run.commit or 'unknown'}"
    return f"{words}: {which}{', interrupted' * run.interrupted}", found[SLOWER] > 0
