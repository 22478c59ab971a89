"""Rounds of turns, whatever is measured: processes that are new in every round and never compute at the same time."""

import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import WORKER, Worker, WorkerError
from .record import Figure, Measured

TURNS = 5  # of each side, in a round

Say = Callable[[int, int, Figure], None]  # steps done, of how many, what comes now
Turn = tuple[str, Worker, str]  # yardstick, worker, what it does in its turn


@dataclass(frozen=True)
class Side:
    """What is measured, and by whom.

    worker : its name, as the program takes it.
    environment : of its process, by number of threads.
    must_agree : a result that differs from ours is not timed.
    program : what serves, if not bench's worker.py.
    python : what runs the program, if not this process's.
    """

    worker: str
    environment: Callable[[int], dict[str, str]]
    must_agree: bool = True
    program: Path = WORKER
    python: Path | None = None


class Turns:
    """Measures figures, round by round; what was found so far is in `found` at any time.

    A round has processes of its own. In it each side prepares each figure once, and then they take turns.

    Parameters
    ----------
    figures : sequence of Figure
    sides : mapping of str to Side
        The first is ours; the others' names are the yardsticks' names in what is found.
    say : callable
        Told of each figure before it is measured.

    Raises
    ------
    AbsentError
        A side is not installed.
    """

    def __init__(
        self,
        figures: Sequence[Figure],
        sides: Mapping[str, Side],
        say: Say = lambda done, total, figure: None,
    ) -> None:
        self.sides, self._figures, self._say = dict(sides), figures, say
        self.ours = next(iter(self.sides))
        self._measured: dict[Figure, Measured] = {}
        self.abouts: dict[str, dict[str, str]] = {}  # by side: versions
        self.failed: dict[Figure, str] = {}
        self.event = ""  # what is counted in a turn instead of its seconds

    @property
    def found(self) -> list[Measured]:
        """Of the figures that were measured at least once, in their order."""
        there = (self._measured.get(figure) for figure in self._figures)
        return [each for each in there if each is not None and each.seconds]

    def run(self, count: int) -> None:
        """So many rounds; each has processes of its own for each number of threads."""
        total = count * len(self._figures)
        done = 0
        for number in range(count):
            for threads, figures in itertools.groupby(self._figures, key=lambda figure: figure.threads):
                with ExitStack() as stack:
                    workers = {name: self._worker(name, threads, number, stack) for name in self.sides}
                    self.begin(threads, workers)
                    for figure in figures:
                        self._say(done, total, figure)
                        done += 1
                        if figure in self.failed:
                            continue
                        try:
                            self._round(figure, workers, stack, number)
                        except WorkerError as error:  # the other figures go on, in new processes
                            self.failed[figure] = str(error)
                            workers |= {name: self._worker(name, threads, number, stack) for name in self.sides}

    def _worker(self, name: str, threads: int, number: int, stack: ExitStack) -> Worker:
        side = self.sides[name]
        # Sets and dicts of both sides are in the same order in a round, and in another one in the next.
        environment = {**side.environment(threads), "PYTHONHASHSEED": str(1 + number)}
        worker = stack.enter_context(Worker(side.worker, environment, side.program, side.python))
        self.abouts[name] = worker.about
        return worker

    def _round(self, figure: Figure, workers: dict[str, Worker], stack: ExitStack, number: int) -> None:
        measured = self.measured(figure)
        turns: list[Turn] = []
        longest = 0.0
        for name, worker in workers.items():
            if name in measured.missing:
                continue
            try:
                answer = worker.ask("prepare", **self.question(figure, name))
            except WorkerError as error:
                answer = {"missing": str(error)}
                workers[name] = self._worker(name, figure.threads, number, stack)  # it may have died
            if "missing" not in answer and name != self.ours:
                answer |= self.compared(figure, name)
            if "missing" not in answer:
                turns.append((name, worker, "call"))
                longest = max(longest, answer["seconds"])
            elif name == self.ours:
                self.failed[figure] = answer["missing"]
                return
            else:
                measured.missing[name] = answer["missing"]
        turns += self.more(figure, workers[self.ours])
        if self.event:
            taken = _counts(turns, self.event, reverse=bool(number % 2))
        else:
            taken = _turns(turns, self.count(longest), reverse=bool(number % 2))
        measured.seconds.append(statistics.median(taken[self.ours]))
        for name, seconds in taken.items():
            if name != self.ours:
                ratio = statistics.median(b / a for a, b in zip(taken[self.ours], seconds, strict=True))
                measured.ratios.setdefault(name, []).append(ratio)
        self.end(figure, turns)

    # What those add who know what a figure is.

    def measured(self, figure: Figure) -> Measured:
        """Where a figure's rounds are kept."""
        return self._measured.setdefault(figure, Measured(figure))

    def begin(self, threads: int, workers: Mapping[str, Worker]) -> None:
        """Asked of new processes."""

    def question(self, figure: Figure, name: str) -> dict[str, Any]:
        """What a side is asked to prepare."""
        raise NotImplementedError

    def compared(self, figure: Figure, name: str) -> dict[str, str]:
        """Of a side that has prepared a figure as we have: {"missing": why} if it computes something else."""
        return {}

    def more(self, figure: Figure, ours: Worker) -> list[Turn]:
        """What else takes turns."""
        return []

    def count(self, seconds: float) -> int:
        """How many turns each side has, of calls that take so long."""
        return TURNS

    def end(self, figure: Figure, turns: Sequence[Turn]) -> None:
        """After a figure's turns in a round."""


def _turns(sides: Iterable[Turn], count: int = TURNS, *, reverse: bool) -> dict[str, list[float]]:
    """Seconds of every turn, by yardstick: A B C, A B C, ...; every other round the other way round."""
    order = list(sides)[:: -1 if reverse else 1]
    turns: dict[str, list[float]] = {name: [] for name, _, _ in order}
    for _, worker, _ in order:
        worker.rest()
    for _ in range(count):
        for name, worker, what in order:
            turns[name].append(worker.turn(what))
    return turns


def _counts(sides: Iterable[Turn], event: str, *, reverse: bool) -> dict[str, list[float]]:
    """What each side's call does, counted once; at least 1, so that there are ratios."""
    order = list(sides)[:: -1 if reverse else 1]
    return {name: [max(1.0, worker.ask("tally")[event])] for name, worker, _ in order}
