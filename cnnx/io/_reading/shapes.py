"""Operators that put numbers elsewhere, and means over whole images."""

import itertools
import math
from typing import Any

import numpy as np

from ... import _check, nn
from ..._check import Array
from .._operators import DTYPES
from .fold import extents, room
from .made import made
from .node import Known, Node, UnknownShapeError, Value
from .symbols import Symbol

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
    starts: Any
    stops: Any
    if node.opset < 10:
        starts, stops, axes, steps = *(node.integers(name) for name in ("starts", "ends", "axes")), None
    else:
        starts, stops = extents(node.given(1), "starts"), extents(node.given(2), "ends")
        given = node.optional(3, "axes"), node.optional(4, "steps")
        axes, steps = (None if each is None else each.reshape(-1).tolist() for each in given)
    axes = list(range(len(starts or ()))) if axes is None else axes
    steps = [1] * len(axes) if steps is None else steps
    if not starts or not stops or len({len(starts), len(stops), len(axes), len(steps)}) > 1 or 0 in steps:
        raise ValueError("expected starts, ends and steps other than 0, as many as axes, got others")
    source, lines = node.sources[0], list[tuple[Any, ...]]()
    for axis, start, stop, step in zip(map(node.axis, axes), starts, stops, steps, strict=True):
        if any(not isinstance(each, int) and (not isinstance(each, Symbol) or each.images) for each in (start, stop)):
            raise UnknownShapeError("starts, ends: expected sizes in the file, or made of open ones, got others")
        end: Any = None if step > 0 and isinstance(stop, int) and stop >= _check.LARGEST else stop
        if start == 0 and step == 1 and (end is None or (isinstance(end, Symbol) and end.times(source, axis) == 1)):
            continue
        inputs = [source._replace(name="\0") if lines else source]  # of what is cut already, sizes are others
        first, last = (each.written(inputs) if isinstance(each, Symbol) else _limited(each) for each in (start, end))
        node.sources += [one for one in inputs[1:] if all(one.name != other.name for other in node.sources)]
        names = [next(i for i, one in enumerate(node.sources) if one.name == other.name) for other in inputs[1:]]
        before = lines[-1][0] if lines else "x0"
        lines.append((str(axis), nn.Slice(axis, first, last, step), before, *(f"x{i}" for i in names)))
    if len(lines) < 2:
        return lines[0][1] if lines else nn.Identity()
    if len(node.sources) == 1:
        return nn.Sequential(*(line[1] for line in lines))
    return nn.Graph(*lines, inputs=tuple(f"x{i}" for i in range(len(node.sources))))


def _limited(end: int | None) -> int | None:
    return None if end is None else max(-_check.LARGEST, min(end, _check.LARGEST))


def depth_to_space(node: Node) -> nn.Layer:
    """DepthToSpace and SpaceToDepth: blocks of pixels from channels, and back."""
    mode, block = node.take("mode", "DCR"), _check.integer("blocksize", node.take("blocksize"), 1)
    if node.sizes is None or node.sizes[:1] == (None,):
        raise UnknownShapeError("expected a value of known shape, or of open rows and columns, got another")
    if len(node.sizes) != 3 or mode not in ("DCR", "CRD"):
        raise ValueError(f"expected images (N, C, H, W) and mode DCR or CRD, got {1 + len(node.sizes)} axes, {mode}")
    C: int = node.sizes[0]  # type: ignore[assignment]
    rows, columns = node.sizes[1:]
    back = node.operator == "SpaceToDepth"
    inner: tuple[int | str, ...]
    outer: tuple[int | str, ...]
    if any(each is not None and each % block for each in (rows, columns)) if back else C % block**2:
        raise ValueError(f"blocksize: expected one that divides images of {node.sizes} into blocks, got {block}")
    if back:
        H, W = (
            f"quotient(x[{axis}], {block})" if each is None else each // block
            for axis, each in ((2, rows), (3, columns))
        )
        inner, order = (C, H, block, W, block), (0, 3, 5, 1, 2, 4)
        outer = C * block**2, _extent(4, H), _extent(5, W)
    else:
        depth = C // block**2
        H, W = "x[2]" if rows is None else rows, "x[3]" if columns is None else columns
        inner, order = (block, block, depth, H, W), (0, 3, 4, 1, 5, 2)
        if mode == "CRD":
            inner, order = (depth, block, block, H, W), (0, 1, 4, 2, 5, 3)
        outer = (
            depth,
            *(f"x[{axis}] * {block}" if isinstance(each, str) else each * block for axis, each in ((2, H), (4, W))),
        )
    return nn.Sequential(nn.Reshape(inner), nn.Transpose(order), nn.Reshape(outer))


def _extent(axis: int, extent: int | str) -> int | str:
    """An open extent as it stands further on, along that axis of what was transposed."""
    return f"x[{axis}]" if isinstance(extent, str) else extent


def cast(node: Node) -> nn.Layer:
    dtype = node.value().dtype
    if dtype not in DTYPES:  # of an operator that was refused
        raise ValueError(f"expected float32 or float64, got {dtype}")
    node.expect("to", None, DTYPES[dtype])
    node.take("saturate")
    return nn.Identity()
