"""Which commit made a figure slower, or faster? Those between two builds, each in turns with the base, halving them."""

import math
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .against import AGAIN, BASE, InTurns, Outcome
from .builds import Build, BuildError
from .record import Figure

# What commits of a repository are: a revision, or None, the working tree.
Revision = str | None
Measure = Callable[[Build, Sequence[Figure]], dict[Figure, list[float]]]


@dataclass
class Named:
    """Where a figure got slower, or faster.

    before : the last commit that was as fast as the base: less than half of what is lost at the end was lost there, by
        logarithms.
    since : the first that had lost more; None is the working tree.
    ratios : by commit that was measured, the base's time over its own.
    skipped : commits between `before` and `since` that could not be built or measured, and why.
    faster : it is gained, not lost.
    """

    figure: Figure
    before: Revision
    since: Revision
    ratios: dict[Revision, list[float]] = field(default_factory=dict)
    skipped: dict[Revision, str] = field(default_factory=dict)
    faster: bool = False


def bisect(
    outcome: Outcome,
    commits: Sequence[Revision],
    build: Callable[[Revision], Build],
    in_turns: InTurns,
    rounds: int = AGAIN,
    measure: Measure | None = None,
) -> list[Named]:
    """Name the commit of each regression; of a suspect that got faster likewise.

    Parameters
    ----------
    outcome : Outcome
        Of `against`.
    commits : sequence of str or None
        All behind the base up to the tree, oldest first; the last is the tree.
    build : callable
        Builds one; BuildError leaves it out.
    in_turns : callable
        As `against` has it.
    rounds : int
        Of each commit that is measured.
    measure : callable, optional
        Measures figures of a build against the base; in turns, if none is given.

    Returns
    -------
    list of Named
        For so many commits about log2 of them are built and measured, for all figures that are open there at once.

    Raises
    ------
    ValueError
        There are no commits.
    """
    if not commits:
        raise ValueError("commits: expected at least one behind the base, got none")
    base, places = outcome.base, [outcome.base.name, *commits]
    halves = {one.figure: math.log(statistics.median(one.again)) / 2 for one in outcome.regressions}
    found = {figure: Named(figure, places[0], places[-1], faster=half > 0) for figure, half in halves.items()}
    ends = {figure: [0, len(commits)] for figure in halves}
    why: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        measure = measure or _measured(base, rounds, Path(folder), in_turns)
        while (place := _next(ends.values(), why)) is not None:
            open_there = [figure for figure, (low, high) in ends.items() if low < place < high]
            try:
                ratios = measure(build(places[place]), open_there)
            except BuildError as error:
                why[place] = str(error)
                continue
            if not all(ratios.get(figure) for figure in open_there):
                why[place] = "not all of the figures could be measured"
                continue
            for figure in open_there:
                found[figure].ratios[places[place]] = ratios[figure]
                changed = math.log(statistics.median(ratios[figure])) / halves[figure] > 1
                ends[figure][1 if changed else 0] = place
    for figure, (low, high) in ends.items():
        named = found[figure]
        named.before, named.since = places[low], places[high]
        named.skipped = {places[k]: words for k, words in why.items() if low < k < high}
    return list(found.values())


def _next(ends: Iterable[list[int]], left_out: dict[int, str]) -> int | None:
    """The place to be measured next: the middle one of what is left of the first figure that is open."""
    for low, high in ends:
        left = [place for place in range(low + 1, high) if place not in left_out]
        if left:
            return min(left, key=lambda place: abs(2 * place - low - high))
    return None


def _measured(base: Build, rounds: int, folder: Path, in_turns: InTurns) -> Measure:
    def measure(build: Build, figures: Sequence[Figure]) -> dict[Figure, list[float]]:
        turns = in_turns(base, build, figures, folder, lambda *_: None)
        turns.run(rounds)
        return {one.figure: one.ratios.get(BASE, []) for one in turns.found}

    return measure
