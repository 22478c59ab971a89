"""Einsum: of two values, or of a value and an array of the file, what a matrix product gives, their axes put in its
order and back; of one value, their order."""

import math
import re
from typing import Any

from ... import _check, nn
from ..._check import Array
from .made import made, operand
from .node import Node, UnknownShapeError, Value
from .place import FIRST
from .weights import affine

Sizes = dict[str, int | None]


def einsum(node: Node) -> nn.Layer:
    equation = re.sub(r"\s", "", node.take("equation", ""))
    terms, arrow, wanted = equation.partition("->")
    operands = terms.split(",")
    labels = [*operands, wanted]
    shown = f"got {_check.shown(equation)}"
    if not arrow or any(len(set(each)) < len(each) or not re.fullmatch("[A-Za-z]+", each) for each in labels):
        raise ValueError(f"equation: expected letters, each once for a value, and what they come to behind ->, {shown}")
    if len(operands) != len(node.inputs) or len(operands) > 2 or not node.sources:
        raise ValueError(f"equation: expected one or two values, one of them at least of the images, {shown}")
    given = [term for one, term in zip(node.inputs, operands, strict=True) if isinstance(one, Value)]
    for one, term in zip(node.sources, given, strict=True):
        if one.rank is None:
            raise UnknownShapeError("expected values of known rank, got others")
        if one.rank != len(term):
            raise ValueError(f"equation: expected {one.rank} letters for a value's axes, got {term!r}")
    images = node.place.axis
    if images is None or node.place.shared:
        raise ValueError("expected values that have the images along one axis")
    image = given[0][images]
    if any(term[images] != image for term in given) or image not in wanted:
        raise ValueError(f"equation: expected the images' axis {image!r} in all values, {shown}")
    if len(wanted) < 2:
        raise ValueError(f"equation: expected an axis beside the images', {shown}")
    place = node.place._replace(axis=wanted.index(image))
    inner = [term.replace(image, "") for term in (*given, wanted)]
    if len(node.sources) < len(operands):
        left = isinstance(node.inputs[0], Value)
        array, term = node.constant(int(left), "operand"), operands[left]
        if image in term or array.ndim != len(term):
            raise ValueError(f"equation: expected a letter for each axis of an array, none of them {image!r}, {shown}")
        node.place = FIRST  # of what the layers take and give
        layer = _by_array(node, array, (inner[0], term, inner[1]), shown)
        node.gives = place
        return layer
    node.gives = place
    if len(operands) == 1:
        if set(inner[0]) != set(inner[1]):
            raise ValueError(f"equation: expected another order of a value's axes, or two values, {shown}")
        return _turned(inner[0], inner[1]) or nn.Identity()
    return _product(node, inner, shown)


def _by_array(node: Node, array: Array, labels: tuple[str, str, str], shown: str) -> nn.Layer:
    """A value times an array of the file: what both keep is a factor, or a stack of matrices; else it is affine."""
    a, b, out = labels
    value = node.sources[0]
    found: Sizes = dict(zip(b, array.shape, strict=True))
    for label, extent in zip(a, value.sizes or (), strict=True):
        if found.setdefault(label, extent) != extent and extent is not None:
            raise ValueError(f"equation: expected one extent for {label!r}, got {extent} and {found[label]}")
    alone = tuple(i for i, label in enumerate(b) if label not in a and label not in out)
    if alone:  # summed whatever the value is
        array, b = array.sum(alone, dtype=array.dtype), "".join(label for label in b if label in a or label in out)
    stack, inner, rows, columns = _groups(a, b, out, shown)
    if not inner and not columns:  # one number for each
        shape = [array.shape[b.index(label)] if label in b else 1 for label in a]
        whole = array.transpose([b.index(label) for label in a if label in b]).reshape((1, *shape))
        layers = [operand(node, nn.Scale, "weight", whole), _turned(a, out)]
    elif stack:
        whole = array.transpose([b.index(label) for label in stack + inner + columns])
        matrices = [math.prod(_known(found, group)) for group in (inner, columns)]
        beside = made(node, nn.Constant, (*_known(found, stack), *matrices), found={"value": whole.reshape(-1)})
        lines, name = _matrices(found, a, (stack, rows, inner), 0)
        lines += [("array", beside, "x0"), ("product", nn.MatMul(), name, "array")]
        return nn.Graph(*lines, *_unfolded(found, out, (stack, rows, columns)), inputs=("x0",))
    else:
        matrix = array.transpose([b.index(label) for label in columns + inner])
        matrix = matrix.reshape(math.prod(_known(found, columns)), math.prod(_known(found, inner)))
        layers = [
            _turned(a, rows + inner),
            _reshaped(found, [*rows, inner]) if len(inner) != 1 else None,
            affine(node, matrix, None),
            _reshaped(found, [*rows, *columns]) if len(columns) != 1 else None,
            _turned(rows + columns, out),
        ]
    kept = [layer for layer in layers if layer is not None]
    return kept[0] if len(kept) == 1 else nn.Sequential(*kept)


