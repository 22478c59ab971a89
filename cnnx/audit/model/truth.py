"""Elements of a value by the equations that lead to it, each a number with its error bound, computed when asked for.

A node's layer runs once in double, watched: which kernels it calls, on what. An element of its output is then the
kernel's equation on `Bounded` numbers, and where an input is what an earlier kernel gave, that one's equation: so a
group of nodes that an engine fuses is judged by all of its equations at once.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from ... import backend as _backend
from .._signature import signature
from ..data import Array
from ..trace import KernelCall
from ..truth.arithmetic import Bounded, BoundedMath, UndecidedError
from ..truth.error_bound import FUNCTION

Index = tuple[int, ...]
Element = Callable[..., Any]

SUMS = (
    "conv2d",
    "conv_transpose2d",
    "affine",
    "matmul",
)  # sums of products, whose bound needs no number of its own for each term

LARGE = 2**24  # bytes of an array of which no second one is made

# A factor of a whole sum may have been multiplied into each of its terms, as engines fold a normalisation into the
# convolution before it: up to so many roundings (of a root, a quotient and two products) are of each term then.
FOLDED = {"batch_norm2d": 6.0, "multiply": 1.0}


class Elements(Protocol):
    """An array of `Bounded` numbers that are made when they are read."""

    shape: Index

    def __getitem__(self, index: Index) -> Bounded: ...


class Precision:
    """The arithmetic that is judged: its rounding error and its smallest number."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        info = np.finfo(dtype)
        self.eps, self.tiny, self.dtype = float(info.eps) / 2, float(info.smallest_subnormal), dtype

    def number(self, value: float) -> Bounded:
        """An option of an operator, a double here, which an engine may have rounded."""
        return Bounded(value, self.eps, self.tiny, abs(value - float(self.dtype.type(value))))


class _Read:
    """Elements, read as an array's are: by one number, by a tuple of them, or some by a slice."""

    shape: Index

    def __getitem__(self, index: Any) -> Any:
        key = index if isinstance(index, tuple) else (index,)
        for axis, one in enumerate(key):
            if isinstance(one, slice):
                whole = range(self.shape[axis])[one]
                return [self[(*key[:axis], i, *key[axis + 1 :])] for i in whole]
        return self.at(key)

    def at(self, index: Index) -> Bounded:
        raise NotImplementedError


class Given(_Read):
    """An array as it is, without error."""

    def __init__(self, array: Array, precision: Precision) -> None:
        self.shape, self.array, self.precision = array.shape, array, precision
        self._item = np.asarray(array, order="C").data.__getitem__

    def at(self, index: Index) -> Bounded:
        return Bounded(self._item(index), self.precision.eps, self.precision.tiny)


class Reshaped:
    """The same elements in another shape."""

    def __init__(self, inner: Elements, shape: Index) -> None:
        self.shape, self.origin = shape, inner

    def __getitem__(self, index: Index) -> Bounded:
        elements, there = self.inner(index)
        return elements[there]

    def inner(self, index: Index) -> tuple[Elements, Index]:
        """Whose element it is, and its index there."""
        flat = int(np.ravel_multi_index(index, self.shape)) if self.shape else 0
        return self.origin, tuple(int(i) for i in np.unravel_index(flat, self.origin.shape))


class Moved:
    """Elements of others, put elsewhere.

    where : array of int
        Which element: 0 for the number 0, else 1 + its place in all sources, one after the other.
    """

    def __init__(self, where: Array, sources: Sequence[Elements], precision: Precision) -> None:
        self.shape, self._where, self._sources, self._precision = where.shape, where, sources, precision

    def __getitem__(self, index: Index) -> Bounded:
        place = int(self._where[index]) - 1
        for source in self._sources if place >= 0 else ():
            size = math.prod(source.shape)
            if place < size:
                return source[tuple(int(i) for i in np.unravel_index(place, source.shape))]
            place -= size
        return Bounded(0.0, self._precision.eps, self._precision.tiny)


def reshaped(elements: Elements, shape: Index) -> Elements:
    """The elements in this shape."""
    if isinstance(elements, Given):
        return elements if elements.shape == shape else Given(elements.array.reshape(shape), elements.precision)
    return elements if elements.shape == shape else Reshaped(elements, shape)


