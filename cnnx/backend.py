"""Back ends: which code computes a kernel, chosen by name, never in silence.

A back end is a set of kernels, `kernel(inputs, /, outputs, *, numbers) -> None`. Two ship with cnnx:
`reference` (the equations in Python) and `optimized` (Cython; the default). A name is looked for
in this order: the call's `backend=`, `use_backend`, `set_backend`, the environment's `CNNX_BACKEND`,
`"optimized"`. Nothing falls back to another back end: what is missing is an error.

Only this module and `native` import kernels.
"""

import importlib
import importlib.metadata
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType, NoneType
from typing import Any, TypeVar

from . import native

Result = TypeVar("Result")

Kernel = Callable[..., None]
Call = tuple[Kernel, tuple[Any, ...], dict[str, float]]  # a kernel, its arrays and its numbers


class MissingKernelError(NotImplementedError):
    """A back end was asked for a kernel that it does not have, or not for this dtype or these numbers.

    what, why : what is missing, in a few words, and the reason, if it is known.
    """

    def __init__(self, message: str, what: str = "", why: str = ""):
        super().__init__(message)
        self.what, self.why = what or message, why


class Kernels(dict[str, Kernel]):
    """Kernels by name, with what their author says of them.

    left_out : of kernels that are missing, why.
    compat : the name of the conventions that they follow (`cnnx.audit.compat.COMPAT`), "" for cnnx's own.
    """

    def __init__(self, kernels: Mapping[str, Kernel], *, left_out: Mapping[str, str] | None = None, compat: str = ""):
        super().__init__(kernels)
        self.left_out, self.compat = dict(left_out or {}), compat


__all__ = [
    "backends",
    "get_backend",
    "register_backend",
    "set_backend",
    "use_backend",
]

ENTRY_POINTS = "cnnx.backends"
_BUILTIN = ("reference", "optimized")

# The dictionary behind os.environ and its key: to ask os.environ itself costs as much as a small kernel, at each call.
_environment: Any = getattr(os.environ, "_data", os.environ)
_VARIABLE: Any = "CNNX_BACKEND" if _environment is os.environ else os.environ.encodekey("CNNX_BACKEND")

_registered: dict[str, Mapping[str, Any] | ModuleType] = {}
_loaded: dict[str, Kernels] = {}
_specialised: dict[tuple[str, str, str], Kernel] = {}
_process_choice: str | None = None
_context_choice: ContextVar[str | None] = ContextVar("cnnx_backend", default=None)
_interceptor: ContextVar[Callable[[str, Kernel], Kernel] | None] = ContextVar("cnnx_interceptor", default=None)


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
    if _VARIABLE not in _environment:
        return "optimized"
    name = os.environ.get("CNNX_BACKEND")
    return _known(name, "CNNX_BACKEND") if name else "optimized"


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
        Its arrays come C-contiguous, aligned and in native byte order. Given others, a kernel has to
        heed their strides or raise.
        Some kernels may be missing: a call that needs one raises NotImplementedError. Of these an attribute
        `left_out` may say why; an attribute `compat` names the conventions that the audit is to judge by.

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
    _forget(name)
    _registered[name] = kernels


@contextmanager
def registered(name: str, kernels: Mapping[str, Any] | ModuleType) -> Iterator[None]:
    """A back end as `register_backend` takes it, known within the block alone."""
    register_backend(name, kernels)
    try:
        yield
    finally:
        _forget(name)


def _forget(name: str) -> None:
    _registered.pop(name, None)
    _loaded.pop(name, None)
    for key in [key for key in _specialised if key[0] == name]:
        del _specialised[key]


def registered_names() -> tuple[str, ...]:
    """The names that `register_backend` was given in this process."""
    return tuple(_registered)


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
    # What get_backend() says, without a call where nothing in the environment has to be looked at.
    chosen = backend
    if chosen is None:
        chosen = _context_choice.get() or _process_choice
        if not chosen:
            chosen = get_backend() if _VARIABLE in _environment else "optimized"
    wrap = _interceptor.get()
    try:
        found = _specialised.get((chosen, name, dtype))
    except TypeError:  # unhashable, hence no name: _known says so
        found = None
    if found is None:
        try:
            found = _specialise(_known(chosen), name, dtype)
        except MissingKernelError as error:
            if wrap is None:
                raise
            return wrap(name, _raiser(error))
        _specialised[chosen, name, dtype] = found
    return found if wrap is None else wrap(name, found)


def _raiser(error: MissingKernelError) -> Kernel:
    def missing(*arrays: object, **numbers: float) -> None:
        raise error

    return missing


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


def current(backend: str | None = None) -> Kernels | None:
    """The chosen back end's kernels, as long as `kernel` hands out the same ones; None where it is not sure to."""
    if _interceptor.get() is not None:
        return None
    chosen = backend or _context_choice.get() or _process_choice
    return _loaded.get(chosen or (get_backend() if _VARIABLE in _environment else "optimized"))


