"""Two runs side by side: what got slower, what got faster, and what is noise."""

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .budgets import Budgets
from .record import HYPERFINE, LIMIT, REFERENCE, SECONDS, TOOLS, Figure, Measured, Record
from .run_as_yardstick import RUN, by_run
from .statistic import LEVEL, differ, holm, interval, rounds_to_differ, smallest_differ

SLOWER, FASTER, NOISY, SAME = "slower", "faster", "noisy", "same"
_IN_ONE_GO = (
    "times each benchmark, and what it is compared with, in one go: a disturbance as long as that looks like a change, "
    "and no error rate holds for it; cnnx bench measures in turns"
)
METHOD = "Mann-Whitney U test of the rounds, two-sided, with Holm's correction"


@dataclass
class Change:
    """What became of a figure.

    base, new : the ratios to the yardstick by round; more is better.
    p : of the Mann-Whitney U test.
    verdict : "slower" or "faster": beyond the budget and beyond the noise; "noisy": beyond the budget alone; "same".
    extrapolated : the yardstick is a reference whose time comes from one row of its output.
    """

    figure: Figure
    yardstick: str
    base: list[float]
    new: list[float]
    budget: float
    p: float
    verdict: str = SAME
    extrapolated: bool = False

    @property
    def change(self) -> float:
        """Of the median: -0.1 has lost a tenth."""
        return statistics.median(self.new) / statistics.median(self.base) - 1

    @property
    def beyond_budget(self) -> str:
        """ "slower", "faster", or "" within the budget, which is as wide upwards as downwards: a tenth lost and won."""
        if 1 + self.change < 1 - self.budget:
            return SLOWER
        return FASTER if (1 + self.change) * (1 - self.budget) > 1 else ""

    def as_dict(self) -> dict[str, Any]:
        """With medians and confidence intervals in the place of the rounds."""
        return {
            **asdict(self.figure),
            "yardstick": self.yardstick,
            "extrapolated": self.extrapolated,
            "base": dict(zip(("low", "median", "high"), interval(self.base), strict=True)),
            "new": dict(zip(("low", "median", "high"), interval(self.new), strict=True)),
            "rounds": [len(self.base), len(self.new)],
            "change": self.change,
            "budget": self.budget,
            "p": self.p,
            "verdict": self.verdict,
        }


