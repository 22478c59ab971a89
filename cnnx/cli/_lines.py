"""Lines that commands print: tables, and what runs now."""

import sys
from collections.abc import Iterator


def aligned(rows: list[list[str]]) -> Iterator[str]:
    """A table's lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        name, *numbers = row
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])])


def progress(words: str) -> None:
    """On a terminal alone: what runs now, in the place of what ran before; "" clears it."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r{words}\x1b[K")
        sys.stderr.flush()
