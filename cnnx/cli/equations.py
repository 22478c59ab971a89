"""Print the equation sheet with its sources and errata, or the part of a key and where it stands in the code.

A key is an equation's (C1, P2, N3), a source's (M17), an equation of a source by its number there ("M17 (5)"), an op's
(conv2d), a section's number, `symbols` or `errata`.
"""

import argparse
import difflib
import re
from collections.abc import Iterator

from cnnx._text import aligned
from cnnx.lang import keys, language, languages, text, translated
from cnnx.pages.edition import edition
from cnnx.pages.places import places
from cnnx.pages.sheet import Sheet

from ._language import add_language

_KEY = re.compile(r"[A-Z]\d")
_NUMBERED = re.compile(r"([A-Za-z]+\d*) ?\((\d+)\)")  # an equation as its source counts it: M17 (5)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx equations`."""
    parser.add_argument(
        "key",
        nargs="?",
        metavar="KEY",
        help='C1, P2, N3, a source (M17), its equation ("M17 (5)"), an op, 1 to 7, symbols, errata',
    )
    parser.add_argument("--glossary", action="store_true", help="print the terms in every language, and who uses them")
    add_language(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print, and return the exit code."""
    if arguments.glossary:
        if arguments.key is not None:
            raise ValueError(f"KEY: expected none beside --glossary, got {arguments.key!r}")
        print(*glossary(), sep="\n")
        return 0
    sheet = edition(language())
    if arguments.key is None:
        print(sheet, end="")
        return 0
    parts = Sheet(sheet).parts()
    known = {key.lower(): key for key in parts}
    numbered = _NUMBERED.fullmatch(arguments.key.strip())
    if numbered and numbered[1].lower() in known:
        print(Sheet(sheet).numbered(known[numbered[1].lower()], int(numbered[2])))
        return 0
    if arguments.key.lower() not in known:
        near = [known[key] for key in difflib.get_close_matches(arguments.key.lower(), known, n=6, cutoff=0.5)]
        keys = f"the nearest are {', '.join(near)}" if near else f"the keys are {', '.join(parts)}"
        raise ValueError(f"KEY: expected one of the sheet's keys, got {arguments.key!r}; {keys}")
    key = known[arguments.key.lower()]
    print(parts[key])
    if _KEY.fullmatch(key):
        print("", *(translated(line, "places") for line in places(key)), sep="\n")
    return 0


def glossary() -> Iterator[str]:
    """The terms in a table: in every language, and which sources use the last one."""
    names = languages()
    rows = [(*names, text("glossary_head.sources"))]
    for key in keys(names[0]):
        if key.startswith("glossary."):
            word = key.removeprefix("glossary.")
            rows.append((*(text(key, name) for name in names), text(f"glossary_sources.{word}")))
    return aligned(rows, left=len(rows[0]))
