"""How cnnx's figures are measured: beside the machine's limit, the reference, other libraries or another build."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import reference
from .figures import Call, call_of, same, work
from .limits import LARGEST
from .process import Worker
from .record import COPY, LIMIT, MULTIPLY_ADDS, REFERENCE, Figure, Measured
from .turns import TURNS, Say, Turn, Turns
from .turns import Side as Side

REFERENCE_SECONDS = 1.0  # of the reference's calls for a figure, in all rounds together
DIFFERS = "its result differs from ours"
OURS = "cnnx"


@dataclass
class Prepared:
    """A figure that is ready to be asked for: the call, where its arrays are, what has to be done."""

    call: Call
    arrays: Path
    measured: Measured
    reference: list[float] = field(default_factory=list)


class Rounds(Turns):
    """Measures figures of cnnx, round by round; what was found so far is in `found` at any time.

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
        super().__init__(figures, {OURS: ours, **others}, say)
        self._folder = folder
        self._limits, self._with_reference, self._call = limits, with_reference, call
        self._prepared: dict[Figure, Prepared] = {}
        self._drawn: dict[Figure, tuple[Call, Path, tuple[int, int]]] = {}
        self._names = itertools.count()
        self.limits: dict[str, dict[str, float]] = {}  # by number of threads, per second

    def prepare(self) -> None:
        """Draw all arrays now: what a call does not take is an error before anything is measured."""
        for figure in self._figures:
            self._ready(figure)

    def begin(self, threads: int, workers: Mapping[str, Worker]) -> None:
        if self._limits and str(threads) not in self.limits:
            self.limits[str(threads)] = _best(workers[OURS])

    def measured(self, figure: Figure) -> Measured:
        return self._ready(figure).measured

    def question(self, figure: Figure, name: str) -> dict[str, Any]:
        """A worker's first result is saved, to be compared."""
        prepared = self._ready(figure)
        return {
            "op": figure.op,
            "direction": figure.direction,
            "arrays": str(prepared.arrays),
            "options": dict(prepared.call.options),
            "threads": figure.threads,
            "save": None if prepared.measured.seconds else str(self._result(name)),
        }

    def compared(self, figure: Figure, name: str) -> dict[str, str]:
        prepared = self._ready(figure)
        if prepared.measured.seconds or not self.sides[name].must_agree:
            return {}
        tolerance = prepared.call.tolerance
        if same(_loaded(self._result(OURS)), _loaded(self._result(name)), tolerance):
            return {}
        return {"missing": f"{DIFFERS} by more than {tolerance:g} of the largest number"}

    def more(self, figure: Figure, ours: Worker) -> list[Turn]:
        measured = self.measured(figure)
        if not self._limits or not (measured.multiply_adds or measured.bytes):
            return []
        bound = ours.ask("limit", multiply_adds=measured.multiply_adds, bytes=measured.bytes, dtype=figure.dtype)
        measured.bound = measured.bound or bound["bound"]
        return [(LIMIT, ours, "limit")]

    def end(self, figure: Figure, turns: Sequence[Turn]) -> None:
        if self._with_reference:
            _speed_up(self._ready(figure))

    def _result(self, name: str) -> Path:
        return self._folder / f"result of {name}.npz"

    def _ready(self, figure: Figure) -> Prepared:
        if figure not in self._prepared:
            alike = replace(figure, threads=1)  # whatever the number of threads, the arrays are the same
            if alike not in self._drawn:
                self._drawn[alike] = self._draw(alike)
            call, arrays, amounts = self._drawn[alike]
            measured = self._measured[figure] = Measured(figure, *amounts)
            self._prepared[figure] = Prepared(call, arrays, measured)
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


def _best(worker: Worker) -> dict[str, float]:
    """The machine's limits, per second: multiply-adds of float32, and bytes of a copy beyond the caches."""
    found = {}
    for name, amounts in ((MULTIPLY_ADDS, (10**9, 0)), (COPY, (0, LARGEST))):
        worker.ask("limit", multiply_adds=amounts[0], bytes=amounts[1], dtype="float32")
        found[name] = max(amounts) / statistics.median(worker.turn("limit") for _ in range(TURNS))
    return found


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
