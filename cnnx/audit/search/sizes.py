"""Extents at which kernels change their ways: about multiples of the lengths of vectors and blocks, and primes."""

from functools import cache

import numpy as np

BLOCKS = (4, 8, 16, 32, 48, 64, 128)
PRIMES = (
    7,
    11,
    13,
    17,
    19,
    23,
    29,
    31,
    37,
    41,
    43,
    53,
    61,
    67,
    71,
    83,
    97,
    101,
    113,
    127,
    131,
    139,
    151,
    173,
    199,
    211,
)
SMALL = (1, 1, 2, 2, 3, 4, 5)
OFFSETS = (0, 0, 0, 1, -1, 2, -2, 3)
# Ranges of extents, by their first one: the values along an axis of sizes.
RANGES = (1, 2, 8, 16, 32, 64, 128, 256)


def small(rng: np.random.Generator) -> int:
    """An extent below all blocks."""
    return SMALL[rng.integers(len(SMALL))]


def large(rng: np.random.Generator, most: int) -> int:
    """An extent up to `most`, at a multiple of a block or beside one; or a prime; or any.

    Each block has its turn, and of its multiples small ones come more often.
    """
    kind = rng.random()
    if kind < 0.15:
        found = PRIMES[rng.integers(len(PRIMES))]
    elif kind < 0.25:
        found = int(rng.integers(1, most + 1))
    else:
        block = BLOCKS[rng.integers(len(BLOCKS))]
        times = max(1, most // block)
        found = block * int(1 + times * rng.random() ** 1.5) + OFFSETS[rng.integers(len(OFFSETS))]
    return max(1, min(found, most))


@cache
def range_of(extent: int) -> str:
    """The range in which an extent lies, in words."""
    if extent < RANGES[1]:
        return str(extent)
    if extent >= RANGES[-1]:
        return f"{RANGES[-1]} or more"
    i = max(i for i, first in enumerate(RANGES) if first <= extent)
    return f"{RANGES[i]} to {RANGES[i + 1] - 1}"


@cache
def ranges(least: int, most: int) -> tuple[str, ...]:
    """The ranges that extents from `least` to `most` can lie in."""
    return tuple(dict.fromkeys(range_of(n) for n in (least, *(r for r in RANGES if least <= r <= most))))
