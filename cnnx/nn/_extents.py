"""Sizes that depend on what comes in, "2 * x[2]": read once, computed at each call."""

import ast
import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import _check

Shapes = Sequence[tuple[int, ...]]
Extent = int | str

LONGEST = 512  # characters
_LARGEST_NUMBER = 2**62  # so that products of a few cannot become as long as they like


class _Read(NamedTuple):
    compute: Callable[[Shapes], Any]
    inputs: int  # how many it needs


def needed(*values: object) -> int:
    """How many inputs a layer with these sizes takes: one, and those that the sizes name."""
    return max([1, *(_read(value).inputs for value in values if isinstance(value, str))])


def extent(name: str, value: object, least: int) -> Extent:
    """An integer, or a text that says how it comes of the inputs' shapes: checked as far as it can be."""
    if not isinstance(value, str):
        return _check.integer(name, value, least)
    try:
        _read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return value


def computed(name: str, value: Extent, shapes: Shapes, least: int) -> int:
    """What it is for inputs of these shapes."""
    if not isinstance(value, str):
        return value
    try:
        with np.errstate(all="ignore"):
            found = _read(value).compute(shapes)
    except (ArithmeticError, IndexError, OverflowError) as error:
        raise ValueError(f"{name}: expected shapes that {value!r} can be computed of, got {shapes}: {error}") from None
    if not isinstance(found, int) or found < least:
        raise ValueError(f"{name}: expected an integer of at least {least} for {value!r}, got {found} of {shapes}")
    return found


@lru_cache(1024)
def _read(text: str) -> _Read:
    if len(text) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(text, mode="eval").body
        return _node(tree)
    except (SyntaxError, RecursionError, MemoryError, KeyError, ValueError, TypeError):
        raise ValueError(
            "expected a size such as 7, 'x[2]', '2 * x1[3] + 1' or 'quotient(x[2], 4)', "
            f"of + - * / %, {', '.join(_FUNCTIONS)}, got {_check.shown(text)}"
        ) from None


def _node(tree: Any) -> _Read:
    match tree:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            number = value if isinstance(value, int) else np.float32(value)
            return _Read(lambda shapes: number, 0)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            read = _node(inner)
            return _Read(lambda shapes: -read.compute(shapes), read.inputs)
        case ast.BinOp():
            function = _OPERATORS[type(tree.op)]
            return _call(function, [_node(tree.left), _node(tree.right)])
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int() as axis)) if type(axis) is int:
            index = _index(name)
            return _Read(lambda shapes: shapes[index][axis], index + 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            function, count = _FUNCTIONS[name]
            if len(arguments) == count:
                return _call(function, list(map(_node, arguments)))
    raise ValueError("no size")


def _index(name: str) -> int:
    """Which input "x" is, or "x1"."""
    number = int(name[1:] or "0") if name[:1] == "x" else -1
    if name != f"x{number or ''}" or number > 99:
        raise ValueError("no input")
    return number


def _call(function: Callable[..., Any], parts: list[_Read]) -> _Read:
    def compute(shapes: Shapes) -> Any:
        found = function(*(part.compute(shapes) for part in parts))
        if isinstance(found, np.floating) and not np.isfinite(found):
            raise ArithmeticError("not finite")
        if abs(found) > _LARGEST_NUMBER:
            raise OverflowError("too large")
        return found

    return _Read(compute, max(part.inputs for part in parts))


def quotient(a: Any, b: Any) -> int:
    """The whole part of a / b, towards 0, as ONNX divides integers."""
    found = int(abs(a) // abs(b))
    return found if (a < 0) == (b < 0) else -found


def whole(a: Any, b: float) -> int:
    """a times b, which has to be a whole number: b says how images are scaled."""
    found = a * Fraction(float(b))
    if found.denominator != 1:
        raise ArithmeticError(f"{float(b):g} of {a} is no whole number")
    return int(found)


def _divided(a: Any, b: Any) -> Any:
    return np.float32(a) / np.float32(b) if b else _raise_zero()


def _raise_zero() -> None:
    raise ArithmeticError("division by 0")


_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divided,
    ast.Mod: lambda a, b: a % b if b else _raise_zero(),
}
# With float32 where a file computes sizes in it, as exporters do for factors that are no integers. How many it takes.
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "quotient": (quotient, 2),
    "whole": (whole, 2),
    "f32": (np.float32, 1),
    "trunc": (int, 1),
    "floor": (lambda a: np.floor(a) if isinstance(a, np.floating) else a, 1),
    "ceil": (lambda a: np.ceil(a) if isinstance(a, np.floating) else a, 1),
    "min": (min, 2),
    "max": (max, 2),
}
