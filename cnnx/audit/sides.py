"""The two sides of an audit, and by which conventions they are held against each other."""

from dataclasses import dataclass

from ..ops import Case, Op
from . import known
from .compat import COMPAT, Compat

# What the same arguments may come with: each is a check, and a column of the matrix.
PROPERTIES = ("repeat", "threads", "batch", "layout", "alignment", "isa")
# Where another back end's bits differ, that is a failure: it races, or takes strides for granted.
OF_ANY = ("repeat", "threads", "layout")
# What `optimized` promises.
PROMISED = ("repeat", "threads", "layout", "alignment")


def promised(backend: str) -> tuple[str, ...]:
    """The properties of PROPERTIES whose loss is a failure, where nobody says which."""
    return PROMISED if backend == "optimized" else OF_ANY


@dataclass(frozen=True)
class Sides:
    """The back end under audit, the one it is held against, and by which conventions.

    required : the properties whose loss is a failure; that of others is a finding.
    isolated : what the back end under audit is called, where its kernels run in a process of their own; or "".
    """

    backend: str
    against: str = "reference"
    compat: Compat = COMPAT[""]
    required: tuple[str, ...] = PROPERTIES
    isolated: str = ""

    @property
    def name(self) -> str:
        """The back end under audit as its user calls it."""
        return self.isolated or self.backend

    def adapted(self, op: Op, case: Case) -> Case | None:
        """The case as the back end's contract and the conventions have it; None where one of them does not."""
        mine = known.adapted(self.backend, op, case)
        return None if mine is None else self.compat.adapted(op, mine)
