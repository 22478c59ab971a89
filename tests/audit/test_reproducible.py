"""The same bits, whatever else: each check finds what it is about, and the report says how far results are apart."""

import json
import os
import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx import backend, native
from cnnx.audit import CHECKS, audit, elsewhere
from cnnx.audit.checks._compare import ulps_between
from cnnx.audit.checks.batch import MOST, _why_not
from cnnx.audit.mutants import MUTANTS
from cnnx.audit.mutants.selftest import self_test
from cnnx.audit.report.junit import junit
from cnnx.audit.report.matrix import matrix, ulps
from cnnx.audit.sides import PROMISED, PROPERTIES, Sides, promised
from cnnx.audit.work import judge
from cnnx.cli import main
from cnnx.ops import OPS, Case

pytestmark = pytest.mark.once

OP = {op.name: op for op in OPS}


# ------------------------------------------------------------------------------------ the checks, by bugs


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        ("affine_first_call_differs", "repeat"),
        ("affine_depends_on_batch", "batch"),
        ("conv2d_grad_bias_depends_on_lanes", "isa"),
        ("conv2d_grad_bias_depends_on_alignment", "alignment"),
        ("conv2d_grad_bias_in_parts", "threads"),
    ],
)
def test_a_bug_in_the_bits_is_found_by_the_check_that_is_about_it_alone(
    mutant: str, check: str, set_threads: Callable[[int], None]
) -> None:
    if check == "threads":
        set_threads(2)
    (bug,) = (one for one in MUTANTS if one.name == mutant)
    test = self_test([bug], checks={name: CHECKS[name] for name in ("exact", "bound", *PROPERTIES)})
    assert test.clean == []
    assert list(test.caught[bug]) == [check], test.caught[bug]
    assert test.caught[bug][check].ulp is not None


def relu_noisy(Z, Y):
    """Other bits in each call."""
    relu_noisy.calls += 1
    np.maximum(Z, 0, out=Y)
    Y[...] = np.nextafter(Y, np.inf) if relu_noisy.calls % 2 else Y


relu_noisy.calls = 0


def relu_of_processes(Z, Y):
    """Other bits in each process."""
    np.maximum(Z, 0, out=Y)
    Y += Y.dtype.type(os.getpid() % 1009) * np.finfo(Y.dtype).eps


def relu_that_dies(Z, Y):
    if os.environ.get("CNNX_TEST_HELD"):
        os.kill(os.getpid(), signal.SIGKILL)
    np.maximum(Z, 0, out=Y)


def found_in(kernel: Any, check: str, case: str = "one") -> list[str]:
    with backend.registered(
        "theirs", backend.Kernels({"relu": kernel}, instruction_sets={"small": {"CNNX_TEST_HELD": "1"}})
    ):
        (one,) = (c for c in OP["relu"].cases if c.name == case)
        try:
            result = judge(OP["relu"], CHECKS[check], one, "float32", Sides("theirs"), 0)
        finally:
            elsewhere.end()
    return [d.what for d in result.discrepancies] + sorted(result.notes)


def test_repeat_asks_this_process_and_a_new_one() -> None:
    case = OP["relu"].cases[0].name
    assert any("again" in what for what in found_in(relu_noisy, "repeat", case))
    assert found_in(relu_of_processes, "repeat", case) == ["another process gives other bits"]


def test_a_process_that_dies_is_a_finding() -> None:
    (what,) = found_in(relu_that_dies, "isa", OP["relu"].cases[0].name)
    assert what == "back end 'theirs' raised RuntimeError: the process died: exit code -9"


def test_what_cannot_be_sent_to_another_process_is_said() -> None:
    def local(Z, Y):
        np.maximum(Z, 0, out=Y)

    (note,) = found_in(local, "repeat", OP["relu"].cases[0].name)
    assert "'theirs' is registered in this process alone and cannot be sent to another" in note
    assert CHECKS["isa"].why_not_of("optimized") == "" or native.alike() == ()
    with backend.registered("theirs", {"relu": local}):
        assert CHECKS["isa"].why_not_of("theirs").startswith("cannot be asked: the back end names no environment")
    with backend.registered("theirs", backend.Kernels({"relu": local}, instruction_sets={"small": {}})):
        assert "cannot be sent to another" in CHECKS["isa"].why_not_of("theirs")


def test_v2_is_the_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "instruction_sets", lambda: ("v2", "v3", "v4"))
    for mine, others in ("v3", ("v4",)), ("v4", ("v3",)), ("v2", ()):
        monkeypatch.setattr(native, "_isa", mine)
        assert native.alike() == others


