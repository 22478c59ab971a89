"""The gate: assert_kernel, and the verdict in JSON; its score and speed, which nothing wrong has."""

import json
import platform
import sys
import time
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnx
import cnnx.cli
from cnnx import backend
from cnnx.audit import assert_kernel, verdict
from cnnx.audit.gate.interval import lowest
from cnnx.audit.gate.verdict import of_report, schema
from cnnx.audit.mutants._mutant import right
from cnnx.audit.report.report import Report
from cnnx.audit.report.result import Discrepancy, Result
from cnnx.audit.repro import words_of
from cnnx.ops import OPS

pytestmark = pytest.mark.once

RELU = '{"op":"relu","check":"exact","case":"vector","dtype":"float32","seed":0}'


def relu(Z: Any, /, Y: Any) -> None:
    np.maximum(Z, 0, out=Y)


def shifted(Z: Any, /, Y: Any) -> None:
    np.maximum(Z, 0.5, out=Y)


def valid(found: dict[str, Any]) -> dict[str, Any]:
    """A verdict as JSON has it, by its schema."""
    jsonschema = pytest.importorskip("jsonschema", reason="the verdict is held against its schema")
    text = json.loads(json.dumps(found, allow_nan=False))
    jsonschema.Draft202012Validator(schema()).validate(text)
    return text


# ------------------------------------------------------------------------------------------- assert_kernel


def test_what_is_right_gives_its_report() -> None:
    report = assert_kernel(relu, checks=["exact", "bound"])
    assert report.ok
    assert report.ops == ["relu"]
    assert backend.registered_names() == ()
    assert assert_kernel("numpy", ["affine"], checks=["exact"], dtypes=["float64"]).ops == ["affine"]


def test_what_is_wrong_raises_with_the_element_and_the_terms() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_kernel(shifted, "relu", checks=["exact", "adjoint", "bound"])
    lines = str(caught.value).splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.partition(":")[0] for head in heads] == ["relu, exact", "relu, bound"]
    assert heads[0] == "relu, exact: relu at Y[0]: expected 0.0 exactly, got 0.5"
    assert lines[1].startswith("    case '")
    assert ", shrunk to x (1,)" in lines[1] or "'one'" in lines[1]
    assert any("Z[0]" in line for line in lines)
    assert any(line.startswith("    and ") and line.endswith(" more of this check") for line in lines)
    again = next(line for line in lines if line.startswith("    again: "))
    assert again.startswith("    again: cnnx.audit.assert_kernel(shifted, 'relu', repro='{")
    repeats = again.removeprefix("    again: cnnx.audit.assert_kernel(shifted, 'relu', repro=").removesuffix(")")
    with pytest.raises(AssertionError, match=r"relu, exact: relu at Y\[0\]: expected 0.0 exactly, got 0.5"):
        assert_kernel(shifted, "relu", repro=eval(repeats))


def test_it_is_a_failure_of_unittest() -> None:
    class Suite(unittest.TestCase):
        def test_kernel(self) -> None:
            assert_kernel(shifted, "relu", checks=["exact"], shrink=0.0)

    result = unittest.TestResult()
    Suite("test_kernel").run(result)
    assert len(result.failures) == 1
    assert not result.errors
    assert "relu, exact: relu at Y[" in result.failures[0][1]


def test_a_back_end_with_a_name_is_repeated_by_the_command_line() -> None:
    cnnx.register_backend("theirs", {"relu": shifted})
    with pytest.raises(AssertionError, match=r"again: import cnnx.audit; print\(cnnx.audit.again\("):
        assert_kernel("theirs", "relu", checks=["exact"], shrink=0.0)


