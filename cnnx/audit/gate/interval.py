"""A speed as a ratio: the median of rounds and an interval that covers it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COVERED = 0.95
DTYPE = "float32"


@dataclass(frozen=True)
class Speed:
    """How many times as fast as the baseline: the median of the rounds and an interval that covers it.

    case : the op's first benchmark case, which was called forward, in `dtype`.
    low, high : order statistics of the rounds that hold the median with 95 % (`rounds` of at least 6).
    of : what was timed, in words; "": calls of cnnx's op.
    """

    case: str
    ratio: float
    low: float
    high: float
    rounds: int
    dtype: str = DTYPE
    of: str = ""

    @classmethod
    def of_rounds(cls, case: str, ratios: Sequence[float], dtype: str = DTYPE, of: str = "") -> "Speed":
        """From the ratio of each round."""
        low, ordered = lowest(len(ratios)), sorted(ratios)
        return cls(case, float(np.median(ordered)), ordered[low], ordered[-1 - low], len(ratios), dtype, of)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {**vars(self), "direction": "forward"}
        if not self.of:
            del found["of"]
        return found


def lowest(rounds: int) -> int:
    """By how many places the interval's ends stand inside the ordered rounds: binomial, for any distribution."""
    low = 0
    while 1 - 2 * sum(math.comb(rounds, i) for i in range(low + 2)) / 2**rounds >= COVERED:
        low += 1
    return low
