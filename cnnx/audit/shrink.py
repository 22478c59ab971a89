"""A finding made small: the smallest case that still shows it.

Greedy and without chance: as long as some extent, option or optional array can be made smaller and the same finding
stays, it is. Extents that arrays share are moved together. What the public function refuses is no case.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from .. import backend as _backend
from ..ops import Case, Draw, Op
from ._signature import signature
from .data import draw
from .report.result import Discrepancy
from .trace import backward_arguments, first, forward_arguments

Axis = tuple[str, int]  # an array's name and which extent; HIGH stands for the bound of its integers
HIGH = -1


def shrunk(
    op: Op,
    case: Case,
    found: Discrepancy,
    judged: Callable[[Case], list[Discrepancy]],
    seconds: float,
    adapted: Callable[[Case], Case | None] = lambda case: case,
) -> tuple[Case, Discrepancy]:
    """The smallest case that shows what `found` shows, and the finding there.

    judged : runs the check on a case.
    seconds : how long to try; time up, the smallest so far is given.
    adapted : makes of a smaller case one that a back end's contract has, or None.
    """
    end, kind = time.monotonic() + seconds, _kind(found)
    smaller = True
    while smaller:
        smaller = False
        for smaller_one in _smaller(op, case):
            if time.monotonic() > end:
                return case, found
            candidate = adapted(smaller_one)
            if candidate is not None and candidate != case and accepted(op, candidate, found.dtype):
                same = next((d for d in judged(candidate) if _kind(d) == kind), None)
                if same is not None:
                    case, found, smaller = candidate, same, True
                    break
    return case, found


def accepted(op: Op, case: Case, dtype: str) -> bool:
    """Whether the op's public functions take a case."""
    return refusal(op, case, dtype) is None


def refusal(op: Op, case: Case, dtype: str) -> Exception | None:
    """Why an op's public functions do not take a case. Nothing is computed."""

    def idle(name: str, kernel: _backend.Kernel) -> _backend.Kernel:
        return lambda *arrays, **numbers: None

    try:
        # Winners that are not computed would be refused.
        case = replace(case, options={k: v for k, v in case.options.items() if k != "return_winners"})
        dtype = "float64" if dtype == "exact" else dtype  # of the check `dual`
        arrays = draw(op, case, dtype, "real", np.random.default_rng(0))
        with _backend.use_backend("reference"), _backend.intercept(idle), np.errstate(all="ignore"):
            result = op.forward(**forward_arguments(op, case, arrays))
            delta = np.empty(0) if op.cost else np.ones_like(first(result))
            with suppress(_backend.MissingKernelError):  # of an op that has no such direction
                op.backward(**backward_arguments(op, case, arrays, delta, result))
    except Exception as error:
        return error
    return None


def describe(case: Case) -> str:
    """A case's shapes and options in words."""
    arrays = (f"{name} {_shape(spec)}" for name, spec in case.arrays.items())
    return ", ".join([*arrays, *(f"{name}={value!r}" for name, value in case.options.items())])


def _kind(found: Discrepancy) -> tuple[str, ...]:
    """What makes two findings the same: the kernel's output, or else the words but for their numbers."""
    if found.kernel:
        return found.kernel, found.output
    return tuple(re.sub(r"[-+]?\d[\d.e+-]*", "#", found.what).split()[:5])


def _smaller(op: Op, case: Case) -> Iterator[Case]:
    """Cases a step smaller, larger steps first."""
    defaults: dict[str, Any] = {}
    for function in (op.backward, op.forward):
        parameters = signature(function).parameters.values()
        defaults |= {p.name: p.default for p in parameters if p.default is not p.empty}
    for name in case.arrays:
        if name in defaults:
            yield replace(case, arrays={n: spec for n, spec in case.arrays.items() if n != name})
    for name, value in case.options.items():
        if name in defaults:
            yield replace(case, options={n: v for n, v in case.options.items() if n != name})
        for less in _less(value):
            yield replace(case, options={**case.options, name: less})
    now = extents(case)
    for step in (lambda n: 1, lambda n: n // 2, lambda n: n - 1):
        for sizes in moves(now, step):
            if all(1 <= size < now[axis] for axis, size in sizes.items()):
                yield replace(case, arrays=resized(case.arrays, sizes))


def moves(now: Mapping[Axis, int], step: Callable[[int], int]) -> Iterator[dict[Axis, int]]:
    """Extents moved: each alone; with the equal ones of other arrays; all equal ones; and with a multiple of it in
    another array (all channels and those of a group)."""
    for axis, size in now.items():
        yield {axis: step(size)}
        others = [a for a in now if a[0] != axis[0]]
        equal = [a for a in others if now[a] == size]
        if equal:
            yield {axis: step(size)} | dict.fromkeys(equal, step(size))
            yield {a: step(size) for a in now if now[a] == size}
        for a in others:
            if size and now[a] > size and now[a] % size == 0:
                yield {axis: step(size), a: now[a] // size * step(size)}


def _less(value: Any) -> Iterator[Any]:
    """Smaller values of an option: each of its integers brought down."""
    if isinstance(value, bool) or not isinstance(value, (int, float, tuple)):
        return
    if isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from ((*value[:i], less, *value[i + 1 :]) for less in _less(part))
    elif value > 1:
        yield from dict.fromkeys(n for n in (1, int(value) // 2, int(value) - 1) if 1 <= n < value)
    elif value == 1:
        yield 0


def extents(case: Case) -> dict[Axis, int]:
    """All extents of a case's arrays, and the bounds of its integers."""
    found: dict[Axis, int] = {}
    for name, spec in case.arrays.items():
        found |= {(name, i): n for i, n in enumerate(_shape(spec))}
        if isinstance(spec, Draw) and spec.kind == "index":
            found[name, HIGH] = spec.high
    return found


def resized(
    arrays: Mapping[str, Draw | tuple[int, ...]], sizes: Mapping[Axis, int]
) -> dict[str, Draw | tuple[int, ...]]:
    """A case's arrays with these extents."""
    made: dict[str, Draw | tuple[int, ...]] = {}
    for name, spec in arrays.items():
        shape = tuple(sizes.get((name, i), n) for i, n in enumerate(_shape(spec)))
        if isinstance(spec, Draw):
            made[name] = replace(spec, shape=shape, high=sizes.get((name, HIGH), spec.high))
        else:
            made[name] = shape
    return made


def _shape(spec: Draw | tuple[int, ...]) -> tuple[int, ...]:
    return spec.shape if isinstance(spec, Draw) else spec
