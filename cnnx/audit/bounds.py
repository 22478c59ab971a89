"""The error bound of recorded kernel calls, and how much of it two results use."""

import math
from dataclasses import dataclass

import numpy as np

from .calls import KernelCall, address, lifted, replay
from .data import Array
from .numbers import Bounded, BoundedMath
from .winograd import tile_errors

# Errors granted, in units of the rounding error u of one operation. In float32 the reference, which
# computes in double, is as good as exact; in float64 both sides round.
OPERATION = {"float32": 1.0, "float64": 2.0}
FUNCTION = 4.0  # exp, log, ...: 2 to 4 ulp, what a good vectorised exponential needs


class Comparison:
    """Bounds for the outputs of calls, from the reference's equations run on `Bounded` numbers."""

    def __init__(self, calls: list[KernelCall], dtype: str):
        info = np.finfo(dtype)
        eps = OPERATION[dtype] * float(info.eps) / 2
        tiny = float(info.smallest_subnormal)

        def lift(a: Array) -> Array:
            return lifted(a, lambda value: Bounded(value, eps, tiny))

        math_of = BoundedMath(FUNCTION / OPERATION[dtype])
        self._bounds = replay(calls, lift, float, math_of)
        self._tiles = {address(call.outputs[0]): tile_errors(call, eps) for call in calls}

    def worst(self, got: Array, reference: Array, *, finite: bool) -> "Use | None":
        """Where either result uses the largest share of the bound; None where there are no elements."""
        truth = self._bounds[address(reference)].reshape(reference.shape)
        tiles = self._tiles.get(address(reference))
        largest: Use | None = None
        for index in np.ndindex(truth.shape):
            t = truth[index]
            value, error = (t.value, t.error) if isinstance(t, Bounded) else (float(t), 0.0)
            for number in (float(got[index]), float(reference[index])):
                if tiles is None:
                    share = _share(number, value, error, finite=finite)
                else:
                    share = _share_of_tile(number, value, error, float(tiles[index]), finite=finite)
                if largest is None or share > largest.share:
                    largest = Use(share, index, value, number, error)
        return largest


@dataclass(frozen=True)
class Use:
    """How much of its error bound an element uses."""

    share: float
    index: tuple[int, ...]
    expected: float
    got: float
    error: float
    truth: str = "bounded doubles"


def _share(number: float, value: float, error: float, *, finite: bool) -> float:
    """How much of the error a number uses; infinite where it is of another kind, or where there is no bound."""
    if math.isfinite(value) and math.isfinite(error):
        off = abs(number - value)
        share = 0.0 if off == 0 else (off / error if error > 0 else math.inf)
        return math.inf if math.isnan(share) else share
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
        return _share(number, value, error + tile, finite=finite)
    return 0.0 if math.isfinite(value) or not math.isfinite(number) else math.inf
