"""How a figure is measured: a process for each framework, turn by turn, never two at once."""

import math
import os
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cnnx.bench import process
from cnnx.bench.process import FOREIGN, KEEP_MEMORY, LIMITED

from .figures import Figure

TURN = 0.01  # seconds of calls that a turn should have at least
FEWEST_TURNS, MOST_TURNS = 5, 400
PATIENCE = 10  # times the seconds of a figure, after which even the fewest turns are given up


def environment(framework: str, threads: int, isa: str | None = None, *, keep_memory: bool = True) -> dict[str, str]:
    """What a worker sees of the environment, beside what is everybody's."""
    chosen = {"OMP_NUM_THREADS": str(threads), **(KEEP_MEMORY if keep_memory else {})}
    if framework in ("cnnx", "limits"):
        return chosen | {"CNNX_NUM_THREADS": str(threads)} | ({"CNNX_ISA": isa} if isa else {})
    return chosen | LIMITED.get(isa or "", {})


def inherited(chosen: dict[str, str]) -> dict[str, str]:
    """The whole environment of a process that can import what stands here."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | chosen | {"PYTHONPATH": path}


class Worker(process.Worker):
    """The parent's side of a framework's process."""

    def __init__(self, framework: str, chosen: dict[str, str]) -> None:
        super().__init__(framework, inherited(chosen), [sys.executable, "-P", "-m", "peers.worker", framework])

    def turns(self, calls: int) -> float:
        """Seconds of a call, by `calls` of them; returns when the process has come to rest."""
        seconds: float = self.ask("turn", calls=calls)["seconds"]
        self.rest()
        return seconds


@dataclass
class Measured:
    """Seconds per call of every turn, by framework; why a framework has none; how far the results are apart."""

    figure: Figure
    threads: int
    turns: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    apart: dict[str, float] = field(default_factory=dict)

    def median(self, framework: str) -> float | None:
        turns = self.turns.get(framework)
        return statistics.median(turns) if turns else None

    def ratio(self, peer: str) -> float | None:
        """The peer's median over cnnx's: above 1, cnnx is faster."""
        ours, theirs = self.median("cnnx"), self.median(peer)
        return theirs / ours if ours and theirs else None

    def at_best(self, peer: str) -> float | None:
        """The same of the shortest turns, which no neighbour has disturbed."""
        ours, theirs = self.turns.get("cnnx"), self.turns.get(peer)
        return min(theirs) / min(ours) if ours and theirs else None

    def spread(self, peer: str) -> tuple[float, float] | None:
        """The quartiles of the ratios of neighbouring turns."""
        ours, theirs = self.turns.get("cnnx", []), self.turns.get(peer, [])
        ratios = [b / a for a, b in zip(ours, theirs, strict=False)]
        if len(ratios) < 2:
            return (ratios[0], ratios[0]) if ratios else None
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return low, high

    def agrees(self, peer: str) -> bool:
        """Whether the results are equal within the figure's tolerance; nothing is compared with the limits."""
        return peer not in self.apart or self.apart[peer] <= self.figure.tolerance


def measure(
    figure: Figure, threads: int, workers: dict[str, Worker], folder: Path, seconds: float, measured: Measured
) -> None:
    """Fill `measured`, also if it is interrupted. `workers` has "cnnx" first, then the peers."""
    lengths, saved = {}, {}
    for name, worker in workers.items():
        saved[name] = folder / f"{name}.npz"
        saved[name].unlink(missing_ok=True)
        answer = worker.ask("prepare", figure=figure.key, save=str(saved[name]))
        if "missing" in answer:
            measured.missing[name] = answer["missing"]
        else:
            lengths[name] = answer["seconds"]
    if "cnnx" in lengths:
        for name in lengths:
            if name not in ("cnnx", "limits"):
                measured.apart[name] = difference(saved["cnnx"], saved[name])
    turns = {name: worker for name, worker in workers.items() if name in lengths}
    alternate(turns, lengths, seconds, measured.turns, measured.calls)


def alternate(
    workers: dict[str, Worker],
    lengths: dict[str, float],
    seconds: float,
    turns: dict[str, list[float]],
    calls: dict[str, int],
) -> None:
    """Turns of each worker, one after the other, for about `seconds`."""
    calls |= {name: max(1, math.ceil(TURN / lengths[name])) for name in workers}
    for name, worker in workers.items():
        turns[name] = []
        worker.rest()
    start = time.monotonic()
    for rounds in range(MOST_TURNS):
        passed = time.monotonic() - start
        if rounds and passed > (seconds if rounds >= FEWEST_TURNS else PATIENCE * seconds):
            break
        for name, worker in workers.items():
            turns[name].append(worker.turns(calls[name]))


def difference(ours: Path, theirs: Path) -> float:
    """The largest difference of two results, as a share of the largest number; infinite for other shapes or NaN."""
    with np.load(ours) as a, np.load(theirs) as b:
        if len(a.files) != len(b.files):
            return math.inf
        return max((_apart(a[name], b[name]) for name in a.files), default=math.inf)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        return math.inf
    largest = float(np.max(np.abs(b), initial=0.0))
    apart = float(np.max(np.abs(a - b), initial=0.0))
    if not math.isfinite(largest) or not math.isfinite(apart):
        return math.inf
    return apart / largest if largest else (0.0 if apart == 0 else math.inf)


def limits(worker: Worker, seconds: float) -> dict[str, list[float]]:
    """What the processor can do, in every turn: multiply-adds, and bytes read and written by a copy, per second."""
    found = {}
    work = {"multiply_adds": 10**9, "copy": 2 * worker.about["copied"]}
    for name, numbers in (("multiply_adds", {"count": work["multiply_adds"]}), ("copy", {})):
        length = worker.ask("limit", name=name, **numbers)["seconds"]
        turns: dict[str, list[float]] = {}
        alternate({"limits": worker}, {"limits": length}, seconds, turns, {})
        found[name] = [work[name] / turn for turn in turns["limits"]]
    return found


def geometric_mean(ratios: Iterable[float]) -> float:
    """Of numbers above 0."""
    return statistics.geometric_mean(ratios)
