"""Runs of networks with several seeds: what all experiments share."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

import cnnx

from .. import nn
from ..data import Split
from ._report import percent, table

Say = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """One run that is to be made.

    Attributes
    ----------
    name : str
        The network's: runs of one name belong together.
    seed : int
    build : callable
        A seed for the weights -> the network.
    optimizer : callable
        Makes the optimiser.
    fit : dict
        What else `cnnx.nn.fit` takes.
    """

    name: str
    seed: int
    build: Callable[[np.random.SeedSequence], nn.Sequential]
    optimizer: Callable[[], nn.Optimizer]
    fit: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run that was made to its end."""

    name: str
    seed: int
    seconds: float
    model: nn.Sequential
    history: nn.History

    @property
    def accuracy(self) -> float:
        """On the test images, at the end."""
        reached = self.history.epochs[-1].validation_accuracy
        assert reached is not None, "classes are told apart, and no run was interrupted"
        return reached

    @property
    def parameters(self) -> int:
        return sum(w.size for w in self.model.parameters.values())

    def as_dict(self) -> dict[str, Any]:
        epochs = [asdict(epoch) for epoch in self.history.epochs]
        kept = {name: getattr(self, name) for name in ("seed", "parameters", "seconds")}
        return {**kept, "test_accuracy": self.accuracy, "epochs": epochs}


@dataclass
class Runs:
    """Runs by the names of their networks, in the order in which they were made."""

    done: dict[str, list[Run]] = field(default_factory=dict)
    interrupted: bool = False

    def make(self, plans: Iterable[Plan], split: Split, say: Say, progress: bool | None) -> None:
        """Train one network after the other; Ctrl-C ends this, and is raised again where no run has been finished."""
        try:
            for plan in plans:
                run = _run(plan, split, progress)
                self.done.setdefault(plan.name, []).append(run)
                say(f"{run.name:<12} seed {run.seed:<4} test accuracy {percent(run.accuracy)}  {run.seconds:7.1f} s")
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    @property
    def histories(self) -> dict[str, list[nn.History]]:
        return {name: [run.history for run in runs] for name, runs in self.done.items()}

    def results(self) -> dict[str, Any]:
        """Of each network: its runs, and what they reached together."""
        found = {}
        for name, runs in self.done.items():
            reached = [run.accuracy for run in runs]
            found[name] = {
                "parameters": runs[0].parameters,
                "mean": statistics.fmean(reached),
                "standard_deviation": statistics.stdev(reached) if len(reached) > 1 else None,
                "lowest": min(reached),
                "highest": max(reached),
                "runs": [run.as_dict() for run in runs],
            }
        return found

    def table(self) -> str:
        """The results in Markdown."""
        head = ("network", "parameters", "runs", "mean", "standard deviation", "lowest", "highest", "seconds per run")
        figures = ("mean", "standard_deviation", "lowest", "highest")
        rows = [
            (
                name,
                f"{found['parameters']:,}",
                len(found["runs"]),
                *(percent(found[figure]) for figure in figures),
                f"{statistics.fmean(run['seconds'] for run in found['runs']):.1f}",
            )
            for name, found in self.results().items()
        ]
        return table(head, rows)


def _run(plan: Plan, split: Split, progress: bool | None) -> Run:
    weights, order = np.random.SeedSequence(plan.seed).spawn(2)  # as `cnnx train` draws them
    start = time.perf_counter()
    model = plan.build(weights)
    try:
        history = nn.fit(
            model,
            nn.CrossEntropy(),
            plan.optimizer(),
            split.x_train,
            split.y_train,
            validation=(split.x_test, split.y_test),
            seed=order,
            progress=progress,
            **plan.fit,
        )
    except FloatingPointError as error:
        raise FloatingPointError(f"{plan.name}, seed {plan.seed}: {error}") from error
    if history.interrupted:  # by the first Ctrl-C, after which `fit` returns; the second raises this itself
        raise KeyboardInterrupt
    return Run(plan.name, plan.seed, time.perf_counter() - start, model, history)


def common_settings(split: Split, **settings: Any) -> dict[str, Any]:
    """What every report says of its runs."""
    return {
        "cnnx": cnnx.__version__,
        "back_end": cnnx.get_backend(),
        "threads": cnnx.get_num_threads(),
        "training_images": len(split.x_train),
        "test_images": len(split.x_test),
        "dtype": split.x_train.dtype.name,
        **settings,
    }