@dataclass
class Comparison:
    """What came of two runs.

    problem : why nothing can be said; "" if something can.
    only_base, only_new : figures that the other run lacks.
    unlike : figures of both that cannot be compared, and why.
    too_few : figures with too few rounds for any alarm of their own.
    notes : what else one should know.
    """

    budgets: Budgets
    problem: str = ""
    changes: list[Change] = field(default_factory=list)
    only_base: list[Figure] = field(default_factory=list)
    only_new: list[Figure] = field(default_factory=list)
    unlike: dict[Figure, str] = field(default_factory=dict)
    too_few: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a regression, 3 nothing could be compared."""
        return 3 if self.problem else int(bool(self.of(SLOWER)))

    def of(self, verdict: str) -> list[Change]:
        """The changes with this verdict, the largest first."""
        return sorted((c for c in self.changes if c.verdict == verdict), key=lambda c: -abs(np.log1p(c.change)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cnnx_compare": 1,
            "exit_code": self.exit_code,
            "problem": self.problem,
            "method": METHOD,
            "level": LEVEL,
            "budgets": self.budgets.source,
            "changes": [change.as_dict() for change in self.changes],
            "only_base": [str(figure) for figure in self.only_base],
            "only_new": [str(figure) for figure in self.only_new],
            "unlike": {str(figure): why for figure, why in self.unlike.items()},
            "too_few_rounds": [str(figure) for figure in self.too_few],
            "notes": self.notes,
        }


def compare(
    base: Record, new: Record, budgets: Budgets | None = None, by: str | None = None, across_machines: bool = False
) -> Comparison:
    """Compare two runs by their ratios.

    One yardstick decides for each figure: the share of the machine's limit where both runs have it under the same
    limit, else the speed-up over the reference, else a peer of both. Where the runs have no ratios at all (files of
    pytest-benchmark) it is "run", the geometric mean of all other benchmarks that both have.

    A figure is slower or faster if the medians differ by more than its budget and the rounds by more than noise
    (Mann-Whitney, and Holm over all figures: if nothing changed, the chance of any alarm is at most 1 %, as long as
    rounds are exchangeable: `cnnx.bench.statistic` has the terms).

    Parameters
    ----------
    base, new : Record
    budgets : Budgets, optional
        By default a tenth for all.
    by : str, optional
        The yardstick for all figures; those without it are not compared.
    across_machines : bool
        Compare in spite of different fingerprints.

    Returns
    -------
    Comparison
        With a `problem` and exit code 3 where the fingerprints differ, no figure has a yardstick in both runs, or no
        figure has enough rounds for an alarm.

    Examples
    --------
    >>> figure = Figure("conv2d", "cn layer 2", "forward", threads=1)
    >>> runs = [Record({}, [Measured(figure, ratios={"limit": [share + i / 1000 for i in range(10)]})])
    ...         for share in (0.8, 0.6)]
    >>> found = compare(*runs)
    >>> found.changes[0].verdict, round(found.changes[0].change, 2), found.exit_code
    ('slower', -0.25, 1)
    """
    found = Comparison(budgets or Budgets())
    different = list(_different(base.fingerprint, new.fingerprint))
    if different and not across_machines:
        found.problem = f"not comparable: {'; '.join(different)} (--across-machines compares all the same)"
        return found
    found.notes += [f"across machines: {fact}" for fact in different]
    found.notes += [
        f"the {name} run was interrupted" for name, run in (("base", base), ("new", new)) if run.interrupted
    ]
    found.notes += [f"{tool} {_IN_ONE_GO}" for tool in TOOLS if tool in {**base.versions, **new.versions}]
    if HYPERFINE in base.versions:
        found.notes.append(f"{HYPERFINE}'s files do not say on which machine they were written")
    _pair(found, base, new, by)
    if not found.changes:
        what = "figure" if not found.unlike else f"figure with the yardstick {by}" if by else "figure with a yardstick"
        found.problem = f"no data in common: no {what} is in both"
        return found
    _judge(found)
    for name in dict.fromkeys(change.yardstick for change in found.changes):
        versions = base.versions.get(name, "unknown"), new.versions.get(name, "unknown")
        if len(set(versions)) > 1:
            found.notes.append(f"{name} {versions[0]} -> {versions[1]}: what changed may be {name}")
    return found


def _different(base: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for fact in dict.fromkeys((*base, *new)):
        if base.get(fact) != new.get(fact):
            yield f"{fact} {base.get(fact, 'unknown')} -> {new.get(fact, 'unknown')}"


def _pair(found: Comparison, base: Record, new: Record, by: str | None) -> None:
    """Put each figure of the two runs where it belongs."""
    before, after = base.by_figure(), new.by_figure()
    found.only_base = [figure for figure in before if figure not in after]
    found.only_new = [figure for figure in after if figure not in before]
    common = [figure for figure in before if figure in after]
    timed = [figure for figure in common if before[figure].seconds and after[figure].seconds]
    without = not any(run[figure].ratios for run in (before, after) for figure in common)
    if by == RUN or (by is None and without):
        before, after = ({**run, **by_run([run[figure] for figure in timed])} for run in (before, after))
    for figure in common:
        b, n = before[figure], after[figure]
        yardstick, why = _yardstick(b, n, by)
        if not yardstick:
            found.unlike[figure] = why
            continue
        ratios = b.ratios[yardstick], n.ratios[yardstick]
        extrapolated = yardstick == REFERENCE and (b.extrapolated or n.extrapolated)
        change = Change(
            figure, yardstick, *ratios, found.budgets.of(figure), p=differ(*ratios), extrapolated=extrapolated
        )
        found.changes.append(change)


def _yardstick(base: Measured, new: Measured, by: str | None) -> tuple[str, str]:
    """The yardstick that decides, or "" and why there is none."""
    for measured in (base, new):
        if SECONDS in measured.missing:
            return "", measured.missing[SECONDS]
    if base.work != new.work:
        return "", "other work: the benchmark itself was changed"
    for name in ("multiply_adds", "bytes"):
        if getattr(base, name) != getattr(new, name):
            return "", f"other work: {getattr(base, name)} -> {getattr(new, name)} {name.replace('_', '-')}"
    common = [name for name in base.yardsticks() if name in new.yardsticks()]
    if by is not None:
        common = [name for name in common if name == by]
    if LIMIT in common and base.bound != new.bound:
        common.remove(LIMIT)
        if not common:
            return "", f"another limit binds: {base.bound} -> {new.bound}"
    return (common[0], "") if common else ("", f"no yardstick {by} in both" if by else "no yardstick in both")


def _judge(found: Comparison) -> None:
    """Give each change its verdict; say so where the rounds are too few for one."""
    changes = found.changes
    for change, significant in zip(changes, holm([change.p for change in changes]), strict=True):
        beyond = change.beyond_budget
        change.verdict = (beyond if significant else NOISY) if beyond else SAME
    smallest = [smallest_differ(len(change.base), len(change.new)) for change in changes]
    found.too_few = [c.figure for c, p in zip(changes, smallest, strict=True) if p > LEVEL / len(changes)]
    if len(found.too_few) == len(changes):
        most = max(changes, key=lambda change: len(change.base) + len(change.new))
        found.problem = (
            f"too few rounds for any alarm: {len(most.base)} against {len(most.new)}; {len(changes)} figures need "
            f"{rounds_to_differ(len(changes))} in each run"
        )
