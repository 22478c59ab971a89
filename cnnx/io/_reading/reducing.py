"""Sums, means, extremes and norms over axes, by those of whole images."""

import math

import numpy as np

from ... import nn
from .made import made
from .node import Node, UnknownShapeError
from .place import FIRST
from .shapes import to_shape

_SINCE = {"ReduceSum": 13}  # opset from which axes are an input; 18 for the others


def reduced(node: Node) -> nn.Layer:
    """Over some axes, which are put behind the others and become one column of a map."""
    since = _SINCE.get(node.operator, 18)
    axes, sizes = node.axes(1, since), node.sizes
    empty = bool(node.take("noop_with_empty_axes", 0))
    keep = bool(node.take("keepdims", 1))
    if not axes and empty:
        return nn.Identity()
    pooling = {"ReduceMean": nn.GlobalAvgPool2d, "ReduceMax": nn.GlobalMaxPool2d}.get(node.operator)
    if axes == [2, 3] and node.rank in (4, None) and node.place == FIRST and pooling:
        return pooling() if keep else nn.Sequential(pooling(), nn.Flatten())
    if not axes or 0 in axes:
        raise ValueError(f"axes: expected some behind the images', got {axes}")
    if sizes is not None and None in sizes and node.place == FIRST:
        return _open(node, sizes, axes, keep)
    if sizes is None or None in sizes:
        raise UnknownShapeError(
            f"axes: expected rows and columns where the value's shape is not in the file, got {axes}"
        )
    whole: tuple[int, ...] = sizes  # type: ignore[assignment]
    kept = [axis for axis in range(1, 1 + len(whole)) if axis not in axes]
    rest, count = math.prod(whole[axis - 1] for axis in kept), math.prod(whole[axis - 1] for axis in axes)
    shape = [1 if axis in axes else extent for axis, extent in enumerate(whole, 1) if keep or axis in kept]
    node.gives = node.place if keep else node.place.without(node.outer_axes(1, since) or ())
    order = (0, *kept, *axes)
    moved = [] if order == tuple(range(len(order))) else [nn.Transpose(order)]
    before, layer, after = _kinds(node, count)
    return nn.Sequential(*before, *moved, nn.Reshape((rest, count, 1)), layer, *after, to_shape(shape))  # type: ignore[arg-type]


def _open(node: Node, sizes: tuple[int | None, ...], axes: list[int], keep: bool) -> nn.Layer:
    """The same of a value with open extents."""
    axes_ = range(1, 1 + len(sizes))
    kept_ = [axis for axis in axes_ if axis not in axes]
    reduced_ = [sizes[axis - 1] for axis in axes]
    if None in reduced_ and node.operator not in ("ReduceMean", "ReduceMax", "ReduceMin"):
        raise UnknownShapeError(f"axes: expected axes whose extents are in the file, got {axes} of {sizes}")
    order = (0, *kept_, *axes)
    moved = [] if order == tuple(range(len(order))) else [nn.Transpose(order)]
    # The last of them, or each of the others, is what is left; columns of one image are rows of a map.
    extents = [sizes[axis - 1] for axis in kept_]
    rest = " * ".join(f"x[{i}]" for i in range(1, 1 + len(kept_))) or "1"
    count: int | str = " * ".join(f"x[{i}]" for i in range(1 + len(kept_), 1 + len(sizes)))
    if None not in reduced_:
        count = math.prod(reduced_)  # type: ignore[arg-type]
    columns = nn.Reshape((rest if None in extents else math.prod(extents), count, 1))  # type: ignore[arg-type]
    before, layer, after = _kinds(node, count if isinstance(count, int) else 0)
    shape = [
        1 if axis in axes else f"x1[{axis}]" if sizes[axis - 1] is None else sizes[axis - 1]
        for axis in axes_
        if keep or axis in kept_
    ]
    inner = nn.Sequential(*before, *moved, columns, layer, *after)
    if not any(isinstance(each, str) for each in shape):
        return nn.Sequential(*inner.layers, to_shape(shape))  # type: ignore[arg-type]
    if len(shape) == 1:
        return nn.Sequential(*inner.layers, nn.Flatten())
    return nn.Graph(("columns", inner, "x"), ("shape", nn.Reshape(tuple(shape)), "columns", "x"))  # type: ignore[arg-type]


def _kinds(node: Node, count: int) -> tuple[list[nn.Layer], nn.Layer, list[nn.Layer]]:
    """What is done before, over columns of so many numbers, and behind."""
    operator = node.operator
    if operator in ("ReduceL1", "ReduceL2"):
        return [], nn.LpPool2d(int(operator[-1]), (count, 1), normalize=False), []
    if operator == "ReduceMin":
        return [times(node, -1)], nn.GlobalMaxPool2d(), [times(node, -1)]
    if operator == "ReduceMax":
        return [], nn.GlobalMaxPool2d(), []
    before: list[nn.Layer] = [nn.Graph(("square", nn.Multiply(), "x", "x"))] if operator == "ReduceSumSquare" else []
    return before, nn.GlobalAvgPool2d(), [] if operator == "ReduceMean" else [times(node, count)]


def times(node: Node, factor: float) -> nn.Layer:
    return made(node, nn.Scale, (1,), learned=False, found={"weight": np.array([factor], node.sources[0].dtype)})
