"""Layers that exporters write in parts, where the opset has no operator for them: found at the last part."""

import math

import numpy as np

from ... import nn
from .fold import number, scalar
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


def layer_norm(node: Node) -> nn.Layer | None:
    """Of d / sqrt(mean(d^2) + eps), d = x - mean(x), the division; None if this is no such one."""
    deviation, root = node.made_by(node.sources[0], "Sub"), node.made_by(node.sources[1], "Sqrt")
    shifted = None if root is None else _with_number(node.made_by(root.sources[0], "Add"))
    spread = None if shifted is None else node.made_by(shifted[0], "ReduceMean")
    if deviation is None or shifted is None or spread is None or len(deviation.sources) != 2:
        return None
    x, mean = deviation.sources[0], node.made_by(deviation.sources[1], "ReduceMean")
    if mean is None or mean.sources != [x] or x.sizes is None or not _squared(node, spread.sources[0], node.sources[0]):
        return None
    rank = 1 + len(x.sizes)
    axes = [each.axes(1, 18) or [0] for each in (mean, spread)]
    last = x.sizes[axes[0][0] - 1 :]
    if axes[0] != list(range(axes[0][0], rank)) or axes[0] != axes[1] or 0 in axes[0] or None in last:
        return None
    if any(each.take("keepdims", 1) != 1 for each in (mean, spread)):
        return None
    node.sources = [x]
    return nn.LayerNorm(last, eps=number(shifted[1]), affine=False, dtype=x.dtype)  # type: ignore[arg-type]


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


def _squared(node: Node, value: Value, deviation: Value) -> bool:
    power, product = node.made_by(value, "Pow"), node.made_by(value, "Mul")
    if product is not None:
        return product.sources == [deviation, deviation]
    return power is not None and _with_number(power) == (deviation, 2)


def _close(value: float, expected: float) -> bool:
    """Whether it is that number, as far as float32 can say so."""
    return bool(np.isclose(value, expected, rtol=1e-6, atol=0))
