"""The build: what the archives hold, CNNX_OPENMP, compilers, checked kernels, and that a checked one is fatal.

Each build takes a copy of the sources, reduced to one small kernel where all of them would only take longer.
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile

import pytest
from paths import ROOT

import cnnx

FOLDERS = ("v2", "v3", "v4") if platform.machine() in ("x86_64", "AMD64") else ("baseline",)

KERNEL = '''
"""A kernel with mistakes that only a checked build notices."""

cdef Py_ssize_t product(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a * b


def element(const double[::1] Z, Py_ssize_t i):
    return Z[i]


def overflow(Py_ssize_t a):
    return product(a, a)


def quotient(double a, double b):
    return a / b
'''

pytestmark = pytest.mark.skipif(
    os.environ.get("CNNX_TEST_BUILD") in ("checked", "serial") or "CNNX_TEST_ISA" in os.environ,
    reason="says nothing about the installed build",
)


def copy_sources(folder):
    """A copy of the sources in `folder`."""
    copy = folder / "sources"
    unwanted = shutil.ignore_patterns(".git", ".tox", ".*_cache", "build", "dist", "*.egg-info", "*.so", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=unwanted)
    return copy


def copy_small(folder):
    """A copy of the sources in `folder` with two short kernel files."""
    copy = copy_sources(folder)
    for source in (copy / "cnnx" / "optimized").glob("*.pyx"):
        if source.stem not in ("_cpu", "_threads"):
            source.unlink()
    (copy / "cnnx" / "optimized" / "mistakes.pyx").write_text(KERNEL)
    return copy


@pytest.fixture
def small(tmp_path):
    return copy_small(tmp_path)


def backend_call(hook, sources, **environment):
    """What a front end like pip calls, without its download of build tools; returns the process and the archive."""
    out = sources.parent / "out"
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"],
        cwd=sources,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done, out / (done.stdout.splitlines() or ["nothing"])[-1]


def wheel(sources, **environment):
    done, path = backend_call("build_wheel", sources, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(path)


def in_wheel(archive, code, folder):
    """Run `code` with the cnnx of a wheel; its output."""
    archive.extractall(folder)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{textwrap.dedent(code)}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BUILD = "from cnnx import native; i = native.build_info(); print(i['compiler'], i['openmp'], i['checked'])"
MISTAKES = """
    import numpy as np
    from cnnx import native
    mistakes = native.kernels("mistakes")
    Z = np.arange(6.0)[2:4]
    for i in (1, 2, -1):
        try:
            print(mistakes.element(Z, i))
        except IndexError:
            print("IndexError")
    print(mistakes.quotient(1.0, 0.0))
    sys.unraisablehook = lambda event: print(event.exc_type.__name__)
    mistakes.overflow(2**40)
"""


@pytest.fixture
def without_openmp(tmp_path):
    """A C compiler that takes everything but OpenMP."""
    compiler = tmp_path / "cc-without-openmp"
    compiler.write_text('#!/bin/sh\ncase " $* " in *" -fopenmp "*) exit 1;; esac\nexec cc "$@"\n')
    compiler.chmod(0o755)
    return str(compiler)


def test_sdist_holds_what_a_build_and_the_tests_need(tmp_path):
    sources = copy_sources(tmp_path)
    done, path = backend_call("build_sdist", sources)
    assert done.returncode == 0, done.stderr
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ["setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "tox.ini", ".ci/run"]
    tracked = [p for folder in ("cnnx", "tests", "benchmarks") for p in (sources / folder).rglob("*.*") if p.is_file()]
    tracked = [p.relative_to(sources).as_posix() for p in tracked if p.suffix not in (".c", ".html")]
    assert "cnnx/optimized/conv2d.pyx" in tracked
    assert "cnnx/optimized/_threads.pxd" in tracked
    assert {"cnnx/equations.md", "cnnx/audit/report/page.html.j2"} <= set(tracked)
    assert set(needed + tracked) <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".pyc"))]
    assert path.name == f"cnnx-{cnnx.__version__}.tar.gz"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The sources, the wheel as it ships and the flags that the compiler was called with."""
    folder = tmp_path_factory.mktemp("shipped")
    calls, compiler = folder / "calls", folder / "cc-that-notes"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    small = copy_small(folder)
    (small / "cnnx" / "optimized" / "_threads.c").write_text("an old file")
    with wheel(small, CC=str(compiler)) as archive:
        yield small, archive, calls.read_text().split()


def test_wheel_holds_kernels_and_no_c(shipped):
    small, archive, _ = shipped
    names = archive.namelist()
    binary = [name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))]
    once = ["cnnx/optimized/_cpu", "cnnx/optimized/_threads"]
    assert sorted(binary) == sorted([*once, *(f"cnnx/optimized/{folder}/mistakes" for folder in FOLDERS)])
    data = {"py.typed", "equations.md", "audit/report/schema.json", "optimized/_threads.pxd"}
    data |= {path.relative_to(small / "cnnx").as_posix() for path in (small / "cnnx").rglob("*.j2")}
    assert {"_html/base.html.j2", "audit/report/page.html.j2"} <= data
    assert {f"cnnx/{name}" for name in data} <= set(names)
    assert not [name for name in names if name.endswith((".c", ".o", ".html"))]
    assert {name.partition("/")[0] for name in names} == {"cnnx", f"cnnx-{cnnx.__version__}.dist-info"}
    packages = {p.relative_to(small).as_posix() for p in (small / "cnnx").rglob("*.py")}
    assert packages == {name for name in names if name.endswith(".py")}


