"""Which targets of a file of cases a run has reached."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .cases import Cases, Group, target
from .measure import DIFFERS
from .record import LIMIT, Measured, Record

REACHED, MISSED, WRONG, NONE = "reached", "missed", "WRONG", "-"


@dataclass(frozen=True)
class Verdict:
    """A figure beside a peer or the machine's limit.

    seconds : of our call, the median of the rounds; None for a mean.
    ratio : the median of the rounds' ratios (the other's time over ours); None where there is none.
    quartiles : half of the rounds lie between them.
    target : the least ratio that is asked for, if any is.
    verdict : "reached" or "missed", with a question mark where the target lies between the quartiles, hence in the
        noise; "WRONG" where the results differ; "-" without a target, a ratio, or figures of the group.
    """

    group: str
    name: str
    threads: int
    beside: str
    seconds: float | None
    ratio: float | None
    quartiles: tuple[float, float] | None
    target: float | None
    verdict: str


def judge(record: Record, cases: Cases, peers: Sequence[str]) -> dict[str, Any]:
    """Hold a run of a file's figures against the file's targets.

    Returns
    -------
    dict
        For the record: the file, the instruction set of the kernels, and verdicts: of "figures", and of "means", the
        geometric means over groups that have a target for theirs.
    """
    isa = record.fingerprint["instruction set"]
    figures: list[Verdict] = []
    means: list[Verdict] = []
    for threads in dict.fromkeys(measured.figure.threads for measured in record.figures):
        found = {m.figure.case: m for m in record.figures if m.figure.threads == threads}
        for group in cases.groups.values():
            for beside in (LIMIT,) if group.beside == LIMIT else peers:
                members = list(_members(group, found, threads, beside, isa))
                figures += members
                if members and group.target_mean:
                    means.append(_mean(group, members, threads, beside, isa))
    return {
        "file": cases.source,
        "instruction_set": isa,
        "figures": [asdict(figure) for figure in figures],
        "means": [asdict(mean) for mean in means],
    }


def _members(group: Group, found: Mapping[str, Measured], threads: int, beside: str, isa: str) -> Iterator[Verdict]:
    for entry in group.entries:
        if entry.key in found:
            measured = found[entry.key]
            ratios = measured.ratios.get(beside)
            ratio = statistics.median(ratios) if ratios else None
            least = target(entry.target_ratio, threads, isa) if beside == group.beside else None
            quartiles = quartiles_of(ratios) if ratios else None
            wrong = measured.missing.get(beside, "").startswith(DIFFERS)
            said = WRONG if wrong else verdict(ratio, least, quartiles)
            seconds = statistics.median(measured.seconds)
            yield Verdict(group.name, entry.key, threads, beside, seconds, ratio, quartiles, least, said)


def _mean(group: Group, members: Sequence[Verdict], threads: int, beside: str, isa: str) -> Verdict:
    """Judged only where every case of the group has its ratio."""
    ratios = [member.ratio for member in members if member.ratio is not None]
    mean = statistics.geometric_mean(ratios) if ratios else None
    complete = len(ratios) == len(group.entries)
    name = f"{group.name}, geometric mean" + ("" if complete else f" of {len(ratios)}")
    least = target(group.target_mean, threads, isa) if beside == group.beside else None
    said = verdict(mean, least) if complete else NONE
    return Verdict(group.name, name, threads, beside, None, mean, None, least, said)


def verdict(ratio: float | None, least: float | None, quartiles: tuple[float, float] | None = None) -> str:
    """Whether a ratio reaches its target.

    Examples
    --------
    >>> verdict(1.2, 1.0), verdict(0.9, 1.0), verdict(1.2, 1.0, (0.9, 1.3)), verdict(1.2, None)
    ('reached', 'missed', 'reached?', '-')
    """
    if ratio is None or least is None:
        return NONE
    doubt = "?" if quartiles is not None and quartiles[0] < least < quartiles[1] else ""
    return (REACHED if ratio >= least else MISSED) + doubt


def quartiles_of(ratios: Sequence[float]) -> tuple[float, float]:
    """The first and the third.

    Examples
    --------
    >>> quartiles_of([4.0, 1.0, 3.0, 2.0, 5.0]), quartiles_of([2.0])
    ((2.0, 4.0), (2.0, 2.0))
    """
    if len(ratios) < 2:
        return ratios[0], ratios[0]
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, high
