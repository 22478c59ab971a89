"""The back ends that there are: cnnx's own, registered ones and those of entry points; and their kernels."""

import functools
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType, NoneType
from typing import TYPE_CHECKING, Any

from .. import native

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kernel = Callable[..., None]
WithThreads = Callable[[int], AbstractContextManager[object]]
Held = Mapping[str, Mapping[str, str]]  # instruction set -> environment variables that hold a process to it

ENTRY_POINTS = "cnnx.backends"
BUILTIN = ("reference", "optimized")
C_TYPES = {"float32": "float", "float64": "double"}
NOT_SUPPORTED = "not supported, as its author says"


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
    with_threads : called with a number, it gives a context manager within which they use so many threads, for as little
        work as they can; None where nobody can say how many.
    instruction_sets : by name, the environment variables that hold a new process to another instruction set; None
        where nobody can.
    about : the library's version, its setting of precision and what else `cnnx doctor` should say, or "".
    """

    about = ""

    def __init__(
        self,
        kernels: Mapping[str, Kernel],
        *,
        left_out: Mapping[str, str] | None = None,
        compat: str = "",
        with_threads: WithThreads | None = None,
        instruction_sets: Held | None = None,
    ):
        super().__init__(kernels)
        self.left_out, self.compat = dict(left_out or {}), compat
        self.with_threads, self.instruction_sets = with_threads, instruction_sets


_registered: dict[str, Mapping[str, Any] | ModuleType] = {}
loaded: dict[str, Kernels] = {}
specialised: dict[tuple[str, str, str], Kernel] = {}  # what `choice.kernel` handed out: back end, name, dtype
several: dict[tuple[str, tuple[str, ...], str], tuple[Kernel, ...]] = {}  # the same of `choice.kernels`


def backends() -> tuple[str, ...]:
    """The names of all back ends: those of cnnx, registered ones, and entry points of group `cnnx.backends`."""
    return tuple(dict.fromkeys((*BUILTIN, *_registered, *(point.name for point in _entry_points()))))


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
        `left_out` may say why; an attribute `compat` names the conventions that the audit is to judge by. An attribute
        `with_threads`, a function, gives for a number n the context manager of a block within which the kernels use n
        threads, for as little work as they can: `@contextlib.contextmanager def with_threads(n)`. Without it the
        audit's check `threads` says that it was not tested. An attribute
        `instruction_sets` has for each smaller instruction set that they can be held to, by a name, the environment
        variables that do it: `{"avx2": {"MYLIB_ISA": "avx2"}}`. Without it the audit's check `isa` cannot be asked.
        A kernel that does not do all that its signature allows declares it by an attribute `supports`, the values that
        it takes by the name of a number: `conv2d.supports = {"groups": 1, "u": (1, 2)}`. With others it is not called,
        a call raises NotImplementedError, and the audit lists them as not covered.

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
    if not name or name in BUILTIN or name in (point.name for point in _entry_points()):
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
    loaded.pop(name, None)
    for key in [key for key in specialised if key[0] == name]:
        del specialised[key]
    for names in [names for names in several if names[0] == name]:
        del several[names]


def registered_names() -> tuple[str, ...]:
    """The names that `register_backend` was given in this process."""
    return tuple(_registered)


def _entry_points() -> "tuple[EntryPoint, ...]":
    with native.loading:
        from importlib.metadata import entry_points  # here, as it takes a fifth of `import cnnx`

    return tuple(entry_points(group=ENTRY_POINTS))


def _entry_point(name: str) -> "EntryPoint":
    return next(point for point in _entry_points() if point.name == name)


def entry_point(name: str) -> str:
    """What the entry point of a back end names: "module:attribute"."""
    return _entry_point(known(name)).value


def known(name: object, source: str = "backend") -> str:
    """`name`, where a back end is called so; else an error that names `source`."""
    if not isinstance(name, str):
        raise TypeError(f"{source}: expected the name of a back end, got {type(name).__name__}")
    if name not in (*BUILTIN, *_registered, *loaded) and name not in backends():
        raise ValueError(f"{source}: no back end is called {name!r}; there are {', '.join(backends())}")
    return name


# ------------------------------------------------------------------------------------------ kernels


def kernel_names(backend: str) -> tuple[str, ...]:
    """The kernels that a back end has, sorted."""
    return tuple(sorted(kernels_of(known(backend))))


def specialise(backend: str, name: str, dtype: str) -> Kernel:
    """The kernel `name` of a back end, for arrays of `dtype`."""
    try:
        found = kernels_of(backend)[name]
    except KeyError:
        reason = kernels_of(backend).left_out.get(name, "")
        raise MissingKernelError(
            f"back end {backend!r} has no kernel {name!r}{f' ({reason})' if reason else ''}; choose another back end "
            f'for this call, e.g. backend="optimized"',
            what=name,
            why=reason,
        ) from None
    if not callable(found):
        raise TypeError(f"back end {backend!r}: expected kernel {name!r} to be callable, got {type(found).__name__}")
    supports = getattr(found, "supports", None)
    if supports is not None:
        return _limited(backend, name, found, supports)
    # A fused Cython kernel holds one function per dtype: choosing here spares a search at every call.
    by_type = getattr(found, "__signatures__", None)
    if by_type is None:
        return found
    c_type = C_TYPES[dtype]
    if c_type not in by_type:
        kinds = ", ".join(by_type)
        raise MissingKernelError(
            f"back end {backend!r} has kernel {name!r} for {kinds}, not for {c_type}", f"{name} for {c_type}"
        )
    of_type: Kernel = by_type[c_type]
    return of_type


def _limited(backend: str, name: str, kernel: Kernel, supports: Mapping[str, Any]) -> Kernel:
    """The kernel, which is not called with numbers that its author says it does not take."""
    if not isinstance(supports, Mapping):
        raise TypeError(
            f"back end {backend!r}: kernel {name!r}: expected supports to be a mapping from numbers to the values that "
            f"it takes, got {type(supports).__name__}"
        )
    sets = {
        number: tuple(v) if isinstance(v, (tuple, list, set, frozenset, range)) else (v,)
        for number, v in supports.items()
    }

    @functools.wraps(kernel)
    def limited(*arrays: Any, **numbers: Any) -> None:
        for number, values in sets.items():
            if number not in numbers:
                raise TypeError(
                    f"back end {backend!r}: kernel {name!r}: supports names {number!r}; expected some of "
                    f"{', '.join(numbers)}"
                )
            if numbers[number] not in values:
                what = f"{name} with {number} other than {', '.join(map(str, values))}"
                message = f"back end {backend!r} does not have {what}, got {numbers[number]}; choose another back end"
                raise MissingKernelError(message, what, NOT_SUPPORTED)
        return kernel(*arrays, **numbers)

    return limited


def compat(backend: str) -> str:
    """The name of the conventions that a back end's kernels say they follow, or ""."""
    return kernels_of(known(backend)).compat