def test_a_budget_below_the_bound() -> None:
    report = assert_kernel("optimized", "gelu", checks=["bound"], dtypes=["float32"])
    (used,) = (worst.share for worst in report.results[0].worst.values())
    assert 0.1 < used < 1
    assert_kernel("optimized", "gelu", checks=["bound"], dtypes=["float32"], budget=used)
    with pytest.raises(AssertionError, match=r"gelu, bound: 0\.\d+ of the error bound is used, expected at most 0.1"):
        assert_kernel("optimized", "gelu", checks=["bound"], budget=0.1)
    for budget in (0, 2, -1):
        with pytest.raises(ValueError, match="budget: expected a share of the error bound, more than 0 and at most 1"):
            assert_kernel(relu, budget=budget)


def test_which_kernel_a_function_is() -> None:
    def conv2d_grad_bias(Delta: Any, /, db: Any) -> None:
        db[...] = Delta.astype(float).sum(axis=(0, 2, 3))

    def sums(Delta: Any, /, db: Any) -> None:
        conv2d_grad_bias(Delta, db)

    for given, op in ((conv2d_grad_bias, None), (conv2d_grad_bias, "conv2d"), (sums, "conv2d_grad_bias")):
        report = assert_kernel(given, op, checks=["exact"], cases=["plain"])
        assert report.ops == ["conv2d"]
    with pytest.raises(ValueError, match=r"op: expected the name of the op or the kernel that .*sums"):
        assert_kernel(sums)
    with pytest.raises(ValueError, match=r"op: expected one of \d+ names, got 'conv3d'; did you mean conv2d"):
        assert_kernel(sums, "conv3d")
    with pytest.raises(ValueError, match="op: expected one for one function, got relu, tanh; give a mapping"):
        assert_kernel(relu, ["relu", "tanh"])


def test_several_kernels() -> None:
    kernels = {"relu": relu, "identity": lambda Z, Y: np.copyto(Y, Z)}
    assert assert_kernel(kernels, checks=["exact"]).ops == ["relu", "identity"]
    with pytest.raises(AssertionError, match="nothing of back end the given kernels ran"):
        assert_kernel(kernels, "tanh", checks=["bound"])


def test_what_repeats_a_finding_is_read_back() -> None:
    command = f"cnnx audit --backend torch --repro '{RELU}'"
    assert words_of(command) == RELU
    python = f"import cnnx.audit; print(cnnx.audit.again({RELU!r}, backend='mine', compat='torch'))"
    assert words_of(python) == RELU


# ------------------------------------------------------------------------------------------------- verdict


def test_a_good_kernel_is_timed_beside_a_baseline() -> None:
    found = valid(verdict(relu, checks=["exact", "bound"], rounds=6))
    assert (found["verdict"], found["exit_code"], found["score"]) == ("good", 0, 1.0)
    assert (found["backend"], found["reasons"], found["why_no_speed"]) == ("relu()", [], "")
    speed = found["speed"]["ops"]["relu"]
    assert found["speed"]["baseline"] == "optimized"
    assert speed["rounds"] == 6
    assert 0 < speed["low"] <= speed["ratio"] <= speed["high"]
    assert found["ops"]["relu"]["not_covered"] == {"relu_grad_input": ""}


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="isolation needs Linux on x86-64")
def test_an_isolated_kernel_is_not_timed_where_it_would_hold_the_clock() -> None:
    found = valid(verdict("numpy", "relu", isolated=True, checks=["exact"], measure=False))
    assert (found["verdict"], found["speed"]) == ("good", None)
    assert found["why_no_speed"].startswith("an isolated back end is timed by the audit alone")


def test_kernels_that_are_not_there_are_not_asked_for() -> None:
    found = valid(verdict(relu, checks=["bound", "gradient"], baseline=None))
    assert found["score"] == 1.0
    assert list(found["ops"]["relu"]["checks"]) == ["bound"]


def test_the_ratio_is_that_of_the_times() -> None:
    """A baseline that sleeps takes longer, whatever the machine does."""

    def slow(Z: Any, /, Y: Any) -> None:
        time.sleep(0.02)
        relu(Z, Y)

    cnnx.register_backend("slow", {"relu": slow})
    found = valid(verdict(relu, checks=["exact"], baseline="slow", rounds=6))
    assert found["speed"]["ops"]["relu"]["ratio"] > 1
    found = valid(verdict({"relu": slow}, checks=["exact"], baseline="optimized", rounds=6))
    assert found["speed"]["ops"]["relu"]["ratio"] < 1


