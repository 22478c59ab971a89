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
from .figures import Call, call_of
from .measure import Rounds
from .record import Figure
from .run import side
from .statistic import holm, slower

LEVEL = 0.01  # the probability of a false alarm in a run, over all figures
ROUNDS = 5
AGAIN = 16  # rounds for suspects: 2**-16 is significant among hundreds of them
BASE = "base"
NOT_AGAIN = "it could be measured once, but not again"


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

    ratios : by figure, base's time / ours, in the first rounds.
    missing : figures that the base cannot compute, and why.
    failed : figures that this tree cannot compute, and why.
    interrupted : by Ctrl-C; suspects may not have been measured again then.
    """

    base: Build
    tree: Build
    ratios: dict[Figure, list[float]] = field(default_factory=dict)
    suspects: list[Suspect] = field(default_factory=list)
    missing: dict[Figure, str] = field(default_factory=dict)
    failed: dict[Figure, str] = field(default_factory=dict)
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
    rounds: int = ROUNDS,
    again: int = AGAIN,
    say: Callable[[int, int, Figure], None] = lambda done, total, figure: None,
    call: Callable[[Figure], Call] = call_of,
) -> Outcome:
    """Hold one build against another. Ctrl-C ends it with what was found so far. `call` is as `Rounds` has it."""
    outcome = Outcome(base, tree)
    with tempfile.TemporaryDirectory() as folder:
        try:
            first = in_turns(outcome, figures, Path(folder), say, call)
            try:
                first.run(rounds)
            finally:
                outcome.failed = first.failed
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
                second = in_turns(outcome, [suspect.figure for suspect in outcome.suspects], Path(folder), say, call)
                second.run(again)
                measured_again = {measured.figure: measured.ratios.get(BASE, []) for measured in second.found}
                for suspect in outcome.suspects:
                    suspect.again = measured_again.get(suspect.figure, [])
                outcome.failed |= second.failed | {s.figure: NOT_AGAIN for s in outcome.suspects if not s.again}
                _judge([suspect for suspect in outcome.suspects if suspect.again], budgets)
        except KeyboardInterrupt:
            outcome.interrupted = True
    return outcome


def in_turns(
    outcome: Outcome,
    figures: Sequence[Figure],
    folder: Path,
    say: Callable[[int, int, Figure], None],
    call: Callable[[Figure], Call],
) -> Rounds:
    """Rounds of the two builds; ratios are the base's time over the tree's."""
    sides = {BASE: side(folder=outcome.base.folder, must_agree=False)}
    ours = side(folder=outcome.tree.folder)
    return Rounds(figures, ours, sides, folder, limits=False, with_reference=False, call=call, say=say)


def _judge(suspects: Sequence[Suspect], budgets: Budgets) -> None:
    """Find the guilty ones."""
    significant = holm([slower(suspect.again) for suspect in suspects], LEVEL)
    for suspect, sure in zip(suspects, significant, strict=True):
        suspect.regression = bool(sure) and suspect.change < -budgets.of(suspect.figure)
