"""CNNX_TEST_ISA: the tests run the kernels of that instruction set, in their own process and in those they start."""

import os
import subprocess
import sys

import pytest
from paths import ROOT

from cnnx import native

CHOSEN = """
import subprocess, sys
from cnnx import native

def test_chosen():
    code = "from cnnx import native; print(native.instruction_set())"
    theirs = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    print(f"<{native.instruction_set()} {theirs}>")
"""


@pytest.fixture
def tests(tmp_path):
    """A folder with this project's conftest.py and one test that says which kernels it has."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_chosen.py").write_text(CHOSEN)
    return tmp_path


def run(folder, **environment):
    left = {name: value for name, value in os.environ.items() if name not in ("CNNX_ISA", "CNNX_TEST_ISA")}
    path = os.pathsep.join(sys.path)  # where this process has cnnx from
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env=left | {"PYTHONPATH": path} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", native.instruction_sets())
def test_the_kernels_are_those_of_the_set(tests, name):
    done = run(tests, CNNX_TEST_ISA=name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"<{name} {name}>" in done.stdout


def test_a_developers_choice_does_not_count(tests):
    best = native.instruction_sets()[-1]
    assert f"<{best} {best}>" in run(tests, CNNX_ISA=native.instruction_sets()[0]).stdout


def test_a_set_that_is_not_there(tests):
    done = run(tests, CNNX_TEST_ISA="v9")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "CNNX_TEST_ISA: expected one of " in done.stderr
    assert "as this build and processor have, got 'v9'" in done.stderr
