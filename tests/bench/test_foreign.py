"""Files of other tools, as written (files/README.md): read, compared, a history; pytest-benchmark's, written."""

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from cnnx.bench.compare import compare
from cnnx.bench.curves import curves
from cnnx.bench.drift import FEWEST
from cnnx.bench.foreign import from_json, read_any, read_folder
from cnnx.bench.foreign.to_pytest import as_pytest
from cnnx.bench.record import Figure, Measured, Record, RecordError
from cnnx.bench.run_as_yardstick import RUN, along
from cnnx.cli import main

pytestmark = pytest.mark.once

FILES = Path(__file__).with_name("files")
ASV = FILES / "asv"


def load(name):
    return json.loads((FILES / name).read_text())


def names(record):
    return [str(measured.figure) for measured in record.figures]


# By file: its benchmarks, their rounds, the first round of the first, and what is known of the machine.
READ = {
    "pytest_benchmark_4.json": (["test_it.py::test_sum", "test_it.py::test_sorted"], 10, {"processor", "compiler"}),
    "pytest_benchmark_5.json": (["test_it.py::test_sum", "test_it.py::test_sorted"], 10, {"processor", "compiler"}),
    "google_benchmark.json": (["sum_list", "sort_list/100", "wrong"], 10, {"processors", "caches"}),
    "google_benchmark_aggregates.json": (["sum_list", "sort_list/100"], 1, {"processors", "caches"}),
    "hyperfine.json": (["seq 100, n=100", "seq 20000, n=20000"], 10, set()),
    "pyperf.json": (["sum", "sorted"], 10, {"processor", "processors", "python", "compiler"}),
    "pyperf_one.json": (["sum"], 3, {"processor", "processors", "python", "compiler"}),
}


@pytest.mark.parametrize("name", READ)
def test_benchmarks_of_a_file(name):
    record = read_any(FILES / name)
    expected, rounds, facts = READ[name]
    assert names(record) == expected
    assert {len(measured.seconds) for measured in record.figures if not measured.missing} == {rounds}
    assert facts <= set(record.fingerprint)


def test_seconds_are_those_of_the_file():
    def seconds(name, place=0):
        return read_any(FILES / name).figures[place].seconds

    times = load("hyperfine.json")["results"][0]["times"]  # 12, in ten blocks, of which the first two have two each
    assert seconds("hyperfine.json") == [statistics.mean(times[:2]), statistics.mean(times[2:4]), *times[4:]]
    runs = [one for one in load("google_benchmark.json")["benchmarks"] if one["name"] == "sort_list/100"]
    assert seconds("google_benchmark.json", 1) == pytest.approx([1e-9 * one["real_time"] for one in runs])
    (median,) = (
        one for one in load("google_benchmark_aggregates.json")["benchmarks"] if one["name"] == "sum_list_median"
    )
    assert seconds("google_benchmark_aggregates.json") == pytest.approx([1e-9 * median["real_time"]])
    processes = [run["values"] for run in load("pyperf.json")["benchmarks"][1]["runs"]]
    assert seconds("pyperf.json", 1) == [statistics.median(values) for values in processes]


def test_what_failed_is_said():
    wrong = read_any(FILES / "google_benchmark.json").figures[2]
    assert (wrong.seconds, wrong.missing) == ([], {"seconds": "it failed: no input"})
    found = compare(*[read_any(FILES / "google_benchmark.json")] * 2)
    assert {str(figure): why for figure, why in found.unlike.items()} == {"wrong": "it failed: no input"}


def test_results_of_asv():
    first, second, third = read_folder(ASV)
    assert [record.commit for record in (first, second, third)] == ["e6b6240781b5", "f30905c1f0bc", "9b0ca6af6d02"]
    assert first.date == "2026-11-30T21:17:37+00:00"
    assert names(first)[:2] == ["sums.Sums.time_sum, 10, 'list'", "sums.Sums.time_sum, 1000, 'list'"]
    missing = {str(measured.figure): measured.missing["seconds"] for measured in first.figures if measured.missing}
    assert missing == {
        "sums.Sums.time_wrong, 10, 'list'": "it failed",
        "sums.peakmem_list": "it is no time",
        "sums.track_length": "it is no time",
    }
    assert [len(record.figures[0].seconds) for record in (first, second, third)] == [
        10,
        10,
        1,
    ]  # no samples: the median
    found = compare(second, third)
    (changed,) = (figure for figure, why in found.unlike.items() if "the benchmark itself was changed" in why)
    assert str(changed) == "sums.time_sorted"
    old = {**json.loads(next(ASV.rglob("e6b6*.json")).read_text()), "version": 1}
    with pytest.raises(RecordError, match="version 1, not 2: asv update brings it up to date"):
        from_json(old)


