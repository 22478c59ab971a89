"""Kernels by contract in a process of their own: right ones pass, what they do beside computing is named."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign_contracts import OVER_THERE, SEVERAL
from paths import ROOT

import cnnx.cli
from cnnx.audit import Discrepancy, Report, audit, kernel
from cnnx.audit.checks import ISOLATED
from cnnx.audit.contract import in_force
from cnnx.audit.isolation import isolated_file, process, proxies
from cnnx.audit.mutants import CASES, MUTANTS, installed
from cnnx.audit.mutants.selftest import OF_CHEATS
from cnnx.audit.run import again
from cnnx.audit.sides import Sides
from cnnx.audit.work import judge
from cnnx.ops import OPS

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or platform.machine() != "x86_64",
        reason="what Linux says of a fault there",
    ),
]
RELU = next(op for op in OPS if op.name == "relu")


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "kernels.py"
    path.write_text(
        "import ctypes, os, sys\nimport numpy as np\nfrom cnnx.audit import Command, Constant, kernel\n" + text
    )
    return path


def of_file(path: Path, **options: Any) -> Report:
    with isolated_file(str(path), 60.0) as found:
        (kernels,) = found.values()
        return audit(backend=kernels, isolated=True, **options)


def words(report: Report) -> str:
    return "\n".join(f"{d.check}: {d.what}" for d in report.discrepancies())


# ------------------------------------------------------------------------------------ the right ones


@pytest.mark.parametrize(
    ("name", "needs", "cases", "wrong"),
    [
        ("numba_conv.py:NHWC", "numba", ["plain", "stride"], set()),
        ("half_affine.py:SINGLE", "ml_dtypes", ["wide", "no bias"], set()),
        ("scipy_correlate.py:NDIMAGE", "scipy", ["plain", "stride 3"], set()),
        ("torch_block.py:NHWC", "torch ml_dtypes", ["plain", "stride"], set()),
        ("c_conv.py:BLOCKED", "ctypes", ["plain", "1x1"], {"special"}),  # as without: it loses NaN
        ("cffi_pool.py:POOL", "cffi", ["2x2", "overlapping"], {"special"}),  # so does this
        ("triton_softmax.py:ROWS", "triton torch", ["rows", "last axis"], set()),
        pytest.param("compiled_block.py:BLOCK", "torch", ["plain"], set(), marks=pytest.mark.slow),
    ],
)
def test_the_examples_pass_as_they_do_without(name: str, needs: str, cases: list[str], wrong: set[str]) -> None:
    for module in needs.split():
        pytest.importorskip(module, reason=f"the example is about {module}")
    if name.startswith(("c_conv", "cffi", "compiled")) and shutil.which("gcc") is None:
        pytest.skip("no gcc")
    checks = ["exact", "bound", "special", "isolation"]
    if "softmax" in name:
        checks.remove("exact")  # which has no integers to be held against
    report = of_file(ROOT / "tests" / "kernels" / name, checks=checks, cases=cases)
    assert {d.check for d in report.discrepancies()} == wrong, words(report)
    assert {r.check for r in report.results if r.ran} == set(checks)
    assert report.isolated


def test_a_file_is_run_in_its_own_process_alone(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    path = file(
        tmp_path,
        f"open({str(marks)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "R = kernel('relu', lambda x: np.maximum(x, 0), name='r')\n",
    )
    assert of_file(path, checks=["bound"], cases=["vector"]).ok
    assert str(os.getpid()) not in marks.read_text().split()
    assert len(marks.read_text().split()) == 1
    assert not any("kernels_of_kernels" in name for name in sys.modules)


def test_halves_returned_and_written(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    text = """
def into(x, y): np.maximum(x, 0, out=y)
def forgets(x, y): y.reshape(-1)[1:] = np.maximum(x.reshape(-1)[1:], 0)
def relu(x): return np.maximum(x, x.dtype.type(0))  # NumPy 2.0 makes float32 of bfloat16 and a number of Python's
BF = kernel("relu", relu, dtype="bfloat16", accumulator="float32", name="bf")
HALF = kernel("relu", into, dtype="float16", accumulator="float32", arguments=["x", "y"])
FORGETS = kernel("relu", forgets, dtype="bfloat16", accumulator="float32", arguments=["x", "y"])
"""
    with isolated_file(str(file(tmp_path, text)), 60.0) as found:
        checks = ["bound", "special", "alignment", "isolation"]
        for name in ("BF", "HALF"):
            report = audit(backend=found[name], isolated=True, checks=checks, cases=["vector", "images"])
            assert report.ok, words(report)
        report = audit(backend=found["FORGETS"], isolated=True, checks=["isolation"], cases=["vector"])
        assert "kernel forgets leaves y[0] as it was" in words(report)


def test_masks_indices_and_costs(tmp_path: Path) -> None:
    text = """
