"""The site of the equations: pages in every language, whole links, valid HTML, figures worked by hand, a browser."""

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pages import Tags, chromium

from cnnx import cli
from cnnx.audit.figures import FIGURES
from cnnx.lang import languages
from cnnx.pages import code, equation, errata, networks, ox, sheet, worked
from cnnx.pages import demo as demos

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The whole site, as the command writes it."""
    folder = tmp_path_factory.mktemp("site") / "new"
    assert cli.main(["pages", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def parsed(folder):
    """Every page, by its path below the site."""
    return {p.relative_to(folder).as_posix(): Tags(p.read_text(encoding="utf-8")) for p in folder.rglob("*.html")}


# ------------------------------------------------------------------------------------------------ what there is


@pytest.mark.parametrize("lang", languages())
def test_every_equation_has_its_page(parsed, lang):
    assert set(equation.every_key()) == set(sheet.Sheet(sheet.sheet())._equations())
    assert len(equation.every_key()) > 50
    for key in equation.every_key():
        page = parsed[f"{lang}/{key.lower()}.html"]
        assert dict(page.tags)["html"] == {"lang": lang}
        assert "math" in {tag for tag, _ in page.tags}


def test_languages_have_the_same_pages(parsed):
    by_lang = [{name.partition("/")[2] for name in parsed if name.startswith(f"{lang}/")} for lang in languages()]
    assert all(names == by_lang[0] for names in by_lang)


def test_links_lead_somewhere(parsed, folder):
    anchors = {name: {a["id"] for _, a in page.tags if "id" in a} for name, page in parsed.items()}
    followed = 0
    for name, page in parsed.items():
        for tag, attributes in page.tags:
            for link in filter(None, (attributes.get("href"), attributes.get("src"))):
                assert not re.match(r"[a-z]+:|/", link), f"{name}: {tag} {link} leaves the site"
                path, _, anchor = link.partition("#")
                target = (folder / name).parent.joinpath(path).resolve() if path else folder / name
                assert target.is_file(), f"{name}: {link}"
                if anchor:
                    assert anchor in anchors[target.relative_to(folder).as_posix()], f"{name}: {link}"
                followed += 1
    assert followed > 10_000


def test_identifiers_are_unique_and_headings_in_order(parsed):
    for name, page in parsed.items():
        ids = Counter(a["id"] for _, a in page.tags if "id" in a)
        assert set(ids.values()) <= {1}, (name, ids.most_common(1))
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in pairwise(levels)), name
        labelled = [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
        assert set(labelled) <= set(ids), name


def test_pages_need_no_network(parsed):
    for name, page in parsed.items():
        policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert "http" not in policy
        for tag, attributes in page.tags:
            assert not any(n.startswith("on") or n == "style" for n in attributes), (name, tag)
            assert tag not in {"iframe", "object", "embed", "base", "form"}, name


def test_pages_work_without_the_script(parsed):
    """Each element of an output is on the page, and what chooses it is a link."""
    page = parsed["en/c5.html"]
    states = [a["id"] for tag, a in page.tags if tag == "article" and "state" in (a.get("class") or "")]
    links = {a["href"] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("#s-")}
    assert len(states) > 80
    assert {f"#{state}" for state in states} == links


def test_html_is_well_formed(folder, parsed):
    """Pages of the same elements are parsed once: languages differ in texts, of which an ampersand could be wrong."""
    html5lib = pytest.importorskip("html5lib")
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"&(?!#?\w+;)", text), path
        tags = parsed[path.relative_to(folder).as_posix()].tags
        pages[tuple((tag, *attributes) for tag, attributes in tags)] = text
    assert len(pages) >= len(parsed) / len(languages())
    for text in pages.values():
        html5lib.HTMLParser(strict=True).parse(text)


def test_html_is_valid(folder):
    """The W3C's validator: CNNX_VNU names its jar (npm has it as vnu-jar), or `vnu` is a program."""
    jar, program = os.environ.get("CNNX_VNU"), shutil.which("vnu")
    if not jar and not program:
        pytest.skip("no validator: neither CNNX_VNU nor a program vnu")
    command = ["java", "-Xss8m", "-jar", jar] if jar else [str(program)]
    done = subprocess.run([*command, "--format", "json", "--skip-non-html", str(folder)], capture_output=True)
    found = [m for m in json.loads(done.stderr)["messages"] if m["type"] == "error"]
    assert not found, found[:3]


# ------------------------------------------------------------------------------------------------ what it says


def test_latex_and_text_have_the_same_symbols():
    """Every array and extent of a formula stands in the sheet's text too."""
    parts = sheet.Sheet(sheet.sheet())._equations()
    names = {r"\Delta": "Delta", r"\phi": "phi", r"\rho": "rho", r"\beta": "beta", r"\eta": "eta", r"\lambda": "lambda"}
    for key, places in sheet.latex().items():
        said = " ".join(parts[key])
        for latex in (one for some in places for one in some):
            for tex, word in names.items():
                assert (tex not in latex) or word in said, (key, word)
            for symbol in re.findall(r"(?<![\\A-Za-z])[FYZU](?=_)", re.sub(r"\\\w+", " ", latex)):
                assert symbol in said, (key, symbol)


