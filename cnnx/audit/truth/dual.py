"""Numbers that carry derivatives, and their functions."""

import math
from typing import Any

from ..by_value import ByValue


class Slopes:
    """Derivatives along several directions at once, by number; along the others it is 0."""

    __slots__ = ("_by_direction",)

    def __init__(self, by_direction: dict[int, Any]) -> None:
        self._by_direction = by_direction

    def along(self, direction: int) -> Any:
        """The derivative along a direction."""
        return self._by_direction.get(direction, 0)

    def __add__(self, other: "Slopes | int") -> "Slopes":
        if not isinstance(other, Slopes):
            return self  # the 0 that a sum begins with
        few, many = sorted((self._by_direction, other._by_direction), key=len)
        total = dict(many)
        for direction, slope in few.items():
            total[direction] = total[direction] + slope if direction in total else slope
        return Slopes(total)

    __radd__ = __add__

    def __neg__(self) -> "Slopes":
        return Slopes({direction: -slope for direction, slope in self._by_direction.items()})

    def __sub__(self, other: "Slopes") -> "Slopes":
        return self + (-other)

    def __mul__(self, number: Any) -> "Slopes":
        return Slopes({direction: slope * number for direction, slope in self._by_direction.items()})

    __rmul__ = __mul__

    def __truediv__(self, number: Any) -> "Slopes":
        return Slopes({direction: slope / number for direction, slope in self._by_direction.items()})


class Dual(ByValue):
    """a + b d with d^2 = 0: a number of any kind and its derivative, the exact rules of calculus."""

    __slots__ = ("slope", "value")

    def __init__(self, value: Any, slope: Any):
        self.value, self.slope = value, slope

    def __add__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.slope + other.slope)
        return Dual(self.value + other, self.slope)

    __radd__ = __add__

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)
        return Dual(self.value * other, self.slope * other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Dual":
        if isinstance(other, Dual):
            value = self.value / other.value
            return Dual(value, (self.slope - value * other.slope) / other.value)
        return Dual(self.value / other, self.slope / other)

    def __rtruediv__(self, other: Any) -> "Dual":
        value = other / self.value
        return Dual(value, -(value * self.slope) / self.value)

    def __abs__(self) -> "Dual":
        return -self if self.value < 0 else self

    def __repr__(self) -> str:
        return f"{self.value!r} + {self.slope!r} d"


class DualMath:
    """exp, log, ... of Dual numbers over any kind of number, whose own functions are `base`."""

    def __init__(self, base: Any):
        self.base = base

    def _chain(self, x: Any, name: str, slope: Any) -> Any:
        """f(x), and for a Dual f'(x) x' with f'(x) = slope(value, f(value))."""
        function = getattr(self.base, name)
        if not isinstance(x, Dual):
            return function(x)
        y = function(x.value)
        return Dual(y, slope(x.value, y) * x.slope)

    def exp(self, x: Any) -> Any:
        return self._chain(x, "exp", lambda v, y: y)

    def expm1(self, x: Any) -> Any:
        return self._chain(x, "expm1", lambda v, y: self.base.exp(v))

    def log(self, x: Any) -> Any:
        return self._chain(x, "log", lambda v, y: 1 / v)

    def log1p(self, x: Any) -> Any:
        return self._chain(x, "log1p", lambda v, y: 1 / (1 + v))

    def sqrt(self, x: Any) -> Any:
        return self._chain(x, "sqrt", lambda v, y: 1 / (2 * y))

    def erfc(self, x: Any) -> Any:
        return self._chain(x, "erfc", lambda v, y: -2 / math.sqrt(math.pi) * self.base.exp(-(v * v)))

    def pow(self, x: Any, exponent: Any) -> Any:
        if not isinstance(x, Dual):
            return self.base.pow(x, exponent)
        if exponent == 1:
            return x
        return Dual(self.base.pow(x.value, exponent), exponent * self.base.pow(x.value, exponent - 1) * x.slope)
