"""benchmarks/vs_peers.py: its arithmetic and its verdicts, and one short run where torch is installed."""

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

import cnnx
from cnnx.bench import process

FOLDER = ROOT / "benchmarks"
sys.path.append(str(FOLDER))

from peers import measure, memory, report  # noqa: E402
from peers.figures import CONVOLUTIONS, FIGURES, GROUPS, Figure, mean_target, target_of  # noqa: E402
from peers.measure import Measured  # noqa: E402

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="torch is not installed (extra peers)")
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system has no clear_refs")


def measured(key, ours, theirs, *, threads=1, apart=0.0):
    return Measured(FIGURES[key], threads, {"cnnx": ours, "torch": theirs}, apart={"torch": apart})


def vs_peers(*arguments, **environment):
    """Run the script in a Python of its own."""
    package = str(Path(cnnx.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, FOLDER / "vs_peers.py", *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# ------------------------------------------------------------------------------------------ the figures


def test_shapes():
    assert CONVOLUTIONS["F"].output == (8, 64, 112, 112)
    assert CONVOLUTIONS["C"].output == (64, 16, 10, 10)
    assert 2 * CONVOLUTIONS["H"].multiply_adds == pytest.approx(7.17e9, rel=1e-3)  # two operations each
    assert 2 * CONVOLUTIONS["J"].multiply_adds == pytest.approx(0.0578e9, rel=1e-3)
    assert len(CONVOLUTIONS) == 11


def test_targets():
    conv = {name: FIGURES[f"conv {name}"] for name in CONVOLUTIONS}
    assert [target_of(conv[name], 1, None) for name in ("A", "A2", "B", "H", "J")] == [4.5, 8.0, 1.0, 0.95, 3.0]
    assert {target_of(figure, 2, None) for figure in conv.values()} == {1.0, 0.95}
    assert {target_of(figure, 1, "v3") for figure in conv.values()} == {0.9}
    assert target_of(conv["A"], 1, "v2") is target_of(conv["A"], 2, "v3") is target_of(conv["A"], 4, None) is None
    assert target_of(FIGURES["training batch 10"], 2, "v4") == 5.0
    assert target_of(FIGURES["overhead conv2d (1,1,3,3)"], 2, None) is None
    assert (mean_target("conv", 2, None), mean_target("conv", 1, "v3"), mean_target("pool", 1, None)) == (
        1.85,
        1.5,
        None,
    )


def test_the_same_arrays_every_time():
    for key in ("conv A2", "float64 E", "softmax (64, 10)"):
        once, again = FIGURES[key].arrays(), FIGURES[key].arrays()
        assert all(np.array_equal(once[name], again[name]) for name in once)
    assert FIGURES["float64 E"].arrays()["x"].dtype == np.float64
    assert set(FIGURES["softmax (64, 10)"].arrays()["target"]) <= set(range(10))


@pytest.mark.parametrize("key", [key for key in FIGURES if FIGURES[key].group != "winograd"])
def test_cnnx_knows_every_figure(key):
    """Its call is there, and gradients come out in the shape of what they belong to; small ones are computed."""
    from peers import of_cnnx

    figure = FIGURES[key]
    assert figure.call in of_cnnx.CALLS
    if figure.group == "overhead" or key in ("conv A2", "grad-input A2", "grad-weight A2", "training batch 10"):
        arrays = figure.arrays()
        call = of_cnnx.prepare(figure, arrays)
        result = getattr(call, "result", call)()
        if figure.call == "grad-input":
            assert result.shape == arrays["x"].shape
            expected, _, _ = cnnx.conv2d_backward(arrays["grad_output"], arrays["x"], arrays["weight"], padding=1)
            assert np.array_equal(result, expected)
            assert call() is not result


def test_winograd_is_missing_or_right():
    from peers import of_cnnx
    from peers.figures import Shape, _convolution

    figure = _convolution("winograd", "D", Shape(1, 8, 8, 8, 8, 3, 3, 1, 1), options={"algorithm": "winograd"})
    arrays = figure.arrays()
    try:
        result = of_cnnx.prepare(figure, arrays)()
    except ValueError as error:
        assert "algorithm" in str(error)  # noqa: PT017
    else:
        direct = cnnx.conv2d(arrays["x"], arrays["weight"], arrays["bias"], padding=1)
        assert np.allclose(result, direct, atol=1e-4)


# ----------------------------------------------------------------------------------------- the arithmetic


def test_ratio_quartiles_and_at_best():
    m = measured("conv D", [1.0, 2.0, 1.0, 1.0, 9.0], [3.0, 2.0, 2.0, 4.0, 9.0])
    assert m.ratio("torch") == 3.0  # of the medians 3 and 1
    assert m.at_best("torch") == 2.0
    assert m.spread("torch") == (1.0, 3.0)  # of 3, 1, 2, 4, 1
    assert m.ratio("onnxruntime") is m.spread("onnxruntime") is m.at_best("onnxruntime") is None
    assert measured("conv D", [2.0, 5.0], [1.0]).spread("torch") == (0.5, 0.5)  # interrupted in between


@pytest.mark.parametrize(
    ("ratio", "target", "spread", "expected"),
    [
        (1.0, 1.0, None, "yes"),
        (0.99, 1.0, None, "no"),
        (1.2, 1.0, (1.1, 1.3), "yes"),
        (1.2, 1.0, (0.9, 1.3), "yes?"),
        (0.8, 1.0, (0.7, 1.1), "no?"),
        (None, 1.0, None, "no"),
        (5.0, None, None, "-"),
    ],
)
def test_verdict(ratio, target, spread, expected):
    assert report.verdict(ratio, target, spread) == expected


def test_geometric_mean():
    results = [measured(f"conv {name}", [1.0], [2.0]) for name in CONVOLUTIONS]
    results[0] = measured("conv A", [1.0], [0.5])
    found = report.mean(results, "conv", "torch", None)
    assert found["mean"] == pytest.approx(2 ** (9 / 11))
    assert (found["of"], found["target"], found["reached"]) == (11, 1.85, "no")
    results[1] = measured("conv A2", [1.0], [16.0])
    assert report.mean(results, "conv", "torch", None)["reached"] == "yes"
    assert report.mean(results[:3], "conv", "torch", None)["reached"] == "-", "of three alone it says nothing"
    results[2].apart["torch"] = 1.0
    assert report.mean(results, "conv", "torch", None)["of"] == 10, "a wrong result has no part in it"


def test_rows():
    fast, wrong = measured("conv D", [1e-3], [2e-3]), measured("conv E", [1e-6], [1.0], apart=0.1)
    lost = Measured(FIGURES["winograd D"], 1, {"torch": [1.0]}, missing={"cnnx": "algorithm: no"})
    begun = Measured(FIGURES["conv F"], 1)
    lines = {line[0]: line for line in report.rows([fast, wrong, lost, begun], "torch", None)}
    assert lines["conv D"] == ("conv D", "1.00 ms", "2.00 ms", "2.00", "2.00-2.00", "2.00", "1.00", "yes")
    assert lines["conv E"][-1] == "WRONG"
    assert lines["winograd D"][1:] == ("not there", "1.00 s", "-", "-", "-", "2.20", "no")
    assert lines["conv F"][-1] == "-"
    assert lines["conv, geometric mean of 1"][3] == "2.00"
    lost_too = Measured(FIGURES["winograd E"], 2, missing={"cnnx": "algorithm: no"})
    assert report.notes([fast, lost, lost_too, lost, wrong]) == [
        "conv E, 1 thread: cnnx and torch are 1.0e-01 apart, 2e-05 is allowed",
        "winograd D, winograd E: cnnx has it not: algorithm: no",
    ]
    assert json.dumps(report.record(wrong, ["torch"], None))


def test_tables():
    lines = [("conv A", "1.00 ms"), ("B", "12.0 us")]
    assert report.table(lines, ("figure", "cnnx")).splitlines() == [
        "figure     cnnx",
        "conv A  1.00 ms",
        "B       12.0 us",
    ]
    markdown = report.table(lines, ("figure", "cnnx"), markdown=True).splitlines()
    assert markdown[1] == "| ------ | ------: |"
    assert {line.count("|") for line in markdown} == {3}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (1.5, "1.50 s"), (0.0123, "12.3 ms"), (0.12345, "123 ms"), (2.5e-6, "2.50 us"), (3e-8, "0.03 us")],
)
def test_times(seconds, text):
    assert report.shown(seconds) == text


