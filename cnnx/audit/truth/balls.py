"""Numbers that carry a proven radius: python-flint's balls (arb), as the reference's equations take numbers.

A ball holds the true value, whatever was rounded on the way, and all its functions are rigorous. Where a comparison
depends on what within the ball the value is, nobody decides: UndecidedError.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from typing import Any

from .arithmetic import UndecidedError

BITS = 256
# A radius that is larger than both, absolutely and relative to the value, says too little.
FAR = 2.0**-130


@cache
def flint() -> Any:
    """python-flint, or None where it is not installed."""
    try:
        import flint as found
    except ModuleNotFoundError:
        return None
    return found


@contextmanager
def precision() -> Iterator[None]:
    """A block in which balls have `BITS` bits; the process's own precision comes back after it."""
    context = flint().ctx
    before = context.prec
    context.prec = BITS
    try:
        yield
    finally:
        context.prec = before


def ball(value: Any) -> "Ball":
    """A number as a ball: a float, an int or a Fraction; of None, which no number is, one that has no end."""
    return Ball(_arb(value))


def _arb(value: Any) -> Any:
    arb = flint().arb
    if isinstance(value, Ball):
        return value.arb
    if isinstance(value, Fraction):
        return arb(value.numerator) / value.denominator
    return arb("nan") if value is None else arb(value)


class Ball:
    """A real number between mid - radius and mid + radius."""

    __slots__ = ("arb",)

    def __init__(self, arb: Any):
        self.arb = arb

    @property
    def says_enough(self) -> bool:
        """Whether it has an end, and is small beside any float's last place."""
        if not self.arb.is_finite():
            return False
        radius = float(self.arb.rad())
        return radius <= FAR or radius <= FAR * abs(float(self.arb.mid()))

    def off(self, number: float) -> float:
        """|number - value| at most."""
        most = float((self.arb - _arb(number)).abs_upper())
        return most if most == 0 else math.nextafter(most, math.inf)

    def __float__(self) -> float:
        return float(self.arb.mid())

    def __add__(self, other: Any) -> "Ball":
        return Ball(self.arb + _arb(other))

    __radd__ = __add__

    def __neg__(self) -> "Ball":
        return Ball(-self.arb)

    def __sub__(self, other: Any) -> "Ball":
        return Ball(self.arb - _arb(other))

    def __rsub__(self, other: Any) -> "Ball":
        return Ball(_arb(other) - self.arb)

    def __mul__(self, other: Any) -> "Ball":
        return Ball(self.arb * _arb(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Ball":
        return Ball(self.arb / _arb(other))

    def __rtruediv__(self, other: Any) -> "Ball":
        return Ball(_arb(other) / self.arb)

    def __pow__(self, other: Any) -> "Ball":
        return Ball(self.arb ** _arb(other))

    def __abs__(self) -> "Ball":
        return Ball(abs(self.arb))

    def __lt__(self, other: Any) -> bool:
        return self._decided(self.arb < _arb(other), self.arb >= _arb(other), other)

    def __le__(self, other: Any) -> bool:
        return self._decided(self.arb <= _arb(other), self.arb > _arb(other), other)

    def __gt__(self, other: Any) -> bool:
        return not self <= other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __eq__(self, other: object) -> bool:
        return self._decided(self.arb == _arb(other), self.arb != _arb(other), other)

    __hash__ = None  # type: ignore[assignment]

    def _decided(self, yes: bool, no: bool, other: object) -> bool:
        if yes == no:
            raise UndecidedError(f"{self!r} against {other!r}")
        return yes

    def __repr__(self) -> str:
        return str(self.arb)


class BallMath:
    """exp, log, ... of balls, counted."""

    _names = ("exp", "expm1", "log", "log1p", "sqrt", "erfc")

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(name)

        def counted(x: Any) -> Ball:
            self.asked += 1
            return Ball(getattr(_arb(x), name)())

        setattr(self, name, counted)
        return counted

    def pow(self, x: Any, exponent: Any) -> Any:
        self.asked += 1
        return x if _arb(exponent) == 1 else ball(x) ** exponent
