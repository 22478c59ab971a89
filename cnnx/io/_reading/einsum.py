"""Einsum: of two values what a matrix product gives, their axes put in its order and back; of one, their order."""

import math
import re
from typing import Any

from ... import _check, nn
from .node import Node, UnknownShapeError, Value


def einsum(node: Node) -> nn.Layer:
    equation = re.sub(r"\s", "", node.take("equation", ""))
    terms, arrow, wanted = equation.partition("->")
    operands = terms.split(",")
    labels = [*operands, wanted]
    shown = f"got {_check.shown(equation)}"
    if not arrow or any(len(set(each)) < len(each) or not re.fullmatch("[A-Za-z]+", each) for each in labels):
        raise ValueError(f"equation: expected letters, each once for a value, and what they come to behind ->, {shown}")
    if len(operands) != len(node.inputs) or len(operands) > 2 or len(node.sources) != len(operands):
        raise ValueError(f"equation: expected one or two values that depend on the images, {shown}")
    for one, term in zip(node.sources, operands, strict=True):
        if one.rank is None:
            raise UnknownShapeError("expected values of known rank, got others")
        if one.rank != len(term):
            raise ValueError(f"equation: expected {one.rank} letters for a value's axes, got {term!r}")
    images = node.place.axis
    if images is None or node.place.shared:
        raise ValueError("expected values that have the images along one axis")
    image = operands[0][images]
    if any(term[images] != image for term in operands) or image not in wanted:
        raise ValueError(f"equation: expected the images' axis {image!r} in all values, {shown}")
    node.gives = node.place._replace(axis=wanted.index(image))
    inner = [term.replace(image, "") for term in labels]
    if len(operands) == 1:
        if set(inner[0]) != set(inner[1]):
            raise ValueError(f"equation: expected another order of a value's axes, or two values, {shown}")
        return _turned(inner[0], inner[1]) or nn.Identity()
    return _product(node, inner, shown)


def _product(node: Node, labels: list[str], shown: str) -> nn.Layer:
    """Stacks of matrices, one for each of the axes that all three have, and their product."""
    a, b, out = labels
    stack = "".join(label for label in a if label in b and label in out)
    inner = "".join(label for label in a if label in b and label not in out)
    rows = "".join(label for label in a if label not in b)
    columns = "".join(label for label in b if label not in a)
    if not set(rows + columns) <= set(out) or not set(out) <= set(a + b):
        raise ValueError(f"equation: expected sums over axes of both values alone, {shown}")
    sizes = _sizes(node.sources, (a, b))
    plain = all(len(group) == 1 for group in (rows, inner, columns))  # then no axis is put together of others
    lines: list[tuple[Any, ...]] = []
    names = []
    for i, (given, order) in enumerate(((a, (stack, rows, inner)), (b, (stack, inner, columns)))):
        name = f"x{i}"
        if (turned := _turned(given, "".join(order))) is not None:
            lines.append((f"turned{i}", turned, name))
            name = f"turned{i}"
        if not plain:
            shape = (*_known(sizes, stack), *(math.prod(_known(sizes, group)) for group in order[1:]))
            lines.append((f"matrices{i}", nn.Reshape(shape), name))
            name = f"matrices{i}"
        names.append(name)
    lines.append(("product", nn.MatMul(), *names))
    found = stack + rows + columns
    if not plain:
        shape = tuple(_known(sizes, found))
        lines.append(("axes", nn.Reshape(shape) if len(shape) > 1 else nn.Flatten()))
    if (turned := _turned(found, out)) is not None:
        lines.append(("turned", turned))
    return nn.Graph(*lines, inputs=("x0", "x1"))


def _turned(given: str, wanted: str) -> nn.Layer | None:
    """The axes behind the images' in another order; None if it is theirs."""
    return None if given == wanted else nn.Transpose((0, *(1 + given.index(label) for label in wanted)))


def _sizes(values: list[Value], terms: tuple[str, str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for value, term in zip(values, terms, strict=True):
        for label, extent in zip(term, value.sizes or (), strict=True):
            known = found.get(label)
            if known is not None and extent is not None and known != extent:
                raise ValueError(f"equation: expected one extent for {label!r}, got {known} and {extent}")
            found[label] = extent if known is None else known
    return found


def _known(sizes: dict[str, int | None], labels: str) -> list[int]:
    found = [sizes[label] for label in labels]
    if None in found:
        raise UnknownShapeError("equation: expected values of known shape, where axes are put together, got others")
    return found  # type: ignore[return-value]
