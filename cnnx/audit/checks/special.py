"""Are NaN and infinities lost?"""

from typing import Any

import numpy as np

from ..data import Array, Arrays, draw, frozen
from ..trial import Check, Trial
from ._compare import compare_kernels

# Where a border takes the part of padding: around the gradient, or around a transposed convolution's image.
BORDERED = {"conv2d": "backward", "conv_transpose2d": "forward"}

SMALL = 50  # numbers in a case; one that has more has one of the infinities in each dtype: it takes the reference long


def _special(trial: Trial) -> None:
    """A NaN or an infinity in an input or in grad_output: what comes out has the same kinds at the same
    places (finite, inf, -inf, NaN), and finite numbers stay within their bound."""
    where = trial.sides.compat.nonfinite
    if where == "nowhere" or (where == "forward" and trial.op.cost):
        trial.result.skipped = f"compat {trial.sides.compat.name}"
        return
    drawn = draw(trial.op, trial.case, trial.dtype, "real", trial.rng)
    inputs = [name for name in trial.op.differentiable if name in trial.case.arrays]
    large = sum(a.size for a in drawn.values()) > SMALL
    infinities = trial.rng.permutation((np.inf, -np.inf))[: 1 if large else None]
    for value in (np.nan, *map(float, infinities)):
        _check_special(trial, drawn, inputs[int(trial.rng.integers(len(inputs)))], value)


def _check_special(trial: Trial, drawn: Arrays, name: str, value: float) -> None:
    if drawn[name].size == 0 or (name == "weight" and trial.case.options.get("padding", 0) != 0):
        return  # non-finite weights beside padding are unspecified
    rng, sides = trial.rng, trial.sides
    spoil_delta = not trial.op.cost and rng.random() < 0.5
    arrays = drawn if spoil_delta else {**drawn, name: _spoilt(drawn[name], value, rng)}
    theirs = trial.run(sides.against, arrays, "real")
    if spoil_delta and theirs.grad_output is not None and theirs.grad_output.size:
        theirs = trial.repeat(sides.against, theirs, delta=_spoilt(theirs.grad_output, value, rng))
    ours = trial.repeat(sides.backend, theirs)
    for direction, mine, other in ours.pairs(theirs):
        if direction == BORDERED.get(trial.op.name) and name == "weight" and not spoil_delta:
            continue
        if direction == "backward" and sides.compat.nonfinite == "forward":
            continue
        trial.ran(direction)
        compare_kernels(trial, mine, other, finite=False)


def _spoilt(a: Array, value: float, rng: np.random.Generator) -> Array:
    """A copy with one number replaced."""
    spoilt: Any = a.copy()
    spoilt.flat[int(rng.integers(spoilt.size))] = value
    return frozen(spoilt)


CHECK = Check("special", _special)
