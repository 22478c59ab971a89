"""Which back end a call uses, and the kernel that it is handed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..native import SMALLEST, with_denormals
from .interception import Notes, interceptor
from .joint import JointBatchNorm, joint_batch_norm
from .registry import BUILTIN, Kernel, Kernels, MissingKernelError, known, loaded, several, specialise, specialised

# The dictionary behind os.environ and its key: to ask os.environ itself costs as much as a small kernel, at each call.
_environment: Any = getattr(os.environ, "_data", os.environ)
_VARIABLE: Any = "CNNX_BACKEND" if _environment is os.environ else os.environ.encodekey("CNNX_BACKEND")

# Methods of what is defined elsewhere, since Python calls those of an imported name more slowly: it may be a module.
_intercepting, _find, _find_several, _loaded = interceptor.get, specialised.get, several.get, loaded.get

_process_choice: str | None = None
_context_choice: ContextVar[str | None] = ContextVar("cnnx_backend", default=None)


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
    _process_choice = known(name)


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
    token = _context_choice.set(known(name))
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
    return known(name, "CNNX_BACKEND") if name else "optimized"


def kernel(name: str, dtype: str, backend: str | None = None) -> Kernel:
    """The kernel `name` for arrays of `dtype` ("float32" or "float64") of the chosen back end."""
    # What get_backend() says, without a call where nothing in the environment has to be looked at.
    chosen = backend
    if chosen is None:
        chosen = _context_choice.get() or _process_choice
        if not chosen:
            chosen = get_backend() if _VARIABLE in _environment else "optimized"
    wrap = _intercepting()
    try:
        found = _find((chosen, name, dtype))
    except TypeError:  # unhashable, hence no name: `known` says so
        found = None
    if found is None:
        try:
            found = specialise(known(chosen), name, dtype)
        except MissingKernelError as error:
            if wrap is None:
                raise
            return wrap(name, _raiser(error))
        specialised[chosen, name, dtype] = found
    if not SMALLEST * 2.0 and chosen in BUILTIN:  # native.flushes(), without the call
        found = with_denormals(found)
    return found if wrap is None else wrap(name, found)


def kernels(names: tuple[str, ...], dtype: str, backend: str | None = None) -> tuple[Kernel, ...]:
    """What `kernel` hands out for each of the names, in one look-up: an op of small work is half look-ups."""
    chosen = backend
    if chosen is None:
        chosen = _context_choice.get() or _process_choice
        if not chosen:
            chosen = get_backend() if _VARIABLE in _environment else "optimized"
    if _intercepting() is not None or not SMALLEST * 2.0 or type(chosen) is not str:
        return tuple(kernel(name, dtype, chosen) for name in names)
    found = _find_several((chosen, names, dtype))
    if found is None:
        found = several[chosen, names, dtype] = tuple(kernel(name, dtype, chosen) for name in names)
    return found


def batch_norm_in_one(dtype: str, backend: str | None = None) -> JointBatchNorm | None:
    """What stands for several kernels of batch normalisation, where the optimized back end is chosen.

    None where another one is, and where somebody looks into calls: they see the kernels.
    """
    chosen = backend
    if chosen is None:
        chosen = _context_choice.get() or _process_choice
        if not chosen:
            chosen = get_backend() if _VARIABLE in _environment else "optimized"
    if type(chosen) is not str or chosen != "optimized" or not SMALLEST * 2.0:
        return None
    wrap, found = _intercepting(), joint_batch_norm(dtype)
    if wrap is None:
        return found
    return JointBatchNorm(*(wrap("", one) for one in found)) if isinstance(wrap, Notes) else None


def _raiser(error: MissingKernelError) -> Kernel:
    def missing(*arrays: object, **numbers: float) -> None:
        raise error

    return missing


def current(backend: str | None = None) -> Kernels | None:
    """The chosen back end's kernels, as long as `kernel` hands out the same ones; None where it is not sure to."""
    if _intercepting() is not None or not SMALLEST * 2.0:
        return None
    chosen = backend or _context_choice.get() or _process_choice
    return _loaded(chosen or (get_backend() if _VARIABLE in _environment else "optimized"))
