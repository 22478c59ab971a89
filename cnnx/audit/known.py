"""The ops that an audit knows: those of cnnx, and for as long as it is judged those of somebody's own kernel.

What a back end says of itself beyond its kernels (a contract, `cnnx.audit.contract`) is asked for here, so that the
audit need not know how it came to be.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from .._text import expected_one_of
from ..ops import OPS, Case, Op
from .truth.precision import Precision


class Own(Protocol):
    """A back end whose kernels have contracts of their own.

    ops : by name, what they compute; bases : the op of cnnx whose cases each has.
    origin : the file and the variable that they come from, where another process can load them; or "".
    isolated : whether other processes have its functions.
    """

    ops: dict[str, Op]
    bases: dict[str, Op]
    origin: str
    isolated: bool

    def kinds(self, op: str) -> tuple[str, ...]:
        """The dtypes in which an op can be judged."""

    def precision(self, op: str, dtype: str, *, flushed: bool) -> Precision:
        """The arithmetic by which it is judged."""

    def adapted(self, op: str, case: Case) -> Case | None:
        """A case of the op it comes from, as the contract allows it; None where it does not."""

    def why_not(self, op: str, check: str) -> str:
        """Why a check says nothing of an op, or ""."""

    def lacks(self, op: str) -> Mapping[str, str]:
        """What an op's contract leaves out, each with the reason."""

    def words(self) -> list[str]:
        """The contracts, a line each."""

    def command(self, words: str, options: Mapping[str, str]) -> str:
        """What judges a case again."""


_own: dict[str, Own] = {}
_derived: dict[str, Op] = {}  # of contracts that are judged no longer, for their reports


@contextmanager
def judged(name: str, own: Own) -> Iterator[None]:
    """Within the block a back end of that name has these contracts."""
    _own[name] = own
    _derived.update({op.name: op for op in own.ops.values()})
    try:
        yield
    finally:
        del _own[name]


def own(backend: str) -> Own | None:
    """The contracts of a back end, if it has some."""
    return _own.get(backend)


def ops_of(backend: str) -> dict[str, Op]:
    """The ops by name in which a back end can be judged."""
    found = own(backend)
    return {op.name: op for op in OPS} if found is None else dict(found.ops)


def op_of(backend: str, name: str) -> Op:
    """An op of a back end by its name; ValueError if there is none."""
    found = ops_of(backend)
    if name not in found:
        raise ValueError(f"op: {expected_one_of(found, name)}")
    return found[name]


def base_of(backend: str, op: Op) -> Op:
    """The op of cnnx from which a contract's op comes: how its cases are drawn."""
    found = own(backend)
    return op if found is None else found.bases[op.name]


def described(name: str) -> Op:
    """An op by its name, for a report: also one that is judged no longer."""
    return next((op for op in OPS if op.name == name), None) or _derived[name]


def precision(backend: str, op: Op, dtype: str, *, flushed: bool) -> Precision:
    """The arithmetic by which an op of a back end is judged."""
    found = own(backend)
    return Precision.of(dtype, flushed=flushed) if found is None else found.precision(op.name, dtype, flushed=flushed)


def adapted(backend: str, op: Op, case: Case) -> Case | None:
    """The case as a back end's contract has it; None where it is none for it."""
    found = own(backend)
    return case if found is None else found.adapted(op.name, case)
