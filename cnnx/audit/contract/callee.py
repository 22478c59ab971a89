"""A function, called with what its contract says: the last step of a call, once its arrays are laid out.

Where a contract is isolated this runs in the process of the function, which loads this file by its path and has nothing
else of the audit; so it imports NumPy alone.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Values = Mapping[str | int, Any]  # by place, or by the function's own name for it


class BrokenError(Exception):
    """The function did not keep to its contract, which the message says."""


@dataclass
class Laid:
    """An array as a function gets it, by its name in the contract."""

    name: str
    array: Array
    is_input: bool


@dataclass(frozen=True)
class Callee:
    """A function as it is called.

    outputs : its results, in order. returns : whether it returns them. words : layouts of results, for messages.
    """

    name: str
    function: Any
    outputs: tuple[str, ...]
    returns: bool
    convert: Callable[[Any], Any] | None = None
    words: Mapping[str, str] = field(default_factory=dict)

    def call(self, values: Values, results: Mapping[str, Array], mine: str) -> Array:
        """Call it; one of its results, which it wrote or returned.

        results : what it writes, and of what it returns the shape and dtype.
        """
        return self.result(self.ready(values, results)(), results, mine)

    def ready(self, values: Values, results: Mapping[str, Array]) -> Callable[[], Any]:
        """The call itself, of which arguments are converted before."""
        if getattr(self.function, "by_files", False) is True:  # a Command
            given = {str(at): v.array if isinstance(v, Laid) else v for at, v in values.items() if at not in results}
            return partial(self.function, outputs=dict(results), **given)
        in_order = [value for at, value in values.items() if isinstance(at, int)]
        by_name = {at: value for at, value in values.items() if isinstance(at, str)}
        if isinstance(self.function, ctypes._CFuncPtr):  # type: ignore[attr-defined]
            return partial(self.function, *_for_c(self.function, in_order, self.name))
        make = self.convert or (lambda a: a)
        made = [make(v.array) if isinstance(v, Laid) else v for v in in_order]
        named = {at: make(v.array) if isinstance(v, Laid) else v for at, v in by_name.items()}
        return partial(self.function, *made, **named)

    def result(self, returned: Any, results: Mapping[str, Array], mine: str) -> Array:
        """One of the results, of what the call returned."""
        written = getattr(self.function, "by_files", False) is True or not self.returns
        return results[mine] if written else self._returned(returned, results[mine], mine)

    def _returned(self, returned: Any, like: Array, mine: str) -> Array:
        if returned is None:
            raise BrokenError(f"{self.name}: expected it to return {mine}, got None; returns=False if it writes it")
        if len(self.outputs) > 1:
            if not isinstance(returned, (tuple, list)) or len(returned) != len(self.outputs):
                got = f"{len(returned)} of them" if isinstance(returned, (tuple, list)) else type(returned).__name__
                raise BrokenError(f"{self.name}: expected a tuple of {len(self.outputs)} gradients, got {got}")
            returned = returned[self.outputs.index(mine)]
        try:
            found = np.asarray(returned)
        except Exception as error:
            raise BrokenError(
                f"{self.name}: expected {mine} as an array, got {type(returned).__name__} ({error})"
            ) from None
        if like.shape == (1,) and found.shape == ():  # of a cost
            found = found.reshape(1)
        if found.shape != like.shape:
            laid = f" ({self.words[mine]})" if mine in self.words else ""
            raise BrokenError(f"{self.name}: expected {mine} of shape {like.shape}{laid}, got {found.shape}")
        if found.dtype != like.dtype:
            raise BrokenError(f"{self.name}: expected {mine} of {like.dtype}, got {found.dtype}")
        return found


def _for_c(function: Any, values: Sequence[Any], name: str) -> list[Any]:
    """Arguments as ctypes takes them: pointers of arrays, by the function's argtypes."""
    types = function.argtypes
    if types is None:
        raise BrokenError(f"{name}: expected argtypes of a function of ctypes, which it does not have")
    if len(types) != len(values):
        raise BrokenError(f"{name}: expected {len(types)} arguments by its argtypes, got {len(values)}")
    made = []
    for kind, value in zip(types, values, strict=True):
        if not isinstance(value, Laid):
            made.append(value)
        elif isinstance(kind, type) and issubclass(kind, (ctypes._Pointer, ctypes.c_void_p)):
            made.append(value.array.ctypes.data_as(kind))
        else:
            made.append(value.array)  # of numpy.ctypeslib
    return made
