"""Where the arrays of a forward call lie: one piece of memory, whose parts are used again."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._check import Array
from ..ops._plan import LINE, on_a_line


class Lent(NamedTuple):
    """An array that a call is lent."""

    part: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class Arena:
    """The memory, and where in it the parts begin.

    Attributes
    ----------
    nbytes : int
    """

    def __init__(self, begins: list[int], nbytes: int) -> None:
        self.nbytes = nbytes
        self._begins = begins
        self._memory = on_a_line("compiled network's memory", nbytes)

    def array(self, part: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """The array of a part."""
        begin, kind = self._begins[part], np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.intp))
        return self._memory[begin : begin + count * kind.itemsize].view(kind).reshape(shape)

    def has(self, array: Array) -> bool:
        """Whether an array lies in it."""
        return np.may_share_memory(array, self._memory)


class Storage:
    """Parts of the memory: how large they are, and from which step to which one they are needed.

    A part may be merged into another, whose bytes it then takes over, or lie inside a larger one.
    """

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._first: list[int] = []
        self._last: list[int] = []
        self._merged: dict[int, int] = {}
        self._outer: dict[int, tuple[int, int]] = {}  # in which part, and where in it

    def add(self, nbytes: int, step: int) -> int:
        """A new part, filled in a step; returns its number."""
        self._sizes.append(-(-nbytes // LINE) * LINE)
        self._first.append(step)
        self._last.append(step)
        return len(self._sizes) - 1

    def use(self, part: int, step: int) -> None:
        """Note that a step needs it."""
        self._last[part] = max(self._last[part], step)

    def merge(self, part: int, into: int, step: int) -> None:
        """Let a part that a step fills take over another's bytes, where that step is the last that needs them."""
        into = self._root(into)
        if self._sizes[part] == self._sizes[into] and self._last[into] == step:
            self._merged[part] = into
            self._last[into] = self._last[part]

    def nest(self, part: int, nbytes: int, into: int, begin: int, step: int) -> None:
        """Let a part be bytes `begin` ... of another, where the step that makes that one is the last to need it."""
        part, into = self._root(part), self._root(into)
        alone = part != into and part not in self._outer and self._first[part] >= 0
        if alone and self._sizes[part] == nbytes and begin % LINE == 0 and self._last[part] == step:
            self._outer[part] = into, begin
            while True:  # that one, and what it lies in itself, is needed as early
                self._first[into] = min(self._first[into], self._first[part])
                if into not in self._outer:
                    return
                into = self._outer[into][0]

    def _begin(self, part: int, begins: list[int]) -> int:
        part = self._root(part)
        if part not in self._outer:
            return begins[part]
        into, begin = self._outer[part]
        return self._begin(into, begins) + begin

    def _root(self, part: int) -> int:
        while part in self._merged:
            part = self._merged[part]
        return part

    def place(self) -> Arena:
        """Give each part its bytes: the largest first, each as low as those that are needed at the same time allow."""
        begins = [0] * len(self._sizes)
        placed: list[int] = []
        alone = set(range(len(begins))) - self._merged.keys() - self._outer.keys()
        for part in sorted(alone, key=lambda i: -self._sizes[i]):
            for begin, end in sorted(
                (begins[i], begins[i] + self._sizes[i])
                for i in placed
                if self._first[i] <= self._last[part] and self._first[part] <= self._last[i]
            ):
                if begins[part] + self._sizes[part] <= begin:
                    break
                begins[part] = max(begins[part], end)
            placed.append(part)
        nbytes = max(begins[i] + self._sizes[i] for i in placed)
        return Arena([self._begin(i, begins) for i in range(len(begins))], nbytes)