@pytest.mark.parametrize("key", equation.every_key())
def test_code_is_found(key):
    """The markers live: each equation has its lines in the reference, and kernels' functions are where INNER says."""
    found = code.code(key)
    assert found.reference
    assert found.optimized or key in ("C2", "T4", "R1", "R2", "G4")
    for excerpt in (*found.reference, *found.optimized):
        assert any(excerpt.name in line for line in excerpt.lines[:3]), excerpt.path
    for path, name in code.INNER.get(key, ()):
        assert code.cython(f"cnnx/optimized/{path}", name) in found.optimized
    assert found.tests


def test_numbers_are_those_worked_by_hand():
    """What a page shows of a figure's call is what its author wrote down."""
    shown = 0
    for key in equation.every_key():
        for demo in demos.demos(key):
            for call in demo.calls:
                figure = call.call.figure
                if figure is None or demo.output != "Y":
                    continue
                expected = np.asarray(figure.y[0] if isinstance(figure.y, tuple) else figure.y, float)
                expected = expected.reshape(call.array.shape)
                for element in call.elements:
                    room = 1e-12 if figure.places is None else 0.51 * 10.0**-figure.places
                    assert abs(element.explanation.value - expected[element.index]) <= room
                    shown += 1
    assert shown > 150
    assert len(FIGURES) > 60


def test_convolution_by_hand(parsed):
    """IMAGE and WEIGHTS with padding 1: 1*-5 + 2*4 + 4*6 - 1, and the bias 1, by hand."""
    call = worked.calls("conv2d")[0]
    assert (call.arrays["x"], call.options) == ([[worked.IMAGE]], {"padding": 1})
    value = 1 * -5 + 2 * 4 + 4 * 6 + 1 * -1 + 1
    text = re.sub(r"\s+", " ", parsed["en/c1.html"].text)
    assert f"Y[0,0,0,0] = {value}" in text
    # D19's o without its biases: 3 1 / 1 1 and -1 1 / 1 -1
    assert [e.explanation.value for e in next(w for w in demos.demos("C1")[0].calls if w.call.figure).elements] == [
        3, 1, 1, 1,
    ]  # fmt: skip


def test_exercise_is_judged():
    """As it comes it is wrong; with the reference's own element in its place it is right."""
    program = equation.exercise("F3")
    assert "dZ[n, j] = 0" in program
    element = "from cnnx import backend\nelement = backend.equations('affine_grad_input')['dZ']\n"
    right = element + program.replace("dZ[n, j] = 0", "dZ[n, j] = element(Delta, w, n, j)")
    for text, said in ((program, "expected"), (right, "right: no discrepancy")):
        out = subprocess.run([os.sys.executable, "-c", text], capture_output=True, text=True, check=True)
        assert said in out.stdout


def test_errata_are_the_sheets():
    """Row by row, and in English word by word."""
    rows = sheet.Sheet(sheet.sheet())._errata()
    for row, one, told in zip(rows, errata.ERRATA, errata.told("en"), strict=True):
        said = [
            part.replace("\\|", "|").replace("`", "")
            for part in re.fullmatch(r"\| (.*?) \| (.*) \| (.*) \|", row).groups()
        ]
        assert one.row == re.fullmatch(r"\| (.*?) \| .*", row)[1]
        assert [told.where, told.printed, told.here] == said
        assert set(one.keys) <= set(equation.every_key())
        assert len(one.tests) == len(one.tests_named)
    for name in languages():
        assert len(errata.told(name)) == len(rows)  # a bar too many in a cell would raise


@pytest.mark.parametrize(
    ("slug", "printed"),
    [
        ("m17_table_1", "by v: 2"),
        ("d19_last_slide", "x: [0.0245, -0.0158]"),  # D19's slide of its output layer
        ("d19_output_layer", "o: [-2.2263, 0.5296]"),
        ("d19_sigmoid_twice", "o -1.6103e-04, 1.0919e-02; x 1.5861e-04, -3.2247e-04"),  # -0.1610e-3, 0.0109, ...
        ("d19_ct", "1.9818"),
        ("d19_after", "C = 0.6117"),
        ("ties", "[[[[5.0, 5.0], [5.0, 5.0]]]]"),
    ],
)
def test_programs_of_errata_print_what_the_sources_print(slug, printed):
    assert printed in next(one for one in errata.ERRATA if one.slug == slug).result


@pytest.mark.parametrize("lang", languages())
def test_d19s_network_has_its_printed_figures(parsed, lang):
    """D19's slides, but where the sheet's errata say otherwise: the x's weighted inputs, delta^F by the chain rule."""
    text = parsed[f"{lang}/network-d19.html"].text.replace("\N{MINUS SIGN}", "-")
    for printed in (
        *("0.9820", "0.8808", "0.5000", "0.7311", "0.9526", "0.2689"),
        *("0.2268", "0.8219", "0.1719", "0.8650", "0.6367", "0.0239"),
        *("-0.1356", "0.1203", "0.0245", "-0.0158", "-0.0091", "0.1040", "0.0035", "-0.0071"),
        *("-1.2263", "1.5296", "-1.5720", "1.8573"),  # -2.2263 + 1, ...
    ):
        assert printed in text, printed


