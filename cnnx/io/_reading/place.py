"""Where the images' axis stands in a value of the file; layers have it first, whatever the file does with it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

# Shapes are computed with for a batch of either size; what comes to this pair is the batch. Both are primes.
# An extent that the file leaves open is the other pair, where it is only shown.
BATCH = 1_000_003, 1_000_033
OPEN = 999_983, 999_979

Pair = tuple[int, int]


class Place(NamedTuple):
    """Which axis of a value is the images', alone or between others: before x N x behind, in one axis.

    A layer gives (N, ...), the images first and the extents beside them as axes of their own, in the file's order. So
    what moves the images alone, as transformers do between (N, L, E) and (L, N, E), moves nothing here. Axis None:
    the file is of one image, and no axis is known to be that of the images; layers have it in front of all of them.
    """

    axis: int | None = 0
    before: int = 1
    behind: int = 1

    @property
    def shared(self) -> tuple[int, ...]:
        """The axes that a layer has for what shares the images' axis."""
        return tuple(extent for extent in (self.before, self.behind) if extent != 1)

    def inner(self, axis: int) -> int:
        """The layer's axis for one of the file's: 0 for the images'."""
        if self.axis is None or axis < self.axis:
            return axis + 1
        return 0 if axis == self.axis else axis + len(self.shared)

    def without(self, axes: Sequence[int]) -> "Place":
        """The same, where these other axes are gone."""
        if self.axis is None:
            return self
        return self._replace(axis=self.axis - sum(axis < self.axis for axis in axes))

    def rank(self, sizes: Sequence[object]) -> int:
        """How many axes the file's value has, of which a layer has these behind the images'."""
        return len(sizes) - len(self.shared) + (self.axis is not None)

    def outer(self, sizes: Sequence[int | None]) -> list[int | None]:
        """The file's extents for one image."""
        if self.axis is None:
            return list(sizes)
        rest = self.axis + len(self.shared)
        return [*sizes[: self.axis], self.before * self.behind, *sizes[rest:]]

    def of(self, extents: Sequence[int]) -> tuple[int, ...]:
        """The other way round: a layer's extents, of the file's for one image."""
        if self.axis is None:
            return tuple(extents)
        return *extents[: self.axis], *self.shared, *extents[self.axis + 1 :]

    def moved(self, order: Sequence[int]) -> tuple["Place", tuple[int, ...]]:
        """What a transposition makes of it, and the order of the layer's axes for it."""
        if self.axis is None:
            return self, (0, *(1 + axis for axis in order))
        inner = [0]
        for axis in order:
            first = self.inner(axis)
            own = range(1 + self.axis, 1 + self.axis + len(self.shared)) if axis == self.axis else (first,)
            inner += own
        return self._replace(axis=order.index(self.axis)), tuple(inner)


FIRST, NOWHERE = Place(), Place(None)


def pairs(place: Place, sizes: Sequence[int | None]) -> list[Pair]:
    """The file's extents, for either batch."""
    whole = [OPEN if extent is None else (extent, extent) for extent in place.outer(sizes)]
    if place.axis is not None:
        count = whole[place.axis][0]
        whole[place.axis] = count * BATCH[0], count * BATCH[1]
    return whole


def recut(
    place: Place, sizes: Sequence[int], wanted: Sequence[Pair], batch: int | None
) -> tuple[Place, list[int]] | None:
    """Where the images are once a value has this shape, and its extents for one image; None if that is nowhere.

    Numbers lie in the order of the file's axes. Those of one image that lie before the images' axis stay before it, and
    so do those behind: it can only be cut where it was. Shapes say the images' number as BATCH, or, in a file of a
    fixed number of images, as that; in one of a single image it has no place in them, and where several axes may be its
    own, none is.
    """
    extents = place.outer(sizes)
    total = math.prod(sizes)
    numbers = [a for a, b in wanted if a == b]
    if place.axis is None:
        plain = [a for a, _ in wanted]
        if len(numbers) < len(wanted) or math.prod(plain) != total:
            return None
        return _of_one(plain, [i for i, extent in enumerate(plain) if extent == 1])
    behind = math.prod(extents[place.axis + 1 :]) * place.behind  # type: ignore[arg-type]
    if len(numbers) == len(wanted) - 1:
        i = next(i for i, (a, b) in enumerate(wanted) if a != b)
        count, rest = divmod(wanted[i][0], BATCH[0])
        if rest or wanted[i][1] != count * BATCH[1]:
            return None
        whole = [count if k == i else a for k, (a, _) in enumerate(wanted)]
        return _at(i, whole, total, behind)
    if len(numbers) < len(wanted) or batch is None or math.prod(numbers) != total * batch:
        return None
    found = []
    for i, extent in enumerate(numbers):
        whole = [a // batch if k == i else a for k, a in enumerate(numbers)]
        one = _at(i, whole, total, behind) if extent % batch == 0 else None
        if one is not None:
            found.append(one)
    if len(found) < 2:
        return found[0] if found else None
    return _of_one(numbers, [one.axis for one, _ in found if one.axis is not None and numbers[one.axis] == 1])


def _at(axis: int, extents: list[int], total: int, behind: int) -> tuple[Place, list[int]] | None:
    """The images within this axis, with so many numbers of an image behind each, if that can be."""
    after = math.prod(extents[axis + 1 :])
    if math.prod(extents) != total or not after or behind % after or not behind:
        return None
    inner = behind // after
    if extents[axis] % inner:
        return None
    return Place(axis, extents[axis] // inner, inner), extents


def _of_one(extents: list[int], ones: list[int]) -> tuple[Place, list[int]]:
    """The first axis, if that may be the images' of a single one, or the only one that may be; else none."""
    axis = ones[0] if ones[:1] == [0] or len(ones) == 1 else None
    return Place(axis), extents
