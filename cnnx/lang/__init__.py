"""What cnnx says, in the reader's language: texts by key, one folder of TOML files for each language.

A key is a file's name and the path within it: `text("glossary.kernel")` reads `kernel` in `glossary.toml`, and nothing
but that file. A language is a folder here, named as ISO 639-1 has it, with the same files as `en`; one more folder is
one more language, and `lacking` says what it does not have yet. Texts are format strings: `{name}` is a value, `{{` a
brace.

What is English in the code stays there: exceptions, so that they can be searched for, and docstrings. What the command
line prints of them is `translated` by files whose English texts are theirs.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from string import Formatter
from typing import Any

__all__ = [
    "ENGLISH", "keys", "lacking", "language", "languages", "placeholders", "speaking", "template", "text", "translated",
]  # fmt: skip

ENGLISH = "en"  # has every key; what another language lacks is said in it
_ENVIRONMENT = "LC_ALL", "LC_MESSAGES", "LANG"  # the first that is set counts, as POSIX has it

_spoken: ContextVar[str | None] = ContextVar("language", default=None)


def text(key: str, lang: str | None = None, **values: Any) -> str:
    """The text of a key, with its values put in.

    Parameters
    ----------
    key : str
        A file's name without its ending, a dot, and the path of the text in it.
    lang : str, optional
        One of `languages()`. Default: what `speaking` has chosen, else the environment's.
    **values
        What the text has in braces.

    Raises
    ------
    KeyError
        English has no such key, or the text a place for which there is no value.

    Examples
    --------
    >>> text("glossary.convolution", "en"), text("glossary.convolution", "ja")
    ('convolution', '畳み込み')
    """
    return template(key, lang).format(**values)


def template(key: str, lang: str | None = None) -> str:
    """The text of a key as its file has it. A key that the language lacks is given in English.

    Raises
    ------
    KeyError
        English has no such key.
    """
    part, _, rest = key.partition(".")
    for name in dict.fromkeys((lang or language(), ENGLISH)):
        found = _file(name, part).get(rest)
        if found is not None:
            return found
    raise KeyError(f"no text {key!r} in cnnx/lang/{ENGLISH}/{part}.toml")


def translated(english: str, part: str, lang: str | None = None) -> str:
    """An English text of the code in another language, by the text of a file that it is one of; else as it is.

    Parameters
    ----------
    english : str
        The text. What stands where a text of the file has a value may be such a text, too.
    part : str
        The file, without its ending.
    lang : str, optional
        As for `text`.

    Examples
    --------
    >>> translated("... 1,200 more terms", "explain", "ja")
    '... ほか 1,200 項'
    """
    chosen = lang or language()
    if chosen == ENGLISH:
        return english
    texts = _file(chosen, part)
    for key, pattern in _patterns(part):
        found = pattern.fullmatch(english)
        if found and key in texts:
            values = {name: translated(value, part, chosen) for name, value in found.groupdict().items()}
            return _AsWritten().format(texts[key], **values)
    return english


def language(asked: str | None = None) -> str:
    """The language to speak: the one asked for, else what `speaking` chose, else the environment's, else English.

    Parameters
    ----------
    asked : str, optional
        As an option or the environment has it: ja, ja-JP, ja_JP.UTF-8.

    Raises
    ------
    ValueError
        cnnx does not speak the language asked for. (One of the environment that it does not speak is no error.)

    Examples
    --------
    >>> language("ja_JP.UTF-8")
    'ja'
    """
    if asked is not None:
        known = languages()
        if _short(asked) not in known:
            raise ValueError(f"--lang: expected one of {', '.join(known)}, got {asked!r}")
        return _short(asked)
    chosen = _spoken.get()
    if chosen is not None:
        return chosen
    locale = next((value for name in _ENVIRONMENT if (value := os.environ.get(name))), "")
    wanted = [locale]
    if locale and _short(locale) not in ("c", "posix"):  # GNU's list of languages, which has no say in these two
        wanted = [*os.environ.get("LANGUAGE", "").split(":"), locale]
    known = languages()
    # A language of the list that is not here does not count, but English ends the search as any other does.
    return next((short for name in wanted if (short := _short(name)) in known), ENGLISH)


@contextmanager
def speaking(asked: str | None) -> Iterator[str]:
    """A block in which `text` speaks a language, for None the environment's.

    Examples
    --------
    >>> with speaking("ja"):
    ...     text("glossary.stride")
    'ストライド'
    """
    chosen = language(asked)
    token = _spoken.set(chosen)
    try:
        yield chosen
    finally:
        _spoken.reset(token)


@cache
def languages() -> tuple[str, ...]:
    """The languages that there are: English and every other folder here that holds texts."""
    folders = [
        f.name for f in resources.files(__name__).iterdir() if f.is_dir() and f.joinpath("glossary.toml").is_file()
    ]
    return (ENGLISH, *sorted(name for name in folders if name != ENGLISH))


def keys(lang: str) -> dict[str, str]:
    """All texts of a language by key, as their files have them."""
    files = sorted(f.name for f in resources.files(__name__).joinpath(lang).iterdir() if f.name.endswith(".toml"))
    parts = [name.removesuffix(".toml") for name in files]
    return {f"{part}.{key}": found for part in parts for key, found in _file(lang, part).items()}


def placeholders(template: str) -> set[str]:
    """The names of the values that a text wants.

    >>> sorted(placeholders("{count} of {total:6.2f}, {{braces}}"))
    ['count', 'total']
    """
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def lacking(lang: str) -> list[str]:
    """What is wrong with a language, a line each: keys that it lacks or alone has, values that differ from English."""
    english, other = keys(ENGLISH), keys(lang)
    wrong = [f"{key}: {lang} lacks it" for key in english.keys() - other.keys()]
    wrong += [f"{key}: {lang} alone has it" for key in other.keys() - english.keys()]
    for key in english.keys() & other.keys():
        wants, has = placeholders(english[key]), placeholders(other[key])
        if wants != has:
            wrong.append(f"{key}: {ENGLISH} has the values {sorted(wants)}, {lang} {sorted(has)}")
    return sorted(wrong)


class _AsWritten(Formatter):
    """Puts values in that are written already, whatever a text says of how to write numbers."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return str(value)


@cache
def _patterns(part: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """What each English text of a file looks like once its values are in it, in the file's order."""
    made = []
    for key, template in _file(ENGLISH, part).items():
        words, seen = "", set()
        for literal, name, _, _ in Formatter().parse(template):
            words += re.escape(literal)
            if name is not None:
                words += f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
                seen.add(name)
        made.append((key, re.compile(words, re.DOTALL)))
    return tuple(made)


def _short(name: str) -> str:
    """ja of ja_JP.UTF-8, ja-JP and JA."""
    return name.strip().replace("-", "_").replace(".", "_").partition("_")[0].lower()


@cache
def _file(lang: str, part: str) -> Mapping[str, str]:
    """The texts of a file by their paths in it; {} where the language has no such file."""
    file = resources.files(__name__).joinpath(lang, f"{part}.toml")
    return dict(_flat(tomllib.loads(file.read_text(encoding="utf-8")))) if file.is_file() else {}


def _flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        elif isinstance(value, str):
            yield f"{path}{name}", value
        else:
            raise ValueError(f"{path}{name}: expected a text, got {value!r}")
