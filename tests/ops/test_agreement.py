"""Both back ends agree: every op of OPS x its cases x dtypes x layouts x thread counts, by the audit."""

import inspect
import math

import pytest

from cnnx import native
from cnnx.audit import audit
from cnnx.ops import OPS, Op

CHECKS = ("exact", "layout", "special", "threads", "adjoint")  # bound: audit/test_budgets.py


def applies(op: Op, check: str) -> bool:
    """Whether a check has to run: no check may leave an op out unseen."""
    if check == "exact":
        return any(case.exact for case in op.cases)
    if check == "adjoint":
        return bool(op.linear)
    if check == "threads":
        return bool(op.kernels) and native.build_info()["openmp"]
    return True


def comparisons(op: Op, check: str) -> int:
    """How many `exact` and `bound` make: cases x directions x dtypes, x 2 for `bound`'s two sizes of numbers.

    Where float32 may come to its edge, that is a third one.
    """
    return sum(4 if check == "exact" else 8 + 2 * op.edge for case in op.cases if case.exact or check == "bound")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_check_of_op(op: Op, check: str) -> None:
    (result,) = audit([op.name], checks=[check], measure=False).results
    assert not result.discrepancies, "\n".join(map(str, result.discrepancies))
    assert result.ok
    assert (result.ran > 0) == applies(op, check)
    if check in ("exact", "bound"):
        assert result.ran == comparisons(op, check)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_one_case_of_op(op: Op) -> None:
    """Forward and backward, both dtypes: for emulators, on which the test above takes days."""
    case = op.cases[1]  # the first is often one number
    checks = ("bound", "exact") if case.exact else ("bound",)
    report = audit([op.name], checks=checks, cases=[case], measure=False)
    for result in report.results:
        assert not result.discrepancies, "\n".join(map(str, result.discrepancies))
        assert result.ran == (4 if result.check == "exact" else 8 + 2 * op.edge)


def test_ops_that_need_no_rounding_are_exact_on_integers() -> None:
    exact = {op.name for op in OPS if any(case.exact for case in op.cases)}
    assert {"conv2d", "max_pool2d", "affine", "relu", "step", "identity", "avg_pool2d", "dropout"} <= exact
    for name in ("conv2d", "max_pool2d", "affine", "relu", "step", "identity"):
        (op,) = (op for op in OPS if op.name == name)
        assert all(case.exact for case in op.cases if "Winograd" not in case.name)  # it divides


def test_agreement_has_at_least_1000_comparisons() -> None:
    """Each of them is counted where it is made, by the test above; layouts, threads and gradients come on top."""
    assert sum(comparisons(op, check) for op in OPS for check in ("exact", "bound")) > 1000


def test_every_option_of_every_op_is_in_a_case() -> None:
    not_options = {"backend", "grad_output", "input_grad", "winners", "algorithm"}
    not_options |= {"statistics", "return_statistics"}  # test_batch_norm2d.py, test_group_norm.py
    for op in OPS:
        public = {
            name
            for function in (op.forward, op.backward)
            for name in inspect.signature(function).parameters
            if name not in not_options
        }
        given = {name for case in op.cases for name in (*case.arrays, *case.options)}
        assert public <= given, f"{op.name}: no case gives {public - given}"


# Ops whose loops run along rows; those of the others run over all of an array's numbers.
ROWS = {
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "lp_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "softmax",
    "log_softmax",
    "affine",
    "cross_entropy",
}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_cases_have_an_empty_batch_unequal_extents_and_a_tail_of_every_vector(op: Op) -> None:
    shapes = [getattr(s, "shape", s) for case in op.cases for s in case.arrays.values()]
    assert any(0 in shape for shape in shapes)
    assert any(len(set(shape)) > 1 for shape in shapes)
    lengths = [shape[-1] if op.name in ROWS else math.prod(shape) for shape in shapes if shape]
    for lanes in (2, 4, 8, 16):  # float64 on x86-64-v2 to float32 on x86-64-v4
        assert any(n > lanes and n % lanes for n in lengths), f"no tail behind vectors of {lanes}"