def test_batches_are_asked_where_the_equation_has_no_sum_over_them() -> None:
    whys = {op.name: {_why_not(op, case) for case in op.cases} for op in OPS}
    assert whys["batch_norm2d"] == {"", "statistics over the batch"}
    assert whys["softmax"] == whys["log_softmax"] == {"", "a sum along the batch"}
    assert whys["squared_error"] == whys["cross_entropy"] == {"", "a mean over the batch"}
    assert all("" in found for found in whys.values())
    assert all(found <= {"", "no batch"} for op, found in whys.items() if op not in (
        "batch_norm2d", "softmax", "log_softmax", "squared_error", "cross_entropy"
    ))  # fmt: skip


def test_batches_reach_33_images_and_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    kernel = backend.kernel("relu", "float32", "optimized")

    def counting(Z, Y):
        seen.add(len(Z))
        kernel(Z, Y)

    with backend.registered("theirs", {"relu": counting}):
        case = Case("rows", {"x": (2, 5)})
        judge(OP["relu"], CHECKS["batch"], case, "float32", Sides("theirs"), 0)
    assert {n // 5 for n in seen} == {1, 2, 3, 4, 5, 8, 16, 32, MOST} or seen == {1, 2, 3, 4, 5, 8, 16, 32, MOST}


def test_alignment_moves_inputs_and_outputs() -> None:
    places = set()
    kernel = backend.kernel("relu", "float32", "optimized")

    def noting(Z, Y):
        places.add((Z.ctypes.data % 64 // 4, Y.ctypes.data % 64 // 4))
        kernel(Z, Y)

    with backend.registered("theirs", {"relu": noting}):
        judge(OP["relu"], CHECKS["alignment"], Case("row", {"x": (5,)}), "float32", Sides("theirs"), 0)
    assert {(0, 0), (1, 1), (7, 7), (0, 3), (5, 0)} <= places


# ------------------------------------------------------------------------------------------- distances


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distances_count_numbers(dtype: str) -> None:
    def apart(a: float, b: float) -> float | None:
        return ulps_between(np.array([1, a], dtype), np.array([1, b], dtype))

    kind: Any = np.dtype(dtype).type
    up = np.nextafter(kind(1), kind(2))
    assert apart(1, 1) is None
    assert apart(1, up) == apart(up, 1) == 1
    assert apart(-1, -up) == 1
    assert apart(1, np.nextafter(kind(1), kind(0))) == 1
    assert apart(1, 2) == 2.0 ** (np.finfo(dtype).nmant)
    assert apart(0.0, -0.0) == 1
    tiny = np.nextafter(kind(0), kind(1))
    assert apart(tiny, -tiny) == 3  # tiny, 0, -0, -tiny
    assert apart(np.nan, np.nan) is None
    assert apart(np.nan, 1) == np.inf
    assert apart(np.inf, 1) == np.inf
    assert apart(-1e30, 1e30) > 2**30
    assert ulps_between(np.zeros(2, dtype), np.zeros(3, dtype)) == np.inf
    assert ulps_between(np.array([1]), np.array([2])) == np.inf
    assert ulps_between(np.array(1, dtype), np.array(up, dtype)) == 1
    assert [ulps(n) for n in (1, 9_999, 12_345, 5e15)] == ["1", "9,999", "1e4", "5e15"]


# ------------------------------------------------------------------------------------------- the report


def affine_of_batches(Z, w, b, Y):
    Y[...] = b
    for j in range(Z.shape[1]) if len(Z) < 4 else reversed(range(Z.shape[1])):
        Y += Z[:, j : j + 1] * w[:, j]


@pytest.fixture
def theirs() -> None:
    cnnx.register_backend("theirs", {"affine": affine_of_batches})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["audit", "--backend", "theirs", "--op", "affine", "--timeout", "0", *arguments])
    return code, *capsys.readouterr()


@pytest.mark.usefixtures("theirs")
def test_other_bits_are_a_finding_unless_they_are_required(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--reproducible", "--case", "wide"
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    head, row = (line.split("  ") for line in out.splitlines()[2:4])
    cells = dict(zip(filter(None, (h.strip() for h in head)), filter(None, (c.strip() for c in row)), strict=True))
    assert list(cells) == ["op", "repeat", "threads", "batch", "layout", "alignment", "instruction set"]
    assert re.fullmatch(r"[\d,]+ ulp|\de\d+ ulp", cells.pop("batch"))
    assert (cells.pop("threads"), cells.pop("instruction set")) == ("-", "-")
    assert set(cells.values()) == {"affine", "same"}
    assert "not asked: instruction set: cannot be asked: the back end names no environment variable" in out
    assert out.endswith("3 of 4 cells the same bits: all agree, but for bits (1 checks)\n")
    assert run(capsys, *arguments, "--require", "repeat,layout")[0] == 0
    code, out, _ = run(capsys, *arguments, "--require", "repeat,batch")
    assert code == 1
    assert "affine: batch, case 'wide', float32: other bits than in a batch of 33" in out
    code, out, err = run(capsys, *arguments, "--require", "isa")
    assert (code, err) == (3, "not asked, though --require names it: instruction set\n")
    assert run(capsys, "--check", "batch", "--check", "exact", "--case", "wide")[0] == 0
    code, out, _ = run(capsys, "--check", "batch", "--case", "wide", "--require", "batch", "--no-shrink")
    assert code == 1
    (again,) = re.findall("again: (.*)", out)
    assert "require='batch'" in again
    code, _, err = run(capsys, "--reproducible", "--require", "batches")
    assert code == 2
    assert "--require: expected some of repeat, threads, batch, layout, alignment, isa, with commas" in err
    assert run(capsys, "--reproducible", "--check", "batch")[0] == 2


@pytest.mark.usefixtures("theirs")
def test_differences_in_all_formats() -> None:
    options: dict[str, Any] = dict(backend="theirs", cases=["wide"], checks=["batch", "exact"], measure=False)
    report = audit(["affine"], **options)
    (batch,) = (r for r in report.results if r.check == "batch")
    assert (report.ok, batch.ok, batch.verdict()) == (True, True, "differs")
    assert list(report.discrepancies()) == []
    data = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    cell = data["reproducible"]["affine"]["batch"]
    assert (cell["same"], cell["ulp"] > 0, cell["cases"] > 0) == (False, True, True)
    (found,) = (r for r in data["results"] if r["check"] == "batch")
    assert (found["required"], found["discrepancies"]) == (False, [])
    assert {d["dtype"] for d in found["differences"]} == {"float32", "float64"}
    xml = ET.fromstring(junit(report))
    assert xml.find(".//failure") is None
    assert len(xml.findall(".//system-out")) == 2
    required = audit(["affine"], **options, require=["batch"])
    assert not required.ok
    assert matrix(required.results)["affine"]["batch"].same is False
    assert len(ET.fromstring(junit(required)).findall(".//failure")) == 2
    pytest.importorskip("jinja2", reason="extra report")
    from cnnx.audit.report.page import page

    assert re.search(
        r'<td class="differs" title="case &#39;wide&#39;: [^"]*: image[^"]*">[\d,e]+ ulp</td>', page(report)
    )
    assert '<td class="differs">differs</td>' in page(report)


def test_what_is_promised_is_required() -> None:
    assert promised("optimized") == PROMISED
    assert set(promised("torch")) < set(PROPERTIES)
    report = audit(["relu"], checks=["batch", "repeat"], cases=["one"], measure=False)
    assert {r.check: r.required for r in report.results} == {c: c in PROMISED for c in ("batch", "repeat")}
    with pytest.raises(ValueError, match="require: expected some of repeat"):
        audit(["relu"], require=["speed"])


def test_a_check_that_failed_is_not_the_same_bits() -> None:
    def broken(Z, Y):
        raise ZeroDivisionError

    with backend.registered("theirs", {"relu": broken}):
        report = audit(["relu"], backend="theirs", checks=["batch"], cases=["one"], measure=False)
    cell = matrix(report.results)["relu"]["batch"]
    assert (cell.words, cell.same, report.verdict.code) == ("failed", None, 1)


def test_adapters_say_how_they_are_held() -> None:
    held = backend.instruction_sets("numpy") if "numpy" in backend.backends() else None
    if held is None:
        pytest.skip("cnnx is not installed, or NumPy has no such variables here")
    assert {name for variables in held.values() for name in variables} == {
        "NPY_DISABLE_CPU_FEATURES",
        "OPENBLAS_CORETYPE",
    }


@pytest.mark.parametrize("name", PROMISED)
def test_the_optimized_back_end_keeps_its_promise(name: str) -> None:
    report = audit(checks=[name], dtypes=["float32"], measure=False)
    assert not list(report.discrepancies())[:3]
    assert report.ran or not native.build_info()["openmp"]
