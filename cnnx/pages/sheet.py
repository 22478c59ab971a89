"""The equation sheet `cnnx/equations.md`, taken apart: its text, the part of every key, and the formulas for pages.

Every equation stands there as text, which terminals print, and in LaTeX, in comments that Markdown does not show and
`sheet` leaves out.
"""

import re
from functools import cache
from importlib import resources

from ..ops import OPS

_KEY = re.compile(r"[A-Z]\d")
_NUMBERS = re.compile(r"\((\d+)\)(?:-\((\d+)\))?")  # (5), and (7)-(9)
_EQUATION = re.compile(rf" {{4}}({_KEY.pattern})  \S")


ERRATA = "6"  # the number of their section


def _numbers(text: str, source: str) -> set[int]:
    """The numbers of a source's equations that a text mentions: 5 and 6 of "M17 (5), (6); W15", 7 to 9 of "(7)-(9)"."""
    found: set[int] = set()
    for part in re.findall(rf"\b{source}\b((?:[^();|A-Z]*\(\d+\))+)", text):
        for first, last in _NUMBERS.findall(part):
            found |= {*range(int(first), int(last or first) + 1)}
    return found


def _mentions(text: str, source: str, number: int) -> bool:
    return number in _numbers(text, source)


def _in_a_sentence(text: str, source: str, number: int) -> bool:
    sentences = re.split(r"\.\s", text)
    return any(re.search(rf"\b{source}\b", words) and f"({number})" in words for words in sentences)


_LATEX = re.compile(r"<!-- LaTeX\n(.*?)\n-->\n\n?", re.DOTALL)


@cache
def whole() -> str:
    """The sheet's file."""
    return resources.files("cnnx").joinpath("equations.md").read_text(encoding="utf-8")


@cache
def sheet() -> str:
    """The sheet as it is printed: without what is there for pages."""
    return _LATEX.sub("", whole())


@cache
def latex() -> dict[str, tuple[tuple[str, ...], ...]]:
    """The formulas of every key in LaTeX, in the sheet's order: of each place some, the special case first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for block in _LATEX.findall(whole()):
        here: dict[str, list[str]] = {}
        for line in block.split("\n"):
            key, _, formula = line.partition(" ")
            here.setdefault(key, []).append(formula.strip())
        for key, formulas in here.items():
            found.setdefault(key, []).append(tuple(formulas))
    return {key: tuple(places) for key, places in found.items()}


class Sheet:
    """The sheet taken apart."""

    def __init__(self, text: str) -> None:
        head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
        self._head = head
        self._sections = [f"## {section}".rstrip() for section in sections]

    def parts(self) -> dict[str, str]:
        """What to print for every key."""
        equations = self._equations()
        parts = {key: "\n\n".join(dict.fromkeys(blocks)) for key, blocks in equations.items()}
        parts |= {key: self._source(key, row, equations) for key, row in self._sources().items()}
        for section in self._sections:
            title = section.partition("\n")[0].removeprefix("## ")
            number, _, _ = title.partition(" ")
            parts[number if number.isdigit() else "symbols"] = section
            if number == ERRATA:
                parts["errata"] = section
        return parts | {op.name: self._op(op.name) for op in OPS}

    def _equations(self) -> dict[str, list[str]]:
        """The blocks of every equation's key, in the order of the sheet, the section's title above the first."""
        found: dict[str, list[str]] = {}
        for section in self._sections:
            title, *lines = section.split("\n")
            key = ""
            for line in lines:
                start = _EQUATION.match(line)
                if start:
                    key = start[1]
                    found.setdefault(key, [title]).append(line)
                elif key and line.startswith(" " * 8):
                    found[key][-1] += f"\n{line}"
                else:
                    key = ""
        return found

    def _sources(self) -> dict[str, str]:
        """The rows of the table of sources by their keys."""
        rows = re.findall(r"^\| ([A-Z]+\d*) \|.*$", self._head, flags=re.MULTILINE)
        return {key: next(line for line in self._head.split("\n") if line.startswith(f"| {key} |")) for key in rows}

    def _source(self, key: str, row: str, equations: dict[str, list[str]]) -> str:
        """A source: what it is, the equations that name it, and the errata."""
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        mentions = re.compile(rf"\b{key}\b")
        blocks = [block for found in equations.values() for block in found[1:] if mentions.search(block)]
        rows = [line for line in self._errata() if mentions.search(line.split(" | ")[0])]
        found = ["\n".join([f"{cells[0]}: {cells[1]}", f"{cells[2]}, {cells[3]}"]), "\n".join(dict.fromkeys(blocks))]
        found += [note for note in self._notes() if mentions.search(note)]
        if rows:
            found.append("\n".join([*self._head_of_errata(), *rows]))
        return "\n\n".join(filter(None, found))

    def numbered(self, source: str, number: int) -> str:
        """One of a source's equations by its number there: where the sheet has it, and what is wrong with it.

        Raises
        ------
        ValueError
            The sheet does not mention it.
        """
        head = self._source(source, self._sources()[source], {}).split("\n\n")[0]
        blocks = [b for found in self._equations().values() for b in found[1:] if _mentions(b, source, number)]
        rows = [line for line in self._errata() if _mentions(line.split(" | ")[0], source, number)]
        notes = [note for note in self._notes() if _in_a_sentence(note, source, number)]
        if not (blocks or rows or notes):
            every = {n for text in self._texts() for n in _numbers(text, source)}
            there = f"; it has {source} {', '.join(f'({n})' for n in sorted(every))}" if every else ""
            raise ValueError(f"KEY: expected an equation that the sheet mentions, got '{source} ({number})'{there}")
        parts = [head, "\n".join(dict.fromkeys(blocks)), *notes]
        return "\n\n".join(filter(None, [*parts, "\n".join(rows and [*self._head_of_errata(), *rows])]))

    def _texts(self) -> list[str]:
        return [*(b for found in self._equations().values() for b in found[1:]), *self._errata(), *self._notes()]

    def errata(self) -> list[list[str]]:
        """The cells of every erratum's row: where, what is printed, what cnnx has."""
        return [row.removeprefix("| ").removesuffix(" |").split(" | ") for row in self._errata()]

    def _errata(self) -> list[str]:
        """The rows of the table of errata."""
        lines, table = self._table_of_errata()
        return [line for line in lines[table + 2 :] if line.startswith("| ")]

    def _table_of_errata(self) -> tuple[list[str], int]:
        """The lines of the section of errata, and at which the table begins."""
        lines = next(section for section in self._sections if section.startswith(f"## {ERRATA} ")).split("\n")
        return lines, next(i for i, line in enumerate(lines) if line.startswith("| "))

    def _head_of_errata(self) -> list[str]:
        """The head of their table, in the sheet's language."""
        lines, table = self._table_of_errata()
        return lines[table : table + 2]

    def _notes(self) -> list[str]:
        """Paragraphs with a title of their own: **Where the 1/N lives.**"""
        return [part for section in self._sections for part in section.split("\n\n") if part.startswith("**")]

    def _op(self, name: str) -> str:
        """The section that names an op at its head."""
        return next(section for section in self._sections if f"`{name}`" in section.split("\n\n")[1])
