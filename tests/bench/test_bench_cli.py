"""The command `cnnx bench`, as its users meet it."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

import cnnx.bench.run
from cnnx.bench.figures import chosen
from cnnx.bench.record import Record, load_json
from cnnx.cli import main

pytestmark = pytest.mark.once

QUICK = ["bench", "--op", "flatten", "--op", "squared_error", "--threads", "1", "--rounds", "2"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A file of one run, and what the run printed."""
    path = tmp_path_factory.mktemp("bench") / "base.json"
    done = subprocess.run(
        [sys.executable, "-m", "cnnx", *QUICK, "--json", str(path)], capture_output=True, text=True, check=True
    )
    return path, done.stdout, done.stderr


def test_a_run_prints_a_table_and_writes_the_record(measured):
    path, out, err = measured
    assert err == ""
    record = Record.from_dict(load_json(path))
    assert [m.figure for m in record.figures] == chosen(["flatten", "squared_error"])
    assert all(len(m.seconds) == 2 for m in record.figures)
    assert record.command.startswith("cnnx bench --op flatten")
    assert not record.interrupted
    assert set(record.fingerprint) == {"processor", "instruction set", "processors", "python", "compiler"}
    assert re.search(r"^1 thread: at most \d+ GFLOP/s, and [\d.]+ GB/s copied in memory", out, re.MULTILINE)
    row = next(line for line in out.splitlines() if line.startswith("squared_error  64 x 10  forward"))
    assert re.search(r" [\d.]+ [num]?s +- +[\d.]+ .*\d+ % c \[\d+, \d+\] +[\d.,]+x$", row), row
    row = next(line for line in out.splitlines() if line.startswith("flatten        images   forward"))
    assert row.split()[-5:] == ["-", "-", "-", "-"] or row.split()[-4:] == ["-", "-", "-", "-"], (
        "nothing has to be done"
    )
    assert [p.name for p in path.parent.iterdir()] == ["base.json"]


def test_json_is_printed_and_nothing_else(capsys):
    assert main([*QUICK[:3], "--threads", "1", "--rounds", "1", "--direction", "forward", "--json"]) == 0
    record = Record.from_dict(json.loads(capsys.readouterr().out))
    assert [str(m.figure) for m in record.figures] == ["flatten, images, forward, 1 thread"]


def test_a_history_grows_and_is_drawn(measured, tmp_path, capsys):
    path = tmp_path / "history.jsonl"
    for _ in range(2):
        assert main([*QUICK, "--record", str(path)]) == 0
    lines = path.read_text().splitlines()
    assert [len(Record.from_dict(json.loads(line)).figures) for line in lines] == [4, 4]
    capsys.readouterr()
    assert main(["bench", "--history", str(path)]) == 0
    assert "squared_error, 64 x 10, forward, 1 thread" in capsys.readouterr().out
    page = tmp_path / "bench.html"
    assert main(["bench", "--history", str(path), "--report", str(page), "--baseline", str(measured[0])]) == 0
    assert "squared_error" in page.read_text()


@pytest.mark.parametrize("peer", ["numpy"])
def test_a_peer_has_a_column(peer, capsys):
    assert main(["bench", "--op", "relu", "--threads", "1", "--rounds", "2", "--vs", peer]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"^op +case .* speed-up +{peer}$", out, re.MULTILINE)
    assert re.search(r"^relu .*x +[\d.]+ \[[\d.]+, [\d.]+\]$", out, re.MULTILINE)
    assert f"{peer}: its time over ours; above 1, cnnx is faster" in out


# ------------------------------------------------------------------------------------------ compare


def changed(path, target, factor):
    """The record of a file with shares and speed-ups multiplied."""
    record = Record.from_dict(load_json(path))
    for m in record.figures:
        m.ratios = {name: [factor * (1 + i / 1000) for i in range(10)] for name in m.ratios}
    record.write(target)
    return str(target)


