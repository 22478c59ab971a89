"""One benchmark of a file as a figure, and all of them beside one."""

import datetime
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..record import SECONDS, Figure, Measured, RecordError

BLOCKS = 10  # what one benchmark's timings are worth: timings next to each other share their luck

TOO_FAST = "a timing of 0: the clock is too coarse for it"


@dataclass(frozen=True)
class Timed:
    """A figure, and by which names a baseline may be asked for, the whole one first."""

    measured: Measured
    names: tuple[str, ...]


def benchmark(name: str, case: str, rounds: Sequence[float], why: str = "", work: str = "") -> Timed:
    """A benchmark of another project: seconds by round, or why there are none."""
    seconds = [float(second) for second in rounds]
    missing = {SECONDS: why or "it has no timings"} if not seconds else {}
    if 0 in seconds:
        seconds, missing = [], {SECONDS: TOO_FAST}
    figure = Figure(name, case, "", 0, "")
    return Timed(Measured(figure, seconds=seconds, missing=missing, work=work), (str(figure), name))


def blocks(timings: Sequence[float]) -> list[float]:
    """The medians of consecutive blocks of timings."""
    if not len(timings):
        return []
    return [statistics.median(block.tolist()) for block in np.array_split(timings, min(BLOCKS, len(timings)))]


def beside(timed: Sequence[Timed], name: str) -> list[Timed]:
    """All but the one of this name, each with its ratios to that one, round by round, as many as both have.

    One number for the baseline, as its median, would shift all ratios of a run together, and no test could tell that
    from a change.
    """
    yardstick = _find(timed, name)
    rounds = yardstick.measured.seconds
    if not rounds:
        why = yardstick.measured.missing[SECONDS]
        wanted = "timings above 0" if why == TOO_FAST else "timings"
        raise RecordError(f"baseline: expected {wanted}, got {name!r} with {why}")
    others = [each for each in timed if each is not yardstick]
    for each in others:
        if each.measured.seconds:
            each.measured.ratios[name] = [b / own for b, own in zip(rounds, each.measured.seconds, strict=False)]
    return others


def _find(timed: Sequence[Timed], name: str) -> Timed:
    found = [each for each in timed if name == each.names[0]]
    found = found or [each for each in timed if name in each.names]
    if len(found) != 1:
        wanted = "the full name of one" if found else "a benchmark"
        names = ", ".join(each.names[0] for each in found or timed)
        raise RecordError(f"baseline: expected {wanted} of {names}, got {name!r}")
    return found[0]


def utc(milliseconds: float) -> str:
    """A moment as records have it.

    Examples
    --------
    >>> utc(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat(timespec="seconds")


def known(facts: dict[str, object]) -> dict[str, str]:
    """A fingerprint of what is said."""
    return {name: str(fact) for name, fact in facts.items() if fact not in (None, "", 0)}
