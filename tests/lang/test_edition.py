"""The equation sheet, explanations and errors in every language: the same formulas, and no sentence left in English."""

import re

import pytest

from cnnx import backend, lang
from cnnx.audit.checks import _taylor
from cnnx.audit.explain.explain import _docstring
from cnnx.audit.figures import FIGURES
from cnnx.cli import main
from cnnx.ops import OPS
from cnnx.pages.edition import PART, edition
from cnnx.pages.sheet import Sheet, sheet

OTHERS = [name for name in lang.languages() if name != lang.ENGLISH]
SENTENCE = re.compile(r"(?:\b[A-Za-z]{2,}\b[ ,.]+){4,}[A-Za-z]{2,}")  # five English words and more in a row
PROSE = [block for block in sheet().split("\n\n") if block.strip() and not block.startswith("    ")]
UNITS = [unit for block in PROSE for unit in (block.split("\n") if block.startswith("|") else [block.strip("\n")])]


@pytest.fixture
def say(capsys, monkeypatch):
    """What a command prints, and its exit code, with nothing in the environment that chooses a language."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        code = main([*arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_every_text_of_the_sheet_is_one_that_the_sheet_has():
    lines = {line.strip() for line in sheet().split("\n")}
    for key, text in lang.keys(lang.ENGLISH).items():
        if key.startswith(f"{PART}."):
            assert text.format() in {*UNITS, *lines}, f"{key}: cnnx/equations.md has no such words"


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("unit", [unit for unit in UNITS if SENTENCE.search(unit)], ids=lambda unit: unit[:30])
def test_the_words_of_the_sheet_are_translated(other, unit):
    assert lang.translated(unit, PART, other) != unit


@pytest.mark.parametrize("other", OTHERS)
def test_formulas_are_the_same_text(other):
    ours, theirs = sheet().split("\n\n"), edition(other).split("\n\n")
    assert len(ours) == len(theirs)
    count = 0
    for mine, other_one in zip(ours, theirs, strict=True):
        if mine.startswith("    "):
            pairs = list(zip(mine.split("\n"), other_one.split("\n"), strict=True))
            formulas = [
                (a, b) for a, b in pairs if re.search(r"[=\[\]<]|  [-01]", a) and not a.startswith(" " * 8 + "M17")
            ]
            assert all(a == b for a, b in formulas)
            count += len(formulas)
    assert count > 80


@pytest.mark.parametrize("other", OTHERS)
def test_every_number_of_the_sheet_is_in_every_language(other):
    for unit in UNITS:
        ours = set(re.findall(r"\d+\.\d{3,}", unit))
        assert ours <= set(re.findall(r"\d+\.\d{3,}", lang.translated(unit, PART, other))), unit


@pytest.mark.parametrize("other", OTHERS)
def test_an_edition_has_the_parts_of_the_sheet(other):
    assert Sheet(edition(other)).parts().keys() == Sheet(sheet()).parts().keys()


@pytest.mark.parametrize("other", OTHERS)
def test_the_words_of_the_elements_are_translated(other):
    for op in OPS:
        for kernel in op.kernels:
            for element in backend.equations(kernel).values():
                for text in _docstring(element):
                    said = lang.translated(text, "elements", other)
                    assert not re.search(r"\b(the|of|from|with|which|where|else|whatever|over|[Ss]tandard)\b", said), (
                        said
                    )


@pytest.mark.parametrize("other", OTHERS)
def test_the_words_of_figures_are_translated(other):
    """What a page calls a figure, and where it comes from; names of modes are the same everywhere."""
    for figure in FIGURES:
        for words in (figure.name, figure.source):
            said = lang.translated(words, "figures", other)
            assert said != words or words in ("2x2", "asymmetric", "ReLU6") or re.match("M17 2.5", words), words
            assert not re.search(r"\b(the|of|and|by|at|is|as|with|slopes?|less|gives)\b", said), said
            assert {*re.findall(r"\d+", words)} <= {*re.findall(r"\d+", said)}, said


@pytest.mark.parametrize("other", OTHERS)
def test_what_a_gradient_check_says_is_translated(other):
    kinds = [_taylor.Remainder(kind, 1.02, 1e-5).words() for kind in ("wrong", "one side", "flat", "right", "noisy")]
    at = "x[0, 1]: gradient and difference quotient differ by 0.5 (3e+09 of the tolerance)"
    for words in (at, "x, direction 1", *kinds, *(f"{at}; {words}" for words in kinds)):
        said = lang.translated(words, "gradient", other)
        assert not re.search(r"\b(the|gradient|falls|direction|values)\b", said), said


def test_equations_in_japanese(say):
    code, out, _ = say("equations", "M17 (5)", "--lang", "ja")
    assert code == 0
    assert "dF[k,c,r,s] = sum_{n,p,q} Delta[n,k,p,q]" in out
    assert "1/N はどこにあるか" in out
    code, out, _ = say("equations", "--lang", "ja")
    assert (code, out) == (0, edition("ja"))
    assert say("equations")[1] == sheet()


def test_the_environment_is_heeded(say, monkeypatch):
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert "畳み込み" in say("equations", "C1")[1]
    assert say("equations", "C1", "--lang", "en")[1].startswith("## 1 Convolution")
    assert "エラー" in say("equations", "C99")[2]


def test_glossary(say):
    code, out, _ = say("equations", "--glossary")
    assert code == 0
    assert re.search(r"^backpropagation +誤差逆伝播 +M17", out, re.MULTILINE)
    assert say("equations", "C1", "--glossary", "--lang", "en")[0] == 2


def test_the_terms_are_those_of_the_sources():
    said = {
        key.removeprefix("glossary_sources."): t for key, t in lang.keys("ja").items() if key.startswith("glossary_s")
    }
    assert said["affine_layer"] == "M17"
    assert {key.removeprefix("glossary.") for key in lang.keys("ja") if key.startswith("glossary.")} == said.keys()


def test_explain_in_japanese(say):
    code, out, _ = say("explain", "conv2d", "--shape", "mb1ic1ih3oc1kh3ph1", "--lang", "ja")
    assert code == 0
    assert "10 項の和（うち 5 項は除かれる）" in out  # noqa: RUF001
    assert "パディングなので除く" in out
    assert not SENTENCE.search(out)
    english = say("explain", "conv2d", "--shape", "mb1ic1ih3oc1kh3ph1")[1]
    assert "10 terms, 5 of them removed" in english
    numbers = r"-?\d+(?:\.\d+)?"
    assert [n for n in re.findall(numbers, out) if "." in n] == [n for n in re.findall(numbers, english) if "." in n]


def test_train_ox_in_japanese(say):
    code, out, _ = say("train", "ox", "--updates", "1", "--lang", "ja")
    assert code == 0
    assert "1.9818" in out
    assert "更新回数" in out
    assert not SENTENCE.search(out)


WRONG = [
    ("equations", "zz"),
    ("equations", "M17 (99)"),
    ("explain", "conv9"),
    ("explain", "concat"),
    ("explain", "conv2d", "--at", "x"),
    ("explain", "conv2d", "--at", "9,9,9,9"),
    ("explain", "conv2d", "--of", "q"),
    ("explain", "relu", "--weight", "1"),
    ("explain", "relu", "--shape", "x"),
    ("explain", "conv2d", "--seed", "-1"),
    ("explain", "conv2d", "--seed", "x"),
    ("explain",),
    ("explain", "relu", "--nothing"),
    ("train", "oxx"),
    ("train", "ox", "--updates", "x"),
    ("train", "ox", "--updates", "0"),
    ("train", "ox", "--learning-rate", "-1"),
    ("train", "ox", "--every", "3"),
    ("train", "ox", "--data", "x"),
    ("train", "ox", "--backend", "q"),
    ("check", "none.py"),
    ("check", "none.py", "--seconds", "0"),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_errors_in_japanese(say, arguments):
    code, _, err = say(*arguments, "--lang", "ja")
    assert code == 2
    assert err.startswith("cnnx: エラー: ")
    assert re.search("[ぁ-ん]{2}", err.removeprefix("cnnx: エラー: "))
    assert not re.search(r"\b(expected|got|there|which)\b", err), err
    english = say(*arguments, "--lang", "en")[2]
    assert english.startswith("cnnx: error: ")
    assert "{" not in err or "{" in english
