"""The kernels' own threads, `cnnx/optimized/runtime/team.h`, by a C program: no Python, no kernel in between."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

HERE = Path(__file__).parent
SOURCES = ROOT if (ROOT / "cnnx" / "optimized" / "runtime" / "team.h").exists() else None
COMPILER = shutil.which(os.environ.get("CC", "gcc").split()[0])

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the team is for Linux"),
    pytest.mark.skipif(COMPILER is None or SOURCES is None, reason="needs a C compiler and the sources"),
]


def program(folder, *flags):
    """tests/ops/team.c, compiled; None where the compiler has not what the flags ask for."""
    made = folder / "team"
    command = [COMPILER, "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{SOURCES}", *flags]
    done = subprocess.run([*command, HERE / "team.c", "-o", made], capture_output=True, text=True, check=False)
    if done.returncode and flags and "tsan" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    return made


def run(*command):
    """What it says, and how it ends."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout.strip(), done.stderr


def test_each_part_is_computed_once(tmp_path):
    code, said, complaint = run(program(tmp_path), "20000", "and fork")
    assert (code, said) == (0, "ok"), complaint


def test_a_system_that_gives_no_threads(tmp_path):
    """The caller computes all parts, and one line on stderr says so. (OpenMP's own would end the process.)"""
    code, said, complaint = run(program(tmp_path, "-DREFUSED"), "2000")
    assert (code, said) == (0, "ok")
    assert complaint == "cnnx: the system refused a thread; its part is computed by the others\n"


def test_no_races(tmp_path):
    """By gcc's thread sanitizer, where it is installed. It wants addresses where it looks for them: setarch -R."""
    made = program(tmp_path, "-fsanitize=thread")
    if made is None:
        pytest.skip("the compiler has no thread sanitizer")
    setarch = shutil.which("setarch")
    code, said, complaint = run(*([setarch, "-R"] if setarch else []), made, "300")
    if "unexpected memory mapping" in complaint:
        pytest.skip("the thread sanitizer does not run here")
    assert (code, said) == (0, "ok"), complaint
