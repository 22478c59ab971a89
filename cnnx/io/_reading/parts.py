"""Layers that exporters write in parts, where the opset has no operator for them: found at the last part."""

import math

import numpy as np

from ... import nn
from .fold import scalar
from .made import made
from .node import Known, Node, Value

_ROOT, _CUBIC = math.sqrt(2 / math.pi), 0.044715  # of GELU's approximation


def gelu(node: Node) -> nn.Layer | None:
    """Of x, 1 + Erf(x / sqrt(2)) and 1/2, multiplied in any order; None if this is no such product."""
    factors = _factors(node, 3)
    values = [one for one in factors if isinstance(one, Value)]
    if len(values) != 2 or not _close(math.prod(one for one in factors if isinstance(one, float)), 0.5):
        return None
    for x, other in (values, values[::-1]):
        total = _with_number(node.made_by(other, "Add"))
        erf = None if total is None or total[1] != 1 else node.made_by(total[0], "Erf")
        if erf is not None and _is_over_root_of_two(node, erf.sources[0], x):
            node.sources = [x]
            return nn.GELU()
    return None


def tanh_gelu(node: Node) -> nn.Layer:
    """GELU's approximation, x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), of layers."""
    outer, inner = (np.array([2 * value], node.sources[0].dtype) for value in (_ROOT, _ROOT * _CUBIC))
    return nn.Graph(
        ("square", nn.Multiply(), "x", "x"),
        ("share", made(node, nn.Scale, (1,), learned=False, found={"weight": inner}), "square"),
        ("slope", made(node, nn.Bias, (1,), learned=False, found={"bias": outer}), "share"),
        ("inner", nn.Multiply(), "slope", "x"),
        ("gate", nn.Sigmoid(), "inner"),
        ("product", nn.Multiply(), "x", "gate"),
    )


def power(node: Node) -> nn.Layer:
    """A whole power, as a product."""
    exponent = scalar("exponent", node.constant(1, "exponent"))
    if exponent == 1:
        return nn.Identity()
    if exponent == 2:
        return nn.Graph(("square", nn.Multiply(), "x", "x"))
    if exponent == 3:
        return nn.Graph(("square", nn.Multiply(), "x", "x"), ("cube", nn.Multiply(), "square", "x"))
    raise ValueError(
        f"exponent: expected 1, 2 or 3, or Abs, Pow and AveragePool before it as in LpPool2d, got {exponent}"
    )


def _factors(node: Node, most: int) -> list[Value | float]:
    """What a product of products is made of, constants as numbers; none if that are more than `most`, or arrays.

    A file may have products of products as long, and as often the same, as it likes.
    """
    found: list[Value | float] = []
    ahead = list(node.inputs)
    while ahead and len(found) + len(ahead) <= most:
        one = ahead.pop()
        product = node.made_by(one, "Mul") if isinstance(one, Value) else None
        if product is not None:
            ahead += product.inputs
        elif isinstance(one, Value):
            found.append(one)
        elif isinstance(one, Known) and one.first.size == 1:
            found.append(float(one.first.item()))
        else:
            return []
    return [] if ahead else found


def _with_number(node: Node | None) -> tuple[Value, float] | None:
    """The operands of a node, where one is a number."""
    if node is None or len(node.sources) != 1 or len(node.inputs) != 2:
        return None
    known = next((one for one in node.inputs if isinstance(one, Known)), None)
    if known is None or known.first is not known.second or known.first.size != 1 or known.first.dtype.kind not in "fiu":
        return None
    return node.sources[0], float(known.first.item())


def _is_over_root_of_two(node: Node, value: Value, x: Value) -> bool:
    quotient, product = (_with_number(node.made_by(value, operator)) for operator in ("Div", "Mul"))
    if quotient is not None:
        return quotient[0] == x and _close(quotient[1], math.sqrt(2))
    return product is not None and product[0] == x and _close(product[1], math.sqrt(0.5))


def _close(value: float, expected: float) -> bool:
    """Whether it is that number, as far as float32 can say so."""
    return bool(np.isclose(value, expected, rtol=1e-6, atol=0))
