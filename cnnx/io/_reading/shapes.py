"""Operators that put numbers elsewhere, and means over whole images."""

import math
from typing import Any

import numpy as np

from ... import _check, nn
from .._operators import DTYPES
from .fold import extents, scalar
from .node import Node, UnknownShapeError
from .norms import regrouped

_MOST_TILES = 1 << 12  # a file of some bytes may ask for any number


def flatten(node: Node) -> nn.Layer:
    axis = node.take("axis", 1)
    if axis != 1 and (node.rank is None or node.axis(axis) != 1):
        raise ValueError(f"axis: expected 1, got {_check.shown(axis)}")
    return nn.Flatten()


def reshape(node: Node) -> nn.Layer:
    zeros = bool(node.take("allowzero", 0))
    wanted, sizes = extents(node.given(1), "shape"), node.sizes
    shown = f"got {_check.shown(['?' if each is None else each for each in wanted])}"
    if None in wanted and (sizes is None or None in sizes):
        raise UnknownShapeError(f"shape: expected integers behind the images' number, {shown}")
    if not wanted or None in wanted or "N" in wanted[1:] or (zeros and 0 in wanted):
        raise ValueError(f"shape: expected integers behind the images' number, {shown}")
    rest = [
        (sizes[i] if sizes is not None and i < len(sizes) else None) if each == 0 else each
        for i, each in enumerate(wanted[1:])
    ]
    if any(not isinstance(each, int) for each in rest):
        raise UnknownShapeError(f"shape: expected no 0, where what it copies is not in the file, {shown}")
    whole: list[int] = rest  # type: ignore[assignment]
    total = None if sizes is None or None in sizes else math.prod(sizes)  # type: ignore[arg-type]
    known = math.prod(each for each in whole if each != -1)
    if total is not None and whole.count(-1) == 1 and wanted[0] != -1 and known:
        whole = [total // known if each == -1 else each for each in whole]
    kept = wanted[0] == "N" or (wanted[0] == 0 and not zeros) or wanted[0] == node.batch
    if not kept and (wanted[0] != -1 or total is None):
        raise (UnknownShapeError if total is None else ValueError)(
            f"shape: expected the images' number first, as in (0, -1), {shown}"
        )
    if total is not None and (-1 in whole or math.prod(whole) != total):
        raise ValueError(f"shape: expected the {total} numbers of an image behind the images' number, {shown}")
    if total is not None and (found := regrouped(node, tuple(whole))) is not None:
        return found
    if len(whole) == 1 and (total is not None or whole == [-1]):
        return nn.Flatten()
    return nn.Reshape(tuple(whole))


def squeeze(node: Node) -> nn.Layer:
    sizes, axes = node.sizes, node.axes(1, 13)
    if sizes is None or None in sizes:
        if node.rank == 4 and axes == [2, 3]:
            return nn.Flatten()
        raise UnknownShapeError("expected a value of known shape, got another")
    if axes is None:
        axes = [i for i, extent in enumerate(sizes, 1) if extent == 1]
    if 0 in axes or any(sizes[axis - 1] != 1 for axis in axes):
        raise ValueError(f"axes: expected axes of one element behind the images', got {axes} of shape (N, *{sizes})")
    return _to([extent for i, extent in enumerate(sizes, 1) if i not in axes])


def unsqueeze(node: Node) -> nn.Layer:
    sizes = node.sizes
    given = node.integers("axes") if node.opset < 13 else node.constant(1, "axes").reshape(-1).tolist()
    if sizes is None or None in sizes:
        raise UnknownShapeError("expected a value of known shape, got another")
    rank = 1 + len(sizes) + len(given or ())
    axes = sorted(node.axis(axis, rank) for axis in given or ())
    left = iter(sizes)
    if 0 in axes:
        raise ValueError("axes: expected axes behind the images', got 0")
    return _to([1 if axis in axes else next(left) for axis in range(1, rank)])


def _to(shape: list[int | None]) -> nn.Layer:
    return nn.Flatten() if len(shape) == 1 else nn.Reshape(tuple(shape))  # type: ignore[arg-type]


def transpose(node: Node) -> nn.Layer:
    axes = node.integers("perm")
    if axes is None:
        raise ValueError("perm: expected the images' axis first, got all axes reversed")
    return nn.Transpose(tuple(axes))


def concat(node: Node) -> nn.Layer:
    if len(node.sources) != len(node.inputs):
        raise ValueError("expected values that depend on the images, got a constant among them")
    axis = node.axis(node.take("axis", 1))
    if axis == 0:
        raise ValueError("axis: expected one behind the images', got 0")
    return nn.Identity() if len(node.sources) == 1 else nn.Concat(axis)


def tile(node: Node) -> nn.Layer:
    """A value beside itself, along each axis so often as `repeats` says."""
    repeats = node.constant(1, "repeats").reshape(-1).tolist()
    if repeats[:1] != [1] or min(repeats) < 1 or node.rank not in (len(repeats), None):
        raise ValueError(f"repeats: expected 1 for the images and a count for each axis, got {_check.shown(repeats)}")
    if math.prod(repeats) > _MOST_TILES:
        raise ValueError(f"repeats: expected at most {_MOST_TILES} tiles, got {_check.shown(repeats)}")
    lines: list[tuple[Any, ...]] = []
    for axis, count in enumerate(repeats):
        if count > 1:
            lines.append((str(axis), nn.Concat(axis), *[lines[-1][0] if lines else "x"] * count))
    return nn.Graph(*lines) if lines else nn.Identity()


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


def reduced(node: Node) -> nn.Layer:
    """ReduceMean and ReduceMax: the mean or the maximum over some axes, by those of whole images."""
    kind = nn.GlobalAvgPool2d if node.operator == "ReduceMean" else nn.GlobalMaxPool2d
    axes, sizes = node.axes(1, 18), node.sizes
    node.take("noop_with_empty_axes", 0)
    keep = bool(node.take("keepdims", 1))
    if axes == [2, 3] and node.rank in (4, None):
        return kind() if keep else nn.Sequential(kind(), nn.Flatten())
    if not axes or 0 in axes:
        raise ValueError(f"axes: expected some behind the images', got {axes}")
    if sizes is None or None in sizes:
        raise UnknownShapeError(
            f"axes: expected rows and columns where the value's shape is not in the file, got {axes}"
        )
    whole: tuple[int, ...] = sizes  # type: ignore[assignment]
    kept = [axis for axis in range(1, 1 + len(whole)) if axis not in axes]
    counts = math.prod(whole[axis - 1] for axis in kept), math.prod(whole[axis - 1] for axis in axes)
    shape = [1 if axis in axes else extent for axis, extent in enumerate(whole, 1) if keep or axis in kept]
    order = (0, *kept, *axes)
    moved = [] if order == tuple(range(len(order))) else [nn.Transpose(order)]
    return nn.Sequential(*moved, nn.Reshape((counts[0], counts[1], 1)), kind(), _to(shape))  # type: ignore[arg-type]


def cast(node: Node) -> nn.Layer:
    node.expect("to", None, DTYPES[node.value().dtype])
    node.take("saturate")
    return nn.Identity()
