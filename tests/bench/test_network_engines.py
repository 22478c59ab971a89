"""benchmarks/networks.py on a network of two layers."""

import sys

import numpy as np
import pytest
from paths import ROOT

from cnnx import nn

pytestmark = pytest.mark.once
pytest.importorskip("onnxruntime", reason="it is compared with")
io = pytest.importorskip("cnnx.io")


@pytest.fixture
def networks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield pytest.importorskip("networks")
    for name in ("networks", "network_engines"):
        sys.modules.pop(name, None)


@pytest.fixture
def file(tmp_path, networks):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8, seed=0), nn.ReLU(), nn.GlobalAvgPool2d()).eval()
    io.export_onnx(model, tmp_path / "small.onnx", (3, 224, 224))
    return tmp_path / "small.onnx"


def test_engines_take_turns(networks, file):
    names = ["cnnx", "cnnx-auto", "onnxruntime"]
    found = networks.measure(file, names, batch=2, threads=1, rounds=2, cpu=False)
    assert found["missing"] == {}
    for name, one in found["engines"].items():
        assert len(one["seconds"]) == 2
        assert all(seconds > 0 for seconds in one["seconds"])
        assert one["away"] < 1e-5
        assert one["MiB"] > 0, name
    best, ratios = networks.ratios(found["engines"])
    assert (best, set(ratios)) == ("onnxruntime", {"cnnx", "cnnx-auto"})


def test_other_results_are_named(networks, file, monkeypatch):
    """The second engine's are made 1 % larger."""
    ask = networks.Worker.ask

    def other(worker, question, **more):
        answer = ask(worker, question, **more)
        if worker.name == "onnxruntime" and question == "load":
            np.save(more["save"], np.load(more["save"]) * 1.01)
        return answer

    monkeypatch.setattr(networks.Worker, "ask", other)
    found = networks.measure(file, ["cnnx", "onnxruntime"], batch=1, threads=1, rounds=1, cpu=False)
    assert list(found["engines"]) == ["cnnx"]
    assert "other results than cnnx's: 1.0e-02 of the largest away" in found["missing"]["onnxruntime"]


def test_ratios_are_of_rounds(networks):
    """Medians by hand: b is best (2); its rounds by ours: 2 / 1, 2 / 4, 3 / 2."""
    times = {"cnnx": [1, 4, 2], "a": [5, 5, 5], "b": [2, 2, 3]}
    best, ratios = networks.ratios({name: {"seconds": seconds} for name, seconds in times.items()})
    assert (best, ratios) == ("b", {"cnnx": 1.5})


def test_a_network_that_is_not_there_is_named(networks, monkeypatch, tmp_path):
    monkeypatch.delattr(nn, "unet", raising=False)
    assert networks.write("unet", tmp_path / "unet.onnx") == "cnnx.nn has no unet"
