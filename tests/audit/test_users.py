"""What users of the audit stumbled over: nothing ran and all agreed, 1/N, options that a kernel lacks, names."""

from typing import Any

import numpy as np
import pytest

import cnnx
import cnnx.cli
from cnnx._text import expected_one_of
from cnnx.audit import audit
from cnnx.audit.mutants._mutant import right
from cnnx.ops import OPS

pytestmark = pytest.mark.once


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cnnx.cli.main([*arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def correct() -> dict[str, Any]:
    return {name: right(name) for name in cnnx.backend.kernel_names("optimized")}


# ------------------------------------------------------------------------------- an op of which nothing ran


def test_an_op_without_a_case_does_not_agree(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "audit",
        "--op",
        "conv2d",
        "--op",
        "softmax",
        "--case",
        "plain",
        "--check",
        "exact",
        "--check",
        "bound",
    ]
    code, out, _ = run(capsys, *arguments, "--no-speed")
    assert code == 3
    assert out.splitlines()[-1].endswith(" cases, 1 op: nothing of softmax ran")
    report = audit(["conv2d", "softmax"], cases=["plain"], checks=["exact", "bound"], measure=False)
    assert (report.ops, report.idle, report.ok) == (["conv2d"], ["softmax"], False)


def test_without_names_the_ops_are_those_that_have_the_case(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "audit", "--case", "plain", "--check", "exact", "--no-speed")
    having = [op.name for op in OPS if any(case.name == "plain" for case in op.cases)]
    assert code == 0
    assert out.splitlines()[-1].endswith(f" cases, {len(having)} ops: all agree")
    assert "softmax" not in out


def test_a_check_that_does_not_apply_is_nothing_either() -> None:
    report = audit(["conv2d", "relu"], checks=["adjoint"], measure=False)
    assert report.verdict == (3, "nothing of relu ran")
    assert audit(checks=["adjoint"], measure=False).ok  # nobody asked for relu


# ----------------------------------------------------------------------------------------------- the report


def test_a_report_is_short_and_has_its_forms() -> None:
    report = audit(["relu"], checks=["exact"], measure=False)
    assert repr(report) == "<Report of optimized against reference: 32 cases of 1 op, all agree>"
    assert str(report) == report.text()
    assert report.text().endswith("32 cases, 1 op: all agree")
    assert "ledger: how many cases" in report.text(whole_ledger=True)
    assert report.junit().startswith(b"<?xml")
    pytest.importorskip("jinja2", reason="extra report: the page")
    assert report.html().startswith("<!DOCTYPE html>")


# ------------------------------------------------------------------------------------- where the 1/N lives


def meant(kernel: str) -> Any:
    """A gradient as M17 prints it, with a 1/N."""

    def wrong(*arrays: Any, **numbers: Any) -> None:
        right(kernel)(*arrays, **numbers)
        arrays[-1][...] /= max(len(arrays[0]), 1)

    return wrong


@pytest.mark.parametrize(
    ("op", "kernel", "printed"),
    [
        ("conv2d", "conv2d_grad_weight", "M17 (5)"),
        ("conv2d", "conv2d_grad_bias", "M17 (6)"),
        ("affine", "affine_grad_weight", "M17 (18)"),
        ("affine", "affine_grad_bias", "M17 (19)"),
    ],
)
@pytest.mark.parametrize("check", ["exact", "bound"])
def test_homework_that_follows_m17_is_told_where_the_1_n_lives(op: str, kernel: str, printed: str, check: str) -> None:
    cnnx.register_backend("homework", correct() | {kernel: meant(kernel)})
    found = list(audit([op], backend="homework", checks=[check], measure=False).discrepancies())
    told = [d for d in found if d.kernel == kernel]
    assert told
    for d in told:
        assert f"as {printed} has it: here the 1/N belongs to the cost" in d.what
        assert "all of it is 1/N of what is expected, N = " in d.what


def test_costs_with_the_1_n_left_out_or_taken_twice() -> None:
    def sums(y: Any, t: Any, dA: Any, *, divisor: int) -> None:
        right("squared_error_grad_input")(y, t, dA, divisor=1)

    def twice(y: Any, t: Any, dA: Any, *, divisor: int) -> None:
        right("squared_error_grad_input")(y, t, dA, divisor=divisor**2)

    for wrong, words in ((sums, "all of it is N times what is expected"), (twice, "the 1/N comes in twice")):
        cnnx.register_backend("homework", correct() | {"squared_error_grad_input": wrong})
        found = list(audit(["squared_error"], backend="homework", checks=["bound"], measure=False).discrepancies())
        assert found
        assert all(words in d.what for d in found)


def test_another_mistake_is_told_nothing_of_it() -> None:
    def wrong(Delta: Any, Z: Any, dw: Any) -> None:
        right("affine_grad_weight")(Delta, Z, dw)
        dw[0] = 0

    cnnx.register_backend("homework", correct() | {"affine_grad_weight": wrong})
    found = list(audit(["affine"], backend="homework", checks=["bound"], measure=False).discrepancies())
    assert found
    assert not any("1/N" in d.what for d in found)


def test_equations_of_a_source_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "equations", "M17 (5)")
    assert code == 0
    assert "C3  dF[k,c,r,s]" in out
    assert "C4  db[k]" not in out
    assert "**Where the 1/N lives.**" in out
    assert "| M17 (5), (6), (18), (19) | 1/N before" in out
    assert "| M17 (4), (6) |" not in out
    assert run(capsys, "equations", "m17(8)")[1].count("C6  Pmin") == 1
    assert run(capsys, "equations", "M17 (7)")[1].count("C5  dZ") == 1
    assert "**Where the 1/N lives.**" in run(capsys, "equations", "M17")[1]
    code, _, err = run(capsys, "equations", "M17 (99)")
    assert code == 2
    assert "KEY: expected an equation that the sheet mentions, got 'M17 (99)'; it has M17 (4), (5)" in err


# ------------------------------------------------------------------------ options that a kernel does not have


def plain_only(Z: Any, F: Any, b: Any, Y: Any, **numbers: int) -> None:
    if numbers["groups"] != 1:
        raise AssertionError("called with groups")
    right("conv2d")(Z, F, b, Y, **numbers)


def test_options_that_a_kernel_declares_not_to_have_are_not_failed(capsys: pytest.CaptureFixture[str]) -> None:
    kernel: Any = plain_only
    kernel.supports = {"groups": 1, "d_h": (1, 2), "d_w": (1, 2)}
    cnnx.register_backend("plain-only", {"conv2d": kernel})
    report = audit(["conv2d"], backend="plain-only", measure=False)
    assert list(map(str, report.discrepancies())) == []
    assert report.ok
    lacking = {what: why for result in report.results for what, why in result.lacking.items()}
    assert lacking["conv2d with groups other than 1"] == "not supported, as its author says"
    assert "conv2d with d_w other than 1, 2" in lacking
    assert "not covered (not supported, as its author says): conv2d with d_h other than 1, 2" in report.text()
    x, weight = np.zeros((1, 2, 3, 3), "float32"), np.zeros((2, 1, 1, 1), "float32")
    with pytest.raises(NotImplementedError, match="does not have conv2d with groups other than 1, got 2"):
        cnnx.conv2d(x, weight, groups=2, backend="plain-only")
    assert cnnx.conv2d(x, np.zeros((2, 2, 1, 1), "float32"), backend="plain-only").shape == (1, 2, 3, 3)


def test_wrong_declarations() -> None:
    kernel: Any = plain_only
    x = np.zeros((1, 2, 3, 3), "float32")
    for supports, message in (({"group": 1}, "supports names 'group'; expected some of"), ([], "to be a mapping")):
        kernel.supports = supports
        cnnx.register_backend("plain-only", {"conv2d": kernel})
        with pytest.raises(TypeError, match=message):
            cnnx.conv2d(x, np.zeros((2, 2, 1, 1), "float32"), backend="plain-only")


# --------------------------------------------------------------------------------------------------- names


def test_few_names_are_listed_and_of_many_the_nearest() -> None:
    assert expected_one_of(["torch", "onnx"], "trch") == "expected one of torch, onnx, got 'trch'"
    names = [op.name for op in OPS]
    words = expected_one_of(names, "Conv2D")
    assert words.startswith(f"expected one of {len(OPS)} names, got 'Conv2D'; did you mean conv2d")
    assert expected_one_of(names, "convolution").endswith("; did you mean conv2d or conv_transpose2d?")
    assert len(expected_one_of(names, "batchnorm")) < 120
    assert "conv2d, conv_transpose2d" in expected_one_of(names, "zzz")  # nothing is near: all of them