# -------------------------------------------------------------------------------------------- the turns


class Noted:
    """A worker that notes when it is asked."""

    def __init__(self, name, diary):
        self.name, self.diary = name, diary

    def rest(self):
        self.diary.append((self.name, "rests"))

    def turns(self, calls):
        self.diary.append((self.name, calls))
        return 0.5


def test_turns_alternate():
    diary, turns, calls = [], {}, {}
    workers = {name: Noted(name, diary) for name in ("cnnx", "torch")}
    measure.alternate(workers, {"cnnx": 1.0, "torch": measure.TURN / 10.5}, 1e-9, turns, calls)
    assert calls == {"cnnx": 1, "torch": 11}, "as many calls as fill a turn"
    assert diary[:4] == [("cnnx", "rests"), ("torch", "rests"), ("cnnx", 1), ("torch", 11)]
    assert len(turns["cnnx"]) == len(turns["torch"]) <= measure.FEWEST_TURNS
    measure.alternate(workers, {"cnnx": 1.0, "torch": 1.0}, 1.0, turns, calls)
    assert len(turns["cnnx"]) == measure.MOST_TURNS
    assert diary[-2:] == [("cnnx", 1), ("torch", 1)]


@pytest.fixture
def worker():
    with measure.Worker("cnnx", measure.environment("cnnx", 1)) as started:
        yield started


