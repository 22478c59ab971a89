"""What the pytest plugin's marker `cnnx_budget` does: one call beside another, or a copy, in turns (extra `bench`).

    @pytest.mark.cnnx_budget(1.5)
    def test_sorting(budgeted):
        budgeted(lambda: ours(x), beside=lambda: np.sort(x))

Seconds are those of the machine and of its mood; what both calls take in turns, one beside the other, is not. A first
few rounds within the budget are enough. If they are beyond it, more of them decide, and those alone: the median has to
be beyond the budget, and the exact signed-rank test of the rounds significant. So a call that is within its budget
fails with a chance of at most 1 %.
"""

import statistics
from collections.abc import Callable
from typing import Any

from . import limits
from .statistic import LEVEL, interval, slower
from .timing import Timed

ROUNDS = 5
AGAIN = 16  # rounds that decide where the first ones are beyond the budget
TURNS = 3  # of each side, in a round

Call = Callable[[], Any]


class Budgeted:
    """The fixture `budgeted`.

    at_most : the call's time over the time of what it stands beside.
    bytes : it stands beside a copy of so many bytes, read and written, on one thread; None: beside a call.
    judge : whether the time is judged; else each call is made once.
    fail, note : what pytest has for it; `note` is given a name and a value.
    """

    def __init__(
        self,
        at_most: float,
        bytes: int | None,
        judge: bool,
        fail: Callable[[str], Any],
        note: Callable[[str, Any], None] = lambda name, value: None,
    ) -> None:
        self._at_most, self._bytes, self._judge, self._fail, self._note = at_most, bytes, judge, fail, note
        self.called = False

    def __call__(self, call: Call, /, beside: Call | None = None) -> float | None:
        """Hold a call's time against its budget.

        Returns
        -------
        float or None
            The median ratio to what it stands beside; None where it is not judged.

        Raises
        ------
        TypeError
            `call` or `beside` is not to be called with nothing, or there is none beside it; with `bytes`, there is one.
        """
        self.called = True
        if not callable(call):
            raise TypeError(f"budgeted: expected a function without arguments, got {call!r}")
        if self._bytes is None and not callable(beside):
            raise TypeError(f"beside: expected a function without arguments (or bytes= in the marker), got {beside!r}")
        if self._bytes is not None and beside is not None:
            raise TypeError("beside: expected none, as the marker has bytes=: it stands beside a copy")
        if not self._judge:
            call()
            if beside is not None:
                beside()
            return None
        ours, other = _timed(call), _copied(self._bytes) if beside is None else _timed(beside)
        ratios, seconds = _rounds(ours, other, ROUNDS)
        again = statistics.median(ratios) > self._at_most
        if again:
            ratios, seconds = _rounds(ours, other, AGAIN)
        ratio = statistics.median(ratios)
        self._note("cnnx_budget", {"ratio": ratio, "at_most": self._at_most, "rounds": len(ratios)})
        chance = slower([self._at_most / each for each in ratios])
        if again and ratio > self._at_most and chance <= LEVEL:
            self._fail(_words(self._at_most, ratios, seconds, beside is None, chance))
        return ratio


def check(*arguments: Any, **options: Any) -> dict[str, Any]:
    """The marker's arguments as `Budgeted` takes them.

    Raises
    ------
    TypeError, ValueError
        They are none.

    Examples
    --------
    >>> check(1.5)
    {'at_most': 1.5, 'bytes': None}
    """
    found = dict(zip(("at_most", "bytes"), arguments, strict=False)) | options
    twice = len(found) < len(arguments) + len(options)
    if len(arguments) > 2 or twice or set(found) - {"at_most", "bytes"} or "at_most" not in found:
        raise TypeError(f"expected at_most and, beside a copy, bytes, got {arguments} and {options}")
    at_most, size = found["at_most"], found.get("bytes")
    if isinstance(at_most, bool) or not isinstance(at_most, int | float) or not 0 < at_most < float("inf"):
        raise ValueError(f"at_most: expected a ratio above 0, got {at_most!r}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ValueError(f"bytes: expected how many are read and written, got {size!r}")
    return {"at_most": float(at_most), "bytes": size}


def _timed(call: Call) -> Callable[[], float]:
    timed = Timed()
    timed.call = call
    timed.warm()

    def turn() -> float:
        seconds: float = timed.turn()["seconds"]
        return seconds

    return turn


def _copied(moved: int | None) -> Callable[[], float]:
    assert moved is not None
    limit = limits.copy(moved)

    def turn() -> float:
        limit.call()
        return limit.seconds() * moved

    return turn


def _rounds(
    ours: Callable[[], float], other: Callable[[], float], count: int
) -> tuple[list[float], tuple[float, float]]:
    """The ratios of so many rounds, every other one the other way round, and the median seconds of both."""
    ratios, mine, theirs = [], [], []
    for number in range(count):
        in_round = []
        for _ in range(TURNS):
            if number % 2:
                seconds, own = other(), ours()
            else:
                own, seconds = ours(), other()
            in_round.append(own / max(seconds, 1e-12))
            mine.append(own)
            theirs.append(seconds)
        ratios.append(statistics.median(in_round))
    return ratios, (statistics.median(mine), statistics.median(theirs))


def _words(at_most: float, ratios: list[float], seconds: tuple[float, float], copied: bool, chance: float) -> str:
    low, median, high = interval(ratios)
    other = "a copy of as many bytes" if copied else "what it stands beside"
    return (
        f"cnnx_budget: expected at most {at_most:g} times the time of {other}, got {median:.3g} [{low:.3g}, "
        f"{high:.3g}] in {len(ratios)} rounds of turns: {seconds[0]:.3g} s against {seconds[1]:.3g} s; the chance of "
        f"that within the budget is {chance:.0e}"
    )
