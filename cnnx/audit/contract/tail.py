"""What a fused kernel does with its sums before it hands them out: steps behind an op, and the equation of all at once.

A step is a word, or a word with its numbers: "relu", ("clip", 0.0, 6.0). Each has its equation from the reference; the
element of the whole is one applied to the other, so that what an audit has for kernels it has for fused ones.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ... import backend as _backend
from ..._text import expected_one_of
from .._signature import signature
from ..truth.arithmetic import Bounded, UndecidedError
from ..truth.precision import Precision

# A factor of a whole sum may have been multiplied into each of its terms before: so many roundings of each, of a root,
# a quotient and two products, or of one product.
FOLDED = {"batch_norm": 6.0, "scale": 1.0}
CHANNELS = {
    "bias": ("bias",),
    "scale": ("scale",),
    "shift": ("shift",),
    "batch_norm": ("scale", "shift", "mean", "variance"),
}
# Functions of one number: the kernel whose equation they are, and their numbers with defaults.
FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("relu", {}), "relu6": ("clip", {"low": 0.0, "high": 6.0}), "clip": ("clip", {"low": 0.0, "high": 6.0}),
    "leaky_relu": ("leaky_relu", {"slope": 0.01}), "elu": ("elu", {"alpha": 1.0}), "sigmoid": ("sigmoid", {}),
    "tanh": ("tanh", {}), "gelu": ("gelu", {}), "silu": ("silu", {}), "hard_swish": ("hard_swish", {}),
    "softplus": ("softplus", {}), "hard_sigmoid": ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
}  # fmt: skip
ROUND, ADD, BATCH_NORM = "round", "add", "batch_norm"
FALLING = {"hard_swish": 2.0, "silu": 2.0, "gelu": 2.0}  # not from end to end: a smaller number is the most it can miss
STEPS = (*CHANNELS, ADD, ROUND, *FUNCTIONS)
SAID = {
    "bias": "y + bias[k]",
    "scale": "scale[k] y",
    "shift": "y + shift[k]",
    ROUND: "y rounded",
    BATCH_NORM: "scale[k] (y - mean[k]) / sqrt(variance[k] + eps) + shift[k]",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A step and its numbers."""

    name: str
    numbers: tuple[float, ...] = ()

    @classmethod
    def parse(cls, given: Any) -> "Step":
        """What stands in a tail; ValueError or TypeError with what is wrong."""
        name, *numbers = (given,) if isinstance(given, str) else tuple(given)
        if name not in STEPS:
            raise ValueError(f"tail: {expected_one_of(STEPS, name)}")
        most = 1 if name == BATCH_NORM else len(FUNCTIONS[name][1]) if name in FUNCTIONS else 0
        if len(numbers) > most or not all(isinstance(n, (int, float)) for n in numbers):
            raise ValueError(f"tail: expected {name!r} with at most {most} numbers, got {given!r}")
        return cls(name, tuple(map(float, numbers)))

    @property
    def arrays(self) -> tuple[str, ...]:
        """What it takes beside the sum, by the names in a contract."""
        return ("residual",) if self.name == ADD else CHANNELS.get(self.name, ())

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{n:g}' for n in self.numbers)})" if self.numbers else self.name


def arrays_of(steps: Sequence[Step]) -> tuple[str, ...]:
    """What a tail takes; no array twice."""
    names = [name for step in steps for name in step.arrays]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"tail: expected {name!r} for one step alone, got it for {names.count(name)}")
    return tuple(names)


