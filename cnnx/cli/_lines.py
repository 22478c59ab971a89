"""Lines that commands print: tables, and what runs now."""

import sys
from collections.abc import Iterator


def aligned(rows: list[list[str]], left: int = 1) -> Iterator[str]:
    """A table's lines: the first columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]
        yield "  ".join(cells)


def progress(words: str) -> None:
    """On a terminal alone: what runs now, in the place of what ran before; "" clears it."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r{words}\x1b[K")
        sys.stderr.flush()
