"""Gradient check by central differences in float64, for an op or any cost of any arrays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case, Op
from ..data import Array, Arrays, draw, draw_like
from ..trace import KernelCall, backward_arguments, first, forward_arguments, gradients, traced
from ..trial import Check, Trial
from ..truth.winograd_bound import tile_errors
from ._taylor import Remainder, remainder

STEP = 2.0**-8
SMALL = 48  # arrays of up to this many elements are checked along every coordinate
DIRECTIONS = 6  # larger ones along so many random directions
MOST_EXCLUDED = 0.25
EPS = float(np.finfo(float).eps)
ROUNDINGS = 32  # of a cost, of the size that it is a sum of
MOST_ZEROS = 0.95

Pattern = Callable[[Arrays], Any]


@dataclass
class GradientReport:
    """What a gradient check found.

    checked : how many coordinates and directions were compared.
    share : the largest |difference quotient - gradient|, in units of its tolerance.
    difference : the largest |difference quotient - gradient|.
    at : where that was.
    kinks : the places where the cost has no derivative (a tie of a maximum, a kink of an activation):
        its slopes to the left and right differ, there or within the step.
    excluded : the places where `pattern` changed within the step; they are not compared.
    zeros : how many of the compared gradients and difference quotients are both 0.
    remainder : where something is beyond its tolerance or has no derivative, how the Taylor remainder falls there: as
        h, if the gradient is wrong, as h^2, if it is right and the values are noisy. No tolerance comes into it.
    """

    checked: int = 0
    share: float = 0.0
    difference: float = 0.0
    at: str = ""
    kinks: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    zeros: int = 0
    remainder: Remainder | None = None

    @property
    def mistrusted(self) -> str:
        """Why the check says little, whatever it found; or ""."""
        places = self.checked + len(self.excluded)
        if len(self.excluded) > MOST_EXCLUDED * places:
            return f"{len(self.excluded)} of {places} coordinates or directions excluded, for a choice changes there"
        if self.zeros > MOST_ZEROS * self.checked:
            return f"{self.zeros} of {self.checked} gradients are 0"
        return ""

    @property
    def ok(self) -> bool:
        """Something was checked, all of it agreed, there was a derivative everywhere, and it says something."""
        return self.checked > 0 and self.share <= 1 and not self.kinks and not self.mistrusted


def gradient_check(
    cost: Callable[[Arrays], float],
    arrays: Arrays,
    gradients: Mapping[str, Array],
    *,
    size: float = 1.0,
    step: float = STEP,
    rng: np.random.Generator | None = None,
    pattern: Pattern | None = None,
) -> GradientReport:
    """Hold the gradients of a cost against central differences.

    Along every coordinate of small arrays and random directions of large ones the quotients D(h), D(h/2)
    and D(h/4) are taken; (4 D(h/4) - D(h/2)) / 3 is compared with the gradient. The tolerance is derived
    from what was seen: |D(h/4) - D(h/2)|, which is larger than what the extrapolation leaves over, plus
    the rounding error 32 eps size / h. Where the cost is smooth the jumps between its one-sided slopes
    halve with h, and the changes of D fall to a quarter; where they do not, there is a kink within the step.

    Parameters
    ----------
    cost : callable
        The cost as a function of the arrays, computed in float64.
    arrays : dict of float64 arrays
        Where to differentiate.
    gradients : dict of arrays
        What to check: for some or all of the arrays.
    size : float
        The sum of the absolute values that the cost is a sum of: what its rounding error is relative to.
    step : float
        h.
    rng : numpy Generator or None
        For the directions; None is seeded with 0.
    pattern : callable or None
        The discrete choices that the cost makes at a point, as an array or a tuple of arrays: the winners of a maximum,
        the signs under a ReLU. A coordinate along which they are not the same at x - h, x and x + h is excluded and
        counted; where more than a quarter are, the check is mistrusted, and so it is where more than 95 % of what is
        compared is 0.

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        A gradient of another shape than its array, or of an array that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.audit import gradient_check
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> gradient_check(lambda a: float((a["x"] ** 3).sum()), {"x": x}, {"x": 3 * x**2}).ok
    True
    >>> gradient_check(lambda a: float(abs(a["x"]).sum()), {"x": np.zeros(1)}, {"x": np.zeros(1)}).kinks
    ['x[0]']
    >>> at, slope = {"x": np.array([0.0, 1.0, 2.0, 3.0, 4.0])}, {"x": np.ones(5)}
    >>> report = gradient_check(lambda a: float(abs(a["x"]).sum()), at, slope, pattern=lambda a: a["x"] > 0)
    >>> report.ok, report.checked, report.excluded
    (True, 4, ['x[0]'])
    """
    rng = rng or np.random.default_rng(0)
    report = GradientReport()
    here = cost(arrays)
    changes = _changes(pattern, arrays)
    doubtful: tuple[str, Array] | None = None
    for name, gradient in gradients.items():
        if name not in arrays:
            raise ValueError(f"gradients: expected names of arrays ({', '.join(arrays)}), got {name!r}")
        if np.shape(gradient) != np.shape(arrays[name]):
            raise ValueError(
                f"gradients[{name!r}]: expected shape {np.shape(arrays[name])}, as its array has, "
                f"got {np.shape(gradient)}"
            )
        for label, direction in _labelled_directions(name, arrays[name], rng):
            if changes({name: arrays[name] + step * direction}) or changes({name: arrays[name] - step * direction}):
                report.excluded.append(label)
            else:
                before = report.share, len(report.kinks)
                _check_direction(report, cost, arrays, name, label, direction, gradient, here, size, step)
                if (report.share > max(before[0], 1) and not before[1]) or len(report.kinks) > before[1] == 0:
                    doubtful = name, direction  # the first without a derivative, or else the one that is farthest off
    if doubtful is not None:
        report.remainder = _remainder(cost, arrays, *doubtful, gradients)
    return report


def _remainder(
    cost: Callable[[Arrays], float], arrays: Arrays, name: str, direction: Array, gradients: Mapping[str, Array]
) -> Remainder:
    def along(h: float) -> float:
        return cost({**arrays, name: np.asarray(arrays[name] + h * direction)})

    return remainder(along, float((gradients[name] * direction).sum()))


def _changes(pattern: Pattern | None, arrays: Arrays) -> Callable[[Arrays], bool]:
    """Whether the pattern elsewhere is another than here."""
    if pattern is None:
        return lambda moved: False

    def at(point: Arrays) -> tuple[bytes, ...]:
        choices = pattern(point)
        return tuple(np.asarray(a).tobytes() for a in (choices if isinstance(choices, tuple) else (choices,)))

    here = at(arrays)
    return lambda moved: at({**arrays, **moved}) != here


def _labelled_directions(name: str, a: Array, rng: np.random.Generator) -> list[tuple[str, Array]]:
    if a.size <= SMALL:
        directions = []
        for index in np.ndindex(a.shape):
            direction = np.zeros_like(a)
            direction[index] = 1
            directions.append((f"{name}[{', '.join(map(str, index))}]", direction))
        return directions
    return [(f"{name}, direction {i}", rng.choice([-1.0, 1.0], a.shape)) for i in range(DIRECTIONS)]


def _check_direction(
    report: GradientReport,
    cost: Callable[[Arrays], float],
    arrays: Arrays,
    name: str,
    label: str,
    direction: Array,
    gradient: Array,
    here: float,
    size: float,
    step: float,
) -> None:
    largest = max(size, abs(here))

    def slopes(h: float) -> tuple[float, float]:
        nonlocal largest
        right = cost({**arrays, name: np.asarray(arrays[name] + h * direction)})
        left = cost({**arrays, name: np.asarray(arrays[name] - h * direction)})
        largest = max(largest, abs(right), abs(left))
        return (right - here) / h, (here - left) / h

    steps = [slopes(step), slopes(step / 2), slopes(step / 4)]
    rounding = ROUNDINGS * EPS * largest / step
    report.checked += 1
    if _kink(steps, rounding):
        report.kinks.append(label)
    _, half, quarter = ((right + left) / 2 for right, left in steps)
    expected = float((gradient * direction).sum())
    report.zeros += half == quarter == expected == 0
    difference = abs((4 * quarter - half) / 3 - expected)
    tolerance = abs(quarter - half) + rounding
    if not difference <= report.difference:
        report.difference, report.at = difference, label
    share = 0.0 if difference == 0 else difference / tolerance
    report.share = max(report.share, np.inf if share != share else share)


def _kink(steps: list[tuple[float, float]], rounding: float) -> bool:
    """Whether one-sided slopes at h, h/2, h/4 show that the cost has no derivative within the step."""
    scale = sum(abs(right) + abs(left) for right, left in steps)
    noise = 1e-6 * scale + 8 * rounding
    jumps = [abs(right - left) for right, left in steps]
    quotients = [(right + left) / 2 for right, left in steps]
    changes = [abs(a - b) for a, b in pairwise(quotients)]
    uneven = any(
        max(wide, narrow) > noise and not wide / 16 <= narrow <= 0.75 * wide for wide, narrow in pairwise(jumps)
    )
    return uneven or (changes[1] > noise and changes[1] > 0.5 * changes[0])


def _gradient(trial: Trial) -> None:
    """Every input and parameter of a case, by central differences in float64."""
    arrays = draw(trial.op, trial.case, "float64", "real", trial.rng)
    with _backend.use_backend(trial.sides.backend):
        report = _report(trial.op, trial.case, arrays, trial.rng, trial.sides.backend)
    if report is None:
        return
    trial.ran("forward", "backward")
    trial.result.used(report.share)
    trial.result.compared("gradients", report.zeros, report.checked)
    if report.kinks:
        trial.found(f"no derivative at {report.kinks[0]}: a tie or a kink in the inputs{_words(report)}")
    elif report.share > 1:
        trial.found(
            f"{report.at}: gradient and difference quotient differ by {report.difference:.3g} "
            f"({report.share:.3g} of the tolerance){_words(report)}",
        )
    elif len(report.excluded) > MOST_EXCLUDED * (report.checked + len(report.excluded)):
        trial.mistrusted(report.mistrusted)


def _words(report: GradientReport) -> str:
    return "" if report.remainder is None else f"; {report.remainder.words()}"


CHECK = Check("gradient", _gradient, dtypes=("float64",))


def _report(op: Op, case: Case, arrays: Arrays, rng: np.random.Generator, backend: str) -> GradientReport | None:
    y = first(op.forward(**forward_arguments(op, case, arrays)))
    weights = None if op.cost else draw_like(y, "float64", "real", rng)
    if np.size(y) == 0 or all(arrays[n].size == 0 for n in op.differentiable if n in arrays):
        return None

    def cost(moved: Arrays) -> float:
        value = first(op.forward(**forward_arguments(op, case, {**arrays, **moved})))
        return float(value) if weights is None else float((value * weights).sum())

    saved = op.forward(**forward_arguments(op, case, arrays))
    delta = np.empty(0) if weights is None else weights
    got = gradients(op, case, op.backward(**backward_arguments(op, case, arrays, delta, saved)))
    size = abs(y) if weights is None else float(np.abs(y * weights).sum())
    if case.options.get("algorithm", "direct") != "direct":
        size += _of_tiles(traced(op.forward, forward_arguments(op, case, arrays), backend).calls, delta)
    at = {n: arrays[n] for n in got}
    return gradient_check(cost, at, got, size=size, rng=rng, pattern=_pattern(op, case))


def _of_tiles(calls: Sequence[KernelCall], weights: Array) -> float:
    """What the rounding of Winograd's tiles is relative to: their sums hold more inputs than the value depends on."""
    errors = [tile_errors(call, EPS) for call in calls]
    return sum(float((np.abs(weights) * error).sum()) / (ROUNDINGS * EPS) for error in errors if error is not None)


def _pattern(op: Op, case: Case) -> Pattern | None:
    if not callable(op.kinks):
        return PATTERNS[op.kinks]
    places = op.kinks(case.options)
    return lambda arrays: tuple(np.sign(a - place) for a in arrays.values() for place in places)


def _signs(arrays: Arrays) -> Any:
    return tuple(np.sign(a) for a in arrays.values())


def _order(arrays: Arrays) -> Any:
    """As long as no two numbers change their order, no maximum changes its winner."""
    return tuple(np.argsort(a, axis=None, kind="stable") for a in arrays.values())


PATTERNS: dict[str, Pattern | None] = {"none": None, "zero": _signs, "ties": _order}
