"""What was found in homework, as data and in the reader's words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..data import Array
from ..explain.explanation import Explanation
from .unit import Unit

RIGHT = "right"
WRONG = "wrong", "shape", "raised"
OPEN = "unclear", "slow"  # not judged


@dataclass(frozen=True)
class Example:
    """A small case: a kernel's arrays by the equation's names, its numbers, the element's two values, its terms."""

    arrays: Mapping[str, Array]
    numbers: Mapping[str, float]
    expected: float
    got: float
    explanation: Explanation


@dataclass
class Result:
    """One result of a unit: "Y", "dZ", "dF", "dw", "db", "E", or what is asked of all, "gradient" and "layout".

    status : "right"; "convention", which a source has so; "wrong"; "shape", wrong in its shape; "raised"; "unclear",
        how it is called; "slow".
    mistake : a key of `check.mistake` in the texts, or "".
    suspects : the features of the probes that fail.
    """

    output: str
    status: str
    mistake: str = ""
    suspects: tuple[str, ...] = ()
    ratio: float | None = None
    example: Example | None = None
    words: str = ""
    cases: int = 0
    what: str = ""
    plain: bool = False
    shape: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    seconds: float = 0.0


@dataclass
class Answer:
    """What was found in a file."""

    path: str
    units: list[tuple[Unit, list[Result]]] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code: 1 something is wrong, 2 something could not be judged, 3 nothing was there, else 0."""
        states = {result.status for _, results in self.units for result in results}
        if states & {*WRONG}:
            return 1
        if states & {*OPEN}:
            return 2
        return 0 if states else 3
