"""Extents that the file leaves open, and what it computes of them: kept as what is to be computed at each call."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from ..._check import Array
from ...nn._extents import LONGEST
from .place import BATCH, Pair

if TYPE_CHECKING:
    from .node import Known, Node, Value

_MOST_TERMS = 32  # of one size
_PRIMES = 900_000, 750_000  # from where two numbers are put for an open extent; no two extents have the same


@dataclass(frozen=True)  # and no tuple, which NumPy would take for an array
class Symbol:
    """A size of a value, or a function of sizes; with what it is for two shapes, by which it is known again."""

    text: str  # "{0}[2] * 2", of the values
    values: tuple["Value", ...]
    samples: tuple[Any, Any]
    terms: int = 1
    size: bool = False  # it is an extent as it stands, at least 1
    images: bool = False  # the number of images is in it
    open: bool = True  # an extent that the file leaves open is

    @classmethod
    def of(cls, value: "Value", axis: int, samples: Pair) -> "Symbol":
        """An axis of the layer's value."""
        return cls(f"{{0}}[{axis}]", (value,), samples, size=True)

    def written(self, inputs: list["Value"]) -> str:
        """As layers take it; values that are not among their inputs yet come behind them."""
        for value in self.values:
            if all(value.name != one.name for one in inputs):
                inputs.append(value)
        places = [next(i for i, one in enumerate(inputs) if one.name == value.name) for value in self.values]
        return self.text.format(*(f"x{i or ''}" for i in places))

    def times(self, value: "Value", axis: int) -> int | None:
        """How often it is this extent, if it is a multiple of that as it stands."""
        own = f"{{0}}[{axis}]"
        if [one.name for one in self.values] != [value.name]:
            return None
        factor = self.text.removesuffix(own) if self.text.endswith(own) else self.text.removeprefix(own)
        if not factor:
            return 1
        digits = factor.strip(" *")
        return int(digits) if digits.isdecimal() and factor in (f"{digits} * ", f" * {digits}") else None


Exact = int | float | bool | Symbol


def sampled(value: "Value", axis: int) -> Pair:
    """Two numbers for an open extent."""
    number = crc32(f"{value.name}\0{axis}".encode()) % 99_991
    return 2 * number + _PRIMES[0] + 1, 2 * (number * 7 % 49_999) + _PRIMES[1] + 1


def shape_symbols(value: "Value", outer: Sequence[int | None]) -> list[Exact]:
    """The extents of a value of the file as they are, open ones and the images' number as symbols."""
    found: list[Exact] = []
    for axis, extent in enumerate(outer):
        if axis == value.place.axis:
            count = replace(Symbol.of(value, 0, BATCH), images=True, open=False)
            one = value.place.before * value.place.behind
            found.append(combined("Mul", count, one))
        elif extent is None:
            inner = value.place.inner(axis)
            found.append(Symbol.of(value, inner, sampled(value, inner)))
        else:
            found.append(extent)
    return found


def combined(operator: str, *parts: Exact) -> Exact:
    """What an operator of ONNX makes of numbers and symbols.

    Raises
    ------
    LookupError
        That is no size.
    """
    if not any(isinstance(part, Symbol) for part in parts):
        found: Exact = _numbers(operator, parts)
        return found
    if operator in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        return _compared(operator, *parts)
    for neutral, operators in ((0, ("Add", "Sub")), (1, ("Mul", "Div"))):
        if operator in operators and type(parts[1]) is int and parts[1] == neutral:
            return parts[0]
        if operator in ("Add", "Mul")[neutral] and type(parts[0]) is int and parts[0] == neutral:
            return parts[1]
    floats = any(isinstance(s, np.floating) for part in parts for s in _samples(part)[:1])
    form = _FORMS[operator]
    if operator == "Div":
        form = form if not floats else "{} / {}"
    if operator in ("Floor", "Ceil") and not floats:
        return parts[0]
    terms = sum(part.terms if isinstance(part, Symbol) else 1 for part in parts)
    values: list[Value] = []
    texts = []
    for part in parts:
        if not isinstance(part, Symbol):
            texts.append(repr(float(part)) if isinstance(part, (float, np.floating)) else str(part))
            continue
        for value in part.values:
            if all(value.name != one.name for one in values):
                values.append(value)
        places = [next(i for i, one in enumerate(values) if one.name == value.name) for value in part.values]
        text = part.text.format(*(f"{{{i}}}" for i in places))
        texts.append(f"({text})" if form[:1] in "{-" and not part.size else text)
    if form.count("{}") != len(parts):
        raise LookupError(operator)
    text = form.format(*texts)
    if terms > _MOST_TERMS or len(text) > LONGEST // 2:
        raise LookupError(text)
    first, second = (_numbers(operator, [_samples(part)[i] for part in parts]) for i in range(2))
    symbols = [part for part in parts if isinstance(part, Symbol)]
    return Symbol(
        text,
        tuple(values),
        (first, second),
        terms,
        images=any(one.images for one in symbols),
        open=any(one.open for one in symbols),
    )


def _samples(part: Exact) -> tuple[Any, Any]:
    return part.samples if isinstance(part, Symbol) else (part, part)