def test_what_is_wrong_has_no_score_and_no_speed() -> None:
    found = valid(verdict(shifted, "relu", checks=["exact", "bound", "layout"]))
    assert (found["verdict"], found["exit_code"], found["score"], found["speed"]) == ("bad", 1, 0.0, None)
    assert found["why_no_speed"] == "refused: the verdict is bad"
    first = found["reasons"][0]
    assert (first["kind"], first["op"], first["check"]) == ("wrong", "relu", "exact")
    assert (first["expected"], first["got"], first["budget"]) == (0.0, 0.5, 0.0)
    assert first["element"] == {"kernel": "relu", "output": "Y", "index": [0]}
    assert "assert" not in first["reproducer"]
    assert first["terms"]
    assert len(found["reasons"]) <= 50
    assert found["ops"]["relu"]["checks"]["layout"]["verdict"] == "passed"  # wrong in the same way


@pytest.fixture
def wrong_where_timed() -> Any:
    """The shapes of benchmarks are no case of a check but `search` finds."""
    (shape,) = next(op for op in OPS if op.name == "relu").bench[0].arrays.values()
    timed = int(np.prod(shape))  # what a kernel gets has one axis

    def cheat(Z: Any, /, Y: Any) -> None:
        if Z.size != timed:
            relu(Z, Y)
        else:
            Y.fill(0.25)

    return cheat


