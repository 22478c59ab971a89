"""A history over several machines: joined by the commits that both have measured (extra `bench`: scipy).

Runs of other machines are not compared. But what one machine's figures are, beside another's, is known where both have
measured the same commits: the median of their ratios takes one machine's series over to the other's scale. A change
near the seam, of which either machine has a few runs alone, is then a change in one long series.

What joins them has an error, and that looks as a change at the seam does. So a change counts only if it is there
whatever the factor is within three standard errors. Those that a machine shows alone are said there.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from .curves import Curve, Drift, Machine
from .drift import ALARMS, FEWEST, Shift, shifts
from .record import Figure, Record

FEWEST_COMMITS = 3  # that two machines have to share
ERRORS = 3.0  # standard errors of what joins them
NEAR = 3  # runs: changes so near to each other are one

Logs = dict[int, float]  # by place


@dataclass
class Joined:
    """Machines in one series.

    machines : the oldest first.
    records : one for each commit, and for each run without one, in the order in which they were measured first.
    commits : how many the machines share, of the figure that has fewest.
    drifts : of figures, the newest first, which no machine shows alone; places are those of `records`.
    """

    machines: list[Machine]
    records: list[Record] = field(default_factory=list)
    commits: int = 0
    drifts: list[Drift] = field(default_factory=list)


def joined(machines: Sequence[Machine]) -> Joined | None:
    """What the machines show together; None where no figure can be joined.

    The chance of any drift in a history without a change is at most 1 %, beside that of the machines alone.
    """
    found = Joined(sorted(machines, key=lambda machine: machine.records[0].date))
    order = _order(found)
    by_figure: dict[tuple[Figure, str], list[tuple[Machine, Curve]]] = {}
    for machine in found.machines:
        for curve in machine.curves:
            by_figure.setdefault((curve.figure, curve.yardstick), []).append((machine, curve))
    series = []
    for (figure, _), members in by_figure.items():
        parts = [(machine, logs) for machine, curve in members if (logs := _newest(machine, curve, order))]
        if len(parts) > 1 and (several := _series(parts)):
            series.append((figure, several))
    if not series:
        return None
    found.commits = min(several.commits for _, several in series)
    for figure, several in series:
        places = sorted(several.logs)
        known = set(_known(figure, found.machines, order))
        for shift in several.shifts(ALARMS / len(series)):
            before, since = places[shift.before], places[shift.since]
            if not known & set(range(before - NEAR, since + NEAR + 1)):
                found.drifts.append(Drift(str(figure), before, since, shift.ratio, (figure,)))
    found.drifts.sort(key=lambda one: (-one.since, one.name))
    return found


def _order(found: Joined) -> dict[tuple[int, int], int]:
    """The places of all runs, by machine and place there; fills `records`."""
    runs = [
        (record.date, m, place, record)
        for m, one in enumerate(found.machines)
        for place, record in enumerate(one.records)
    ]
    places: dict[str, int] = {}
    order = {}
    for _, m, place, record in sorted(runs, key=lambda run: run[:3]):
        if not _named(record) or record.commit not in places:
            places[record.commit] = len(found.records)
            found.records.append(record)
        order[id(found.machines[m]), place] = places[record.commit]
    return order


def _named(record: Record) -> bool:
    """Whether a commit is all that was measured."""
    return bool(record.commit) and not record.commit.endswith("+")


def _newest(machine: Machine, curve: Curve, order: dict[tuple[int, int], int]) -> Logs:
    """The logarithms of the points that can be compared with the newest one; of a commit's several runs their mean."""
    start = [i for i, point in enumerate(curve.points) if point.ratio is None][-1]
    logs: dict[int, list[float]] = {}
    for point in curve.points[start:]:
        if point.median > 0:
            logs.setdefault(order[id(machine), point.place], []).append(math.log(point.median))
    return {place: statistics.fmean(values) for place, values in logs.items()}


def _known(figure: Figure, machines: Sequence[Machine], order: dict[tuple[int, int], int]) -> Iterator[int]:
    """Places of the drifts that machines show alone."""
    for machine in machines:
        for drift in machine.drifts:
            if figure in drift.figures:
                yield from range(order[id(machine), drift.before], order[id(machine), drift.since] + 1)


@dataclass
class _Several:
    """A figure's series over machines.

    parts : by machine, on its own scale.
    factors : what each is above the first one's, and the standard error of that.
    """

    parts: list[Logs]
    factors: list[tuple[float, float]]
    commits: int

    @property
    def logs(self) -> Logs:
        return self.moved(0.0)

    def moved(self, errors: float) -> Logs:
        """All on the first one's scale, those that were joined by so many standard errors too far."""
        values: dict[int, list[float]] = {}
        for part, (factor, error) in zip(self.parts, self.factors, strict=True):
            for place, log in part.items():
                values.setdefault(place, []).append(log - factor - errors * error)
        return {place: statistics.fmean(several) for place, several in sorted(values.items())}

    def shifts(self, level: float) -> list[Shift]:
        """Those that are there whatever joins the machines."""
        usual, *others = (
            shifts([math.exp(log) for log in self.moved(errors).values()], level) for errors in (0.0, -ERRORS, ERRORS)
        )
        return [one for one in usual if all(any(_same(one, other) for other in found) for found in others)]


def _same(one: Shift, other: Shift) -> bool:
    near = one.before - NEAR <= other.since and other.before <= one.since + NEAR
    return near and (one.ratio < 1) == (other.ratio < 1)


def _series(parts: Sequence[tuple[Machine, Logs]]) -> _Several | None:
    """The series of those machines that can be joined to the first one, or to one that was."""
    (_, first), *rest = parts
    found = _Several([first], [(0.0, 0.0)], len(first))
    for _, part in rest:
        so_far = found.logs
        common = so_far.keys() & part.keys()
        if len(common) >= FEWEST_COMMITS:
            apart = statistics.median(part[place] - so_far[place] for place in common)
            noise = math.hypot(_noise(so_far), _noise(part))
            found.parts.append(part)
            found.factors.append((apart, noise * math.sqrt(math.pi / 2 / len(common))))  # the error of a median
            found.commits = min(found.commits, len(common))
    long_enough = len(found.parts) > 1 and len(found.logs) >= FEWEST
    return found if long_enough else None


def _noise(logs: Logs) -> float:
    """Of one run, from how far neighbours are apart, which a change of level hardly moves."""
    values = [logs[place] for place in sorted(logs)]
    return float(np.median(np.abs(np.diff(values)))) * 1.4826 / math.sqrt(2)
