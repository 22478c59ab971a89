"""Text as several parts of cnnx write it: tables, times, characters that a document may hold."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

# What XML 1.0 cannot hold at all, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """A table's lines: the first columns to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]
        yield "  ".join(cells).rstrip()


def time_left(seconds: float) -> str:
    """Hours, minutes and seconds: 0:01:30."""
    return str(timedelta(seconds=round(seconds)))


def clean(text: str) -> str:
    """The text without what neither XML nor HTML can hold: control characters and halves of surrogate pairs."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
