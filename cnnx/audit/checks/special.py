"""Are NaN and infinities lost?"""

from typing import Any

import numpy as np

from ..data import Array, Arrays, draw, frozen
from ..trace import forward_arguments, traced
from ..trial import Attempt, Check, Trial
from ._compare import compare_kernels

# Where a border takes the part of padding: around the gradient, or around a transposed convolution's image.
BORDERED = {"conv2d": "backward", "conv_transpose2d": "forward"}

# Where comparisons find a maximum a NaN may come through at one place of a window alone: first, or last.
COMPARED = {"max_pool2d", "global_max_pool2d"}

SMALL = 50  # numbers in a case; one that has more has one of the infinities in each dtype: it takes the reference long


def _special(trial: Trial) -> None:
    """A NaN or an infinity in an input or in grad_output: what comes out has the same kinds at the same
    places (finite, inf, -inf, NaN), and finite numbers stay within their bound. Of a maximum also with a NaN as a
    window's first member, and as its last."""
    sides, where = trial.sides, trial.sides.compat.nonfinite
    if where == "nowhere" or (where == "forward" and trial.op.cost):
        trial.result.skipped = f"compat {sides.compat.name}"
        return
    drawn = draw(trial.op, trial.case, trial.dtype, "real", trial.rng)
    inputs = [name for name in trial.op.differentiable if name in trial.case.arrays]
    large = sum(a.size for a in drawn.values()) > SMALL
    infinities = trial.rng.permutation((np.inf, -np.inf))[: 1 if large else None]
    for value in (np.nan, *map(float, infinities)):
        _check_special(trial, drawn, inputs[int(trial.rng.integers(len(inputs)))], value)
    if trial.op.name in COMPARED and drawn["x"].size:
        for at in _ends(trial, drawn):
            spoilt = {**drawn, "x": _spoilt(drawn["x"], np.nan, trial.rng, at)}
            _compare(trial, trial.run(sides.against, spoilt, "real"), "x")


def _ends(trial: Trial, drawn: Arrays) -> tuple[int, int]:
    """The first and the last member of a window, in the order of memory."""
    forward = traced(trial.op.forward, forward_arguments(trial.op, trial.case, drawn), trial.sides.against)
    (call,) = forward.calls
    x, y, n = call.inputs[0], call.outputs[0], call.numbers
    at = np.unravel_index(int(trial.rng.integers(y.size)), y.shape)
    ends = []
    for place, extent, step, pad, span in zip(at[2:], x.shape[2:], "uv", ("p_h", "p_w"), "RS", strict=True):
        start = int(n[step] * place - n[pad])
        ends.append((max(0, start), min(extent, start + int(n[span])) - 1))
    first, last = zip(*ends, strict=True)
    return tuple(int(np.ravel_multi_index((*at[:2], *corner), x.shape)) for corner in (first, last))  # type: ignore[return-value]


def _check_special(trial: Trial, drawn: Arrays, name: str, value: float) -> None:
    if drawn[name].size == 0 or (name == "weight" and trial.case.options.get("padding", 0) != 0):
        return  # non-finite weights beside padding are unspecified
    rng, sides = trial.rng, trial.sides
    spoil_delta = not trial.op.cost and rng.random() < 0.5
    arrays = drawn if spoil_delta else {**drawn, name: _spoilt(drawn[name], value, rng)}
    theirs = trial.run(sides.against, arrays, "real")
    if spoil_delta and theirs.grad_output is not None and theirs.grad_output.size:
        theirs = trial.repeat(sides.against, theirs, delta=_spoilt(theirs.grad_output, value, rng))
    _compare(trial, theirs, "" if spoil_delta else name)


def _compare(trial: Trial, theirs: Attempt, name: str) -> None:
    """Hold the back end against what the other one gave on numbers of which some of `name` are not finite."""
    sides = trial.sides
    ours = trial.repeat(sides.backend, theirs)
    for direction, mine, other in ours.pairs(theirs):
        if direction == BORDERED.get(trial.op.name) and name == "weight":
            continue
        if direction == "backward" and sides.compat.nonfinite == "forward":
            continue
        trial.ran(direction)
        compare_kernels(trial, mine, other, finite=False)


def _spoilt(a: Array, value: float, rng: np.random.Generator, at: int | None = None) -> Array:
    """A copy with one number replaced, any or that at a place in memory."""
    spoilt: Any = a.copy()
    spoilt.flat[int(rng.integers(spoilt.size)) if at is None else at] = value
    return frozen(spoilt)


CHECK = Check("special", _special)
