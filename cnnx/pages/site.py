"""The site: every page in every language, one style sheet, one small script."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cnnx

from .._html import render
from ..lang import ENGLISH, languages, text, translated
from ..lang import keys as text_keys
from . import api, demo, equation, errata, homework, networks, sheet, source
from .code import code
from .formula import formulas, mathml

TESTS = 5  # that a page shows; others are named
ASSETS = ("style.css", "script.js")
PARTS = ("formula", "see", "python", "cython", "tests", "errata", "figure", "exercise")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Page:
    """A file of the site, below a language's folder: the template that makes it, and its values."""

    file: str
    template: str
    values: dict[str, Any]


def write(folder: Path, say: Say = lambda words: None) -> list[Path]:
    """Write the site into a folder, which is made where it is missing. Files of the same names are replaced.

    Where Sphinx has written the reference of the public names into its folder `api`, pages link to that.

    Parameters
    ----------
    folder : Path
    say : callable
        Is told what is being made.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OSError
        As the file system has it.
    ValueError
        `api/objects.inv` is none of Sphinx's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = api.entries(folder)
    written = []
    for name in ASSETS:
        asset = resources.files(__package__).joinpath("templates", name)
        written.append(_file(folder / name, asset.read_text(encoding="utf-8")))
    written.append(_file(folder / "index.html", _entrance(known)))
    for lang in languages():
        (folder / lang).mkdir(exist_ok=True)
        for page in pages(lang, known):
            say(f"{lang}/{page.file}")
            written.append(_file(folder / lang / page.file, rendered(page, lang, known)))
    return written


def rendered(page: Page, lang: str, known: api.Entries = MappingProxyType({})) -> str:
    """A page as HTML."""
    return render(
        f"pages/templates/{page.template}.html.j2",
        lang=lang,
        others=[(name, text("pages.language", name)) for name in languages() if name != lang],
        file=page.file,
        t=_texts("pages", lang),
        network=_texts("pages_network", lang),
        figure=lambda words: translated(words, demo.FIGURES, lang),
        version=cnnx.__version__,
        names=f"../{api.FOLDER}/index.html" if known else "",
        links=[(name, text(f"pages.{title}", lang)) for name, title in LINKS],
        **page.values,
    )


LINKS = (
    ("network-d19.html", "network_d19"),
    ("network-cn.html", "network_cn"),
    ("homework.html", "homework"),
    ("symbols.html", "glossary"),
)


def _texts(part: str, lang: str) -> Callable[..., str]:
    """The texts of a file of messages, by the key behind its name."""
    return lambda key, **values: text(f"{part}.{key}", lang, **values)


def pages(lang: str, known: api.Entries = MappingProxyType({})) -> Iterator[Page]:
    """All pages in a language."""
    yield _index(lang)
    yield _symbols()
    for key in equation.every_key():
        yield _equation(key, lang, known)
    yield from _networks(lang)
    yield Page("homework.html", "homework", {
        "example": homework.example(), "answer": homework.answer(lang), "layers": homework.layers(lang),
    })  # fmt: skip
    for one in source.all_sources(lang):
        yield Page(f"source-{one.key.lower()}.html", "source", {
            "source": one, "equations": source.equations(one.key, lang), "errata": errata.told(lang, source=one.key),
        })  # fmt: skip


def _networks(lang: str) -> Iterator[Page]:
    yield Page("network-d19.html", "network_d19", {"parts": networks.d19(lang)})
    _, costs, right = networks.trained()
    yield Page("network-cn.html", "network_cn", {
        "digits": list(networks.cn(lang)),
        "filters": networks.filters(lang),
        "updates": networks.UPDATES,
        "images": len(networks.digit_images()[0]),
        "first": costs[0],
        "last": costs[-1],
        "right": right,
    })  # fmt: skip


def _entrance(known: api.Entries) -> str:
    """The page in front of all languages."""
    links = "\n".join(
        f'<li><a href="{lang}/index.html" lang="{lang}" hreflang="{lang}">{text("pages.language", lang)}: '
        f"{text('pages.index.title', lang)}</a></li>"
        for lang in languages()
    )
    if known:
        links += f'\n<li><a href="{api.FOLDER}/index.html">{text("pages.reference", ENGLISH)}</a></li>'
    policy = "default-src 'none'; style-src 'self' file:"
    return f"""<!DOCTYPE html>
<html lang="{ENGLISH}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text("pages.site", ENGLISH)}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<main>
<h1>{text("pages.site", ENGLISH)}</h1>
<ul class="start">
{links}
</ul>
</main>
</body>
</html>
"""


def _index(lang: str) -> Page:
    groups = [
        (
            group,
            [
                (key, _title(key, lang), mathml(sheet.latex()[key][0][0]))
                for key in equation.every_key()
                if key[0] in letters
            ],
        )
        for group, letters in equation.GROUPS.items()
    ]
    return Page("index.html", "index", {"groups": groups, "sources": source.all_sources(lang)})


def _symbols() -> Page:
    langs, names = languages(), equation.meanings(ENGLISH)
    symbols = [
        (mathml(equation.SYMBOLS.get(name, name)), [equation.meanings(lang)[name] for lang in langs]) for name in names
    ]
    terms = [k for k in text_keys(ENGLISH) if k.startswith("glossary.")]
    return Page("symbols.html", "symbols", {
        "langs": [(lang, text("pages.language", lang)) for lang in langs],
        "symbols": symbols,
        "terms": [[text(key, lang) for lang in langs] for key in terms],
    })  # fmt: skip


def _title(key: str, lang: str) -> str:
    return text(f"pages_equation.{key}.title", lang)


def _equation(key: str, lang: str, known: api.Entries) -> Page:
    special, general = formulas(key)
    found = code(key)
    tests, more = equation.excerpts(found.tests, TESTS)
    order = equation.every_key()
    at = order.index(key)
    around = [order[i] if 0 <= i < len(order) else None for i in (at - 1, at + 1)]
    demos = [(one, list(demo.states(one, lang))) for one in demo.demos(key)]
    return Page(f"{key.lower()}.html", "equation", {
        "key": key,
        "title": _title(key, lang),
        "lead": text(f"pages_equation.{key}.lead", lang),
        "parts": [part for part in PARTS if part != "see" or demos],
        "formulas": special,
        "general": general,
        "drawings": list(equation.drawings(key, lang)),
        "drawings_said": equation.drawings_said(key, lang),
        "sources": equation.sources(key),
        "functions": api.of_equation(key, known),
        "demos": demos,
        "symbols": equation.symbols(key, lang),
        "reference": found.reference,
        "optimized": found.optimized,
        "tests": tests,
        "more_tests": more,
        "errata": errata.told(lang, key=key),
        "budget": [(name.split(" ")[-1], one) for name, one in equation.budget(key)],
        "exercise": equation.exercise(key),
        "before": around[0] and (around[0], _title(around[0], lang)),
        "after": around[1] and (around[1], _title(around[1], lang)),
    })  # fmt: skip


def _file(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="\n")
    return path
