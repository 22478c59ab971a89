"""An op's cases as a contract has them: with what it fixes, and with the arrays of its tail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...ops import Case, Draw, Op
from .._signature import signature
from ..data import shape_of
from . import names, whole
from .kernel import Kernel
from .ops import output_shape
from .tail import arrays_of

_BESIDE = {"residual", "scale", "shift", "mean", "variance"}


def adapted(kernels: Sequence[Kernel], base: Op, case: Case) -> Case | None:
    """The case with what the kernels of an op fix, and with the arrays of a tail; None where they do not have it."""
    kernel, options = kernels[0], dict(case.options)
    if any(options.get(name) for name in ("return_winners", "return_statistics", "output")):
        return None
    if options.pop("algorithm", "direct") != "direct":
        return None
    if kernel.op == "cross_entropy" and _of_indices(case) != (kernel.variant == names.INDEX):
        return None
    arrays = {name: spec for name, spec in case.arrays.items() if name not in _BESIDE}
    for one in kernels:
        made = _limited(one, arrays, options)
        if made is None:
            return None
        arrays, options = made
    if kernel.op == "batch_norm2d" and "running_mean" not in arrays:  # a case of training
        channels = shape_of(Case("", arrays), "x")[1:2]
        arrays |= {"running_mean": channels, "running_var": Draw(channels, "positive")}
    if not _takes_bias(kernel):
        arrays.pop("bias", None)
    if kernel.op in whole.OPS:
        if "weight" not in kernel.arguments.values():
            arrays.pop("weight", None)
        if {*kernel.accumulators.values()} != {"float64"}:  # sums have no bound of rows that lie far from 0
            arrays["x"] = shape_of(Case("", arrays), "x")
    parameters = signature(base.forward).parameters
    options = {n: v for n, v in options.items() if n not in parameters or v != parameters[n].default}
    before = {n: v for n, v in case.options.items() if n not in parameters or v != parameters[n].default}
    exact = case.exact and (kernel.op not in names.ROUNDED or kernel.variant == "nearest" or options == before)
    plain = replace(case, arrays=arrays, options=options, exact=exact)
    if not kernel.tail and plain == case:
        return case
    shape = output_shape(base, plain)
    if shape is None or not kernel.tail:
        return None if shape is None else plain
    return replace(plain, arrays={**arrays, **_beside(kernel, shape)}, exact=exact and _exact(kernel))


def _of_indices(case: Case) -> bool:
    spec = case.arrays["target"]
    return isinstance(spec, Draw) and spec.kind == "index"


def _takes_bias(kernel: Kernel) -> bool:
    """Whether the op's own bias is an argument: that of a tail is the tail's, and gradients do not ask for it."""
    in_tail = any(step.name == "bias" for step in kernel.tail)
    return (
        bool(kernel.gradients) or kernel.op == "batch_norm2d" or (not in_tail and "bias" in kernel.arguments.values())
    )


def _exact(kernel: Kernel) -> bool:
    """Whether integers stay integers in the tail."""
    return all(step.name in ("bias", "add", "scale", "shift", "relu", "round", "relu6") for step in kernel.tail)


def _beside(kernel: Kernel, shape: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in arrays_of(kernel.tail):
        if name == "bias":
            found[name] = shape[1:2]
        elif name == "residual":
            found[name] = shape
        else:
            found[name] = Draw(shape[1:2], "positive") if name == "variance" else shape[1:2]
    return found


def _limited(
    kernel: Kernel, arrays: dict[str, Any], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A case's arrays and options within what a kernel takes: what does not fit takes the nearest value that does."""
    arrays, options = dict(arrays), dict(options)
    axes = names.AXES.get(kernel.op, {})
    for option, values in kernel.fixed.items():
        if option in axes:
            continue
        if option == "kernel_size" and "weight" in arrays:
            shape = shape_of(Case("", arrays), "weight")
            if not any(_pair(v) == shape[2:] for v in values):
                arrays["weight"] = (*shape[:2], *_pair(values[sum(shape) % len(values)]))
            continue
        given = options.get(option, _default(kernel.op, option))
        if any(_same(option, given, v) for v in values):
            continue
        value = values[len(repr(sorted(arrays))) % len(values)]
        if option == "groups" and not _regrouped(kernel, arrays, int(given), value):
            return None
        options[option] = value
    for letter, places in axes.items():
        if letter in kernel.fixed and not _resized(arrays, places, kernel.fixed[letter], int(options.get("groups", 1))):
            return None
    return arrays, options


def _regrouped(kernel: Kernel, arrays: dict[str, Any], given: int, groups: int) -> bool:
    """Give a weight the shape for another number of groups; whether it can have one."""
    shape, channels = shape_of(Case("", arrays), "weight"), shape_of(Case("", arrays), "x")[1]
    if kernel.op == "conv_transpose2d":
        outputs = shape[1] * given
        if channels % groups or outputs % groups:
            return False
        arrays["weight"] = (shape[0], outputs // groups, *shape[2:])
        return True
    if channels % groups or shape[0] % groups:
        return False
    arrays["weight"] = (shape[0], channels // groups, *shape[2:])
    return True


def _resized(arrays: dict[str, Any], places: Sequence[tuple[str, int]], values: Sequence[int], groups: int) -> bool:
    """Give an extent the nearest value that is allowed, in all arrays that have it; whether there is such an extent."""
    name, axis = places[0]
    shape = shape_of(Case("", arrays), name)
    if axis >= len(shape):
        return False
    value = min(values, key=lambda v: abs(v - shape[axis]))
    for name, axis in places:
        if name in arrays:
            shape = shape_of(Case("", arrays), name)
            shared = groups if (name, axis) == ("weight", 1) and len(shape) == 4 else 1
            if value % shared:
                return False
            arrays[name] = (*shape[:axis], value // shared, *shape[axis + 1 :])
    return True


def _default(op: str, option: str) -> Any:
    parameter = signature(names.op_of(op).forward).parameters.get(option)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _pair(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _same(option: str, given: Any, value: Any) -> bool:
    if option in names.PAIRS and isinstance(given, (int, tuple)) and isinstance(value, (int, tuple)):
        return _pair(given) == _pair(value)
    return type(given) is type(value) and bool(given == value)
