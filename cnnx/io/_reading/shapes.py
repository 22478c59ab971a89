"""Operators that put numbers elsewhere, and means over whole images."""

import itertools
import math
from typing import Any

import numpy as np

from ... import _check, nn
from ..._check import Array
from .._operators import DTYPES
from .fold import room, scalar
from .made import made
from .node import Known, Node, UnknownShapeError, Value

MOST_TILES = 1 << 12  # a file of some bytes may ask for any number
_MOST_PIECES = 1 << 8


def concat(node: Node) -> nn.Layer:
    axis = node.axis(node.take("axis", 1))
    if axis == 0:
        raise ValueError("axis: expected one behind the images', got 0")
    if len(node.sources) == len(node.inputs):
        return nn.Identity() if len(node.sources) == 1 else nn.Concat(axis)
    lines: list[tuple[Any, ...]] = []
    names = [f"x{i}" for i, one in enumerate(node.inputs) if isinstance(one, Value)]
    for i, one in enumerate(node.inputs):
        if isinstance(one, Known):
            images = node.place.axis
            if images is not None and node.batch != 1 and one.first.shape[images : images + 1] == (1,):
                raise ValueError("expected values that depend on the images, got a constant among them, of one image")
            lines.append((f"constant{i}", constant(node, node.each(i, f"input {i}")), names[0]))
    members = [f"x{i}" if isinstance(one, Value) else f"constant{i}" for i, one in enumerate(node.inputs)]
    return nn.Graph(*lines, ("all", nn.Concat(axis), *members), inputs=tuple(names))


def constant(node: Node, array: Array) -> nn.Layer:
    """An array of one image that stands beside a value of the same rank."""
    place = node.place
    if node.rank not in (None, array.ndim) or (
        place.axis is not None and array.shape[place.axis : place.axis + 1] != (1,)
    ):
        raise ValueError(f"expected a constant for any number of images, got shape {array.shape}")
    room(array.size)
    shape = place.of(array.shape)
    return made(node, nn.Constant, shape or (1,), found={"value": array.reshape(-1)})


def tile(node: Node) -> nn.Layer:
    """A value beside itself, along each axis so often as `repeats` says."""
    repeats = node.constant(1, "repeats").reshape(-1).tolist()
    if repeats[:1] != [1] or min(repeats) < 1 or node.rank not in (len(repeats), None):
        raise ValueError(f"repeats: expected 1 for the images and a count for each axis, got {_check.shown(repeats)}")
    if math.prod(repeats) > MOST_TILES:
        raise ValueError(f"repeats: expected at most {MOST_TILES} tiles, got {_check.shown(repeats)}")
    lines: list[tuple[Any, ...]] = []
    for axis, count in enumerate(repeats):
        if count > 1:
            lines.append((str(axis), nn.Concat(axis), *[lines[-1][0] if lines else "x"] * count))
    return nn.Graph(*lines) if lines else nn.Identity()


def to_shape(shape: list[int | None]) -> nn.Layer:
    return nn.Flatten() if len(shape) == 1 else nn.Reshape(tuple(shape))  # type: ignore[arg-type]


