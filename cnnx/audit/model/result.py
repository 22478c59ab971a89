"""What an audit of a model found: of each node, and together. Text, JSON, JUnit XML and the page all follow from it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from ..report.machine import facts
from ..report.report import Verdict
from ..report.result import Discrepancy

SCHEMA = 1
ISOLATED, IN_PLACE = "isolated", "in place"

Outcome = Literal["agrees", "discrepancy", "not judged"]
Index = tuple[int, ...]


@dataclass
class Judged:
    """A node, or a group of nodes that the engine computes as one, in one run of one engine.

    Attributes
    ----------
    number : int
        Its place among the file's nodes, from 1; a group's last node's.
    name, operator : str
        A group's operators are joined by "+".
    run : "isolated" or "in place"
    engine, dtype : str
    nodes : tuple of str
        The names of its nodes.
    output : str
        The value that was judged.
    checked, total : int
        How many elements of how many.
    wrong : int
        How many of them are beyond their bound.
    share : float or None
        The largest share of its bound that an element used; None where equality was asked for, or nothing.
    worst : tuple of int or None
        That element.
    chance : float or None
        Of sums of products alone: how far an element is off, in units of what independent roundings come to. Beyond 1
        it is suspect, though the bound, which holds for the worst of all roundings, has room for it.
    distance : float or None
        How far the output is from a run of the whole network in double: the largest difference, in units of the largest
        element of that.
    discrepancy : Discrepancy or None
        The worst element, if it is beyond its bound; or another shape, an error.
    why : str
        Why it was not judged, or "".
    """

    number: int
    name: str
    operator: str
    run: str
    engine: str
    dtype: str = ""
    nodes: tuple[str, ...] = ()
    output: str = ""
    checked: int = 0
    total: int = 0
    wrong: int = 0
    share: float | None = None
    worst: Index | None = None
    chance: float | None = None
    distance: float | None = None
    discrepancy: Discrepancy | None = None
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        if self.discrepancy is not None:
            return "discrepancy"
        return "not judged" if self.why or not self.checked else "agrees"

    @property
    def suspect(self) -> bool:
        """Within its bound, but off as by another precision than the model's."""
        return self.outcome == "agrees" and (self.chance or 0.0) > 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "number": self.number,
            "name": self.name,
            "operator": self.operator,
            "run": self.run,
            "engine": self.engine,
            "dtype": self.dtype,
            "nodes": list(self.nodes),
            "output": self.output,
            "verdict": self.outcome,
            "checked": self.checked,
            "total": self.total,
            "wrong": self.wrong,
            "share": _number(self.share),
            "worst": None if self.worst is None else list(self.worst),
            "chance": _number(self.chance),
            "suspect": self.suspect,
            "distance": _number(self.distance),
            "why": self.why,
            "discrepancy": None if self.discrepancy is None else self.discrepancy.as_dict(),
        }


@dataclass
class ModelReport:
    """All nodes of a model, judged.

    Attributes
    ----------
    model : str
        The file.
    engines : dict
        The version of each engine by its name, the one to judge first.
    data : str
        What went in, in words.
    source : str
        The file of it, as a path; "" without one.
    random : bool
        Whether it was random.
    seed, threads, elements : int
    nodes : int
        How many the file has that depend on what goes in.
    constants : int
        How many do not.
    results : list of Judged
    notes : list of str
    interrupted : bool
    size : list of int
        Of random inputs, what the file leaves open.
    """

    model: str
    engines: dict[str, str]
    data: str
    source: str
    random: bool
    seed: int
    threads: int
    elements: int
    nodes: int = 0
    constants: int = 0
    results: list[Judged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    size: list[int] = field(default_factory=list)

    @property
    def backend(self) -> str:
        """The engine that was judged first."""
        return next(iter(self.engines))

    @property
    def wrong(self) -> list[Judged]:
        """What disagrees, in order."""
        return [one for one in self.results if one.outcome == "discrepancy"]

    @property
    def unjudged(self) -> list[Judged]:
        """What could not be judged."""
        return [one for one in self.results if one.outcome == "not judged"]

    def of(self, run: str, engine: str = "") -> list[Judged]:
        """The results of one run, of the first engine if none is named."""
        return [one for one in self.results if one.run == run and one.engine == (engine or self.backend)]

    @property
    def ok(self) -> bool:
        """The audit came to its end, something was judged, and all of it agrees."""
        return self.verdict.code == 0

    @property
    def verdict(self) -> Verdict:
        """`cnnx audit`'s exit code, and words for it."""
        if self.interrupted:
            return Verdict(130, "interrupted")
        if self.wrong:
            return Verdict(1, self._where())
        judged = {(one.engine, one.number) for one in self.results if one.outcome == "agrees"}
        if not judged:
            return Verdict(3, f"nothing of {self.backend} was judged")
        suspect = sum(one.suspect for one in self.results)
        words = "all that was judged agrees" if self.unjudged else "all agree"
        return Verdict(0, f"{words}, {suspect} of them suspect" if suspect else words)

    def _where(self) -> str:
        """Which nodes disagree: each alone, or only as the engine computes them together."""
        words = []
        for name in self.engines:
            alone, together = (
                [one for one in self.wrong if one.engine == name and one.run == run] for run in (ISOLATED, IN_PLACE)
            )
            if alone:
                words.append(f"{name}: {_counted(alone, 'node')}, first {alone[0].name!r} ({alone[0].operator})")
            if together and not alone:
                words.append(
                    f"{name}: only in place, where each node alone agrees: {_counted(together, 'group')}, first "
                    f"{together[0].name!r} ({together[0].operator})"
                )
            elif together:
                words.append(
                    f"in place {_counted(together, 'group')}, first {together[0].name!r} ({together[0].operator})"
                )
        return "; ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "engines": self.engines,
            "data": self.data,
            "random": self.random,
            "seed": self.seed,
            "threads": self.threads,
            "elements": self.elements,
            "ok": self.ok,
            "verdict": self.verdict.words,
            "interrupted": self.interrupted,
            "nodes": self.nodes,
            "constants": self.constants,
            "notes": self.notes,
            "results": [one.as_dict() for one in self.results],
            "machine": facts(),
        }


def _counted(found: list[Judged], what: str) -> str:
    return f"{len(found)} {what}{'s disagree' if len(found) != 1 else ' disagrees'}"


def _number(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinities."""
    return value if value is None or math.isfinite(value) else str(value)