def about(backend: str) -> str:
    """What a back end's kernels say of their library: its version, its setting of precision; or ""."""
    return kernels_of(known(backend)).about


def with_threads(backend: str) -> WithThreads | None:
    """What sets the number of threads of a back end's kernels for a block, or None where it does not say."""
    return kernels_of(known(backend)).with_threads


def instruction_sets(backend: str) -> Held | None:
    """The other instruction sets that a back end can be held to, by environment variables; None: it does not say."""
    return kernels_of(known(backend)).instruction_sets


def registered_kernels(name: str) -> Mapping[str, Any] | ModuleType | None:
    """What `register_backend` was given under a name in this process, if anything."""
    return _registered.get(name)


def kernels_of(backend: str) -> Kernels:
    """A back end's kernels, loaded when they are first wanted."""
    found = loaded.get(backend)
    if found is None:
        with native.loading:
            found = loaded.get(backend) or _load(backend)
            loaded[backend] = found
    return found


def _load(backend: str) -> Kernels:
    if backend in BUILTIN:
        if backend == "optimized":
            native.threads()  # first, so that what the environment says of threads is refused before anything runs
        mark = "elements" if backend == "reference" else "__signatures__"
        return Kernels(
            {
                name: function
                for module in _twins(backend)
                for name, function in vars(module).items()
                if hasattr(function, mark) and not name.startswith("_")  # those are no kernels: joint.py
            },
            with_threads=native.with_threads if backend == "optimized" else None,
            instruction_sets={name: {"CNNX_ISA": name} for name in native.alike()} if backend == "optimized" else None,
        )
    if backend in _registered:
        theirs = _registered[backend]
    else:
        point = _entry_point(backend)
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
    with_threads = getattr(theirs, "with_threads", None)
    if not isinstance(left_out, (Mapping, NoneType)):
        raise TypeError(f"back end {backend!r}: expected left_out to be a mapping, got {type(left_out).__name__}")
    if not isinstance(follows, str):
        raise TypeError(f"back end {backend!r}: expected compat to be a string, got {type(follows).__name__}")
    if with_threads is not None and not callable(with_threads):
        raise TypeError(
            f"back end {backend!r}: expected with_threads to be callable, got {type(with_threads).__name__}"
        )
    held = getattr(theirs, "instruction_sets", None)
    if not isinstance(held, (Mapping, NoneType)):
        raise TypeError(f"back end {backend!r}: expected instruction_sets to be a mapping, got {type(held).__name__}")
    made = Kernels(kernels, left_out=left_out, compat=follows, with_threads=with_threads, instruction_sets=held)
    made.about = str(getattr(theirs, "about", ""))
    return made