def fused(
    kernel: str, name: str, steps: Sequence[Step], precision: Callable[[Bounded], Precision]
) -> Callable[..., Any]:
    """The kernel that computes `kernel` and the steps behind it, as the reference would have it.

    precision : the arithmetic that judges a bounded number, for where it is rounded on the way.
    """
    base = _backend.reference_kernel(kernel)
    (output, element), *_ = _backend.equations(kernel).items()
    parameters = list(signature(base).parameters.values())
    inputs = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    rest = [p for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    more = arrays_of(steps)
    applied = [_applied(step, more, precision) for step in steps]
    count, ieee = len(inputs), _backend.reference_math()

    def whole(*arguments: Any, **numbers: Any) -> Any:
        m = numbers.pop("m", ieee)
        arrays, index = arguments[:count], arguments[count + len(more) :]
        beside = arguments[count : count + len(more)]
        extra = {"m": m} if takes_m else {}
        y = element(*arrays, *index, **numbers, **extra)
        for step in applied:
            y = step(y, beside, index, m)
        return y

    own = list(signature(element).parameters.values())
    takes_m = any(p.name == "m" for p in own)
    made = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in more]
    after = [p for p in own[count:] if p.name != "m"]
    if takes_m or any(step.name in FUNCTIONS or step.name == BATCH_NORM for step in steps):
        after.append(inspect.Parameter("m", inspect.Parameter.KEYWORD_ONLY, default=ieee))
    whole.__signature__ = inspect.Signature([*own[:count], *made, *after])  # type: ignore[attr-defined]
    whole.__name__ = f"{element.__name__}_{'_'.join(step.name for step in steps)}"
    whole.__doc__ = _equation(element.__doc__ or "", steps, [p.name for p in own[count:] if p.name != "m"])

    def stub(*arrays: Any, **numbers: Any) -> None: ...

    stub.__name__ = name
    beside = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in more]
    stub.__signature__ = inspect.Signature([*inputs, *beside, *rest])  # type: ignore[attr-defined]
    return _backend.computed(stub, {output: whole})


def _equation(words: str, steps: Sequence[Step], index: Sequence[str]) -> str:
    """The op's equation, and behind it what is fused: y is the number so far, k its channel."""
    of_all = f"[{','.join(index)}]" if index else ""
    said = {**SAID, ADD: f"y + residual{of_all}"}
    fused_on = "; y = ".join(said.get(step.name, f"{step}(y)") for step in steps)
    return f"{words.rstrip()}\n\n    Then, fused: y = {fused_on}."


def _applied(step: Step, names: Sequence[str], precision: Callable[[Bounded], Precision]) -> Callable[..., Any]:
    """A step as a function of the number before it, the tail's arrays, the element's index and functions."""
    if step.name == ROUND:
        return lambda y, arrays, index, m: precision(y).round_within(y) if isinstance(y, Bounded) else y
    if step.name == ADD:
        at = names.index("residual")
        return lambda y, arrays, index, m: y + arrays[at][index]
    if step.name in CHANNELS:
        return _of_channels(step, [names.index(name) for name in step.arrays])
    kernel, defaults = FUNCTIONS[step.name]
    numbers = dict(zip(defaults, (*step.numbers, *list(defaults.values())[len(step.numbers) :]), strict=True))
    (phi,) = (f for f in _backend.equations(kernel).values())
    takes_m = "m" in signature(phi).parameters

    def function(y: Any, arrays: Any, index: Any, m: Any) -> Any:
        extra = {"m": m} if takes_m else {}
        return _of_one(lambda one: phi(_Only(one), (), **numbers, **extra), y, FALLING.get(step.name, 1.0))

    return function


class _Only:
    """An array of one number, whatever the index."""

    shape = ()

    def __init__(self, number: Any):
        self._number = number

    def __getitem__(self, index: Any) -> Any:
        return self._number


def _of_one(phi: Callable[[Any], Any], y: Any, room: float) -> Any:
    """A function of a number; where its bound reaches over a kink, `room` times how far the function moves in it."""
    try:
        return phi(y)
    except UndecidedError:
        here, low, high = (
            _bounded(phi(Bounded(v, y.eps, y.tiny)), y) for v in (y.value, y.value - y.error, y.value + y.error)
        )
        moved = room * max(abs(low.value - here.value), abs(high.value - here.value)) + max(low.error, high.error)
        return Bounded(here.value, y.eps, y.tiny, here.error + moved)


def _bounded(value: Any, like: Bounded) -> Bounded:
    return value if isinstance(value, Bounded) else Bounded(float(value), like.eps, like.tiny)


def _of_channels(step: Step, at: Sequence[int]) -> Callable[..., Any]:
    eps = step.numbers[0] if step.numbers else 1e-5
    folded = FOLDED.get(step.name, 0.0)

    def apply(y: Any, arrays: Any, index: Any, m: Any) -> Any:
        k = index[1]
        if step.name in ("bias", "shift"):
            return y + arrays[at[0]][k]
        if isinstance(y, Bounded) and y.mass > abs(y.value):
            y = Bounded(y.value, y.eps, y.tiny, y.error + folded * y.eps * y.mass)
        if step.name == "scale":
            return y * arrays[at[0]][k]
        scale, shift, mean, variance = (arrays[i][k] for i in at)
        factor = scale / m.sqrt(variance + eps)
        return factor * y + (shift - factor * mean)  # as engines have it: the bound has room for what cancels

    return apply
