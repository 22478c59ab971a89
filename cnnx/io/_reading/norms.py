"""Normalisation of each example by itself: group, instance and layer normalisation."""

from typing import Any

import numpy as np

from ... import nn
from ..._check import Array
from .fold import number
from .made import made
from .node import Node, UnknownShapeError
from .reducing import times


def instance_norm(node: Node) -> nn.Layer:
    node.take("consumed_inputs")
    found = {"weight": node.constant(1, "scale"), "bias": node.constant(2, "B")}
    if node.rank is not None and node.rank < 3:
        raise ValueError(f"input 0: expected 3 axes or more, got {node.rank}")
    return made(node, nn.InstanceNorm2d, found["weight"].size, eps=_eps(node), affine=True, found=found)


def layer_norm(node: Node) -> nn.Layer:
    axis, sizes = node.take("axis", -1), node.sizes
    node.expect("stash_type", 1, 1)
    scale, bias = node.constant(1, "Scale"), node.optional(2, "B")
    if sizes is None and axis != -scale.ndim:
        raise UnknownShapeError("axis: expected as many axes behind it as Scale has, where the rank is not known")
    last: tuple[int | None, ...] = scale.shape if sizes is None else sizes[node.axis(axis) - 1 :]
    if sizes is not None and node.outer_axis(axis) <= (-1 if node.place.axis is None else node.place.axis):
        raise ValueError(f"axis: expected one behind the images', got {axis}")
    if None in last:
        last = scale.shape if len(last) == scale.ndim else last
        if None in last:
            raise UnknownShapeError("expected a value whose last extents are known, got another")
    found = {"weight": _whole("Scale", scale, last)}
    found["bias"] = np.zeros_like(found["weight"]) if bias is None else _whole("B", bias, last)
    return made(node, nn.LayerNorm, last, eps=_eps(node), found=found)


def rms_norm(node: Node) -> nn.Layer:
    """x / sqrt(mean of squares + eps): what layer normalisation makes of x beside -x, whose mean is 0."""
    axis, sizes = node.take("axis", -1), node.sizes
    node.expect("stash_type", 1, 1)
    scale = node.constant(1, "scale")
    if sizes is None:
        raise UnknownShapeError("expected a value of known rank, got another")
    if node.outer_axis(axis) <= (-1 if node.place.axis is None else node.place.axis):
        raise ValueError(f"axis: expected one behind the images', got {axis}")
    first = node.axis(axis)
    last = sizes[first - 1 :]
    if None in last:
        raise UnknownShapeError("expected a value whose last extents are known, got another")
    return rms(node, first, last, _eps(node), _whole("scale", scale, last))  # type: ignore[arg-type]


def rms(node: Node, axis: int, last: tuple[int, ...], eps: float, scale: Array) -> nn.Layer:
    """The same over all axes from one of the layer's on, times a constant."""
    lines: list[tuple[Any, ...]] = [
        ("negative", times(node, -1), "x"),
        ("both", nn.Concat(axis), "x", "negative"),
        ("norm", nn.LayerNorm((2 * last[0], *last[1:]), eps=eps, affine=False, dtype=scale.dtype), "both"),
        ("half", nn.Slice(axis, 0, last[0]), "norm"),
    ]
    if np.any(scale != 1):
        given = made(node, nn.Scale, last, found={"weight": scale.reshape(-1)})
        lines.append(("scaled", given, "half"))
    return nn.Graph(*lines)


def group_norm(node: Node) -> nn.Layer:
    """Of opset 21, with a scale for each channel: onnx takes the form of opset 18, one for each group, no more."""
    groups = node.take("num_groups")
    node.expect("stash_type", 1, 1)
    if groups is None:
        raise ValueError("num_groups: expected an attribute, got none")
    found = {"weight": node.constant(1, "scale"), "bias": node.constant(2, "bias")}
    return made(node, nn.GroupNorm, groups, found["weight"].size, eps=_eps(node), found=found)


def regrouped(node: Node, sizes: tuple[int | None, ...] | None) -> nn.Layer | None:
    """What a Reshape ends that older exporters write for group normalisation: (N, G, -1), InstanceNormalization with
    ones and zeros, and back to `sizes`, where the Reshape before it began. None if it does not."""
    norm = node.behind("InstanceNormalization")
    before = None if norm is None else norm.behind("Reshape")
    if norm is None or before is None or not sizes or None in sizes or before.sizes != sizes:
        return None
    scale, bias = norm.constant(1, "scale"), norm.constant(2, "B")
    channels, inner = sizes[0], norm.sizes
    if inner is None or len(inner) < 2 or channels % scale.size or np.any(scale != 1) or np.any(bias != 0):  # type: ignore[operator]
        return None
    node.sources = before.sources
    return nn.GroupNorm(scale.size, channels, eps=_eps(norm), affine=False, dtype=scale.dtype)  # type: ignore[arg-type]


def _eps(node: Node) -> float:
    return number(node.take("epsilon", 1e-5))


def _whole(name: str, array: Array, shape: tuple[int | None, ...]) -> Array:
    try:
        return np.broadcast_to(array, shape)  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"{name}: expected a shape that goes with {shape}, got {array.shape}") from None
