"""`cnnx doctor` names what is wrong, and nothing else."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

import cnnx
from cnnx import cli, native
from cnnx.backend import registry
from cnnx.cli import doctor


def examined(capsys):
    """The exit code and what `cnnx doctor --json` printed."""
    code = cli.main(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_sound_installation(capsys):
    code, found = examined(capsys)
    assert (code, found["problems"]) == (0, [])
    facts = found["facts"]
    assert facts["cnnx"].startswith(cnnx.__version__)
    assert facts["NumPy"] == np.__version__
    assert facts["extension"] == native.build_info()["path"]
    assert re.match(r"(gcc|clang|MSVC) \d+\.\d+.*, Cython 3\.\d+\.\d+$", facts["compiler"])
    assert facts["threads"].startswith(f"{cnnx.get_num_threads()} (")
    assert facts["active"] == "optimized (default)"
    assert all(re.match(r"[1-9]\d* kernels$", facts[f"back end {name}"]) for name in ("reference", "optimized"))
    assert None not in facts.values()


def test_the_build_is_reported(capsys):
    built = native.build_info()
    _, found = examined(capsys)
    assert found["facts"]["OpenMP"] is built["openmp"]
    assert found["facts"]["checked"] is built["checked"]
    assert ("CNNX_OPENMP" in str(found["notices"])) is not built["openmp"]
    assert ("CNNX_CHECKED" in str(found["notices"])) is built["checked"]


@pytest.mark.parametrize(("offered", "better"), [("v9", True), ("built", False)])
def test_a_processor_that_has_more_than_was_built(capsys, monkeypatch, offered, better):
    built = native.build_info()["instruction_sets"]
    cpu = native.load("optimized._cpu")
    monkeypatch.setattr(cpu, "offered", lambda: (*built, offered) if better else built)
    code, found = examined(capsys)
    assert (code, found["problems"]) == (0, [])
    assert found["facts"]["instruction sets built"] == ", ".join(built)
    assert found["facts"]["instruction set"].startswith(native.instruction_set())
    notices = [notice for notice in found["notices"] if "CNNX_BUILD_ISA" in notice]
    assert len(notices) == better
    assert all("this processor has v9, which would be faster and was not built" in notice for notice in notices)


def test_text_is_aligned(capsys):
    assert cli.main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    facts = lines[: lines.index("")]
    assert len({re.match(r".*?\s{2,}", line).end() for line in facts}) == 1
    assert lines[-1] == "nothing is wrong"


def test_unknown_back_end(capsys, monkeypatch):
    monkeypatch.setenv("CNNX_BACKEND", "nosuch")
    code, found = examined(capsys)
    assert code == 1
    assert found["facts"]["active"] is None
    (problem,) = found["problems"]
    assert problem.startswith("CNNX_BACKEND: no back end is called 'nosuch'; there are reference, optimized")


def test_chosen_back_end(capsys, monkeypatch):
    monkeypatch.setenv("CNNX_BACKEND", "reference")
    code, found = examined(capsys)
    assert (code, found["facts"]["active"]) == (0, "reference (CNNX_BACKEND)")


@pytest.mark.parametrize("value", ["none", "0", "1000000"])
def test_wrong_thread_count(capsys, monkeypatch, value):
    monkeypatch.setenv("CNNX_NUM_THREADS", value)
    monkeypatch.setattr(native, "_threads", None)  # a new process would read the environment
    code, found = examined(capsys)
    assert code == 1
    assert [p for p in found["problems"] if "CNNX_NUM_THREADS" in p and value in p] == found["problems"] != []


def test_given_thread_count(capsys, monkeypatch):
    monkeypatch.setenv("CNNX_NUM_THREADS", "1")
    monkeypatch.setattr(native, "_threads", None)
    code, found = examined(capsys)
    assert (code, found["facts"]["threads"]) == (0, "1 (CNNX_NUM_THREADS=1)")


def test_missing_extension(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cnnx.optimized._threads", None)
    code = cli.main(["doctor"])
    out = capsys.readouterr().out
    assert code == 1
    assert "problem: cnnx.optimized._threads cannot be imported" in out
    assert "build cnnx again" in out


def test_wrong_kernel(capsys, monkeypatch):
    def wrong(*arrays, **numbers):
        arrays[-1][...] = 0

    monkeypatch.setitem(registry.specialised, ("optimized", "conv2d", "float64"), wrong)
    code, found = examined(capsys)
    assert code == 1
    assert "conv2d" in found["problems"][0]
    assert "float64" in found["problems"][0]


def test_back_end_of_an_entry_point_that_does_not_load(capsys, monkeypatch):
    point = importlib.metadata.EntryPoint("theirs", "no_such_module:kernels", registry.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: importlib.metadata.EntryPoints([point]))
    code, found = examined(capsys)
    assert code == 1
    assert "no_such_module" in found["problems"][0]


def test_processor(monkeypatch):
    v2 = f"processor : 0\nmodel name : A model\nflags : fpu {native.X86_LEVELS['x86-64-v2']}"
    v4_without_v3 = f"{v2} {native.X86_LEVELS['x86-64-v4']}"
    v4 = f"{v4_without_v3} {native.X86_LEVELS['x86-64-v3']}"
    monkeypatch.setattr(native.platform, "machine", lambda: "x86_64")
    for cpuinfo, level in {"flags : fpu": 1, v2: 2, v4_without_v3: 2, v4: 4}.items():
        monkeypatch.setattr(Path, "exists", lambda self: True)
        monkeypatch.setattr(Path, "read_text", lambda self, cpuinfo=cpuinfo: f"{cpuinfo}\n\nprocessor : 1\nflags :\n")
        assert native.processor().startswith(f"x86-64-v{level} (")
    monkeypatch.setattr(native.platform, "machine", lambda: "aarch64")
    assert native.processor() == "aarch64"


def test_extras_are_those_of_the_metadata():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        name: re.match(r"[\w-]+", requirements[0])[0]
        for name, requirements in project["optional-dependencies"].items()
        if name not in ("test", "peers", "field", "all")  # for users
    }
    assert extras == doctor.EXTRAS
