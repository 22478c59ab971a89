"""What computes a model: engines by name, each a class with the attributes of `Engine`.

Those of other people's libraries are in `cnnx.adapters` and loaded when one is asked for; any back end of cnnx
("optimized", "torch", a registered one) is an engine too, which computes node by node.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from .... import backend as _backend
from ...data import Array
from ...supervise import EndedError
from .apart import Apart as Apart
from .apart import RaisedError
from .backends import BackEnd


class Engine(Protocol):
    """What an engine has.

    Attributes
    ----------
    name, version : str
    whole : bool
        It computes a model as a whole, so that `kept` and the run in place say something.
    """

    name: str
    version: str
    whole: bool

    def run(self, model: bytes, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """The values of these names that a model gives, an ONNX file, for its inputs by name."""

    def kept(self, model: bytes) -> set[str]:
        """Which values a model still has once the engine has optimised it: what lies between two is fused."""


ADAPTERS = {
    "onnxruntime": "cnnx.adapters.engine_of_onnxruntime",
    "openvino": "cnnx.adapters.engine_of_openvino",
}

_registered: dict[str, Callable[..., Engine]] = {}


def engine(name: str, *, threads: int, exact: bool, timeout: float | None = None) -> Engine:
    """The engine of that name.

    Parameters
    ----------
    name : str
    threads : int
    exact : bool
        It is to compute in the model's own type; False leaves that to it.
    timeout : float or None
        Seconds that a call may take, in a process of its own (`Apart`); None: no limit, and here.

    Raises
    ------
    ModuleNotFoundError
        Its library is not installed.
    ValueError
        There is none; or one that is registered in this process alone, and a timeout.
    """
    made: Any
    if timeout is not None:
        if name in (*_registered, *_backend.registered_names()):
            raise ValueError(f"timeout: expected an engine that another process can load, got {name!r}, of this one")
        try:
            return Apart(engine, name, threads=threads, exact=exact, timeout=timeout)
        except (EndedError, RaisedError) as error:
            raise ValueError(f"backend: expected an engine that starts: {said(name, error)}") from None
    if name in _registered:
        made = _registered[name]
    elif name in ADAPTERS:
        made = importlib.import_module(ADAPTERS[name]).Engine
    elif name in _backend.backends():
        if name == "reference":
            raise ValueError("backend: expected another than 'reference', whose equations are what engines are held to")
        return BackEnd(name, threads=threads)
    else:
        names = ", ".join(dict.fromkeys((*_registered, *ADAPTERS, *_backend.backends())))
        raise ValueError(f"backend: expected one of {names}, got {name!r}")
    found: Engine = made(threads=threads, exact=exact)
    return found


def said(name: str, error: Exception) -> str:
    """An engine's exception in a line."""
    if isinstance(error, EndedError):
        return str(error)
    kind, words = (error.kind, error.words) if isinstance(error, RaisedError) else (type(error).__name__, str(error))
    return f"{name} raised {kind}: {' '.join(words.split())[:300]}"


@contextmanager
def registered(name: str, make: Callable[..., Engine]) -> Iterator[None]:
    """An engine of that name within the block: `make(threads=, exact=)` gives it."""
    _registered[name] = make
    try:
        yield
    finally:
        del _registered[name]
