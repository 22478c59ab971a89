"""Operators that give the same numbers another shape, or another order of axes; the images' axis may move."""

import math
from collections.abc import Sequence
from typing import Any

from ... import _check, nn
from ...nn._extents import Extent
from .fold import extents, pairs_of
from .node import Known, Node, UnknownShapeError
from .norms import regrouped
from .place import BATCH, FIRST, NOWHERE, Pair, Place, pairs, recut
from .symbols import Symbol, sampled


def flatten(node: Node) -> nn.Layer:
    axis = node.take("axis", 1)
    if node.place == FIRST and (axis == 1 or (node.rank is not None and node.axis(axis) == 1)):
        return nn.Flatten()
    sizes = _whole(node)
    axis = axis if axis == node.rank else node.outer_axis(axis)
    whole = pairs(node.place, sizes)
    wanted = [_product(whole[:axis]), _product(whole[axis:])]
    return _recut(node, [wanted], f"axis: expected one that leaves the images' axis in order, got {_check.shown(axis)}")


def reshape(node: Node) -> nn.Layer:
    zeros = bool(node.take("allowzero", 0))
    wanted, sizes = extents(node.given(1), "shape"), node.sizes
    if sizes is None or None in sizes:
        return _open(node, wanted, zeros)
    shown = f"got {_check.shown([each if isinstance(each, (int, str)) else '?' for each in wanted])}"
    whole: tuple[int, ...] = sizes  # type: ignore[assignment]
    message = f"shape: expected the images' number first, as in (0, -1), {shown}"
    if len(wanted) and None not in wanted and not (zeros and 0 in wanted) and wanted[0] in (0, "N", node.batch):
        message = f"shape: expected the {math.prod(whole)} numbers of an image behind the images' number, {shown}"
    known = node.given(1)
    assert isinstance(known, Known), "it has extents"
    return _recut(node, _resolved(node, pairs_of(known), zeros), message)


def squeeze(node: Node) -> nn.Layer:
    sizes, axes = node.sizes, node.outer_axes(1, 13)
    if sizes is None or None in sizes:
        if node.place == FIRST and node.rank == 4 and axes == [2, 3]:
            return nn.Flatten()
        if sizes is None or axes is None or node.place.axis is None or node.place.shared:
            raise UnknownShapeError("expected a value of known shape, got another")
        inner = [node.place.inner(axis) for axis in axes]
        if 0 in inner or any(sizes[axis - 1] not in (1, None) for axis in inner):
            raise ValueError(f"axes: expected axes of one element, got {axes} of shape {_shape(node)}")
        node.gives = node.place.without(axes)
        # Of an open one that is more than one element later, a Reshape finds that its numbers do not fit.
        return _short([each for axis, each in enumerate(kept(sizes), 1) if axis not in inner])
    outer, images = node.place.outer(sizes), node.place.axis
    if axes is None:
        axes = [i for i, extent in enumerate(outer) if extent == 1 and (i != images or node.batch == 1)]
    gone = [i for i in axes if i != images or (node.batch == 1 and i)]
    if len(gone) < len(axes) or any(outer[axis] != 1 for axis in axes):
        raise ValueError(f"axes: expected axes of one element behind the images', got {axes} of shape {_shape(node)}")
    left: list[int] = [extent for i, extent in enumerate(outer) if i not in axes]  # type: ignore[misc]
    place = NOWHERE if images in axes else node.place.without(axes)
    return _to(node, place, left)


def unsqueeze(node: Node) -> nn.Layer:
    given = node.integers("axes") if node.opset < 13 else node.constant(1, "axes").reshape(-1).tolist()
    is_open = node.sizes is not None and None in node.sizes and node.place.axis is not None and not node.place.shared
    sizes = node.sizes if is_open else _whole(node)
    assert sizes is not None, "it was looked at"
    outer = node.place.outer(sizes)
    rank = len(outer) + len(given or ())
    axes = sorted(node.outer_axis(axis, rank) for axis in given or ())
    left = iter(range(len(outer)))
    old = [None if axis in axes else next(left) for axis in range(rank)]  # which axis each was
    place = node.place if node.place.axis is None else node.place._replace(axis=old.index(node.place.axis))
    if is_open:
        node.gives, ahead = place, iter(kept(sizes))
        return _short([1 if axis is None else next(ahead) for axis in old if axis is None or axis != node.place.axis])
    return _to(node, place, [1 if axis is None else outer[axis] for axis in old])  # type: ignore[misc]


def _short(shape: list[Extent]) -> nn.Layer:
    """A Reshape to this shape, which needs no more than one -1 where one extent is open."""
    if len(shape) == 1:
        return nn.Flatten()
    if sum(isinstance(each, str) for each in shape) == 1:
        shape = [-1 if isinstance(each, str) else each for each in shape]
    return nn.Reshape(tuple(shape))


def transpose(node: Node) -> nn.Layer:
    order, rank = node.integers("perm"), node.rank
    if order is None and rank is None:
        raise UnknownShapeError("perm: expected the axes' order, where their number is not known, got none")
    order = list(range(rank or 0))[::-1] if order is None else order
    if sorted(order) != list(range(len(order))) or rank not in (None, len(order)):
        raise ValueError(f"perm: expected each of {rank} axes once, got {_check.shown(order)}")
    node.gives, axes = node.place.moved(order)
    if node.gives != node.place and axes == tuple(range(len(axes))):
        return nn.Identity()
    return nn.Transpose(axes)