def recorded(call: Callable[..., Result], *arguments: Any) -> tuple[Result, list[Call]]:
    """What `call(*arguments)` returns, and the kernels that it runs."""
    calls: list[Call] = []

    def note(name: str, kernel: Kernel) -> Kernel:
        def noting(*arrays: Any, **numbers: float) -> None:
            calls.append((kernel, tuple(a.view() for a in arrays), numbers))  # whose shapes nobody else sets
            kernel(*arrays, **numbers)

        return noting

    before = _interceptor.get()
    try:  # like the lender of `ops`, without `with`: Ctrl-C cannot come in between
        _interceptor.set(note)
        return call(*arguments), calls
    finally:
        _interceptor.set(before)


def equations(name: str) -> dict[str, Callable[..., Any]]:
    """The reference's element functions of kernel `name`: output name -> function of one element."""
    elements: dict[str, Callable[..., Any]] = _kernels("reference")[name].elements  # type: ignore[attr-defined]
    return elements


def reference_kernel(name: str) -> Kernel:
    """The reference's array function of kernel `name`; its signature is the kernel's contract."""
    return _kernels("reference")[name]


def reference_math() -> Any:
    """exp, log, ... on floats, as the reference's equations take them by default."""
    return native.load("reference._numbers").IEEE


def winograd_matrices(t: int) -> tuple[Any, Any, Any]:
    """A, B and G of Winograd's algorithm, for tiles of t x t outputs."""
    module = native.load("reference.conv2d_winograd")
    G = [[number / module.DENOMINATOR[t] for number in row] for row in module.G[t]]
    return module.A[t], module.B[t], G


def kernel_names(backend: str) -> tuple[str, ...]:
    """The kernels that a back end has, sorted."""
    return tuple(sorted(_kernels(_known(backend))))


def _specialise(backend: str, name: str, dtype: str) -> Kernel:
    try:
        found = _kernels(backend)[name]
    except KeyError:
        reason = _kernels(backend).left_out.get(name, "")
        raise MissingKernelError(
            f"back end {backend!r} has no kernel {name!r}{f' ({reason})' if reason else ''}; choose another back end "
            f'for this call, e.g. backend="optimized"',
            what=name,
            why=reason,
        ) from None
    if not callable(found):
        raise TypeError(f"back end {backend!r}: expected kernel {name!r} to be callable, got {type(found).__name__}")
    # A fused Cython kernel holds one function per dtype: choosing here spares a search at every call.
    by_type = getattr(found, "__signatures__", None)
    if by_type is None:
        return found
    c_type = {"float32": "float", "float64": "double"}[dtype]
    if c_type not in by_type:
        kinds = ", ".join(by_type)
        raise MissingKernelError(
            f"back end {backend!r} has kernel {name!r} for {kinds}, not for {c_type}", f"{name} for {c_type}"
        )
    specialised: Kernel = by_type[c_type]
    return specialised


def compat(backend: str) -> str:
    """The name of the conventions that a back end's kernels say they follow, or ""."""
    return _kernels(_known(backend)).compat


def _kernels(backend: str) -> Kernels:
    found = _loaded.get(backend)
    if found is None:
        with native.loading:
            found = _loaded.get(backend) or _load(backend)
            _loaded[backend] = found
    return found


def _load(backend: str) -> Kernels:
    if backend in _BUILTIN:
        if backend == "optimized":
            native.threads()  # first, so that what the environment says of threads is refused before anything runs
        mark = "elements" if backend == "reference" else "__signatures__"
        return Kernels(
            {
                name: function
                for module in _twins(backend)
                for name, function in vars(module).items()
                if hasattr(function, mark)
            }
        )
    if backend in _registered:
        theirs = _registered[backend]
    else:
        point = next(point for point in _entry_points() if point.name == backend)
        try:
            theirs = point.load()
        except (Exception, SystemExit) as error:  # whatever their module does when it is imported
            kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
            raise ImportError(f"back end {backend!r} ({point.value}) cannot be loaded: {kind}{error}") from error
        if not isinstance(theirs, (Mapping, ModuleType)):
            raise TypeError(
                f"back end {backend!r} ({point.value}): expected a mapping or a module, got {type(theirs).__name__}"
            )
    kernels: Mapping[str, Kernel] = theirs if isinstance(theirs, Mapping) else _callables(theirs)
    left_out, follows = getattr(theirs, "left_out", None), getattr(theirs, "compat", "")
    if not isinstance(left_out, (Mapping, NoneType)):
        raise TypeError(f"back end {backend!r}: expected left_out to be a mapping, got {type(left_out).__name__}")
    if not isinstance(follows, str):
        raise TypeError(f"back end {backend!r}: expected compat to be a string, got {type(follows).__name__}")
    return Kernels(kernels, left_out=left_out, compat=follows)


def _callables(module: ModuleType) -> dict[str, Kernel]:
    return {name: function for name, function in vars(module).items() if callable(function)}


def _twins(package: str) -> list[ModuleType]:
    """The modules of a kernel package: one for each file of the reference."""
    reference = importlib.import_module("cnnx.reference")
    names = sorted(m.name for m in pkgutil.iter_modules(reference.__path__) if not m.name.startswith("_"))
    return [native.kernels(name) if package == "optimized" else native.load(f"reference.{name}") for name in names]
