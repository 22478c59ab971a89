"""Rounds of turns: how every figure is measured, in processes that never compute at the same time."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import reference
from .figures import Call, call_of, same, work
from .limits import LARGEST
from .process import WORKER, Worker, WorkerError
from .record import COPY, LIMIT, MULTIPLY_ADDS, REFERENCE, Figure, Measured

TURNS = 5  # of each side, in a round
REFERENCE_SECONDS = 1.0  # of the reference's calls for a figure, in all rounds together
DIFFERS = "its result differs from ours"
OURS = "cnnx"

Say = Callable[[int, int, Figure], None]  # steps done, of how many, what comes now


@dataclass(frozen=True)
class Side:
    """What is measured beside ours.

    worker : its name, as worker.py takes it.
    environment : of its process, by number of threads.
    must_agree : a result that differs from ours is not timed.
    program : what serves, if not bench's worker.py.
    """

    worker: str
    environment: Callable[[int], dict[str, str]]
    must_agree: bool = True
    program: Path = WORKER


@dataclass
class Prepared:
    """A figure that is ready to be asked for: the call, where its arrays are, what has to be done."""

    call: Call
    arrays: Path
    measured: Measured
    reference: list[float] = field(default_factory=list)


class Rounds:
    """Measures figures, round by round; what was found so far is in `found` at any time.

    Parameters
    ----------
    figures : sequence of Figure
    ours : Side
    others : mapping of str to Side
        Their names are the yardsticks' names in what is found.
    folder : Path
        For arrays; its owner deletes it.
    limits, with_reference : bool
        Whether the machine's limit and the reference are measured too.
    call : callable
        Gives the call that a figure stands for.
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
        ours: Side,
        others: Mapping[str, Side],
        folder: Path,
        *,
        limits: bool = True,
        with_reference: bool = True,
        call: Callable[[Figure], Call] = call_of,
        say: Say = lambda done, total, figure: None,
    ) -> None:
        self._sides = {OURS: ours, **others}
        self._folder = folder
        self._limits, self._with_reference, self._call, self._say = limits, with_reference, call, say
        self._prepared: dict[Figure, Prepared] = {}
        self._drawn: dict[Figure, tuple[Call, Path, tuple[int, int]]] = {}
        self._figures = figures
        self._names = itertools.count()
        self.abouts: dict[str, dict[str, str]] = {}  # by side: versions
        self.limits: dict[str, dict[str, float]] = {}  # by number of threads, per second
        self.failed: dict[Figure, str] = {}

    @property
    def found(self) -> list[Measured]:
        """Of the figures that were measured at least once, in their order."""
        prepared = (self._prepared.get(figure) for figure in self._figures)
        return [each.measured for each in prepared if each is not None and each.measured.seconds]

    def prepare(self) -> None:
        """Draw all arrays now: what a call does not take is an error before anything is measured."""
        for figure in self._figures:
            self._ready(figure)

    def run(self, count: int) -> None:
        """So many rounds; each has processes of its own for each number of threads."""
        total = count * len(self._figures)
        done = 0
        for number in range(count):
            for threads, figures in itertools.groupby(self._figures, key=lambda figure: figure.threads):
                with ExitStack() as stack:
                    workers = {name: self._worker(name, threads, stack) for name in self._sides}
                    if self._limits and str(threads) not in self.limits:
                        self.limits[str(threads)] = _best(workers[OURS])
                    for figure in figures:
                        self._say(done, total, figure)
                        done += 1
                        if figure in self.failed:
                            continue
                        try:
                            self._round(figure, workers, stack, number)
                        except WorkerError as error:  # the other figures go on, in new processes
                            self.failed[figure] = str(error)
                            workers |= {name: self._worker(name, threads, stack) for name in self._sides}

    def _worker(self, name: str, threads: int, stack: ExitStack) -> Worker:
        side = self._sides[name]
        worker = stack.enter_context(Worker(side.worker, side.environment(threads), side.program))
        self.abouts[name] = worker.about
        return worker

    def _round(self, figure: Figure, workers: dict[str, Worker], stack: ExitStack, number: int) -> None:
        prepared = self._ready(figure)
        measured = prepared.measured
        sides: list[tuple[str, Worker, str]] = []  # yardstick, worker, what it does in its turn
        results: dict[str, Path] = {}
        for name, worker in workers.items():
            if name in measured.missing:
                continue
            try:
                answer = worker.ask("prepare", **self._question(prepared, results, name, first=not measured.seconds))
            except WorkerError as error:
                answer = {"missing": str(error)}
                workers[name] = self._worker(name, figure.threads, stack)  # it may have died
            if "missing" not in answer and name != OURS and results:
                answer |= self._compared(results, name, prepared.call.tolerance)
            if "missing" not in answer:
                sides.append((name, worker, "call"))
            elif name == OURS:
                self.failed[figure] = answer["missing"]
                return
            else:
                measured.missing[name] = answer["missing"]
        ours = workers[OURS]
        if self._limits and (measured.multiply_adds or measured.bytes):
            bound = ours.ask("limit", multiply_adds=measured.multiply_adds, bytes=measured.bytes, dtype=figure.dtype)
            measured.bound = measured.bound or bound["bound"]
            sides.append((LIMIT, ours, "limit"))
        turns = _turns(sides, reverse=bool(number % 2))
        measured.seconds.append(statistics.median(turns[OURS]))
        for name, seconds in turns.items():
            if name != OURS:
                ratio = statistics.median(b / a for a, b in zip(turns[OURS], seconds, strict=True))
                measured.ratios.setdefault(name, []).append(ratio)
        if self._with_reference:
            _speed_up(prepared)

    def _ready(self, figure: Figure) -> Prepared:
        if figure not in self._prepared:
            alike = replace(figure, threads=1)  # whatever the number of threads, the arrays are the same
            if alike not in self._drawn:
                self._drawn[alike] = self._draw(alike)
            call, arrays, amounts = self._drawn[alike]
            self._prepared[figure] = Prepared(call, arrays, Measured(figure, *amounts))
        return self._prepared[figure]

    def _draw(self, figure: Figure) -> tuple[Call, Path, tuple[int, int]]:
        """The call, the file of its arrays, and what it has to do."""
        call = self._call(figure)
        arrays = self._folder / f"{next(self._names)}.npz"
        by_name: dict[str, Any] = dict(call.arrays)
        np.savez(arrays, **by_name)
        amounts = work(call) if self._limits else (0, 0)
        # Many large arrays are too much to keep where the sides alone need them, which read the file.
        return call if self._with_reference else replace(call, arrays={}), arrays, amounts

    def _question(self, prepared: Prepared, results: dict[str, Path], name: str, *, first: bool) -> dict[str, Any]:
        """What a worker is asked to prepare; its first result is saved, to be compared."""
        figure = prepared.measured.figure
        if first:
            results[name] = self._folder / f"result of {name}.npz"
        return {
            "op": figure.op,
            "direction": figure.direction,
            "arrays": str(prepared.arrays),
            "options": dict(prepared.call.options),
            "threads": figure.threads,
            "save": str(results[name]) if first else None,
        }

    def _compared(self, results: dict[str, Path], name: str, tolerance: float) -> dict[str, str]:
        if self._sides[name].must_agree and not same(_loaded(results[OURS]), _loaded(results[name]), tolerance):
            return {"missing": f"{DIFFERS} by more than {tolerance:g} of the largest number"}
        return {}


