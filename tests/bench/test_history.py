"""The history of runs: a file that loses nothing, curves with the changes that are in them, and the page of both."""

import html
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import Tags, chromium, needs_nothing

from cnnx.bench import history
from cnnx.bench.record import Figure, Measured, Record, RecordError

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from cnnx.bench.budgets import Budgets
from cnnx.bench.curves import Machine, by_how_much, curves, in_words, verdict
from cnnx.cli import main
from cnnx.cli._history import lines

pytestmark = pytest.mark.once

HERE = {"processor": "Testor 9000", "instruction set": "v3", "processors": "2", "python": "3.11", "compiler": "cc 1"}
CONV = Figure("conv2d", "cn layer 2", "forward", 1)
BACK = Figure("conv2d", "cn layer 2", "backward", 2)
RELU = Figure("relu", "images", "forward", 1)
FLAT = Figure("flatten", "images", "forward", 1)
HOSTILE = '<script src="https://example.org/x.js">alert(1)</script></svg><img src=x> & \x00 " \' ' + "wide" * 100


def run(day: int, levels: dict[Figure, float], noise: float = 0.01, **others: Any) -> Record:
    """A run of ten rounds around known shares of the limit, whose medians are those shares."""
    shares = [1 + noise * (i - 4.5) for i in range(10)]
    random.Random(day).shuffle(shares)
    figures = [
        Measured(f, 10, 20, "copy", [1e-3] * 10, {"limit": [level * s for s in shares]}) for f, level in levels.items()
    ]
    return Record(
        **{
            "fingerprint": HERE,
            "figures": figures,
            "commit": f"c{day:06d}",
            "date": f"2026-03-{day:02d}T10:{day:02d}:00+00:00",
            "versions": {"cnnx": "1.0"},
            "limits": {"1": {"multiply-adds": 68e9, "copy": 11e9}},
            **others,
        }
    )


def kinds(machine: Machine) -> dict[Figure, list[str]]:
    return {curve.figure: [point.kind for point in curve.points] for curve in machine.curves}


