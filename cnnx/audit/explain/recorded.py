"""Arrays whose elements remember where they came from."""

import itertools
import operator
from typing import Any

import numpy as np

from ..data import Array
from .expression import Element

ENDLESS = 1 << 40


class Recorded:
    """An array whose elements are nodes, made when they are read; `read` lists them, each once.

    With `corner`, its last two axes go on without end beyond the image, and the image's first pixel is at `corner`.
    """

    def __init__(self, name: str, array: Array, *, corner: tuple[int, int] | None = None, beyond: float = 0.0):
        self._name, self._array, self._corner, self._beyond = name, array, corner, beyond
        self.shape: tuple[int, ...] = array.shape if corner is None else (*array.shape[:-2], *(ENDLESS, ENDLESS))
        self.read: dict[tuple[int, ...], Element] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (len(self.shape) - len(keys))
        axes = [
            range(n)[k] if isinstance(k, slice) else (operator.index(k),) for k, n in zip(keys, self.shape, strict=True)
        ]
        extents = [len(axis) for axis, k in zip(axes, keys, strict=True) if isinstance(k, slice)]
        if not extents:
            return self._element(tuple(axis[0] for axis in axes))
        picked = np.empty(extents, dtype=object)
        picked.reshape(-1)[:] = [self._element(index) for index in itertools.product(*axes)]
        return picked

    def _element(self, index: tuple[int, ...]) -> Element:
        outside = False
        if self._corner is not None:
            *first, h, w = index
            index = (*first, h - self._corner[0], w - self._corner[1])
            outside = not all(0 <= i < n for i, n in zip(index, self._array.shape, strict=True))
        if index not in self.read:
            value = self._beyond if outside else self._array[index].item()
            self.read[index] = Element(self._name, index, value, outside=outside)
        return self.read[index]
