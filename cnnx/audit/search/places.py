"""Which elements of an output are judged: those at which vectors and blocks begin and end, and some at random."""

import math
from collections.abc import Iterator

import numpy as np

from .sizes import BLOCKS

Index = tuple[int, ...]

TAIL = 16  # the numbers of the longest vector
MOST = 40  # elements of an output


def places(shape: Index, rng: np.random.Generator) -> Iterator[Index]:
    """Elements of an array, each once, those first that tell most: up to MOST, or all there are.

    By turns one of the array's last numbers, the last of a row's, the border of a block, and any.
    """
    size = math.prod(shape)
    if size <= MOST:
        for flat in rng.permutation(size):
            yield _index(int(flat), shape)
        return
    seen: set[int] = set()
    kinds = (_last, _of_a_row, _border, _any)
    tries = 0
    while len(seen) < MOST and tries < 4 * MOST:
        flat = kinds[tries % len(kinds)](shape, size, rng)
        tries += 1
        if flat not in seen:
            seen.add(flat)
            yield _index(flat, shape)


def _last(shape: Index, size: int, rng: np.random.Generator) -> int:
    """Of the numbers in the last vector of the whole array."""
    return size - 1 - int(rng.integers(min(TAIL, size)))


def _of_a_row(shape: Index, size: int, rng: np.random.Generator) -> int:
    """Of the numbers in the last vector of some row."""
    row = shape[-1]
    return int(rng.integers(size // row)) * row + row - 1 - int(rng.integers(min(TAIL, row)))


def _border(shape: Index, size: int, rng: np.random.Generator) -> int:
    """The first or last number of a block along some axis."""
    index = [int(rng.integers(n)) for n in shape]
    axis = int(rng.integers(len(shape)))
    block = int(rng.choice(BLOCKS))
    at = block * int(rng.integers(shape[axis] // block + 1)) - int(rng.integers(2))
    index[axis] = min(max(at, 0), shape[axis] - 1)
    return int(np.ravel_multi_index(index, shape))


def _any(shape: Index, size: int, rng: np.random.Generator) -> int:
    return int(rng.integers(size))


def _index(flat: int, shape: Index) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
