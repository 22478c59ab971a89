"""Kernels by contract in a process of their own, which alone has the functions; here are their contracts.

A file of kernels is run there and not here. What it calls `cnnx.audit.kernel` with comes here as data (`recorded.py`)
and is checked as the arguments of anybody. Arrays are laid out and converted here, into memory that both share.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..contract.call import Prepared
from ..contract.command import Command
from ..contract.kernel import Constant, Kernel, kernel
from ..contract.load import chosen, split
from ..data import Array
from ..trace import BreachError
from .arena import AS_GIVEN, Layout
from .candidate import Candidate
from .process import LoadError, Process
from .proxies import process_of, stopped, where

MOST = 1000  # kernels of a file


class Remote:
    """A function that a process has: the `index`-th of a candidate's contracts."""

    def __init__(self, candidate: Candidate, index: int) -> None:
        self.candidate, self.index = candidate, index

    def run(self, contract: Kernel, given: Prepared, others: Callable[[], Prepared]) -> Array:
        """Call it on what was prepared; the result that is wanted. others : other numbers in the same arrays, on which
        it is called before while `hunting`."""
        process, at = process_of(self.candidate), where()
        before = None
        if at:
            before = self.ran(process, contract, others(), at, large=True).unchanged(0)
        layout = self.ran(process, contract, given, at or AS_GIVEN)
        if before is not None and not contract.returns:
            never = before & layout.unchanged(0) & (True if given.real is None else given.real)
            if never.any():
                first = [int(j) for j in np.argwhere(never)[0]]
                raise BreachError(f"kernel {contract.name} leaves {given.mine}{first} as it was: it is not initialised")
        return layout.copies[0]

    def ran(self, process: Process, contract: Kernel, given: Prepared, at: str, *, large: bool = False) -> Layout:
        """Call it on what was prepared."""
        layout = self.laid_out(process, contract, given, at)
        process.fill(layout, [value.array for value in given.inputs], large=large)
        return process.ran(contract.name, [layout])[0]

    def laid_out(self, process: Process, contract: Kernel, given: Prepared, at: str, **more: Any) -> Layout:
        """Where its arrays lie, and what its process is told. The result that is wanted is the first output."""
        outputs = {given.mine: given.results[given.mine]}
        if not contract.returns:
            outputs |= given.results
        inputs = given.inputs
        names = [*(value.name for value in inputs), *outputs]
        places = {id(value.array): i for i, value in enumerate(inputs)}
        places |= {id(a): len(inputs) + i for i, a in enumerate(outputs.values())}
        callee = contract.callee
        said = {
            "kernel": contract.name,
            "contract": {
                "index": self.index,
                "name": callee.name,
                "names": names,
                "inputs": len(inputs),
                "results": callee.outputs,
                "returns": callee.returns,
                "words": dict(callee.words),
                "mine": given.mine,
                "values": [
                    [name, _said(contract.arguments[name], value, places)] for name, value in given.values.items()
                ],
            },
        }
        arrays = [*(value.array for value in inputs), *outputs.values()]
        like = [(a.shape, a.dtype.name, a.ctypes.data % 64) for a in arrays]
        key = more.pop("key", repr((said, like, at)))
        return process.laid_out(said, arrays[: len(inputs)], arrays[len(inputs) :], at, key, **more)


def _said(argument: Any, value: Any, places: Mapping[int, int]) -> Any:
    """An argument's value as the process is told: constants are there already."""
    if not isinstance(argument, str):
        return "kept"
    if hasattr(value, "is_input"):
        return {"array": places[id(value.array)]}
    return {"number": value.item() if isinstance(value, np.generic) else value}


# ---------------------------------------------------------------------------------- what a process says


@contextmanager
def isolated_file(given: str, limit: float) -> Iterator[dict[str, list[Kernel]]]:
    """Within the block the kernels of "FILE.py" or "FILE.py:NAME" by variable, as `cnnx.audit.contract.load` gives
    them, of which this process has the contracts alone.

    Raises
    ------
    ValueError, ImportError
        As `load` raises them.
    """
    path, name = split(given)
    if not Path(path).is_file():
        raise ValueError(f"--kernel: expected a Python file, or FILE.py:NAME, got {path!r}, which is no file")
    candidate = Candidate(path, (("contracts", str(Path(path).resolve())), ("kind", "file")), limit)
    with stopped(candidate):
        found = chosen(path, name, _described(candidate))
        yield {n: [replace(one, origin=f"{path}:{n}") for one in some] for n, some in found.items()}


