"""The build: what the archives hold, CNNX_OPENMP, compilers, checked kernels, and that a checked one is fatal.

Each build takes a copy of the sources, reduced to one small kernel where all of them would only take longer, and of
what was built of them before, which also tests that a build takes over what it may, and nothing else.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest
from paths import ROOT

import cnnx
from cnnx import native

FOLDERS = ("v2", "v3", "v4") if platform.machine() in ("x86_64", "AMD64") else ("baseline",)

WANTED = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))[0]
COMPILER = Path(
    shutil.which(WANTED) or pytest.skip(f"needs {WANTED}; CC names another compiler", allow_module_level=True)
)

KERNEL = '''
"""A kernel with mistakes that only a checked build notices."""

from cython cimport floating


cdef Py_ssize_t product(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a * b


def element(const double[::1] Z, Py_ssize_t i):
    return Z[i]


def overflow(Py_ssize_t a):
    return product(a, a)


def quotient(double a, double b):
    return a / b


def first(const floating[::1] x):
    return x[0]
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
    """A copy in `folder` of what a build needs, with one short kernel file."""
    copy = folder / "sources"
    shutil.copytree(ROOT / "cnnx", copy / "cnnx", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "_cnnx_pytest.py"):
        shutil.copy(ROOT / name, copy)
    for source in (copy / "cnnx" / "optimized").glob("*.pyx"):
        if source.stem not in ("_cpu", "_threads"):
            source.unlink()
    (copy / "cnnx" / "optimized" / "mistakes.pyx").write_text(KERNEL)
    return copy


def compiler_in(folder, script):
    """An environment whose compiler has the usual one's name, and runs `script` before it calls the usual one."""
    folder.mkdir()
    compiler = folder / COMPILER.name
    compiler.write_text(f'#!/bin/sh\n{script}\nexec {COMPILER} "$@"\n')
    compiler.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def small(shipped, tmp_path):
    """The small sources, and what `shipped` built of them."""
    return shutil.copytree(shipped[0], tmp_path / "sources")


def backend_call(hook, sources, **environment):
    """What a front end like pip calls, without its download of build tools; returns the process and the archive."""
    out = sources.parent / "out"
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"],
        cwd=sources,
        env=os.environ | {"CC": COMPILER.name} | environment,
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


BUILD = "from cnnx import native; i = native.build_info(); print(i['compiler'], i['openmp'], i['checked'])\n"
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
    return compiler_in(tmp_path / "without-openmp", 'case " $* " in *" -fopenmp "*) exit 1;; esac')


def test_sdist_holds_what_a_build_and_the_tests_need(tmp_path):
    sources = copy_sources(tmp_path)
    done, path = backend_call("build_sdist", sources)
    assert done.returncode == 0, done.stderr
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ["setup.py", "_cnnx_pytest.py", "pyproject.toml", "LICENSE", "tox.ini", ".ci/run"]
    needed += [f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "ARCHITECTURE")]
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
    calls = folder / "calls"
    small = copy_small(folder)
    (small / "cnnx" / "optimized" / "_threads.c").write_text("an old file")
    noting = compiler_in(folder / "noting", f'echo "$@" >> {calls}')
    with wheel(small, **noting, CNNX_BUILD_ISA=",".join(FOLDERS)) as archive:
        yield small, archive, calls.read_text().split()


def test_wheel_holds_kernels_and_no_c(shipped):
    small, archive, _ = shipped
    names = archive.namelist()
    binary = [name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))]
    once = ["cnnx/optimized/_cpu", "cnnx/optimized/_cyutility", "cnnx/optimized/_threads"]
    assert sorted(binary) == sorted([*once, *(f"cnnx/optimized/{folder}/mistakes" for folder in FOLDERS)])
    # All that is no code of Python, compiled or left by a build: what a module reads has to be there.
    built = {".py", ".pyc", ".c", ".so", ".pyd", ".o"}
    files = [path for path in (small / "cnnx").rglob("*") if path.is_file() and path.suffix not in built]
    data = {path.relative_to(small / "cnnx").as_posix() for path in files}
    assert {"optimized/_threads.pxd", "optimized/cpu_level.h"} <= data
    assert {"py.typed", "_html/base.html.j2", "audit/report/schema.json", "lang/ja/check.toml"} <= data
    assert {f"cnnx/{name}" for name in data} <= set(names)
    assert not [name for name in names if name.endswith((".c", ".o", ".html"))]
    plugin, about = "_cnnx_pytest.py", f"cnnx-{cnnx.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"cnnx", plugin, about}
    assert "[pytest11]\ncnnx = _cnnx_pytest\n" in archive.read(f"{about}/entry_points.txt").decode()
    packages = {plugin, *(p.relative_to(small).as_posix() for p in (small / "cnnx").rglob("*.py"))}
    assert packages == {name for name in names if name.endswith(".py")}


