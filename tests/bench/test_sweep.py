"""benchmarks/sweep.py: its shapes, a few of them measured, what it says of them."""

import sys

import pytest
from paths import ROOT

from cnnx.ops import OPS

pytestmark = pytest.mark.once


@pytest.fixture
def sweep(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield pytest.importorskip("sweep")
    sys.modules.pop("sweep", None)


def row(case, seconds, ratio, work):
    return {
        "op": "relu", "case": case, "direction": "forward", "threads": 1, "seconds": seconds, "ratio": ratio,
        "ratios": {"torch": ratio}, "work": work, "missing": {},
    }  # fmt: skip


def test_shapes_of_nearly_all_ops(sweep):
    cases = sweep.read(sweep.HERE / "sweep.toml")
    entries = [cases.entry(figure) for figure in cases.chosen()]
    assert len(entries) >= 150
    # torch has no lp_pool2d or step; the others move numbers without any arithmetic.
    assert {op.name for op in OPS} - {entry.op for entry in entries} <= {"lp_pool2d", "step", "identity", "flatten"}


def test_figures_are_measured_beside_both_layouts(sweep, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="it is compared with")
    names = ["convolution one image, 3x3 on 3x3", "batch norm 10x4x28x28", "max windows again, 3x3/3"]
    names.append("costs squared error 64x10")
    chosen = [argument for name in names for argument in ("--case", name)]
    monkeypatch.setattr(sys, "argv", ["sweep.py", "--rounds", "1", "--json", str(tmp_path / "found.json"), *chosen])
    assert sweep.main() == 0, capsys.readouterr().out
    rows = sweep.json.loads((tmp_path / "found.json").read_text())
    assert [row["direction"] for row in rows].count("forward") == 3
    assert [row["direction"] for row in rows].count("backward") == 4
    for each in rows:
        assert each["ratio"] == min(each["ratios"][name] for name in ("torch", "torch-nhwc")) > 0
        assert each["missing"] == {}


def test_slopes_are_exponents(sweep, capsys):
    """Four times the work: 8 times the time, of torch 4 times; then in proportion; other series are not continued."""
    rows = [
        row("grows: width, a 1", 1.0, 4.0, 10),
        row("grows: width, a 4", 8.0, 2.0, 40),
        row("grows: width, a 16", 32.0, 2.0, 160),
        row("grows: width, b 1", 1.0, 0.5, 10),
    ]
    assert sweep.report(rows, worst=1, least=0.4) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "0.50" in lines[1]
    assert "width, b 1" in lines[1]
    assert lines[2:4] == [
        "slope 1.50 (torch 1.00)  forward: grows: width, a 4  STEEP",
        "slope 1.00 (torch 1.00)  forward: grows: width, a 16",
    ]
    assert sweep.report(rows, worst=1, least=0.6) == 1
