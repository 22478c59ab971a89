"""What must not change a result's bits: memory layout and thread count; and what must not be lost: NaN, infinities."""

from typing import Any

import numpy as np

from .. import backend as _backend
from ..ops import Case, Op
from .agreement import Runs, Sides, attempt, attempt_again
from .calls import first
from .data import LAYOUTS, Array, draw
from .result import Result


def layout(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """Fortran-ordered, strided, reversed, byte-swapped and unaligned input: the same bits as C-contiguous."""
    result = Result(op.name, "layout")
    for i, case in enumerate(op.cases):
        for dtype in dtypes:
            arrays = draw(op, case, dtype, "real", rng)
            plain = attempt(result, case, dtype, sides.backend, op, arrays, "real", rng)
            if plain is None:
                continue
            runs, grad_output = plain
            for j, (name, lay_out) in enumerate(LAYOUTS.items()):
                if (i + j) % len(LAYOUTS) > 1 and i >= len(LAYOUTS):
                    continue  # every layout on the first cases, two of them on each further case
                other = {k: _laid_out(a, lay_out) for k, a in arrays.items()}
                delta = None if grad_output is None else _laid_out(grad_output, lay_out)
                again = attempt_again(result, case, dtype, sides.backend, op, other, delta, runs)
                if again is None:
                    continue
                result.ran += 1
                if not _same_bits(runs, again):
                    result.found(case.name, dtype, f"{name} input gives other numbers than C-contiguous input")
                for key, a in arrays.items():
                    if not np.array_equal(np.asarray(other[key]), a, equal_nan=True):
                        result.found(case.name, dtype, f"{name} input {key!r} was written to")
    return result


def _laid_out(a: Array, lay_out: Any) -> Array:
    b: Array = lay_out(a)
    b.flags.writeable = False
    return b


def _same_bits(a: Runs, b: Runs) -> bool:
    pairs = [(a.forward.result, b.forward.result), (a.backward.result, b.backward.result)]
    for left, right in pairs:
        lefts, rights = (v if isinstance(v, tuple) else (v,) for v in (left, right))
        for x, y in zip(lefts, rights, strict=True):
            if np.asarray(x).tobytes() != np.asarray(y).tobytes():
                return False
    return True


def threads(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """The same bits from 1, 2 and 3 threads. Even the smallest work is split here."""
    result = Result(op.name, "threads")
    if not op.kernels:
        result.skipped = "no kernels"
        return result
    if not _backend.build_info()["openmp"] or _backend.build_info()["forked"]:
        result.skipped = "this build or process has one thread only"
        return result
    before = _backend.get_num_threads()
    try:
        with _backend.always_parallel():
            for case in (*op.cases, *op.bench):
                for dtype in dtypes:
                    _check_threads(result, op, case, dtype, sides.backend, rng)
    finally:
        _backend.set_num_threads(before)
    return result


def _check_threads(result: Result, op: Op, case: Case, dtype: str, backend: str, rng: np.random.Generator) -> None:
    arrays = draw(op, case, dtype, "real", rng)
    _backend.set_num_threads(1)
    one = attempt(result, case, dtype, backend, op, arrays, "real", rng)
    if one is None:
        return
    for count in (2, 3):
        _backend.set_num_threads(count)
        more = attempt_again(result, case, dtype, backend, op, arrays, one[1], one[0])
        if more is not None:
            result.ran += 1
            if not _same_bits(one[0], more):
                result.found(case.name, dtype, f"{count} threads give other bits than 1 thread")


def special(op: Op, dtypes: tuple[str, ...], sides: Sides, rng: np.random.Generator) -> Result:
    """A NaN or an infinity among the inputs: NaN and infinities come out at the same places."""
    result = Result(op.name, "special")
    for case in op.cases:
        numbers = [n for n in op.differentiable if n in case.arrays]
        for dtype in dtypes:
            drawn = draw(op, case, dtype, "real", rng)
            name = numbers[int(rng.integers(len(numbers)))]
            if drawn[name].size == 0:
                continue
            for value in (np.nan, np.inf, -np.inf):
                spoilt = drawn[name].copy()
                spoilt.flat[int(rng.integers(spoilt.size))] = value
                spoilt.flags.writeable = False
                arrays = {**drawn, name: spoilt}
                theirs = attempt(result, case, dtype, sides.against, op, arrays, "real", rng)
                if theirs is None:
                    continue
                ours = attempt_again(result, case, dtype, sides.backend, op, arrays, theirs[1], theirs[0])
                if ours is None:
                    continue
                result.ran += 1
                if case.options.get("padding", 0) != 0 and name == "weight":
                    continue  # non-finite weights beside padding are unspecified: it must only not crash
                got, expected = first(ours.forward.result), first(theirs[0].forward.result)
                if not np.array_equal(_kind(got), _kind(expected)):
                    result.found(case.name, dtype, f"{name} holds {value}: NaN or inf comes out at other places")
    return result


def _kind(a: Any) -> Array:
    """0 finite, 1 inf, 2 -inf, 3 NaN."""
    numbers = np.asarray(a)
    return np.asarray(np.isposinf(numbers) * 1 + np.isneginf(numbers) * 2 + np.isnan(numbers) * 3)
