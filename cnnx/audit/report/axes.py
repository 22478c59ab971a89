"""The settings of a call that an audit can vary: axes and their values, by op; and those of a case.

An op's axes follow from the signatures of its two functions: windows and groups, which are sorted into kinds here,
flags, choices, and arrays that may be left out.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from ..._check import padding_form
from ...ops import Case, Op
from .._signature import signature
from ..data import LAYOUTS, shape_of

PLAIN = "C-contiguous"  # the layout of inputs, and the number of threads, unless a check is about them
DEFAULT = "as set"
ONE_CALL, AGAIN, FIRST_CALL = "one", "again", "first of a process"
AS_GIVEN, ALONE, PLACED = "as given", "alone", "at another place"
AS_ALLOCATED, ON_LINE, OFF_LINE = "as allocated", "on cache lines", "off cache lines"
OTHER_ISA = "another"
WIDE = "wider than the window"
BEYOND = "beyond the window"

# Axes that every op has, from the comparison itself; some matter where it has kernels alone (OF_KERNELS).
COMMON: dict[str, tuple[str, ...]] = {
    "dtype": ("float32", "float64"),
    "direction": ("forward", "backward"),
    "layout": (PLAIN, *LAYOUTS),
    "threads": (DEFAULT, "1", "2", "3"),
    "call": (ONE_CALL, AGAIN, FIRST_CALL),
    "batch": (AS_GIVEN, ALONE, PLACED),
    "alignment": (AS_ALLOCATED, ON_LINE, OFF_LINE),
    "isa": (DEFAULT, OTHER_ISA),
}
OF_KERNELS = ("threads", "alignment", "isa")
# Axes of which one value can exclude another's: `possible` looks at no others.
DEPENDENT = {
    *("algorithm", "stride", "dilation"),
    *("return_winners", "ties"),
    *("training", "running_mean", "running_var", "return_statistics"),
}


def axes_of(op: Op) -> dict[str, tuple[str, ...]]:
    """All axes of an op, each with the values that a call of it can have."""
    axes = {**{name: COMMON[name] for name in COMMON if op.kernels or name not in OF_KERNELS}, **_own_axes(op)}
    return {axis: tuple(v for v in values if possible(op, {axis: v})) for axis, values in axes.items()}


def settings_of(op: Op, case: Case) -> dict[str, str]:
    """The values of a case along its op's own axes."""
    return {axis: _value(op, case, axis) for axis in _own_axes(op)}


def longest(case: Case) -> int:
    """The largest extent of a case's arrays."""
    return max((extent for name in case.arrays for extent in shape_of(case, name)), default=1)


def possible(op: Op, settings: Mapping[str, str]) -> bool:
    """Whether a call of an op can have these settings."""
    get = settings.get
    if get("padding") == WIDE and "kernel_size" in signature(op.forward).parameters:
        return False  # pooling: a window that lies in padding alone is an error
    if get("padding") == "same" and "output_padding" in signature(op.forward).parameters:
        return False  # a transposed convolution has no such padding
    if get("algorithm") == "winograd" and (get("stride", "1") != "1" or get("dilation", "1") != "1"):
        return False
    if get("return_winners") == "True" and get("ties") == "all":
        return False
    inference = get("training") == "False"
    return not (
        inference and ("left out" in (get("running_mean"), get("running_var")) or get("return_statistics") == "True")
    )


def _own_axes(op: Op) -> dict[str, tuple[str, ...]]:
    """The axes that an op's arguments make: what _KINDS knows, flags, choices, and arrays that may be left out."""
    axes: dict[str, tuple[str, ...]] = {}
    for name, parameter in _parameters(op).items():
        if name in _KINDS:
            axes[name] = _KINDS[name][0]
        elif isinstance(parameter.default, bool) and name != "input_grad":
            axes[name] = ("False", "True")
        elif get_origin(parameter.annotation) is Literal:
            axes[name] = get_args(parameter.annotation)
        elif parameter.default is None and any(name in case.arrays for case in op.cases):
            axes[name] = ("given", "left out")
    return axes


def _value(op: Op, case: Case, axis: str) -> str:
    """The value of a case along one of its op's own axes."""
    if axis in _KINDS:
        return _KINDS[axis][1](case)
    default = _parameters(op)[axis].default
    if default is None:
        return "given" if axis in case.arrays else "left out"
    return str(case.options.get(axis, default))


def _parameters(op: Op) -> dict[str, inspect.Parameter]:
    return {**signature(op.backward).parameters, **signature(op.forward).parameters}


def _two(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _window(case: Case) -> tuple[int, int]:
    """What a window spans, dilation and all."""
    kernel = _two(case.options["kernel_size"]) if "kernel_size" in case.options else shape_of(case, "weight")[2:]
    rows, columns = _two(case.options.get("dilation", 1))
    return rows * (kernel[0] - 1) + 1, columns * (kernel[1] - 1) + 1


def _padding(case: Case) -> str:
    sides = padding_form(case.options.get("padding", 0))
    if sides == "same":
        return "same"
    if any(max(pair) >= span for pair, span in zip(sides, _window(case), strict=True)):
        return WIDE
    if any(first != last for first, last in sides):
        return "by side"
    return "symmetric" if any(map(any, sides)) else "none"


def _stride(case: Case) -> str:
    given = case.options.get("stride")
    if given is None:
        given = case.options.get("kernel_size", 1)
    rows, columns = _two(given)
    if any(step > span for step, span in zip((rows, columns), _window(case), strict=True)):
        return BEYOND
    return _steps(rows, columns, 3)


def _dilation(case: Case) -> str:
    return _steps(*_two(case.options.get("dilation", 1)), 2)


def _steps(rows: int, columns: int, most: int) -> str:
    if rows != columns:
        return "uneven"
    return str(rows) if rows < most else f"{most} or more"


def _groups(case: Case) -> str:
    groups = case.options.get("groups", 1)
    if groups == 1:
        return "1"
    return "depthwise" if groups == shape_of(case, "x")[1] else "grouped"


_KINDS: dict[str, tuple[tuple[str, ...], Callable[[Case], str]]] = {
    "padding": (("none", "symmetric", "by side", "same", WIDE), _padding),
    "stride": (("1", "2", "3 or more", "uneven", BEYOND), _stride),
    "dilation": (("1", "2 or more", "uneven"), _dilation),
    "groups": (("1", "grouped", "depthwise"), _groups),
}
