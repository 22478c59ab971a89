"""What the machine can do at best: multiply-adds without memory, copies without arithmetic.

A limit is measured in turns with what it is the limit of, with the same number of threads and, for copies, of as many
bytes: what fits into a cache is held against the cache.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import native as _native
from .record import COPY, MULTIPLY_ADDS

SMALLEST = 1 << 10  # bytes moved by a copy
LARGEST = 1 << 27  # beyond the caches of most machines
SPAN = 2e-3  # seconds that one call of a limit takes, about


@dataclass(frozen=True)
class Limit:
    """A call that does `amount` of a work (multiply-adds of `dtype`, bytes read and written) as fast as possible."""

    call: Callable[[], object]
    amount: float

    def seconds(self) -> float:
        """Of one unit of the work."""
        start = time.perf_counter()
        self.call()
        return (time.perf_counter() - start) / self.amount


def multiply_adds(dtype: str = "float32") -> Limit:
    """With as many threads as cnnx uses now. A vector holds half as many doubles."""
    module = _native.kernels("_limits")
    per_step = module.in_one_step() * _native.get_num_threads() * (1.0 if dtype == "float32" else 0.5)

    def of(steps: int) -> Limit:
        return Limit(lambda: module.multiply_adds(steps), steps * per_step)

    return _long_enough(of, 1000)


def copy(moved: int) -> Limit:
    """Of arrays so large that `moved` bytes, within reason, are read and written."""
    module = _native.kernels("_limits")
    size = min(max(moved, SMALLEST), LARGEST) // 2
    source, target = (np.ones(size, np.uint8) for _ in range(2))

    def of(count: int) -> Limit:
        def call() -> None:
            module.copy(source.ctypes.data, target.ctypes.data, size, count)

        return Limit(call, 2.0 * size * count)

    return _long_enough(of, 1)


def binding(amounts: tuple[int, int], dtype: str) -> tuple[str, Limit | None, float]:
    """Which limit binds work of so many (multiply-adds, bytes): its name, the limit, and how much of it.

    The equation's least time is the larger of the two: both can go on at once.
    """
    count, moved = amounts
    makers: dict[str, tuple[int, Callable[[], Limit]]] = {
        MULTIPLY_ADDS: (count, lambda: multiply_adds(dtype)),
        COPY: (moved, lambda: copy(moved)),
    }
    found = [(name, make(), float(amount)) for name, (amount, make) in makers.items() if amount]
    if not found:
        return "", None, 0.0
    return max(found, key=lambda each: each[2] * min(each[1].seconds() for _ in range(3)))


def _long_enough(of: Callable[[int], Limit], start: int) -> Limit:
    """The limit of so many repetitions that a call takes SPAN."""
    count = start
    while True:
        limit = of(count)
        limit.call()
        took = limit.seconds() * limit.amount
        if took >= SPAN / 2:
            return limit
        count = math.ceil(count * min(100.0, max(2.0, SPAN / max(took, 1e-7))))
