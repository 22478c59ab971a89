"""`cnnx audit --reproducible`: op x what may not change a bit, in words."""

import argparse
import textwrap
from collections.abc import Iterator

from cnnx._text import aligned
from cnnx.audit import Report
from cnnx.audit.report.matrix import head, matrix, not_asked
from cnnx.audit.sides import PROPERTIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about it."""
    add = parser.add_argument
    add("--reproducible", action="store_true", help="ask for the same bits alone, and show op x property")
    add(
        "--require",
        metavar="NAMES",
        help=f"of {','.join(PROPERTIES)}: those whose loss is a failure; default: what the back end promises, and with "
        "--reproducible none",
    )


def required(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    """The properties that --require names, None for the default."""
    if arguments.reproducible and arguments.check is not None:
        raise ValueError("--check: expected none with --reproducible, which has its own")
    if arguments.require is None:
        return () if arguments.reproducible else None
    names = tuple(dict.fromkeys(arguments.require.split(",")))
    for name in names:
        if name not in PROPERTIES:
            raise ValueError(f"--require: expected some of {', '.join(PROPERTIES)}, with commas, got {name!r}")
    return names


def unasked(report: Report, names: tuple[str, ...] | None) -> list[str]:
    """Those of the properties that were required and of which nothing ran, in words."""
    rows = matrix(report.results).values()
    return [
        f"not asked, though --require names it: {head(name)}"
        for name in names or ()
        if not any(row[name].ran for row in rows if name in row)
    ]


def lines(report: Report) -> Iterator[str]:
    """The matrix, what was not asked and why, what failed, the verdict."""
    rows = matrix(report.results)
    yield f"back end {report.backend}: the same bits? seed {report.seed}"
    yield ""
    yield from aligned(
        [
            ["op", *map(head, PROPERTIES)],
            *([op, *(row[p].words if p in row else "" for p in PROPERTIES)] for op, row in rows.items()),
        ]
    )
    yield ""
    yield "same: bit by bit; n ulp: so many units in the last place apart, at most; -: not asked"
    for why, ops in not_asked(rows).items():
        those = "all ops" if len(ops) == len(rows) else ", ".join(ops)
        yield from textwrap.wrap(f"not asked: {why} ({those})", 120, subsequent_indent="    ")
    yield from (f"note: {note}" for note in sorted({note for r in report.results for note in r.notes}))
    yield ""
    yield from map(str, list(report.discrepancies())[:20])
    counts = [cell for row in rows.values() for cell in row.values() if cell.ran]
    same = sum(bool(cell.same) for cell in counts)
    yield f"{report.ran:,} cases, {same} of {len(counts)} cells the same bits: {report.verdict.words}"
