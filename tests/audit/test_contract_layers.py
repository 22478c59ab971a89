"""Contracts of normalisation by given statistics, resizing, dropout and costs: right ones pass, each bug is found."""

from collections.abc import Callable
from typing import Any

import foreign_layers as theirs
import pytest

from cnnx.audit import Report, audit, kernel

pytestmark = pytest.mark.once

STATISTICS = ["x", "weight", "bias", "running_mean", "running_var", "eps"]
COST = ["y", "target", "divisor"]
LOGITS = ["logits", "target", "divisor"]
INDICES = {"logits": "float32", "target": "int64"}
ROWS = {"arguments": ["x", "weight", "bias", "eps"]}
GROUPS = {"arguments": ["x", "num_groups", "weight", "bias", "eps"]}
BILINEAR = {"mode": "bilinear"}

RIGHT: list[tuple[str, str, dict[str, Any]]] = [
    ("norm", "batch_norm2d", {"arguments": STATISTICS}),
    ("norm_last", "batch_norm2d", {"arguments": STATISTICS, "layouts": {"x": "NHWC", "y": "NHWC"}, "tail": ["relu"]}),
    ("norm_half", "batch_norm2d", {"arguments": STATISTICS, "dtype": "float16", "accumulator": "float32"}),
    ("norm_half", "batch_norm2d", {"arguments": STATISTICS, "dtype": "bfloat16", "accumulator": "float32"}),
    (
        "norm_slope",
        "batch_norm2d",
        {"arguments": ["grad_output", "weight", "running_var", "eps"], "gradients": "x"},
    ),
    ("drop", "dropout", {"arguments": ["x", "mask", "rate"]}),
    ("squares", "squared_error", {"arguments": COST}),
    ("squares_slope", "squared_error", {"arguments": COST, "gradients": "y"}),
    ("entropy", "cross_entropy", {"arguments": LOGITS, "dtype": INDICES}),
    ("entropy", "cross_entropy", {"arguments": LOGITS, "dtype": {**INDICES, "target": "int32"}}),
    ("entropy_of_rows", "cross_entropy", {"arguments": LOGITS, "accumulator": "float64"}),
    ("nearest", "upsample2d", {"arguments": ["x", "P", "Q"]}),
    ("layer", "layer_norm", ROWS),
    ("layer", "layer_norm", {**ROWS, "dtype": ("float32", "float64")}),
    ("layer_in_double", "layer_norm", {**ROWS, "accumulator": "float64"}),
    ("layer_in_double", "layer_norm", {**ROWS, "dtype": "float16", "accumulator": "float64"}),
    ("groups", "group_norm", GROUPS),
    ("instances", "instance_norm", {"arguments": ["x", "eps"]}),
    ("bilinear", "upsample2d", {"arguments": ["x", "size"], "accumulator": "float64", "only": BILINEAR}),
]
WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("norm_without_eps", "batch_norm2d", {"arguments": STATISTICS}, "bound"),
    ("norm_of_deviation", "batch_norm2d", {"arguments": STATISTICS}, "bound"),
    ("drop_inverted", "dropout", {"arguments": ["x", "mask", "rate"]}, "exact"),
    ("drop_unscaled", "dropout", {"arguments": ["x", "mask", "rate"]}, "exact"),
    ("drop_by_product", "dropout", {"arguments": ["x", "mask", "rate"]}, "special"),
    ("squares_twice", "squared_error", {"arguments": COST}, "bound"),
    ("entropy_unshifted", "cross_entropy", {"arguments": LOGITS, "dtype": INDICES}, "bound"),
    ("nearest_floor", "upsample2d", {"arguments": ["x", "P", "Q"]}, "exact"),
    ("nearest", "upsample2d", {"arguments": ["x", "P", "Q"], "only": BILINEAR}, "bound"),
    ("layer_unbiased", "layer_norm", ROWS, "bound"),
    ("layer_of_moments_in_double", "layer_norm", {**ROWS, "accumulator": "float64"}, "bound"),  # far from 0
    ("groups_interleaved", "group_norm", GROUPS, "bound"),
    (
        "bilinear_of_matrices",
        "upsample2d",
        {"arguments": ["x", "size"], "accumulator": "float64", "only": BILINEAR},
        "special",
    ),
]


