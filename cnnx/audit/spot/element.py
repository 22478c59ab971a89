"""One element of an output at a time, by its equation, with its error bound: what spot checks hold against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ... import backend as _backend
from .._signature import signature
from ..data import Array
from ..trace import KernelCall
from ..truth.arithmetic import Bounded, BoundedMath
from ..truth.error_bound import DOUBLE, DOUBLE_TRUTH, FUNCTION, in_double, share_of
from ..truth.exact import PRODUCTS
from ..truth.precision import Precision
from ..truth.winograd_bound import KERNELS as WINOGRAD
from ..truth.winograd_bound import tile_errors

# What is a sum of products (or of numbers) and nothing else. A maximum compares, and Winograd's sums are others.
SUMS = frozenset(kernel for kernel in PRODUCTS if not kernel.startswith("max_pool2d")) - {*WINOGRAD}

SUM = 1.0  # roundings of a term, and of what is added to it
DOUBLE_EPS, DOUBLE_TINY = DOUBLE

Index = tuple[int, ...]


class _BoundedElements:
    """An array whose elements are `Bounded` numbers, made when they are read: no copy of the whole in memory.

    `count` counts how many were, those of rows that were taken from it too.
    """

    def __init__(self, array: Array, eps: float, tiny: float, *, kept: bool, count: "list[int] | None" = None):
        self.shape, self.count = array.shape, [0] if count is None else count
        self._array, self._item = array, array.data.__getitem__
        self._eps, self._tiny, self._kept = eps, tiny, kept

    def __getitem__(self, index: Any) -> Any:
        try:
            value = self._item(index)
        except (TypeError, NotImplementedError):
            value = None
        if value.__class__ is not float:  # not a number: a part of the array, a row or a column
            part = self._array[index]
            return _BoundedElements(part, self._eps, self._tiny, kept=self._kept, count=self.count)
        self.count[0] += 1
        return Bounded(value, self._eps, self._tiny, kept=self._kept)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class Held:
    """An element held against its equation, under the names that a `Discrepancy` has."""

    kernel: str
    output: str
    index: Index
    expected: float
    got: float
    error: float
    share: float

    def words(self, exactly: str = "") -> str:
        """What was expected and what came; `exactly` stands where there is no room for an error."""
        within = f" +- {self.error:.1e}" if self.error else exactly
        return f"expected {self.expected!r}{within}, got {self.got!r}"


class ElementTruth:
    """Computes elements of an output, each with its error bound, from the inputs that a kernel was called with.

    exact : on integers, which doubles hold without rounding: the bound is 0.
    flushed : a number below the smallest normal one may be 0.
    precision : by which arithmetic, where it is not all in `dtype`.

    An array's memoryview hands out Python floats. `read` counts the numbers that were read: a measure of the work, the
    same on every machine.
    """

    def __init__(
        self,
        call: KernelCall,
        output: str,
        dtype: str,
        *,
        exact: bool,
        flushed: bool = False,
        precision: Precision | None = None,
    ):
        element = _backend.equations(call.kernel)[output]
        self._own = precision is None or precision.plain
        self._precision = Precision.of(dtype, flushed=flushed) if precision is None else precision
        u, tiny = self._precision.eps, self._precision.tiny
        numbers = dict(call.numbers)
        self._name = call.kernel, output
        self._read, self._bounded = 0, ()  # type: tuple[int, tuple[_BoundedElements, ...]]
        place = list(_backend.equations(call.kernel)).index(output)
        kind = call.outputs[place].dtype if call.outputs else np.dtype(dtype)
        slack = DOUBLE_TRUTH["float64" if kind == np.float64 else "float32"]
        if not self._own:
            slack = DOUBLE_TRUTH.get(self._precision.accumulator, 1.0)
        if exact:
            self._compute = self._exact(partial(element, **numbers), call)
        elif call.kernel in SUMS:
            if self._own and call.outputs and in_double(call):
                u, tiny = DOUBLE_EPS, DOUBLE_TINY
            self._compute = self._sum(partial(element, **numbers), call.inputs, u * slack, tiny * slack)
        else:
            self._compute = self._of_bounded(call, element, numbers, dtype, slack)
        if call.kernel in WINOGRAD and not exact:
            self._add_tiles(call, u * slack)

    def __call__(self, index: Index) -> tuple[float, float]:
        value, error = self._compute(index)
        return value, self._precision.rounded(value, error)

    def hold(self, array: Array, index: Index) -> Held:
        """An element of what the kernel gave, beside what it should be."""
        (value, error), got = self(index), float(array[index])
        return Held(*self._name, index, value, got, error, share_of(got, value, error, finite=True))

    @property
    def read(self) -> int:
        """How many numbers of the inputs were read."""
        return self._read + sum(a.count[0] for a in self._bounded)

    def _exact(self, element: Callable[..., float], call: KernelCall) -> Callable[[Index], tuple[float, float]]:
        values, terms = [a.data for a in call.inputs], 0

        def compute(index: Index) -> tuple[float, float]:
            nonlocal terms
            if call.kernel in SUMS and not terms:
                terms = 1 + int(element(*(np.broadcast_to(np.float64(1), a.shape).data for a in call.inputs), *index))
            self._read += terms
            return float(element(*values, *index)), 0.0

        return compute

    def _sum(
        self, element: Callable[..., float], inputs: tuple[Array, ...], u: float, tiny: float
    ) -> Callable[[Index], tuple[float, float]]:
        """For a sum of products, by its equation alone, in a third of the time that `Bounded` numbers take.

        n terms, each rounded once and added in any order, are off by at most n u sum |terms|: on absolute values the
        equation is that sum, and on ones it is n.
        """
        values = [a.data for a in inputs]
        sizes = [np.abs(a).data for a in inputs]
        ones = [np.broadcast_to(np.float64(1), a.shape).data for a in inputs]

        def compute(index: Index) -> tuple[float, float]:
            terms = element(*ones, *index)
            self._read += 1 + int(terms)
            return float(element(*values, *index)), SUM * terms * (u * element(*sizes, *index) + tiny)

        return compute

    def _of_bounded(
        self,
        call: KernelCall,
        element: Callable[..., Any],
        numbers: dict[str, Any],
        dtype: str,
        slack: float,
    ) -> Callable[[Index], tuple[float, float]]:
        double = self._own and bool(call.outputs) and in_double(call)
        u, tiny = (DOUBLE_EPS, DOUBLE_TINY) if double else (self._precision.eps, self._precision.tiny)

        def lifted(a: Array) -> Any:
            if a.dtype.kind != "f":
                return a.data
            # A statistic in double among floats: what is added to it is rounded in proportion to the result.
            return _BoundedElements(a, u, tiny, kept=a.dtype == np.float64 and not double and dtype == "float32")

        inputs = [lifted(a) for a in call.inputs]
        self._bounded = tuple(a for a in inputs if isinstance(a, _BoundedElements))
        numbers |= {name: self._precision.number(v) for name, v in numbers.items() if isinstance(v, float)}
        extra = {"m": BoundedMath(FUNCTION)} if "m" in signature(element).parameters else {}

        def compute(index: Index) -> tuple[float, float]:
            number = element(*inputs, *index, **numbers, **extra)
            return (number.value, number.error * slack) if isinstance(number, Bounded) else (float(number), 0.0)

        return compute

    def _add_tiles(self, call: KernelCall, eps: float) -> None:
        """Winograd's budget is that of a tile, besides the equation's own."""
        tiles, own = tile_errors(call, eps), self._compute
        assert tiles is not None

        def compute(index: Index) -> tuple[float, float]:
            value, error = own(index)
            return value, error + float(tiles[index])

        self._compute = compute
