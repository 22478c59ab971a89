"""What a comparison found, for those who read a pull request: a table in Markdown, and GitHub's annotations."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .against import LEVEL, Outcome
from .bisect import Named
from .budgets import Budgets
from .compare import FASTER, METHOD, NOISY, SAME, SLOWER, Comparison

_WORDS = {SLOWER: "**slower**", FASTER: "**faster**", NOISY: "within the noise", SAME: "same"}
_ENTITIES = {ord(letter): f"&#{ord(letter)};" for letter in "&\\`*_[]<>|#~@"}
_MOST = 60  # lines of a table: a comment has room for no more


@dataclass(frozen=True)
class Line:
    """A figure that was judged: how its speed changed (-0.1 has lost a tenth), and what that is."""

    figure: str
    change: float
    budget: float
    verdict: str


@dataclass
class Summary:
    """A comparison in short.

    verdict, code : in words, and the command's exit code.
    lines : the figures that were judged.
    unjudged : the others, and why.
    method : how it was decided.
    notes : what else one should know.
    """

    title: str
    verdict: str
    code: int
    lines: list[Line]
    unjudged: dict[str, str] = field(default_factory=dict)
    method: str = ""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_comparison(cls, found: Comparison, code: int) -> "Summary":
        """Of two runs (`cnnx bench --compare`)."""
        lines = [Line(str(one.figure), one.change, one.budget, one.verdict) for one in found.changes]
        unjudged = {str(figure): why for figure, why in found.unlike.items()}
        for figures, why in ((found.only_base, "only in the base run"), (found.only_new, "only in the new run")):
            unjudged |= {str(figure): why for figure in figures}
        unjudged |= {str(figure): "too few rounds for an alarm" for figure in found.too_few}
        method = f"{METHOD}: at most {100 * LEVEL:g} % false alarms a comparison, if rounds are exchangeable"
        return cls("Two runs", found.problem or _counted(lines), code, lines, unjudged, method, list(found.notes))

    @classmethod
    def of_outcome(cls, found: Outcome, budgets: Budgets, named: Sequence[Named], code: int) -> "Summary":
        """Of two builds in turns (`cnnx bench --against`)."""
        guilty = {one.figure: one for one in found.regressions}
        again = {one.figure: one for one in found.suspects if one.again}
        lines = []
        for figure, ratios in found.ratios.items():
            change = again[figure].change if figure in again else statistics.median(ratios) - 1
            faster = change > budgets.of(figure) and figure not in again
            verdict = SLOWER if figure in guilty else NOISY if figure in again else FASTER if faster else SAME
            lines.append(Line(str(figure), change, budgets.of(figure), verdict))
        unjudged = {str(figure): f"not in the base: {why}" for figure, why in found.missing.items()}
        unjudged |= {str(figure): f"it could not be measured: {why}" for figure, why in found.failed.items()}
        notes = list(found.notes)
        notes += [
            f"{one.figure}: slower since {one.since or 'the working tree'}, after {one.before}"
            + f" ({len(one.skipped)} between were left out)" * bool(one.skipped)
            for one in named
        ]
        method = (
            "both builds in turns; what looks slower again in rounds of new processes, by the signed-rank test with "
            f"Holm's correction: at most {100 * LEVEL:g} % of runs have a false alarm; faster ones were measured once"
        )
        verdict = "interrupted" if found.interrupted else _counted(lines) if lines else "nothing to compare"
        return cls(f"{found.tree.name} against {found.base.name}", verdict, code, lines, unjudged, method, notes)


def _counted(lines: Sequence[Line]) -> str:
    figures = f"{len(lines)} figure{'s' * (len(lines) != 1)}"
    counts = [(sum(one.verdict == kind for one in lines), kind) for kind in (SLOWER, FASTER)]
    words = ", ".join(f"{count} {kind}" for count, kind in counts if count)
    return f"{words} of {figures}" if words else f"no change in {figures}"


def markdown(summary: Summary) -> str:
    """The summary as a comment or a step's summary: what changed first, what could not be judged, and how."""
    return "\n".join(_markdown(summary)) + "\n"


def _markdown(summary: Summary) -> Iterator[str]:
    yield f"### Speed: {_escaped(summary.verdict)}"
    yield ""
    order = (SLOWER, FASTER, NOISY, SAME)
    lines = sorted(summary.lines, key=lambda one: (order.index(one.verdict), -abs(one.change)))
    changed = [one for one in lines if one.verdict != SAME]
    if changed:
        yield from _table(changed)
        yield ""
    for note in summary.notes:
        yield f"- {_escaped(note)}"
    if summary.notes:
        yield ""
    if summary.unjudged:
        yield from _folded(f"{len(summary.unjudged)} not judged", _reasons(summary.unjudged))
    if same := [one for one in lines if one.verdict == SAME]:
        yield from _folded(f"{len(same)} the same", _table(same))
    yield f"<sub>{_escaped(summary.title)}; {_escaped(summary.method)}</sub>"


def _table(lines: Sequence[Line]) -> Iterator[str]:
    yield "| figure | change | budget | |"
    yield "| --- | ---: | ---: | --- |"
    for one in lines[:_MOST]:
        change = f"{100 * one.change:+.1f} %"
        yield f"| {_escaped(one.figure)} | {change} | {100 * one.budget:.0f} % | {_WORDS[one.verdict]} |"
    if len(lines) > _MOST:
        yield f"| and {len(lines) - _MOST} more | | | |"


def _reasons(unjudged: dict[str, str]) -> Iterator[str]:
    for why in dict.fromkeys(unjudged.values()):
        figures = [figure for figure, reason in unjudged.items() if reason == why]
        more = f" and {len(figures) - 8} more" if len(figures) > 8 else ""
        yield f"- {_escaped(why)}: {_escaped('; '.join(figures[:8]))}{more}"


def _folded(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield from (f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "")


def _escaped(text: str) -> str:
    """Names are other people's: none ends a cell or begins markup."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text.translate(_ENTITIES)


def annotations(summary: Summary) -> list[str]:
    """Lines for GitHub Actions' log, which shows them beside the change: an error for each regression.

    What could not be judged is one warning, and so is a comparison of nothing.
    """
    found = [
        "::error title=Slower::"
        + _in_a_command(f"{one.figure}: {100 * one.change:+.1f} %, beyond {100 * one.budget:.0f} %")
        for one in summary.lines
        if one.verdict == SLOWER
    ]
    if summary.unjudged:
        found.append(f"::warning title=Not judged::{len(summary.unjudged)} figures; the summary has the reasons")
    if summary.code == 1 and not any(one.verdict == SLOWER for one in summary.lines):
        found.append(f"::error title=Not all was measured::{_in_a_command(summary.verdict)}; the log has the reasons")
    if summary.code == 3:
        found.append(f"::warning title=Nothing was compared::{_in_a_command(summary.verdict)}")
    return found


def _in_a_command(text: str) -> str:
    """As the runner reads it: one line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
