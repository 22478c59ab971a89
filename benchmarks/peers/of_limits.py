"""What the processor can do: multiply-adds without memory, and a copy (cnnx/optimized/_limits.pyx)."""

import math
from typing import Any

import numpy as np

import cnnx
from cnnx import native

from .figures import Call, Figure

COPIED = 1 << 26  # bytes: more than caches keep of two such arrays on most machines


def about() -> dict[str, Any]:
    """What goes into the record."""
    return {"instruction set": native.instruction_set(), "threads": cnnx.get_num_threads(), "copied": COPIED}


def prepare(figure: Figure, arrays: dict[str, np.ndarray]) -> Call:
    """The convolution's multiply-adds without the convolution."""
    return multiply_adds(figure.options["multiply_adds"])


def multiply_adds(count: int) -> Call:
    """About `count` multiply-adds of float32, shared out among the threads."""
    limits = native.kernels("_limits")
    steps = math.ceil(count / limits.in_one_step() / cnnx.get_num_threads())
    return lambda: limits.multiply_adds(steps)


def copy() -> Call:
    """COPIED bytes are read and as many written."""
    limits = native.kernels("_limits")
    source, target = np.ones(COPIED, "uint8"), np.ones(COPIED, "uint8")
    return lambda: limits.copy(source.ctypes.data, target.ctypes.data, COPIED)