def judged(name: str, op: str, contract: dict[str, Any], checks: list[str]) -> Report:
    function: Callable[..., Any] = getattr(theirs, name)
    return audit(
        backend=kernel(op, function, **contract), checks=checks, **({"search_cases": 4} if "search" in checks else {})
    )


def words(report: Report) -> str:
    return "\n".join(f"{d.check}: {d.what}" for d in report.discrepancies())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("name", "op", "contract"), RIGHT, ids=[f"{n} {c.get('dtype', '')!s:.8}" for n, _, c in RIGHT])
def test_right_kernels_pass(name: str, op: str, contract: dict[str, Any]) -> None:
    if "bfloat16" in str(contract):
        pytest.importorskip("ml_dtypes")
    report = judged(name, op, contract, ["exact", "bound", "special", "worked", "alignment", "search"])
    assert report.ok, words(report)
    assert {r.check for r in report.results if r.ran} >= {"bound", "special", "search"}


@pytest.mark.parametrize(("name", "op", "contract", "check"), WRONG, ids=[f"{one[0]} {one[3]}" for one in WRONG])
def test_wrong_kernels_are_found(name: str, op: str, contract: dict[str, Any], check: str) -> None:
    found = {d.check for d in judged(name, op, contract, [check]).discrepancies()}
    assert found == {check}


def test_cases_are_those_that_a_contract_has() -> None:
    """Classes by their index are one kernel, rows of probabilities another; training is no case of given statistics."""
    by_index = judged("entropy", "cross_entropy", {"arguments": LOGITS, "dtype": INDICES}, ["bound"])
    by_rows = judged("entropy_of_rows", "cross_entropy", {"arguments": LOGITS, "accumulator": "float64"}, ["bound"])
    cases = [{*result.cases} for report in (by_index, by_rows) for result in report.results]
    assert cases[0]
    assert cases[1]
    assert not cases[0] & cases[1]
    norm = judged("norm", "batch_norm2d", {"arguments": STATISTICS}, ["bound"])
    (result,) = norm.results
    assert all("running_mean" in case.arrays and not case.options.get("training") for case in result.cases.values())
    assert "batch_norm2d with training other than False" in str(norm)


@pytest.mark.parametrize(
    ("op", "contract", "message"),
    [
        ("squared_error", {"arguments": COST, "tail": ["relu"]}, "tail: expected none of squared_error"),
        ("upsample2d", {"arguments": ["x", "size"], "only": {"mode": ["nearest", "bilinear"]}}, "expected one mode"),
        ("upsample2d", {"arguments": ["x"]}, "arguments: expected 'size' among them"),
        ("dropout", {"arguments": ["x", "mask"]}, "arguments: expected 'rate' among them"),
        ("dropout", {"arguments": ["x", "mask", "rate"], "dtype": {"x": "float32", "mask": "float32"}}, "of 'mask'"),
        ("squared_error", {"arguments": COST, "dtype": {"y": "float32", "target": "int64"}}, "dtype: expected one of"),
        ("layer_norm", {**ROWS, "tail": ["relu"]}, "tail: expected none of layer_norm"),
        ("layer_norm", {**ROWS, "gradients": "x"}, "gradients: expected none of layer_norm"),
        ("layer_norm", {**ROWS, "layouts": {"x": "CN"}}, "layouts: expected none of layer_norm"),
        ("group_norm", ROWS, "arguments: expected 'num_groups' among them"),
        ("concat", {}, "op: expected"),
    ],
)
def test_what_does_not_fit_is_said(op: str, contract: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel(op, theirs.norm, **contract)


def test_torch() -> None:
    torch = pytest.importorskip("torch", reason="its own functions")
    f = torch.nn.functional
    entropy = kernel(
        "cross_entropy",
        lambda z, t: f.cross_entropy(z, t).numpy(),
        arguments=["logits", "target"],
        dtype=INDICES,
        convert=torch.from_numpy,
        name="of torch",
    )
    report = audit(backend=entropy, checks=["bound", "special"])
    assert report.ok, words(report)
