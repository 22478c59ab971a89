"""How homework wants its arrays, and which gradients it gives: found out by calling it."""

from typing import Any

import numpy as np

from .answer import Result
from .unit import RaisedError, UnclearError, Unit


def settle(unit: Unit) -> Result | None:
    """Find out how a unit wants its arrays, and which gradients it gives; what it raises, if it takes none."""
    error: Exception | None = None
    for planar in (False, True) if unit.op in ("conv2d", "max_pool2d", "avg_pool2d") else (False,):
        for transposed in (True, False) if unit.op == "affine" else (False,):
            unit.planar, unit.transposed = planar, transposed
            try:
                if _tried(unit):
                    return None
            except (RaisedError, UnclearError) as raised:
                error = error or raised
            except ValueError as raised:
                error = error or RaisedError(str(raised))
    unit.planar = False
    if error is None:
        return None
    return cannot(error)


def cannot(error: Exception) -> Result:
    """Homework that cannot be called: it raises, or what a parameter is is not clear."""
    return Result("", "unclear" if isinstance(error, UnclearError) else "raised", words=str(error))


def _tried(unit: Unit) -> bool:
    """Run both passes on a case whose extents all differ."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"x": (2, 3, 6, 7)}
    numbers: dict[str, Any] = {"kernel_size": 2, "stride": 2, "padding": 0}
    out: tuple[int, ...] = (2, 3, 3, 3)
    if unit.op == "conv2d":
        shapes, numbers, out = (
            {"x": (2, 3, 6, 7), "weight": (4, 3, 2, 2), "bias": (4,)},
            {"stride": 1, "padding": 0},
            (2, 4, 5, 6),
        )
    elif unit.op == "affine":
        shapes, numbers, out = {"x": (5, 3), "weight": (2, 3), "bias": (2,)}, {}, (5, 2)
    elif "pool" not in unit.op:
        shapes, numbers, out = {"x": (3, 4)}, {}, (3, 4)
    if unit.planar:
        shapes = {n: (1, 1, *s[2:]) if len(s) == 4 else (1,) for n, s in shapes.items()}
        out = (1, 1, *out[2:])
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    numbers = {name: value for name, value in numbers.items() if name in (*unit.options, "kernel_size")}
    if unit.has_forward:
        y = np.asarray(unit.forward(arrays, numbers))
        if y.ndim != len(out):
            if unit.planar or unit.op == "affine":
                raise RaisedError(f"{unit.name}: shape {out}, got {y.shape}")
            return False
    unit.gives = ()
    if unit.has_backward:
        try:
            given = unit.backward(rng.standard_normal(out), arrays, numbers)
            unit.gives = tuple(of for of in unit.arrays if given.get(of) is not None)
        except RaisedError:
            if unit.planar or unit.transposed:
                raise
            unit.gives = unit.arrays[:1] if unit.kind is None else unit.arrays
    return True
