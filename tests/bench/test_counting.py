"""Counted instructions and cache misses: the counters, what is said where there are none, callgrind, turns."""

import errno
import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from test_against import BUILDS

from cnnx.bench import counting, timing
from cnnx.bench.counted import counted
from cnnx.bench.counting import CALLGRIND, EVENTS, INSTRUCTIONS, MISSES, OUT, PERF, CountingError
from cnnx.bench.record import Figure
from cnnx.bench.turns import Side, Turns, _counts
from cnnx.cli import doctor, main

pytestmark = pytest.mark.once


def without(monkeypatch, number):
    """perf_event_open fails."""

    class Refusing:
        def syscall(self, *arguments):
            return -1

    monkeypatch.setattr(counting.ctypes, "CDLL", lambda name, use_errno: Refusing())
    monkeypatch.setattr(counting.ctypes, "get_errno", lambda: number)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "this processor, or the virtual machine, has no such counter"),
        (errno.EACCES, "permission denied: sysctl kernel.perf_event_paranoid=2, or CAP_PERFMON"),
        (errno.EPERM, "permission denied"),
        (errno.ENOSYS, "the system, or the container, has no such call"),
        (errno.EMFILE, os.strerror(errno.EMFILE)),
    ],
)
def test_why_the_processor_does_not_count(number, words, monkeypatch):
    without(monkeypatch, number)
    assert counting.why_no_perf().startswith(f"{PERF}: no instructions: {words}")
    monkeypatch.setattr(counting, "why_no_callgrind", lambda: None)
    assert counting.means() == CALLGRIND
    monkeypatch.setattr(counting, "why_no_callgrind", lambda: "callgrind: expected valgrind, got none")
    with pytest.raises(CountingError, match=f"{words.partition(':')[0]}.*; callgrind: expected valgrind, got none"):
        counting.means()
    monkeypatch.delenv(OUT, raising=False)
    with pytest.raises(CountingError, match=PERF):
        counting.counted(int)


def test_other_systems_have_neither(monkeypatch):
    monkeypatch.setattr(counting.platform, "machine", lambda: "riscv64")
    assert counting.why_no_perf() == f"{PERF}: expected Linux on x86_64 or aarch64, got Linux, riscv64"
    assert counting.why_no_callgrind() == "callgrind: expected x86_64, whose requests are known here, got riscv64"


@pytest.mark.skipif(counting.why_no_perf() is not None, reason=str(counting.why_no_perf()))
def test_the_processor_counts():
    few, many = (counting.counted(lambda n=n: sum(range(n)), 3)[INSTRUCTIONS] for n in (10_000, 40_000))
    assert 3 < many / few < 5


COUNTS = """
from cnnx.bench import counting
data = list(range(4000))
def summed(n):
    return sum(data[:n])
for n in 1000, 4000, 4000:
    print(counting.counted(lambda: summed(n), 2)["instructions"])
"""


