"""Back ends: which code computes a kernel, chosen by name, never in silence.

A back end is a set of kernels, `kernel(inputs, /, outputs, *, numbers) -> None`. Two ship with cnnx:
`reference` (the equations in Python) and `optimized` (Cython; the default). A name is looked for
in this order: the call's `backend=`, `use_backend`, `set_backend`, the environment's `CNNX_BACKEND`,
`"optimized"`. Nothing falls back to another back end: what is missing is an error.

This module alone imports kernels.
"""

import importlib
import importlib.metadata
import os
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

Kernel = Callable[..., None]


class MissingKernelError(NotImplementedError):
    """A back end was asked for a kernel that it does not have, or not for this dtype."""


__all__ = [
    "backends",
    "get_backend",
    "get_num_threads",
    "register_backend",
    "set_backend",
    "set_num_threads",
    "use_backend",
]

ENTRY_POINTS = "cnnx.backends"
_BUILTIN = ("reference", "optimized")
MOST_THREADS = 1024

_registered: dict[str, Mapping[str, Any] | ModuleType] = {}
_loaded: dict[str, Mapping[str, Kernel]] = {}
_specialised: dict[tuple[str, str, str], Kernel] = {}
_process_choice: str | None = None
_context_choice: ContextVar[str | None] = ContextVar("cnnx_backend", default=None)
_interceptor: ContextVar[Callable[[str, Kernel], Kernel] | None] = ContextVar("cnnx_interceptor", default=None)
# Held while kernels are imported and while the process forks: a child must not inherit a half-done import.
_loading = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_loading.acquire, after_in_parent=_loading.release, after_in_child=_loading.release)


# ---------------------------------------------------------------------------------------- selection


def set_backend(name: str) -> None:
    """Choose the back end of this process.

    Parameters
    ----------
    name : str
        `"optimized"`, `"reference"`, or one that was registered.

    Raises
    ------
    TypeError
        `name` is not a string.
    ValueError
        No back end has that name.

    Examples
    --------
    >>> import cnnx
    >>> cnnx.set_backend("optimized")
    >>> cnnx.get_backend()
    'optimized'
    """
    global _process_choice
    _process_choice = _known(name)


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Choose the back end within a `with` block, for this thread or task alone.

    Parameters
    ----------
    name : str
        As `set_backend` takes it.

    Raises
    ------
    TypeError, ValueError
        As `set_backend` raises them.

    Examples
    --------
    >>> import cnnx
    >>> with cnnx.use_backend("reference"):
    ...     cnnx.get_backend()
    'reference'
    """
    token = _context_choice.set(_known(name))
    try:
        yield
    finally:
        _context_choice.reset(token)


def get_backend() -> str:
    """The name of the back end that a call without `backend=` uses now.

    Raises
    ------
    ValueError
        `CNNX_BACKEND` holds a name that no back end has.
    """
    chosen = _context_choice.get() or _process_choice
    if chosen:
        return chosen
    environment = os.environ.get("CNNX_BACKEND")
    return _known(environment, "CNNX_BACKEND") if environment else "optimized"


def backends() -> tuple[str, ...]:
    """The names of all back ends: those of cnnx, registered ones, and entry points of group `cnnx.backends`."""
    return tuple(dict.fromkeys((*_BUILTIN, *_registered, *(point.name for point in _entry_points()))))


def register_backend(name: str, kernels: Mapping[str, Any] | ModuleType) -> None:
    """Make a set of kernels known under a name, so that calls can use it and `cnnx audit` can judge it.

    Parameters
    ----------
    name : str
        A new name; those of cnnx itself and of entry points are taken. Registering a name again
        replaces its kernels.
    kernels : mapping or module
        Kernels by name, with the signatures of `cnnx.reference`:
        `kernel(inputs, /, outputs, *, numbers) -> None`; the outputs are allocated by the caller.
        Some kernels may be missing: a call that needs one raises NotImplementedError.

    Raises
    ------
    TypeError
        `name` is not a string, or `kernels` neither a mapping nor a module.
    ValueError
        `name` is empty or taken.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> def relu(Z, /, Y):
    ...     np.maximum(Z, 0, out=Y)
    >>> cnnx.register_backend("numpy-relu", {"relu": relu})
    >>> cnnx.relu(np.array([-1.0, 2.0]), backend="numpy-relu")
    array([0., 2.])
    """
    if not isinstance(name, str):
        raise TypeError(f"back end name: expected a string, got {type(name).__name__}")
    if not name or name in _BUILTIN or name in (point.name for point in _entry_points()):
        raise ValueError(f"back end name: expected a new name, got {name!r}")
    if not isinstance(kernels, (Mapping, ModuleType)):
        raise TypeError(f"kernels: expected a mapping or a module, got {type(kernels).__name__}")
    _registered[name] = kernels
    _loaded.pop(name, None)
    for key in [key for key in _specialised if key[0] == name]:
        del _specialised[key]


def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINTS))


def _known(name: object, source: str = "backend") -> str:
    if not isinstance(name, str):
        raise TypeError(f"{source}: expected the name of a back end, got {type(name).__name__}")
    if name not in (*_BUILTIN, *_registered, *_loaded) and name not in backends():
        raise ValueError(f"{source}: no back end is called {name!r}; there are {', '.join(backends())}")
    return name


# ------------------------------------------------------------------------------------------ kernels


def kernel(name: str, dtype: str, backend: str | None = None) -> Kernel:
    """The kernel `name` for arrays of `dtype` ("float32" or "float64") of the chosen back end."""
    wrap = _interceptor.get()
    if wrap is None:
        return _find(name, dtype, backend)
    try:
        found = _find(name, dtype, backend)
    except MissingKernelError as error:
        return wrap(name, _raiser(error))
    return wrap(name, found)


def _raiser(error: MissingKernelError) -> Kernel:
    def missing(*arrays: object, **numbers: float) -> None:
        raise error

    return missing


def _find(name: str, dtype: str, backend: str | None) -> Kernel:
    chosen = get_backend() if backend is None else backend
    try:
        found = _specialised.get((chosen, name, dtype))
    except TypeError:  # unhashable, hence no name: _known says so
        found = None
    if found is None:
        found = _specialise(_known(chosen), name, dtype)
        _specialised[chosen, name, dtype] = found
    return found


@contextmanager
def intercept(wrap: Callable[[str, Kernel], Kernel] | None) -> Iterator[None]:
    """Within the block, hand out `wrap(name, kernel)` for every kernel: how the audit looks into calls.

    A kernel that is missing raises MissingKernelError when it is called. None ends an outer interception.
    """
    token = _interceptor.set(wrap)
    try:
        yield
    finally:
        _interceptor.reset(token)


def equations(name: str) -> dict[str, Callable[..., Any]]:
    """The reference's element functions of kernel `name`: output name -> function of one element."""
    elements: dict[str, Callable[..., Any]] = _kernels("reference")[name].elements  # type: ignore[attr-defined]
    return elements