def _best(worker: Worker) -> dict[str, float]:
    """The machine's limits, per second: multiply-adds of float32, and bytes of a copy beyond the caches."""
    found = {}
    for name, amounts in ((MULTIPLY_ADDS, (10**9, 0)), (COPY, (0, LARGEST))):
        worker.ask("limit", multiply_adds=amounts[0], bytes=amounts[1], dtype="float32")
        found[name] = max(amounts) / statistics.median(worker.turn("limit") for _ in range(TURNS))
    return found


def _turns(sides: Iterable[tuple[str, Worker, str]], *, reverse: bool) -> dict[str, list[float]]:
    """Seconds of every turn, by yardstick: A B C, A B C, ...; every other round the other way round."""
    order = list(sides)[:: -1 if reverse else 1]
    turns: dict[str, list[float]] = {name: [] for name, _, _ in order}
    for _, worker, _ in order:
        worker.rest()
    for _ in range(TURNS):
        for name, worker, what in order:
            turns[name].append(worker.turn(what))
    return turns


def _speed_up(prepared: Prepared) -> None:
    """Add this round's speed-up, while the reference's time lasts; an extrapolation is done once more each time."""
    measured = prepared.measured
    if sum(prepared.reference) > REFERENCE_SECONDS:
        return
    start = time.perf_counter()
    seconds, extrapolated = reference.seconds(prepared.call)
    measured.extrapolated |= extrapolated
    prepared.reference.append(time.perf_counter() - start)
    if seconds is not None:
        measured.ratios.setdefault(REFERENCE, []).append(seconds / measured.seconds[-1])


def _loaded(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files]