def test_sources_stay_clean(shipped):
    small, _, _ = shipped
    assert [path.name for path in (small / "cnnx").rglob("mistakes.*")] == ["mistakes.pyx"]


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
    assert "CNNX_BUILD_ISA=best" in printed


def test_what_looks_for_a_dtype_is_not_optimised(shipped):
    """setup.py finds it in Cython's C by the names that Cython gives; another version's may differ."""
    small, _, flags = shipped
    (source,) = small.glob("build/temp*/cnnx/optimized/mistakes.c")
    text = source.read_text()
    heads = re.findall(r"^static (CNNX_DISPATCH )?PyObject \*(__pyx_p[wf]_\w*first)\((.*)\) \{$", text, re.MULTILINE)
    looking = {name for marked, name, _ in heads if marked}
    own = {name for marked, name, arguments in heads if not marked and "memviewslice" in arguments}
    assert len(looking) >= 2, heads
    assert len(own) == 2, heads  # one for each dtype
    assert "CYTHON_SMALL_CODE" in text
    assert any(flag.startswith("-DCNNX_DISPATCH=__attribute__") for flag in flags)


# ------------------------------------------------------------------------------- what is compiled

# Notes which files are compiled, and makes empty ones in the compiler's place: nobody runs them.
NOTES = """
case " $* " in *" --version "*) echo "$FAKE_VERSION"; exit;; esac
case "$*" in *build/*temp*)
    case " $* " in *" -c "*) echo "$@" >> "$CALLS";; esac
    while [ $# -gt 0 ]; do [ "$1" = -o ] && : > "$2"; shift; done
    exit;;
esac"""


@pytest.fixture
def compiled(tmp_path):
    """Build a tree in place with a compiler that only notes; which extensions it compiled and Cython translated."""
    calls = tmp_path / "calls"
    fake = {"CC": COMPILER.name, "CALLS": str(calls), "CNNX_OPENMP": "off"} | compiler_in(tmp_path / "notes", NOTES)

    def build(sources, **environment):
        calls.write_text("")
        done = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"],
            cwd=sources,
            env=os.environ | fake | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        found = {
            "code": done.returncode,
            "cython": set(re.findall(r"Cythonizing \S+/(\w+)\.pyx", done.stdout)),
            "compiler": set(re.findall(r" -c \S+?/temp[^/]*/(\w+/\w+)\.c ", calls.read_text())),
            "flags": set(re.findall(r"-march=\S+", calls.read_text())),
        }
        assert done.returncode == 0 or "error" in done.stderr.lower(), done.stderr
        return found

    return build


def test_a_build_makes_what_changed(tmp_path, compiled):
    sources, first = copy_small(tmp_path), FOLDERS[0]
    optimized = sources / "cnnx" / "optimized"
    for path, text in {
        "deep/__init__.py": "",
        "deep/one.pxd": "cdef inline int one() noexcept nogil:\n    return 1\n",
        "deep/two.pxd": "from .one cimport one\n\ncdef inline int two() noexcept nogil:\n    return 2 * one()\n",
        "deep/part.pxi": "def part():\n    return 3\n",
        "uses.pyx": "from .deep.two cimport two\n\ndef uses():\n    return two()\n",
        "includes.pyx": 'include "deep/part.pxi"\n',
    }.items():
        (optimized / path).parent.mkdir(exist_ok=True)
        (optimized / path).write_text(text)
    every = {"once/_cpu", "once/_threads", "once/_cyutility"} | {
        f"{first}/{k}" for k in ("mistakes", "uses", "includes")
    }

    def again(**environment):
        found = compiled(sources, **{"CNNX_BUILD_ISA": first} | environment)
        assert found["code"] == 0
        return found["cython"], found["compiler"]

    def edit(path, old, new):
        text = (optimized / path).read_text()
        assert old in text
        (optimized / path).write_text(text.replace(old, new))

    assert again() == ({"_cpu", "_threads", "mistakes", "uses", "includes"}, every)
    for path in sources.rglob("*.*"):  # as Cython's own files are new in every environment that pip makes
        os.utime(path)
    assert again() == (set(), set())
    edit("mistakes.pyx", "a / b", "a / b / b")
    assert again() == ({"mistakes"}, {f"{first}/mistakes"})
    edit("deep/one.pxd", "1", "5")  # of which uses.pyx knows by deep/two.pxd alone
    assert again() == ({"uses"}, {f"{first}/uses"})
    edit("deep/part.pxi", "3", "4")
    assert again() == ({"includes"}, {f"{first}/includes"})
    edit("mistakes.pyx", "Z[i]", "Z[")
    assert compiled(sources, CNNX_BUILD_ISA=first)["code"] != 0
    edit("mistakes.pyx", "Z[", "Z[i + 1]")
    assert again() == ({"mistakes"}, {f"{first}/mistakes"})
    assert again(CNNX_OPENMP="auto") == (set(), every)  # another kind of build, of the same C
    assert again(CFLAGS="-DOTHER_FLAGS") == (set(), every)
    assert again(CFLAGS="-DOTHER_FLAGS", FAKE_VERSION="another") == (set(), every)
    if FOLDERS[1:]:
        assert again(CFLAGS="-DOTHER_FLAGS", FAKE_VERSION="another", CNNX_BUILD_ISA=",".join(FOLDERS[:2])) == (
            set(),
            {"once/_cpu", *(f"{FOLDERS[1]}/{kernel}" for kernel in ("mistakes", "uses", "includes"))},
        )


