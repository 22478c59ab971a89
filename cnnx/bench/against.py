"""Is this tree slower than a commit? Two builds, the same calls, in turns A B A B, so that the machine's drift cancels.

Every figure is first measured in a few rounds. Those that look slower, by half of their budget, are suspects, and are
measured again, in more rounds and new processes. Only what was measured again decides: a suspect is a regression if
its median is slower by more than the budget and the exact signed-rank test of its rounds, with Holm's correction for
the number of suspects, is significant. As the second measurement is independent of how suspects were chosen, a run on
an unchanged tree raises an alarm of any kind with a probability of at most LEVEL.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .budgets import Budgets
from .builds import Build
from .record import BASE as BASE
from .record import Figure, Measured
from .statistic import holm, slower
from .turns import Say, Turns

LEVEL = 0.01  # the probability of a false alarm in a run, over all figures
ROUNDS = 5
AGAIN = 16  # rounds for suspects: 2**-16 is significant among hundreds of them
NOT_AGAIN = "it could be measured once, but not again"

# Makes the rounds of two builds: base, tree, figures, a folder for what they need, and who is told of each figure.
# The yardstick BASE is the base's time over the tree's.
InTurns = Callable[[Build, Build, Sequence[Figure], Path, Say], Turns]


@dataclass
class Suspect:
    """A figure that looked slower: its ratios (base's time / ours) in the first rounds and when measured again."""

    figure: Figure
    first: list[float]
    again: list[float] = field(default_factory=list)
    regression: bool = False

    @property
    def change(self) -> float:
        """How much of the speed is gone, by all that decides: -0.1 means 10 % slower."""
        return statistics.median(self.again or self.first) - 1


@dataclass
class Outcome:
    """What was found.

    measured : what the first rounds found.
    ratios : by figure, base's time / ours, in the first rounds.
    missing : figures that the base cannot compute, and why.
    failed : figures that this tree cannot compute, and why.
    notes : what else one should know.
    interrupted : by Ctrl-C; suspects may not have been measured again then.
    """

    base: Build
    tree: Build
    measured: list[Measured] = field(default_factory=list)
    ratios: dict[Figure, list[float]] = field(default_factory=dict)
    suspects: list[Suspect] = field(default_factory=list)
    missing: dict[Figure, str] = field(default_factory=dict)
    failed: dict[Figure, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def regressions(self) -> list[Suspect]:
        """The suspects that were found guilty."""
        return [suspect for suspect in self.suspects if suspect.regression]


def against(
    base: Build,
    tree: Build,
    figures: Sequence[Figure],
    budgets: Budgets,
    in_turns: InTurns,
    rounds: int = ROUNDS,
    again: int = AGAIN,
    say: Say = lambda done, total, figure: None,
) -> Outcome:
    """Hold one build against another. Ctrl-C ends it with what was found so far."""
    outcome = Outcome(base, tree)
    with tempfile.TemporaryDirectory() as folder:
        try:
            first = in_turns(base, tree, figures, Path(folder), say)
            try:
                first.run(rounds)
            finally:
                outcome.failed, outcome.measured = first.failed, first.found
                for measured in first.found:
                    if BASE in measured.missing:
                        outcome.missing[measured.figure] = measured.missing[BASE]
                    elif BASE in measured.ratios:
                        outcome.ratios[measured.figure] = measured.ratios[BASE]
            outcome.suspects = [
                Suspect(figure, ratios)
                for figure, ratios in outcome.ratios.items()
                if statistics.median(ratios) - 1 < -budgets.of(figure) / 2
            ]
            if outcome.suspects:
                second = in_turns(base, tree, [suspect.figure for suspect in outcome.suspects], Path(folder), say)
                second.run(again)
                measured_again = {measured.figure: measured.ratios.get(BASE, []) for measured in second.found}
                for suspect in outcome.suspects:
                    suspect.again = measured_again.get(suspect.figure, [])
                outcome.failed |= second.failed | {s.figure: NOT_AGAIN for s in outcome.suspects if not s.again}
                _judge([suspect for suspect in outcome.suspects if suspect.again], budgets)
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def _judge(suspects: Sequence[Suspect], budgets: Budgets) -> None:
    """Find the guilty ones."""
    significant = holm([slower(suspect.again) for suspect in suspects], LEVEL)
    for suspect, sure in zip(suspects, significant, strict=True):
        suspect.regression = bool(sure) and suspect.change < -budgets.of(suspect.figure)
