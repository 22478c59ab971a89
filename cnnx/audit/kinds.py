"""Kinds of numbers: NumPy's, and bfloat16 of ml_dtypes; and how those of two bytes are carried in an audit."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HALVES = ("float16", "bfloat16")  # numbers of two bytes, which are carried in float32


class NoNumbersError(ImportError):
    """A kind of numbers that NumPy lacks, and the package that has it is not installed."""


@cache
def numbers(dtype: str) -> Any:
    """The dtype of that name: NumPy's, or that of ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError as error:
        message = f"bfloat16 needs ml_dtypes: python -m pip install 'cnnx[audit]' ({error})"
        raise NoNumbersError(message, name="ml_dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)


def carrier(dtype: str) -> str:
    """The dtype of the arrays that hold such numbers in an audit: equations and checks know float32 and float64."""
    return "float32" if dtype in HALVES else dtype


def held(a: Array, dtype: str) -> Array:
    """The numbers rounded to a dtype, in its carrier."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(a).astype(numbers(dtype))
        return rounded if carrier(dtype) == dtype else rounded.astype(carrier(dtype))


@dataclass(frozen=True)
class Limits:
    """What is known of a kind of numbers: u, half the distance of 1 to the next; its smallest and largest ones."""

    u: float
    subnormal: float
    normal: float
    largest: float


@cache
def limits(dtype: str) -> Limits:
    """Of float16, bfloat16, float32 or float64."""
    if dtype == "bfloat16":  # 8 bits of significand, float32's exponents
        return Limits(2.0**-8, 2.0**-133, 2.0**-126, (2 - 2.0**-7) * 2.0**127)
    info = np.finfo(dtype)
    return Limits(
        float(info.eps) / 2, float(info.smallest_subnormal), float(info.smallest_normal), float(info.max)
    )  # fmt: skip
