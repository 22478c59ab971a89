"""Calls of ops that come again with the same arrays: their kernels run alone."""

from collections.abc import Callable
from operator import is_
from typing import Any, TypeVar

import numpy as np

from .. import _check
from .. import backend as _backend
from ._plan import Buffers, lending

Result = TypeVar("Result")


def recorded(buffers: Buffers, function: Callable[..., Result], *arguments: Any) -> tuple[Result, list[_backend.Call]]:
    """What `function(*arguments)` returns, which is lent the arrays of `buffers`, and the kernels that it runs."""
    return _backend.recorded(lending, buffers, function, *arguments)


class Replay(Buffers):
    """What a function is lent; and, if all it does is to call ops, which kernels it ran.

    Where arrays are lent, a step of training gives a layer the arrays of the step before, with other numbers in them.
    All that was checked and looked up then is as it was, so that nothing is left to do but to run the kernels.
    """

    __slots__ = ("calls", "given", "kernels", "next_part", "parts", "result", "shape")

    def __init__(self) -> None:
        super().__init__()
        self.kernels: _backend.Kernels | None = None
        self.given: tuple[object, ...] = ()
        self.shape: tuple[int, ...] = ()  # of the first argument, since that may be set in place
        self.calls: list[_backend.Call] | None = None
        self.result: Any = None
        self.parts: list[Replay] = []
        self.next_part = 0

    def start(self) -> "Replay":
        self.next = self.next_part = 0
        return self

    def part(self) -> "Replay":
        """For a function that the one called now calls: as with arrays, the i-th's is that of the i-th before."""
        i = self.next_part
        self.next_part = i + 1
        if i == len(self.parts):
            self.parts.append(Replay())
        return self.parts[i]

    def run(self, function: Callable[..., Result], arguments: tuple[Any, ...], *depends: Any) -> Result:
        """`function(*arguments)`, whose calls depend on these arrays and on `depends`, the last of it a back end.

        The first call with the same objects is like any other, the second is noted down, the third is that again.
        """
        kernels, given = _backend.current(depends[-1]), (*arguments, *depends)
        if not (
            kernels is not None
            and kernels is self.kernels
            and len(given) == len(self.given)
            and all(map(is_, given, self.given))
            and arguments[0].shape == self.shape
        ):
            self._remember(given, kernels)
            return lending(self, function, *arguments)
        if self.calls is None:
            self.result, self.calls = recorded(self, function, *arguments)
        else:
            for kernel, arrays, numbers in self.calls:
                kernel(*arrays, **numbers)
        result: Result = self.result
        return result

    def _remember(self, given: tuple[Any, ...], kernels: _backend.Kernels | None) -> None:
        self.given, self.calls = given, None
        first, *others = given
        # What ops convert has to be converted each time.
        plain = _check.plain(first) and all(_check.plain(one) for one in others if hasattr(one, "__array__"))
        self.kernels = kernels if plain else None
        self.shape = np.shape(first) if plain else ()