def split(node: Node) -> list[nn.Layer]:
    axis = node.axis(node.take("axis", 0))
    parts = node.integers("split") if node.opset < 13 else node.optional(1, "split")
    node.take("num_outputs")
    if axis == 0:
        raise ValueError("axis: expected one behind the images', got 0")
    if parts is None:
        whole = None if node.sizes is None else node.sizes[axis - 1]
        if whole is None:
            raise UnknownShapeError("split: expected the lengths, where the value's is not in the file, got none")
        part = -(-whole // len(node.outputs))
        parts = [min(part, whole - i * part) for i in range(len(node.outputs))]
    ends = np.cumsum(np.asarray(parts, np.int64)).tolist()
    return [nn.Slice(axis, start, stop) for start, stop in zip([0, *ends], ends, strict=False)]


def gather(node: Node) -> nn.Layer:
    """Members along an axis, one or some, in any order."""
    outer = node.outer_axis(node.take("axis", 0))
    axis, chosen, sizes = node.axis(outer), node.constant(1, "indices"), node.sizes
    if not isinstance(node.given(0), Value) or axis == 0:
        raise ValueError("axis: expected one behind the images', of a value, got another")
    extent = None if sizes is None else sizes[axis - 1]
    if extent is not None and chosen.size:
        if chosen.min() < -extent or chosen.max() >= extent:
            raise ValueError(f"indices: expected some of {extent}, got {_check.shown(chosen.reshape(-1).tolist())}")
        chosen = np.where(chosen < 0, chosen + extent, chosen)
    if not chosen.size or (extent is None and chosen.size > 1):
        raise UnknownShapeError("indices: expected some of an axis of known extent, got others")
    layer = _members(axis, chosen.reshape(-1).tolist(), extent)
    if node.place.axis is not None and outer < node.place.axis:
        node.gives = node.place._replace(axis=node.place.axis + chosen.ndim - 1)
    if chosen.ndim == 1:
        return layer
    if sizes is None or sizes.count(None) > (extent is None):
        raise UnknownShapeError("expected a value of known shape, got another")
    return nn.Sequential(layer, to_shape([*sizes[: axis - 1], *chosen.shape, *sizes[axis:]]))


def _members(axis: int, chosen: list[int], extent: int | None) -> nn.Layer:
    """Slices of what lies side by side, one behind the other."""
    if chosen == list(range(extent or 0)):
        return nn.Identity()
    ends = [0, *(i for i in range(1, len(chosen)) if chosen[i] != chosen[i - 1] + 1), len(chosen)]
    if len(ends) > _MOST_PIECES:
        raise ValueError(f"indices: expected at most {_MOST_PIECES} pieces that lie side by side, got {len(ends) - 1}")
    pieces = [nn.Slice(axis, chosen[a], chosen[b - 1] + 1 or None) for a, b in itertools.pairwise(ends)]
    if len(pieces) == 1:
        return pieces[0]
    lines = [(f"piece{i}", piece, "x") for i, piece in enumerate(pieces)]
    return nn.Graph(*lines, ("all", nn.Concat(axis), *(name for name, *_ in lines)))


def cut(node: Node) -> nn.Layer:
    """Slice."""
    if node.opset < 10:
        starts, stops, axes, steps = *(node.integers(name) for name in ("starts", "ends", "axes")), None
    else:
        given = (node.optional(i, name) for i, name in enumerate(("starts", "ends", "axes", "steps"), 1))
        starts, stops, axes, steps = (None if each is None else each.reshape(-1).tolist() for each in given)
    axes = list(range(len(starts or ()))) if axes is None else axes
    if not starts or not stops or len({len(starts), len(stops), len(axes)}) > 1 or any(s != 1 for s in steps or ()):
        raise ValueError("expected starts and ends, with steps of 1, got others")
    layers: list[nn.Layer] = []
    for axis, start, stop in zip(map(node.axis, axes), starts, stops, strict=True):
        if (start, stop >= _check.LARGEST) != (0, True):
            start, stop = max(start, -_check.LARGEST), None if stop >= _check.LARGEST else max(stop, -_check.LARGEST)
            layers.append(nn.Slice(axis, start, stop))
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers) if layers else nn.Identity()


def pad(node: Node) -> nn.Layer:
    if node.opset < 11:
        pads, value = node.integers("pads"), node.take("value", 0.0)
    else:
        pads, value = node.constant(1, "pads").tolist(), scalar("value", node.optional(2, "value"))
    node.expect("mode", "constant", "constant")
    if value not in (None, 0) or node.optional(3, "axes") is not None:
        raise ValueError(f"value: expected zeros on all axes, got {_check.shown(value)}")
    if len(pads) != 8 or any((pads[0], pads[1], pads[4], pads[5])):
        raise ValueError(f"pads: expected some for rows and columns alone, got {_check.shown(pads)}")
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    return nn.ZeroPad2d(((top, bottom), (left, right))) if any(pads) else nn.Identity()


def depth_to_space(node: Node) -> nn.Layer:
    """DepthToSpace and SpaceToDepth: blocks of pixels from channels, and back."""
    mode, block = node.take("mode", "DCR"), _check.integer("blocksize", node.take("blocksize"), 1)
    if node.sizes is None or None in node.sizes:
        raise UnknownShapeError("expected a value of known shape, got another")
    whole: tuple[int, ...] = node.sizes  # type: ignore[assignment]
    if len(whole) != 3 or mode not in ("DCR", "CRD"):
        raise ValueError(f"expected images (N, C, H, W) and mode DCR or CRD, got {1 + len(whole)} axes, {mode}")
    C, H, W = whole
    back = node.operator == "SpaceToDepth"
    if (H % block or W % block) if back else C % block**2:
        raise ValueError(f"blocksize: expected one that divides images of {whole} into blocks, got {block}")
    if back:
        inner, order = (C, H // block, block, W // block, block), (0, 3, 5, 1, 2, 4)
        outer = C * block**2, H // block, W // block
    else:
        depth = C // block**2
        inner, order = (block, block, depth, H, W), (0, 3, 4, 1, 5, 2)
        if mode == "CRD":
            inner, order = (depth, block, block, H, W), (0, 1, 4, 2, 5, 3)
        outer = depth, H * block, W * block
    return nn.Sequential(nn.Reshape(inner), nn.Transpose(order), nn.Reshape(outer))


def cast(node: Node) -> nn.Layer:
    dtype = node.value().dtype
    if dtype not in DTYPES:  # of an operator that was refused
        raise ValueError(f"expected float32 or float64, got {dtype}")
    node.expect("to", None, DTYPES[dtype])
    node.take("saturate")
    return nn.Identity()