@contextmanager
def isolated_kernels(kernels: Iterable[Kernel], limit: float) -> Iterator[list[Kernel]]:
    """Within the block the same kernels, called in a process of their own that imports the module whose variables they
    are.

    Raises
    ------
    ValueError
        They are no variables of a module, or it cannot be loaded in another process.
    """
    with ExitStack() as stack:
        found = []
        by_candidate: dict[Candidate, dict[str, tuple[bool, list[Kernel]]]] = {}
        for one in kernels:
            if one.remote is not None:
                found.append(one)
                continue
            module, name, place = _variable(one)
            candidate = Candidate(module.__name__, _items(module, one), limit)
            if candidate not in by_candidate:
                stack.enter_context(stopped(candidate))
                by_candidate[candidate] = _described(candidate)
            theirs = by_candidate[candidate].get(name, (False, []))[1]
            if len(theirs) <= place or theirs[place].words() != one.words():
                raise ValueError(f"isolated: {module.__name__}.{name} is another in a process of its own than here")
            found.append(replace(one, remote=theirs[place].remote))
        yield found


def _variable(one: Kernel) -> tuple[ModuleType, str, int]:
    """The module, the name and the place in a list of a kernel."""
    own = getattr(one.function, "__module__", "")
    modules = sorted(sys.modules.items(), key=lambda item: item[0] != own)  # its function's first
    for module in (module for _, module in modules if isinstance(module, ModuleType)):
        for name, value in list(vars(module).items()):
            some = [value] if type(value) is Kernel else value
            if type(some) in (list, tuple):
                for place, other in enumerate(some):
                    if type(other) is Kernel and other.function is one.function and other.words() == one.words():
                        return module, name, place
    raise ValueError(
        f"isolated: {one.name!r} is no variable of a module or of a file, so that another process cannot load it"
    )


def _items(module: ModuleType, one: Kernel) -> tuple[tuple[str, str], ...]:
    """How another process loads a module: by its name, or as a file where it has none that others know."""
    if one.origin:
        return ("contracts", str(Path(split(one.origin)[0]).resolve())), ("kind", "file")
    spec = getattr(module, "__spec__", None)
    if module.__name__ != "__main__" and spec is not None:
        return ("contracts", module.__name__), ("kind", "module")
    file = getattr(module, "__file__", None)
    if file is None:
        raise ValueError(f"isolated: {one.name!r} is in no file, so that another process cannot load it")
    return ("contracts", str(Path(file).resolve())), ("kind", "file")


def _described(candidate: Candidate) -> dict[str, tuple[bool, list[Kernel]]]:
    """The contracts that a process says it has, by variable, and whether that is a list of them."""
    process = process_of(candidate)
    if not process.about:
        try:
            process.start()
        except LoadError as error:
            raise ImportError(f"isolated: {error}") from None
    try:
        return _checked(process.about["contracts"], candidate)
    except (KeyError, IndexError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(
            f"isolated: {candidate.name} does not say what its contracts are: {type(error).__name__}: {error}"
        ) from None


def _checked(said: Any, candidate: Candidate) -> dict[str, tuple[bool, list[Kernel]]]:
    """What a process said, as contracts; nothing of it is trusted to be any."""
    kernels, found = _list(said["kernels"]), {}
    if len(kernels) > MOST:
        raise ValueError(f"isolated: expected at most {MOST} kernels in {candidate.name}, got {len(kernels)}")
    made: dict[int, Kernel] = {}
    for name, about in said["variables"].items():
        some = []
        for index in _list(about["kernels"]):
            if type(index) is not int or not 0 <= index < len(kernels):
                raise ValueError(f"isolated: expected the number of a kernel in {candidate.name}, got {index!r}")
            if index not in made:
                made[index] = _kernel(kernels[index], candidate, index, name)
            some.append(made[index])
        found[str(name)] = bool(about["several"]), some
    return found


def _kernel(said: Any, candidate: Candidate, index: int, variable: str) -> Kernel:
    """One contract, by the words of `kernel` itself where something is wrong with it."""
    options = {str(name): _decoded(value) for name, value in said["options"].items()}
    options.pop("convert", None)
    function: Any = _Named(str(said["function"]))
    if said["command"] is not None:
        function = Command([str(word) for word in _list(said["command"])])
    elif said["called"] is not True:
        function = None
    try:
        made = kernel(_decoded(said["op"]), function, **options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{candidate.name}:{variable}: {error}") from None
    return replace(made, remote=Remote(candidate, index))


class _Named:
    """Stands for a function of another process."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *given: Any, **options: Any) -> None:
        raise RuntimeError(f"{self.__name__} is in a process of its own")


def _decoded(value: Any) -> Any:
    """What `recorded.encoded` made."""
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "kept":
        return Constant(None)
    if kind == "mapping":
        return {_decoded(name): _decoded(one) for name, one in _list(inner)}
    parts = [_decoded(one) for one in _list(inner)]
    return tuple(parts) if kind == "tuple" else parts


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"isolated: expected a list of a process, got {type(value).__name__}")
    return value
