"""What a node of an ONNX graph says, and what it is given."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import _check
from ..._check import Array
from .._operators import onnx
from .place import BATCH, FIRST, Place


class Known(NamedTuple):
    """A value that does not depend on the images, for either of the batches: as a rule the same array twice.

    Of what depends on open extents `exact` has, as far as that is kept, what it is: numbers and symbols.
    """

    first: Array
    second: Array
    exact: Array | None = None

    @classmethod
    def of(cls, array: Array) -> "Known":
        return cls(array, array)


class Value(NamedTuple):
    """What a layer gives: its extents behind the batch, None for one that is open; or None altogether."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int | None, ...] | None
    guessed: bool = False  # it comes from a node that is refused
    place: Place = FIRST  # of the images, in the file's value

    @property
    def rank(self) -> int | None:
        """How many axes the file's value has."""
        return None if self.sizes is None else self.place.rank(self.sizes)

    @property
    def images(self) -> Array | None:
        """A batch of none, where its shape is known."""
        if self.sizes is None or None in self.sizes:
            return None
        return np.zeros((0, *self.sizes), self.dtype)  # type: ignore[arg-type]


class UnknownShapeError(ValueError):
    """What comes in would have to have a shape that is known."""


class Node:
    """An operator with what it takes.

    Attributes
    ----------
    operator, name : str
    opset : int
    batch : int or None
        How many images the file says that there are.
    inputs : list of Known, Value and None (left out)
    sources : list of Value
        What the node's layer takes: at first all inputs that are values.
    outputs : names of what it gives
    place, gives : Place
        Of the images, in what it takes and in what it gives.
    fills : list of (array of a layer, what it is to hold)
    """

    def __init__(
        self,
        node: Any,
        inputs: Sequence[Known | Value | None],
        opset: int,
        batch: int | None,
        makers: Mapping[str, "Node"],
    ) -> None:
        self.operator: str = node.op_type
        self.name: str = node.name or (node.output[0] if node.output else "")
        self.outputs: list[str] = list(node.output)
        self.inputs = list(inputs)
        self.sources = [one for one in inputs if isinstance(one, Value)]
        self.opset, self.batch, self._makers = opset, batch, makers
        self.place = self.gives = self.sources[0].place if self.sources else FIRST
        self.fills: list[tuple[Array, Array]] = []
        self._attributes = {each.name: each for each in node.attribute}
        self._seen: set[str] = set()

    def take(self, name: str, default: Any = None) -> Any:
        """An attribute, which is then seen to."""
        self._seen.add(name)
        if name not in self._attributes:
            return default
        value = onnx.helper.get_attribute_value(self._attributes[name])
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def integers(self, name: str, default: Any = None) -> Any:
        value = self.take(name, default)
        return None if value is None else [_check.integer(name, each, -_check.LARGEST) for each in value]

    def expect(self, name: str, default: Any, expected: Any) -> None:
        """Raise unless an attribute is what layers have."""
        value = self.take(name, default)
        if value != expected:
            raise ValueError(f"{name}: expected {expected}, got {_check.shown(value)}")

    def done(self) -> None:
        """Raise if there are attributes that nobody asked about."""
        if left := sorted(self._attributes.keys() - self._seen):
            raise ValueError(f"attributes: expected none that layers have not, got {left}")

    def given(self, index: int) -> Known | Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def value(self, index: int = 0) -> Value:
        """An input that depends on the images."""
        found = self.given(index)
        if not isinstance(found, Value):
            raise ValueError(f"input {index}: expected one that depends on the images, got none")
        return found

    @property
    def sizes(self) -> tuple[int | None, ...] | None:
        """The extents of the first input behind the batch."""
        return self.value().sizes

    @property
    def rank(self) -> int | None:
        """The first value's number of axes."""
        return (self.sources[0] if self.sources else self.value()).rank

    def made_by(self, value: Value, operator: str) -> "Node | None":
        """The node that gives a value, if it is of this operator."""
        maker = self._makers.get(value.name)
        return maker if maker is not None and maker.operator == operator else None

    def maker(self, value: Value) -> "Node | None":
        """The node that gives a value."""
        return self._makers.get(value.name)

    def behind(self, operator: str) -> "Node | None":
        """The node before this one's only value, if it is of this operator."""
        return self.made_by(self.sources[0], operator) if len(self.sources) == 1 else None

    def optional(self, index: int, name: str = "input") -> Array | None:
        """The input of that number as an array, None if it is left out."""
        found = self.given(index)
        if found is None:
            return None
        if isinstance(found, Value):
            raise ValueError(f"{name}: expected an array in the file, got one that depends on the images")
        if found.first is not found.second and not np.array_equal(found.first, found.second):
            raise ValueError(
                f"{name}: expected an array in the file, got one that depends on the images' number or size"
            )
        return found.first

    def constant(self, index: int, name: str) -> Array:
        """The input of that number, which has to be there."""
        found = self.optional(index, name)
        if found is None:
            raise ValueError(f"{name}: expected an array in the file, got none")
        return found

    def axis(self, value: Any, rank: int | None = None) -> int:
        """An axis of the layer's, for one of the file's value, or of one of that rank: 0 is the images'."""
        return self.place.inner(self.outer_axis(value, rank))

    def outer_axis(self, value: Any, rank: int | None = None) -> int:
        """An axis of the file's value, counted from the front."""
        axis, rank = _check.integer("axis", value, -_check.LARGEST), self.rank if rank is None else rank
        if axis < 0 and rank is None:
            raise UnknownShapeError(f"axis: expected one from 0, where the rank is not known, got {axis}")
        axis += rank if axis < 0 and rank is not None else 0
        if axis < 0 or (rank is not None and axis >= rank):
            raise ValueError(f"axis: expected one of {rank} axes, got {_check.shown(value)}")
        return axis

    def axes(self, index: int, since: int) -> list[int] | None:
        """The layer's axes for some of the file's; None if they are left out.

        They were an attribute before opset `since` and are an input from it on.
        """
        found = self.outer_axes(index, since)
        return None if found is None else [self.place.inner(axis) for axis in found]

    def outer_axes(self, index: int, since: int, rank: int | None = None) -> list[int] | None:
        """The same as the file has them."""
        if self.opset < since:
            found = self.integers("axes")
        else:
            array = self.optional(index, "axes")
            found = None if array is None else array.reshape(-1).tolist()
        return None if found is None else sorted(self.outer_axis(axis, rank) for axis in found)

    def each(self, index: int, name: str) -> Array:
        """A constant that meets the value, as it is for one image: what it says of all images alike, once."""
        found, value = self.given(index), self.sources[0]
        if not isinstance(found, Known) or value.rank is None or self.place.axis is None:
            return self.constant(index, name)
        axis = self.place.axis - value.rank + found.first.ndim
        if axis < 0 or found.first.ndim != found.second.ndim:
            return self.constant(index, name)
        one = self.place.before * self.place.behind
        fixed = one * (self.batch or 0)
        count = found.first.shape[axis], found.second.shape[axis]
        if count in ((one * BATCH[0], one * BATCH[1]), (fixed, fixed)) and _repeated(found.first, axis):
            first, second = (array.take([0], axis) for array in (found.first, found.second))
            return first if np.array_equal(first, second) else self.constant(index, name)
        return self.constant(index, name)


def _repeated(array: Array, axis: int) -> bool:
    """Whether it is the same all along an axis."""
    return array.strides[axis] == 0 or bool((array == array.take([0], axis)).all())