def test_compare_says_what_got_slower_and_exits_1(measured, tmp_path, capsys):
    base = changed(measured[0], tmp_path / "base.json", 0.5)
    assert main(["bench", "--compare", base, base]) == 0
    assert main(["bench", "--compare", base, changed(measured[0], tmp_path / "slower.json", 0.4)]) == 1
    out = capsys.readouterr().out
    assert "squared_error, 64 x 10, forward" in out
    assert main(["bench", "--compare", base, changed(measured[0], tmp_path / "faster.json", 0.6)]) == 0
    assert "faster" in capsys.readouterr().out
    assert main(["bench", "--compare", base, str(tmp_path / "slower.json"), "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["exit_code"] == 1
    found = tmp_path / "found.json"
    assert main(["bench", "--compare", base, str(tmp_path / "slower.json"), "--json", str(found)]) == 1
    assert load_json(found) == printed
    assert "slower: 2" in capsys.readouterr().out


def test_a_run_now_as_json_leaves_the_verdict_on_stderr(measured, capsys, monkeypatch):
    new = Record.from_dict(load_json(measured[0]))
    monkeypatch.setattr("cnnx.cli.bench.trusted", lambda figures, say, folder: (figures, []))
    monkeypatch.setattr("cnnx.cli.bench.measure", lambda *asked: (new, {}))
    assert main(["bench", "--compare", str(measured[0]), "--json"]) == 3
    out, err = capsys.readouterr()
    assert Record.from_dict(json.loads(out)) == new
    assert "too few rounds for any alarm: 2 against 2" in err


def test_compare_with_a_run_now(measured, tmp_path, capsys):
    """Ten rounds of two figures; the base is a thousand times as good as this machine can be."""
    base = changed(measured[0], tmp_path / "base.json", 1000.0)
    assert main(["bench", "--compare", base, "--json", str(tmp_path / "new.json")]) == 1
    assert "squared_error, 64 x 10, forward" in capsys.readouterr().out
    assert len(Record.from_dict(load_json(tmp_path / "new.json")).figures) == 4


def test_other_machines_are_not_compared(measured, tmp_path, capsys):
    base = changed(measured[0], tmp_path / "base.json", 0.5)
    other = Record.from_dict(load_json(base))
    other.fingerprint["compiler"] = "another"
    other.write(tmp_path / "other.json")
    assert main(["bench", "--compare", base, str(tmp_path / "other.json")]) == 3
    assert "compiler" in capsys.readouterr().out
    assert main(["bench", "--compare", base, str(tmp_path / "other.json"), "--across-machines"]) == 0


def test_another_machines_file_is_refused_before_anything_is_measured(measured, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr("cnnx.cli.bench.measure")
    other = Record.from_dict(load_json(measured[0]))
    other.fingerprint["compiler"] = "another"
    other.write(tmp_path / "other.json")
    assert main(["bench", "--compare", str(tmp_path / "other.json")]) == 3
    assert "not comparable: compiler another ->" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--op", "convolution"], "op: expected one of 37 names, got 'convolution'; did you mean conv2d or"),
        (["--op", "relu", "--case", "cn layer 2"], "case: expected one of images, got 'cn layer 2'"),
        (["--threads", "0"], "expected an integer from 1 to 1024, got '0'"),
        (["--threads", "two"], "expected an integer from 1 to 1024, got 'two'"),
        (["--rounds", "-1"], "--rounds"),
        (["--vs", "tensorflow"], "invalid choice: 'tensorflow'"),
        (["--report", "x.html"], "--report: expected none without --history"),
        (["--verbose"], "--verbose: expected none without --compare or --against"),
        (["--compare", "a", "b", "c"], "--compare: expected one or two files, got 3"),
        (["--compare", "/nowhere/a.json"], "/nowhere/a.json: No such file or directory"),
        (["--compare", "a.json", "--against", "HEAD"], "--against: expected none with --compare"),
        (["--compare", "a.json", "--op", "relu"], "--op: expected none with --compare"),
        (["--history", "/nowhere/h.jsonl"], "/nowhere/h.jsonl"),
        (["--history", "h.jsonl", "--json"], "--json: expected none with --history"),
        (["--json", "/nowhere/new.json"], "/nowhere/new.json: No such file or directory"),
        (
            ["--json", "same", "--record", "same"],
            "--json, --record, --markdown, ...: expected a file of its own for each",
        ),
        (["--budgets", "/nowhere/b.toml"], "--budgets: expected none without --compare or --against"),
        (["--against", "nowhere"], "expected "),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_wrong_files_are_one_line(tmp_path, capsys):
    path = tmp_path / "wrong.json"
    for text in ("", "[]", "{}", '{"cnnx_bench": 7}', '{"benchmarks": 3}'):
        path.write_text(text)
        assert main(["bench", "--compare", str(path), str(path)]) == 2, text
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert str(path) in err


@dataclass
class Audited:
    """What `bench` asks of an audit's report."""

    ok: bool
    interrupted: bool = False


def test_what_computes_wrong_is_not_timed(monkeypatch, capsys):
    wrong = {"squared_error"}
    monkeypatch.setattr(cnnx.bench.run, "audit", lambda ops, **options: Audited(wrong.isdisjoint(ops)))
    assert main([*QUICK[:-1], "1"]) == 1
    out, err = capsys.readouterr()
    assert err == "squared_error: not timed, since its audit fails: cnnx audit --op squared_error says where\n"
    assert "flatten" in out
    assert "squared_error" not in out
    assert main(["bench", "--op", "squared_error", "--rounds", "1", "--threads", "1"]) == 1


@pytest.mark.skipif(bool(importlib.util.find_spec("torch")), reason="torch is installed here")
def test_a_peer_that_is_not_installed(monkeypatch, capsys):
    monkeypatch.delattr(cnnx.bench.run, "audit")  # it is said before any work
    assert main(["bench", "--op", "relu", "--rounds", "1", "--threads", "1", "--vs", "torch"]) == 2
    err = capsys.readouterr().err
    assert "cnnx[torch]" in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------------------------------- Ctrl-C


def test_an_interrupted_audit_accuses_nobody(monkeypatch, capsys):
    monkeypatch.setattr(cnnx.bench.run, "audit", lambda ops, **options: Audited(ok=False, interrupted=True))
    assert main(QUICK) == 130
    assert capsys.readouterr() == ("", "")


CASES = '[groups.g]\nop = "relu"\n[groups.g.cases]\nA = { x = [100] }\nB = { x = [200] }\n'
# Progress is for terminals; here it tells when to interrupt.
SAID = """
import sys
import cnnx.cli.bench
from cnnx.cli import main
cnnx.cli.bench.progress = lambda words: print(words, file=sys.stderr, flush=True)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
@pytest.mark.parametrize(
    ("options", "cases"),
    [(["--op", "flatten", "--op", "relu"], {"images"}), (["--cases", "cases.toml", "--vs", "numpy"], {"g A", "g B"})],
    ids=["ops", "cases"],
)
def test_ctrl_c_keeps_what_was_measured(tmp_path, options, cases):
    """In the second round, of two figures."""
    tmp_path.joinpath("cases.toml").write_text(CASES)
    log = tmp_path / "log"
    command = [sys.executable, "-c", SAID, "bench", *options, "--threads", "1", "--rounds", "10000"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--json", "run.json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        while log.read_text().count("1 thread") < 3:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    said = log.read_text()
    assert process.returncode == 130, said
    assert said.endswith("\ninterrupted: this is what was measured\n")
    assert "Traceback" not in said
    record = Record.from_dict(load_json(tmp_path / "run.json"))
    assert record.interrupted
    assert len(record.figures) == 2
    assert {m.figure.case for m in record.figures} == cases
    assert all(m.figure.op in out or m.figure.case in out for m in record.figures)
