"""In the process of a contract: what stands there for `cnnx.audit`, and says as data what a file described.

`kernel`, `Command` and `Constant` are all that a file of kernels needs of the audit. Here they write down what they
were called with; whether that is a contract is decided where the audit runs. `child.py` loads this file by its path, so
it imports NumPy alone, and of the audit two files of the contracts that do the same.
"""

import ctypes
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

STAND_INS = ("cnnx.audit", "cnnx.audit.contract")
ELSEWHERE = "is not to be had in the process of a kernel that is judged"


def beside(file: str) -> ModuleType:
    """A file of the contracts, loaded by its path."""
    path = Path(__file__).parents[1] / "contract" / file
    return from_file(f"cnnx_contract_{path.stem}", path)


def from_file(name: str, path: Path) -> ModuleType:
    """A module of that name, which is run."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"expected a file of Python, got {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_callee, _command = beside("callee.py"), beside("command.py")


class Constant:
    """As `cnnx.audit.Constant`."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Recorded:
    """What `kernel` was called with: a function and words about it."""

    def __init__(self, op: Any, function: Any, options: Mapping[str, Any]) -> None:
        self.op, self.function, self.options = op, function, options
        given = options.get("arguments")
        if getattr(function, "by_files", False) is True:
            given = function.names
        self.arguments: dict[Any, Any] = dict(given.items() if isinstance(given, Mapping) else enumerate(given or ()))

    def said(self) -> dict[str, Any]:
        """As data."""
        command = getattr(self.function, "by_files", False) is True
        return {
            "op": encoded(self.op),
            "function": str(getattr(self.function, "__name__", type(self.function).__name__)),
            "called": callable(self.function),
            "command": list(self.function.words) if command else None,
            "options": {name: encoded(value) for name, value in self.options.items() if name != "convert"},
        }


def kernel(op: Any, function: Any, **options: Any) -> Recorded:
    """As `cnnx.audit.kernel`, but that nothing is checked."""
    return Recorded(op, function, options)


