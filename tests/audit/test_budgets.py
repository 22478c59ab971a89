"""Error budgets are tight: how much of them is used, kernel by kernel; and what is ten times beyond them is caught."""

import os
from dataclasses import replace
from typing import Any

import pytest

from cnnx.audit import CHECKS, DTYPES, audit
from cnnx.audit.data import draw, draw_like
from cnnx.audit.mutants import CASES, MUTANTS, floors, installed
from cnnx.audit.report.result import Result
from cnnx.audit.sides import Sides
from cnnx.audit.spot.benchdnn import parse
from cnnx.audit.spot.spot import spot
from cnnx.audit.trial import Trial
from cnnx.audit.work import judge
from cnnx.ops import OPS, Op

EXACT = (0.0, 0.0)  # nothing is rounded
COST = None  # float32's cost is computed in double, and judged by what one computed in float32 needs

# The largest share of its bound that an output uses on its op's cases with numbers about 1, in float32 and in float64;
# of a kernel that several ops have, in each of them.
SHARES: dict[str, tuple[float | None, float]] = {
    "conv2d Y": (0.93, 0.83),
    "conv2d_grad_bias db": (0.37, 0.48),
    "conv2d_grad_input dZ": (0.8, 0.82),
    "conv2d_grad_weight dF": (0.79, 0.89),
    "conv2d_winograd Y": (0.029, 0.026),
    "conv2d_winograd_grad_input dZ": (0.022, 0.021),
    "conv_transpose2d Y": (0.88, 0.85),
    "conv_transpose2d_grad_input dZ": (0.39, 0.41),
    "conv_transpose2d_grad_weight dF": (0.43, 0.51),
    "conv_transpose2d: conv2d_grad_bias db": (0.036, 0.46),
    "max_pool2d Y": EXACT,
    "max_pool2d_grad_input dZ": (1, 0.96),
    "max_pool2d_grad_input_all dZ": (0.96, 0.74),
    "max_pool2d_grad_input_winners dZ": (0.93, 1),
    "max_pool2d_winners B": EXACT,
    "max_pool2d_winners Y": EXACT,
    "avg_pool2d Y": (0.63, 0.47),
    "avg_pool2d_grad_input dZ": (0.88, 0.93),
    "lp_pool2d Y": (0.3, 0.44),
    "lp_pool2d_grad_input dZ": (0.16, 0.27),
    "global_avg_pool2d: avg_pool2d Y": (0.19, 0.33),
    "global_max_pool2d: max_pool2d_grad_input dZ": EXACT,
    "global_max_pool2d: max_pool2d_grad_input_winners dZ": EXACT,
    "upsample2d_nearest Y": EXACT,
    "upsample2d_nearest_grad_input dZ": (0.96, 0.99),
    "upsample2d_bilinear Y": (0.45, 0.63),
    "upsample2d_bilinear_grad_input dZ": (0.4, 0.5),
    "relu Y": EXACT,
    "relu_grad_input dZ": EXACT,
    "sigmoid Y": (0.61, 0.59),
    "sigmoid_grad_input dZ": (0.33, 0.3),
    "sigmoid_grad_input_output dZ": (0.59, 0.53),
    "tanh Y": (0.28, 0.32),
    "tanh_grad_input dZ": (0.27, 0.23),
    "tanh_grad_input_output dZ": (0.58, 0.65),
    "step Y": EXACT,
    "step_grad_input dZ": EXACT,
    "identity Y": EXACT,
    "identity_grad_input dZ": EXACT,
    "leaky_relu Y": (0.99, 1),
    "leaky_relu_grad_input dZ": (0.99, 0.98),
    "elu Y": (0.37, 0.39),
    "elu_grad_input dZ": (0.36, 0.38),
    "softplus Y": (0.71, 0.71),
    "softplus_grad_input dZ": (0.51, 0.5),
    "gelu Y": (0.67, 0.67),
    "gelu_grad_input dZ": (0.55, 0.43),
    "clip Y": EXACT,
    "clip_grad_input dZ": EXACT,
    "hard_sigmoid Y": (0.96, 0.98),
    "hard_sigmoid_grad_input dZ": (0.64, 0.9),
    "hard_swish Y": (0.67, 0.79),
    "hard_swish_grad_input dZ": (0.7, 0.57),
    "silu Y": (0.72, 0.59),
    "silu_grad_input dZ": (0.61, 0.54),
    "prelu Y": (0.97, 0.95),
    "prelu_grad_input dZ": (0.97, 0.94),
    "prelu_grad_weight dw": (0.14, 0.45),
    "softmax Y": (0.17, 0.18),
    "softmax_grad_input dZ": (0.077, 0.12),
    "softmax_grad_input_output dZ": (0.11, 0.32),
    "log_softmax Y": (0.15, 0.27),
    "log_softmax_grad_input dZ": (0.38, 0.39),
    "log_softmax_grad_input_output dZ": (0.48, 0.62),
    "affine Y": (0.8, 0.68),
    "affine_grad_bias db": (0.23, 0.42),
    "affine_grad_input dZ": (0.85, 0.88),
    "affine_grad_weight dw": (0.98, 0.89),
    "add Y": (1, 1),
    "add_grad_input dA": (0.74, 0.57),
    "multiply Y": (0.99, 0.98),
    "multiply_grad_input dA": (0.98, 0.98),
    "matmul Y": (0.8, 0.8),
    "matmul_grad_a dA": (0.81, 0.79),
    "matmul_grad_b dB": (0.71, 0.83),
    "dropout Y": (0.26, 0.41),
    "dropout_grad_input dZ": (0.32, 0.49),
    "local_response_norm Y": (0.16, 0.34),
    "local_response_norm_grad_input dZ": (0.12, 0.27),
    "batch_norm2d Y": (0.79, 0.64),
    "batch_norm2d_grad_bias db": (0, 0.13),
    "batch_norm2d_grad_input dZ": (0.26, 0.074),
    "batch_norm2d_grad_input_inference dZ": (0.22, 0.32),
    "batch_norm2d_grad_weight dg": (0.076, 0.061),
    "batch_norm2d_statistics_mean mean": (0.033, 0.27),
    "batch_norm2d_statistics_var var": (0.037, 0.075),
    "group_norm Y": (0.68, 0.65),
    "group_norm_grad_bias db": (0.38, 0.53),
    "group_norm_grad_input dZ": (0.41, 0.13),
    "group_norm_grad_sums e": (0.11, 0.3),
    "group_norm_grad_sums f": (0.057, 0.11),
    "group_norm_grad_weight dg": (0.091, 0.092),
    "group_norm_statistics mean": (0.029, 0.2),
    "group_norm_statistics var": (0.15, 0.22),
    "instance_norm: group_norm Y": (0.48, 0.17),
    "instance_norm: group_norm_grad_bias db": (0.029, 0.082),
    "instance_norm: group_norm_grad_sums e": (0.029, 0.27),
    "instance_norm: group_norm_grad_sums f": (0.076, 0.053),
    "instance_norm: group_norm_grad_weight dg": (0.018, 0.043),
    "instance_norm: group_norm_statistics mean": (0.098, 0.12),
    "layer_norm: group_norm_grad_bias db": (1, 0.99),
    "layer_norm: group_norm_grad_sums e": (0.044, 0.21),
    "layer_norm: group_norm_statistics mean": (0.13, 0.29),
    "layer_norm: group_norm_statistics var": (0.16, 0.11),
    "squared_error E": (COST, 0.21),
    "squared_error_grad_input dA": (0.97, 0.92),
    "cross_entropy E": (COST, 0.046),
    "cross_entropy_grad_input dZ": (0.19, 0.43),
    "cross_entropy_index E": (COST, 0.035),
    "cross_entropy_index_grad_input dZ": (0.25, 0.21),
}
APART = 2.0  # shares of two instruction sets are apart by a quarter