class Computed:
    """What a kernel was to give: its equation, on the elements that it was given."""

    def __init__(self, call: KernelCall, output: int, inputs: Sequence[Elements], precision: Precision) -> None:
        self.call, self.inputs = call, inputs
        self.output, element = list(_backend.equations(call.kernel).items())[output]
        self.shape = call.outputs[output].shape
        self._precision = precision
        self._element: Element = BY_KERNEL.get(call.kernel, element)
        self._numbers: dict[str, Any] = {
            k: precision.number(v) if isinstance(v, float) else v for k, v in call.numbers.items()
        }
        if "m" in signature(self._element).parameters:
            self._numbers["m"] = BoundedMath(FUNCTION)
        self._known: dict[Index, Bounded] = {}
        folded = FOLDED.get(call.kernel, 0.0)
        self._taken = [one if isinstance(one, Given) else _Taken(one, folded) for one in inputs]
        self._sum: Callable[[Index], Bounded] | None = None

    @property
    def alone(self) -> bool:
        """Whether it is one equation of numbers that were given."""
        return all(isinstance(one, Given) for one in self.inputs)

    def __getitem__(self, index: Index) -> Bounded:
        if index not in self._known:
            self._known[index] = self._compute(index)
        return self._known[index]

    def _compute(self, index: Index) -> Bounded:
        if self.call.kernel in SUMS and self.alone:
            if self._sum is None:
                self._sum = _sum(partial(self._element, **self.call.numbers), self.call.inputs, self._precision)
            return self._sum(index)
        try:
            return self._as_number(self._element(*self._taken, *index, **self._numbers))
        except UndecidedError:
            return self._hull(index)

    def _hull(self, index: Index) -> Bounded:
        """Where numbers are compared whose bounds overlap: how far the equation moves from one end to the other.

        Its kinks (of a rectifier, a maximum, a bound) are of functions that rise in all that they take; where one
        falls (HardSwish), a smaller number is the most that it can miss, and the bound is doubled.
        """
        here, low, high = (
            self._as_number(self._element(*[_Shifted(one, side) for one in self._taken], *index, **self._numbers))
            for side in (0, -1, 1)
        )
        here.inherited += 2 * max(abs(low.value - here.value), abs(high.value - here.value)) + max(
            low.error, high.error
        )
        return here

    def _as_number(self, value: Any) -> Bounded:
        if isinstance(value, Bounded):
            return value
        return Bounded(float(value), self._precision.eps, self._precision.tiny)


def is_sum(elements: Elements) -> bool:
    """Whether an array is one of sums of products of numbers that were given."""
    while isinstance(elements, Reshaped):
        elements = elements.origin
    return isinstance(elements, Computed) and elements.alone and elements.call.kernel in SUMS


class _Taken(_Read):
    """What an equation takes from another: with the roundings that fusing the two puts into a sum's terms."""

    def __init__(self, inner: Elements, folded: float) -> None:
        self.shape, self._inner, self._folded = inner.shape, inner, folded

    def at(self, index: Index) -> Bounded:
        b = self._inner[index]
        more = self._folded * b.eps * b.mass if b.mass > abs(b.value) else 0.0
        return Bounded(b.value, b.eps, b.tiny, b.error + more) if self._folded else b


class _Shifted(_Read):
    """Elements at one end of their bounds, without one there."""

    def __init__(self, inner: Elements, side: int) -> None:
        self.shape, self._inner, self._side = inner.shape, inner, side

    def at(self, index: Index) -> Bounded:
        b = self._inner[index]
        return Bounded(b.value + self._side * b.error, b.eps, b.tiny)


class _Sizes:
    """Absolute values, without a copy of the whole."""

    def __init__(self, array: Array) -> None:
        self.shape, self._item = array.shape, array.data.__getitem__

    def __getitem__(self, index: Index) -> float:
        return abs(self._item(index))


def _sum(element: Element, inputs: Sequence[Array], precision: Precision) -> Callable[[Index], Bounded]:
    """A sum of products by its equation alone: on absolute values it is the terms' mass, on ones their number."""
    values = [a.data for a in inputs]
    sizes = [_Sizes(a) if a.nbytes > LARGE else np.abs(a).data for a in inputs]
    ones = [np.broadcast_to(np.float64(1), a.shape).data for a in inputs]

    def compute(index: Index) -> Bounded:
        terms, mass = element(*ones, *index), float(element(*sizes, *index))
        error = terms * (precision.eps * mass + precision.tiny)
        return Bounded(float(element(*values, *index)), precision.eps, precision.tiny, error, mass)

    return compute


def _batch_norm2d_multiplied_out(
    Z: Any, g: Any, b: Any, mean: Any, var: Any, n: int, c: int, h: int, w: int, *, eps: Any, m: Any
) -> Any:
    """N2 with known statistics as engines compute it: Y = s Z + (b - s mean), s = g / sqrt(var + eps).

    The same number, whose bound has room for what cancels between the two summands.
    """
    s = g[c] / m.sqrt(var[c] + eps)
    return s * Z[n, c, h, w] + (b[c] - s * mean[c])


def _less_largest(z: list[Bounded]) -> list[Bounded]:
    """A row less its largest number, which leaves its softmax as it is.

    Of two numbers as they are, a difference is rounded once, in proportion to itself; a `Bounded` sum's roundings are
    in proportion to its terms.
    """
    most = max(z, key=lambda z_j: z_j.value)
    return [
        z_j - most if z_j.error or most.error else Bounded(apart, z_j.eps, z_j.tiny, z_j.eps * abs(apart))
        for z_j in z
        for apart in (z_j.value - most.value,)
    ]


def _terms(z: list[Bounded], m: Any) -> list[Any]:
    """Exponentials; of what a mask made -inf, 0 without an error."""
    return [Bounded(0.0, z_j.eps, z_j.tiny) if z_j.value == -math.inf else m.exp(z_j) for z_j in z]


def _softmax(Z: Any, a: int, i: int, b: int, *, m: Any) -> Any:
    """A3."""
    terms = _terms(_less_largest(Z[a, :, b]), m)
    return terms[i] / sum(terms[1:], terms[0])


def _log_softmax(Z: Any, a: int, i: int, b: int, *, m: Any) -> Any:
    """A4."""
    z = _less_largest(Z[a, :, b])
    terms = _terms(z, m)
    return z[i] - m.log(sum(terms[1:], terms[0]))


BY_KERNEL: Mapping[str, Element] = {
    "batch_norm2d": _batch_norm2d_multiplied_out,
    "softmax": _softmax,
    "log_softmax": _log_softmax,
}
