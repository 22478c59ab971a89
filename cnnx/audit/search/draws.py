"""A case in the making: what was chosen, setting by setting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ops import Case
from . import sizes

# How many axes of sizes are large in a case: none, one, two, three; and how often.
HOW_MANY = (0.1, 0.45, 0.35, 0.1)
TOGETHER = 140  # the largest of several large extents
CANDIDATES = 16  # for a large extent


@dataclass(frozen=True)
class Limits:
    """How large cases may be.

    numbers : of an array. sums : terms of one sum. products : multiply-adds of a call.
    """

    numbers: int
    sums: int
    products: int


# Of a search that was asked for; and of the share in each audit, which a kernel in plain Python has to bear too.
WIDE = Limits(2**17, 2**12, 2**26)
NARROW = Limits(2**13, 2**10, 2**18)


@dataclass(frozen=True)
class Drawn:
    """A case and its settings: by axis the value that it has; and the extents that were to be large."""

    case: Case
    settings: Mapping[str, str]
    extents: Mapping[str, int]


class TooLargeError(Exception):
    """What was drawn would take too long; another draw may not."""


@dataclass
class Draws:
    """Draws for one case.

    axes : by setting the values that it can have, noted across all cases.
    used : how often a large extent was had along an axis: the least used ones come first.
    """

    rng: np.random.Generator
    limits: Limits
    axes: dict[str, tuple[str, ...]]
    used: Mapping[tuple[str, int], int]
    large: Collection[str] = ()
    settings: dict[str, str] = field(default_factory=dict)
    extents: dict[str, int] = field(default_factory=dict)

    def choose_large(self, names: Sequence[str]) -> None:
        """Which of these axes are to be large."""
        count = min(int(self.rng.choice(len(HOW_MANY), p=HOW_MANY)), len(names))
        self.large = {names[int(i)] for i in self.rng.permutation(len(names))[:count]}

    def size(self, axis: str, most: int = 200) -> int:
        """An extent along an axis: large if it is this axis's turn."""
        if axis in self.large:
            found = self.large_size(axis, most if len(self.large) == 1 else min(most, TOGETHER))
        else:
            found = min(sizes.small(self.rng), most)
        self.note(axis, sizes.range_of(found), sizes.ranges(1, most))
        return found

    def large_size(self, axis: str, most: int) -> int:
        """A large extent, of some the one that this axis had least often."""
        several = [sizes.large(self.rng, most) for _ in range(CANDIDATES)]
        found = min(several, key=lambda n: self.used.get((axis, n), 0))
        self.extents[axis] = found
        return found

    def of(self, axis: str, values: Sequence[Any]) -> Any:
        """One of some values; one that is there twice comes twice as often."""
        value = values[int(self.rng.integers(len(values)))]
        self.note(axis, str(value), () if axis in self.axes else tuple(dict.fromkeys(map(str, values))))
        return value

    def below(self, end: int) -> int:
        """An integer from 0 to below `end`, which is no setting."""
        return int(self.rng.integers(end))

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def note(self, axis: str, value: str, values: Sequence[str]) -> None:
        """Note a setting and all values that its axis can have."""
        self.settings[axis] = value
        if axis not in self.axes:
            self.axes[axis] = tuple(values)
        elif value not in self.axes[axis]:
            self.axes[axis] += (value,)

    def within(self, *, numbers: Sequence[int], sums: Sequence[int] = (), products: int = 0) -> None:
        """Raise where an array, a sum or the whole is too large."""
        limits = self.limits
        if max(numbers) > limits.numbers or max(sums, default=0) > limits.sums or products > limits.products:
            raise TooLargeError