def reference_kernel(name: str) -> Kernel:
    """The reference's array function of kernel `name`; its signature is the kernel's contract."""
    return _kernels("reference")[name]


def reference_math() -> Any:
    """exp, log, ... on floats, as the reference's equations take them by default."""
    return _import("cnnx.reference._numbers").IEEE


def kernel_names(backend: str) -> tuple[str, ...]:
    """The kernels that a back end has, sorted."""
    return tuple(sorted(_kernels(_known(backend))))


def _specialise(backend: str, name: str, dtype: str) -> Kernel:
    try:
        found = _kernels(backend)[name]
    except KeyError:
        raise MissingKernelError(
            f"back end {backend!r} has no kernel {name!r}; choose another back end for this call, e.g. "
            f'backend="optimized"'
        ) from None
    if not callable(found):
        raise TypeError(f"back end {backend!r}: expected kernel {name!r} to be callable, got {type(found).__name__}")
    # A fused Cython kernel holds one function per dtype: choosing here spares a search at every call.
    by_type = getattr(found, "__signatures__", None)
    if by_type is None:
        return found
    c_type = {"float32": "float", "float64": "double"}[dtype]
    if c_type not in by_type:
        raise MissingKernelError(f"back end {backend!r} has kernel {name!r} for {', '.join(by_type)}, not for {c_type}")
    specialised: Kernel = by_type[c_type]
    return specialised


def _kernels(backend: str) -> Mapping[str, Kernel]:
    found = _loaded.get(backend)
    if found is None:
        with _loading:
            found = _loaded.get(backend) or _load(backend)
            _loaded[backend] = found
    return found


