"""Kernels that run in the process of an isolated back end, and are called like any other."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from ... import backend as _backend
from .. import known
from ..contract.call import other
from ..data import Array
from ..trace import BreachError, parameter_names
from .arena import AS_GIVEN
from .candidate import Candidate
from .process import Process

TYPES = {"float": "float32", "double": "float64"}  # C types of Cython's fused kernels

_running: dict[Candidate, Process] = {}
_held: Counter[Candidate] = Counter()
_where: ContextVar[str] = ContextVar("cnnx_isolated_where", default="")


def process_of(candidate: Candidate) -> Process:
    """The process of a back end, one for all of its kernels."""
    if candidate not in _running:
        _running[candidate] = Process(candidate.said, candidate.limit, candidate.name)
    return _running[candidate]


@contextlib.contextmanager
def stopped(candidate: Candidate) -> Iterator[None]:
    """At the end of the block its process ends; of blocks within each other, at that of the outermost."""
    _held[candidate] += 1
    try:
        yield
    finally:
        _held[candidate] -= 1
        if not _held[candidate]:
            process_of(candidate).close()
            _running.pop(candidate, None)


def where() -> str:
    """Where arrays lie while `hunting`, or ""."""
    return _where.get()


@contextlib.contextmanager
def hunting(where: str) -> Iterator[None]:
    """Within the block arrays lie against a guard page, END or START, and each call comes after one with other numbers
    in the same place, so that what was kept of it shows."""
    token = _where.set(where)
    try:
        yield
    finally:
        _where.reset(token)


class Proxy:
    """A kernel of an isolated back end. It can be sent to another process, which then isolates the back end too."""

    def __init__(self, candidate: Candidate, kernel: str, dtype: str = "", supports: Any = None) -> None:
        self.candidate, self.kernel, self._dtype = candidate, kernel, dtype
        if supports:
            self.supports = {number: tuple(values) for number, values in supports.items()}

    def __call__(self, *arrays: Array, **numbers: Any) -> None:
        """Run it there, and copy what it gave."""
        process, at = process_of(self.candidate), where()
        before = None if not at else self._decoy(process, arrays, numbers, at)
        layout = process.run(self.kernel, self._dtype, arrays, numbers, at or AS_GIVEN)
        for i, (output, copy) in enumerate(zip(arrays[len(layout.inputs) :], layout.copies, strict=True)):
            if before is not None and (never := before[i] & layout.unchanged(i)).any():
                first = [int(j) for j in np.argwhere(never)[0]]
                name = parameter_names(self.kernel)[len(layout.inputs) + i]
                raise BreachError(f"kernel {self.kernel} leaves {name}{first} as it was: it is not initialised")
            output[...] = copy

    def takes(self, numbers: Any) -> bool:
        """Whether its author says that it takes these numbers."""
        return all(numbers[name] in values for name, values in getattr(self, "supports", {}).items())

    def _decoy(self, process: Process, arrays: Sequence[Array], numbers: Any, at: str) -> list[Array]:
        """A run on other numbers; of each output, by element, whether it was left as it was."""
        inputs, layout = process.prepared(self.kernel, self._dtype, arrays, numbers, at)
        process.fill(layout, [other(a) for a in inputs], large=True)
        process.ran(self.kernel, [layout])
        return [layout.unchanged(i) for i in range(len(layout.outputs))]


class Threads:
    """Sets the number of threads of an isolated back end for a block."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    def __call__(self, count: int) -> contextlib.AbstractContextManager[None]:
        return self._block(count)

    @contextlib.contextmanager
    def _block(self, count: int) -> Iterator[None]:
        process = process_of(self._candidate)
        process.threads(count)
        try:
            yield
        finally:
            process.threads(0)


@contextlib.contextmanager
def isolated(candidate: Candidate) -> Iterator[str]:
    """Within the block, the back end is known under the name that is given, its kernels running in its own process.

    Raises
    ------
    cnnx.audit.isolation.LoadError
        It cannot be loaded there.
    """
    process = process_of(candidate)
    with stopped(candidate):
        if not process.about:
            process.start()
        about = process.about
        kernels: dict[str, Any] = {}
        for name, said in about["kernels"].items():
            if name not in _backend.kernel_names("reference"):
                continue  # a function beside its kernels
            kernels[name] = Proxy(candidate, name, supports=said["supports"])
            if said["types"]:
                kernels[name].__signatures__ = {c: Proxy(candidate, name, c) for c in said["types"] if c in TYPES}
        name = f"{candidate.name}, isolated"
        found = _backend.Kernels(
            kernels,
            left_out=about["left_out"],
            compat=about["compat"],
            with_threads=Threads(candidate) if about["threads"] else None,
            instruction_sets=about["instruction_sets"],
        )
        with _backend.registered(name, found):
            yield name


def is_isolated(backend: str) -> bool:
    """Whether a back end's kernels are proxies, or functions by contract that other processes have."""
    own = known.own(backend)
    if own is not None:
        return own.isolated
    return isinstance(next(iter((_backend.registered_kernels(backend) or {}).values()), None), Proxy)
