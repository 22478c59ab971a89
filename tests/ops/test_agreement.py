"""Both back ends agree: every op of OPS x its cases x dtypes x layouts x thread counts, by the audit."""

import pytest

from cnnx import native
from cnnx.audit import audit
from cnnx.ops import OPS, Op

CHECKS = ("exact", "bound", "layout", "special", "threads", "adjoint")


def applies(op: Op, check: str) -> bool:
    """Whether a check has to run: no check may leave an op out unseen."""
    if check == "exact":
        return any(case.exact for case in op.cases)
    if check == "adjoint":
        return bool(op.linear)
    if check == "threads":
        return bool(op.kernels) and native.build_info()["openmp"]
    return True


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_check_of_op(op: Op, check: str) -> None:
    (result,) = audit([op.name], checks=[check], measure=False).results
    assert not result.discrepancies, "\n".join(map(str, result.discrepancies))
    assert result.ok
    assert (result.ran > 0) == applies(op, check)


def test_issue_named_ops_are_exact_on_integers() -> None:
    exact = {op.name for op in OPS if any(case.exact for case in op.cases)}
    assert {"conv2d", "max_pool2d", "affine", "relu", "step", "identity", "avg_pool2d", "dropout"} <= exact
    for name in ("conv2d", "max_pool2d", "affine", "relu", "step", "identity"):
        (op,) = (op for op in OPS if op.name == name)
        assert all(case.exact for case in op.cases if case.options.get("algorithm") != "winograd")  # it halves


def test_audit_has_at_least_1000_cases() -> None:
    cases = sum(len(op.cases) * 2 * 2 * (2 if any(c.exact for c in op.cases) else 1) for op in OPS)
    assert cases > 1000  # ops x cases x dtypes x directions x modes, before layouts, threads and gradients


def test_every_option_of_every_op_is_in_a_case() -> None:
    import inspect

    not_options = {"backend", "grad_output", "input_grad", "winners", "algorithm"}
    not_options |= {"statistics", "return_statistics"}  # test_batch_norm2d.py
    for op in OPS:
        public = {
            name
            for function in (op.forward, op.backward)
            for name in inspect.signature(function).parameters
            if name not in not_options
        }
        given = {name for case in op.cases for name in (*case.arrays, *case.options)}
        assert public <= given, f"{op.name}: no case gives {public - given}"


def test_every_op_has_an_empty_batch_a_tail_and_unequal_extents() -> None:
    for op in OPS:
        shapes = [getattr(s, "shape", s) for case in op.cases for s in case.arrays.values()]
        assert any(0 in shape for shape in shapes), op.name
        assert any(any(n % 4 for n in shape) for shape in shapes), op.name
        assert any(len(set(shape)) > 1 for shape in shapes), op.name
