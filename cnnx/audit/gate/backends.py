"""Whatever holds kernels, under a name for as long as it is judged."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from ... import backend as _backend
from ..._text import expected_one_of
from ...ops import OPS, Op

Ops = str | Iterable[str] | None


class Given(NamedTuple):
    """What is to be judged.

    backend : what `audit` takes: a name, or something that it knows what to do with.
    kernels : what that name is to be registered with, or None.
    ops : None: all.
    """

    backend: Any
    kernels: Mapping[str, Any] | ModuleType | None
    ops: tuple[str, ...] | None

    @contextmanager
    def at_hand(self) -> Iterator[Any]:
        """What `audit` takes, known within the block."""
        if self.kernels is None:
            yield self.backend
        else:
            with _backend.registered(self.backend, self.kernels):
                yield self.backend

    def has_any(self, op: str) -> bool:
        """Whether there is a kernel of an op, as far as a name tells. To be asked within `at_hand`."""
        kernels = next(o.kernels for o in OPS if o.name == op)
        return not isinstance(self.backend, str) or bool({*kernels} & {*_backend.kernel_names(self.backend)})


def given(backend: Any, ops: Ops = None) -> Given:
    """What is to be judged, by a name that findings can call it.

    Parameters
    ----------
    backend : str, function, mapping, module or what `audit(backend=...)` takes
        A back end's name; one kernel; kernels as `register_backend` takes them; anything else goes to `audit` as it is.
    ops : str, iterable of str or None
        Names of ops, or of one kernel, whose op it is. None: of one kernel those that have a kernel of its name, of a
        mapping or a module those of which it has a kernel, of anything else all ops.

    Raises
    ------
    ValueError
        A function of which nobody says which kernel it is.
    """
    if _is_kernel(backend):
        name, chosen = _kernel_of(backend, ops)
        return Given(_name(backend), {name: backend}, chosen)
    if isinstance(backend, (Mapping, ModuleType)):
        names = backend if isinstance(backend, Mapping) else vars(backend)
        return Given(_name(backend), backend, _of_names(ops) or _having(names))
    return Given(backend, None, _of_names(ops))


def _is_kernel(given: Any) -> bool:
    """A function of whatever kind, but no object that `audit` knows what to do with."""
    return callable(given) and not type(given).__module__.startswith("cnnx.audit.")


def _name(given: Any) -> str:
    """What findings call it."""
    if isinstance(given, Mapping):
        return "the given kernels"
    return str(getattr(given, "__qualname__", None) or getattr(given, "__name__", None) or type(given).__qualname__) + (
        "" if isinstance(given, ModuleType) else "()"
    )


def _kernel_of(given: Callable[..., Any], ops: Ops) -> tuple[str, tuple[str, ...]]:
    """The name of the kernel that a function is, and its ops."""
    own = str(getattr(given, "__name__", ""))
    if ops is None:
        if not (having := _having([own])):
            raise ValueError(f"op: expected the name of the op or the kernel that {_name(given)} computes, got none")
        return own, having
    names = (ops,) if isinstance(ops, str) else tuple(ops)
    if len(names) != 1:
        raise ValueError(f"op: expected one for one function, got {', '.join(names) or 'none'}; give a mapping of more")
    (name,) = names
    known = {op.name: op for op in OPS}
    if name in known and known[name].kernels:
        kernels = known[name].kernels
        return (own if own in kernels else kernels[0]), (name,)
    if not (having := _having([name])):
        raise ValueError(f"op: {expected_one_of([*known, *_all_kernels()], name)}")
    return name, having


def _having(kernels: Iterable[str]) -> tuple[str, ...]:
    """The ops of which some of these kernels are: that of the same name, or else all that call one."""
    names = set(kernels)
    own = tuple(op.name for op in OPS if names & {*op.kernels} and _first_of(op))
    return own or tuple(op.name for op in OPS if names & {*op.kernels})


def _first_of(op: Op) -> bool:
    """Whether an op is the first that has its kernels, and so the one that they are named after."""
    return next(other for other in OPS if {*other.kernels} & {*op.kernels}) is op


def _all_kernels() -> list[str]:
    return list(dict.fromkeys(kernel for op in OPS for kernel in op.kernels))


def _of_names(ops: Ops) -> tuple[str, ...] | None:
    return None if ops is None else (ops,) if isinstance(ops, str) else tuple(ops)