# ------------------------------------------------------------------------------------------------ file


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    runs = [run(day, {CONV: 0.5, RELU: 0.9}, interrupted=day == 2) for day in (1, 2, 3)]
    for one in runs:
        history.check(path)
        history.append(path, one)
    assert history.read(path) == runs
    assert len(path.read_bytes().splitlines()) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_runs_are_read_in_the_order_of_their_dates(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    for day in (3, 1, 2):
        history.append(path, run(day, {CONV: 0.5}))
    assert [one.commit for one in history.read(path)] == ["c000001", "c000002", "c000003"]


def test_a_file_that_an_editor_left_without_its_last_line_end_is_a_history(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("\n" + json.dumps(run(1, {CONV: 0.5}).as_dict()))
    history.append(path, run(2, {CONV: 0.5}))
    assert len(history.read(path)) == 2


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "history.jsonl")
    history.append(tmp_path / "link", run(1, {CONV: 0.5}))
    history.append(tmp_path / "link", run(2, {CONV: 0.5}))
    assert (tmp_path / "link").is_symlink()
    assert len(history.read(tmp_path / "history.jsonl")) == 2


@pytest.mark.parametrize("text", ["{\n", "history\n", '{"benchmarks": []}\n', "[1]\n", '{"cnnx_bench": 2}\n'])
def test_what_is_no_history_is_not_appended_to(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text(text)
    for refuses in (history.check, lambda path: history.append(path, run(1, {CONV: 0.5}))):
        with pytest.raises(RecordError, match=f"^{re.escape(str(path))}, line 1: expected "):
            refuses(path)
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_baseline_is_no_history(tmp_path: Path) -> None:
    run(1, {CONV: 0.5}).write(tmp_path / "baseline.json")
    before = (tmp_path / "baseline.json").read_bytes()
    with pytest.raises(RecordError, match="line 1: expected a run as JSON"):
        history.append(tmp_path / "baseline.json", run(2, {CONV: 0.5}))
    assert (tmp_path / "baseline.json").read_bytes() == before


def broken(**changes: Any) -> str:
    return json.dumps({**run(1, {CONV: 0.5}).as_dict(), **changes})


@pytest.mark.parametrize(
    "line",
    [
        '{"cnnx_bench": 1, "fing',
        "\xff",
        "1",
        '{"cnnx_bench": 2}',
        '{"cnnx_bench": 1}',
        broken(date=5),
        broken(commit=None),
        broken(fingerprint=[]),
        broken(fingerprint={"processor": 1}),
        broken(limits={"1": {"copy": "fast"}}),
        broken(figures=[{"op": "relu"}]),
        broken(figures=[1]),
        broken(figures=[{**Measured(CONV).as_dict(), "ratios": {"limit": [1, "two"]}}]),
        broken(figures=[{**Measured(CONV).as_dict(), "ratios": {"limit": [0]}}]),
        broken(figures=[{**Measured(CONV).as_dict(), "ratios": {"limit": [float("nan")]}}]),
        broken(figures=[{**Measured(CONV).as_dict(), "op": ["relu"]}]),
        broken(more=1),
    ],
)
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.append(path, run(1, {CONV: 0.5}))
    with path.open("ab") as file:
        file.write(b"\n" + line.encode("latin-1") + b"\n")
    with pytest.raises(RecordError, match=f"^{re.escape(str(path))}, line 3: expected [^\n]*$"):
        history.read(path)


def test_no_file_and_an_empty_one_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with pytest.raises(RecordError, match=f"got no file: `cnnx bench --record {re.escape(str(path))}` starts one"):
        history.read(path)
    for text in ("", "\n \n"):
        path.write_text(text)
        with pytest.raises(RecordError, match=f"got an empty file: `cnnx bench --record {re.escape(str(path))}` adds"):
            history.read(path)
    history.append(path, run(1, {CONV: 0.5}))
    assert len(history.read(path)) == 1


def test_pipes_and_directories_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match="expected a file"):
            history.append(path, run(1, {CONV: 0.5}))
        with pytest.raises(OSError, match="expected a file"):
            history.check(path)
    with pytest.raises(OSError, match="expected a file"):
        history.read(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        history.append(tmp_path / "no" / "such", run(1, {CONV: 0.5}))


APPENDS = """
import sys
from cnnx.bench.history import append
from cnnx.bench.record import Record
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for i in range(count):
    append(path, Record({}, commit=f"{name}.{i}", command="x" * 5000))
    print(i, flush=True)
"""


def appending(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", APPENDS, path, name, str(count)], stdout=subprocess.PIPE, text=True)


def test_processes_that_append_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    writers = [appending(path, name, 25) for name in "abcd"]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    commits = [one.commit for one in history.read(path)]
    assert sorted(commits) == sorted(f"{name}.{i}" for name in "abcd" for i in range(25))
    for name in "abcd":  # each in its order; and they were at it together
        assert [c for c in commits if c.startswith(name)] == [f"{name}.{i}" for i in range(25)]
    assert sum(one[0] != other[0] for one, other in itertools.pairwise(commits)) > 3
    assert list(tmp_path.iterdir()) == [path]


def test_killed_at_any_moment_it_leaves_whole_lines_and_no_lock(tmp_path: Path) -> None:
    path, moments = tmp_path / "history.jsonl", random.Random(0)
    done: list[str] = []
    for life in range(12):
        writer = appending(path, str(life), 10_000)
        assert writer.stdout is not None
        done.append(f"{life}.{int(writer.stdout.readline())}")  # it has begun
        try:
            writer.wait(timeout=moments.uniform(0, 0.05))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        done += [f"{life}.{int(i)}" for i in writer.stdout.read().split()]  # where `readline` left off
        writer.stdout.close()
        assert writer.wait(timeout=60) == -signal.SIGKILL
        commits = [one.commit for one in history.read(path)]
        extra = [commit for commit in commits if commit not in done]
        assert [commit for commit in commits if commit in done] == done
        assert len(extra) <= 1  # written, but killed before it could say so
        done = commits
    assert len(done) > 24


def test_killed_while_it_writes_it_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.append(path, run(1, {CONV: 0.5}))
    before = path.read_bytes()
    dies = "import os, signal\nos.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n" + APPENDS
    done = subprocess.run([sys.executable, "-c", dies, path, "a", "1"], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    history.append(path, run(2, {CONV: 0.5}))
    assert len(history.read(path)) == 2


# ---------------------------------------------------------------------------------------------- curves


def test_a_step_is_found_where_it_is_and_nowhere_else() -> None:
    conv, relu = [0.5, 0.5, 0.4, 0.4, 0.41, 0.6], [0.8, 0.82, 0.79, 0.8, 0.81, 0.8]
    runs = [run(day, {CONV: c, RELU: r}) for day, (c, r) in enumerate(zip(conv, relu, strict=True), 1)]
    (machine,) = curves(runs)
    assert machine.records == runs
    assert kinds(machine) == {
        CONV: ["same", "same", "slower", "same", "same", "faster"],
        RELU: ["same"] * 6,
    }
    curve = machine.curves[0]
    assert curve.yardstick == "limit"
    assert [point.median for point in curve.points] == pytest.approx(conv)
    assert [point.ratio for point in curve.points] == [None, *map(pytest.approx, (1, 0.8, 1, 1.025, 0.6 / 0.41))]
    for point in curve.points:
        assert point.low < point.median < point.high
        assert point.high - point.low < 0.1 * point.median


def test_a_change_counts_beyond_budget_and_noise_only() -> None:
    def last(budgets: Budgets | None = None, noise: float = 0.01) -> str:
        (machine,) = curves([run(1, {CONV: 0.5}, noise), run(2, {CONV: 0.4}, noise)], budgets)
        return machine.curves[0].points[-1].kind

    assert last() == "slower"
    assert last(Budgets(by_name={"conv2d, cn layer 2": 0.25})) == "same"
    assert last(Budgets(default=0.25)) == "same"
    assert last(noise=0.15) == "same"


def test_many_figures_need_more_than_one() -> None:
    """Holm's correction is over the figures of a run: what is beyond noise for one alone is not among hundreds."""
    others = {Figure("relu", str(i), "forward", 1): 0.5 for i in range(200)}
    # Nine of the ten rounds lie apart: p is about 0.002.
    first, second = run(1, {CONV: 1.0}), run(2, {CONV: 1.0})
    first.figures[0].ratios["limit"] = [1.0 + i / 1000 for i in range(10)]
    second.figures[0].ratios["limit"] = [0.8 + i / 1000 for i in range(9)] + [1.1]
    assert kinds(curves([first, second])[0])[CONV] == ["same", "slower"]
    for one in (first, second):
        one.figures += run(1, others).figures
    assert kinds(curves([first, second])[0])[CONV] == ["same", "same"]


def test_machines_are_apart() -> None:
    there = {**HERE, "processor": "Other 1"}
    runs = [
        run(1, {CONV: 0.5}),
        run(2, {CONV: 0.1}, fingerprint=there),
        run(3, {CONV: 0.5}),
        run(4, {CONV: 0.1}, fingerprint=there),
    ]
    machines = curves(runs)
    assert [machine.name for machine in machines] == ["Other 1", "Testor 9000"]  # the newest run first
    assert [machine.records for machine in machines] == [runs[1::2], runs[::2]]
    assert all(kinds(machine) == {CONV: ["same", "same"]} for machine in machines)


def test_a_run_with_some_figures_is_held_against_the_last_that_has_them() -> None:
    runs = [run(1, {CONV: 0.5, RELU: 0.5}), run(2, {CONV: 0.5}, interrupted=True), run(3, {CONV: 0.5, RELU: 0.3})]
    (machine,) = curves(runs)
    relu = next(curve for curve in machine.curves if curve.figure == RELU)
    assert [point.place for point in relu.points] == [0, 2]
    assert relu.points[-1].kind == "slower"
    assert relu.points[-1].ratio == pytest.approx(0.6)


def test_other_work_under_the_same_name_starts_anew() -> None:
    runs = [run(1, {CONV: 0.5}), run(2, {CONV: 0.5}), run(3, {CONV: 0.2})]
    runs[2].figures[0].multiply_adds *= 2
    (machine,) = curves(runs)
    assert [point.ratio for point in machine.curves[0].points] == [None, 1, None]
    assert kinds(machine) == {CONV: ["same"] * 3}


def test_without_a_limit_the_reference_decides_and_without_any_there_is_no_curve() -> None:
    one = run(1, {CONV: 0.5})
    one.figures += [Measured(FLAT, ratios={"torch": [2.0], "reference": [140.0]}), Measured(RELU, seconds=[1e-3])]
    (machine,) = curves([one])
    assert [(curve.figure, curve.yardstick) for curve in machine.curves] == [(CONV, "limit"), (FLAT, "reference")]


def test_a_baseline_is_a_level_of_its_machine() -> None:
    baseline = run(1, {CONV: 0.45})
    machines = curves(
        [run(2, {CONV: 0.5, RELU: 0.5}), run(3, {CONV: 0.5}, fingerprint={"processor": "?"})], baseline=baseline
    )
    assert {(m.name, c.figure): c.baseline for m in machines for c in m.curves} == {
        ("Testor 9000", CONV): pytest.approx(0.45),
        ("Testor 9000", RELU): None,
        ("?", CONV): None,
    }


def test_verdicts() -> None:
    start = run(1, {CONV: 0.5, RELU: 0.5, BACK: 0.5})

    def of(*runs: Record) -> tuple[str, bool]:
        return verdict(curves(runs)[0])

    assert of(start) == ("3 figures, nothing to compare with yet: newest run 2026-03-01, commit c000001", False)
    assert of(start, run(2, {CONV: 0.5, RELU: 0.5}, commit="")) == (
        "no change in 2 figures: newest run 2026-03-02, commit unknown",
        False,
    )
    assert of(start, run(2, {CONV: 0.3, RELU: 0.9, BACK: 0.4}, interrupted=True)) == (
        "2 slower, 1 faster of 3 figures: newest run 2026-03-02, commit c000002, interrupted",
        True,
    )
    assert of(start, run(2, {CONV: 0.9}, date=""))[1] is False


def test_lines_are_what_the_runs_have() -> None:
    def flat(day: int, conv: float, relu: float) -> Record:
        one = run(day, {CONV: conv, RELU: relu}, noise=0)
        one.figures.append(Measured(FLAT, ratios={"reference": [1234.0] * 10}))
        return one

    found = list(lines(curves([flat(1, 0.5, 0.5), flat(2, 0.6, 0.5), flat(3, 0.3, 0.51)])))
    assert found[:2] == [
        "Testor 9000: 3 runs",
        "  1 slower of 3 figures: newest run 2026-03-03, commit c000003",
    ]
    assert [" ".join(line.split()) for line in found[2:-2]] == [
        "figure newest interval change since first",
        "conv2d, cn layer 2, forward, 1 thread 30 % 30 % to 30 % -50.0 % -40.0 % SLOWER",
        "relu, images, forward, 1 thread 51 % 51 % to 51 % +2.0 % +2.0 %",
        "flatten, images, forward, 1 thread 1,234x 1,234x to 1,234x +0.0 % +0.0 %",
    ]
    assert "Mann-Whitney U test" in found[-1]
    assert max(map(len, found)) <= 120
    assert by_how_much(None) == ""
    assert [in_words(v, "limit") for v in (0.6312, 1.2, 0.00421)] == ["63.1 %", "120 %", "0.421 %"]


# --------------------------------------------------------------------------------------- command line


BASELINE = ("--baseline", "benchmarks/baseline.json")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of two runs, in a folder with a baseline and a budget."""
    (tmp_path / "benchmarks").mkdir()
    run(1, {CONV: 0.45}).write(tmp_path / "benchmarks" / "baseline.json")
    (tmp_path / "benchmarks" / "budgets.toml").write_text("[budgets]\n'relu, images' = 0.5\n")
    for one in (run(1, {CONV: 0.5, RELU: 0.5}), run(2, {CONV: 0.4, RELU: 0.4})):
        history.append(tmp_path / "history.jsonl", one)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command_line_shows_a_history(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--history", "history.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "1 slower of 2 figures" in shown
    assert re.search(r"^  conv2d, cn layer 2, forward, 1 thread .* -20.0 % .* SLOWER$", shown, re.M)
    assert re.search(r"^  relu, images, forward, 1 thread .* -20.0 %$", shown, re.M)  # its budget is a half


def test_command_line_draws_a_history(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2", reason="extra bench")
    assert main(["bench", "--history", "history.jsonl", "--report", "bench.html", *BASELINE]) == 0
    text = Tags((recorded / "bench.html").read_text()).text
    assert "cnnx bench --history history.jsonl --report bench.html --baseline" in text
    assert "baseline: 45 %" in text


def test_command_line_says_what_is_wrong_with_a_history(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--history", "none.jsonl", "--report", "bench.html"]) == 2
    assert "none.jsonl: expected a history, got no file" in capsys.readouterr().err
    assert main(["bench", "--record", "benchmarks/baseline.json"]) == 2  # before anything is measured
    assert "baseline.json, line 1: expected a run as JSON" in capsys.readouterr().err
    assert not (recorded / "bench.html").exists()
    for path in ("history.jsonl", BASELINE[1]):
        before = (recorded / path).read_bytes()
        assert main(["bench", "--history", "history.jsonl", *BASELINE, "--report", path]) == 2
        assert "--report: expected another file than those of" in capsys.readouterr().err
        assert (recorded / path).read_bytes() == before


# ------------------------------------------------------------------------------------------------ page


@pytest.fixture(scope="module")
def machines() -> list[Machine]:
    """Five runs with a step down and one up, and another machine with one run; hostile names."""
    odd = Figure("relu", HOSTILE, "forward", 1)
    levels = [(0.5, 0.3), (0.5, 0.3), (0.35, 0.3), (0.35, 0.3), (0.35, 2.4)]
    runs = [run(day, {CONV: c, BACK: 0.7, odd: o}) for day, (c, o) in enumerate(levels, 1)]
    runs[2].commit = HOSTILE
    other = run(
        1,
        {CONV: 0.2, RELU: 0.9},
        fingerprint={**HERE, "processor": HOSTILE},
        versions={HOSTILE: HOSTILE},
        limits={HOSTILE: {}},
    )
    return curves([*runs, other], baseline=replace(runs[0], figures=runs[0].figures[:1]))


@pytest.fixture(scope="module")
def text(machines: list[Machine]) -> str:
    pytest.importorskip("jinja2", reason="extra bench")
    from cnnx.bench.page import page

    return page(machines, command="cnnx bench --history h.jsonl --report h.html")


def classes(page: Tags, name: str) -> list[dict[str, str | None]]:
    return [a for _, a in page.tags if name in (a.get("class") or "").split()]


def test_page_needs_no_network_and_escapes_all_text(text: str) -> None:
    needs_nothing(text)
    page = Tags(text)
    assert page.text.count("example.org") >= 4  # a case, a commit, a processor, a version: as text


def test_page_has_every_curve_point_and_change(text: str, machines: list[Machine]) -> None:
    page = Tags(text)
    points = [point for machine in machines for curve in machine.curves for point in curve.points]
    assert len(points) == 17
    legend = 1  # of each
    assert len(classes(page, "curve")) == 5
    assert len(classes(page, "same")) == 15 + legend
    marks = classes(page, "mark")
    down, up = (mark for mark in marks if mark.get("aria-label"))
    assert "slower" in str(down["class"])
    assert "-30.0 % against the run before: slower" in str(down["aria-label"])
    assert "example.org" in str(down["aria-label"])
    assert "faster" in str(up["class"])
    assert "2026-03-05 10:05, commit c000005: 240 %" in str(up["aria-label"])
    assert "+700.0 % against the run before: faster" in str(up["aria-label"])
    for words in (
        "1 faster of 3 figures: newest run 2026-03-05, commit c000005",
        "cnnx bench --history h.jsonl --report h.html",
        "Testor 9000",
        "5, 2026-03-01 to 2026-03-05",
        "68 billion multiply-adds/s, 11 GB/s copied",
        "▼ -30.0 %",
        "▲ +700.0 %",
        "baseline: 50 %",
    ):
        assert words in page.text, words
    assert len(classes(page, "base")) == 1 + legend


def test_marks_stand_where_the_values_are(text: str) -> None:
    """On the linear axis of the step from 50 % to 35 %, by its ticks."""
    page = Tags(text)
    dots = [(float(str(a["cx"])), float(str(a["cy"]))) for a in classes(page, "same")[1:]]
    conv = dots[:4]  # the third run's is a triangle
    assert [x for x, _ in conv] == sorted(x for x, _ in conv)
    assert conv[0][1] == conv[1][1] < conv[2][1] == conv[3][1]  # y grows downwards
    picture = text.split("<figure>")[1]
    ticks = re.findall(r'<path class="grid" d="M46 ([\d.]+)H310"/><text [^>]*>([\d.]+) %</text>', picture)
    (y0, v0), *_, (y1, v1) = ((float(y), float(value)) for y, value in ticks)
    for dot, value in zip(conv, (50, 50, 35, 35), strict=True):
        assert dot[1] == pytest.approx(y0 + (value - v0) * (y1 - y0) / (v1 - v0), abs=0.2)


def test_axes_hold_their_values_and_have_round_ticks() -> None:
    pytest.importorskip("jinja2", reason="extra bench")
    from cnnx.bench.page import BOTTOM, TOP, Axis

    draw = random.Random(3)
    for _ in range(2000):
        low = 10 ** draw.uniform(-4, 5)
        values = [low, low * 10 ** abs(draw.gauss(0, draw.choice([0, 0.001, 0.1, 1])))]
        axis = Axis.around(values)
        places = [axis.at(value) for value in values]
        assert BOTTOM > places[0] >= places[1] > TOP
        assert axis.log == (values[1] / values[0] >= 4)
        ticks = axis.ticks()
        assert 2 <= len(ticks) <= 5
        assert all(TOP <= axis.at(tick) <= BOTTOM for tick in ticks)
        assert len({in_words(tick, "reference") for tick in ticks}) == len(ticks)


def test_no_machine_is_an_error() -> None:
    pytest.importorskip("jinja2", reason="extra bench")
    from cnnx.bench.page import page

    with pytest.raises(ValueError, match="machines: expected at least one, got none"):
        page([])


@pytest.mark.parametrize("count", [1, 2, 41, 200])
def test_any_number_of_runs_has_a_page(count: int) -> None:
    pytest.importorskip("jinja2", reason="extra bench")
    from cnnx.bench.page import LEFT, RIGHT, page

    dates = [f"20{20 + i // 300}-{i // 28 % 12 + 1:02d}-{i % 28 + 1:02d}T00:00:00+00:00" for i in range(count)]
    runs = [run(i, {CONV: 0.5}, date=date) for i, date in enumerate(dates)]
    found = Tags(page(curves(runs)))
    dots = classes(found, "same")[1:]
    assert len(dots) == count
    across = [float(str(dot["cx"])) for dot in dots]
    assert across == sorted(set(across))
    assert LEFT < across[0] <= across[-1] < RIGHT
    assert len(classes(found, "band")) == (count > 40)
    assert len(classes(found, "whisker")) == 1 + (count <= 40)


MEASURE = """<body style="margin:0"><iframe id="f" width="{width}" height="800" style="border:0"
 srcdoc="{page}"></iframe>
<script>onload = () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const box = (node) => node.getBoundingClientRect();
  const inside = (node) => {{
    const own = box(node), svg = box(node.closest("svg"));
    return own.width > 0 && own.height > 0 && own.left >= svg.left - 1 && own.right <= svg.right + 1
      && own.top >= svg.top - 1 && own.bottom <= svg.bottom + 1;
  }};
  const overlap = (texts) => texts.some((one, i) => texts.some((other, j) => i < j
    && box(one).left < box(other).right && box(other).left < box(one).right
    && box(one).top < box(other).bottom && box(other).top < box(one).bottom));
  document.body.innerHTML = "<p id=measured>" + JSON.stringify({{
    width: root.clientWidth, content: root.scrollWidth, title: page.title,
    curves: all("figure .curve").length, lengths: all("figure .curve").map((path) => path.getTotalLength()),
    dots: all("figure circle.same").filter(inside).length,
    marks: all("figure .mark").filter(inside).map((mark) => getComputedStyle(mark).fill),
    texts: all("figure text").every(inside),
    overlap: all("figure svg").some((svg) => overlap([...svg.querySelectorAll("text")])),
    lefts: [...new Set(all("figure").map((figure) => box(figure).left))].length,
    small: Math.min(...all("figure text").map((text) => box(text).height))
  }}) + "</p>";
}}</script>"""


@pytest.mark.parametrize(("width", "columns"), [(1400, 3), (800, 2), (360, 1)])
def test_curves_are_drawn_at_any_width(width: int, columns: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "outer.html").write_text(MEASURE.format(width=width, page=html.escape(text)))
    dom = chromium("--dump-dom", "outer.html", cwd=tmp_path).stdout.decode()
    measured = json.loads(html.unescape(re.search(r'<p id="measured">(.*?)</p>', dom)[1]))
    assert measured["width"] == width
    assert measured["content"] <= width
    assert measured["curves"] == 5
    assert [length > 100 for length in measured["lengths"]] == [True, True, True, False, False]  # one run has no line
    assert measured["dots"] == 15
    assert measured["marks"] == ["rgb(179, 64, 11)", "rgb(0, 114, 178)"]
    assert measured["texts"]
    assert not measured["overlap"]
    assert measured["lefts"] == min(columns, 2)  # no op here has more than two figures
    assert measured["small"] > 9
    assert measured["title"].startswith("Speed: 1 faster of 3 figures: ")


def test_page_is_drawn_and_printed(text: str, tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.image", reason="extra plot: it reads the picture")
    (tmp_path / "bench.html").write_text(text)
    chromium("--window-size=800,3000", "--screenshot=bench.png", "bench.html", cwd=tmp_path)
    picture = (plt.imread(tmp_path / "bench.png")[..., :3] * 255).round().astype(int)
    assert picture.shape == (3000, 800, 3)
    for colour, least in (((0, 114, 178), 60), ((179, 64, 11), 60), ((86, 180, 233), 50), ((246, 248, 250), 20_000)):
        assert (picture == colour).all(axis=-1).sum() > least, colour  # marks up and down, whiskers, fields
    chromium("--print-to-pdf=bench.pdf", "bench.html", cwd=tmp_path)
    assert (tmp_path / "bench.pdf").read_bytes().startswith(b"%PDF")
