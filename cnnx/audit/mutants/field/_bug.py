"""What a bug of the field is: a mutant rebuilt from the description of a fixed bug of a real library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ....ops import Case
from .._mutant import Kernel, Mutant
from .usual import USUAL


@dataclass(frozen=True, eq=False)
class FieldBug(Mutant):
    """A bug that a library had, in a correct back end; `seen` is its report, as owner/repository#number.

    Kernels are our own, written from the report's words; where these leave open what was computed, the docstring says
    what is taken.

    usual : a call as a test of this library has it, of an ordinary shape, with the settings that the report names.
    """

    usual: Case = USUAL["relu"]


class Bugs:
    """The bugs of one file."""

    def __init__(self) -> None:
        self.all: list[FieldBug] = []

    def of(
        self,
        op: str,
        kernel: str,
        seen: str,
        bug: str,
        *,
        usual: Case | None = None,
        also: Mapping[str, Kernel] | None = None,
    ) -> Callable[[Kernel], Kernel]:
        """The decorated function is the wrong kernel and gives the bug its name; `also` has further ones."""

        def add(wrong: Kernel) -> Kernel:
            kernels = {kernel: wrong, **(also or {})}
            self.all.append(FieldBug(wrong.__name__, op, bug, seen, kernels, usual=usual or USUAL[op]))
            return wrong

        return add
