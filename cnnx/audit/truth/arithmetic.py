"""Numbers that the reference's element functions run on, besides floats.

`Bounded` carries a bound on the rounding error that any order of summation can make; `Dual` (dual.py) carries
derivatives; `Fraction` (the standard library's) has no rounding at all. Each comes with its
namespace of functions, passed to an element function as `m=`.
"""

import math
from fractions import Fraction
from typing import Any

from ... import backend as _backend
from .dual import Dual


class IrrationalError(TypeError):
    """A function was asked of Fractions whose value is not one."""


class UndecidedError(ValueError):
    """Two numbers were compared whose error bounds overlap."""


DOUBLE_EPS = 2.0**-53


class Bounded:
    """A number with a bound on its rounding error in arithmetic of machine epsilon `eps`.

    A sum remembers the mass of its terms (the sum of their absolute values) and their count, so
    that its bound, errors of the terms + (count - 1) eps mass, holds in whatever order they are added.
    A product, quotient or function adds eps times its own size.

    `kept` says that the number is a double among floats of less precision, a batch's statistic: what is added to it or
    taken off is rounded once, in proportion to the result, and not to what cancels.
    """

    __slots__ = ("eps", "inherited", "kept", "mass", "terms", "tiny", "value")

    def __init__(
        self,
        value: float,
        eps: float,
        tiny: float,
        inherited: float = 0.0,
        mass: float = -1.0,
        terms: int = 1,
        *,
        kept: bool = False,
    ):
        self.value, self.eps, self.tiny, self.kept = value, eps, tiny, kept
        self.inherited = inherited
        self.mass = abs(value) if mass < 0 else mass
        self.terms = terms

    @property
    def error(self) -> float:
        """How far from `value` a correct result may be."""
        if self.terms == 1:  # also where the mass is infinite
            return self.inherited
        return self.inherited + (self.terms - 1) * self.eps * self.mass

    def _made(self, value: float, inherited: float) -> "Bounded":
        return Bounded(value, self.eps, self.tiny, inherited)

    def __add__(self, other: Any) -> "Bounded":
        if not isinstance(other, Bounded):
            if not isinstance(other, (int, float)):
                return NotImplemented  # a Dual knows what to do
            if other == 0:
                return self
            other = self._made(float(other), 0.0)
        if self.kept or other.kept:
            value = self.value + other.value
            return self._made(value, self.error + other.error + self.eps * abs(value))
        return Bounded(
            self.value + other.value,
            self.eps,
            self.tiny,
            self.inherited + other.inherited,
            self.mass + other.mass,
            self.terms + other.terms,
        )

    __radd__ = __add__

    def __neg__(self) -> "Bounded":
        return Bounded(-self.value, self.eps, self.tiny, self.inherited, self.mass, self.terms, kept=self.kept)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __mul__(self, other: Any) -> "Bounded":
        if not isinstance(other, Bounded):
            if not isinstance(other, (int, float)):
                return NotImplemented  # a Dual knows what to do
            if other == 1:
                return self
            other = self._made(float(other), 0.0)
        value = self.value * other.value
        if self.terms == other.terms == 1 and self.inherited == other.inherited == 0:  # most are: the data themselves
            exact = self.value == 0 or other.value == 0
            return Bounded(value, self.eps, self.tiny, 0.0 if exact else self.eps * abs(value) + self.tiny)
        a, b = self.error, other.error
        if (self.value == 0 and a == 0) or (other.value == 0 and b == 0):
            return self._made(value, 0.0)
        inherited = abs(self.value) * b + abs(other.value) * a + a * b + self.eps * abs(value) + self.tiny
        return self._made(value, inherited)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Bounded":
        if not isinstance(other, Bounded):
            if not isinstance(other, (int, float)):
                return NotImplemented  # a Dual knows what to do
            if other == 1:
                return self
            if self.kept:  # still a double
                error = self.error / abs(other) + DOUBLE_EPS * abs(self.value / other)
                return Bounded(self.value / other, self.eps, self.tiny, error, kept=True)
            other = self._made(float(other), 0.0)
        if self.value == 0 and self.error == 0:
            return self._made(0.0, 0.0)
        value, room = self.value / other.value, abs(other.value) - other.error
        if room <= 0:
            raise UndecidedError(f"division by {other.value} +- {other.error}")
        inherited = (self.error + abs(value) * other.error) / room + self.eps * abs(value) + self.tiny
        return self._made(value, inherited)

    def __rtruediv__(self, other: Any) -> "Bounded":
        return self._made(float(other), 0.0) / self

    def __abs__(self) -> "Bounded":
        return -self if self.value < 0 else self

    def _sign(self, other: Any) -> float:
        """Of self - other: negative, 0 or positive; NaN where either is."""
        theirs, their_error = (other.value, other.error) if isinstance(other, Bounded) else (other, 0.0)
        if self is other or (self.value == theirs and math.isinf(theirs)):
            return math.nan if math.isnan(self.value) else 0.0
        distance: float = self.value - theirs
        if math.isfinite(distance) and 0 < self.error + their_error >= abs(distance):
            raise UndecidedError(f"{self!r} against {other!r}")
        return distance

    def __lt__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Dual) else self._sign(other) < 0

    def __le__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Dual) else self._sign(other) <= 0

    def __gt__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Dual) else self._sign(other) > 0

    def __ge__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Dual) else self._sign(other) >= 0

    def __eq__(self, other: object) -> Any:
        return NotImplemented if isinstance(other, Dual) else self._sign(other) == 0

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.value!r} +- {self.error:.1e}"


class BoundedMath:
    """exp, log, ... of Bounded numbers, each granted an error of its own: `own` times eps."""

    _monotone = ("exp", "expm1", "log", "log1p", "sqrt", "erfc")

    def __init__(self, own: float = 2.0) -> None:
        self._own = own
        self._ieee = _backend.reference_math()

    def __getattr__(self, name: str) -> Any:
        if name not in self._monotone:
            raise AttributeError(name)
        function = getattr(self._ieee, name)
        return lambda x: self._apply(function, x)

    def pow(self, x: Any, exponent: Any) -> Any:
        power, error = (exponent.value, exponent.error) if isinstance(exponent, Bounded) else (exponent, 0.0)
        if power == 1:
            return x
        y = self._apply(lambda v: self._ieee.pow(max(v, 0.0), power), x)
        if error and isinstance(y, Bounded) and y.value != 0:  # d(x^p)/dp = x^p log x
            y.inherited += abs(y.value * self._ieee.log(x.value)) * error
        return y

    def _apply(self, function: Any, x: Any) -> Any:
        if not isinstance(x, Bounded):
            return function(x)
        value, error = function(x.value), x.error
        if value == 0 and error == 0:
            return Bounded(0.0, x.eps, x.tiny)
        moved = max(abs(function(x.value + error) - value), abs(function(x.value - error) - value)) if error else 0.0
        return Bounded(value, x.eps, x.tiny, moved + self._own * x.eps * abs(value) + x.tiny)


class FractionMath:
    """What is left of the functions on Fractions: whole powers."""

    @staticmethod
    def pow(x: Fraction, exponent: Any) -> Fraction:
        if Fraction(exponent).denominator != 1:
            raise IrrationalError(f"{x} to the power {exponent}")
        return x ** int(exponent)

    def __getattr__(self, name: str) -> Any:
        raise IrrationalError(name)
