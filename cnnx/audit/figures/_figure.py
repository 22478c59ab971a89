"""One worked call of an op."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LN2, LN3, LN5 = 0.6931471805599453, 1.0986122886681098, 1.6094379124341003  # exp gives 2, 3, 5

Numbers = Any  # nested lists of numbers, or one; an array where its dtype is not the one under audit


@dataclass(frozen=True)
class Figure:
    """One worked call of an op, forward and backward.

    y : what the forward function returns (a tuple where it returns more). grad_output is None for a cost, whose
    backward function takes none. gradients : by the name of their argument.
    """

    op: str
    name: str
    source: str
    arrays: Mapping[str, Numbers]
    y: Numbers
    grad_output: Numbers
    gradients: Mapping[str, Numbers]
    options: Mapping[str, Any] = field(default_factory=dict)
    places: int | None = None
