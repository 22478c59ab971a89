"""tests/fuzz.py in short; and that it sees what it is there to see."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[1] / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("share", range(4))
def test_public_calls(share):
    """5,000 calls: no crash, no hang, no other result on plain copies, no error without an argument's name."""
    command = [sys.executable, str(FILE), "--calls", "5000", "--seed", str(share), "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"0 faults in 5000 calls, --seed {share}\n")


def count_faults(fuzz, monkeypatch, capsys, name, function):
    op, _ = fuzz.FUNCTIONS[name]
    monkeypatch.setattr(sys.modules["draws"], "OPS", (op,))
    monkeypatch.setitem(fuzz.FUNCTIONS, name, (op, function))
    return fuzz.tried(0, range(60)), capsys.readouterr().out


def test_a_fault_is_seen(fuzz, monkeypatch, capsys):
    relu = fuzz.FUNCTIONS["relu"][1]

    def writes(x, *, backend=None):
        if isinstance(x, np.ndarray) and x.flags.writeable and x.size:
            x[...] = 5
        return relu(x, backend=backend)

    def by_layout(x, *, backend=None):
        return relu(x, backend=backend) + (0 if x.flags.c_contiguous else 1)

    def differs(x, *, backend=None):
        return relu(x, backend=backend) + (backend == "reference")

    def unnamed(x, *, backend=None):
        try:
            return relu(x, backend=backend)
        except (TypeError, ValueError) as error:
            raise type(error)("no") from None

    monkeypatch.setattr(fuzz, "BY_REFERENCE", 1)
    expected = {
        writes: "x was written to",
        by_layout: "other bits",
        differs: "by the reference",
        unnamed: "names no argument",
    }
    assert fuzz.tried(0, range(60)) == 0
    for function, said in expected.items():
        faults, printed = count_faults(fuzz, monkeypatch, capsys, "relu", function)
        assert faults > 0, function
        assert said in printed


def test_a_crash_and_a_hang_are_named_a_slow_start_is_not(tmp_path):
    slow = "    faulthandler.enable()\n    if first == 0:\n        time.sleep(2.5)\n"
    broken = FILE.read_text().replace("    faulthandler.enable()\n", slow)
    broken = broken.replace(
        "    name, arguments = call_of(seed, number)\n    ours = ",
        "    if number == 3:\n        os.abort()\n    if number == 5:\n        time.sleep(60)\n"
        "    name, arguments = call_of(seed, number)\n    ours = ",
    )
    (tmp_path / "fuzz.py").write_text(broken)
    shutil.copy(FILE.with_name("draws.py"), tmp_path)
    command = [
        sys.executable,
        str(tmp_path / "fuzz.py"),
        "--calls",
        "8",
        "--seed",
        "0",
        "--jobs",
        "1",
        "--patience",
        "2",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONFAULTHANDLER": "0"})
    assert done.returncode == 1
    assert "call 3: ended its process" in done.stdout
    assert "call 5: took over 2.0 s" in done.stdout
    assert "2 faults in 8 calls" in done.stdout


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count addresses otherwise, or not at all")
def test_minutes_go_through_seeds_and_geometries():
    command = [sys.executable, str(FILE), "--calls", "5", "--geometries", "9", "--minutes", "0.1", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults in 5 calls, --seed 3\n0 faults in 9 geometries" in done.stdout
    assert "0 faults in 5 calls, --seed 4\n0 faults in 9 geometries" in done.stdout
