"""The reference against itself, without rounding: every backward equation against the derivative of its forward
equation, by dual numbers over Fractions."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..data import Array, Arrays, draw, draw_like
from ..trace import (
    KernelCall,
    Trace,
    address,
    backward_arguments,
    first,
    forward_arguments,
    gradients,
    lifted,
    replay,
    traced,
)
from ..trial import Check, Trial
from ..truth.arithmetic import Bounded, BoundedMath, FractionMath, IrrationalError
from ..truth.dual import Dual, DualMath, Slopes

COORDINATES = 5  # single coordinates of each input, besides one direction that moves all of them


def _dual(trial: Trial) -> None:
    """The derivative of the forward equations, by dual numbers, equals the backward equations' value.

    On Fractions the two are equal, with no tolerance; where exp, log, sqrt or erf come in, the numbers
    are floats with an error bound, and the two bounds must meet.
    """
    op, case = trial.op, trial.case
    arrays = draw(op, case, "float64", "dyadic", trial.rng)
    if all(arrays[name].size == 0 for name in op.differentiable if name in arrays):
        return
    try:
        forward = traced(op.forward, forward_arguments(op, case, arrays), "reference")
        y = first(forward.result)
        delta = np.ones(1) if op.cost else draw_like(y, "float64", "dyadic", trial.rng)
        saved = backward_arguments(op, case, arrays, delta, forward.result)
        backward = traced(op.backward, saved, "reference")
        try:
            _compare(trial, arrays, delta, forward, backward, _fractions())
            trial.result.notes.add("Fractions")
        except IrrationalError:
            _compare(trial, arrays, delta, forward, backward, _floats())
            trial.result.notes.add("bounded floats")
    except Exception as error:
        trial.raised("reference", error)


class _Arithmetic:
    """A kind of number, ready for `replay`."""

    def __init__(self, name: str, make: Callable[[float], Any], number: Callable[[float], Any], m: Any):
        self.name, self.make, self.number, self.m = name, make, number, m

    def lift(self, a: Array, call: KernelCall | None = None) -> Array:
        return lifted(a, self.make)


def _fractions() -> _Arithmetic:
    return _Arithmetic("Fractions", Fraction, Fraction, FractionMath())


def _floats() -> _Arithmetic:
    info = np.finfo("float64")

    def bounded(value: float) -> Bounded:
        return Bounded(value, float(info.eps), float(info.smallest_subnormal))

    return _Arithmetic("bounded floats", bounded, float, BoundedMath())


def _compare(trial: Trial, arrays: Arrays, delta: Array, forward: Trace, backward: Trace, kind: _Arithmetic) -> None:
    # A saved output is rounded; the derivative is that of the forward equation.
    before = forward.calls if trial.case.options.get("output") else []
    computed = replay([*before, *backward.calls], kind.lift, kind.number, kind.m)
    moves = [
        (name, computed[address(gradient)].reshape(-1), direction)
        for name, gradient in gradients(trial.op, trial.case, backward.result).items()
        for direction in _directions(arrays[name], trial.rng)
    ]
    moved = [(arrays[name], direction) for name, _, direction in moves]
    slopes = _slopes(forward, moved, kind.lift(delta).reshape(-1), kind)
    for number, (name, exact_gradient, direction) in enumerate(moves):
        expected: Any = 0
        for i in np.flatnonzero(direction):
            expected = expected + exact_gradient[i] * kind.make(float(direction[i]))
        trial.ran("forward", "backward")
        _hold(trial, name, kind, expected, slopes.along(number))


def _directions(a: Array, rng: np.random.Generator) -> list[Array]:
    """One direction that moves every element by a different fraction, and some single coordinates."""
    directions = [rng.integers(1, 17, a.size) / 16]
    coordinates = rng.permutation(a.size)[:COORDINATES]
    return [*directions, *(np.eye(1, a.size, int(i))[0] for i in coordinates)]


def _slopes(forward: Trace, moved: list[tuple[Array, Array]], weights: Array, kind: _Arithmetic) -> Slopes:
    """The derivative of sum(weights * Y) along each of so many (input, direction)."""
    by_address: dict[tuple[int, int], dict[int, dict[int, Any]]] = {}  # of each element that moves: its slopes
    for number, (a, direction) in enumerate(moved):
        elements = by_address.setdefault(address(a), {})
        for i in np.flatnonzero(direction):
            elements.setdefault(int(i), {})[number] = kind.make(float(direction[i]))

    def lift(a: Array, call: KernelCall) -> Array:
        numbers = kind.lift(a)
        flat = numbers.reshape(-1)
        for i, slopes in by_address.get(address(a), {}).items():
            flat[i] = Dual(flat[i], Slopes(slopes))
        return numbers

    outputs = replay(forward.calls, lift, kind.number, DualMath(kind.m))
    last = forward.calls[-1]
    total = Slopes({})
    for weight, y in zip(weights, outputs[address(last.outputs[0])].reshape(-1), strict=True):
        if isinstance(y, Dual):
            total = total + weight * y.slope
    return total


def _hold(trial: Trial, name: str, kind: _Arithmetic, expected: Any, slope: Any) -> None:
    if kind.name == "Fractions":
        if expected != slope:
            trial.found(f"gradient of {name}: backward {float(expected)!r}, derivative {float(slope)!r}")
        return
    (a, a_error), (b, b_error) = (
        (v.value, v.error) if isinstance(v, Bounded) else (float(v), 0.0) for v in (expected, slope)
    )
    room = a_error + b_error
    share = 0.0 if a == b else (abs(a - b) / room if room > 0 else np.inf)
    if not np.isfinite(share) or not np.isfinite(room):
        share = np.inf  # an infinite bound would pass anything
    trial.result.used(share)
    if not share <= 1:
        trial.found(f"gradient of {name}: backward {a!r}, derivative {b!r}, bounds {room:.1e}")


CHECK = Check("dual", _dual, why_not=lambda op: "" if op.kernels else "no equations", dtypes=("exact",))