def test_cnnx_against_itself(worker, tmp_path):
    """Two processes of one framework: the same bits."""
    figure = FIGURES["conv A2"]
    found = Measured(figure, 1)
    with measure.Worker("cnnx", measure.environment("cnnx", 1)) as other:
        measure.measure(figure, 1, {"cnnx": worker, "torch": other}, tmp_path, 0.05, found)
    assert found.apart == {"torch": 0.0}
    assert found.agrees("torch")
    assert found.missing == {}
    assert all(seconds > 0 for turns in found.turns.values() for seconds in turns)
    assert worker.about["threads"] == 1


def test_the_limits(tmp_path):
    with measure.Worker("limits", measure.environment("limits", 1)) as limits:
        found = measure.limits(limits, 0.05)
        answer = limits.ask("prepare", figure="peak D", save=str(tmp_path / "none.npz"))
    assert min(found["multiply_adds"]) > 1e8
    assert min(found["copy"]) > 1e7
    assert answer["seconds"] > 0


def test_a_worker_that_fails(worker):
    with pytest.raises(process.WorkerError, match="cnnx: KeyError: 'nothing'"):
        worker.ask("prepare", figure="nothing", save="nowhere")
    assert worker.ask("about") == worker.about, "it goes on"
    worker._process.kill()
    with pytest.raises(process.WorkerError, match="cnnx: its process ended with code -9"):
        worker.turns(1)


def test_a_process_comes_to_rest(worker):
    process.wait_for_rest(worker._process.pid)
    process.wait_for_rest(2**22 + 1)  # it is gone


# -------------------------------------------------------------------------------------------- agreement


def apart(tmp_path, ours, theirs):
    for name, arrays in (("a", ours), ("b", theirs)):
        np.savez(tmp_path / f"{name}.npz", *arrays)
    return measure.difference(tmp_path / "a.npz", tmp_path / "b.npz")


def test_difference(tmp_path):
    x = np.array([1.0, -4.0], "float32")
    assert apart(tmp_path, [x], [x]) == 0
    assert apart(tmp_path, [x, x], [x, x + 0.5]) == pytest.approx(0.5 / 3.5)
    assert apart(tmp_path, [np.zeros(2)], [np.zeros(2)]) == 0
    for wrong in ([x[:1]], [x, x], [np.array([1.0, np.nan])], [np.array([1.0, np.inf])], [np.zeros(2)]):
        assert apart(tmp_path, [x], wrong) == math.inf


def test_a_wrong_result_is_found(tmp_path):
    """One number among many, off by a thousandth of the largest."""
    right = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    wrong = right.copy()
    wrong[1, 2, 3] += 1e-3 * np.abs(right).max()
    m = measured("conv D", [1.0], [1.0], apart=apart(tmp_path, [right], [wrong]))
    assert not m.agrees("torch")
    assert report.row(m, "torch", None)[-1] == "WRONG"


# ------------------------------------------------------------------------------------------ environment


def test_environments():
    assert measure.environment("cnnx", 2, "v3")["CNNX_ISA"] == "v3"
    assert measure.environment("torch", 1, "v3")["ATEN_CPU_CAPABILITY"] == "avx2"
    assert "CNNX_ISA" not in measure.environment("cnnx", 1)
    for name in ("cnnx", "torch", "limits", "onnxruntime"):
        chosen = measure.environment(name, 2)
        assert chosen["OMP_NUM_THREADS"] == "2"
        assert "MALLOC_TRIM_THRESHOLD_" in chosen
        assert not [n for n in measure.environment(name, 2, keep_memory=False) if n.startswith("MALLOC")]


