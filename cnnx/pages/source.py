"""The page of one source: its equations in its own order and symbols, and what is wrong in it."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from ..lang import text
from . import errata, sheet
from .formula import mathml

NETWORKS = {"D19": "network_d19", "CN": "network_cn"}  # a source's network, by the text that names it


@dataclass(frozen=True)
class Source:
    """What a source is, by the sheet's first table. `network`: the page of its network, and what it is called."""

    key: str
    title: str
    about: str
    network: tuple[str, str] | None


@dataclass(frozen=True)
class Own:
    """One of its equations as it writes it, or what its text says of one whose formula could not be read.

    anchor, more : the equations of the sheet that it is, as identifiers on the page, the first that has each.
    """

    number: str
    formula: Markup | None
    quote: str
    keys: list[tuple[str, str]]
    errata: list[tuple[str, str]]
    anchor: str
    more: list[str]


def all_sources(lang: str) -> list[Source]:
    """The five sources, M17 first, whose symbols are the sheet's."""
    rows = sheet.Sheet(sheet.sheet())._sources()
    return [_source(key, rows[key], lang) for key in ("M17", "W15", "U19", "D19", "CN")]


def _source(key: str, row: str, lang: str) -> Source:
    _, title, author, date = (cell.strip() for cell in row.strip("| ").split(" | "))
    said = {name: part for name, part in (("author", author), ("date", date)) if part != "not given"}
    lacking = {name: text(f"pages.source.no_{name}", lang) for name in ("author", "date") if name not in said}
    both = text("pages.source.no_author_and_date", lang)
    about = text("pages.source.about", lang, **said, **lacking) if said else both
    network = NETWORKS.get(key)
    page = (f"{network.replace('_', '-')}.html", text(f"pages.{network}", lang)) if network else None
    return Source(key, re.sub(r" \([^()]*\)$", "", title), about, page)


@cache
def _written() -> dict[str, list[dict[str, Any]]]:
    """The sources' equations as `sources.toml` has them."""
    return tomllib.loads(resources.files(__package__).joinpath("sources.toml").read_text(encoding="utf-8"))


def equations(source: str, lang: str) -> list[Own]:
    """A source's equations."""
    seen: set[str] = set()
    found = []
    for one in _written()[source]:
        anchors = [key.lower() for key in one["keys"] if key not in seen]
        seen.update(one["keys"])
        number = one.get("number", "")
        wrong = [
            (told.slug, told.where)
            for told, row in zip(errata.told(lang, source=source), _rows(source), strict=True)
            if number
            and set(re.findall(r"\(\d+\)|table 1|表 1", number.replace("表", "table"))) & _numbers(row, source)
        ]
        found.append(
            Own(
                number.replace("表", text("pages.source.table", lang)),
                mathml(one["latex"], block=True) if "latex" in one else None,
                one.get("quote", ""),
                [(key, text(f"pages_equation.{key}.title", lang)) for key in one["keys"]],
                wrong,
                anchors[0] if anchors else "",
                anchors[1:],
            )
        )
    return found


def _rows(source: str) -> list[str]:
    return [one.row for one in errata.ERRATA if source in one.sources]


def _numbers(row: str, source: str) -> set[str]:
    """The numbers that an erratum's row names of a source: of "M17 (14), D19 (7)" for D19 (7)."""
    own = re.search(rf"\b{source}\b((?:(?!\b(?:M17|W15|U19|D19|CN)\b).)*)", row)
    return set(re.findall(r"\(\d+\)|table 1", own[1])) if own else set()
