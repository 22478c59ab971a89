"""What an isolated process did, in words, or as the exception that it raised there."""

import builtins
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from ... import backend as _backend
from ..supervise import death
from ..trace import BreachError, ContractError
from .arena import Layout
from .child import INPUTS


def said_of(error: Exception) -> str:
    """An error in words."""
    return str(error) if isinstance(error, BreachError) else f"{type(error).__name__}: {error}"


def error_of(kernel: str, said: Mapping[str, Any]) -> Exception:
    """What a kernel raised, as far as this process knows it."""
    kind, words = said["kind"], said["words"]
    if kind == "MissingKernelError":
        return _backend.MissingKernelError(words, said["what"], said["why"])
    if kind == "SystemExit":
        return ContractError(f"kernel {kernel} ended the process, with exit code {said['code']}")
    if kind == "BrokenError":
        return ContractError(words)
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception):
        with contextlib.suppress(TypeError):  # some take more than words
            return known(words)
    return RuntimeError(f"{kind}: {words}")


def fault_of(answer: Mapping[str, Any], layout: Layout | None, starts: Sequence[int]) -> str:
    """Which address it touched, in the words of its arrays."""
    address, wrote = answer["fault"], answer["written"]
    verb = {True: "wrote", False: "read", None: "read or wrote"}[wrote]
    nearest: tuple[int, str] | None = None
    if layout is not None:
        for name, place in zip(layout.names, (*layout.inputs, *layout.outputs), strict=False):
            at = address - starts[place.area]
            if place.area == INPUTS and place.start <= at < place.stop:
                return f"wrote to its input {name}"
            # Behind the end, counted from it; or before the first byte, and negative.
            beyond = at - (place.offset + place.nbytes) if at >= place.stop else at - place.offset
            inside = any(a == place.area and o <= at < o + n for a, o, n in layout.said["guards"])
            if inside and (nearest is None or abs(beyond) < abs(nearest[0])):
                nearest = beyond, name
    if nearest is None:
        return f"ended its process: {death(-11)}, at address {address:#x}"
    return f"{verb} {where_beyond(*nearest)}"


def where_beyond(at: int, name: str) -> str:
    """A place outside of an array: bytes behind its end or, negative, before its first one."""
    if at >= 0:
        return f"beyond the end of {name}, {at} bytes behind its last one" if at else f"right behind the end of {name}"
    return f"before the beginning of {name}, {-at} bytes"