def _product(node: Node, labels: list[str], shown: str) -> nn.Layer:
    """Stacks of matrices, one for each of the axes that all three have, and their product."""
    a, b, out = labels
    stack, inner, rows, columns = _groups(a, b, out, shown)
    sizes = _sizes(node.sources, (a, b))
    lines, name = _matrices(sizes, a, (stack, rows, inner), 0)
    more, other = _matrices(sizes, b, (stack, inner, columns), 1)
    lines += [*more, ("product", nn.MatMul(), name, other)]
    return nn.Graph(*lines, *_unfolded(sizes, out, (stack, rows, columns)), inputs=("x0", "x1"))


def _groups(a: str, b: str, out: str, shown: str) -> tuple[str, str, str, str]:
    """What both have and give, what both have and is summed, what the first has alone, and the second."""
    stack = "".join(label for label in a if label in b and label in out)
    inner = "".join(label for label in a if label in b and label not in out)
    rows = "".join(label for label in a if label not in b)
    columns = "".join(label for label in b if label not in a)
    if not set(rows + columns) <= set(out) or not set(out) <= set(a + b):
        raise ValueError(f"equation: expected sums over axes of both values alone, {shown}")
    return stack, inner, rows, columns


def _matrices(sizes: Sizes, given: str, order: tuple[str, str, str], number: int) -> tuple[list[Any], str]:
    """Lines that make a stack of matrices of a value, and the name of the last."""
    lines: list[tuple[Any, ...]] = []
    name = f"x{number}"
    if (turned := _turned(given, "".join(order))) is not None:
        lines.append((f"turned{number}", turned, name))
        name = f"turned{number}"
    if any(len(group) != 1 for group in order[1:]):
        shape = (*_known(sizes, order[0]), *(math.prod(_known(sizes, group)) for group in order[1:]))
        lines.append((f"matrices{number}", nn.Reshape(shape), name))
        name = f"matrices{number}"
    return lines, name


def _unfolded(sizes: Sizes, out: str, order: tuple[str, str, str]) -> list[Any]:
    """Lines that give each axis of such a stack its own place."""
    lines: list[tuple[Any, ...]] = []
    found = "".join(order)
    if any(len(group) != 1 for group in order[1:]):
        lines.append(("axes", _reshaped(sizes, list(found))))
    if (turned := _turned(found, out)) is not None:
        lines.append(("turned", turned))
    return lines


def _reshaped(sizes: Sizes, groups: list[str]) -> nn.Layer:
    """An axis for each of these; where one extent is open, it is what is left."""
    shape = [-1 if None in [sizes[each] for each in group] else math.prod(_known(sizes, group)) for group in groups]
    if shape.count(-1) > 1:
        _known(sizes, "".join(groups))
    return nn.Reshape(tuple(shape)) if len(shape) > 1 else nn.Flatten()


def _turned(given: str, wanted: str) -> nn.Layer | None:
    """The axes behind the images' in another order; None if it is theirs."""
    return None if given == wanted else nn.Transpose((0, *(1 + given.index(label) for label in wanted)))


def _sizes(values: list[Value], terms: tuple[str, str]) -> Sizes:
    found: Sizes = {}
    for value, term in zip(values, terms, strict=True):
        for label, extent in zip(term, value.sizes or (), strict=True):
            known = found.get(label)
            if known is not None and extent is not None and known != extent:
                raise ValueError(f"equation: expected one extent for {label!r}, got {known} and {extent}")
            found[label] = extent if known is None else known
    return found


def _known(sizes: Sizes, labels: str) -> list[int]:
    found = [sizes[label] for label in labels]
    if None in found:
        raise UnknownShapeError("equation: expected values of known shape, where axes are put together, got others")
    return found  # type: ignore[return-value]