def entropy(z, t, divisor):
    assert t.dtype == np.int64
    largest = z.max(axis=1)
    logs = np.log(np.exp(z - largest[:, None]).sum(axis=1)) + largest
    return (logs - z[np.arange(len(z)), t]).sum() / np.float32(divisor)
def drop(x, mask, rate):
    assert mask.dtype == bool
    return np.where(mask, x / np.float32(1 - rate), np.float32(0))
def drop_in_place(x, mask, rate):
    mask[...] = True
    return drop(x, mask, rate)
CE = kernel("cross_entropy", entropy, dtype={"logits": "float32", "target": "int64"},
            arguments=["logits", "target", "divisor"])
DROP = kernel("dropout", drop, arguments=["x", "mask", "rate"])
IN_PLACE = kernel("dropout", drop_in_place, arguments=["x", "mask", "rate"])
"""
    with isolated_file(str(file(tmp_path, text)), 60.0) as found:
        reports = {
            name: audit(backend=some, isolated=True, checks=["bound", "isolation"]) for name, some in found.items()
        }
    assert reports["CE"].ok, words(reports["CE"])
    assert reports["DROP"].ok, words(reports["DROP"])
    assert "kernel drop_in_place wrote to its input mask" in words(reports["IN_PLACE"])


def test_a_blocks_filling_need_not_be_written(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
def total(x, C, y):
    found = x.sum(axis=(2, 3), dtype="float64") / (x.shape[2] * x.shape[3])
    for c in range(C):
        y[:, c // 16, 0, 0, c % 16] = found[:, c // 16, c % 16]
M = kernel("global_avg_pool2d", total, layouts={"x": "nChw16c", "y": "nChw16c"}, arguments=["x", "C", "y"],
           accumulator="float64")
""",
    )
    report = of_file(path, checks=["bound", "isolation"])
    assert report.ok, words(report)
    path.write_text(path.read_text().replace("in range(C)", "in range(C - 1)"))
    assert "kernel total leaves y" in words(of_file(path, checks=["isolation"]))


def test_kernels_of_a_module_are_imported_there() -> None:
    report = audit(backend=OVER_THERE, isolated=True, checks=["bound", "isolation"], cases=["plain", "stride"])
    assert report.ok, words(report)
    assert str(report).startswith("back end over there, isolated, against reference")
    both = audit(backend=SEVERAL, isolated=True, checks=["bound", "isolation"], cases=["vector"])
    assert both.ok, words(both)
    assert "gradients of relu" not in str(both)
    assert proxies._running == {}


def test_c_functions_and_commands(tmp_path: Path) -> None:
    program = "import sys, numpy as np; x, y = sys.argv[1:]; np.save(y, np.maximum(np.load(x), 0))"
    path = file(
        tmp_path,
        f"""
POINTER = ctypes.POINTER(ctypes.c_float)
@ctypes.CFUNCTYPE(None, POINTER, POINTER, ctypes.c_int)
def rectify(x, y, count):
    for i in range(count):
        y[i] = x[i] if x[i] > 0 or x[i] != x[i] else 0.0
C = kernel("relu", rectify, name="c", arguments=["x", "y", 37])
BEYOND = kernel("relu", rectify, name="beyond", arguments=["x", "y", 38])
BY_FILES = kernel("relu", Command([sys.executable, "-c", {program!r}, "{{x}}", "{{y}}"]))
FAILS = kernel("relu", Command([sys.executable, "-c", "raise SystemExit(3)", "{{x}}", "{{y}}"]))
WITHOUT = kernel("relu", ctypes.CDLL(None).abs, name="abs", arguments=["x", "y", 37])
""",
    )
    with isolated_file(str(path), 60.0) as found:
        reports = {
            name: audit(backend=some, isolated=True, checks=["bound", "isolation"], cases=["vector"])
            for name, some in found.items()
        }
    assert reports["C"].ok, words(reports["C"])
    assert reports["BY_FILES"].ok, words(reports["BY_FILES"])
    assert re.search("kernel beyond (read|wrote) right behind the end of [xy]", words(reports["BEYOND"]))
    assert "ended with exit code 3" in words(reports["FAILS"])
    assert "expected argtypes" in words(reports["WITHOUT"])


