"""What `cnnx bench` prints: tables of figures, with bars, and the verdict of a comparison of two builds."""

import statistics
import sys
from collections.abc import Callable, Iterable
from typing import Any

from cnnx import native
from cnnx._text import aligned
from cnnx.bench.against import Outcome, Suspect
from cnnx.bench.bisect import Named
from cnnx.bench.budgets import Budgets
from cnnx.bench.record import BASE, COPY, LIMIT, MULTIPLY_ADDS, REFERENCE, Measured, Record
from cnnx.bench.statistic import interval

WIDTH = 10  # characters of a whole bar
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def warn(words: str) -> None:
    """A line beside the results."""
    print(words, file=sys.stderr)


def instruction_set() -> str:
    """Of this process's kernels."""
    return native.instruction_set()


# ------------------------------------------------------------------------------------------- one run


def table(record: Record) -> Iterable[str]:
    """The figures of a run."""
    yield head(record)
    yield from limits(record)
    if not record.figures:
        return
    peers = sorted({name for m in record.figures for name in (*m.ratios, *m.missing)} - {LIMIT, REFERENCE})
    for threads in sorted({m.figure.threads for m in record.figures}):
        rows = [["op", "case", "direction", "time", "GFLOP/s", "GB/s", "", "of limit", "speed-up", *peers]]
        rows += [_row(m, peers) for m in record.figures if m.figure.threads == threads]
        yield ""
        yield f"{threads} thread{'s' * (threads != 1)}"
        yield from aligned(rows, left=3)
    yield ""
    yield from _legend(record, peers)


def head(record: Record) -> str:
    """Versions and the processor."""
    facts = record.fingerprint
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return f"{versions}; {facts['instruction set']} kernels; {facts['processor']}"


def limits(record: Record) -> Iterable[str]:
    """The machine's, by number of threads."""
    for name, found in record.limits.items():
        count = "1 thread" if name == "1" else f"{name} threads"
        multiply_adds, copied = 2e-9 * found[MULTIPLY_ADDS], 1e-9 * found[COPY]
        yield f"{count}: at most {multiply_adds:.0f} GFLOP/s, and {copied:.1f} GB/s copied in memory (read + written)"


def _row(measured: Measured, peers: Iterable[str]) -> list[str]:
    figure = measured.figure
    seconds = statistics.median(measured.seconds)
    flops = f"{2e-9 * measured.multiply_adds / seconds:.1f}" if measured.multiply_adds else "-"
    moved = f"{1e-9 * measured.bytes / seconds:.1f}" if measured.bytes else "-"
    share = measured.ratios.get(LIMIT)
    speed_up = measured.ratios.get(REFERENCE)
    return [
        figure.op,
        figure.case,
        figure.direction,
        time(seconds),
        flops,
        moved,
        bar(statistics.median(share)) if share else "",
        _share(share, measured.bound) if share else "-",
        f"{'~' * measured.extrapolated}{digits(statistics.median(speed_up))}x" if speed_up else "-",
        *(_ratio(measured.ratios.get(peer)) for peer in peers),
    ]


def _share(share: list[float], bound: str) -> str:
    low, middle, high = interval(share)
    letter = {MULTIPLY_ADDS: "m", COPY: "c"}[bound]
    return f"{100 * middle:.0f} % {letter} [{100 * low:.0f}, {100 * high:.0f}]"


def _ratio(ratios: list[float] | None) -> str:
    if not ratios:
        return "-"
    low, middle, high = interval(ratios)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def bar(share: float) -> str:
    """A share of one as a bar; what is beyond fills it."""
    full, empty = ("█", "·") if _can_say("█·") else ("#", ".")
    count = min(WIDTH, round(WIDTH * share))
    return full * count + empty * (WIDTH - count)


