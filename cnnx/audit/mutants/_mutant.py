"""What a mutant is: a correct back end with one real bug in it."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import backend as _backend
from ..contract import in_force
from ..data import Array
from ..isolation import candidate, isolated, isolated_file

Kernel = Callable[..., Any]
Element = Callable[..., Any]

LIMIT = 60.0  # seconds that a call of an isolated mutant may take
CORRECT = "optimized"  # the back end that mutants are made of
HELD = "CNNX_AUDIT_MUTANT_HELD"  # a variable for a smaller instruction set, which every machine has


@dataclass(frozen=True, eq=False)
class Mutant:
    """A bug, and the kernels that have it.

    bug : what is wrong, in one line.
    seen : where the field saw it, where that is known.
    kernels : the wrong kernels, by the name of the right ones.
    file : FILE.py:NAME of a back end that is isolated, which has just the wrong kernels; they run nowhere else.
    by_contract : whether NAME is a contract, what `cnnx.audit.kernel` made.
    elements : for a bug that the reference shares, wrong equations: kernel -> output -> `wrong(right, *inputs, *index,
        **numbers)`, which computes one element and is given the right equation. The mutant's kernels then compute
        just them, so that nothing shows where back end and reference are compared.
    """

    name: str
    op: str
    bug: str
    seen: str = ""
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    file: str = ""
    by_contract: bool = False
    elements: Mapping[str, Mapping[str, Element]] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Whether the reference has the bug too."""
        return bool(self.elements)


def right(name: str) -> Kernel:
    """The correct kernel, for arrays of any dtype."""
    return functools.partial(_run_right, name)  # which another process can have, as it cannot a lambda


def _run_right(name: str, *arrays: Array, **numbers: Any) -> None:
    _backend.kernel(name, arrays[0].dtype.name, CORRECT)(*arrays, **numbers)


def truncated(a: Array, bits: int) -> Array:
    """float32 with the first `bits` of the 23 of its mantissa; subnormal numbers and float64 as they are."""
    if a.dtype != np.float32:
        return a
    fewer = (a.view(np.uint32) & np.uint32(2**32 - 2 ** (23 - bits))).view(np.float32)
    return np.where(np.abs(a) < np.finfo(np.float32).smallest_normal, a, fewer)


@contextmanager
def installed(mutant: Mutant | None, name: str = "mutant") -> Iterator[str]:
    """Register the correct back end with the mutant's bug (None: without any) for the block, and return its name.

    The reference's equations are replaced for the block too, where they share the bug.
    """
    if mutant is not None and mutant.by_contract:
        with isolated_file(mutant.file, LIMIT) as found, in_force(*found.values()) as apart:
            yield apart
        return
    if mutant is not None and mutant.file:
        with isolated(candidate(name, LIMIT, mutant.file)) as apart:
            yield apart
        return
    kernels: dict[str, Kernel] = {kernel: right(kernel) for kernel in _backend.kernel_names(CORRECT)}
    if mutant is None:
        with _backend.registered(name, _set_of(kernels)):
            yield name
        return
    kernels |= mutant.kernels
    kernels |= {kernel: _of_this_process(_backend.reference_kernel(kernel)) for kernel in mutant.elements}
    originals = {kernel: dict(_backend.equations(kernel)) for kernel in mutant.elements}
    try:
        for kernel, wrong in mutant.elements.items():
            for output, element in wrong.items():
                if output not in originals[kernel]:
                    has = ", ".join(originals[kernel])
                    raise ValueError(f"mutant {mutant.name}: kernel {kernel} has the outputs {has}, got {output!r}")
                original = originals[kernel][output]
                # It keeps the signature, which says whether an equation takes functions (m).
                _backend.equations(kernel)[output] = functools.wraps(original)(functools.partial(element, original))
        with _backend.registered(name, kernels if mutant.shared else _set_of(kernels)):
            yield name
    finally:
        for kernel, elements in originals.items():
            _backend.equations(kernel).update(elements)


def _of_this_process(kernel: Kernel) -> Kernel:
    """The kernel as a function that cannot be sent to another process, where its equations would be the right ones."""
    return lambda *arrays, **numbers: kernel(*arrays, **numbers)


def _set_of(kernels: dict[str, Kernel]) -> _backend.Kernels:
    return _backend.Kernels(
        kernels, with_threads=_backend.with_threads(CORRECT), instruction_sets={"narrow": {HELD: "1"}}
    )


class Mutants:
    """The mutants of one file."""

    def __init__(self) -> None:
        self.all: list[Mutant] = []

    def of(self, op: str, kernel: str, bug: str, seen: str = "") -> Callable[[Kernel], Kernel]:
        """The decorated function is the wrong kernel, and its name the mutant's."""

        def add(wrong: Kernel) -> Kernel:
            self.all.append(Mutant(wrong.__name__, op, bug, seen, {kernel: wrong}))
            return wrong

        return add

    def shared(
        self, name: str, op: str, elements: Mapping[str, Mapping[str, Element]], bug: str, seen: str = ""
    ) -> None:
        """Add a mutant whose bug the reference's equations share."""
        self.all.append(Mutant(name, op, bug, seen, elements=elements))
