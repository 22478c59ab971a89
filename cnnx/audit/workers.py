"""Who does an audit's work: this process, others, or this one with the back end in a process of its own."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from .. import backend as _backend
from . import known
from .checks import ISOLATED
from .compat import conventions
from .contract import Kernel, enter
from .contract import in_force as by_contract
from .isolation import LoadError, candidate, isolated_kernels
from .isolation import isolated as isolated_backend
from .pool import Here, Pool
from .sides import Sides
from .speed import speed_up
from .work import Say, judge_op

LOAD, SPEED = "load", "speed"  # beside the checks: by which conventions the back end is judged, and how fast it is
TIMEOUT = 60.0  # seconds that a case of an isolated back end may take, where nobody says so


@contextmanager
def in_force(given: Kernel | Iterable[Kernel], *, isolated: bool, limit: float | None) -> Iterator[str]:
    """Within the block kernels with contracts are a back end, whose name is given; isolated ones in processes of their
    own, in which a call may take so many seconds."""
    kernels = [given] if isinstance(given, Kernel) else [*given]
    with ExitStack() as stack:
        if isolated and all(isinstance(kernel, Kernel) for kernel in kernels):
            kernels = stack.enter_context(isolated_kernels(kernels, TIMEOUT if limit is None else limit))
        yield stack.enter_context(by_contract(kernels))


@contextmanager
def known_by_name(backend: str | Kernel | Iterable[Kernel], *, isolated: bool, limit: float | None) -> Iterator[str]:
    """A back end's name; within the block kernels with contracts have one."""
    if isinstance(backend, str):
        yield backend
        return
    with in_force(backend, isolated=isolated, limit=limit) as name:
        yield name


@contextmanager
def workers_for(
    backend: str, against: str, timeout: float | None, jobs: int = 1, *, isolated: bool
) -> Iterator[tuple[str, Here | Pool]]:
    """The back end under audit, by a name that its kernels have while they are isolated; and who does what `_work`
    says: this process or, with a time limit or several at once, processes of their own."""
    own = known.own(backend)
    if isolated:
        if jobs > 1:
            raise ValueError(f"jobs: expected 1 of an isolated back end, which is one process itself, got {jobs}")
        if own is not None:
            yield backend, Here(_work)
            return
        try:
            with isolated_backend(candidate(backend, TIMEOUT if timeout is None else timeout)) as name:
                yield name, Here(_work)
        except LoadError as error:
            raise ValueError(f"isolated: {error}") from None
        return
    if timeout is None and jobs == 1:
        yield backend, Here(_work)
        return
    what = "jobs" if timeout is None else "timeout"
    origin = "" if own is None else own.origin
    for name in (backend, against):
        if name in _backend.registered_names() and not (name == backend and origin):
            raise ValueError(
                f"{what}: expected a back end that another process can load (by entry point, or the kernels of a "
                f"file), got {name!r}, which is registered in this one"
            )
    with Pool(partial(_work_of_file, origin) if origin else _work, timeout, jobs) as pool:
        yield backend, pool


def _work_of_file(origin: str, op_name: str, task: str, *job: Any, say: Say) -> Any:
    """`_work` in a process that knows the kernels of a file."""
    enter(origin)
    return _work(op_name, task, *job, say=say)


def _work(op_name: str, task: str, *job: Any, say: Say = lambda case, dtype, repro: None) -> Any:
    """All that a back end can hang in: it is loaded, one check of one op, how many times as fast it is."""
    if task == LOAD:
        return conventions(*job)
    (sides,) = (part for part in job if isinstance(part, Sides))
    op = known.op_of(sides.backend, op_name)
    if task == SPEED:
        say(op.bench[0].name, "float32", "")
        return speed_up(op, *job)
    return judge_op(op, ISOLATED[task], *job, say=say)