def _callables(module: ModuleType) -> dict[str, Kernel]:
    return {name: function for name, function in vars(module).items() if callable(function) and name != "with_threads"}


def _twins(package: str) -> list[ModuleType]:
    """The modules of a kernel package: one for each file of the reference."""
    folder = Path(__file__).parents[1] / "reference"  # which is not imported: who judges kernels may keep it away
    names = sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))
    return [native.kernels(name) if package == "optimized" else native.load(f"reference.{name}") for name in names]


# ---------------------------------------------------------------------------- what the reference says


def equations(name: str) -> dict[str, Callable[..., Any]]:
    """The reference's element functions of kernel `name`: output name -> function of one element."""
    elements: dict[str, Callable[..., Any]] = kernels_of("reference")[name].elements  # type: ignore[attr-defined]
    return elements


def reference_kernel(name: str) -> Kernel:
    """The reference's array function of kernel `name`; its signature is the kernel's contract."""
    return kernels_of("reference")[name]


def computed(stub: Kernel, elements: Mapping[str, Callable[..., Any]]) -> Kernel:
    """A kernel as the reference has them: the signature of `stub`, each output by its function of one element."""
    made: Kernel = native.load("reference._numbers").computes(**elements)(stub)
    return made


@contextmanager
def defined(kernels: Mapping[str, Kernel]) -> Iterator[None]:
    """Within the block the reference has these kernels too, under new names: what somebody's fused kernel computes."""
    reference = kernels_of("reference")
    taken = [name for name in kernels if name in reference]
    if taken:
        raise ValueError(f"kernels: expected new names, got {', '.join(taken)}")
    reference.update(kernels)
    try:
        yield
    finally:
        for name in kernels:
            del reference[name]
            for key in [key for key in specialised if key[1] == name]:
                del specialised[key]


def reference_math() -> Any:
    """exp, log, ... on floats, as the reference's equations take them by default."""
    return native.load("reference._numbers").IEEE


def winograd_matrices(t: int, R: int) -> tuple[Any, Any, Any]:
    """A, B and G of Winograd's algorithm, for tiles of t x t outputs and kernels of R x R."""
    module, extent = native.load("reference.conv2d_winograd"), t + R - 1
    G = [[number / module.DENOMINATOR[extent] for number in row] for row in module.G[t, R]]
    return module.A[t, R], module.B[extent], G
