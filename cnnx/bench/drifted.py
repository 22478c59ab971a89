"""Which commit does a history's drift come from? Its two ends are built and measured again, then those between."""

import math
import re
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .against import AGAIN, BASE, InTurns, Outcome, Suspect
from .bisect import Named, Revision, bisect
from .builds import Build
from .curves import Machine, by_how_much
from .record import Figure

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass
class Stretch:
    """Two commits between which figures changed for good, and what was found there.

    ratios : by figure, of the new level to the old one, as the history has it.
    named : the commit of each figure that changes between the two builds, too.
    notes : figures of which none is named, and why.
    """

    before: str
    since: str
    ratios: dict[Figure, float] = field(default_factory=dict)
    named: list[Named] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stretches(machine: Machine) -> Iterator[Stretch]:
    """The drifts of a machine by the commits that they lie between, the newest first.

    One whose ends are no commits, as a tree with changes is none, has a note and no figures.
    """
    found: dict[tuple[str, str], Stretch] = {}
    for one in machine.drifts:
        before, since = (machine.records[place].commit for place in (one.before, one.since))
        stretch = found.setdefault((before, since), Stretch(before, since))
        if not all(_COMMIT.fullmatch(end) for end in (before, since)) or before == since:
            ends = f"{before or 'unknown'} to {since or 'unknown'}"
            stretch.notes.append(f"{one.name}: expected two commits to search between, got {ends}")
            continue
        for figure in one.figures:
            stretch.ratios.setdefault(figure, one.ratio)
    yield from found.values()


def search(
    stretch: Stretch,
    commits: Sequence[Revision],
    build: Callable[[Revision], Build],
    in_turns: InTurns,
    rounds: int = AGAIN,
) -> None:
    """Name the commit of each figure of a stretch.

    Parameters
    ----------
    stretch : Stretch
        Gets what was found.
    commits : sequence of str
        Those behind `stretch.before` up to `stretch.since`, oldest first.
    build : callable
        Builds one.
    in_turns : callable
        As `against` has it.
    rounds : int
        Of each build that is measured.

    Raises
    ------
    BuildError
        One of the two ends cannot be built.
    ValueError
        There are no commits.
    """
    base, tree = build(stretch.before), build(stretch.since)
    with tempfile.TemporaryDirectory() as folder:
        turns = in_turns(base, tree, list(stretch.ratios), Path(folder), lambda *_: None)
        turns.run(rounds)
    outcome = Outcome(base, tree)
    measured = {one.figure: one.ratios.get(BASE, []) for one in turns.found}
    for figure, ratio in stretch.ratios.items():
        now = measured.get(figure, [])
        if not now:
            why = turns.failed.get(figure, "one of the two builds cannot compute it")
            stretch.notes.append(f"{figure}: could not be measured: {why}")
        elif math.log(statistics.median(now)) / math.log(ratio) < 0.5:
            told, seen = by_how_much(ratio), by_how_much(statistics.median(now))
            stretch.notes.append(
                f"{figure}: {told} in the history, {seen} between the two builds now: what changed was no commit"
            )
        else:
            outcome.suspects.append(Suspect(figure, now, now, regression=True))
    stretch.named += bisect(outcome, commits, build, in_turns, rounds)