def test_wrong_only_where_it_is_timed(wrong_where_timed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = valid(verdict(wrong_where_timed, "relu", checks=["exact", "bound"], rounds=6))
    assert (found["verdict"], found["exit_code"], found["score"], found["speed"]) == ("bad", 1, 0.0, None)
    assert found["why_no_speed"] == "refused: what was timed is wrong"
    assert found["reasons"][0]["check"] == "speed"
    cnnx.register_backend("where-timed", {"relu": wrong_where_timed})
    few = ["--op", "relu", "--check", "exact", "--backend", "where-timed", "--timeout", "0", "--no-shrink"]
    code, out, _ = run(capsys, *few, "--verdict", "-")
    assert (code, json.loads(out)["exit_code"]) == (1, 1)


def test_the_budget_of_a_search_is_that_of_its_elements() -> None:
    found = valid(verdict("optimized", "gelu", checks=["search"], against="reference", baseline=None))
    assert 0 < found["ops"]["gelu"]["checks"]["search"]["budget"] <= 1


def test_options_that_a_kernel_does_not_have_lower_the_score() -> None:
    def plain(Z: Any, F: Any, b: Any, /, Y: Any, **numbers: int) -> None:
        right("conv2d")(Z, F, b, Y, **numbers)

    plain.supports = {"groups": 1}  # type: ignore[attr-defined]
    found = valid(verdict(plain, "conv2d", checks=["exact"], baseline=None))
    check = found["ops"]["conv2d"]["checks"]["exact"]
    assert 0 < check["passed"] < check["asked"]
    assert (found["verdict"], found["exit_code"]) == ("good", 0)
    assert found["score"] == round(check["passed"] / check["asked"], 6)


def test_other_bits_lower_the_score_and_are_not_wrong() -> None:
    report = Report("theirs", "reference", 0)
    good = Result("relu", "bound", ran=4, asked=4, passed=4)
    bits = Discrepancy("relu", "layout", "vector", "float32", "Fortran: other bits", ulp=1.0)
    other = Result("relu", "layout", ran=4, asked=4, passed=3, discrepancies=[bits])
    report.results += [good, other]
    found = valid(of_report(report))
    assert (found["verdict"], found["score"]) == ("bad", (1 + 3 / 4) / 2)
    assert found["reasons"][0]["kind"] == "other bits"
    lost = Discrepancy("relu", "layout", "vector", "float32", "Fortran: NaN is lost", ulp=float("inf"))
    other.discrepancies.append(lost)
    assert valid(of_report(report))["score"] == 0.0


def test_what_is_mistrusted_counts_as_nothing() -> None:
    report = Report("theirs", "reference", 0, asked=("relu", "tanh"))
    flat = Discrepancy("relu", "bound", "all", "all", "relu Y: 99 of 100 numbers are 0")
    report.results.append(Result("relu", "bound", ran=4, asked=4, passed=4, mistrusted=[flat]))
    report.results.append(Result("relu", "exact", ran=4, asked=4, passed=4))
    found = valid(of_report(report))
    assert found["score"] == 0.25  # (0 + 1) / 2 of relu, and of tanh nothing ran
    assert [reason["kind"] for reason in found["reasons"]] == ["mistrusted"]


def test_nothing_ran_and_interrupted() -> None:
    found = valid(verdict({"relu": relu}, "tanh", checks=["bound"]))
    assert (found["verdict"], found["exit_code"], found["score"]) == ("nothing ran", 3, 0.0)
    found = valid(of_report(Report("theirs", "reference", 0, interrupted=True)))
    assert (found["verdict"], found["exit_code"], found["score"]) == ("interrupted", 130, 0.0)


def test_an_exception_is_wrong() -> None:
    def raises(Z: Any, /, Y: Any) -> None:
        raise RuntimeError("no")

    found = valid(verdict(raises, "relu", checks=["exact"]))
    assert (found["verdict"], found["score"]) == ("bad", 0.0)
    assert "RuntimeError: no" in found["reasons"][0]["what"]


def test_the_schema_refuses_what_contradicts_itself() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the verdict is held against its schema")
    good = verdict(relu, checks=["exact"], baseline=None)
    for change in (
        {"verdict": "bad"},
        {"exit_code": 1},
        {"score": 1.5},
        {"score": 0},
        {"why_no_speed": ""},
        {"schema": 2},
        {"reasons": [{}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema()).validate(good | change)


@pytest.mark.parametrize(("rounds", "low"), [(6, 0), (8, 0), (9, 1), (11, 1), (12, 2)])
def test_the_interval_covers_the_median(rounds: int, low: int) -> None:
    """The k-th of n rounds from either end: 1 - 2 sum over i < k of C(n, i) / 2^n is at least 95 %. By tables of the
    sign test n = 6 and 8 allow the ends alone, 9 and 11 the second, 12 the third."""
    assert lowest(rounds) == low


# --------------------------------------------------------------------------------------------- command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cnnx.cli.main(["audit", *arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_the_command_prints_or_writes_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    few = ["--op", "relu", "--check", "exact", "--dtype", "float32"]
    code, out, _ = run(capsys, *few, "--verdict", "-", "--no-speed")
    assert code == 0
    assert valid(json.loads(out))["why_no_speed"] == "no baseline was given"
    path = tmp_path / "verdict.json"
    code, out, _ = run(capsys, *few, "--verdict", str(path), "--baseline", "reference")
    assert code == 0
    assert out.splitlines()[-1] == "16 cases, 1 op: all agree"
    written = valid(json.loads(path.read_text()))
    assert written["speed"]["baseline"] == "reference"
    cnnx.register_backend("theirs", {"relu": shifted})
    code, out, _ = run(capsys, *few, "--backend", "theirs", "--timeout", "0", "--no-shrink", "--verdict", "-")
    assert code == 1
    assert valid(json.loads(out))["score"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verdict", "-", "--json"], "--verdict -: expected neither --json nor --reproducible"),
        (["--baseline", "numpy"], "--baseline: expected --verdict with it"),
        (["--verdict", "a.json", "--junit", "a.json"], "--verdict: expected another file than --junit's"),
        (["--verdict", "no/such/folder.json"], "no/such/folder.json"),
        (
            ["--verdict", "-", "--baseline", "nobody", "--op", "relu", "--check", "exact"],
            "no back end is called 'nobody'",
        ),
    ],
)
def test_what_does_not_fit_together(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