def test_sources_stay_clean(shipped):
    small, _, _ = shipped
    assert [path.name for path in (small / "cnnx").rglob("mistakes*")] == ["mistakes.pyx"]


def test_no_flags_for_one_processor_or_fast_math(shipped):
    """A wheel has to run on any processor of an instruction set, and NaN has to survive."""
    _, _, flags = shipped
    assert "-O3" in flags
    assert {flag for flag in flags if flag.startswith("-march")} == {
        f"-march=x86-64-{folder}" for folder in FOLDERS if folder != "baseline"
    }
    unwanted = ("-mcpu", "-mtune", "-mavx", "-ffast", "-Ofast", "-funsafe")
    assert not [flag for flag in flags if flag.startswith(unwanted)]


@pytest.mark.parametrize("wanted", ["v9", "v3,avx2", "native", ","])
def test_unknown_instruction_sets_fail_the_build(small, wanted):
    done, _ = backend_call("build_wheel", small, CNNX_BUILD_ISA=wanted)
    assert done.returncode != 0
    assert "error: CNNX_BUILD_ISA: expected some of" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(FOLDERS == ("baseline",), reason="one instruction set only")
def test_a_processor_without_any_of_them_is_an_error(small, tmp_path):
    """As where a build for AVX-512 alone comes to a processor that has none."""
    code = """
        from cnnx import native
        native.load("optimized._cpu")
        native.load = lambda name, load=native.load: Cpu if name == "optimized._cpu" else load(name)
        class Cpu:
            built_for = lambda: ("v3",)
            offered = lambda: ("baseline", "v2")
        try:
            native.instruction_set()
        except ImportError as error:
            print(error)
    """
    with wheel(small, CNNX_BUILD_ISA="v3") as archive:
        assert [n for n in archive.namelist() if n.endswith(".so") and "/v" in n] == [
            n for n in archive.namelist() if "/v3/mistakes" in n
        ]
        printed = in_wheel(archive, code, tmp_path / "site")
    assert "none of the instruction sets that cnnx was built for (v3)" in printed
    assert "CNNX_BUILD_ISA=baseline" in printed


def test_shipped_kernels_trust_their_caller(shipped, tmp_path):
    _, archive, _ = shipped
    assert in_wheel(archive, BUILD, tmp_path).split()[-1] == "False"
    assert in_wheel(archive, MISTAKES, tmp_path).split()[-1] == "inf"


@pytest.mark.slow
def test_deleted_sources_and_changed_settings_reach_the_next_wheel(small, tmp_path):
    extra = small / "cnnx" / "extra.py"
    extra.write_text("")
    wheel(small, CNNX_OPENMP="off").close()
    extra.unlink()
    with wheel(small, CNNX_OPENMP="off", CNNX_CHECKED="1") as archive:
        assert "cnnx/extra.py" not in archive.namelist()
        assert in_wheel(archive, BUILD, tmp_path / "site").split()[-2:] == ["False", "True"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CNNX_OPENMP", "yes", "expected one of auto, on, off, got 'yes'"),
        ("CNNX_CHECKED", "true", "expected one of 0, 1, got 'true'"),
        ("CNNX_BUILD_JOBS", "0", "expected an integer of at least 1, got '0'"),
    ],
)
def test_unknown_setting_fails_the_build(small, name, value, expected):
    done, _ = backend_call("build_wheel", small, **{name: value})
    assert done.returncode != 0
    assert f"error: {name}: {expected}\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_openmp_on_fails_with_a_compiler_that_has_none(small, without_openmp):
    done, _ = backend_call("build_wheel", small, CC=without_openmp, CNNX_OPENMP="on")
    assert done.returncode != 0
    assert "error: CNNX_OPENMP=on, but the compiler could not build and run a program with OpenMP" in done.stderr
    assert "CNNX_OPENMP=off" in done.stderr
    assert "Traceback" not in done.stderr


def test_openmp_auto_warns_and_builds_serially(small, without_openmp, tmp_path):
    done, path = backend_call("build_wheel", small, CC=without_openmp)
    assert done.returncode == 0, done.stderr
    assert "cnnx is built without threads" in done.stderr
    with zipfile.ZipFile(path) as archive:
        assert in_wheel(archive, BUILD, tmp_path / "site").split()[-2:] == ["False", "False"]


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
def test_clang(small, tmp_path):
    with wheel(small, CC="clang") as archive:
        assert in_wheel(archive, BUILD, tmp_path / "site").startswith("clang ")


def test_checked_kernels_notice_mistakes(small, tmp_path):
    """An index beyond either end and an overflow are errors; a division by zero is IEEE's, as in the shipped build."""
    with wheel(small, CNNX_CHECKED="1") as archive:
        printed = in_wheel(archive, MISTAKES, tmp_path / "site").split()
    assert printed == ["3.0", "IndexError", "IndexError", "inf", "OverflowError"]


def test_what_a_kernel_can_only_print_fails_the_tests(tmp_path):
    """An exception in a noexcept function is unraisable; with this project's settings pytest fails for it."""
    test = tmp_path / "test_one.py"
    test.write_text(
        "class Kernel:\n    def __del__(self):\n        raise IndexError\n\n\ndef test_one():\n    Kernel()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, test],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout
    assert "PytestUnraisableExceptionWarning" in done.stdout
