"""The engine's optimised whole, judged where it lies open: values are taken out between the groups that it fuses.

What an engine fuses it computes as one, and a value within that is never there; to ask for it would undo the fusion.
So only values are taken that the engine says it keeps, some at a time, and a group is judged by its equations at once.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from ... import backend as _backend
from .engines import Engine, said
from .graph import Graph, Line
from .isolated import FLOATS, Values, doubled, wanted
from .judge import command, distance, judge
from .result import IN_PLACE, Judged, ModelReport
from .step import Run, Step, UnjudgedError
from .truth import Elements, Given, Precision

Found = TypeVar("Found")

AT_ONCE = 2**26  # bytes of the values that are taken out in one run


class Group(NamedTuple):
    """Nodes that lie between values which are kept: the last gives `gives`, all together take `takes`."""

    lines: list[Line]
    takes: list[str]
    gives: list[str]

    @property
    def last(self) -> Line:
        return self.lines[-1]

    @property
    def operators(self) -> str:
        return "+".join(line.operator for line in self.lines)


class InPlace:
    """The run of one engine's whole."""

    def __init__(
        self, graph: Graph, engine: Engine, report: ModelReport, inputs: Values, sizes: dict[str, int]
    ) -> None:
        self._graph, self._engine, self._report, self._inputs, self._sizes = graph, engine, report, inputs, sizes
        self._truths = {name: doubled(array) for name, array in inputs.items()}

    def run(self, globs: tuple[str, ...], say: Callable[[str], None]) -> None:
        say(f"{IN_PLACE}: {self._engine.name} optimises the model")
        try:
            groups = self._groups()
            last = {name: i for i, group in enumerate(groups) for name in group.takes}
            done = 0
            for some in self._passes(groups):
                taken = self._taken(some)
                for group in some:
                    say(f"{IN_PLACE}: group {done + 1} of {len(groups)}, {group.last.name} ({group.operators})")
                    self._group(group, taken, globs)
                    for name in [*group.takes, *group.gives]:
                        if last.get(name, -1) <= done:
                            self._truths.pop(name, None)
                    done += 1
        except _EngineError as error:
            self._report.notes.append(f"no run in place: {error}")

    def _groups(self) -> list[Group]:
        """Nodes by the kept value that they lead to."""
        lines = [line for line in self._graph.lines if self._graph.varies(line)]
        ends = set(self._graph.outputs)
        kept = ends | self._asked(lambda: self._engine.kept(self._graph.whole({})))
        makers = {name: line for line in lines for name in line.outputs}
        groups = []
        for line in lines:
            gives = [name for name in line.outputs if name in kept]
            if gives:
                within, takes = {line.number: line}, dict[str, None]()
                ahead = [line]
                while ahead:
                    for name in ahead.pop().proto.input:
                        if name in makers and name not in kept:
                            if makers[name].number not in within:
                                within[makers[name].number] = makers[name]
                                ahead.append(makers[name])
                        elif name in makers or name in self._inputs:
                            takes[name] = None
                groups.append(Group([within[number] for number in sorted(within)], list(takes), gives))
        return groups

    def _passes(self, groups: list[Group]) -> Iterator[list[Group]]:
        """Groups that are judged in one run: as many as fit."""
        some: list[Group] = []
        names: set[str] = set()
        for group in groups:
            more = names | {*group.takes, *group.gives}
            if some and sum(self._sizes.get(name, 0) for name in more) > AT_ONCE:
                yield some
                some, more = [], {*group.takes, *group.gives}
            some.append(group)
            names = more
        if some:
            yield some

    def _taken(self, groups: list[Group]) -> Values:
        wanted = dict.fromkeys(name for group in groups for name in (*group.takes, *group.gives))
        taken = {name: f"{name}/taken" for name in wanted if name not in self._inputs}
        found = self._asked(lambda: self._engine.run(self._graph.whole(taken), self._inputs, list(taken.values())))
        return {**self._inputs, **dict(zip(taken, map(np.asarray, found), strict=True))}

    def _asked(self, question: Callable[[], Found]) -> Found:
        try:
            return question()
        except Exception as error:  # whatever an engine raises
            raise _EngineError(said(self._engine.name, error)) from None

    def _group(self, group: Group, taken: Values, globs: tuple[str, ...]) -> None:
        names = tuple(line.name for line in group.lines)
        judged = Judged(
            group.last.number, group.last.name, group.operators, IN_PLACE, self._engine.name, nodes=names,
            output=group.gives[0],
        )  # fmt: skip
        truths = self._in_double(group)
        for name in group.gives:
            self._truths[name] = truths.get(name, doubled(taken[name]))
        asked = any(wanted(line.name, line.operator, globs) for line in group.lines)
        if not (asked or wanted(group.last.name, group.operators, globs)):
            return
        again = command(self._report, group.last.name)
        try:
            run = self._composed(group, taken)
        except UnjudgedError as error:
            judged.why = str(error)
        else:
            for name in group.gives:
                at = group.last.outputs.index(name)
                if at < len(run.arrays):
                    judged.output = name
                    judge(judged, taken[name], run, at, self._report.elements, self._report.seed, again)
        judged.distance = distance(taken[group.gives[0]], truths.get(group.gives[0]))
        self._report.results.append(judged)

    def _composed(self, group: Group, taken: Values) -> Run:
        """The group's equations, each on what those before it give; the run of its last node."""
        dtype = next((taken[name].dtype for name in group.takes if str(taken[name].dtype) in FLOATS), None)
        precision = Precision(np.dtype(np.float32) if dtype is None else dtype)
        arrays = {name: doubled(taken[name]) for name in group.takes}
        elements: dict[str, Elements] = {name: Given(array, precision) for name, array in arrays.items()}
        calls = []
        for line in group.lines:
            step = Step(line.proto, self._graph.given(line, arrays), self._graph.opset)
            names = [line.proto.input[i] for i in step.sources]
            run = step.run([(arrays[name], elements[name]) for name in names], precision)
            arrays |= dict(zip(line.outputs, run.arrays, strict=False))
            elements |= dict(zip(line.outputs, run.elements, strict=False))
            calls += run.calls
        return Run(run.arrays, run.elements, calls)

    def _in_double(self, group: Group) -> Values:
        """The network in double, on through the group; without an equation it goes on from what the engine gave."""
        values = {name: self._truths[name] for name in group.takes}
        try:
            with _backend.use_backend("optimized"):
                for line in group.lines:
                    step = Step(line.proto, self._graph.given(line, values), self._graph.opset)
                    found = step.arrays([values[line.proto.input[i]] for i in step.sources])
                    values |= dict(zip(line.outputs, found, strict=False))
        except (UnjudgedError, KeyError, TypeError, ValueError):  # also of a shape that a fault of the engine made
            return {}
        return values


class _EngineError(Exception):
    """The engine does not do it."""