def shares(op: Op, dtype: str, **chosen: Any) -> dict[str, float]:
    """The largest share of its bound that each of an op's outputs uses; the audit itself finds nothing.

    On numbers about 1: on those of all sizes the largest shares are those of results next to 0, whatever the budget.
    """
    found: dict[str, float] = {}
    run, note, modes = Trial.run, Result.note_worst, [""]

    def running(self: Trial, backend: str, arrays: Any, mode: Any) -> Any:
        modes[0] = mode
        return run(self, backend, arrays, mode)

    def noting(self: Result, dtype: str, worst: Any) -> None:
        output = f"{worst.kernel} {worst.output}"
        if modes[0] == "real":
            found[output] = max(found.get(output, 0.0), worst.share)
        note(self, dtype, worst)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "run", running)
        patch.setattr(Result, "note_worst", noting)
        (result,) = audit([op.name], checks=["bound"], dtypes=[dtype], measure=False, **chosen).results
    assert not result.discrepancies, "\n".join(map(str, result.discrepancies))
    assert result.ok
    return found


def outside(found: dict[str, float], dtype: str, op: str = "") -> dict[str, float]:
    """Shares that are not what they are known to be: the budget, or what is computed, has become another."""
    keys = {output: key if (key := f"{op}: {output}") in SHARES else output for output in found}
    expected = {output: SHARES[key][DTYPES.index(dtype)] for output, key in keys.items()}
    return {
        output: share
        for output, share in found.items()
        if (known := expected[output]) is not None and not known / APART <= share <= known * APART
    }