@pytest.mark.parametrize("wanted", ["", "best"])
def test_a_build_is_for_this_processor(small, compiled, wanted):
    """By default for any of the last fifteen years too, should the folder go elsewhere."""
    best = native.load("optimized._cpu").offered()[-1]
    expected = {best} if wanted or FOLDERS == ("baseline",) else {"v2", best}
    found = compiled(small, CNNX_BUILD_ISA=wanted)
    assert {name.partition("/")[0] for name in found["compiler"]} == {"once", *expected}
    assert found["flags"] == {f"-march=x86-64-{name}" for name in expected - {"baseline"}}


# ------------------------------------------------------------------------- what a build computes


def test_shipped_kernels_trust_their_caller(shipped, tmp_path):
    _, archive, _ = shipped
    assert in_wheel(archive, BUILD, tmp_path).split()[-1] == "False"
    assert in_wheel(archive, MISTAKES, tmp_path).split()[-1] == "inf"


def test_deleted_sources_do_not_reach_the_next_wheel(small):
    extra = small / "cnnx" / "extra.py"
    for exists in (True, False):
        extra.write_text("") if exists else extra.unlink()
        with wheel(small, CNNX_BUILD_ISA=FOLDERS[0]) as archive:
            assert ("cnnx/extra.py" in archive.namelist()) is exists
            folders = {
                name.split("/")[2] for name in archive.namelist() if name.partition(".")[0].endswith("/mistakes")
            }
            assert folders - {"mistakes.pyx"} == {FOLDERS[0]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CNNX_OPENMP", "yes", "expected one of auto, on, off, got 'yes'"),
        ("CNNX_CHECKED", "true", "expected one of 0, 1, got 'true'"),
        ("CNNX_SANITIZE", "memory", "expected one of off, address, thread, got 'memory'"),
        ("CNNX_BUILD_JOBS", "0", "expected an integer of at least 1, got '0'"),
    ],
)
def test_unknown_setting_fails_the_build(small, name, value, expected):
    done, _ = backend_call("build_wheel", small, **{name: value})
    assert done.returncode != 0
    assert f"error: {name}: {expected}\n" in done.stderr
    assert "Traceback" not in done.stderr


def test_openmp_on_fails_with_a_compiler_that_has_none(small, without_openmp):
    done, _ = backend_call("build_wheel", small, **without_openmp, CNNX_OPENMP="on")
    assert done.returncode != 0
    assert "error: CNNX_OPENMP=on, but the compiler could not build and run a program with OpenMP" in done.stderr
    assert "CNNX_OPENMP=off" in done.stderr
    assert "Traceback" not in done.stderr


def test_openmp_auto_warns_and_builds_serially(small, without_openmp, tmp_path):
    done, path = backend_call("build_wheel", small, **without_openmp, CNNX_BUILD_ISA=FOLDERS[0])
    assert done.returncode == 0, done.stderr
    assert "cnnx is built without threads" in done.stderr
    with zipfile.ZipFile(path) as archive:
        assert in_wheel(archive, BUILD, tmp_path / "site").split()[-2:] == ["False", "False"]


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")
def test_clang(small, tmp_path):
    with wheel(small, CC="clang", CNNX_BUILD_ISA=FOLDERS[0]) as archive:
        assert in_wheel(archive, BUILD, tmp_path / "site").startswith("clang ")


def test_checked_kernels_notice_mistakes(small, tmp_path):
    """An index beyond either end and an overflow are errors; a division by zero is IEEE's, as in the shipped build."""
    with wheel(small, CNNX_CHECKED="1", CNNX_BUILD_ISA=FOLDERS[0]) as archive:
        printed = in_wheel(archive, BUILD + MISTAKES, tmp_path / "checked").split()
    assert printed[-6:] == ["True", "3.0", "IndexError", "IndexError", "inf", "OverflowError"]
    with wheel(small, CNNX_BUILD_ISA=FOLDERS[0]) as archive:  # the next one is not checked
        assert in_wheel(archive, BUILD, tmp_path / "site").split()[-1] == "False"


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
