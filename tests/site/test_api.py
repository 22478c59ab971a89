"""The reference of public names: each has its entry, nothing is warned of, and equations are linked to it.

`CNNX_SITE` names a folder that `tox -e docs` has written; else Sphinx writes it here, where it is installed.
"""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pages import Tags
from paths import ROOT

import cnnx
from cnnx import cli
from cnnx.pages import api, site

pytestmark = pytest.mark.once

BUILD = ROOT / "docs" / "api" / "build.py"


def modules() -> tuple[str, ...]:
    spec = importlib.util.spec_from_file_location("build", BUILD)
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build.MODULES


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The site, and in it the reference; Sphinx's exit code says that nothing was warned of."""
    if os.environ.get("CNNX_SITE"):
        return Path(os.environ["CNNX_SITE"])
    for name in ("sphinx", "numpydoc", "furo", "matplotlib", "sklearn", "onnx", "safetensors"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: tox -e docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, BUILD, folder / "api"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert cli.main(["pages", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_every_public_name_has_its_entry(folder):
    known = api.entries(folder)
    names = [f"{module}.{name}" for module in modules() for name in importlib.import_module(module).__all__]
    assert len(names) > 190
    assert [name for name in names if name not in known] == []
    for name in names:
        path, _, anchor = known[name].partition("#")
        assert f'id="{anchor}"' in (folder / path).read_text(encoding="utf-8"), name


def test_every_part_with_public_names_is_there():
    """Those that others are not to import from say so by having no `__all__`, or are parts of one that is there."""
    parts = {path.parent.name for path in (ROOT / "cnnx").glob("*/__init__.py") if "__all__" in path.read_text()}
    assert {f"cnnx.{part}" for part in parts} <= {*modules(), "cnnx.ops", "cnnx.backend", "cnnx.lang"}
    for module in ("cnnx.ops", "cnnx.backend", "cnnx.native"):
        assert set(importlib.import_module(module).__all__) <= set(cnnx.__all__)


@pytest.mark.slow
def test_both_ways(folder):
    """From an equation to its functions, and from a function to its equations."""
    conv = Tags((folder / "api" / "cnnx.conv2d_backward.html").read_text(encoding="utf-8"))
    links = {a["href"] for tag, a in conv.tags if tag == "a" and "/en/" in (a.get("href") or "")}
    assert {"../en/c3.html", "../en/c5.html"} <= links
    assert all((folder / "api" / link).is_file() for link in links)
    for lang in ("en", "ja"):
        page = Tags((folder / lang / "c5.html").read_text(encoding="utf-8"))
        found = {a["href"] for tag, a in page.tags if "/api/" in (a.get("href") or "")}
        assert found == {"../api/index.html", "../api/cnnx.conv2d_backward.html#cnnx.conv2d_backward"}
        assert all((folder / lang / link.partition("#")[0]).is_file() for link in found)


@pytest.mark.slow
def test_it_needs_no_network(folder):
    for path in (folder / "api").glob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"([^\"]*)", path.read_text(encoding="utf-8")
        )
        assert loaded
        assert [one for one in loaded if re.match("(https?:)?//", one)] == [], path.name


def inventory(folder: Path, lines: str) -> None:
    (folder / "api").mkdir()
    head = b"# Sphinx inventory version 2\n# Project: cnnx\n# Version: 1\n# The rest is compressed.\n"
    (folder / "api" / "objects.inv").write_bytes(head + zlib.compress(lines.encode()))


def test_an_equation_links_to_the_names_that_are_there(tmp_path):
    names = ("cnnx.affine", "cnnx.affine_backward")
    lines = [f"{name} py:function 1 {name}.html#$ -" for name in names]
    inventory(tmp_path, "\n".join([*lines, "other std:doc -1 other.html -", ""]))
    known = api.entries(tmp_path)
    assert known == {name: f"api/{name}.html#{name}" for name in names}
    assert api.of_equation("F1", known) == [("cnnx.affine", "api/cnnx.affine.html#cnnx.affine")]
    assert [name for name, _ in api.of_equation("F3", known)] == ["cnnx.affine_backward"]
    assert api.of_equation("C1", known) == []
    page = site.rendered(site._equation("F1", "ja", known), "ja", known)
    assert 'href="../api/cnnx.affine.html#cnnx.affine"' in page
    assert "api/" not in site.rendered(site._equation("F1", "ja", {}), "ja")
    assert 'href="api/index.html"' in site._entrance(known)
    assert "api/" not in site._entrance({})


def test_a_damaged_inventory_is_refused(tmp_path, capsys):
    inventory(tmp_path, "")
    (tmp_path / "api" / "objects.inv").write_bytes(b"a\nb\nc\nd\nno zlib")
    assert cli.main(["pages", str(tmp_path)]) == 2
    assert "expected an inventory that Sphinx wrote" in capsys.readouterr().err
