"""A new op is four files: a toy op is added to a copy of the project, built, and judged by the audit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytestmark = pytest.mark.once  # kernels that it builds itself, whatever build is installed

FACE = '''"""Scale every element by 2."""

from .. import backend as _backend
from .. import _check
from .._check import Array
from . import _plan
from ._spec import Case, Op


def twice(x: Array, *, backend: str | None = None) -> Array:
    """Y = 2 Z."""
    (x,) = _check.floats(x=x)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel("twice", x.dtype.name, backend)(x.reshape(-1), y.reshape(-1))
    return y


def twice_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    """dZ = 2 Delta."""
    grad_output, x = _check.floats(grad_output=grad_output, x=x)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    _backend.kernel("twice_grad_input", x.dtype.name, backend)(grad_output.reshape(-1), grad_x.reshape(-1))
    return grad_x


OP = Op(
    name="twice",
    forward=twice,
    backward=twice_backward,
    summary="2 z",
    equations="a toy",
    kernels=("twice", "twice_grad_input"),
    differentiable=("x",),
    linear=("x",),
    cases=(Case("vector", {"x": (7,)}, exact=True), Case("empty", {"x": (0, 2)}, exact=True)),
    bench=(Case("vector", {"x": (100,)}),),
)
'''

REFERENCE = '''"""Y = 2 Z."""

from ._numbers import computes


def twice_Y(Z, i):
    """Y[i] = 2 Z[i]."""
    return 2 * Z[i]


def twice_dZ(Delta, i):
    """dZ[i] = 2 Delta[i]."""
    return 2 * Delta[i]


@computes(Y=twice_Y)
def twice(Z, /, Y):
    """Z -> Y."""


@computes(dZ=twice_dZ)
def twice_grad_input(Delta, /, dZ):
    """Delta -> dZ."""
'''

OPTIMIZED = '''"""Y = 2 Z."""

from cython cimport floating


def twice(const floating[::1] Z, /, floating[::1] Y):
    cdef Py_ssize_t i
    with nogil:
        for i in range(Z.shape[0]):
            Y[i] = 2 * Z[i]


def twice_grad_input(const floating[::1] Delta, /, floating[::1] dZ):
    cdef Py_ssize_t i
    with nogil:
        for i in range(Delta.shape[0]):
            dZ[i] = 2 * Delta[i]
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the toy op, its kernels built in place; the other ops' kernels are left out."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("needs the project's sources beside the tests")
    copy = tmp_path_factory.mktemp("copy") / "cnnx"
    keep_out = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "build", ".*", "*.egg-info", "tests")
    shutil.copytree(ROOT, copy, ignore=keep_out)
    package = copy / "cnnx"
    (package / "ops" / "twice.py").write_text(FACE)
    (package / "reference" / "twice.py").write_text(REFERENCE)
    (package / "optimized" / "twice.pyx").write_text(OPTIMIZED)
    # The fourth file: imports, an entry in OPS and the names in __all__.
    init = package / "ops" / "__init__.py"
    text = init.read_text()
    names = "OP as _TWICE", "twice as twice", "twice_backward as twice_backward"
    entry = "".join(f"from .twice import {name}\n" for name in names)
    text = text.replace("\nOPS:", f"{entry}\nOPS:").replace("    _CONV2D,\n", "    _TWICE,\n    _CONV2D,\n")
    text = text.replace("__all__ = [", '__all__ = ["twice", "twice_backward",')
    assert text.count("_TWICE") == 2
    init.write_text(text)
    for twin in (*(package / "optimized").glob("*.pyx"), *(package / "reference").glob("[a-z]*.py")):
        if twin.stem not in ("twice", "dropout", "_cpu", "_threads"):
            twin.unlink()  # a minute of compiling that shows nothing here
    environment = {**os.environ, "CNNX_OPENMP": "auto", "CNNX_BUILD_ISA": "best"}
    build = [sys.executable, "setup.py", "build_ext", "--inplace"]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


def in_copy(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"} | {"PYTHONPATH": str(copy)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, env=environment, timeout=300, check=False)


def test_toy_op_is_public(copy: Path) -> None:
    done = in_copy(
        copy, "-c", "import cnnx, numpy as np; print(cnnx.__file__); print(cnnx.twice(np.array([1.5, -2.0])))"
    )
    assert done.returncode == 0, done.stderr
    path, result = done.stdout.splitlines()
    assert Path(path).is_relative_to(copy)
    assert result == "[ 3. -4.]"


def test_audit_judges_the_toy_op(copy: Path) -> None:
    done = in_copy(copy, "-m", "cnnx", "audit", "--op", "twice", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    import json

    report = json.loads(done.stdout)
    ran = {r["check"]: r["ran"] for r in report["results"]}
    assert ran.pop("threads") > 0 or report["ok"]
    assert ran.pop("worked") == 0  # nobody has worked figures for it
    ran.pop("isa")  # 0 where kernels for one instruction set alone were built
    assert all(ran.values()), ran


def test_audit_finds_the_toy_op_broken(copy: Path) -> None:
    reference = copy / "cnnx" / "reference" / "twice.py"
    right = reference.read_text()
    reference.write_text(right.replace("return 2 * Delta[i]", "return 3 * Delta[i]"))
    try:
        done = in_copy(copy, "-m", "cnnx", "audit", "--op", "twice", "--no-speed")
    finally:
        reference.write_text(right)
    assert done.returncode == 1
    assert "twice: dual" in done.stdout
    assert "twice: exact" in done.stdout


def test_toy_op_is_in_the_op_table(copy: Path) -> None:
    done = in_copy(copy, "-m", "cnnx.ops")
    assert "| `twice` | 2 z | a toy |" in done.stdout
