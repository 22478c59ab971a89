"""What spot checks found."""

import math
from dataclasses import dataclass, field
from typing import Any

from ..report.result import Discrepancy
from .benchdnn import Problem

Index = tuple[int, ...]


@dataclass
class Tensor:
    """One output of a problem: how many elements of how many were checked, and what came out.

    share, worst : the largest share of the error bound that an element used, on real numbers, and which.
    exact : whether integers were checked as well.
    """

    kernel: str
    output: str
    checked: int
    total: int
    share: float = 0.0
    exact: bool = False
    worst: Index | None = None


@dataclass
class Spot:
    """One problem in one dtype.

    layers : how many layers of a network are like it.
    lacking : what the back end does not have, and why, if it says so.
    note : why integers were not checked.
    """

    problem: Problem
    dtype: str
    layers: int = 1
    tensors: list[Tensor] = field(default_factory=list)
    discrepancies: list[Discrepancy] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)
    note: str = ""
    seconds: float = 0.0

    @property
    def checked(self) -> int:
        """How many elements were judged."""
        return sum(tensor.checked for tensor in self.tensors)

    @property
    def share(self) -> float:
        """The largest share of the error bound."""
        return max((tensor.share for tensor in self.tensors), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "op": self.problem.op,
            "case": self.problem.case.name,
            "shape": self.problem.text,
            "layers": self.layers,
            "multiply_adds": self.problem.multiply_adds,
            "dtype": self.dtype,
            "tensors": [
                {
                    "kernel": t.kernel,
                    "output": t.output,
                    "checked": t.checked,
                    "total": t.total,
                    "exact": t.exact,
                    "share": t.share if math.isfinite(t.share) else str(t.share),
                    "worst": None if t.worst is None else list(t.worst),
                }
                for t in self.tensors
            ],
            "lacking": self.lacking,
            "note": self.note,
            "seconds": round(self.seconds, 3),
            "discrepancies": [d.as_dict() for d in self.discrepancies],
        }
