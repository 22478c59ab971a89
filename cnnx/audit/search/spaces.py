"""How a case of an op is drawn: by its windows' geometry, or from its own cases, with other extents and options."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...ops import Case, Draw, Op
from ..data import shape_of
from ..report.axes import settings_of
from ..shrink import HIGH, Axis, accepted, extents, moves, resized
from . import sizes, windows
from .corners import PREFIX, Corners
from .draws import Drawn, Draws, Limits, TooLargeError

WINDOWED: dict[str, Callable[[Draws], Case]] = {
    name: getattr(windows, name)
    for name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "upsample2d")
}
ALONE = 5000  # the largest extent of what is large alone
TOGETHER = 400
NUMBERS = 2**13  # of all arrays together, whose sums may be over each of them
TRIES = 200  # at a case that is neither too large nor refused


def drawn(op: Op, rng: np.random.Generator, limits: Limits, corners: Corners) -> Drawn:
    """A case that the op's public functions take, without a name, and its settings.

    corners : the values of each setting, completed here, and what came before.
    """
    for _ in range(TRIES):
        d = Draws(rng, limits, corners.axes, corners.used)
        try:
            case = WINDOWED[op.name](d) if op.name in WINDOWED else _regrown(op, d)
        except TooLargeError:
            continue
        if accepted(op, case, "float32") if op.name not in WINDOWED else True:
            own = {f"{PREFIX}{axis}": value for axis, value in settings_of(op, case).items()}
            return Drawn(case, {**d.settings, **own}, d.extents)
    raise RuntimeError(f"no case of {op.name} that is neither too large nor refused in {TRIES} draws")


def _regrown(op: Op, d: Draws) -> Case:
    """One of the op's own cases with one or two of its extents large, and other options."""
    bases = [case for case in op.cases if all(0 not in shape_of(case, name) for name in case.arrays)]
    base = bases[d.below(len(bases))]
    case = replace(base, options={name: _varied(d, name, value) for name, value in base.options.items()}, exact=False)
    d.note("rank", str(len(shape_of(case, next(iter(case.arrays))))), ())
    names = [(name, i) for (name, i) in extents(case) if i != HIGH]
    d.choose_large([f"{name}[{i}]" for name, i in names])
    for axis in names:
        label, least = f"{axis[0]}[{axis[1]}]", 1
        if label in d.large:
            most = ALONE if len(d.large) == 1 else TOGETHER
            case = _with_extent(op, case, axis, d.large_size(label, most), d) or case
        extent = shape_of(case, axis[0])[axis[1]]
        d.note(label, sizes.range_of(extent), sizes.ranges(least, ALONE))
    shapes = [shape_of(case, name) for name in case.arrays]
    numbers = [math.prod(shape) for shape in shapes]
    d.within(numbers=numbers, sums=[max(shape, default=1) for shape in shapes])
    return case


def _with_extent(op: Op, case: Case, axis: Axis, size: int, d: Draws) -> Case | None:
    """The case with another extent there, and others with it where they have to follow; None where it cannot be."""
    ways = [way for way in moves(extents(case), lambda n: size) if axis in way]
    for i in d.rng.permutation(len(ways)):
        arrays = resized(case.arrays, ways[int(i)])
        options = dict(case.options)
        if "normalized_shape" in options:  # the last extents of x, once more
            options["normalized_shape"] = _shape(arrays["x"])[-len(options["normalized_shape"]) :]
        if sum(math.prod(_shape(spec)) for spec in arrays.values()) > NUMBERS:
            continue
        grown = replace(case, arrays=arrays, options=options)
        if accepted(op, grown, "float32"):
            return grown
    return None


def _shape(spec: Draw | tuple[int, ...]) -> tuple[int, ...]:
    return spec if isinstance(spec, tuple) else spec.shape


def _varied(d: Draws, name: str, value: Any) -> Any:
    """An option's value in the case, or another one of its kind."""
    varied = d.of(f"{name} is", ("its case's", "another")) == "another"
    if not varied or isinstance(value, (bool, str, tuple)):
        if not isinstance(value, float):
            d.note(name, str(value), ())
        return value
    if isinstance(value, int):
        value = max(0, value + d.below(7) - 2)
        d.note(name, str(value), ())
        return value
    factors = (0.125, 0.5, 0.75, 1.25, 2.0, 3.0)
    return value * factors[d.below(len(factors))] + (0.0 if value else 0.375)
