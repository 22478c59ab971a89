"""`cnnx bench --cases`: verdicts, runs beside NumPy and, where it is installed, torch; the memory of convolutions."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

import cnnx
from cnnx import native
from cnnx.bench import memory
from cnnx.bench.against import Outcome
from cnnx.bench.builds import Build
from cnnx.bench.cases_file import read
from cnnx.bench.measure import DIFFERS
from cnnx.bench.process import environment
from cnnx.bench.record import LIMIT, Measured, Record, load_json
from cnnx.bench.targets import judge, verdict
from cnnx.cli import _targets, main

pytestmark = pytest.mark.once

FILE = ROOT / "benchmarks" / "targets.toml"
TARGETS = read(FILE)
BENCH = ["bench", "--cases", str(FILE)]

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed (extra peers)")
needs_linux = pytest.mark.skipif(not memory.FORGET.exists(), reason="this system has no /proc/self/clear_refs")


# --------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("ratio", "least", "quartiles", "expected"),
    [
        (1.0, 1.0, None, "reached"),
        (0.99, 1.0, None, "missed"),
        (1.2, 1.0, (1.1, 1.3), "reached"),
        (1.2, 1.0, (0.9, 1.3), "reached?"),
        (0.8, 1.0, (0.7, 1.1), "missed?"),
        (None, 1.0, None, "-"),
        (5.0, None, None, "-"),
    ],
)
def test_verdict(ratio, least, quartiles, expected):
    assert verdict(ratio, least, quartiles) == expected


def run_of(ratios, threads=1, beside="torch", isa="v4"):
    """A record of figures with these ratios, or a reason why there are none."""
    record = Record({"processor": "p", "instruction set": isa})
    for key, found in ratios.items():
        [figure] = TARGETS.chosen(cases=[key], threads=[threads])
        measured = Measured(figure, seconds=[1e-3] * 3)
        if isinstance(found, str):
            measured.missing[beside] = found
        else:
            measured.ratios[beside] = found
        record.figures.append(measured)
    return record


def test_a_ratio_is_the_median_of_rounds_between_quartiles():
    [found] = judge(run_of({"conv D": [3.0, 1.0, 2.0, 4.0, 1.0]}), TARGETS, ["torch"])["figures"]
    assert (found["ratio"], found["quartiles"], found["target"]) == (2.0, (1.0, 3.0), 1.0)
    assert (found["seconds"], found["beside"], found["threads"]) == (1e-3, "torch", 1)
    assert found["verdict"] == "reached"
    [found] = judge(run_of({"conv D": [0.5]}, threads=2), TARGETS, ["torch"])["figures"]
    assert (found["quartiles"], found["verdict"]) == ((0.5, 0.5), "missed")
    [found] = judge(run_of({"conv D": [0.89]}, isa="v3"), TARGETS, ["torch"])["figures"]
    assert (found["target"], found["verdict"]) == (0.9, "missed")


def test_a_target_is_about_one_peer_or_the_limit():
    [found] = judge(run_of({"conv D": [0.5]}, beside="numpy"), TARGETS, ["numpy"])["figures"]
    assert (found["ratio"], found["target"], found["verdict"]) == (0.5, None, "-")
    [found] = judge(run_of({"peak D": [0.95]}, beside=LIMIT), TARGETS, ["torch"])["figures"]
    assert (found["beside"], found["target"], found["verdict"]) == (LIMIT, 0.9, "reached")


def test_geometric_mean():
    ratios = {f"conv {entry.name}": [2.0] for entry in TARGETS.groups["conv"].entries}
    ratios["conv A"] = [0.5]

    def mean():
        [found] = judge(run_of(ratios), TARGETS, ["torch"])["means"]
        return found

    assert mean()["ratio"] == pytest.approx(2 ** (9 / 11))
    assert (mean()["target"], mean()["verdict"]) == (1.85, "missed")
    ratios["conv A2"] = [16.0]
    assert mean()["verdict"] == "reached"
    ratios["conv B"] = f"{DIFFERS} by more than 2e-05 of the largest number"
    assert (mean()["name"], mean()["verdict"]) == ("conv, geometric mean of 10", "-"), "of some it says nothing"
    assert mean()["ratio"] == pytest.approx((2**8 * 16 * 0.5) ** (1 / 10)), "a wrong result has no part in it"


def test_the_table():
    lacking = {"conv A2": "it has none", "conv E": f"{DIFFERS} by more than 0.0001 of the largest number"}
    record = run_of({"conv D": [2.0], **lacking, "pool max 2x2 forward": [30.0]})
    record.targets = judge(record, TARGETS, ["torch"]) | {"sides": {"torch": {"instruction set": "AVX2"}}}
    lines = [re.split(r"  +", line) for line in _targets.lines(record)]
    assert ["torch says that it uses AVX2"] in lines
    assert ["conv D", "1 ms", "2 ms", "2.00", "2.00-2.00", "1.00", "reached"] in lines
    assert ["conv A2", "1 ms", "-", "-", "8.00", "-"] in lines
    assert ["conv E", "1 ms", "-", "-", "1.00", "WRONG"] in lines
    assert ["conv, geometric mean of 1", "2.00", "1.85", "-"] in lines
    assert ["torch: none for conv A2: it has none"] in lines


# ------------------------------------------------------------------------------------------------- runs


SMALL = """
[groups.dense]
op = "affine"
beside = "numpy"
x = [8, 60]
weight = [20, 60]
[groups.dense.cases]
forward = { target_ratio = { v2 = [99.0], v3 = [99.0], v4 = [99.0], baseline = [99.0] } }
"x alone" = { direction = "grad_input" }

