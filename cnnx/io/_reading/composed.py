"""Operators for which there is no kernel, put together of layers that there are."""

import math
from typing import Any

import numpy as np

from ... import nn
from .fold import extents, number, pairs_of, room
from .made import operand
from .node import Known, Node, UnknownShapeError, Value
from .place import FIRST, pairs
from .reducing import times
from .shapes import MOST_TILES, constant, to_shape
from .symbols import Symbol

Lines = list[tuple[Any, ...]]


def magnitude(node: Node) -> nn.Layer:
    """|z|, as z (z > 0), -1 z (z <= 0)."""
    return nn.LeakyReLU(-1.0)


def extreme(node: Node) -> nn.Layer:
    """Max and Min: of a value and a number by Clip; of several by the maximum of a map, or of their negatives'."""
    least = node.operator == "Min"
    if len(node.inputs) == 1:
        return nn.Identity()
    if len(node.inputs) == 2 and len(node.sources) == 1:
        bound = node.each(0 if isinstance(node.inputs[1], Value) else 1, "operand")
        if bound.size == 1 and bound.ndim <= (node.rank or bound.ndim):
            limit = number(float(bound.item()))
            return nn.Clip(None, limit) if least else nn.Clip(limit, None)
    sizes, lines, names = _several(node)
    count = math.prod(sizes)
    columns: list[str] = []
    for i, name in enumerate(names):
        if least:
            lines.append((f"negative{i}", times(node, -1), name))
        lines.append((f"column{i}", nn.Reshape((count, 1, 1)), f"negative{i}" if least else name))
        columns.append(f"column{i}")
    lines += [
        ("rows", nn.Concat(2), *columns),
        ("most", nn.GlobalMaxPool2d(), "rows"),
        ("shape", to_shape(list(sizes)), "most"),
    ]
    if least:
        lines.append(("least", times(node, -1), "shape"))
    return nn.Graph(*lines, inputs=tuple(f"x{i}" for i, one in enumerate(node.inputs) if isinstance(one, Value)))


def where(node: Node) -> nn.Layer:
    """One value or another by a constant: each times 1 or 0, plus the constants there."""
    mask = node.each(0, "condition") if not isinstance(node.given(0), Value) else None
    if mask is None or mask.dtype.kind != "b":
        raise ValueError("condition: expected a constant, got a value that depends on the images")
    dtype = node.sources[0].dtype
    room(mask.size)
    lines: Lines = []
    values, fill = [], np.zeros((), dtype)
    for i, chosen in ((1, mask), (2, ~mask)):
        if isinstance(node.given(i), Value):
            lines.append((f"kept{i}", operand(node, nn.Scale, "weight", chosen.astype(dtype), learned=False), f"x{i}"))
            values.append(f"kept{i}")
        else:
            other = node.each(i, ("X", "Y")[i - 1])
            room(math.prod(np.broadcast_shapes(other.shape, mask.shape)))
            fill = fill + np.where(chosen, other, np.zeros((), other.dtype)).astype(dtype)
    if len(values) > 1:
        lines.append(("sum", nn.Add(), *values))
    if np.any(fill):
        lines.append(("filled", operand(node, nn.Bias, "bias", fill)))
    names = tuple(f"x{i}" for i in (1, 2) if isinstance(node.given(i), Value))
    return nn.Graph(*lines, inputs=names)


def expand(node: Node) -> nn.Layer:
    """A value beside itself along axes of one element."""
    known, sizes = node.given(1), node.sizes
    if not isinstance(known, Known):
        raise UnknownShapeError("shape: expected integers in the file, got none")
    if sizes is None:
        raise UnknownShapeError("expected a value of known rank, got another")
    if None in sizes or any(isinstance(each, Symbol) and each.open for each in extents(known, "shape")):
        return _expanded(node, extents(known, "shape"))
    wanted = pairs_of(known)
    whole = pairs(node.place, sizes)
    if len(wanted) > len(whole):
        raise ValueError(f"shape: expected at most {len(whole)} axes, got {len(wanted)}")
    wanted = [(1, 1)] * (len(whole) - len(wanted)) + wanted
    lines: Lines = []
    total = 1
    for axis, (before, after) in enumerate(zip(whole, wanted, strict=True)):
        if after in (before, (1, 1), (node.batch, node.batch) if axis == node.place.axis else before):
            continue
        count = after[0]
        if before != (1, 1) or axis == node.place.axis or count != after[1] or count < 1:
            raise ValueError(f"shape: expected axes of one element to become more, got axis {axis} of {before[0]}")
        total *= count
        if total > MOST_TILES:
            raise ValueError(f"shape: expected at most {MOST_TILES} copies, got {total}")
        lines.append((str(axis), nn.Concat(node.place.inner(axis)), *[lines[-1][0] if lines else "x"] * count))
    return nn.Graph(*lines) if lines else nn.Identity()


