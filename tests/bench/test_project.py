"""cnnx bench --against in a project that is not cnnx: small ones, with functions or tests of pytest-benchmark."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from toys import commit, git, toy

from cnnx.bench.history import read as read_history
from cnnx.cli import main

pytestmark = pytest.mark.once

QUICK = "import time\ndef wait(n=1):\n    time.sleep(0.001)\ndef same():\n    return 1\n"
SLOW = QUICK.replace("0.001", "0.004") + "def new():\n    return 2\n"
FUNCTIONS = """
functions = [
    "toy:wait",
    "toy:new",
    { call = "toy:same", name = "constant" },
]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One for all tests: the builds of other repositories are others."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "cnnx" / "bench"


@pytest.fixture(scope="module")
def history_of_three(tmp_path_factory):
    """Three commits, the second of which is slower."""
    root = toy(tmp_path_factory.mktemp("functions") / "project", FUNCTIONS)
    names = [commit(root, QUICK, "first"), commit(root, SLOW, "slower"), commit(root, SLOW + "# more\n", "third")]
    return root, names


def test_functions_of_two_commits(history_of_three, monkeypatch, tmp_path, capsys):
    root, (first, second, third) = history_of_three
    monkeypatch.chdir(root)
    kept = tmp_path / "history.jsonl"
    assert main(["bench", "--against", first, "--bisect", "--json", "--record", str(kept)]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["regressions"] == ["toy:wait"]
    assert {one["op"]: len(one["ratios"]) for one in found["figures"]} == {"toy:wait": 5, "constant": 5}
    assert found["missing"] == {"toy:new": "AttributeError: module 'toy' has no attribute 'new'"}
    assert found["failed"] == {}
    (named,) = found["bisect"]
    assert (named["before"], named["since"]) == (first, second)
    assert err.splitlines() == [
        line for name in (first, "working tree", second) for line in (f"building {name}", f"installing {name}")
    ]
    (record,) = read_history(kept)
    assert record.commit == third
    assert record.fingerprint["base"] == first
    assert {str(one.figure): list(one.ratios) for one in record.figures} == {"toy:wait": ["base"], "constant": ["base"]}
    assert main(["bench", "--history", str(kept)]) == 0
    assert "toy:wait" in capsys.readouterr().out


def test_what_is_there_is_not_built_again(history_of_three, monkeypatch, capsys):
    root, (*_, third) = history_of_three
    monkeypatch.chdir(root / "toy")
    main(["bench", "--against", third, "--rounds", "1", "--case", "const*"])
    capsys.readouterr()
    assert main(["bench", "--against", third, "--rounds", "1", "--case", "const*", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"working tree against {third}, 1 figure in turns\n")
    root.joinpath("notes.txt").write_text("not known to git")
    assert main(["bench", "--against", third, "--rounds", "1", "--case", "constant"]) == 0
    assert capsys.readouterr().err.splitlines() == ["building working tree", "installing working tree"]
    root.joinpath("notes.txt").unlink()
    assert git(root, "status", "--porcelain") == ""
    assert len(git(root, "worktree", "list").splitlines()) == 1


def test_yardsticks_take_turns_with_their_function(tmp_path, monkeypatch, capsys):
    """Another function, which gets the same argument, a copy, and one that is not there."""
    source = "def f(n):\n    pass\ndef other(n):\n    open('called', 'w').write(str(n))\ndef same():\n    return 1\n"
    measured = """functions = [
        { call = "toy:f", parameters = { n = 7 }, yardsticks = { other = "toy:other", copy = 4096, none = "toy:no" } },
        "toy:same",
    ]"""
    root = toy(tmp_path / "measured", measured)
    first = commit(root, source)
    monkeypatch.chdir(root)
    kept = tmp_path / "history.jsonl"
    main(["bench", "--against", first, "--json", "--rounds", "2", "--record", str(kept)])
    one, same = json.loads(capsys.readouterr().out)["figures"]
    assert {name: len(ratios) for name, ratios in one["yardsticks"].items()} == {"other": 2, "copy": 2}
    assert all(ratio > 0 for ratios in one["yardsticks"].values() for ratio in ratios)
    assert root.joinpath("called").read_text() == "7"
    assert same["yardsticks"] == {}
    (record,) = read_history(kept)
    assert [figure.yardsticks() for figure in record.figures] == [["base", "copy", "other"], ["base"]]
    assert record.figures[0].missing["none"] == "AttributeError: module 'toy' has no attribute 'no'"
    root.joinpath("called").unlink()
    main(["bench", "--against", first, "--rounds", "1", "--case", "toy:f*"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if " times the time of toy:f[n=7], " in line] == ["other", "copy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--op", "relu"], "--op: expected none for a project that is not cnnx; --case NAME chooses figures"),
        (["--case", "nothing"], "case: expected one of toy:wait, toy:new, constant, got 'nothing'"),
        (["--pytest", "nowhere"], "--pytest: expected a folder or file of tests, got none at 'nowhere'"),
        (["--pytest", "/"], "--pytest: expected a folder or file within"),
    ],
)
def test_wrong_usage(arguments, message, history_of_three, monkeypatch, capsys):
    root, (*_, third) = history_of_three
    monkeypatch.chdir(root)
    assert main(["bench", "--against", third, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_builds_command_gets_two_names_and_leaves_no_temporary_file(tmp_path, monkeypatch, capsys):
    command = "sh -c 'touch $TMPDIR/left; echo error: {other} $0 >&2; exit 1' {wheels}"
    root = toy(tmp_path / "commanded", f'functions = ["toy:same"]\nbuild = """{command}"""')
    first = commit(root, QUICK)
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # which is what was found first
    monkeypatch.chdir(root)
    assert main(["bench", "--against", first]) == 2
    assert f"{first} cannot be built: error: {{other}} " in capsys.readouterr().err
    assert [*temporary.iterdir()] == []


def test_a_build_that_fails_is_said_with_its_log(tmp_path, monkeypatch, cache, capsys):
    root = toy(tmp_path / "project", 'functions = ["toy:same"]')
    first = commit(root, QUICK)
    commit(root, "broken = 1\n")
    monkeypatch.chdir(root)
    assert main(["bench", "--against", first]) == 2
    err = capsys.readouterr().err
    assert "cnnx: error: working tree cannot be built: " in err
    (log,) = cache.glob("project-*/build.log")
    assert str(log) in err
    assert "it is broken" in log.read_text()


def test_nothing_to_measure(tmp_path, monkeypatch, capsys):
    root = toy(tmp_path / "project")
    commit(root, QUICK)
    monkeypatch.chdir(root)
    assert main(["bench", "--against", "HEAD"]) == 2
    assert "--pytest PATH, or functions in [tool.cnnx.bench] of its pyproject.toml; got none" in capsys.readouterr().err
    assert main(["bench", "--pytest", "tests"]) == 2
    assert "--pytest: expected none without --against" in capsys.readouterr().err


TESTS = """
import os
import pytest, toy

@pytest.fixture(scope="module")
def numbers():
    return [3, 1, 2]

@pytest.mark.parametrize("n", [1, 2])
def test_same(benchmark, n):
    assert toy.__file__.startswith(os.environ["VIRTUAL_ENV"]), "the working tree has a toy as well"
    assert benchmark(lambda: n * toy.same()) == n

@pytest.mark.benchmark(group="sorting")
def test_sorted(benchmark, numbers):
    assert benchmark.group == "sorting"
    assert benchmark(sorted, numbers) == [1, 2, 3]

def test_pedantic(benchmark):
    made, gone = [], []
    def setup():
        made.append(1)
        return ([1, 2],), {}
    assert benchmark.pedantic(list.pop, setup=setup, rounds=3) == 2
    assert len(made) > 1 or not os.environ["CNNX_BENCH_PROJECT"]

def test_without():
    raise AssertionError("it is no benchmark")

@pytest.mark.skipif(True, reason="not today")
def test_skipped(benchmark):
    benchmark(toy.same)
"""


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    root = toy(tmp_path_factory.mktemp("tests") / "project", 'inherit = true\npytest = "speed"\n')
    with open(root / "pyproject.toml", "a") as file:
        file.write("[tool.pytest.ini_options]\naddopts = '--strict-markers --cov=toy'\n")
    (root / "speed").mkdir()
    root.joinpath("speed/test_speed.py").write_text(TESTS.replace("len(made) > 1 or", "made or"))
    return root, commit(root, QUICK)


def test_tests_of_pytest_benchmark(tested, monkeypatch, capsys):
    root, _ = tested
    monkeypatch.chdir(root)
    assert main(["bench", "--against", "HEAD", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = ("test_same[1]", "test_same[2]", "test_sorted", "test_pedantic")
    assert [one["op"] for one in found["figures"]] == [f"speed/test_speed.py::{name}" for name in names]
    assert found["notes"] == ["not measured: speed/test_speed.py::test_skipped: Skipped: not today"]
    assert git(root, "status", "--porcelain", "--ignored") == "", "no caches in the working tree"


def test_tests_that_fail_or_are_not_there(tested, monkeypatch, tmp_path, capsys):
    root, first = tested
    monkeypatch.chdir(root)
    wrong = root / "speed" / "test_wrong.py"
    wrong.write_text(
        "import toy\n"
        "def test_new(benchmark):\n    benchmark(toy.new)\n"
        "def test_wrong(benchmark):\n    assert benchmark(toy.same) == 7\n"
        "def test_lazy(benchmark):\n    pass\n"
        "def test_twice(benchmark):\n    benchmark(toy.same)\n    benchmark(toy.same)\n"
        "def test_woven(benchmark):\n    benchmark.weave(toy.same)\n"
    )
    root.joinpath("speed/test_none.py").write_text("import nothing_of_this_name\n")
    root.joinpath("toy/__init__.py").write_text(QUICK + "def new():\n    return 2\n")
    try:
        assert main(["bench", "--against", first, "--rounds", "1", "--pytest", "speed/", "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        place = "speed/test_wrong.py::test_"
        assert found["missing"][f"{place}new"].startswith("its call failed: AttributeError: module 'toy' has no attri")
        failed = found["failed"]
        assert failed[f"{place}wrong"].startswith("its call failed: ")
        assert "== 7" in failed[f"{place}wrong"]
        assert failed[f"{place}lazy"] == "it did not call its benchmark"
        assert "a test may call its benchmark once" in failed[f"{place}twice"]
        assert "cnnx times calls that a test makes" in failed[f"{place}woven"]
        assert "nothing_of_this_name" in failed["speed/test_none.py"]
        assert len(failed) == 5
        assert len(found["figures"]) == 4
        assert main(["bench", "--against", first, "--pytest", "speed/test_none.py"]) == 1
        root.joinpath("speed/test_none.py").write_text("def test_nothing():\n    pass\n")
        capsys.readouterr()
        assert main(["bench", "--against", first, "--pytest", "speed/test_none.py"]) == 3
        assert "no test in speed/test_none.py uses the fixture benchmark" in capsys.readouterr().out
    finally:
        git(root, "checkout", "-q", ".")
        git(root, "clean", "-qfd")


@pytest.mark.skipif(not os.path.exists("/proc"), reason="no /proc here")
def test_ctrl_c_ends_all_processes_and_leaves_nothing(tested, tmp_path, monkeypatch):
    """A benchmark whose process has started another one, interrupted within it."""
    root, first = tested
    note = tmp_path / "note"
    endless = root / "speed" / "test_endless.py"
    endless.write_text(
        "import os, pathlib, subprocess, sys, time\n"
        "def test_endless(benchmark):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    pathlib.Path({str(note)!r}).write_text(f'{{child.pid}} {{os.getpid()}}')\n"
        "    benchmark(time.sleep, 600)\n"
    )
    kept = tmp_path / "temporary"
    kept.mkdir()
    monkeypatch.setenv("TMPDIR", str(kept))
    try:
        running = subprocess.Popen(
            [sys.executable, "-m", "cnnx", "bench", "--against", first, "--pytest", str(endless)], cwd=root
        )
        while not note.exists() or not note.read_text():
            assert running.poll() is None
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 130
        for command in (Path("/proc", pid, "cmdline") for pid in note.read_text().split()):
            end = time.monotonic() + 60
            while command.exists() and command.read_bytes():  # it is gone, or waits for who collects the dead
                assert time.monotonic() < end
                time.sleep(0.05)
        assert list(kept.iterdir()) == []
        assert len(git(root, "worktree", "list").splitlines()) == 1
    finally:
        endless.unlink()
