"""Wrong or noisy? By which power of the step a Taylor remainder falls, along one direction.

|f(x + h d) - f(x) - h <g, d>| falls as h^2 where g is the gradient, as h where it is not, and stays where values are
noisy. No tolerance comes into it: of a sequence of steps the powers say which. A step whose value is that of the next
shorter one, or that of none at all, says nothing: the change was rounded away.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

FIRST, COUNT = 2.0**-6, 28  # steps; the first is nearer than a kink may be
SHORTER = 0.55  # each is so much of the one before: with halves, values that were rounded fall as exactly as steps do
NEAR, ALIKE = 0.25, 5  # a power is seen where so many in a row are as near to it

Kind = Literal["wrong", "one side", "right", "flat", "noisy"]
ORDER: tuple[Kind, ...] = ("wrong", "right", "noisy", "flat")


@dataclass(frozen=True)
class Remainder:
    """How the remainder falls.

    kind : "wrong": as h, over some steps to either side; "one side": to one side alone; "right": as h^2, and never as
        h; "flat": no step changes the value; "noisy": none of these.
    power : the mean over these steps; NaN where there is none.
    floor : the remainder at the smallest step that says something.
    """

    kind: Kind
    power: float
    floor: float

    def words(self) -> str:
        """What it means for the gradient."""
        if self.kind == "wrong":
            return f"the Taylor remainder falls as h^{self.power:.2f}, of a right gradient as h^2: it is wrong"
        if self.kind == "one side":
            return f"the Taylor remainder falls as h^{self.power:.2f} to one side alone, as at a kink"
        if self.kind == "flat":
            return f"no step up to {FIRST:g} changes the value: it is constant there, or rounded"
        if self.kind == "right":
            return (
                f"the Taylor remainder falls as h^{self.power:.2f}, as of a right gradient, down to {self.floor:.1e}: "
                "the values are noisy"
            )
        return (
            f"the Taylor remainder falls neither as h nor as h^2, down to {self.floor:.1e}: the values are noisy, and "
            "differences do not tell whether the gradient is right"
        )


def remainder(along: Callable[[float], float], slope: float) -> Remainder:
    """Of a function of the step along a direction, and what the gradient gives for its slope at 0."""
    here = along(0.0)
    to_right = _to_one_side(along, here, slope)
    to_left = _to_one_side(lambda h: along(-h), here, -slope)
    one, other = sorted((to_right, to_left), key=lambda side: ORDER.index(side.kind))
    if one.kind == "wrong" and other.kind != "wrong":
        return replace(one, kind="one side")
    return one


def _to_one_side(along: Callable[[float], float], here: float, slope: float) -> Remainder:
    steps = [FIRST * SHORTER**k for k in range(COUNT)]
    values = [along(h) for h in steps]
    found = [abs(value - here - h * slope) for h, value in zip(steps, values, strict=True)]
    if all(value == here for value in values):
        return Remainder("flat", math.nan, found[-1])
    triples = zip(found, values, [*values[1:], here], strict=True)
    found = [math.nan if value in (here, after) else one for one, value, after in triples]
    powers = [_power(wide, narrow) for wide, narrow in pairwise(found)]
    least = next((one for one in reversed(found) if one == one), 0.0)
    for kind, power in (("wrong", 1.0), ("right", 2.0)):
        seen = _seen(powers, power)
        if seen is not None:
            return Remainder("wrong" if kind == "wrong" else "right", seen, least)
    return Remainder("noisy", math.nan, least)


def _power(wide: float, narrow: float) -> float:
    if not (0 < wide < math.inf and 0 < narrow < math.inf):
        return math.nan
    return math.log(narrow / wide, SHORTER)


def _seen(powers: list[float], power: float) -> float | None:
    """The mean of the first `ALIKE` powers in a row that are near this one."""
    for i in range(len(powers) - ALIKE + 1):
        some = powers[i : i + ALIKE]
        if all(abs(p - power) <= NEAR for p in some):
            return sum(some) / ALIKE
    return None
