"""The error bound of recorded kernel calls, and how much of it two results use."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import backend as _backend
from ..data import Array
from ..trace import KernelCall, address, lifted, replay
from .arithmetic import Bounded, BoundedMath
from .exact import BALLS, DOUBLES, MPMATH, Equation, Truth, as_float, off
from .precision import Precision
from .winograd_bound import tile_errors

FUNCTION = 4.0  # exp, log, ...: 2 to 4 ulp in units of u, what a good vectorised exponential needs

# Where the truth is computed in double, with rounding: in float64 its own errors take up as much as the result's may.
DOUBLE_TRUTH = {"float32": 1.0, "float64": 2.0}

DOUBLE = float(np.finfo("float64").eps) / 2, float(np.finfo("float64").smallest_subnormal)

GOLDEN = (math.sqrt(5) - 1) / 2
Index = tuple[int, ...]

# How many exponentials and the like are computed for one output; its elements beyond are held against doubles. One of a
# ball takes some microseconds, one of mpmath's numbers some tens.
CALLS = {BALLS: 1500, MPMATH: 600}


@dataclass(frozen=True)
class Use:
    """How much of its error bound an element uses, and what it was held against."""

    share: float
    index: tuple[int, ...]
    expected: float
    got: float
    error: float
    truth: str


class Comparison:
    """Bounds for the outputs of calls, from the reference's equations run on `Bounded` numbers in arithmetic with
    rounding error u, and their true values, from the equations on numbers without rounding.

    An output in float64 is judged as computed in double, whatever the other arrays' dtype is (a batch's statistics, but
    for a cost, E). Where it enters a call in float32, it comes with the error that doubles have.

    finite=False: the inputs hold NaN or infinities; of numbers without a bound only the kind is compared.
    flushed=True: a number below the smallest normal one may be 0.
    doubles=True: the truth is in doubles, and so are number arguments (an optimiser's, which cancel where rounded).
    precision : by which arithmetic, where it is not all in `dtype`.
    """

    def __init__(
        self,
        calls: list[KernelCall],
        dtype: str,
        *,
        finite: bool = True,
        flushed: bool = False,
        doubles: bool = False,
        precision: Precision | None = None,
    ):
        self._precision = Precision.of(dtype, flushed=flushed) if precision is None else precision
        u, tiny = self._precision.eps, self._precision.tiny
        own = precision is None or precision.plain

        def lift(a: Array, call: KernelCall) -> Array:
            precision = DOUBLE if own and in_double(call) else (u, tiny)
            if a.dtype.kind == "O":
                return carried(a, *precision)
            kept = a.dtype == np.float64 and precision != DOUBLE and dtype == "float32"
            return lifted(a, lambda value: Bounded(value, *precision, kept=kept))

        inside = DOUBLE_TRUTH.get(self._precision.accumulator, 1.0)
        self._finite, self._slack = finite, {True: DOUBLE_TRUTH["float64"] if own else inside, False: inside}
        self._bounds = replay(calls, lift, float if doubles else self._precision.number, BoundedMath(FUNCTION))
        self._tiles = {address(call.outputs[0]): tile_errors(call, u) for call in calls}
        self._truth = Truth(calls) if finite and not doubles else None
        self.truths: Counter[str] = Counter()

    def worst(self, got: Array, reference: Array) -> Use | None:
        """Where either result uses the largest share of the bound; None where there are no elements."""
        bounds = self._bounds[address(reference)].reshape(reference.shape)
        numbers = {i: (float(got[i]), float(reference[i])) for i in np.ndindex(bounds.shape)}
        if self._precision.rounds:
            numbers = {i: n for i, n in numbers.items() if not self._overflows(bounds[i])}
        uses = {i: self._by_doubles(i, bounds[i], numbers[i], reference) for i in numbers}
        if self._truth is not None:
            self._exactly(self._truth.of(reference), uses, bounds, numbers, reference)
        self.truths.update(use.truth for use in uses.values())
        return max(uses.values(), key=lambda use: use.share, default=None)

    def _overflows(self, bounded: Any) -> bool:
        return isinstance(bounded, Bounded) and self._precision.overflows(bounded.value, bounded.error)

    def _by_doubles(self, index: Index, bounded: Any, numbers: tuple[float, float], reference: Array) -> Use:
        value, error = (bounded.value, bounded.error) if isinstance(bounded, Bounded) else (float(bounded), 0.0)
        slack = self._slack[reference.dtype == np.float64]
        error = self._precision.rounded(value, error * slack)
        tiles = self._tiles.get(address(reference))
        if tiles is None:
            shares = [share_of(number, value, error, finite=self._finite) for number in numbers]
        else:
            tile = float(tiles[index]) * slack
            shares = [_share_of_tile(number, value, error, tile, finite=self._finite) for number in numbers]
        share = max(shares)
        return Use(share, index, value, numbers[shares.index(share)], error, DOUBLES)

    def _exactly(
        self,
        equation: Equation,
        uses: dict[Index, Use],
        bounds: Array,
        numbers: dict[Index, tuple[float, float]],
        reference: Array,
    ) -> None:
        """Put what numbers without rounding say in the place of what doubles said.

        For all elements; on balls and mpmath's numbers for as many as their work allows, by turns those that use most
        of their bound and others spread evenly.
        """
        tiles = self._tiles.get(address(reference))
        for index in _by_turns(uses):
            if equation.asked > CALLS.get(equation.kind, math.inf):
                break
            value, bounded = equation.value(index), bounds[index]
            if value is None:
                continue
            error = bounded.error if isinstance(bounded, Bounded) else 0.0
            if tiles is not None:
                error += float(tiles[index])
            error = self._precision.rounded(as_float(value), error)
            shares = [_of_room(off(number, value), error) for number in numbers[index]]
            share = max(shares)
            number = numbers[index][shares.index(share)]
            uses[index] = Use(share, index, as_float(value), number, error, equation.kind)


def in_double(call: KernelCall) -> bool:
    """Whether a call's output is a float64 array by its contract, whatever its other arrays are."""
    return call.outputs[0].dtype == np.float64 and "E" not in _backend.equations(call.kernel)


def carried(values: Array, u: float, tiny: float) -> Array:
    """What an earlier call computed, as it enters a call: of another precision, it is a double that is kept as one."""
    entering = values.copy()
    for index in np.ndindex(values.shape):
        value = values[index]
        if isinstance(value, Bounded) and value.eps != u:
            entering[index] = Bounded(value.value, u, tiny, value.error, kept=value.eps < u)
    return entering


def _by_turns(uses: dict[Index, Use]) -> list[Index]:
    """The elements, by turns the one with the largest share and one of a sequence that spreads evenly."""
    largest = sorted(uses, key=lambda index: -uses[index].share)
    spread = [index for _, index in sorted((i * GOLDEN % 1, index) for i, index in enumerate(uses))]
    return list(dict.fromkeys(index for pair in zip(largest, spread, strict=True) for index in pair))


def _of_room(off: float, room: float) -> float:
    share = 0.0 if off == 0 else (off / room if room > 0 else math.inf)
    return math.inf if math.isnan(share) or not math.isfinite(room) else share


def share_of(number: float, value: float, error: float, *, finite: bool) -> float:
    """How much of the error a number uses; infinite where it is of another kind, or where there is no bound."""
    if math.isfinite(value) and math.isfinite(error):
        return _of_room(abs(number - value), error)
    if finite:
        return math.inf  # finite numbers went in: an infinite bound would pass anything
    same = (
        number == value
        or (math.isnan(number) and math.isnan(value))
        or (math.isfinite(number) and math.isfinite(value))
    )
    return 0.0 if same else math.inf


def _share_of_tile(number: float, value: float, error: float, tile: float, *, finite: bool) -> float:
    """The same for an output of a tile with an error of its own; what is not finite may spread within the tile."""
    if finite or math.isfinite(tile):
        return share_of(number, value, error + tile, finite=finite)
    return 0.0 if math.isfinite(value) or not math.isfinite(number) else math.inf
