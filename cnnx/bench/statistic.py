"""Is it a change or noise? Rank tests on rounds, and an error rate for a whole run (extra `bench`: scipy).

All of them take rounds as exchangeable: if nothing changed, any order of them is as likely as any other. No
distribution is assumed. What no test can see is a disturbance that lasts a whole run: it shifts all rounds of one
side together and looks as a change does. That is why a change has to exceed a budget as well, and why two builds that
are measured in turns (`cnnx bench --against`) tell more than two runs.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .._check import Array

try:
    from scipy import stats
except ImportError as error:
    message = f"comparing runs needs scipy: python -m pip install 'cnnx[bench]' ({error})"
    raise ModuleNotFoundError(message, name="scipy") from error

LEVEL = 0.01  # the chance of any false alarm among all figures of a run
CONFIDENCE = 0.95
_EXACT = 25  # rounds; scipy before 1.14 takes minutes for the exact distribution of a hundred


def interval(samples: Sequence[float]) -> tuple[float, float, float]:
    """The median with a confidence interval that holds for any distribution.

    Order statistics: the k-th smallest and the k-th largest, k as large as the binomial distribution with p = 1/2
    allows for a coverage of at least 95 %. Fewer than six samples do not allow it at all; then it is their minimum
    and maximum, which cover less (five: 94 %, three: 75 %, one: nothing).

    Parameters
    ----------
    samples : sequence of float
        At least one; exchangeable.

    Returns
    -------
    tuple of float
        (low, median, high).

    Raises
    ------
    ValueError
        There are no samples.

    Examples
    --------
    >>> interval([4, 1, 3, 2, 5, 6, 7, 8, 10, 9])
    (2.0, 5.5, 9.0)
    >>> interval([3, 1, 2])
    (1.0, 2.0, 3.0)
    """
    if not len(samples):
        raise ValueError("interval: expected at least one sample, got none")
    in_order = sorted(map(float, samples))
    low = _lowest(len(in_order))
    return in_order[low], float(np.median(in_order)), in_order[-1 - low]


@lru_cache
def _lowest(count: int) -> int:
    """Where the interval begins among so many samples in order. It depends on no more, and a history has thousands."""
    found = stats.quantile_test(range(count), q=count / 2, p=0.5).confidence_interval(CONFIDENCE)
    return 0 if math.isnan(found.low) or math.isnan(found.high) else int(found.low)


def differ(base: Sequence[float], new: Sequence[float]) -> float:
    """The p-value of "nothing changed" for two runs: Mann-Whitney U test, two-sided.

    Exact up to 25 samples a side; above, the normal approximation, which errs towards "nothing changed" where p is
    small. Of two runs that differ in nothing at most a share p of pairs has a p-value of p or less; samples that are
    equal make it less. Assumes that the samples of both runs together are exchangeable.

    Parameters
    ----------
    base, new : sequence of float
        At least one sample each.

    Returns
    -------
    float
        From `smallest_differ(len(base), len(new))` to 1.

    Raises
    ------
    ValueError
        One of them is empty.

    Examples
    --------
    >>> differ([5, 6, 7], [1, 2, 3])
    0.1
    """
    if not len(base) or not len(new):
        raise ValueError(f"differ: expected samples of both runs, got {len(base)} and {len(new)}")
    method = "exact" if max(len(base), len(new)) <= _EXACT else "asymptotic"
    return float(stats.mannwhitneyu(base, new, alternative="two-sided", method=method).pvalue)


def slower(ratios: Sequence[float]) -> float:
    """The p-value of "not slower" for paired rounds: Wilcoxon's signed-rank test of the logarithms, one-sided.

    Exact up to 50 ratios. Of builds that differ in nothing at most a share p has a p-value of p or less. Assumes
    that each round's logarithm is as likely to have the one sign as the other if nothing changed, which taking turns
    gives, if every other round goes the other way round. Ratios of exactly 1 say nothing and are left out.

    Parameters
    ----------
    ratios : sequence of float
        By round: the base's time over the new one's, so that less than 1 is slower; positive.

    Returns
    -------
    float
        From `smallest_slower(len(ratios))` to 1.

    Raises
    ------
    ValueError
        A ratio is not positive and finite.

    Examples
    --------
    >>> slower([0.9, 0.8, 0.95, 0.85])
    0.0625
    """
    if not all(0 < ratio < math.inf for ratio in ratios):
        raise ValueError(f"slower: expected ratios that are positive and finite, got {list(ratios)}")
    logs = np.log([ratio for ratio in ratios if ratio != 1])
    if not len(logs):
        return 1.0
    method = "exact" if len(logs) <= 50 else "approx"
    return float(stats.wilcoxon(logs, alternative="less", method=method).pvalue)


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
    """Which p-values are significant, with a chance of at most `level` that any of them is a false alarm (Holm 1979).

    The smallest of m is held against level / m, the next one against level / (m - 1), and so on to the first that
    fails. Holds however the figures depend on each other.

    Examples
    --------
    >>> holm([0.03, 0.001, 0.004], level=0.01)
    [False, True, True]
    """
    significant = [False] * len(p_values)
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] > level / (len(p_values) - rank):
            break
        significant[i] = True
    return significant


def ranks(values: Sequence[float] | Array) -> Array:
    """1 for the smallest; equal values share the mean of theirs.

    Examples
    --------
    >>> ranks([5, 1, 5, 9]).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    found: Array = stats.rankdata(values)
    return found


def smallest_differ(base: int, new: int) -> float:
    """The smallest p-value that `differ` gives for so many rounds: both orders of a complete separation.

    An alarm among m figures needs it to be at most level / m. At 1 % that allows 5 rounds against 5 one figure,
    6 four, 7 seventeen, 8 sixty-four, 9 two hundred and 10 nine hundred.

    Examples
    --------
    >>> [max(0, int(LEVEL / smallest_differ(n, n))) for n in range(4, 11)]
    [0, 1, 4, 17, 64, 243, 923]
    """
    return 2 / math.comb(base + new, base)


def smallest_slower(rounds: int) -> float:
    """The smallest p-value that `slower` gives for so many rounds: all of them slower.

    An alarm among m figures needs it to be at most level / m: at 1 % 7 rounds allow one figure, 10 ten, 13 eighty-one.

    Examples
    --------
    >>> [int(LEVEL / smallest_slower(rounds)) for rounds in (6, 7, 10, 13)]
    [0, 1, 10, 81]
    """
    return 0.5**rounds


def rounds_to_differ(figures: int, level: float = LEVEL) -> int:
    """How many rounds each of two runs needs so that one of so many figures alone can raise an alarm.

    Examples
    --------
    >>> rounds_to_differ(60)
    8
    """
    rounds = 1
    while smallest_differ(rounds, rounds) > level / max(figures, 1):
        rounds += 1
    return rounds


def rounds_to_be_slower(figures: int, level: float = LEVEL) -> int:
    """How many paired rounds are needed so that one of so many figures alone can raise an alarm.

    Examples
    --------
    >>> rounds_to_be_slower(60)
    13
    """
    return max(1, math.ceil(math.log2(max(figures, 1) / level)))