[groups.share]
op = "affine"
beside = "limit"
x = [8, 60]
weight = [20, 60]
target_ratio = { v2 = [0.001], v3 = [0.001], v4 = [0.001], baseline = [0.001] }
cases = { forward = {} }
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_a_run_beside_a_peer_and_the_limit(small, tmp_path, capsys):
    path = tmp_path / "run.json"
    options = ["--vs", "numpy", "--threads", "1", "--rounds", "2", "--json", str(path)]
    assert main(["bench", "--cases", str(small), *options]) == 0
    out = capsys.readouterr().out
    record = Record.from_dict(load_json(path))
    alone, forward, share = sorted(record.figures, key=lambda m: (m.figure.direction != "grad_input", m.figure.case))
    assert [m.figure.case for m in record.figures] == ["dense forward", "dense x alone", "share forward"]
    assert (set(forward.ratios), set(alone.ratios), set(share.ratios)) == ({"numpy"}, set(), {LIMIT})
    assert all(len(samples) == 2 for m in record.figures for samples in m.ratios.values())
    assert alone.missing == {"numpy": "its back end is timed by public calls alone"}
    assert share.multiply_adds == 8 * 60 * 20
    assert record.targets["file"] == str(small)
    assert {v["name"]: (v["beside"], v["verdict"]) for v in record.targets["figures"]} == {
        "dense forward": ("numpy", "missed"),
        "dense x alone": ("numpy", "-"),
        "share forward": (LIMIT, "reached"),
    }
    assert set(record.targets["sides"]) == {"cnnx", "numpy"}
    assert re.search(r"^dense forward .* [\d.]+-[\d.]+ +99.00 +missed$", out, re.MULTILINE), out
    assert re.search(r"^share forward .* [\d.]+-[\d.]+ +0.00 +reached$", out, re.MULTILINE), out
    assert re.search(r"^1 thread: at most \d+ GFLOP/s", out, re.MULTILINE)
    again = tmp_path / "again.json"
    record.write(again)
    assert load_json(again) == load_json(path)
    assert main(["bench", "--compare", str(path), str(path)]) == 3  # of two rounds no test can say anything
    assert "too few rounds for any alarm" in capsys.readouterr().out


