"""Contracts: other people's kernels are judged as they are; right ones pass in every style, each bug is found."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import foreign
import numpy as np
import pytest
from foreign import BLOCK, GEOMETRY, NHWC, NORMED

import cnnx
from cnnx import backend
from cnnx.audit import Command, Constant, Kernel, Report, again, audit, kernel
from cnnx.audit.report.junit import junit
from cnnx.ops import OPS

pytestmark = pytest.mark.once

# Cases of conv2d that say most, and all checks that a contract leaves.
CASES = ("plain", "pad by side", "stride", "strides", "many channels", "long row")
CHECKS = ("exact", "bound", "special", "repeat", "alignment", "batch")


def cases_of(op: str, *wanted: str) -> list[str]:
    known = [case.name for case in next(o for o in OPS if o.name == op).cases]
    return [name for name in wanted if name in known] or known[:6]


def judged(*kernels: Kernel, checks: tuple[str, ...] = CHECKS, **options: Any) -> Report:
    return audit(backend=list(kernels), checks=checks, cases=cases_of(kernels[0].op, *CASES), **options)


def conv(function: Callable[..., Any], *more: str, **options: Any) -> Kernel:
    return kernel("conv2d", function, layouts=NHWC, arguments=["x", "weight", *GEOMETRY, *more], **options)


def block(function: Callable[..., Any], **options: Any) -> Kernel:
    tail = options.pop("tail", ["bias", "add", "relu"])
    return kernel(
        "conv2d", function, layouts={**NHWC, "residual": "NHWC"}, arguments=BLOCK, tail=tail, **options
    )  # fmt: skip


def normed(function: Callable[..., Any]) -> Kernel:
    return kernel("conv2d", function, layouts=NHWC, arguments=NORMED, tail=[("batch_norm", 1e-3), "relu6"])


HALF = {"dtype": "float16", "accumulator": "float32"}
BRAIN = {"dtype": "bfloat16", "accumulator": "float32"}


def transposed_affine(x: Any, weight: Any) -> Any:
    """Rows by columns: (I, J) by (J, N)."""
    return (weight.astype("float32") @ x.astype("float32")).astype(x.dtype)


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def gradients(delta: Any, x: Any, weight: Any) -> Any:
    return delta @ weight, delta.T @ x, delta.sum(axis=0)


RIGHT: dict[str, Callable[[], list[Kernel]]] = {
    "channels last": lambda: [conv(foreign.conv)],
    "written": lambda: [conv(foreign.conv_into, "y")],
    "both dtypes": lambda: [conv(foreign.conv_in_its_own, dtype=("float32", "float64"))],
    "float16": lambda: [conv(foreign.conv, **HALF)],
    "bfloat16": lambda: [conv(foreign.conv, **BRAIN)],
    "float16 in float16": lambda: [conv(foreign.conv_in_its_own, dtype="float16", accumulator="float16")],
    "bfloat16 in bfloat16": lambda: [conv(foreign.conv_in_its_own, dtype="bfloat16", accumulator="bfloat16")],
    "float32 in float64": lambda: [
        conv(lambda x, w, s, p: foreign.summed(x, w, s, p, "float64").astype("float32"), accumulator="float64")
    ],
    "bfloat16 into float32": lambda: [
        conv(
            lambda x, w, s, p: foreign.summed(x, w, s, p, "float32"),
            dtype={"x": "bfloat16", "weight": "bfloat16", "y": "float32"}, accumulator="float32",
        )
    ],
    "3x3 alone": lambda: [
        kernel(
            "conv2d", lambda x, w: foreign.conv(x, w, (1, 1), (1, 1, 1, 1)), layouts=NHWC, arguments=["x", "weight"],
            only={"kernel_size": 3, "padding": 1},
        )
    ],
    "block": lambda: [block(foreign.block)],
    "block, bfloat16": lambda: [block(foreign.block, **BRAIN)],
    "block, rounded between": lambda: [
        block(foreign.block_rounds_between, tail=["round", "bias", "round", "add", "round", "relu"], **HALF)
    ],
    "batch norm": lambda: [normed(foreign.normed)],
    "names, constants": lambda: [
        kernel(
            "conv2d", lambda *, inp, w, steps, pad, mode: foreign.conv(inp, w, steps, pad), layouts=NHWC,
            arguments={"inp": "x", "w": "weight", "steps": "stride", "pad": "pads", "mode": Constant("x")},
        )
    ],
    "columns": lambda: [
        kernel("affine", transposed_affine, layouts={"x": "CN", "y": "CN"}, arguments=["x", "weight"], **BRAIN)
    ],
    "softmax": lambda: [kernel("softmax", softmax, dtype=("float32", "float64"))],
    "gradients": lambda: [
        kernel("affine", lambda x, w, b: x @ w.T + b, name="forward", dtype=("float32", "float64")),
        kernel(
            "affine", gradients, arguments=["grad_output", "x", "weight"], gradients=["x", "weight", "bias"],
            dtype=("float32", "float64"),
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_kernels_pass(name: str) -> None:
    if "bfloat16" in name or name == "columns":
        pytest.importorskip("ml_dtypes", reason="NumPy has no bfloat16")
    kernels = RIGHT[name]()
    report = judged(*kernels, checks=(*CHECKS, *(("gradient", "adjoint") if len(kernels) > 1 else ())))
    assert report.ok, report.text()
    ran = {result.check for result in report.results if result.ran}
    assert {"bound", "special", "repeat", "alignment", "batch"} <= ran
    assert ("gradient" in ran) == (len(kernels) > 1)


BUGS: dict[str, Callable[[], Kernel]] = {
    "transposed": lambda: conv(foreign.conv_transposed),
    "flipped": lambda: conv(foreign.conv_flipped),
    "summed in float16, said float32": lambda: conv(foreign.conv_in_half),
    "float16 summed in it, said float32": lambda: conv(foreign.conv_in_its_own, **HALF),
    "bfloat16 summed in it, said float32": lambda: conv(foreign.conv_in_its_own, **BRAIN),
    "float32 summed in it, said float64": lambda: conv(foreign.conv, accumulator="float64"),
    "bfloat16 cut off": lambda: conv(foreign.conv_truncated, **BRAIN),
    "stride of 2": lambda: conv(foreign.conv_stride_1, only={"stride": [1, 2]}),
    "elsewhere": lambda: conv(foreign.conv_elsewhere, "y"),
    "overwrites": lambda: conv(foreign.conv_overwrites),
    "bias behind ReLU": lambda: block(foreign.block_bias_last),
    "no residual sum": lambda: block(foreign.block_no_residual, **BRAIN),
    "ReLU before the sum": lambda: block(foreign.block_relu_early, **HALF),
    "rounds on the way": lambda: block(foreign.block_rounds_between, **HALF),
    "batch norm without eps": lambda: normed(foreign.normed_without_eps),
    "ReLU instead of ReLU6": lambda: normed(foreign.normed_without_6),
}


@pytest.mark.parametrize("name", BUGS)
def test_bugs_are_found(name: str) -> None:
    if "bfloat16" in name or name == "no residual sum":
        pytest.importorskip("ml_dtypes", reason="NumPy has no bfloat16")
    report = judged(BUGS[name](), checks=("bound",))
    assert not report.ok
    assert next(report.discrepancies()).op == report.results[0].op


def test_what_is_returned_is_held_to_the_contract() -> None:
    for function, words in (
        (foreign.conv_nothing, "expected it to return y, got None"),
        (foreign.conv_chw, r"expected y of shape .*\(NHWC\), got"),
        (foreign.conv_double, "expected y of float32, got float64"),
        (foreign.conv_overwrites, "wrote to its input 'x'"),
    ):
        found = next(judged(conv(function), checks=("bound",)).discrepancies())
        assert re.search(words, found.what), found.what


def test_a_search_finds_what_no_fixed_case_has() -> None:
    def beyond(x: Any, w: Any, s: Any, p: Any) -> Any:
        return foreign.conv(x, w, s, p) * np.float32(1 + (x.shape[3] > 130))

    assert judged(conv(beyond), checks=("bound",)).ok
    report = audit(backend=conv(beyond), checks=["search"], search_cases=120)
    assert not report.ok


def test_a_finding_is_shrunk_within_its_contract_and_can_be_repeated() -> None:
    contract = block(foreign.block_no_residual)
    report = judged(contract, checks=("bound",), shrink=2.0)
    found = next(report.discrepancies())
    assert "residual (1, 1, 1, 1)" in found.shrunk
    assert any("residual[0,0,0,0]" in line for line in found.terms)
    (words,) = re.findall(r"again\('(.*)', backend=", found.repro)
    same = again(words, backend=contract)
    assert next(same.discrepancies()).what == found.what
    assert "KERNEL" in found.repro  # it has no name that could be looked up


def test_the_line_that_repeats_names_the_kernel_where_it_has_a_name() -> None:
    found = next(judged(MODULE_LEVEL, checks=("bound",)).discrepancies())
    assert found.repro.startswith("import cnnx.audit")
    assert f"backend={__name__}.MODULE_LEVEL" in found.repro
    assert f"import cnnx.audit, {__name__};" in found.repro


def _wrong(x: Any, weight: Any, stride: Any, pads: Any) -> Any:
    return -foreign.conv(x, weight, stride, pads)


MODULE_LEVEL = conv(_wrong)


def test_what_is_not_covered_is_listed() -> None:
    contract = conv(foreign.conv, only={"stride": [1, 2]})
    report = judged(contract, checks=("bound", "layout", "gradient", "dual", "isa", "threads"))
    lacking = {what: why for result in report.results for what, why in result.lacking.items()}
    assert lacking["conv2d with stride other than 1, 2"] == "its contract says so"
    assert lacking["conv2d with groups other than 1"] == "its contract says so"
    assert "float64" in lacking["check gradient"]
    assert {"check layout", "check dual", "check isa", "check threads", "gradients of conv2d"} <= set(lacking)
    assert report.ok


def test_cases_fit_the_contract() -> None:
    seen: set[Any] = set()

    def noted(x: Any, w: Any) -> Any:
        seen.add((x.shape[3] % 4, w.shape[:2]))
        return foreign.conv(x, w, (2, 2), (1, 1, 1, 1))

    contract = kernel(
        "conv2d", noted, layouts=NHWC, arguments=["x", "weight"],
        only={"kernel_size": [(3, 3), (1, 5)], "stride": 2, "padding": 1, "C": range(4, 64, 4)},
    )  # fmt: skip
    report = audit(backend=contract, checks=["bound", "search"])
    assert report.ok
    assert report.ran > 30
    assert seen == {(0, (3, 3)), (0, (1, 5))}


def test_in_blocks() -> None:
    """nChw4c: what fills up the last block is 0, and what comes back there does not count."""
    seen = []

    def blocked(x: Any, w: Any, stride: Any, pads: Any) -> Any:
        N, blocks, H, W, four = x.shape
        seen.append((four, x[:, -1, :, :, -1].any()))
        whole = x.transpose(0, 2, 3, 1, 4).reshape(N, H, W, blocks * 4)[..., : w.shape[2]]
        y = foreign.conv(whole, w, stride, pads)
        filled = np.full((*y.shape[:3], -(-y.shape[3] // 4) * 4), np.float32(7))
        filled[..., : y.shape[3]] = y
        return filled.reshape(*y.shape[:3], -1, 4).transpose(0, 3, 1, 2, 4)

    contract = kernel(
        "conv2d", blocked, layouts={"x": "nChw4c", "weight": "HWIO", "y": "nChw4c"},
        arguments=["x", "weight", *GEOMETRY],
    )  # fmt: skip
    assert judged(contract, checks=("exact", "bound")).ok
    assert {four for four, _ in seen} == {4}


def test_a_program() -> None:
    code = "import sys, numpy as np; a, b, y = sys.argv[1:]; np.save(y, np.load(a) @ np.load(b).T)"
    program = Command([sys.executable, "-c", code, "{x}", "{weight}", "{y}"])
    report = audit(backend=kernel("affine", program), checks=["exact"], cases=[_first("affine")])
    assert report.ok, report.text()
    broken = Command([sys.executable, "-c", "raise SystemExit(3)", "{x}", "{weight}", "{y}"])
    found = audit(backend=kernel("affine", broken), checks=["exact"], cases=[_first("affine")])
    assert "exit code 3" in next(found.discrepancies()).what


def _first(op: str) -> str:
    return next(o for o in OPS if o.name == op).cases[0].name


def test_reports_of_contracts() -> None:
    schema = pytest.importorskip("jsonschema")
    from importlib.resources import files

    report = judged(block(foreign.block_no_residual), checks=("bound",))
    written = json.loads(json.dumps(report.as_dict()))
    schema.validate(written, json.loads((files("cnnx.audit.report") / "schema.json").read_text()))
    assert written["contracts"] == [report.contracts[0]]
    assert "x NHWC, weight HWIO" in report.text()
    assert "conv2d+bias+add+relu" in junit(report).decode()
    assert "not tested" in report.text(whole_ledger=True) or "NOT TESTED" in report.text(whole_ledger=True)


def test_nothing_is_left_behind() -> None:
    before = backend.kernel_names("reference"), backend.registered_names()
    judged(block(foreign.block), checks=("exact",))
    assert (backend.kernel_names("reference"), backend.registered_names()) == before
    with pytest.raises(ValueError, match="no back end"):
        cnnx.relu(np.ones(2), backend="block")