def of(name: str) -> Op:
    return next(op for op in OPS if op.name == name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_share_of_the_budget_that_is_used(op: Op, dtype: str) -> None:
    found = shares(op, dtype)
    assert {output.split()[0] for output in found} == set(op.kernels)
    assert outside(found, dtype, op.name) == {}


@pytest.mark.parametrize(
    ("output", "case", "budget", "wide"),
    [
        ("conv2d_winograd Y", "Winograd, pad by side", "winograd_bound.ROUNDINGS", 3300),
        ("sigmoid Y", "vector", "error_bound.FUNCTION", 400.0),
    ],
)
def test_a_budget_a_hundred_times_too_wide_is_seen(
    output: str, case: str, budget: str, wide: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = of(output.split()[0].partition("_")[0])
    assert output not in outside(shares(op, "float32", cases=[case]), "float32")
    monkeypatch.setattr(f"cnnx.audit.truth.{budget}", wide)
    assert output in outside(shares(op, "float32", cases=[case]), "float32")


@pytest.mark.parametrize(
    "name", ["conv2d_weight_of_18_bits", "conv2d_winograd_weight_of_11_bits", "softmax_of_16_bits"]
)
def test_mutants_ten_times_beyond_the_bound(name: str) -> None:
    """A budget a hundred times too wide hides them; float64 is untouched."""
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == name)
    op = replace(of(mutant.op), cases=CASES[mutant.op], bench=())
    worst = dict.fromkeys(DTYPES, 0.0)
    with installed(mutant) as backend:
        for case in op.cases:
            for dtype in DTYPES:
                result = judge(op, CHECKS["bound"], case, dtype, Sides(backend), 0)
                worst[dtype] = max(worst[dtype], result.worst[dtype].share)
    assert 5 < worst["float32"] < 30
    assert worst["float64"] <= 1


def test_share_of_the_budget_that_spot_checks_use() -> None:
    known = {"Y": 0.038, "dZ": 0.020, "dF": 0.013, "db": 0.0013}
    found = {tensor.output: tensor.share for tensor in spot(parse("mb1ic8ih14oc16kh3ph1")).tensors}
    assert found.keys() == known.keys()
    assert all(known[output] / APART <= share <= known[output] * APART for output, share in found.items()), found


# ----------------------------------------------------------------------------- floors, and mutants of the audit itself

of_other_builds = pytest.mark.skipif(
    os.environ.get("CNNX_TEST_BUILD") == "shipped", reason="of this build the self-test asks it: test_selftest.py"
)


def test_floors_are_shares() -> None:
    assert max(share for shares in floors.known().values() for share in shares.values()) <= 1


@of_other_builds
def test_every_output_has_a_floor_that_is_reached() -> None:
    known = floors.known()
    for op in (op for op in OPS if op.kernels):
        found = floors.used(op)
        assert floors.below(found, known) == []
        assert {kernel.split()[0] for kernel in (what.partition(": ")[2] for what in found)} <= set(op.kernels)


@of_other_builds
@pytest.mark.parametrize("name", floors.BUDGETS)
def test_a_budget_of_the_search_a_hundred_times_too_wide_is_seen(name: str) -> None:
    op, numbers = floors.BUDGETS[name]
    with floors.wider(numbers):
        assert floors.below(floors.used(of(op)), floors.known())
    assert floors.below(floors.used(of(op)), floors.known()) == []


def test_easier_data_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers with few bits, of which sums are exact."""
    from cnnx.audit.checks import search

    def easy(op: Op, case: Any, dtype: str, mode: Any, rng: Any) -> Any:
        return draw(op, case, dtype, "integer", rng)

    monkeypatch.setattr(search, "draw", easy)
    monkeypatch.setattr(search, "draw_like", lambda y, dtype, mode, rng: draw_like(y, dtype, "integer", rng))
    assert floors.below(floors.used(of("affine")), floors.known())


def test_a_share_without_a_floor_is_named() -> None:
    assert floors.below({"relu: relu Y": {"float32": 0.5}}, {})[0].startswith("relu: relu Y, float32: it has no floor")
    assert floors.below({"a Y": {"float32": 0.1}}, {"a Y": {"float32": 0.2}}) == []
    (words,) = floors.below({"a Y": {"float32": 0.01}}, {"a Y": {"float32": 0.2}})
    assert words.startswith("a Y, float32: uses 0.01 of its budget and is known to use 0.2")