def _to(node: Node, place: Place, outer: Sequence[int]) -> nn.Layer:
    """The layer that gives these extents for one image."""
    node.gives = place
    shape = place.of(outer)
    if place != node.place and shape == node.sizes:
        return nn.Identity()
    return nn.Flatten() if len(shape) == 1 else nn.Reshape(shape)


def _recut(node: Node, shapes: list[list[Pair]], message: str) -> nn.Layer:
    """To the first of these shapes that leaves each image's numbers together."""
    sizes = _whole(node)
    for shape in shapes:
        found = recut(node.place, sizes, shape, node.batch)
        if found is None or 0 in found[1]:
            continue
        if node.place == found[0] == FIRST and (norm := regrouped(node, found[0].of(found[1]))) is not None:
            return norm
        return _to(node, *found)
    raise ValueError(message)


def _resolved(node: Node, wanted: list[Pair], zeros: bool) -> list[list[Pair]]:
    """A shape without 0 and -1: with an open number of images, and with that of the file."""
    whole = pairs(node.place, _whole(node))
    if not zeros:
        wanted = [whole[i] if pair == (0, 0) and i < len(whole) else pair for i, pair in enumerate(wanted)]
    if wanted.count((-1, -1)) != 1:
        return [wanted]
    found = []
    for total in _product(whole), _product([_counted(pair, node.batch or 0) for pair in whole]):
        known = _product([pair for pair in wanted if pair != (-1, -1)])
        if all(known) and total[0] % known[0] == total[1] % known[1] == 0:
            rest = total[0] // known[0], total[1] // known[1]
            found.append([rest if pair == (-1, -1) else pair for pair in wanted])
    return found


def _counted(pair: Pair, batch: int) -> Pair:
    """An extent with the file's number of images."""
    a, b = pair
    return pair if a == b else (a // BATCH[0] * batch, b // BATCH[1] * batch)


def _product(shape: Sequence[Pair]) -> Pair:
    return math.prod(a for a, _ in shape), math.prod(b for _, b in shape)


def _open(node: Node, wanted: list[int | str | Symbol | None], zeros: bool) -> nn.Layer:
    """A Reshape of a value whose extents are not known, by a shape that says the most of what it gives."""
    sizes = node.sizes
    shown = f"got {_check.shown([each if isinstance(each, (int, str)) else '?' for each in wanted])}"
    if node.place != FIRST:
        raise UnknownShapeError(f"shape: expected the images along the first axis, {shown}")
    if not wanted or "N" in wanted[1:] or (zeros and 0 in wanted):
        raise ValueError(f"shape: expected sizes behind the images' number, {shown}")
    if wanted[0] != "N" and (wanted[0] != 0 or zeros) and wanted[0] != node.batch:
        raise UnknownShapeError(f"shape: expected the images' number first, as in (0, -1), {shown}")
    rest: list[Any] = [_copied(node, i) if each == 0 else each for i, each in enumerate(wanted[1:])]
    if -1 not in rest and sum(not isinstance(each, int) for each in rest) == 1:
        # Whatever the file computes it of, it is what is left: other numbers would not fill the shape.
        rest = [each if isinstance(each, int) else -1 for each in rest]
    if any(each is None or (isinstance(each, Symbol) and each.images) for each in rest):
        raise UnknownShapeError(f"shape: expected sizes that come of open ones, but not of the images' number, {shown}")
    if rest == [-1]:
        return nn.Flatten()
    if sizes is not None and all(_same(node, i, each) for i, each in enumerate(rest)) and len(rest) == len(sizes):
        return nn.Identity()
    return nn.Reshape(sized(node, rest))


def _copied(node: Node, i: int) -> int | Symbol | None:
    """The extent of an axis behind the images', which a 0 stands for."""
    sizes = node.sizes
    if sizes is None or i >= len(sizes):
        return None
    known = sizes[i]
    return Symbol.of(node.value(), i + 1, sampled(node.value(), i + 1)) if known is None else known


def _same(node: Node, i: int, wanted: int | Symbol) -> bool:
    """Whether that is the extent that the axis has."""
    assert node.sizes is not None, "it was looked at"
    if i < len(node.sizes) and isinstance(wanted, Symbol):
        return wanted.times(node.value(), i + 1) == 1
    return i < len(node.sizes) and node.sizes[i] == wanted


def sized(node: Node, shape: Sequence[int | Symbol]) -> tuple[Extent, ...]:
    """A shape as layers take it: values whose sizes it is made of are taken too."""
    return tuple(each.written(node.sources) if isinstance(each, Symbol) else each for each in shape)


def kept(sizes: Sequence[int | None]) -> list[Extent]:
    """The extents of a value behind the images', where an open one is the value's own."""
    return [f"x[{axis}]" if extent is None else extent for axis, extent in enumerate(sizes, 1)]


def _whole(node: Node) -> tuple[int, ...]:
    if node.sizes is None or None in node.sizes:
        raise UnknownShapeError("expected a value of known shape, got another")
    return node.sizes  # type: ignore[return-value]


def _shape(node: Node) -> str:
    """The value's shape, for a message."""
    found = pairs(node.place, node.sizes or ())
    shown = [str(a) if a == b else "N" if a == BATCH[0] else f"{a // BATCH[0]} N" for a, b in found]
    return f"({', '.join(shown)})"
