"""Pad: zeros or a number around images, or their own pixels."""

from typing import Any

from ... import _check, nn
from .fold import extents, number, scalar
from .node import Node, UnknownShapeError
from .symbols import Symbol

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def pad(node: Node) -> nn.Layer:
    pads: list[Any]
    if node.opset < 11:
        pads, value = node.integers("pads"), node.take("value", 0.0)
    else:
        pads, value = extents(node.given(1), "pads"), scalar("value", node.optional(2, "value"))
    axes = node.optional(3, "axes")
    mode = node.take("mode", "constant")
    if mode not in _MODES:
        raise ValueError(f"mode: expected one of {', '.join(_MODES)}, got {_check.shown(mode)}")
    rank = node.rank or 4
    if axes is not None:
        pads = _on_all_axes(pads, [node.outer_axis(axis, rank) for axis in axes.reshape(-1).tolist()], rank)
    sequences = rank < 4 and len(pads) == 2 * rank and not any(isinstance(each, Symbol) for each in pads)
    if sequences:  # (N, C, L) as maps of one channel
        ahead = [0] * (4 - rank)
        pads = [*pads[:1], *ahead, *pads[1:rank], *pads[rank : rank + 1], *ahead, *pads[rank + 1 :]]
    if len(pads) != 8 or any(each != 0 for each in (pads[0], pads[1], pads[4], pads[5])):
        shown = [each.text if isinstance(each, Symbol) else each for each in pads]
        raise ValueError(f"pads: expected some for rows and columns of images alone, got {_check.shown(shown)}")
    if any(isinstance(each, Symbol) and each.images for each in pads) or not all(
        isinstance(each, (int, Symbol)) for each in pads
    ):
        raise UnknownShapeError("pads: expected sizes in the file, or made of open ones, got others")
    if any(isinstance(each, int) and each < 0 for each in pads):
        raise ValueError(f"pads: expected none below 0, which Slice cuts off, got {_check.shown(pads)}")
    if not any(isinstance(each, Symbol) or each for each in pads):
        return nn.Identity()
    top, left, bottom, right = (
        each.written(node.sources) if isinstance(each, Symbol) else each for each in (*pads[2:4], *pads[6:8])
    )
    sides: Any = ((top, bottom), (left, right))
    if mode == "constant" and value in (None, 0):
        layer: nn.Layer = nn.ZeroPad2d(sides)
    else:
        filling = number(value) if mode == "constant" and value is not None else 0.0
        layer = nn.Pad2d(sides, _MODES[mode], filling)  # type: ignore[arg-type]
    return _of_sequences(node, layer, top + bottom) if sequences else layer


def _of_sequences(node: Node, layer: nn.Layer, more: Any) -> nn.Layer:
    rows, length = (1, *(node.sizes or (None,)))[-2:]
    if rows is None:
        raise UnknownShapeError("expected a known number of channels, got an open one")
    before = nn.Reshape((1, rows, -1 if length is None else length))
    return nn.Sequential(before, layer, nn.Reshape((rows + more, -1)) if node.rank == 3 else nn.Flatten())


def _on_all_axes(pads: list[Any], axes: list[int], rank: int) -> list[Any]:
    """Those of some axes, with zeros for the others."""
    if len(pads) != 2 * len(axes):
        raise ValueError(f"pads: expected two numbers for each of the axes {axes}, got {len(pads)}")
    whole: list[Any] = [0] * (2 * rank)
    for i, axis in enumerate(axes):
        whole[axis], whole[axis + rank] = pads[i], pads[i + len(axes)]
    return whole
