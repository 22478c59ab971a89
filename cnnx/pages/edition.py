"""The equation sheet in another language: its words by key, its formulas as they are."""

from functools import cache

from ..lang import ENGLISH, translated
from .sheet import sheet

PART = "sheet"  # of the texts


@cache
def edition(lang: str) -> str:
    """The sheet in a language. Formulas and numbers are those of the one sheet; paragraphs and rows are translated.

    Parameters
    ----------
    lang : str
        One of `cnnx.lang.languages()`. What it lacks is English.
    """
    if lang == ENGLISH:
        return sheet()
    return "\n\n".join(_block(block, lang) for block in sheet().split("\n\n"))


def _block(block: str, lang: str) -> str:
    """A paragraph; a table, row by row; formulas, of which whole lines that are words are translated."""
    words = block.strip("\n")
    if words.startswith(("|", "    ")):
        return "\n".join(_line(line, lang) for line in block.split("\n"))
    return block.replace(words, translated(words, PART, lang)) if words else block


def _line(line: str, lang: str) -> str:
    words = line.strip()
    return line.replace(words, translated(words, PART, lang)) if words else line
