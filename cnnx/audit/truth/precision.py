"""The arithmetic that a result is judged by: in which numbers it is accumulated, and in which it is handed out."""

import math
from dataclasses import dataclass

import numpy as np

from ..kinds import HALVES, held, limits
from .arithmetic import Bounded


@dataclass(frozen=True)
class Precision:
    """How an output is computed: in numbers of rounding error `eps`, then rounded once more to its own dtype.

    dtype : of the inputs. accumulator : in which all is computed. output : of what is handed out.
    flushed : a number below the smallest normal one may be 0.
    """

    dtype: str
    accumulator: str
    output: str
    flushed: bool = False

    @classmethod
    def of(cls, dtype: str, *, flushed: bool = False) -> "Precision":
        """All in one dtype."""
        return cls(dtype, dtype, dtype, flushed)

    @property
    def plain(self) -> bool:
        """Whether all is in one of the dtypes that cnnx has."""
        return self.dtype == self.accumulator == self.output and self.dtype not in HALVES

    @property
    def eps(self) -> float:
        """The rounding error of the accumulator's arithmetic."""
        return limits(self.accumulator).u

    @property
    def tiny(self) -> float:
        """What is lost below the accumulator's smallest number."""
        return self._smallest(self.accumulator)

    def _smallest(self, dtype: str) -> float:
        found = limits(dtype)
        return found.normal if self.flushed else found.subnormal

    @property
    def rounds(self) -> bool:
        """Whether what is handed out is rounded once more: to fewer digits or a smaller range than the accumulator."""
        out, inside = limits(self.output), limits(self.accumulator)
        return out.u > inside.u or out.subnormal > inside.subnormal

    def rounded(self, value: float, error: float) -> float:
        """The error after the last rounding of a number that is off by `error`; infinite where it may leave the range.

        RN(v + e) is off by e and half a unit of v + e, which is at most u |v + e|, or by half the smallest number.
        """
        if not self.rounds or not math.isfinite(value):
            return error
        out, size = limits(self.output), abs(value) + error
        if size >= out.largest:
            return math.inf
        return error + max(out.u * size, self._smallest(self.output) if self.flushed else out.subnormal / 2)

    def round_within(self, b: Bounded) -> Bounded:
        """A number with its bound, rounded to the output's dtype on the way: a tail begins with it."""
        return Bounded(b.value, b.eps, b.tiny, self.rounded(b.value, b.error))

    def overflows(self, value: float, error: float) -> bool:
        """Whether a number may lie beyond what the dtype has: then an infinity is right, too."""
        return self.rounds and math.isfinite(value) and abs(value) + error >= limits(self.output).largest

    def number(self, value: float) -> Bounded:
        """A number argument: it comes as a double, and a kernel may round it to the arithmetic's numbers."""
        return Bounded(value, self.eps, self.tiny, abs(value - float(held(np.array(value), self.accumulator))))