def test_d19s_network_after_an_update():
    """C_T falls (the o's cost, while the x's rises); done as D19 does it, its outputs are those that it prints."""
    before, images = ox.start(), (ox.RING, ox.CROSS)
    after = before.updated(ox.run(before, *images).gradients)
    assert ox.run(after, *images).C < ox.run(before, *images).C
    six = (ox.RING, ox.RING, ox.RING_DAMAGED, ox.CROSS, ox.CROSS, ox.CROSS_DAMAGED)
    printed = before.updated(ox.run(before, *six, squared=True).gradients)
    np.testing.assert_allclose(ox.run(printed, *images).a_O, [[0.2447, 0.8080], [0.1859, 0.8542]], atol=5e-5)


def test_cns_network_learns_its_digits():
    _, costs, right = networks.trained()
    assert right == 1
    assert costs[-1] < 0.1 < costs[0]


def test_from_a_source_to_line_and_test_in_three_clicks(parsed):
    """M17 (7): its source's page, C5, and there the lines of Python and Cython and the test."""
    index = {a["href"] for tag, a in parsed["ja/index.html"].tags if tag == "a"}
    assert "source-m17.html" in index
    assert "c5.html" in {a["href"] for tag, a in parsed["ja/source-m17.html"].tags if tag == "a"}
    page = parsed["ja/c5.html"].text
    for place in ("cnnx/reference/conv2d.py", "cnnx/optimized/conv2d.pyx", "test_m17_5_to_9"):
        assert place in page


# -------------------------------------------------------------------------------------------------- in a browser

WIDTHS = (360, 800, 1400)
LOOKED_AT = ("index", "network-d19", "network-cn", "source-m17", "c1", "c5", "p2", "a2", "n4", "symbols", "homework")


@pytest.mark.slow
@pytest.mark.parametrize("lang", languages())
def test_no_page_is_wider_than_the_window(folder, tmp_path, lang):
    """Frames of three widths: a page within is as wide as its frame."""
    frames = "".join(
        f'<iframe width="{width}" height="900" src="{(folder / lang / name).as_uri()}" id="{name}-{width}"></iframe>'
        for name in (f"{name}.html" for name in LOOKED_AT)
        for width in WIDTHS
    )
    script = """<script>onload = () => {
        const over = f => [f.id, f.contentDocument.documentElement.scrollWidth - f.clientWidth];
        document.body.dataset.found = JSON.stringify([...document.querySelectorAll("iframe")].map(over)) }</script>"""
    (tmp_path / "outer.html").write_text(f"<!DOCTYPE html><body>{frames}{script}")
    dom = chromium("--allow-file-access-from-files", "--dump-dom", "outer.html", cwd=tmp_path).stdout.decode()
    found = json.loads(re.search(r'data-found="(.*?)"', dom)[1].replace("&quot;", '"'))
    assert len(found) == len(LOOKED_AT) * len(WIDTHS)
    assert [one for one in found if one[1] > 0] == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(folder, tmp_path, scheme):
    """axe-core, in both colour schemes: CNNX_AXE names its axe.min.js (npm has it as axe-core)."""
    axe = os.environ.get("CNNX_AXE")
    if not axe:
        pytest.skip("CNNX_AXE does not name axe-core's axe.min.js")
    for name in ("style.css", "script.js"):
        shutil.copy(folder / name, tmp_path / name)
    shutil.copy(axe, tmp_path / "axe.js")
    (tmp_path / "ja").mkdir()
    run = """<script src="../axe.js"></script><script>onload = async () => {
        const found = await axe.run();
        const told = v => [v.id, v.nodes.slice(0, 3).map(n => n.html)];
        document.body.dataset.found = JSON.stringify(found.violations.map(told)) }</script></body>"""
    for name in (f"{name}.html" for name in LOOKED_AT):
        text = (folder / "ja" / name).read_text(encoding="utf-8")
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", run)
        (tmp_path / "ja" / name).write_text(text, encoding="utf-8")
        dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
        options = ["--allow-file-access-from-files", "--virtual-time-budget=60000", "--dump-dom", *dark]
        dom = chromium(*options, f"ja/{name}", cwd=tmp_path).stdout.decode()
        found = re.search(r'<body data-found="(.*?)"', dom)
        assert found, f"{name}: axe did not end"
        assert found[1] == "[]", f"{name}: {found[1][:2000]}"


def test_refusals(tmp_path, capsys):
    taken = Path(tmp_path / "file")
    taken.touch()
    assert cli.main(["pages", str(taken)]) == 2
    assert "DIR: expected a folder or a new name" in capsys.readouterr().err