def _can_say(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def digits(number: float) -> str:
    """Three of them, in thousands."""
    return f"{float(f'{number:.3g}'):,.0f}" if number >= 100 else f"{number:.3g}"


def time(seconds: float) -> str:
    """With three digits and a unit."""
    unit = next((name for name, size in UNITS.items() if seconds >= size), "ns")
    return f"{seconds / UNITS[unit]:.3g} {unit}" if seconds < 1000 else f"{seconds:.0f} s"


def _legend(record: Record, peers: list[str]) -> Iterable[str]:
    rounds = max(len(m.seconds) for m in record.figures)
    inside = "95 % confidence" if rounds >= 6 else "the lowest and the highest, as fewer than 6 give no 95 % confidence"
    yield f"medians of {rounds} round{'s' * (rounds != 1)}; in brackets: {inside}"
    yield "of limit: m, of the processor's multiply-adds; c, of a copy of as many bytes, in caches if they fit"
    if any(m.extrapolated for m in record.figures):
        yield "speed-up: the reference's time over ours; ~ from one row of its output, where it takes over a second"
    else:
        yield "speed-up: the reference's time over ours"
    for peer in peers:
        yield f"{peer}: its time over ours; above 1, cnnx is faster"
        whys = {why for m in record.figures if (why := m.missing.get(peer))}
        for why in sorted(whys):
            without = [m.figure for m in record.figures if m.missing.get(peer) == why]
            names = dict.fromkeys(f"{figure.op} {figure.direction}" for figure in without)
            yield f"  none for {', '.join(names)}: {why}"


# ---------------------------------------------------------------------------------------- two builds


def outcome(found: Outcome, budgets: Budgets, level: float, *, verbose: bool) -> Iterable[str]:
    """What a comparison of two builds found."""
    figures = f"{len(found.ratios)} figure{'s' * (len(found.ratios) != 1)}"
    yield f"{found.tree.name} against {found.base.name}, {figures} in turns"
    rows = [["figure", "change", "budget", "first rounds", "measured again", "verdict"]]
    rows += [_suspect(s, budgets) for s in found.suspects]
    if verbose:
        suspects = {s.figure for s in found.suspects}
        rows += [
            [str(figure), change(ratios), f"{100 * budgets.of(figure):.0f} %", _ratio(ratios), "", "same"]
            for figure, ratios in found.ratios.items()
            if figure not in suspects
        ]
    if len(rows) > 1:
        yield ""
        yield from aligned(rows)
        yield ""
    for figure, ratios in found.ratios.items():
        if statistics.median(ratios) - 1 > budgets.of(figure):
            yield f"faster, as far as the first rounds say: {figure}: {change(ratios)}"
    for measured in found.measured:
        for name, ratios in measured.ratios.items():
            if name != BASE:
                yield f"{name}: {statistics.median(ratios):.3g} times the time of {measured.figure}, {_ratio(ratios)}"
    for figure, why in found.missing.items():
        yield f"not in {found.base.name}: {figure}: {why}"
    for figure, why in found.failed.items():
        yield f"could not be measured: {figure}: {why}"
    yield from found.notes
    yield (
        f"a regression is slower than its budget in rounds of new processes, by the signed-rank test with Holm's "
        f"correction; a false alarm in at most {100 * level:g} % of runs (budgets: {budgets})"
    )
    if found.interrupted:
        yield "interrupted"
    elif found.regressions:
        yield f"{len(found.regressions)} regression{'s' * (len(found.regressions) != 1)}"
    else:
        yield "no regression" if found.ratios else "nothing to compare"


def _suspect(suspect: Suspect, budgets: Budgets) -> list[str]:
    verdict = "SLOWER" if suspect.regression else "same" if suspect.again else "not measured again"
    return [
        str(suspect.figure),
        change(suspect.again or suspect.first),
        f"{100 * budgets.of(suspect.figure):.0f} %",
        _ratio(suspect.first),
        _ratio(suspect.again) if suspect.again else "-",
        verdict,
    ]


def change(ratios: list[float]) -> str:
    """Of the speed, signed."""
    return f"{100 * (statistics.median(ratios) - 1):+.1f} %"


def named(found: Iterable[Named], title: Callable[[str], str]) -> Iterable[str]:
    """Which commits a bisection named."""
    for one in found:
        since = "the working tree" if one.since is None else f"{one.since} ({title(one.since)})"
        yield f"{one.figure}: {'faster' if one.faster else 'slower'} since {since}, after {one.before}"
        for revision, ratios in one.ratios.items():
            yield f"  {revision or 'the working tree'}: {change(ratios)}"
        for revision, why in one.skipped.items():
            yield f"  {revision or 'the working tree'}, which may be it too, was left out: {why}"


def named_as_dict(found: Iterable[Named]) -> list[dict[str, Any]]:
    """The same, for --json."""
    return [
        {
            "figure": str(one.figure),
            "before": one.before,
            "since": one.since,
            "faster": one.faster,
            "ratios": {revision or "": ratios for revision, ratios in one.ratios.items()},
            "skipped": {revision or "": why for revision, why in one.skipped.items()},
        }
        for one in found
    ]


def outcome_as_dict(found: Outcome, budgets: Budgets, level: float) -> dict[str, Any]:
    """The same, for --json."""
    suspects = {s.figure: s for s in found.suspects}
    yardsticks = {
        one.figure: {name: ratios for name, ratios in one.ratios.items() if name != BASE} for one in found.measured
    }
    return {
        "base": found.base.name,
        "tree": found.tree.name,
        "level": level,
        "interrupted": found.interrupted,
        "regressions": [str(s.figure) for s in found.regressions],
        "figures": [
            {
                **vars(figure),
                "budget": budgets.of(figure),
                "ratios": ratios,
                "again": suspects[figure].again if figure in suspects else [],
                "yardsticks": yardsticks.get(figure, {}),
                "regression": figure in suspects and suspects[figure].regression,
            }
            for figure, ratios in found.ratios.items()
        ],
        "missing": {str(figure): why for figure, why in found.missing.items()},
        "failed": {str(figure): why for figure, why in found.failed.items()},
        "notes": found.notes,
    }
