"""Numbers that remember where they came from: what the reference's element functions run on to be explained.

Every number is a node of an expression tree with its value in double precision, computed as the reference computes it.
Leaves are elements of named arrays, named numbers (eps, rate) and constants.
"""

import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ... import backend as _backend
from ..data import Array

# How tightly what a node writes is bound: a sum inside a product needs brackets.
SUM, QUOTIENT, PRODUCT, ATOM = 1, 2, 3, 4
INLINE = 3  # a longer sum within an expression is written as S1, S2, ...


class Writer:
    """Writes expressions: in names and indices or in values, and longer sums within them as S1, S2, ..."""

    def __init__(self) -> None:
        self.sums: list[Sum] = []

    def names(self, node: "Node") -> str:
        """The expression in names and indices."""
        return node.write(self, values=False)

    def values(self, node: "Node") -> str:
        """The expression with values in their places."""
        return node.write(self, values=True)

    def abbreviated(self, total: "Sum") -> str:
        """S1, S2, ... for a sum, the same for the same one."""
        i = next((i for i, known in enumerate(self.sums) if known is total), len(self.sums))
        if i == len(self.sums):
            self.sums.append(total)
        return f"S{i + 1}"


class Node:
    """A number and how it was made. Compared and tested, it is its value."""

    __slots__ = ("parts", "value")
    binding = ATOM

    def __init__(self, value: Any, *parts: "Node"):
        self.value, self.parts = value, parts

    def __add__(self, other: Any) -> "Node":
        return Sum(self.value + _value(other), self, node(other))

    def __radd__(self, other: Any) -> "Node":
        return Sum(other + self.value, node(other), self)

    def __sub__(self, other: Any) -> "Node":
        return Sum(self.value - _value(other), self, Negative(-_value(other), node(other)))

    def __rsub__(self, other: Any) -> "Node":
        return Sum(other - self.value, node(other), Negative(-self.value, self))

    def __mul__(self, other: Any) -> "Node":
        return Product(self.value * _value(other), self, node(other))

    def __rmul__(self, other: Any) -> "Node":
        return Product(other * self.value, node(other), self)

    def __truediv__(self, other: Any) -> "Node":
        return Quotient(self.value / _value(other), self, node(other))

    def __rtruediv__(self, other: Any) -> "Node":
        return Quotient(other / self.value, node(other), self)

    def __pow__(self, other: Any) -> "Node":
        return Power(self.value ** _value(other), self, node(other))

    def __neg__(self) -> "Node":
        return Negative(-self.value, self)

    def __abs__(self) -> "Node":
        return Function("abs", abs(self.value), self)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _value(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _value(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _value(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _value(other))

    def __eq__(self, other: object) -> bool:
        return bool(self.value == _value(other))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def write(self, writer: Writer, *, values: bool) -> str:
        """The expression in words: names and indices, or values in their places."""
        raise NotImplementedError

    def part(self, writer: Writer, i: int, binding: int, *, values: bool) -> str:
        """A part as it is written inside something bound so tightly."""
        part = self.parts[i]
        text = part.write(writer, values=values)
        loose = part.binding < binding and not (isinstance(part, Sum) and part.is_long)
        return f"({text})" if loose or (text.startswith("-") and binding > SUM) else text


class Constant(Node):
    """A number that the equation itself holds."""

    __slots__ = ()

    def write(self, writer: Writer, *, values: bool) -> str:
        return written(self.value)


class Number(Node):
    """A number argument of the kernel, by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str, value: float):
        super().__init__(value)
        self.name = name

    def write(self, writer: Writer, *, values: bool) -> str:
        return written(self.value) if values else self.name


class Element(Node):
    """An element of an array. `outside`: it lies beyond the array's edge, and the equation leaves it out."""

    __slots__ = ("array", "index", "outside")

    def __init__(self, array: str, index: tuple[int, ...], value: Any, *, outside: bool = False):
        super().__init__(value)
        self.array, self.index, self.outside = array, index, outside

    def write(self, writer: Writer, *, values: bool) -> str:
        return written(self.value) if values else named(self.array + "~" * self.outside, self.index)


class Sum(Node):
    """Two numbers added. A chain of sums on the left is one sum of many terms."""

    __slots__ = ()
    binding = SUM

    @property
    def is_long(self) -> bool:
        """Whether it is written as S1 within other expressions."""
        return len(self.terms()) > INLINE

    def terms(self) -> list[Node]:
        """The terms in the order in which they were added, without the 0 that a loop starts from."""
        found = []
        here: Node = self
        while isinstance(here, Sum):
            here, last = here.parts
            found.append(last)
        if not (isinstance(here, Constant) and here.value == 0):
            found.append(here)
        return found[::-1]

    def write(self, writer: Writer, *, values: bool) -> str:
        if self.is_long:
            abbreviation = writer.abbreviated(self)
            return written(self.value) if values else abbreviation
        text = ""
        for term in self.terms():
            minus = isinstance(term, Negative) and bool(text)
            one = term.part(writer, 0, PRODUCT, values=values) if minus else term.write(writer, values=values)
            if one.startswith("-") and text:
                one = f"({one})"
            text += f" {'-' if minus else '+'} {one}" if text else one
        return text


class Product(Node):
    """Two numbers multiplied."""

    __slots__ = ()
    binding = PRODUCT

    def write(self, writer: Writer, *, values: bool) -> str:
        first, second = (self.part(writer, i, PRODUCT, values=values) for i in (0, 1))
        spelt = values or any(isinstance(part, Constant) for part in self.parts)
        return f"{first} * {second}" if spelt else f"{first} {second}"


class Quotient(Node):
    """One number divided by another."""

    __slots__ = ()
    binding = QUOTIENT

    def write(self, writer: Writer, *, values: bool) -> str:
        return f"{self.part(writer, 0, QUOTIENT, values=values)} / {self.part(writer, 1, ATOM, values=values)}"


class Power(Node):
    """A number to a power."""

    __slots__ = ()
    binding = PRODUCT

    def write(self, writer: Writer, *, values: bool) -> str:
        return f"{self.part(writer, 0, ATOM, values=values)}^{self.part(writer, 1, ATOM, values=values)}"


class Negative(Node):
    """A number with its sign turned."""

    __slots__ = ()
    binding = PRODUCT

    def write(self, writer: Writer, *, values: bool) -> str:
        return f"-{self.part(writer, 0, PRODUCT, values=values)}"


class Function(Node):
    """exp, log, ... of a number."""

    __slots__ = ("name",)

    def __init__(self, name: str, value: Any, of: Node):
        super().__init__(value, of)
        self.name = name

    def write(self, writer: Writer, *, values: bool) -> str:
        inner = self.parts[0].write(writer, values=values)
        return f"|{inner}|" if self.name == "abs" else f"{self.name}({inner})"


class RecordedMath:
    """exp, log, ... of nodes, as the reference's equations take them from `m`."""

    def __init__(self) -> None:
        self._ieee = _backend.reference_math()

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        function = getattr(self._ieee, name)
        return lambda x: Function(name, function(x.value), x) if isinstance(x, Node) else function(x)

    def pow(self, x: Any, exponent: Any) -> Node:
        return Power(self._ieee.pow(_value(x), _value(exponent)), node(x), node(exponent))


class Recorded:
    """An array whose elements are nodes, made when they are read; `read` lists them, each once.

    With `corner`, its last two axes go on without end beyond the image, and the image's first pixel is at `corner`.
    """

    def __init__(self, name: str, array: Array, *, corner: tuple[int, int] | None = None, beyond: float = 0.0):
        self._name, self._array, self._corner, self._beyond = name, array, corner, beyond
        self.shape: tuple[int, ...] = array.shape if corner is None else (*array.shape[:-2], *(ENDLESS, ENDLESS))
        self.read: dict[tuple[int, ...], Element] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (len(self.shape) - len(keys))
        axes = [
            range(n)[k] if isinstance(k, slice) else (operator.index(k),) for k, n in zip(keys, self.shape, strict=True)
        ]
        extents = [len(axis) for axis, k in zip(axes, keys, strict=True) if isinstance(k, slice)]
        if not extents:
            return self._element(tuple(axis[0] for axis in axes))
        picked = np.empty(extents, dtype=object)
        picked.reshape(-1)[:] = [self._element(index) for index in itertools.product(*axes)]
        return picked

    def _element(self, index: tuple[int, ...]) -> Element:
        outside = False
        if self._corner is not None:
            *first, h, w = index
            index = (*first, h - self._corner[0], w - self._corner[1])
            outside = not all(0 <= i < n for i, n in zip(index, self._array.shape, strict=True))
        if index not in self.read:
            value = self._beyond if outside else self._array[index].item()
            self.read[index] = Element(self._name, index, value, outside=outside)
        return self.read[index]


ENDLESS = 1 << 40


def node(x: Any) -> Node:
    """A number as a node."""
    return x if isinstance(x, Node) else Constant(x)


def elements(root: Node) -> Iterator[Element]:
    """All elements in an expression."""
    waiting = [root]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Element):
            yield here
        waiting.extend(here.parts)


def named(array: str, index: tuple[int, ...]) -> str:
    """An element in words: Z[0,1]."""
    return f"{array}[{','.join(map(str, index))}]"


def written(value: Any) -> str:
    """A number in words, six digits of it."""
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _value(x: Any) -> Any:
    return x.value if isinstance(x, Node) else x
