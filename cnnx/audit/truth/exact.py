"""Exact expected outputs: the reference's equations on integers, Fractions, balls or mpmath's numbers.

Every float is a dyadic number. So a sum of products runs on Python integers once its inputs are scaled by powers of
two; other rational equations run on Fractions; exp, log, sqrt, erf and pow on balls, whose radius is proven, where
python-flint is installed, else on mpmath's numbers of 60 digits.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from ... import backend as _backend
from .._signature import signature
from ..data import Array
from ..trace import KernelCall, address, lifted, named_inputs
from .arithmetic import FractionMath, IrrationalError, UndecidedError
from .balls import BITS, Ball, BallMath, ball, flint, precision

DIGITS = 60
INTEGERS, FRACTIONS, MPMATH, DOUBLES = "integers", "Fractions", f"mpmath ({DIGITS} digits)", "bounded doubles"
BALLS = f"balls (python-flint, {BITS} bits)"
KINDS = (INTEGERS, FRACTIONS, BALLS, MPMATH, DOUBLES)  # the simpler and the better proven first

# Sums of products: the inputs that are factors. An input b is added to the products; any other is only compared.
PRODUCTS = {
    "conv2d": ("Z", "F"),
    "conv2d_winograd": ("Z", "F"),
    "conv2d_grad_weight": ("Delta", "Z"),
    "conv2d_grad_bias": ("Delta",),
    "conv2d_grad_input": ("Delta", "F"),
    "conv2d_winograd_grad_input": ("Delta", "F"),
    "conv_transpose2d": ("Z", "F"),
    "conv_transpose2d_grad_input": ("Delta", "F"),
    "conv_transpose2d_grad_weight": ("Delta", "Z"),
    "affine": ("Z", "w"),
    "affine_grad_weight": ("Delta", "Z"),
    "affine_grad_bias": ("Delta",),
    "affine_grad_input": ("Delta", "w"),
    "max_pool2d": ("Z",),
    "max_pool2d_winners": ("Z",),
    "max_pool2d_grad_input": ("Delta",),
    "max_pool2d_grad_input_all": ("Delta",),
    "max_pool2d_grad_input_winners": ("Delta",),
    "batch_norm2d_grad_bias": ("Delta",),
    "group_norm_grad_bias": ("Delta",),
    "add_grad_input": ("Delta",),
    "multiply": ("A", "B"),
    "multiply_grad_input": ("Delta", "B"),
    "matmul": ("A", "B"),
    "matmul_grad_a": ("Delta", "B"),
    "matmul_grad_b": ("Delta", "A"),
}


class MpMath:
    """exp, log, ... of mpmath's numbers, counted. Each is computed once for a number: the same root divides all of a
    channel."""

    _names = ("exp", "expm1", "log", "log1p", "sqrt", "erfc")

    def __init__(self, context: Any):
        self._context = context
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        if name not in self._names:
            raise AttributeError(name)
        once = cache(getattr(self._context, name))

        def counted(x: Any) -> Any:
            self.asked += 1
            return once(x)

        setattr(self, name, counted)
        return counted

    def pow(self, x: Any, exponent: Any) -> Any:
        self.asked += 1
        return x if exponent == 1 else self._context.power(x, exponent)


@cache
def mpmath_context() -> Any:
    """mpmath with 60 digits, apart from the process's own; None where it is not installed."""
    try:
        import mpmath
    except ModuleNotFoundError:
        return None
    context = mpmath.MPContext()
    context.dps = DIGITS
    return context


def has_functions() -> bool:
    """Whether exp, log, sqrt, erf and pow can be computed to more than double."""
    return flint() is not None or mpmath_context() is not None


class Truth:
    """The exact outputs of recorded calls, element by element. An output that is a later call's input goes there
    as it is."""

    def __init__(self, calls: list[KernelCall]):
        self._equations: dict[tuple[int, int], Equation] = {}
        for call in calls:
            earlier = [self._equations.get(address(a)) if a.size else None for a in call.inputs]
            for output, element in zip(call.outputs, _backend.equations(call.kernel).values(), strict=True):
                self._equations[address(output)] = Equation(call, output, element, earlier)

    def of(self, output: Array) -> "Equation":
        """The equation of an output."""
        return self._equations[address(output)]