def encoded(value: Any) -> Any:
    """A value as JSON has it, with what it lacks as objects of one word; what is no data as the name of its type."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, tuple):
        return {"tuple": [encoded(one) for one in value]}
    if isinstance(value, (list, range)):
        return {"list": [encoded(one) for one in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[encoded(name), encoded(one)] for name, one in value.items()]}
    return {"kept": type(value).__name__}


class Contracts:
    """The contracts of a file or a module, by variable, and their functions.

    candidate : "contracts", the file's path or the module's name, and "kind", which of them it is.
    asked : names of the audit's that the file used are added.
    """

    def __init__(self, candidate: Mapping[str, str], asked: list[str]) -> None:
        sys.meta_path.insert(0, Finder(asked))
        where = candidate["contracts"]
        if candidate["kind"] == "file":
            path = Path(where)
            if str(path.parent) not in sys.path:
                sys.path.append(str(path.parent))  # for what stands beside it
            module = from_file(f"cnnx_kernels_of_{path.stem}", path)
        else:
            module = importlib.import_module(where)
        self.kernels: list[Recorded] = []
        self.variables: dict[str, Any] = {}
        self._last: Run | None = None
        for name, value in vars(module).items():
            some = [value] if isinstance(value, Recorded) else value
            if isinstance(some, (list, tuple)) and some and all(isinstance(one, Recorded) for one in some):
                self.variables[name] = {"several": some is value, "kernels": [self._index(one) for one in some]}

    def _index(self, one: Recorded) -> int:
        if not any(one is other for other in self.kernels):
            self.kernels.append(one)
        return next(i for i, other in enumerate(self.kernels) if other is one)

    def said(self) -> dict[str, Any]:
        """As data."""
        return {"variables": self.variables, "kernels": [one.said() for one in self.kernels]}

    def run(self, layout: Any, *, alone: bool) -> None:
        """Call a function on the arrays of a layout, which is `child.Layout`, and copy its results as it returns.

        alone : not one of many, whose time is measured; so that what it returned can be kept, and looked at later.
        """
        said = layout.contract
        run = Run(self.kernels[said["index"]], said)
        run(layout.arrays, layout.arrays[said["inputs"]])
        layout.copy()
        if alone:
            run.keep()
            self._last = run

    def late(self) -> str | None:
        """The name of what a function returned last, where it is another now: a thread goes on."""
        last, self._last = self._last, None
        return None if last is None else last.late()


class Run:
    """A function's call as it is repeated: on the same objects, whatever numbers lie in them."""

    def __init__(self, recorded: Recorded, said: Mapping[str, Any]) -> None:
        self._recorded, self._said = recorded, said
        self._returns, self._mine = said["returns"], said["mine"]
        self._callee = _callee.Callee(
            said["name"], recorded.function, tuple(said["results"]), self._returns,
            recorded.options.get("convert"), said["words"],
        )  # fmt: skip
        self._result: Any = None
        self._before = b""

    def __call__(self, arrays: list[Any], output: Any) -> None:
        """Call it on these arrays: inputs, then results; what it returns goes into `output`."""
        names, said = self._said["names"], self._said
        laid = [
            _callee.Laid(name, a, i < said["inputs"]) for i, (name, a) in enumerate(zip(names, arrays, strict=True))
        ]
        values = {at: self._value(at, what, laid) for at, what in said["values"]}
        results = {one.name: one.array for one in laid if not one.is_input}
        found = self._callee.call(values, results, self._mine)
        if self._returns:
            output[...] = found
            self._result = found

    def keep(self) -> None:
        """Note what was returned."""
        if self._result is not None:
            self._before = self._result.tobytes()

    def late(self) -> str | None:
        """The name of what it returned, where that is no longer what was noted."""
        return None if self._result is None or self._result.tobytes() == self._before else self._mine

    def _value(self, at: Any, what: Any, laid: list[Any]) -> Any:
        if what == "kept":
            value = self._recorded.arguments[at]
            return value.value if isinstance(value, Constant) else value
        ((kind, value),) = what.items()
        return laid[value] if kind == "array" else tuples(value)


def tuples(value: Any) -> Any:
    """What JSON made lists of."""
    return tuple(tuples(one) for one in value) if isinstance(value, list) else value


def arrays(said: Any, memory: list[Any]) -> list[Any]:
    """Arrays in the shared memory, as the audit says where they are."""
    return [
        writable(np.ndarray(shape, dtype_of(dtype), memory[area], offset, order=order))
        for area, offset, shape, dtype, order in said
    ]


def dtype_of(word: str) -> Any:
    """A dtype by its word; bfloat16 is of ml_dtypes."""
    if word == "bfloat16":
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    return np.dtype(word)


def writable(a: Any) -> Any:
    """An array at the same place, whose own flag does not say that it is read-only: its pages are."""
    if not a.nbytes:
        return a
    data: Any = (ctypes.c_char * a.nbytes).from_address(a.__array_interface__["data"][0])
    return np.frombuffer(data, a.dtype).reshape(a.shape)


class StandIn(ModuleType):
    """`cnnx.audit` for who describes kernels. What else is asked of it is refused when it is used."""

    def __init__(self, name: str, asked: list[str]) -> None:
        super().__init__(name)
        self.kernel, self.Command, self.Constant = kernel, _command.Command, Constant
        self._asked = asked

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def refused(*given: Any, **options: Any) -> NoReturn:
            self._asked.append(f"{self.__name__}.{name}")
            raise ImportError(f"{self.__name__}.{name} {ELSEWHERE}")

        return refused


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the stand-ins where the audit is imported; all else of it is refused by whom this stands before."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Of a stand-in."""
        return importlib.util.spec_from_loader(name, self, is_package=True) if name in STAND_INS else None

    def create_module(self, spec: Any) -> ModuleType:
        """It is made here."""
        return StandIn(spec.name, self._asked)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""