@pytest.mark.skipif(counting.why_no_callgrind() is not None, reason=str(counting.why_no_callgrind()))
def test_callgrind_counts(tmp_path):
    """Four times as many numbers are four times the work, nearly; the same again is the same within 1 %."""
    out = str(tmp_path / "out of it")
    run = [*counting.command(sys.executable, out), "-c", COUNTS.replace("from cnnx.bench import", "import")]
    env = {**os.environ, OUT: out, "PYTHONPATH": os.path.dirname(counting.__file__), "PYTHONHASHSEED": "1"}
    done = subprocess.run(run, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    few, many, again = map(float, done.stdout.split())
    assert 3 < many / few < 5
    assert again == pytest.approx(many, rel=0.01)


@pytest.mark.parametrize("text", ["", "events: Ir\n", "totals: 3\n", "events: Dr\ntotals: 3\n"])
def test_files_of_callgrind_without_counts(text):
    with pytest.raises((CountingError, IndexError)):
        counting.totals(text)


# ------------------------------------------------------------------------------------------------------ turns


class Counting:
    def __init__(self, name, asked, counts):
        self.name, self.asked, self.counts = name, asked, counts

    def ask(self, question):
        self.asked.append((self.name, question))
        return self.counts


@pytest.mark.parametrize("reverse", [False, True])
def test_each_side_is_counted_once_in_a_round(reverse):
    asked = []
    ours = Counting("a", asked, {INSTRUCTIONS: 90.0, MISSES: 0.0})
    base = Counting("b", asked, {INSTRUCTIONS: 100.0, MISSES: 5.0})
    sides = [("cnnx", ours, "call"), ("base", base, "call")]
    assert _counts(sides, INSTRUCTIONS, reverse=reverse) == {"cnnx": [90.0], "base": [100.0]}
    assert _counts(sides, MISSES, reverse=reverse) == {"cnnx": [1.0], "base": [5.0]}  # no ratio to 0
    assert asked[:2] == [(name, "tally") for name in ("ba" if reverse else "ab")]


def test_what_makes_its_call_counts_the_call_alone(monkeypatch):
    calls = []
    monkeypatch.setattr(timing, "_counting", lambda: counting)
    monkeypatch.setattr(counting, "counted", lambda call, count=1: calls.append((call, count)) or {INSTRUCTIONS: 8.0})
    timed = timing.Timed()
    timed.call, timed.count = len, 1000
    assert timed.tally() == {INSTRUCTIONS: 8.0}
    assert calls == [(len, timing.CALLS)]
    timed.making, timed.count = (lambda: int), 2
    assert timed.tally() == {INSTRUCTIONS: 8.0}
    assert calls[1:] == [(int, 1), (int, 1)]


def test_sides_run_in_callgrind(tmp_path):
    """By a script: the same Python and arguments, each process with a file of its own."""
    folder = tmp_path / "with space"
    folder.mkdir()
    side = Side("cnnx", lambda threads: {})
    made = counted(lambda *_: Turns([], {"cnnx": side, "base": side}), INSTRUCTIONS, CALLGRIND)
    turns = made(*BUILDS, [Figure("relu", "", "", 1)], folder, lambda *_: None)
    assert turns.event == INSTRUCTIONS
    scripts = [one.python for one in turns.sides.values()]
    assert len(set(scripts)) == 2
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "valgrind").write_text('#!/bin/sh\necho "$$|$CNNX_CALLGRIND_OUT"\nfor each; do echo "$each"; done\n')
    (stub / "valgrind").chmod(0o700)
    done = subprocess.run(
        [scripts[0], "worker.py", "cnnx"], env={"PATH": f"{stub}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    first, *words = done.stdout.splitlines()
    number, out = first.split("|")
    assert out == f"{folder}/counts.{number}"
    assert words[-4:] == [sys.executable, "-P", "worker.py", "cnnx"]
    assert f"--callgrind-out-file={out}" in words
    plain = counted(lambda *_: Turns([], {"cnnx": side}), MISSES, PERF)(*BUILDS, [], folder, lambda *_: None)
    assert (plain.event, plain.sides["cnnx"].python) == (MISSES, None)


def test_where_nothing_counts_the_command_says_why(monkeypatch, capsys):
    from cnnx.cli import _bench_options

    def nobody():
        raise CountingError("perf_event_open: no instructions: why; callgrind: expected valgrind, got none")

    monkeypatch.setattr(_bench_options, "means", nobody)
    assert main(["bench", "--against", "HEAD", "--count", "instructions"]) == 2
    assert "--count: perf_event_open: no instructions: why; callgrind: expected" in capsys.readouterr().err
    assert main(["bench", "--count", "misses"]) == 2
    assert "--count: expected none without --against" in capsys.readouterr().err
    monkeypatch.setattr(_bench_options, "means", lambda: CALLGRIND)
    assert main(["bench", "--against", "HEAD", "--count", "misses", "--isa", "v4"]) == 2
    assert "--isa: expected v2 or v3 with --count, as callgrind has no AVX-512" in capsys.readouterr().err


def test_doctor_says_who_counts():
    line = doctor._counting()
    assert re.search(r"perf_event_open.*; callgrind", line)
    assert ("no AVX-512" in line) == (counting.why_no_callgrind() is None)


def test_events_are_those_of_the_command():
    assert EVENTS == ("instructions", "cache misses")
