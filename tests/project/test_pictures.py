"""README's pictures are what `python .images/draw.py` draws."""

import importlib.util
import xml.etree.ElementTree

import pytest
from paths import ROOT

pytestmark = pytest.mark.once

FOLDER = ROOT / ".images"


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["use.svg", "audit.svg", "speed.svg"])
def test_a_picture_is_what_is_drawn(draw, name):
    drawn = draw.DRAWN[name]()
    assert (FOLDER / name).read_text(encoding="utf-8") == drawn
    words = " ".join(xml.etree.ElementTree.fromstring(drawn).itertext())
    assert {"use.svg": "0.9820", "audit.svg": "FAIL", "speed.svg": "SLOWER"}[name] in words


def test_every_drawing_is_shown(draw):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(.images/{name})" in readme for name in draw.DRAWN)
