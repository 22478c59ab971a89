"""The kernels of a Python file: what `cnnx audit --kernel FILE.py:NAME` judges."""

import importlib.util
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..._text import expected_one_of
from .kernel import Kernel
from .session import in_force

# Entered once in a process that works for an audit, and left when it ends.
_entered = ExitStack()


def load(where: str) -> dict[str, list[Kernel]]:
    """The back ends of a file: each of its variables that is a `Kernel`, or a list of some.

    Parameters
    ----------
    where : str
        "FILE.py", or "FILE.py:NAME" for one variable.

    Returns
    -------
    dict
        By variable. A kernel that is in a list, too, is of that back end alone.

    Raises
    ------
    ValueError
        There is no such file or variable, or none of its variables is a kernel.
    ImportError
        The file cannot be run.
    """
    path, name = split(where)
    module = _module(path)
    found = {
        n: (isinstance(value, (list, tuple)), kernels)
        for n, value in vars(module).items()
        if (kernels := _kernels(value))
    }
    return {
        n: [replace(kernel, origin=f"{path}:{n}") for kernel in kernels]
        for n, kernels in chosen(path, name, found).items()
    }


def chosen(path: str, name: str, found: Mapping[str, tuple[bool, list[Kernel]]]) -> dict[str, list[Kernel]]:
    """The back ends of a file: by variable whether it is a list, and its kernels; `name` is one of them, or ""."""
    if name:
        if name not in found:
            known = expected_one_of(found, name) if found else f"none of {path}'s variables is one"
            raise ValueError(f"--kernel: expected what cnnx.audit.kernel made, or a list of it: {known}")
        found = {name: found[name]}
    if not found:
        raise ValueError(
            f"--kernel: expected a variable of {path} that is what cnnx.audit.kernel made, or a list of it, got none"
        )
    grouped = {id(k) for several, kernels in found.values() if several for k in kernels}
    return {n: kernels for n, (several, kernels) in found.items() if several or id(kernels[0]) not in grouped}


def split(where: str) -> tuple[str, str]:
    """A file and a variable of it, or ""."""
    path, colon, name = where.rpartition(":")
    if colon and name.isidentifier() and path.endswith(".py"):
        return path, name
    return where, ""


@cache
def _module(path: str) -> ModuleType:
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"--kernel: expected a Python file, or FILE.py:NAME, got {path!r}, which is no file")
    module_name = f"cnnx_kernels_of_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"--kernel: expected a Python file, or FILE.py:NAME, got {path!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for what stands beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ImportError(f"--kernel: {path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _kernels(value: Any) -> list[Kernel]:
    if isinstance(value, Kernel):
        return [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, Kernel) for one in value):
        return list(value)
    return []


@cache
def enter(origin: str) -> None:
    """Make the kernels of a file a back end of this process, until it ends."""
    (kernels,) = load(origin).values()
    _entered.enter_context(in_force(kernels))
