"""What calls were found to mean, remembered; and the arrays that calls fill, lent where somebody owns them.

Options and shapes say everything about a call but the numbers in its arrays. So they are checked once, and what
follows from them, the call's plan, is looked up when they come again.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .._check import Array

Shapes = tuple[tuple[int, ...], ...]
Plan = TypeVar("Plan")
Result = TypeVar("Result")

LINE = 64  # bytes of a cache line
REMEMBERED = 1024  # plans of one function; the one that was not asked for longest goes first


def remembered(make: Callable[..., Plan]) -> Callable[..., Plan]:
    """`make(shapes, *options)`, which looks up what it was asked before. Errors are made anew each time.

    Python takes True, 1 and 1.0 for one key, but only 1 is a stride: the options' types belong to the key, and where
    options are tuples, their members' types are compared with those of the plan that was found. What cannot be a
    key (a list) is checked at each call. No option is a float: 0.0 and -0.0 are one key too.
    """

    @functools.lru_cache(REMEMBERED, typed=True)
    def known(shapes: Shapes, *options: object) -> tuple[Plan, object]:
        nested = any(isinstance(option, (tuple, list)) for option in options)
        return make(shapes, *options), _types(options) if nested else None

    @functools.wraps(make)
    def plan(*call: Any) -> Plan:
        try:
            found, types = known(*call)
            if types is None or types == _types(call[1:]):
                return found
        except Exception:  # of `make`, which says it again, or of an option that is no key
            pass
        return make(*call)

    return plan


def _types(option: object) -> object:
    """The type of an option; of a tuple those of its members, and of theirs."""
    return tuple(map(_types, option)) if isinstance(option, (tuple, list)) else type(option)


@functools.lru_cache(64)
def zeros(count: int, dtype: str) -> Array:
    """Read-only zeros: what a missing bias counts as."""
    found = np.zeros(count, dtype)
    found.flags.writeable = False
    return found


@functools.lru_cache(64)
def ones(count: int, dtype: str) -> Array:
    """Read-only ones: what a missing weight counts as."""
    found = np.ones(count, dtype)
    found.flags.writeable = False
    return found


class Buffers:
    """Arrays that are lent again and again: the i-th that is asked for since `start` is the i-th of the time before.

    Where shape or dtype are others than then, it is a new one, which is lent from now on.
    """

    __slots__ = ("arrays", "next")

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.next = 0

    def start(self) -> "Buffers":
        """From here on what was lent before may be written to; returns the buffers."""
        self.next = 0
        return self

    def lend(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An array for what comes next."""
        i = self.next
        self.next = i + 1
        if i == len(self.arrays):
            self.arrays.append(np.empty(0, dtype))
        kept = self.arrays[i]
        if kept.shape != shape or not (kept.dtype is dtype or kept.dtype == dtype):
            self.arrays[i] = kept = empty("output", shape, dtype)
        return kept


# Whose arrays the ops lend that are called from here on; None: every result is a new array. It is set within
# `try` and put back in its `finally` without tokens or `with`, so that Ctrl-C cannot come in between.
lender: ContextVar[Buffers | None] = ContextVar("cnnx_lender", default=None)


def lending(buffers: Buffers | None, call: Callable[..., Result], *arguments: Any) -> Result:
    """`call(*arguments)`, which is lent the arrays of `buffers`, or given new ones, where that is None."""
    before = lender.get()
    try:
        lender.set(buffers and buffers.start())
        return call(*arguments)
    finally:
        lender.set(before)


def new(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An output for a kernel to fill."""
    buffers = lender.get()
    if buffers is not None:
        return buffers.lend(shape, dtype)
    try:  # empty(), without the call
        return np.empty(shape, dtype)
    except (ValueError, MemoryError):
        return empty("output", shape, dtype)


def empty(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An array; one that the memory does not hold is a MemoryError that names it."""
    try:
        return np.empty(shape, dtype)
    except (ValueError, MemoryError) as error:  # ValueError: NumPy's word for a size beyond the address space
        raise MemoryError(f"{name} of shape {shape}: {error}") from None


def on_a_line(name: str, nbytes: int) -> Array:
    """Bytes that begin on a cache line."""
    memory = empty(name, (nbytes + LINE,), np.uint8)
    first = -memory.ctypes.data % LINE
    return memory[first : first + nbytes]
