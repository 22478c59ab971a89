"""Sums and products, of values and of constants."""

import numpy as np

from ... import nn
from ..._check import Array
from .fold import number
from .made import operand
from .node import Known, Node, Value
from .normalised import normalised
from .parts import gelu
from .reducing import times
from .weights import affine, sixth


def add(node: Node) -> nn.Layer:
    """Add, and Sum of any number."""
    if (found := _norm(node)) is not None:
        return found
    if all(isinstance(one, Value) for one in node.inputs):
        return _several(node, nn.Add)
    if node.operator == "Sum" and len(node.inputs) != 2:
        raise ValueError("expected values or one value and one constant, got others")
    _, constant = _one_of_each(node)
    return _with_bias(node, constant) or operand(node, nn.Bias, "bias", constant)


def subtract(node: Node) -> nn.Layer:
    if (found := _norm(node)) is not None:
        return found
    if len(node.sources) == 2:
        return (
            nn.Graph(("negative", negated(node), "b"), ("sum", nn.Add(), "a", "negative"), inputs=("a", "b"))
            if _same_ranks(node)
            else nn.Add()
        )
    index, constant = _one_of_each(node)
    if index == 0:
        return operand(node, nn.Bias, "bias", -constant)
    return nn.Sequential(negated(node), operand(node, nn.Bias, "bias", constant))


def multiply(node: Node) -> nn.Layer:
    if len(node.inputs) == 2 and (found := gelu(node) or _norm(node)) is not None:
        return found
    if len(node.sources) == 2:
        return _gated(node) or _several(node, nn.Multiply)
    return operand(node, nn.Scale, "weight", _one_of_each(node)[1])


def divide(node: Node) -> nn.Layer:
    """By a constant: times 1 / constant, which is another rounding. Of two values, as in a layer normalisation."""
    if (found := _norm(node)) is not None:
        return found
    index, constant = _one_of_each(node)
    if index == 1 or not constant.all():
        raise ValueError("expected a divisor that is a constant other than 0, got another")
    return operand(node, nn.Scale, "weight", (1 / constant.astype(np.float64)).astype(constant.dtype))


def _norm(node: Node) -> nn.Layer | None:
    """A normalisation, where some of its parts are no layers of their own."""
    return normalised(node) if any(one.guessed for one in node.sources) else None


def negated(node: Node) -> nn.Layer:
    return times(node, -1)


def _one_of_each(node: Node) -> tuple[int, Array]:
    """Which input is the value, and the other, a constant."""
    if len(node.sources) != 1 or len(node.inputs) != 2:
        raise ValueError(
            f"expected two operands, got {len(node.inputs)} of which {len(node.sources)} depend on the images"
        )
    index = 0 if isinstance(node.inputs[0], Value) else 1
    return index, node.each(1 - index, "operand")


def _several(node: Node, kind: type[nn.Layer]) -> nn.Layer:
    if len(node.sources) == 1:  # a Sum of one
        return nn.Identity()
    _same_ranks(node)
    return kind()


def _same_ranks(node: Node) -> bool:
    ranks = {one.rank for one in node.sources if one.rank is not None}
    if len(ranks) > 1 and node.place.axis is not None:
        raise ValueError(f"expected operands of one rank, which the images' axis leads, got {sorted(ranks)}")
    return True


def _with_bias(node: Node, constant: Array) -> nn.Layer | None:
    """MatMul and the Add behind it."""
    product = node.behind("MatMul")
    if (
        product is None
        or node.place != product.gives
        or not isinstance(product.given(1), Known)
        or len(product.sources) != 1
    ):
        return None
    weight = product.constant(1, "B").T
    if weight.ndim != 2 or product.rank == 1 or constant.size not in (1, weight.shape[0]):
        return None
    layer = affine(product, weight, constant)
    node.sources, node.fills = product.sources, product.fills[-2:]
    return layer


def _gated(node: Node) -> nn.Layer | None:
    """x times Sigmoid or HardSigmoid of x."""
    for i, gate in enumerate(node.sources):
        other = node.sources[1 - i]
        for operator in ("Sigmoid", "HardSigmoid"):
            before = node.made_by(gate, operator)
            if before is None or before.sources != [other]:
                continue
            if operator == "Sigmoid":
                node.sources = [other]
                return nn.SiLU()
            if sixth(number(before.take("alpha", 0.2))) and number(before.take("beta", 0.5)) == 0.5:
                node.sources = [other]
                return nn.HardSwish()
    return None