def _expanded(node: Node, wanted: list[Any]) -> nn.Layer:
    """To open extents: along rows and columns, by the nearest pixel."""
    value = node.value()
    sizes = list(value.sizes or ())
    wanted = [1] * (1 + len(sizes) - len(wanted)) + wanted
    if node.place != FIRST or len(wanted) != 1 + len(sizes) or wanted[0] not in (1, "N", node.batch):
        raise UnknownShapeError("shape: expected the images' number first, and no more axes than the value has")
    same = [
        each == extent or each == 1 or (isinstance(each, Symbol) and each.times(value, axis) == 1)
        for axis, (each, extent) in enumerate(zip(wanted[1:], sizes, strict=True), 1)
    ]
    if all(same):
        return nn.Identity()
    if len(sizes) != 3 or not same[0]:
        raise UnknownShapeError(f"shape: expected rows and columns alone to be open, got {len(sizes)} axes")
    size: list[int | str] = []
    for axis in (2, 3):
        each, extent = wanted[axis], sizes[axis - 1]
        if same[axis - 1]:
            size.append(f"x[{axis}]" if extent is None else extent)
        elif extent == 1 and (isinstance(each, int) or (isinstance(each, Symbol) and not each.images)):
            size.append(each.written(node.sources) if isinstance(each, Symbol) else each)
        else:  # it may be 1, or the same: who knows
            raise UnknownShapeError(f"shape: expected axes of one element to become more, got axis {axis}")
    return nn.Upsample2d(size=(size[0], size[1]))


def selu(node: Node) -> nn.Layer:
    alpha = number(node.take("alpha", 1.67326319217681884765625))
    gamma = node.take("gamma", 1.05070102214813232421875)
    return nn.Sequential(nn.ELU(alpha), times(node, gamma))


def celu(node: Node) -> nn.Layer:
    """alpha (exp(z / alpha) - 1), z where that is above 0."""
    alpha = node.take("alpha", 1.0)
    if not alpha > 0:
        raise ValueError(f"alpha: expected a number above 0, got {alpha:g}")
    if alpha == 1:
        return nn.ELU()
    return nn.Sequential(times(node, 1 / alpha), nn.ELU(), times(node, alpha))


def mish(node: Node) -> nn.Layer:
    return nn.Graph(
        ("softplus", nn.Softplus(), "x"),
        ("gate", nn.Tanh(), "softplus"),
        ("product", nn.Multiply(), "x", "gate"),
    )


def logarithm(node: Node) -> nn.Layer:
    """Of a softmax; of no other value there is one."""
    softmax = node.behind("Softmax")
    if softmax is None or softmax.opset < 13 or softmax.place != node.place:
        raise ValueError("expected a Softmax before it, since there is no layer for logarithms, got another value")
    node.sources = softmax.sources
    return nn.LogSoftmax(softmax.axis(softmax.take("axis", -1)))


def product(node: Node, left: bool) -> nn.Layer:
    """MatMul by a constant that is no matrix on the right: a stack, or on the left of the value."""
    array = node.constant(0 if left else 1, "A" if left else "B")
    rank, place = node.rank, node.place
    if rank is None or array.ndim > rank or array.ndim < 2 or (place.axis is not None and place.axis >= rank - 2):
        raise ValueError(
            f"expected matrices whose axes are not the images', and a constant of 2 axes or more, got {array.shape}"
        )
    whole = array.reshape((1,) * (rank - array.ndim) + array.shape)
    names = ("constant", "x") if left else ("x", "constant")
    return nn.Graph(("constant", constant(node, whole), "x"), ("product", nn.MatMul(), *names))


def _several(node: Node) -> tuple[tuple[int, ...], Lines, list[str]]:
    """The common shape of some operands, which all have to have, lines for the constants, and all names."""
    sizes = node.sources[0].sizes
    if sizes is None or None in sizes:
        raise UnknownShapeError("expected values of known shape, got others")
    if any(one.sizes != sizes for one in node.sources):
        raise ValueError(f"expected values of one shape, got {[one.sizes for one in node.sources]} of each image")
    outer = node.place.outer(sizes)
    lines, names = [], []
    first = next(f"x{i}" for i, one in enumerate(node.inputs) if isinstance(one, Value))
    for i, one in enumerate(node.inputs):
        if not isinstance(one, Value):
            array = node.each(i, f"input {i}")
            shape = [1 if axis == node.place.axis else extent for axis, extent in enumerate(outer)]
            try:
                whole = np.broadcast_to(array, shape)  # type: ignore[arg-type]
            except ValueError:
                raise ValueError(f"input {i}: expected a constant that goes with {sizes}, got {array.shape}") from None
            lines.append((f"constant{i}", constant(node, whole), first))
        names.append(f"x{i}" if isinstance(one, Value) else f"constant{i}")
    return sizes, lines, names  # type: ignore[return-value]
