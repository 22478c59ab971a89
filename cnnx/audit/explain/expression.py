"""Numbers that remember where they came from: what the reference's element functions run on to be explained.

Every number is a node of an expression tree with its value in double precision, computed as the reference computes it.
Leaves are elements of named arrays, named numbers (eps, rate) and constants.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any

from ... import backend as _backend
from ..by_value import ByValue, value_of

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


class Node(ByValue):
    """A number and how it was made. Compared and tested, it is its value."""

    __slots__ = ("parts", "value")
    binding = ATOM

    def __init__(self, value: Any, *parts: "Node"):
        self.value, self.parts = value, parts

    def __add__(self, other: Any) -> "Node":
        return Sum(self.value + value_of(other), self, node(other))

    def __radd__(self, other: Any) -> "Node":
        return Sum(other + self.value, node(other), self)

    def __sub__(self, other: Any) -> "Node":
        return Sum(self.value - value_of(other), self, Negative(-value_of(other), node(other)))

    def __rsub__(self, other: Any) -> "Node":
        return Sum(other - self.value, node(other), Negative(-self.value, self))

    def __mul__(self, other: Any) -> "Node":
        return Product(self.value * value_of(other), self, node(other))

    def __rmul__(self, other: Any) -> "Node":
        return Product(other * self.value, node(other), self)

    def __truediv__(self, other: Any) -> "Node":
        return Quotient(self.value / value_of(other), self, node(other))

    def __rtruediv__(self, other: Any) -> "Node":
        return Quotient(other / self.value, node(other), self)

    def __pow__(self, other: Any) -> "Node":
        return Power(self.value ** value_of(other), self, node(other))

    def __neg__(self) -> "Node":
        return Negative(-self.value, self)

    def __abs__(self) -> "Node":
        return Function("abs", abs(self.value), self)

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
        return Power(self._ieee.pow(value_of(x), value_of(exponent)), node(x), node(exponent))


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
