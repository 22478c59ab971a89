"""Does a back end give the sources' printed figures, and those worked by hand?

Nothing under test had a part in the numbers (`figures`). So a mistake that back end and reference share shows here,
even one that is made forward and backward alike, whose gradient is right for what is computed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ops import Case, Op
from ..data import Array, frozen
from ..figures import FIGURES, Figure
from ..trace import Trace, backward_arguments, forward_arguments, gradients, traced
from ..trial import Check, Trial

# A number rounds to a printed one that is half a unit of the last place away; and what computed it rounds too.
HALF = 0.5
ULPS = 4


@dataclass(frozen=True)
class Worked(Check):
    """The check of figures: its cases are theirs, and not the op's."""

    def cases(self, op: Op) -> tuple[Case, ...]:
        """The op's figures."""
        return tuple(_case(figure) for figure in FIGURES if figure.op == op.name)


def _case(figure: Figure) -> Case:
    return Case(
        f"figures, {figure.name}", {name: np.shape(a) for name, a in figure.arrays.items()}, figure.options, True
    )


def _figure(op: Op, case: Case) -> Figure | None:
    """The figure that is about this case; about one with other options or shapes, by whatever name, none is."""
    same = case.name, case.arrays, case.options
    cases = ((f, _case(f)) for f in FIGURES if f.op == op.name)
    return next((f for f, own in cases if (own.name, own.arrays, own.options) == same), None)


def _worked(trial: Trial) -> None:
    figure = _figure(trial.op, trial.case)
    assert figure is not None
    op, backend = trial.op, trial.sides.backend
    arrays = {name: _array(numbers, trial.dtype) for name, numbers in figure.arrays.items()}
    forward = traced(op.forward, forward_arguments(op, trial.case, arrays), backend)
    if _judged(trial, forward):
        results, expected = (v if isinstance(v, tuple) else (v,) for v in (forward.result, figure.y))
        for what, got, numbers in zip(("forward", "winners"), results, expected, strict=False):
            _hold(trial, what, got, numbers, figure.places)
    delta = np.empty(0) if op.cost else _array(figure.grad_output, trial.dtype)
    backward = traced(op.backward, backward_arguments(op, trial.case, arrays, delta, forward.result), backend)
    if _judged(trial, backward):
        for name, got in gradients(op, trial.case, backward.result).items():
            _hold(trial, f"gradient of {name}", got, figure.gradients[name], figure.places)


def _array(numbers: Any, dtype: str) -> Array:
    """Read-only, of the dtype; masks and class indices, which are arrays, keep theirs."""
    return frozen(numbers.copy() if isinstance(numbers, np.ndarray) else np.array(numbers, dtype))


def _judged(trial: Trial, trace: Trace) -> bool:
    """Note what the back end lacks; whether any of the trace is its own work."""
    for lack in trace.lacking:
        trial.result.lacks(lack.what, lack.why)
    trial.result.ran += trace.judged
    return trace.judged


def _hold(trial: Trial, what: str, got: Any, numbers: Any, places: int | None) -> None:
    expected = np.asarray(numbers, float)
    if np.shape(got) != expected.shape:
        trial.found(f"{what}: expected shape {expected.shape}, got {np.shape(got)}")
        return
    values = np.asarray(got, float)
    if places is None:
        # The nearest number of the dtype: 0.982 is none of float32.
        expected = expected.astype(np.asarray(got).dtype).astype(float)
        room = np.zeros_like(expected)
    else:
        room = HALF * 10.0**-places + ULPS * float(np.finfo(trial.dtype).eps) * np.maximum(1, np.abs(expected))
    wrong = ~(np.abs(values - expected) <= room)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        digits = "" if places is None else f" to {places} places"
        trial.found(
            f"{what} at {at}: expected {float(expected[at])!r}{digits}, got {float(values[at])!r}".replace(" at ()", "")
        )


CHECK = Worked(
    "worked",
    _worked,
    why_not=lambda op: "" if any(f.op == op.name for f in FIGURES) else "no figures for this op yet",
    takes=lambda op, case: _figure(op, case) is not None,
)
