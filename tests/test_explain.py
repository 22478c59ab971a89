"""Explanations: every op's, by their terms; the worked values of D19; what padding removes, counted in closed form."""

import inspect
import math

import numpy as np
import pytest

from cnnx import backend
from cnnx.audit import explain
from cnnx.audit.calls import backward_arguments, first, forward_arguments, traced
from cnnx.audit.data import draw, draw_like
from cnnx.ops import OPS

pytestmark = pytest.mark.once


def calls_of(op, case, mode="integer"):
    """The kernel calls of a case, forward and backward, through the reference."""
    rng = np.random.default_rng(1)
    arrays = draw(op, case, "float64", mode, rng)
    forward = traced(op.forward, forward_arguments(op, case, arrays), "reference")
    delta = np.ones(1) if op.cost else draw_like(first(forward.result), "float64", mode, rng)
    backward = traced(op.backward, backward_arguments(op, case, arrays, delta, forward.result), "reference")
    return (*forward.calls, *backward.calls)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_case_of_every_op(op):
    """Some elements of every output: the reference's value bit by bit, and terms that make it."""
    for case in op.cases:
        for call in calls_of(op, case):
            for name, output in zip(backend.equations(call.kernel), call.outputs, strict=True):
                for flat in sorted({0, output.size // 2, output.size - 1} if output.size else ()):
                    index = np.unravel_index(flat, output.shape)
                    explanation = explain(call.kernel, name, call.inputs, index, call.numbers)
                    assert float(explanation.value) == output[index]
                    check_terms(explanation, call, dict(zip(input_names(call), call.inputs, strict=True)))


def input_names(call):
    return list(inspect.signature(backend.reference_kernel(call.kernel)).parameters)[: len(call.inputs)]


def check_terms(explanation, call, arrays):
    kept = [term for term in explanation.terms if not term.removed]
    total = math.fsum(term.product for term in kept)
    if explanation.frame == "{sum}" and explanation.terms:
        assert explanation.value == pytest.approx(total, rel=1e-12, abs=1e-12)
    for term in explanation.terms:
        if not term.removed and math.isfinite(term.product):
            product = math.prod(factor.value for factor in term.factors)
            assert term.product == pytest.approx(product, rel=1e-12, abs=1e-300)
        for factor in term.factors:
            if factor.array is not None:
                inside = all(0 <= i < n for i, n in zip(factor.index, arrays[factor.array].shape, strict=True))
                assert inside is not factor.outside
                assert factor.outside or arrays[factor.array][factor.index] == factor.value
    assert explanation.equation
    assert explanation.source
    assert explanation.text(every=True)