def slower(path, name, factor):
    """The file of the tool with all times of one benchmark by a factor larger."""
    found = load(path)
    if "machine_info" in found:
        (one,) = (each for each in found["benchmarks"] if each["name"] == name)
        one["stats"]["data"] = [factor * second for second in one["stats"]["data"]]
    elif "context" in found:
        for each in found["benchmarks"]:
            each["real_time"] *= factor if each["run_name"] == name else 1
    elif "results" in found:
        (one,) = (each for each in found["results"] if each["command"] == name)
        one["times"] = [factor * second for second in one["times"]]
    else:
        (one,) = (each for each in found["benchmarks"] if each["metadata"]["name"] == name)
        for run in one["runs"]:
            run["values"] = [factor * second for second in run["values"]]
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pytest_benchmark_4.json", "test_sorted"),
        ("pytest_benchmark_5.json", "test_sorted"),
        ("google_benchmark.json", "sort_list/100"),
        ("hyperfine.json", "seq 20000"),
        ("pyperf.json", "sorted"),
    ],
)
@pytest.mark.parametrize("by_baseline", [False, True])
def test_a_benchmark_that_takes_longer_is_found(path, name, by_baseline, tmp_path, capsys):
    """Beside the other one of the run, or beside it by name. The files are of a busy machine: it takes long indeed."""
    (tmp_path / "new.json").write_text(json.dumps(slower(path, name, 200)))
    other = next(each for each in names(read_any(FILES / path)) if name not in each)
    options = ["--baseline", other] if by_baseline else []
    assert main(["bench", "--compare", str(FILES / path), str(tmp_path / "new.json"), *options]) == 1
    captured = capsys.readouterr()
    assert f"{name}" in captured.out.partition("slower: 1")[2].splitlines()[2]
    assert "times each benchmark, and what it is compared with, in one go" in captured.out
    assert main(["bench", "--compare", str(FILES / path), str(FILES / path), *options]) == 0


