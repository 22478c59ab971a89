"""Schedules: the factor on the learning rate, as a function of how many updates were done."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .. import _check
from ._arguments import not_negative, number

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class StepSchedule:
    """factor^floor(updates / every): the learning rate falls in steps.

    Parameters
    ----------
    every : int
        How many updates a step lasts.
    factor : float
        From above 0 to 1.

    Examples
    --------
    >>> from cnnx.nn import StepSchedule
    >>> halve = StepSchedule(every=100, factor=0.5)
    >>> [halve(updates) for updates in (0, 99, 100, 250)]
    [1.0, 1.0, 0.5, 0.25]
    """

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check.integer("every", self.every, 1)
        number("factor", self.factor, "a number from above 0 to 1", lambda v: 0 < v <= 1)

    def __call__(self, updates: int) -> float:
        return float(self.factor ** (updates // self.every))


@dataclass(frozen=True)
class CosineSchedule:
    """last + (1 - last) (1 + cos(pi updates / total)) / 2: from 1 down to `last`, which then stays.

    Parameters
    ----------
    total : int
        How many updates the fall takes.
    last : float
        From 0 to 1.

    Examples
    --------
    >>> from cnnx.nn import CosineSchedule
    >>> fall = CosineSchedule(total=100)
    >>> [round(fall(updates), 3) for updates in (0, 25, 50, 100, 1000)]
    [1.0, 0.854, 0.5, 0.0, 0.0]
    """

    total: int
    last: float = 0.0

    def __post_init__(self) -> None:
        _check.integer("total", self.total, 1)
        if not_negative("last", self.last) > 1:
            raise ValueError(f"last: expected a number from 0 to 1, got {self.last}")

    def __call__(self, updates: int) -> float:
        share = min(updates, self.total) / self.total
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * share)) / 2
