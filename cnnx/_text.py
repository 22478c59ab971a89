"""Text as several parts of cnnx write it: tables, times, characters that a document may hold."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

FEW = 8  # names that an error lists

# What XML 1.0 cannot hold at all, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> Iterator[str]:
    """A table's lines: the first columns to the left, the others to the right."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        spaces = [" " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)]
        cells = [c + s if i < left else s + c for i, (c, s) in enumerate(zip(row, spaces, strict=True))]
        yield "  ".join(cells).rstrip()


def width(text: str) -> int:
    """How many columns of a terminal a text takes: characters of East Asia take two.

    >>> width("stride"), width("畳み込み")
    (6, 8)
    """
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def time_left(seconds: float) -> str:
    """Hours, minutes and seconds: 0:01:30."""
    return str(timedelta(seconds=round(seconds)))


def clean(text: str) -> str:
    """The text without what neither XML nor HTML can hold: control characters and halves of surrogate pairs."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def expected_one_of(names: Iterable[str], got: object) -> str:
    """Words for a name that is none of some: all of them where they are few, else the nearest.

    >>> expected_one_of(["float32", "float64"], "float16")
    "expected one of float32, float64, got 'float16'"
    >>> expected_one_of(map(str, range(100, 120)), "11")
    "expected one of 20 names, got '11'; did you mean 119, 118 or 117?"
    """
    known = list(dict.fromkeys(names))
    by_lower, word = {name.lower(): name for name in known}, str(got).lower()
    near = difflib.get_close_matches(word, by_lower, n=3) or [n for n in by_lower if word[:4] and n[:4] == word[:4]][:3]
    if len(known) <= FEW or not near:
        return f"expected one of {', '.join(known)}, got {got!r}"
    *others, last = (by_lower[name] for name in near)
    meant = f"{', '.join(others)} or {last}" if others else last
    return f"expected one of {len(known)} names, got {got!r}; did you mean {meant}?"