def test_a_result_that_differs_is_an_exit_code(tmp_path, capsys):
    """No two functions of float32 agree as exactly as this file asks for."""
    path = tmp_path / "cases.toml"
    path.write_text('[groups.strict.cases.A]\nop = "sigmoid"\ntolerance = 1e-12\nx = [1000]\n')
    assert main(["bench", "--cases", str(path), "--vs", "numpy", "--threads", "1", "--rounds", "1"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^strict A .* WRONG$", out, re.MULTILINE), out
    assert f"numpy: none for strict A: {DIFFERS} by more than 1e-12 of the largest number" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--group", "convolution", "--vs", "torch"], "group: expected one of 12 names, got 'convolution'"),
        (["--case", "D", "--vs", "torch"], "case: expected one of conv A, conv A2, "),
        (["--group", "pool", "--case", "conv D", "--vs", "torch"], "case: expected one of pool max 2x2 forward, "),
        ([], "--cases: expected --vs, as "),
        (["--memory", "--vs", "numpy"], "--vs: expected none with --memory"),
        (["--memory", "--json"], "--json: expected none with --memory"),
        (["--memory", "--against", "HEAD"], "--memory: expected none with --against"),
        (["--memory", "--group", "pool"], "--memory: expected a direct convolution, forward, among the cases"),
        (["--compare", "a.json"], "--cases: expected none with --compare"),
        (["--isa", "v5"], "invalid choice: 'v5'"),
        (["--default-malloc", "--against", "HEAD"], "--default-malloc: expected none with --against"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main([*BENCH, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_what_needs_a_file_of_cases(capsys):
    for option in (["--group", "conv"], ["--memory"]):
        assert main(["bench", *option]) == 2
        assert f"{option[0]}: expected --cases FILE beside it" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- instruction sets


def test_another_instruction_set_than_that_in_use(monkeypatch, capsys):
    monkeypatch.setenv("CNNX_ISA", native.instruction_set())
    monkeypatch.setattr(native, "_isa", "v1")
    assert main([*BENCH, "--vs", "torch", "--isa", "v3"]) == 2
    assert "--isa: expected v1, whose kernels are in use already, got 'v3'" in capsys.readouterr().err


@pytest.mark.skipif(len(native.instruction_sets()) < 2, reason="one instruction set was built, or is offered")
def test_kernels_and_peers_are_limited(small, tmp_path):
    least, path = native.instruction_sets()[0], tmp_path / "run.json"
    environ = {name: value for name, value in os.environ.items() if name != "CNNX_ISA"}

    def limited(*options):
        command = [sys.executable, "-m", "cnnx", "bench", "--cases", str(small), "--isa", least, "--threads", "1"]
        return subprocess.run([*command, *options], env=environ, capture_output=True, text=True, check=False)

    done = limited("--vs", "numpy")
    assert done.returncode == 2
    assert "--isa: expected no --vs numpy, which cannot be limited to an instruction set" in done.stderr
    done = limited("--rounds", "1", "--group", "share", "--json", str(path))
    assert done.returncode == 0, done.stderr
    record = Record.from_dict(load_json(path))
    assert record.fingerprint["instruction set"] == record.targets["instruction_set"] == least


def test_environments():
    assert environment(1, "v3")["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environment(1, "v2")["ONEDNN_MAX_CPU_ISA"] == "SSE41"
    assert "ATEN_CPU_CAPABILITY" not in environment(1, "v4")
    assert environment(2, "v4")["MALLOC_MMAP_MAX_"] == "0"
    assert not [name for name in environment(2, "v4", keep_memory=False) if name.startswith("MALLOC")]


# ----------------------------------------------------------------------------------------------- memory


@needs_linux
def test_the_memory_that_is_allowed(monkeypatch):
    """One copy of the padded image for each column of the kernel and each thread; im2col takes a copy for each tap."""
    asked = []

    def run(command, **options):
        asked.append(options["env"])
        return subprocess.CompletedProcess(command, 0, stdout=f"{1000 + len(asked)}\n")

    monkeypatch.setattr(memory.subprocess, "run", run)
    arrays = {"x": np.ones((8, 64, 56, 50), "float32"), "weight": np.ones((64, 64, 3, 5), "float32")}
    found = memory.needed(arrays, 2, {"padding": 1})
    assert found == memory.Needed(1001, 2 * 5 * 64 * 58 * 52 * 4, 64 * 15 * 56 * 48 * 4, 8 * 64 * 15 * 56 * 48 * 4)
    assert found.within
    assert not memory.Needed(2**20 + 11, 10, 10, 10).within
    assert len(asked) == memory.RUNS
    assert not [name for name in asked[0] if name.startswith("MALLOC")]


@needs_linux
def test_memory_of_a_convolution(capsys):
    assert main([*BENCH, "--memory", "--case", "conv I", "--threads", "1"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("conv I "))
    threads, *sizes, within = re.split(r"  +", line)[1:]
    assert (threads, sizes[1:], within) == ("1", ["4.93 MiB", "3.45 MiB", "27.56 MiB"], "yes")


# ------------------------------------------------------------------------------------------------ torch


def test_cases_of_a_file_against_a_commit(small, monkeypatch, capsys):
    """The figures and the calls are the file's, and CN's network, which is no op, is not audited."""
    small.write_text(SMALL + '[groups.t.cases.A]\nop = "cn_network"\nx = [1, 1, 8, 8]\n')
    audited, asked = [], []
    monkeypatch.setattr("cnnx.bench.run._passes_in", lambda folder, op, dtypes: not audited.append(op))

    class Built:
        root = Path()

        def __init__(self, start):
            pass

        def commit(self, revision):
            return revision

        def build(self, revision, instruction_set, say):
            return Build(str(revision), Path("/nowhere"))

    def against(base, tree, figures, budgets, call, rounds, again, clock):
        asked.extend(call(figure) for figure in figures)
        return Outcome(base, tree, ratios={figures[0]: [1.0]})

    monkeypatch.setattr("cnnx.cli.bench.Repository", Built)
    monkeypatch.setattr("cnnx.cli.bench.in_turns", lambda call: call)
    monkeypatch.setattr("cnnx.cli.bench.against", against)
    assert main(["bench", "--against", "HEAD", "--cases", str(small)]) == 0
    assert [call.figure.case for call in asked] == ["dense forward", "dense x alone", "share forward", "t A"]
    assert asked[0].arrays["x"].shape == (8, 60)
    assert audited == ["affine"]
    assert "no regression" in capsys.readouterr().out


@needs_torch
def test_a_run_beside_torch(tmp_path):
    """A figure of each kind: results agree, and nothing is missing."""
    path = tmp_path / "run.json"
    chosen = ["conv A2", "winograd E", "grad-input A2", "grad-weight A2", "training batch 10", "softmax (64, 10)"]
    chosen += ["overhead conv2d (1,1,3,3)", "affine 400->120 grad-weight", "affine 400->120 grad-input"]
    chosen += ["activation sigmoid backward"]
    options = [*(f"--case={name}" for name in chosen), "--vs", "torch", "--threads", "1", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "cnnx", *BENCH, *options, "--json", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(path.read_text())
    assert {figure["case"] for figure in record["figures"]} == set(chosen)
    assert record["versions"]["cnnx"] == cnnx.__version__
    for figure in record["figures"]:
        assert figure["missing"] == {}
        assert len(figure["ratios"]["torch"]) == 1
    assert record["targets"]["sides"]["torch"]["torch"] == record["versions"]["torch"]
