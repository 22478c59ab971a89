"""What is printed, and the record that --json writes."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .figures import GROUP_SIZES, GROUPS, MEANS, mean_target, target_of
from .measure import Measured, geometric_mean

HEADER = ("figure", "cnnx", "peer", "ratio", "quartiles", "at best", "target", "reached")
WITH_TARGETS = ("torch", "limits")

Row = tuple[str, ...]


def shown(seconds: float | None) -> str:
    """A time with three digits that count."""
    if seconds is None:
        return "-"
    unit, size = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e-3)) if seconds >= s), ("us", 1e-6))
    value = seconds / size
    return f"{value:.{max(0, 2 - (value >= 10) - (value >= 100))}f} {unit}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def verdict(ratio: float | None, target: float | None, spread: tuple[float, float] | None = None) -> str:
    """Whether a target is reached; with a question mark where it lies between the quartiles, hence in the noise."""
    if target is None:
        return "-"
    if ratio is None:
        return "no"
    doubt = "?" if spread is not None and spread[0] < target < spread[1] else ""
    return ("yes" if ratio >= target else "no") + doubt


def row(measured: Measured, peer: str, isa: str | None) -> Row:
    """A line of the table, without the peer's name."""
    figure, ratio, spread = measured.figure, measured.ratio(peer), measured.spread(peer)
    target = target_of(figure, measured.threads, isa) if peer in WITH_TARGETS else None
    times = ["not there" if n in measured.missing else shown(measured.median(n)) for n in ("cnnx", peer)]
    if not measured.agrees(peer):
        reached = "WRONG"  # a figure of something else
    elif peer in measured.missing:
        reached = "-"
    elif ratio is None and "cnnx" not in measured.missing:
        reached = "-"  # interrupted
    else:
        reached = verdict(ratio, target, spread)
    return (
        figure.key,
        *times,
        _number(ratio),
        "-" if spread is None else f"{spread[0]:.2f}-{spread[1]:.2f}",
        _number(measured.at_best(peer)),
        _number(target),
        reached,
    )


def mean(results: Sequence[Measured], group: str, peer: str, isa: str | None) -> dict[str, Any]:
    """The geometric mean over a group; judged only where every figure of the group has its ratio."""
    members = [r for r in results if r.figure.group == group and peer not in r.missing]
    ratios = [ratio for r in members if r.agrees(peer) and (ratio := r.ratio(peer)) is not None]
    complete = len(ratios) == GROUP_SIZES[group]
    value = geometric_mean(ratios) if ratios else None
    target = mean_target(group, members[0].threads, isa) if members and peer in WITH_TARGETS else None
    reached = verdict(value, target) if complete else "-"
    return {"mean": value, "of": len(ratios), "target": target, "reached": reached}


def rows(results: Sequence[Measured], peer: str, isa: str | None) -> list[Row]:
    """The lines of the table for one peer: the figures, and a mean after each group that is asked for one."""
    lines: list[Row] = []
    for group in GROUPS:
        members = [r for r in results if r.figure.group == group and _concerns(r, peer)]
        lines += [row(r, peer, isa) for r in members]
        if group in MEANS and members:
            found = mean(members, group, peer, isa)
            name = f"{group}, geometric mean" + ("" if found["of"] == GROUP_SIZES[group] else f" of {found['of']}")
            lines.append((name, "", "", _number(found["mean"]), "", "", _number(found["target"]), found["reached"]))
    return lines


def _concerns(measured: Measured, peer: str) -> bool:
    """The share of the peak has the processor as its only peer."""
    return (measured.figure.group == "peak") == (peer == "limits")


def notes(results: Iterable[Measured]) -> list[str]:
    """Why figures are missing or wrong."""
    missing: dict[str, list[str]] = {}  # the reason -> the figures
    wrong = []
    for r in results:
        for name, reason in r.missing.items():
            missing.setdefault(f"{name} has it not: {reason}", []).append(r.figure.key)
        wrong += [
            f"{r.figure.key}, {_threads(r.threads)}: cnnx and {peer} are {r.apart[peer]:.1e} apart, "
            f"{r.figure.tolerance:.0e} is allowed"
            for peer in r.apart
            if not r.agrees(peer)
        ]
    return [*wrong, *(f"{', '.join(dict.fromkeys(keys))}: {reason}" for reason, keys in missing.items())]


def _threads(n: int) -> str:
    return f"{n} thread{'s' * (n > 1)}"


def title(peer: str, threads: int, abouts: dict[str, Any]) -> str:
    """What a table is about."""
    if peer == "limits":
        return f"cnnx against the processor's multiply-adds, {_threads(threads)}: the ratio is the share of the peak"
    about = abouts.get(peer, {})
    version = " ".join(str(about[k]) for k in ("version", "instruction set") if k in about)
    return f"cnnx against {peer} {version}, {_threads(threads)}: the ratio is {peer}'s time / cnnx's"


# ------------------------------------------------------------------------------------------------ tables


def table(lines: Sequence[Row], header: Row, *, markdown: bool = False) -> str:
    """Aligned text, or a table as Markdown has it. The first column is text, the others are numbers."""
    cells = [header, *lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in cells]
    if not markdown:
        return "\n".join("  ".join(c).rstrip() for c in aligned)
    rule = [("-" * width if i == 0 else "-" * (width - 1) + ":") for i, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(c)} |" for c in (aligned[0], rule, *aligned[1:]))


def show(heading: str, lines: Sequence[Row], header: Row, *, markdown: bool = False) -> None:
    """Print a table: rich's on a terminal that is wide enough, where it is installed."""
    if not markdown and sys.stdout.isatty() and _rich(heading, lines, header):
        return
    print(f"\n{'### ' * markdown}{heading}\n")
    print(table(lines, header, markdown=markdown), flush=True)


def _rich(heading: str, lines: Sequence[Row], header: Row) -> bool:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    console = Console()
    if sum(max(map(len, column)) + 3 for column in zip(header, *lines, strict=True)) >= console.width:
        return False  # rich would cut the numbers off
    drawn = Table(title=heading, title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        drawn.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    colours = {"yes": "green", "no": "red", "WRONG": "bold red"}
    for line in lines:
        drawn.add_row(*line, style=colours.get(line[-1]))
    console.print("\n", drawn)
    return True


# ------------------------------------------------------------------------------------------------ record


def record(measured: Measured, peers: Sequence[str], isa: str | None) -> dict[str, Any]:
    """All that is known of a figure."""
    ratios = {}
    for peer in ("limits",) if measured.figure.group == "peak" else peers:
        target = target_of(measured.figure, measured.threads, isa) if peer in WITH_TARGETS else None
        *_, reached = row(measured, peer, isa)
        ratios[peer] = {
            "ratio": measured.ratio(peer),
            "quartiles": measured.spread(peer),
            "at_best": measured.at_best(peer),
            "target": target,
            "reached": reached,
            "apart": measured.apart.get(peer),
        }
    return {
        "group": measured.figure.group,
        "name": measured.figure.name,
        "threads": measured.threads,
        "tolerance": measured.figure.tolerance,
        "missing": measured.missing,
        "medians": {name: measured.median(name) for name in measured.turns},
        "calls_per_turn": measured.calls,
        "turns": measured.turns,
        "peers": ratios,
    }
