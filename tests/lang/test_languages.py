"""The languages that cnnx speaks: every text in each, with the same values, and which one is spoken when."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnnx
from cnnx import lang

OTHERS = [name for name in lang.languages() if name != lang.ENGLISH]
LOCALE = "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"


@pytest.fixture
def locale(monkeypatch):
    """Sets the variables given, and no other that chooses a language."""
    for name in LOCALE:
        monkeypatch.delenv(name, raising=False)

    def change(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


def test_there_is_another_language_than_english():
    assert "ja" in OTHERS


@pytest.mark.parametrize("other", OTHERS)
def test_a_language_has_every_text_with_the_same_values(other):
    assert lang.lacking(other) == []


def test_what_a_language_lacks_is_said(tmp_path, monkeypatch):
    for name, words in {"en": 'a = "one {x}"\nb = "two"', "xx": 'a = "un {y}"\nc = "trois"'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "part.toml").write_text(words, encoding="utf-8")
    monkeypatch.setattr(lang.resources, "files", lambda package: tmp_path)
    lang._file.cache_clear()
    try:
        assert lang.lacking("xx") == [
            "part.a: en has the values ['x'], xx ['y']",
            "part.b: xx lacks it",
            "part.c: xx alone has it",
        ]
        assert lang.text("part.b", "xx") == "two"  # in English, rather than not at all
    finally:
        lang._file.cache_clear()


@pytest.mark.parametrize("name", lang.languages())
def test_texts_are_format_strings_of_named_values(name):
    for key, text in lang.keys(name).items():
        assert all(re.fullmatch(r"[a-z_][a-z_0-9]*", value) for value in lang.placeholders(text)), key


@pytest.mark.parametrize("other", ["ja"])
def test_a_text_of_many_words_is_translated(other):
    english, texts = lang.keys(lang.ENGLISH), lang.keys(other)
    same = {key for key, text in texts.items() if english[key] == text and len(re.findall("[A-Za-z]{3,}", text)) > 3}
    assert same == set()


@pytest.mark.parametrize(
    ("environment", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.eucJP"}, "ja"),
        ({"LANG": "ja"}, "ja"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": ""}, "ja"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:ja:en"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LANGUAGE": "en"}, "en"),
        ({"LANG": "C", "LANGUAGE": "ja"}, "en"),
        ({"LANGUAGE": "ja"}, "en"),
    ],
)
def test_the_environment_chooses(locale, environment, spoken):
    locale(**environment)
    assert lang.language() == spoken


def test_an_option_comes_before_the_environment(locale):
    locale(LANG="ja_JP.UTF-8")
    assert lang.language("en") == "en"
    with lang.speaking("en"):
        assert (lang.language(), lang.text("glossary.stride")) == ("en", "stride")
        with lang.speaking("ja"):
            assert lang.text("glossary.stride") == "ストライド"
        assert lang.language() == "en"
    assert lang.language() == "ja"


@pytest.mark.parametrize("name", ["ja", "ja_JP", "ja-JP", "JA", "ja_JP.UTF-8"])
def test_a_language_is_known_by_its_locale_too(name):
    assert lang.language(name) == "ja"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"--lang: expected one of en, ja, got 'tlh'"):
        lang.language("tlh")


def test_an_unknown_key_is_an_error():
    with pytest.raises(KeyError, match=r"glossary\.none"):
        lang.text("glossary.none", "ja")
    with pytest.raises(KeyError, match="no_such_part"):
        lang.text("no_such_part.none")


def test_cnnx_reads_no_texts_until_it_has_something_to_say():
    script = "import sys, cnnx; print([name for name in ('cnnx.lang', 'tomllib') if name in sys.modules])"
    folder = Path(cnnx.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.strip() == "[]"