def test_a_folder_is_a_history(tmp_path, capsys):
    """Of a tool that says neither when nor where: in the order of the files' names."""
    rng, found = np.random.default_rng(1), load("hyperfine.json")
    for k in range(2 * FEWEST):
        for each, level in zip(found["results"], (1.0, 2.0 + (k >= FEWEST)), strict=True):
            each["times"] = (level * np.exp(0.02 * rng.standard_normal(12))).tolist()
        (tmp_path / f"run {k:02d}.json").write_text(json.dumps(found))
    assert main(["bench", "--history", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"unknown machine: {2 * FEWEST} runs" in shown
    assert "slower: seq 20000, n=20000, at run 08, after run 07" in shown
    (tmp_path / "other.json").write_text("{}")
    assert main(["bench", "--history", str(tmp_path)]) == 2
    assert "other.json: expected what cnnx bench --json, pytest-benchmark, asv," in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["bench", "--history", str(tmp_path / "empty")]) == 2
    assert "empty: expected files of JSON, got none" in capsys.readouterr().err


def test_results_of_asv_are_a_history(capsys):
    assert main(["bench", "--history", str(ASV / "results")]) == 0
    assert "newest run 2026-11-30, commit 9b0ca6af6d02" in capsys.readouterr().out


def of(work="", **seconds):
    return Record({}, [Measured(Figure(name, "", "", 0, ""), seconds=[s], work=work) for name, s in seconds.items()])


def test_benchmarks_that_come_and_go_move_no_other():
    """A thousand times slower ones come, go, and come again, on a machine whose speed is another one in each run."""
    records = along([of(a=1.0, b=2.0), of(a=3.0, b=6.0, c=3e3), of(a=2.0, b=4.0), of(a=1.0, b=2.0, c=1e3), of(d=5.0)])
    ratios = [{m.figure.op: m.ratios[RUN][0] for m in r.figures if m.ratios} for r in records]
    assert [each["b"] for each in ratios[:4]] == pytest.approx([0.5] * 4)
    assert ratios[3]["c"] == pytest.approx(ratios[1]["c"])
    assert ratios[4] == {}  # nothing beside it
    first, second = along([of(a=1.0, b=1.0), Record({}, [*of(a=1.0).figures, *of("new", b=9.0).figures])])
    assert second.figures[0].ratios == first.figures[0].ratios  # b is another benchmark now


def test_a_run_with_ratios_stays_as_it_is():
    record = Record({}, [Measured(Figure("a", "", "", 0, ""), seconds=[1.0], ratios={"limit": [0.5]})])
    assert along([record]) == [record]
    assert [len(machine.curves) for machine in curves([of(a=1.0)])] == [0]


# -------------------------------------------------------------------------------- pytest-benchmark's format, written


@pytest.fixture
def own():
    shares = [0.5, 0.52, 0.49, 0.51]
    figures = [
        Measured(Figure("relu", case, "forward", 1), 0, 8, "copy", [1e-3 * k for k in (4, 1, 2, 3)], {"limit": shares})
        for case in ("images", "rows")
    ]
    facts = {"processor": "P", "instruction set": "v4", "processors": "2", "python": "3.11", "compiler": "gcc"}
    return Record(facts, figures, "0123456789ab+", "2026-03-01T00:00:00+00:00", {"python": "3.11.7", "cnnx": "0.1.0"})


def test_what_is_written_comes_back(own):
    found = json.loads(json.dumps(as_pytest(own)))
    assert from_json(found) == own
    assert compare(own, from_json(found)).notes == []  # it was cnnx that measured, in turns
    stats = found["benchmarks"][0]["stats"]
    assert (stats["median"], stats["min"], stats["rounds"]) == (pytest.approx(2.5e-3), 1e-3, 4)


def test_pytest_benchmark_reads_what_is_written(own, tmp_path):
    """Its own command compares two such files; its keys are those of its own files."""
    pytest.importorskip("pytest_benchmark")
    written = as_pytest(own)
    theirs = load("pytest_benchmark_5.json")
    assert theirs.keys() == written.keys()
    assert theirs["benchmarks"][0].keys() == written["benchmarks"][0].keys()
    assert theirs["benchmarks"][0]["stats"].keys() == written["benchmarks"][0]["stats"].keys()
    assert theirs["commit_info"].keys() == written["commit_info"].keys()
    for name in ("0001_base.json", "0002_new.json"):
        (tmp_path / name).write_text(json.dumps(written))
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "0001_base.json", "0002_new.json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "relu, images, forward, 1 thread" in done.stdout
    assert "2.5" in done.stdout


def test_a_run_is_written_in_that_format(tmp_path, capsys):
    path = tmp_path / "b.json"
    one = ["--op", "relu", "--direction", "forward", "--threads", "1"]
    assert (
        main(["bench", *one, "--rounds", "1", "--benchmark-json", str(path), "--json", str(tmp_path / "r.json")]) == 0
    )
    assert read_any(path).figures == read_any(tmp_path / "r.json").figures
    shutil.copy(path, tmp_path / "same.json")
    assert main(["bench", "--history", str(tmp_path), "--benchmark-json", str(path)]) == 2
    assert "--benchmark-json: expected none with --history" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "hyperfine.json",
            {"results": [{"command": "a"}]},
            "what hyperfine --export-json writes, got a broken one .KeyE",
        ),
        ("pyperf.json", {"benchmarks": [{}]}, "what pyperf writes by -o, got a broken one .KeyError: 'runs'"),
        (
            "google_benchmark.json",
            {"benchmarks": [{"name": "a", "real_time": 1}]},
            "got a broken one .KeyError: 'time_u",
        ),
        ("google_benchmark.json", {"context": 3}, "Google Benchmark writes .* got a broken one"),
        ("hyperfine.json", {"results": 3}, "got other JSON"),
    ],
)
def test_broken_files_are_one_line(name, change, message, tmp_path):
    (tmp_path / name).write_text(json.dumps(load(name) | change))
    with pytest.raises(RecordError, match=message) as error:
        read_any(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: expected")
    assert "\n" not in str(error.value)