class Equation:
    """One output of one call. `kind` says on which numbers it runs: the simplest on which it can."""

    def __init__(self, call: KernelCall, output: Array, element: Callable[..., Any], earlier: "list[Equation | None]"):
        self._call, self._output, self._element, self._earlier = call, output, element, earlier
        self._takes_m = "m" in signature(element).parameters
        self._arguments: tuple[list[Array], dict[str, Any]] | None = None
        self._scale = 1
        self._values: dict[tuple[int, ...], Any] = {}  # what was asked for before: by a later call, by the comparison
        self.m: Any = FractionMath()
        linked = [e for e in earlier if e is not None]
        self.kind = INTEGERS if call.kernel in PRODUCTS and not linked else FRACTIONS
        if any(e.kind in (BALLS, MPMATH, DOUBLES) for e in linked):
            self._next_kind()

    @property
    def asked(self) -> int:
        """How many functions balls or mpmath were asked for."""
        return self.m.asked if isinstance(self.m, (BallMath, MpMath)) else 0

    def value(self, index: tuple[int, ...]) -> Any:
        """The number there, an int, a Fraction, a ball or an mpf; None where it has none without rounding."""
        if index not in self._values:
            if flint() is None:
                self._values[index] = self._value(index)
            else:
                with precision():
                    self._values[index] = self._value(index)
        return self._values[index]

    def _value(self, index: tuple[int, ...]) -> Any:
        while self.kind != DOUBLES:
            if self._arguments is None:
                self._arguments = self._prepare()
            inputs, numbers = self._arguments
            try:
                value = self._element(*inputs, *index, **numbers, **({"m": self.m} if self._takes_m else {}))
            except IrrationalError:
                self._next_kind()
                continue
            except (ZeroDivisionError, UndecidedError):
                return None
            if isinstance(value, Ball):
                return value if value.says_enough else None
            if self.kind == INTEGERS:
                if isinstance(value, int):
                    return Fraction(value, self._scale)
            elif isinstance(value, (int, Fraction)):
                return value
            elif value == 0:
                return 0  # 0.0 from a division of integers, of an empty sum by a count
            elif self.kind == MPMATH and not isinstance(value, float):
                return value if mpmath_context().isfinite(value) else None
            self._next_kind()  # a float: the equation divided integers, or has a constant that is one
        return None

    def all(self) -> Array:
        """Every element."""
        values = np.empty(self._output.shape, dtype=object)
        for index in np.ndindex(values.shape):
            values[index] = self.value(index)
        return values

    def _next_kind(self) -> None:
        self._arguments = None
        if self.kind == INTEGERS:
            self.kind = FRACTIONS
        elif self.kind == FRACTIONS and flint() is not None:
            self.kind, self.m = BALLS, BallMath()
        elif self.kind == FRACTIONS and mpmath_context() is not None:
            self.kind, self.m = MPMATH, MpMath(mpmath_context())
        else:
            self.kind = DOUBLES

    def _prepare(self) -> tuple[list[Array], dict[str, Any]]:
        """The call's inputs and numbers, of this kind."""
        if self.kind == INTEGERS:
            return self._integers(), dict(self._call.numbers)
        make, carried = NUMBERS.get(self.kind, (_mpf, _as_mpf))
        inputs = []
        for a, earlier in zip(self._call.inputs, self._earlier, strict=True):
            if earlier is None:
                inputs.append(lifted(a, make))
            else:
                values = earlier.all().reshape(a.shape)
                inputs.append(carried(values))
        return inputs, {k: make(v) if isinstance(v, float) else v for k, v in self._call.numbers.items()}

    def _integers(self) -> list[Array]:
        """The inputs scaled by powers of two, so that the factors' product has the summand's scale."""
        factors = PRODUCTS[self._call.kernel]
        arrays = named_inputs(self._call)
        bits = {name: _bits(a) for name, a in arrays.items()}
        lacking = bits.get("b", 0) - sum(bits[name] for name in factors)
        bits[factors[0]] += max(0, lacking)
        total = sum(bits[name] for name in factors)
        if "b" in bits:
            bits["b"] = total
        self._scale = 1 << total if self._output.dtype.kind == "f" else 1
        return [_scaled(a, bits[name]) for name, a in arrays.items()]


def _mpf(value: Any) -> Any:
    return mpmath_context().mpf(value)


def _as_balls(values: Array) -> Array:
    """Fractions as balls; what is one already stays."""
    numbers = np.empty_like(values)
    for index in np.ndindex(values.shape):
        numbers[index] = ball(values[index])
    return numbers


def _as_mpf(values: Array) -> Array:
    """Fractions as mpmath's numbers; what is one already stays."""
    numbers = np.empty_like(values)
    for index in np.ndindex(values.shape):
        value: Any = values[index]
        if isinstance(value, (int, Fraction)):
            value = _mpf(value.numerator) / value.denominator
        numbers[index] = value
    return numbers


def _bits(a: Array) -> int:
    """The least b for which a 2^b holds integers alone."""
    if a.dtype.kind != "f":
        return 0
    return max((x.as_integer_ratio()[1].bit_length() - 1 for x in a.ravel().tolist()), default=0)


def _scaled(a: Array, bits: int) -> Array:
    """a 2^bits, as Python's integers; integers stay as they are."""
    scaled = a.astype(object)
    if a.dtype.kind == "f":
        for index in np.ndindex(a.shape):
            n, d = float(a[index]).as_integer_ratio()
            scaled[index] = (n << bits) // d
    return scaled


NUMBERS: dict[str, tuple[Callable[[Any], Any], Callable[[Array], Array]]] = {
    FRACTIONS: (Fraction, np.asarray),
    BALLS: (ball, _as_balls),
}


def off(number: float, value: Any) -> float:
    """|number - value|, rounded once; of a ball at most so much."""
    if not math.isfinite(number):
        return math.inf
    if isinstance(value, (int, Fraction)):
        n, d = number.as_integer_ratio()
        try:
            return abs(n * value.denominator - value.numerator * d) / (d * value.denominator)
        except OverflowError:
            return math.inf
    if isinstance(value, Ball):
        with precision():
            return value.off(number)
    return float(abs(_mpf(number) - value))


def as_float(value: Any) -> float:
    """The nearest float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