def test_what_the_shell_has_set_is_left_out(monkeypatch):
    monkeypatch.setenv("CNNX_BACKEND", "reference")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    seen = measure.inherited(measure.environment("cnnx", 1))
    assert not {"CNNX_BACKEND", "OMP_WAIT_POLICY"} & set(seen)
    assert {"PATH", "CNNX_NUM_THREADS"} <= set(seen)


def test_the_memory_that_is_allowed():
    assert memory.allowed(CONVOLUTIONS["D"], 2) == 2 * 3 * 64 * 58 * 58 * 4
    assert memory.im2col(CONVOLUTIONS["D"]) == 64 * 9 * 56 * 56 * 4


# --------------------------------------------------------------------------------------------- the script


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "conv,nothing"], "expected some of conv,peak"),
        (["--threads", "0"], "expected an integer of at least 1, got '0'"),
        (["--seconds", "no"], "expected seconds above 0, got 'no'"),
        (["--figure", "conv Z"], "there is no 'conv Z'"),
        (["--isa", "v3", "--peer", "onnxruntime"], "onnxruntime cannot be limited"),
    ],
)
def test_usage(arguments, words):
    done = vs_peers(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_peer_that_is_not_installed(tmp_path):
    """A module of that name that cannot be imported comes first."""
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch')")
    path = os.pathsep.join((str(tmp_path), str(Path(cnnx.__file__).parent.parent)))
    done = vs_peers("--seconds", "0.01", "--threads", "1", PYTHONPATH=path)
    assert done.returncode == 2, done.stderr
    assert "error: torch cannot be imported: No module named torch; the extra peers has" in done.stderr
    assert "Traceback" not in done.stderr


@needs_torch
def test_a_short_run(tmp_path):
    file = tmp_path / "record.json"
    figures = ["conv A2", "peak D", "winograd E", "grad-input A2", "grad-weight A2", "training batch 10"]
    figures += ["softmax (64, 10)", "overhead conv2d (1,1,3,3)", "affine 400->120 grad-weight"]
    chosen = [argument for name in figures for argument in ("--figure", name)]
    done = vs_peers("--seconds", "0.05", "--threads", "1", "--json", file, *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in figures:
        assert f"\n{name} " in done.stdout
    record = json.loads(file.read_text())
    assert [f"{f['group']} {f['name']}" for f in record["figures"]] == [key for key in FIGURES if key in figures]
    assert record["frameworks"]["1"]["cnnx"]["version"] == cnnx.__version__
    assert record["frameworks"]["1"]["torch"]["threads"] == 1
    assert record["machine"]["processor"]
    for figure in record["figures"]:
        for peer, found in figure["peers"].items():
            assert found["reached"] != "WRONG"
            if "cnnx" not in figure["missing"]:
                assert found["ratio"] == pytest.approx(figure["medians"][peer] / figure["medians"]["cnnx"])
                assert figure["turns"][peer]


@needs_torch
def test_interrupted(tmp_path):
    """Ctrl-C shows what was measured and writes the record."""
    package = str(Path(cnnx.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, FOLDER / "vs_peers.py", "--seconds", "0.1", "--threads", "1", "--json", tmp_path / "r"]
    started = subprocess.Popen(
        [*command, "--only", "overhead,grad-weight"],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "grad-weight A2" not in started.stderr.readline():
        assert started.poll() is None
    started.send_signal(signal.SIGINT)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "interrupted: this is what was measured" in errors
    assert "Traceback" not in errors
    assert "\ngrad-weight A2 " in output
    assert "overhead" not in output
    assert json.loads((tmp_path / "r").read_text())["interrupted"] is True


@needs_proc
@pytest.mark.slow
def test_memory_of_a_convolution():
    extra = memory.measured("F", 1, os.environ.get("CNNX_ISA"))
    assert 0 <= extra <= memory.allowed(CONVOLUTIONS["F"], 1) + memory.SLACK


def test_groups_are_those_of_the_readme():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"groups: {', '.join(GROUPS)}" in text
    assert isinstance(next(iter(FIGURES.values())), Figure)
