"""Which settings met, two by two: what steers a search, and what it says of its gaps."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations

from ...ops import Op
from ..report.axes import settings_of
from ..report.result import Searched

Pair = tuple[tuple[str, str], tuple[str, str]]
PREFIX = "ledger, "  # of the settings that the ledger has too


class Corners:
    """The pairs of settings that cases of an op had; those of its fixed cases from the start.

    axes : by setting, the values that it can have, completed by who draws.
    used : how many cases had a large extent along an axis.
    """

    def __init__(self, op: Op, dtypes: Iterable[str]):
        self.axes: dict[str, tuple[str, ...]] = {}
        self.used: Counter[tuple[str, int]] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._met: set[Pair] = set()
        self._cases = 0
        for case in op.cases:
            own = {f"{PREFIX}{axis}": value for axis, value in settings_of(op, case).items()}
            for dtype in dtypes:
                self._met |= _pairs({**own, "dtype": dtype})

    def unmet(self, settings: Mapping[str, str]) -> int:
        """How many pairs of these settings are new."""
        return len(_pairs(settings) - self._met)

    def add(self, settings: Mapping[str, str], extents: Mapping[str, int]) -> None:
        """Note what a case has, and its large extents."""
        self.used.update(extents.items())
        self._met |= _pairs(settings)
        self._cases += 1
        self._counts.update(settings.items())

    def summary(self) -> Searched:
        """What was drawn so far."""
        axes = {axis: {value: self._counts[axis, value] for value in values} for axis, values in self.axes.items()}
        apart: dict[tuple[str, str], list[tuple[str, str]]] = {}
        met = possible = 0
        for a, b in combinations(sorted(axes), 2):
            for v in axes[a]:
                for w in axes[b]:
                    possible += 1
                    if ((a, v), (b, w)) in self._met:
                        met += 1
                    elif axes[a][v] and axes[b][w]:
                        apart.setdefault((a, b), []).append((v, w))
        return Searched(self._cases, axes, (met, possible), apart)


def _pairs(settings: Mapping[str, str]) -> set[Pair]:
    return set(combinations(sorted(settings.items()), 2))