# ----------------------------------------------------------------------- what passes for right


def found_by_isolation(backend: str) -> list[Discrepancy]:
    results = [judge(RELU, ISOLATED["isolation"], case, "float32", Sides(backend), 0) for case in CASES["relu"]]
    return [discrepancy for result in results for discrepancy in result.discrepancies]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("contract_zeros", "expected"),
        ("contract_stale_replay", "expected"),
        ("contract_memo_by_address", "expected"),
        ("contract_writes_its_input", "kernel contract_writes_its_input wrote to its input x"),
        ("contract_writes_beyond", "kernel contract_writes_beyond wrote right behind the end of y"),
        ("contract_reads_beyond", "kernel contract_reads_beyond read right behind the end of x"),
        ("contract_forgets_the_tail", "kernel contract_forgets_the_tail leaves y"),
        ("contract_left_to_a_thread", "still wrote to y after it had returned: a thread goes on"),
        ("contract_replaces_the_clock", "replaces time.perf_counter"),
        ("contract_by_reference", "imports cnnx.reference, which has or judges the answer"),
    ],
)
def test_what_passes_for_right_is_named(name: str, words: str) -> None:
    (mutant,) = (one for one in MUTANTS if one.name == name)
    with installed(mutant) as backend:
        found = found_by_isolation(backend)
    assert any(words in discrepancy.what for discrepancy in found), found


def test_a_right_one_is_clean_where_mutants_are_tried(tmp_path: Path) -> None:
    text = "R = kernel('relu', lambda x: np.maximum(x, 0), name='r', dtype=('float32', 'float64'))\n"
    with isolated_file(str(file(tmp_path, text)), 60.0) as found, in_force(found["R"]) as backend:
        for check in OF_CHEATS:
            for case in CASES["relu"]:
                for dtype in ("float32", "float64"):
                    assert judge(RELU, ISOLATED[check], case, dtype, Sides(backend), 0).discrepancies == []


def test_every_mutant_by_contract_is_asked_for_above() -> None:
    (mark,) = (m for m in test_what_passes_for_right_is_named.pytestmark if m.name == "parametrize")
    assert {one.name for one in MUTANTS if one.by_contract} == {name for name, _ in mark.args[1]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(x):\n    os._exit(3)\n", "kernel f ended its process: exit code 3"),
        ("def f(x):\n    sys.exit(2)\n", "kernel f ended the process, with exit code 2"),
        ("def f(x):\n    1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def f(x):\n    pass\n", "f: expected it to return y, got None"),
        ("def f(x):\n    return x[:1]\n", "f: expected y of shape (37,), got (1,)"),
        ("def f(x):\n    return x.astype('float64')\n", "f: expected y of float32, got float64"),
        ("def f(x):\n    from cnnx.audit import audit\n    audit()\n", "kernel f imports cnnx.audit.audit"),
        ("def f(x):\n    ctypes.string_at(x.ctypes.data - 4, 4)\n    return np.maximum(x, 0)\n",
         "kernel f read before the beginning of x"),
    ],
)  # fmt: skip
def test_what_a_function_may_not_do_is_said(tmp_path: Path, text: str, words: str) -> None:
    report = of_file(file(tmp_path, f"{text}R = kernel('relu', f)\n"), checks=["isolation"], cases=["vector"])
    assert words in globals()["words"](report)


# -------------------------------------------------------------------------------- the command, errors


def test_the_command_and_its_reproducer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, "LEAKY = kernel('relu', lambda x: np.where(x > 0, x, x / 8), name='leaky')\n")
    call = ["audit", "--kernel", str(path), "--isolated", "--check", "bound", "--case", "vector"]
    assert cnnx.cli.main(call) == 1
    printed = capsys.readouterr().out
    assert "back end leaky, isolated, against reference" in printed
    (command,) = re.findall(r"again: cnnx audit --kernel (\S+) --isolated --repro '(.*)'", printed)
    assert command[0] == f"{path}:LEAKY"
    assert cnnx.cli.main(["audit", "--kernel", command[0], "--isolated", "--repro", command[1]]) == 1
    assert json.loads(command[1])["op"] == "relu"


