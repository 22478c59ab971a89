"""Where a series of runs changed its level for good, at once or in small steps (extra `bench`: scipy).

`compare` holds a run against the one before it: five steps of 2 % are five times within the noise. Here the whole
series is asked for the place where what comes before ranks differently from what comes behind: Mann-Whitney's
statistic at every place at once. The chance that the largest of them is as large in a series without a change is
counted on random orders of as many runs. Ranks, so that an outlier is one run among others, and no distribution is
assumed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._check import Array
from .statistic import LEVEL, ranks

ALARMS = LEVEL / 2  # of histories without a change: half of what is promised, since it is counted on random orders
FEWEST = 8  # runs: with fewer no place is beyond chance at 1 %
LEAST = 0.01  # what is smaller is no change that anybody looks for: machines drift, too
_LONGEST = 40  # runs that a change may take
_BATCH = 1000  # random orders at once
_RAMP = 3.0  # noises: how much better a change in steps has to fit than one at once
_FAR = 4.0  # noises: what is farther off counts as that far


@dataclass(frozen=True)
class Shift:
    """A level that changed for good.

    before : place of the last value at the old level.
    since : place of the first at the new one; before + 1 where it changed at once.
    ratio : of the new level to the old one.
    p : the chance of such a place in a series without a change.
    """

    before: int
    since: int
    ratio: float
    p: float


def shifts(values: Sequence[float], level: float = ALARMS) -> list[Shift]:
    """Where a series changed its level, in order.

    Parameters
    ----------
    values : sequence of float
        One of each run, oldest first; positive. More or less is a ratio: 0.9 to 1 is as far as 1.8 to 2.
    level : float
        The chance that a series is marked in which nothing changed, whatever the distribution of its noise, as long as
        all orders of its runs are equally likely. A disturbance that lasts several runs looks as a change does.

    Returns
    -------
    list of Shift
        Changes of less than 1 % are left out.

    Raises
    ------
    ValueError
        A value is not positive and finite; a level that is not between 0 and 1.

    Examples
    --------
    >>> noise = [1.0, 1.01, 0.99, 1.005, 0.995] * 4
    >>> [(one.before, one.since, round(one.ratio, 2)) for one in shifts([*noise, *(0.9 * v for v in noise)])]
    [(19, 20, 0.9)]
    >>> shifts(noise)
    []
    """
    if not all(0 < value < math.inf for value in values):
        raise ValueError(f"values: expected numbers that are positive and finite, got {list(values)[:8]}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a chance between 0 and 1, got {level}")
    logs = np.log(np.asarray(values, float))
    found = sorted(_split(logs, 0, len(logs), level))
    kept = []
    for i, (first, last, p) in enumerate(found):  # each once more, between its neighbours
        low, high = found[i - 1][1] if i else 0, found[i + 1][0] if i + 1 < len(found) else len(logs)
        part = logs[low:high]
        first, last = (low + place for place in _fit(part, first - low))
        change = float(np.median(logs[last:high]) - np.median(logs[low:first]))
        if abs(change) >= math.log1p(LEAST):
            kept.append(Shift(first - 1, last, math.exp(change), p))
    return kept


def _split(logs: Array, low: int, high: int, level: float) -> Iterator[tuple[int, int, float]]:
    """The first run that is no more at the old level, the first at the new one, and the p-value, of each change."""
    if high - low < FEWEST:
        return
    place, p = scan(logs[low:high], level)
    if p > level:
        return
    first, last = (low + k for k in _fit(logs[low:high], place))
    yield first, last, p
    yield from _split(logs, low, first, level)
    yield from _split(logs, last, high, level)


def scan(values: Sequence[float] | Array, level: float = ALARMS) -> tuple[int, float]:
    """The place before which values rank most differently from those behind it, and the chance of such a one.

    Examples
    --------
    >>> place, p = scan([1, 2, 1.5, 1.2, 1.8, 5, 6, 5.5, 5.2, 5.8])
    >>> place, p < 0.01
    (5, True)
    """
    n = len(values)
    sums = np.abs((ranks(values) - (n + 1) / 2).cumsum()[:-1]) / _scales(n)
    place, least = int(sums.argmax()), sums.max() * (1 - 1e-12)
    chance = _by_chance(n, _orders(level))
    return 1 + place, float(1 + len(chance) - np.searchsorted(chance, least)) / (1 + len(chance))


def _scales(n: int) -> Array:
    """The standard deviation of the sum of the first k of n ranks, for each k."""
    k = np.arange(1, n)
    found: Array = np.sqrt(k * (n - k) * (n + 1) / 12)
    return found


def _orders(level: float) -> int:
    """How many random orders tell such a level: the smallest p-value is half of it."""
    return 2000 * max(1, math.ceil(2 / (2000 * level)))


@lru_cache(64)
def _by_chance(n: int, orders: int) -> Array:
    """The largest standardised sum of each of so many random orders of n ranks, sorted. The same on every call."""
    rng = np.random.default_rng(n)
    centred = np.arange(1, n + 1) - (n + 1) / 2
    found = []
    for start in range(0, orders, _BATCH):
        some = rng.permuted(np.broadcast_to(centred, (min(_BATCH, orders - start), n)), axis=1)
        found.append((np.abs(some.cumsum(axis=1)[:, :-1]) / _scales(n)).max(axis=1))
    return np.sort(np.concatenate(found))


def _fit(logs: Array, place: int) -> tuple[int, int]:
    """A change near `place` by least absolute differences: at once, (k, k); or evenly in steps, the values first to
    last - 1 between the two levels."""
    n = len(logs)
    room = min(FEWEST, (place + 1) // 2, (n - place + 1) // 2)  # what lies so near may be between the levels
    old, new = np.median(logs[: place - room + 1]), np.median(logs[place + room - 1 :])
    apart = np.concatenate([logs[:place] - np.median(logs[:place]), logs[place:] - np.median(logs[place:])])
    noise = float(np.median(np.abs(apart))) * 1.4826 or 1e-12
    before, behind = (
        np.concatenate([[0.0], np.cumsum(np.minimum(np.abs(logs - value), _FAR * noise))]) for value in (old, new)
    )
    behind = behind[-1] - behind
    best = (before[place] + behind[place], place, place)
    for first in range(max(1, place - _LONGEST), min(n, place + _LONGEST)):
        for last in range(first, min(n, first + _LONGEST)):
            if last > first and not first <= place <= last:
                continue
            steps = old + (new - old) * np.arange(1, last - first + 1) / (last - first + 1)
            between = np.minimum(np.abs(logs[first:last] - steps), _FAR * noise).sum()
            cost = before[first] + between + behind[last] + (_RAMP * noise if last > first else 0.0)
            if cost < best[0] - 1e-12:
                best = (cost, first, last)
    return best[1], best[2]
