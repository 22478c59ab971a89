"""Inputs for the audit: integers, real numbers or dyadic fractions, in every memory layout."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..ops import Case, Draw, Op
from .kinds import HALVES, held
from .kinds import Array as Array

Arrays = dict[str, Array]
Mode = Literal["integer", "real", "far", "edge", "dyadic", "bits"]

# Farther from a kink than any step of a finite difference goes.
MARGIN = 1 / 16

# As far as exponentials stay finite, and products of a few numbers too.
FARTHEST = {"float16": 4.0, "bfloat16": 100.0, "float32": 100.0, "float64": 700.0}
OFFSET = 100.0

# How far channels lie from 0 beside a spread of 1, and how large they are; a mean rounded to float32 loses them.
OFFSETS = {
    "float16": (OFFSET, 1e3, 1e4), "bfloat16": (OFFSET, 1e4, 1e6, 1e7),
    "float32": (OFFSET, 1e4, 1e6, 1e7), "float64": (OFFSET, 1e4, 1e7, 1e12),
}  # fmt: skip
HUGE = {"float16": 1e3, "bfloat16": 1e20, "float32": 1e20, "float64": 1e20}

# What a softmax is of: a number added to all of a row changes nothing, and exp of the row overflows or is 0.
SHIFTED = {"softmax": "x", "log_softmax": "x", "cross_entropy": "logits"}
SHIFTS = (0.0, -200.0, 1000.0, 0.0, -1e4, 1e4)


def draw(op: Op, case: Case, dtype: str, mode: Mode, rng: np.random.Generator) -> Arrays:
    """The array arguments of a case, read-only.

    dtype : "float32", "float64"; or "float16", "bfloat16", whose numbers come in float32.

    Integers have ties and zeros of both signs, on purpose. "bits" are real numbers with zeros of both signs among them,
    for a back end's results that are held against its own, to the bit. Far numbers are of every size up to where
    exponentials overflow, with zeros among them, windows of zeros; for normalisation channels far from 0, huge ones and
    a constant one; for a softmax rows that lie far from 0 as a whole. Edge numbers are as large as float32's are. Real
    and dyadic numbers stay clear of the op's kinks.
    """
    kinks = op.kinks(case.options) if callable(op.kinks) else op.kinks
    drawn = {name: _draw_one(spec, kinks, dtype, mode, rng) for name, spec in case.arrays.items()}
    if mode == "far" and op.name in SHIFTED and dtype not in HALVES:
        name = SHIFTED[op.name]
        drawn[name] = held(_shifted(drawn[name], case.options.get("axis", 1), rng), dtype)
    return {name: frozen(a) for name, a in drawn.items()}


def draw_like(result: Array | float, dtype: str, mode: Mode, rng: np.random.Generator) -> Array:
    """A grad_output for a result: numbers of its shape."""
    return frozen(held(_numbers(np.shape(result), mode, rng), dtype))


def frozen(a: Array) -> Array:
    """The array, read-only."""
    a.flags.writeable = False
    return a


def _draw_one(
    spec: Draw | tuple[int, ...], kinks: str | tuple[float, ...], dtype: str, mode: Mode, rng: np.random.Generator
) -> Array:
    kind, shape = (spec.kind, spec.shape) if isinstance(spec, Draw) else ("number", spec)
    if kind == "mask":
        return np.asarray(rng.random(shape) < 0.5)
    if kind == "index":
        assert isinstance(spec, Draw)
        return rng.integers(0, spec.high, shape)
    if kind == "probability":
        weights = rng.integers(0, 9, shape) + (np.arange(shape[-1]) == 0)
        return held(weights / weights.sum(axis=-1, keepdims=True), dtype)
    numbers = _numbers(shape, mode, rng)
    if kind == "positive":
        numbers = np.abs(numbers) + 0.5
    elif mode == "edge":
        numbers = _edge(numbers, rng)
    elif mode == "far":
        if kind == "sets":
            assert isinstance(spec, Draw)
            length = spec.length if numbers.size % spec.length == 0 else numbers.size  # a case that is being shrunk
            numbers = _offset(numbers.reshape(1, -1, length), dtype, rng).reshape(shape)
        else:
            numbers = _offset(numbers, dtype, rng) if kind == "channels" else _far(numbers, FARTHEST[dtype], rng)
    elif mode not in ("integer", "bits") and kinks == "zero":
        numbers = numbers + np.where(numbers < 0, -MARGIN, MARGIN)
    elif mode not in ("integer", "bits") and isinstance(kinks, tuple):
        for place in kinks:
            off = numbers - place
            numbers = numbers + np.where(np.abs(off) >= MARGIN, 0, np.where(off < 0, -MARGIN, MARGIN))
    elif mode not in ("integer", "bits") and kinks == "ties":
        numbers = (rng.permutation(numbers.size).reshape(shape) - numbers.size // 2 + 0.5) * MARGIN
    return held(numbers, dtype)


def _numbers(shape: tuple[int, ...], mode: Mode, rng: np.random.Generator) -> Array:
    if mode == "integer":
        return _signed(np.asarray(rng.integers(-3, 4, shape), dtype=float))
    if mode == "bits":
        return _zeros_among(np.asarray(rng.standard_normal(shape)))
    if mode == "dyadic":
        return np.asarray(rng.integers(-24, 25, shape) / 16)
    return np.asarray(rng.standard_normal(shape))


def _zeros_among(numbers: Array) -> Array:
    """Some of the numbers as 0 and as -0, at distances that no vector's length divides."""
    flat = np.arange(numbers.size).reshape(numbers.shape)
    return np.where(flat % 7 == 5, 0.0, np.where(flat % 5 == 3, -0.0, numbers))


