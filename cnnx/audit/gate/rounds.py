"""Rounds of a timing whose results are judged: their ratios, or what was wrong with what was timed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ... import backend as _backend
from ... import native as _native
from ..report.result import Result
from ..speed import on_one_thread
from ..trial import Trial


def judged_rounds(
    trial: Trial, task: str, backends: tuple[str, ...], count: int, one: Callable[[bool], float], **changes: Any
) -> list[float] | Result | str:
    """So many ratios, after one round that warms up.

    task, changes : what findings are said to be of; other fields of theirs.
    backends : they compute on one thread.
    one : a round, told whether the sides are swapped.
    """
    ratios: list[float] = []
    with _native.denormals(), on_one_thread(*backends):
        try:
            ratios = [one(bool(number % 2)) for number in range(-1, count)][1:]
        except _backend.MissingKernelError as error:
            return str(error)
        except Exception as error:
            trial.raised(trial.sides.backend, error)
    trial.result.check = task
    trial.result.discrepancies[:] = [replace(found, check=task, **changes) for found in trial.result.discrepancies]
    if trial.result.failing:
        return trial.result
    if not trial.result.elements:
        return "no element of what was timed could be judged"
    return ratios