def _compared(operator: str, *parts: Exact) -> bool:
    """Extents are at least 1: so they are never 0, or -1 as shapes have it."""
    first, second = parts
    if isinstance(second, Symbol) and not isinstance(first, Symbol):
        operator = operator.replace("Less", "G").replace("Greater", "Less").replace("G", "Greater", 1)
        first, second = second, first
    if first == second and isinstance(first, Symbol):
        return operator.endswith("Equal")
    if isinstance(first, Symbol) and first.size and not isinstance(second, Symbol) and second < 1:
        return operator.startswith("Greater")
    raise LookupError(operator)


def _numbers(operator: str, parts: Sequence[Any]) -> Any:
    with np.errstate(all="ignore"):
        return _COMPUTE[operator](*parts)


def _quotient(a: Any, b: Any) -> Any:
    if isinstance(a, np.floating) or isinstance(b, np.floating):
        return np.float32(a) / np.float32(b)
    if not b:
        raise LookupError("division by 0")
    found = abs(a) // abs(b)
    return found if (a < 0) == (b < 0) else -found


_FORMS = {
    "Add": "{} + {}",
    "Ceil": "ceil({})",
    "Div": "quotient({}, {})",
    "Floor": "floor({})",
    "Max": "max({}, {})",
    "Min": "min({}, {})",
    "Mod": "{} % {}",
    "Mul": "{} * {}",
    "Neg": "-{}",
    "Sub": "{} - {}",
    "f32": "f32({})",
    "trunc": "trunc({})",
}
_COMPUTE: dict[str, Callable[..., Any]] = {
    "Add": lambda a, b: a + b,
    "Ceil": lambda a: np.ceil(a) if isinstance(a, np.floating) else a,
    "Div": _quotient,
    "Equal": lambda a, b: bool(a == b),
    "Floor": lambda a: np.floor(a) if isinstance(a, np.floating) else a,
    "Greater": lambda a, b: bool(a > b),
    "GreaterOrEqual": lambda a, b: bool(a >= b),
    "Less": lambda a, b: bool(a < b),
    "LessOrEqual": lambda a, b: bool(a <= b),
    "Max": max,
    "Min": min,
    "Mod": lambda a, b: a % b,
    "Mul": lambda a, b: a * b,
    "Neg": lambda a: -a,
    "Sub": lambda a, b: a - b,
    "f32": np.float32,
    "trunc": int,
}
MOVES = {
    *("Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
}


def symbolic(node: "Node", fold: Callable[..., Array], known: Sequence[Any]) -> Array | None:
    """What a node gives of sizes, as objects: numbers and symbols; None where it is none that is kept."""
    operator = node.operator
    if operator in ("Shape", "Size"):  # of a shape: how long it is
        return np.asarray(fold(node, *(one and one.first for one in known)), object)
    try:
        if operator in MOVES:
            # Of an Expand's, say, the second input is a shape itself, which has to be numbers.
            arrays = [None if one is None else _exact(one) if i == 0 or operator == "Concat" else _plain(one)
                      for i, one in enumerate(known)]  # fmt: skip
            return np.asarray(fold(node, *arrays), object)
        if operator == "Cast":
            kind = np.dtype(known[0].second.dtype), np.dtype(fold(node, np.zeros((), known[0].first.dtype)).dtype)
            if kind[0].kind in "iu" and kind[1].kind in "iu":
                return _exact(known[0])
            if kind[1] == np.float32 and kind[0].kind in "iu":
                return _each(lambda a: combined("f32", a), known)
            return (
                _each(lambda a: combined("trunc", a), known) if kind[1].kind in "iu" and kind[0].kind == "f" else None
            )
        if operator == "Where":
            return _each(lambda c, a, b: a if c else b, known)
        if operator == "ReduceProd":
            array = _exact(known[0])
            result = combined_product(array.reshape(-1).tolist())
            return np.full(fold(node, *(one and one.first for one in known)).shape, result, object)
        if operator in _COMPUTE and not node.take("fmod", 0):
            return _each(lambda *parts: combined(operator, *parts), known)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError):  # no size: what it gives is unknown
        return None
    return None


def combined_product(parts: Sequence[Exact]) -> Exact:
    found: Exact = 1
    for part in parts:
        found = combined("Mul", found, part)
    return found


def _each(function: Callable[..., Any], known: Sequence["Known"]) -> Array:
    arrays = np.broadcast_arrays(*(_exact(one) for one in known))
    count = math.prod(arrays[0].shape)
    found = np.empty(count, object)
    for i, parts in enumerate(zip(*(array.reshape(-1) for array in arrays), strict=True)):
        found[i] = function(*parts)
    return found.reshape(arrays[0].shape)


def _exact(known: "Known") -> Array:
    if known.exact is not None:
        return known.exact
    if known.first is not known.second:
        raise LookupError("it depends on sizes that are not kept")
    if known.first.size > _MOST_TERMS * _MOST_TERMS:
        raise LookupError("too many numbers for a shape")
    found = np.empty(known.first.shape, object)
    for index, number in np.ndenumerate(known.first):
        found[index] = np.float32(number) if known.first.dtype == np.float32 else number.item()
    return found


def _plain(known: "Known") -> Array:
    if known.exact is not None or known.first is not known.second:
        raise LookupError("a shape of a shape")
    return known.first