def _far(numbers: Array, farthest: float, rng: np.random.Generator) -> Array:
    scaled = np.clip(numbers * 2.0 ** rng.integers(-2, 9, numbers.shape), -farthest, farthest)
    scaled = np.where(rng.random(numbers.shape) < 0.1, 0.0, scaled)
    scaled.reshape(-1)[: numbers.size // 4] = 0.0  # whole windows of zeros
    return _signed(np.asarray(scaled))


def _signed(numbers: Array) -> Array:
    """Every other number, where it is 0, as -0: equal to 0 in a comparison, and not to a bit pattern's order."""
    odd = (np.arange(numbers.size) % 2 == 1).reshape(numbers.shape)
    return np.where(odd & (numbers == 0), -0.0, numbers)


def _edge(numbers: Array, rng: np.random.Generator) -> Array:
    """Mostly numbers of one sign whose sums overflow in float32, the largest among them."""
    largest = float(np.finfo("float32").max)
    large = largest * rng.choice([1, 1, 1, 0.75, 0.5, -1], numbers.shape)
    return np.asarray(np.where(rng.random(numbers.shape) < 0.9, large, numbers))


def _offset(numbers: Array, dtype: str, rng: np.random.Generator) -> Array:
    """Channels of small spread about a large mean or of huge numbers, by turns; the first of them constant."""
    moved, kinds = numbers.copy(), len(OFFSETS[dtype]) + 1
    first = int(rng.integers(kinds))
    for c in range(1, numbers.shape[1]):
        kind = (first + c) % kinds
        if kind == len(OFFSETS[dtype]):
            moved[:, c] *= HUGE[dtype]
        else:
            moved[:, c] += OFFSETS[dtype][kind] * rng.choice([-1.0, 1.0])
    moved[:, :1] = OFFSET
    return np.asarray(moved)


def _shifted(numbers: Array, axis: int, rng: np.random.Generator) -> Array:
    """Rows along an axis as they are, or of small spread about a number far from 0, by turns."""
    if numbers.size == 0:
        return numbers
    rows = np.moveaxis(numbers, axis if numbers.ndim > 1 else 0, -1).astype(float)
    shape = rows.shape
    rows = rows.reshape(-1, shape[-1])
    turns = (int(rng.integers(len(SHIFTS))) + np.arange(len(rows))) % len(SHIFTS)
    shifts = np.array(SHIFTS)[turns][:, np.newaxis]
    moved = np.where(shifts == 0, rows, shifts + np.clip(rows, -3, 3))
    return np.ascontiguousarray(np.moveaxis(moved.reshape(shape), -1, axis if numbers.ndim > 1 else 0))


def _strided(a: Array) -> Array:
    wide = np.zeros(tuple(2 * n + 1 for n in a.shape), a.dtype)
    every_second: Any = (*(slice(1, None, 2) for _ in a.shape), ...)  # the ... keeps an array of no axes an array
    view: Array = wide[every_second]
    view[...] = a
    return view


def _reversed(a: Array) -> Array:
    flip: Any = (*(slice(None, None, -1) for _ in a.shape), ...)
    copy: Array = a[flip].copy()
    return np.asarray(copy[flip])


def _unaligned(a: Array) -> Array:
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1 : 1 + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": lambda a: np.array(a, order="F"),
    "strided": _strided,
    "reversed": _reversed,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder("S")),
    "unaligned": _unaligned,
}


def shape_of(case: Case, name: str) -> tuple[int, ...]:
    """The shape of one of a case's arrays."""
    spec = case.arrays[name]
    return spec if isinstance(spec, tuple) else spec.shape
