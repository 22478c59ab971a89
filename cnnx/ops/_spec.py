"""What the harness, the benchmarks, the docs and the command line need to know about an op."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Shape = tuple[int, ...]
Kind = Literal["number", "positive", "channels", "sets", "mask", "index", "probability"]


@dataclass(frozen=True)
class Draw:
    """How to draw an array argument: its shape and what its numbers are like.

    kind: "number" (any), "positive", "channels" (images whose channels may lie far from 0, or be
    constant), "sets" (likewise, runs of `length` numbers instead of channels), "mask" (bool), "index" (integers below
    `high`) or "probability" (rows that sum to 1).
    """

    shape: Shape
    kind: Kind = "number"
    high: int = 0
    length: int = 0


@dataclass(frozen=True)
class Case:
    """One named call of an op: its array arguments and its options.

    Options go to the forward and the backward function alike, to each those it knows. `exact` says
    that integer-valued data must give equal results in all back ends, bit by bit.
    """

    name: str
    arrays: Mapping[str, Shape | Draw]
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False


@dataclass(frozen=True)
class Op:
    """One op: its public functions and what is known about them.

    differentiable : array arguments that the backward function gives gradients of, in its order.
    linear : those of them in which the op is linear (or affine) while the others are fixed.
    kinks : how the real numbers of a case are kept away from where the slope jumps, for central
        differences: "zero" keeps every number off 0, "ties" keeps all numbers apart, a function gives the places by
        the case's options.
    frozen_kernels : kernels that no public function calls, only a frozen layer.
    cost : True if the forward function returns a number and the backward one takes no grad_output.
    large : cases of production size, for benchmarks alone: a back end in Python would take minutes for one.
    broadcasts : array arguments are repeated along axes that others have, as NumPy does it: their gradients sum.
    matrices : their last two axes are those of matrices and not repeated.
    edge : float32 results are right for numbers up to the largest: no sum of them overflows on the way.
    multiply_adds : how many the equations have, forward and backward, by the arrays' shapes and the
        output's; None where there are no sums of products, or so few that memory binds.
    """

    name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    summary: str
    equations: str
    kernels: tuple[str, ...]
    differentiable: tuple[str, ...]
    cases: tuple[Case, ...]
    bench: tuple[Case, ...]
    linear: tuple[str, ...] = ()
    kinks: Literal["none", "zero", "ties"] | Callable[[Mapping[str, Any]], tuple[float, ...]] = "none"
    frozen_kernels: tuple[str, ...] = ()
    cost: bool = False
    large: tuple[Case, ...] = ()
    broadcasts: bool = False
    matrices: bool = False
    edge: bool = False
    multiply_adds: Callable[[Mapping[str, Shape], Shape], tuple[int, int]] | None = None