def _load(backend: str) -> Mapping[str, Kernel]:
    if backend == "reference":
        return {
            name: function
            for module in _twins("reference")
            for name, function in vars(module).items()
            if hasattr(function, "elements")
        }
    if backend == "optimized":
        _apply_thread_environment()
        return {
            name: function
            for module in _twins("optimized")
            for name, function in vars(module).items()
            if hasattr(function, "__signatures__")
        }
    if backend in _registered:
        theirs = _registered[backend]
    else:
        point = next(point for point in _entry_points() if point.name == backend)
        try:
            theirs = point.load()
        except (ImportError, AttributeError) as error:
            raise ImportError(f"back end {backend!r} ({point.value}) cannot be loaded: {error}") from error
        if not isinstance(theirs, (Mapping, ModuleType)):
            raise TypeError(
                f"back end {backend!r} ({point.value}): expected a mapping or a module, got {type(theirs).__name__}"
            )
    if isinstance(theirs, ModuleType):
        return {name: function for name, function in vars(theirs).items() if callable(function)}
    return theirs


def _twins(package: str) -> list[ModuleType]:
    """The modules of a kernel package: one for each file of the reference."""
    reference = importlib.import_module("cnnx.reference")
    names = sorted(m.name for m in pkgutil.iter_modules(reference.__path__) if not m.name.startswith("_"))
    return [_import(f"cnnx.{package}.{name}") for name in names]


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{module} cannot be imported ({error}); build cnnx again (pip install .) or choose "
            f'the slow back end by name: cnnx.set_backend("reference")'
        ) from error


# ------------------------------------------------------------------------------------------ threads


def set_num_threads(n: int) -> None:
    """Set how many threads the optimized kernels use, for the whole process.

    The start value is `CNNX_NUM_THREADS`, else what OpenMP says (`OMP_NUM_THREADS`, or the number of
    processors). Results do not depend on it. Small work stays on one thread.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        `n` is not an integer.
    ValueError
        `n` is less than 1 or more than 1024.
    RuntimeError
        More than one thread was asked of a build without OpenMP, or of a process made by fork(),
        where OpenMP's threads do not exist: use the "spawn" or "forkserver" start method there (a
        forkserver that has cnnx preloaded forks it all the same).

    Examples
    --------
    >>> import cnnx
    >>> cnnx.set_num_threads(1)
    >>> cnnx.get_num_threads()
    1
    """
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"num_threads: expected an integer, got {type(n).__name__}")
    _kernels("optimized")  # first, so that CNNX_NUM_THREADS cannot overwrite this choice later
    _set_threads(int(n), "num_threads")


def get_num_threads() -> int:
    """How many threads the optimized kernels use; 1 without OpenMP and in a child made by fork()."""
    _kernels("optimized")
    count: int = _import("cnnx.optimized._threads").get()
    return count


@contextmanager
def always_parallel() -> Iterator[None]:
    """Within the block small work is split among the threads too: how the audit tests the splitting."""
    threads = _import("cnnx.optimized._threads")
    before = threads.get_small_work()
    threads.set_small_work(0)
    try:
        yield
    finally:
        threads.set_small_work(before)


def build_info() -> dict[str, Any]:
    """How the optimized back end was built (compiler, Cython, instruction set, OpenMP, checks) and where it is."""
    threads = _import("cnnx.optimized._threads")
    return {**threads.build(), "forked": threads.is_forked_child(), "path": threads.__file__}


def _apply_thread_environment() -> None:
    wanted = os.environ.get("CNNX_NUM_THREADS")
    if not wanted:
        return
    try:
        n = int(wanted)
    except ValueError:
        raise ValueError(f"CNNX_NUM_THREADS: expected an integer from 1 to {MOST_THREADS}, got {wanted!r}") from None
    # What was set for the parent holds for its forked children as far as it can: they compute serially.
    _set_threads(n, "CNNX_NUM_THREADS", inherited=True)


def _set_threads(n: int, source: str, *, inherited: bool = False) -> None:
    threads = _import("cnnx.optimized._threads")
    if not 1 <= n <= MOST_THREADS:
        got = n if abs(n) < 10**60 else f"an integer of {n.bit_length()} bits"
        raise ValueError(f"{source}: expected an integer from 1 to {MOST_THREADS}, got {got}")
    if inherited and threads.is_forked_child():
        n = 1
    if n > 1 and not threads.has_openmp():
        raise RuntimeError(f"{source}: {n} threads asked for, but cnnx was built without OpenMP (CNNX_OPENMP)")
    if n > 1 and threads.is_forked_child():
        raise RuntimeError(
            f"{source}: {n} threads asked for in a process made by fork(), which has to compute serially; "
            'start processes by "spawn" or "forkserver" instead'
        )
    threads.set(n)