def test_a_script_that_judges_itself() -> None:
    """As `__main__` it has no name that another process could import, but a file."""
    script = Path(__file__).with_name("foreign_contracts.py")
    path = os.pathsep.join([str(script.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": path},  # a script's own folder is not on the path where that is safe
    )
    assert done.stdout.startswith("back end over there, isolated, against reference"), done.stderr
    assert "all agree" in done.stdout


def test_again_in_python() -> None:
    line = '{"op":"relu","check":"isolation","case":"vector","dtype":"float32","seed":0}'
    assert again(line, backend=SEVERAL[0], isolated=True).ok


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "cannot be loaded in a process of its own: ZeroDivisionError"),
        ("X = 1", "expected a variable of .* that is what cnnx.audit.kernel made"),
        ("R = kernel('rleu', abs)", r"kernels\.py:R: op: .*did you mean relu"),
        ("R = kernel('relu', abs, dytpe='float32')", r"kernels\.py:R: .*unexpected keyword argument 'dytpe'"),
        ("R = kernel('relu', 'abs')", "function: expected something to call"),
        ("import cnnx.audit.truth", "imports cnnx.audit.truth, which has or judges the answer"),
    ],
)
def test_files_that_do_not_describe_any(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cnnx.cli.main(["audit", "--kernel", str(file(tmp_path, text)), "--isolated"]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_what_a_process_says_is_not_taken_for_a_contract(tmp_path: Path) -> None:
    """A file that answers in its process's stead, with what is none."""
    lie = """
def described(self):
    return {answer}
recorded = sys.modules["cnnx_isolated_recorded"]
recorded.Contracts.said = described
"""
    answers = (
        ("{'variables': {'R': {'several': False, 'kernels': [7]}}, 'kernels': []}", "expected the number of a kernel"),
        ("{'variables': 3, 'kernels': []}", "does not say what its contracts are"),
        ("{'variables': {}, 'kernels': 3}", "expected a list of a process, got int"),
        ("[]", "does not say what its contracts are"),
        ("{'variables': {'R': {'several': False, 'kernels': [0]}}, 'kernels': [{'op': {'list': []}}]}", "does not say"),
    )
    for number, (answer, words) in enumerate(answers):
        (folder := tmp_path / str(number)).mkdir()  # two files of one name, size and second share what is compiled
        with (
            pytest.raises(ValueError, match=words),
            isolated_file(str(file(folder, lie.format(answer=answer))), 60.0),
        ):
            pass


def test_other_contracts_at_the_second_start_are_refused(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        f"here = {str(tmp_path / 'count')!r}\nopen(here, 'a').write('x')\n"
        "R = kernel('relu', lambda x: os._exit(1), name=f'r{os.path.getsize(here)}')\n",
    )
    report = of_file(path, checks=["bound"], cases=["vector", "one"])
    assert "its contracts are others when it is loaded again" in words(report)


def test_what_is_no_variable_cannot_be_isolated() -> None:
    with pytest.raises(ValueError, match="isolated: 'nowhere' is no variable of a module or of a file"):
        audit(backend=kernel("relu", np.abs, name="nowhere"), isolated=True)


def test_a_function_that_hangs_is_a_finding_of_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HANGS", 1)
    path = file(
        tmp_path,
        "import time\ndef f(x):\n    while x.size == 37: time.sleep(1)\n    return np.maximum(x, 0)\n"
        "R = kernel('relu', f)\n",
    )
    with isolated_file(str(path), 3.0) as found, in_force(found["R"]) as backend:
        (first, *_) = found_by_isolation(backend)
    assert first.what == "kernel f hangs: no result after 3 s"


def test_a_program_ends_with_the_process_that_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "HANGS", 1)
    mark = tmp_path / "pid"
    program = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    path = file(tmp_path, f"R = kernel('relu', Command([sys.executable, '-c', {program!r}, '{{x}}', '{{y}}']))\n")
    with isolated_file(str(path), 3.0) as found, in_force(found["R"]) as backend:
        (first, *_) = found_by_isolation(backend)
    assert "hangs: no result after 3 s" in first.what
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"  # dead, if nobody asked yet
