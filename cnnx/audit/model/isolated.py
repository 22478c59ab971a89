"""Each node as a model of its own, on what the nodes before it gave by the same engine."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from ... import backend as _backend
from ...io._reading.node import Known
from ..data import Array
from .engines import Engine, said
from .graph import Graph, Line
from .judge import command, distance, equal, failed, judge
from .result import ISOLATED, Judged, ModelReport
from .step import DOUBLE, Run, Step, UnjudgedError
from .truth import Given, Precision

FLOATS = ("float32", "float64")
Values = dict[str, Array]


def wanted(name: str, operator: str, globs: tuple[str, ...]) -> bool:
    """Whether a node is to be judged: its name or its operator fits one of the patterns; all of them without any."""
    return not globs or any(fnmatchcase(each, glob) for glob in globs for each in (name, operator))


class Isolated:
    """The run of a graph's nodes, one after the other.

    values : what the engine gave, as long as a node is to take it.
    truths : the same by the whole network in double.
    sizes : bytes of every value.
    """

    def __init__(self, graph: Graph, engines: list[Engine], report: ModelReport, inputs: Values) -> None:
        self._graph, self._engines, self._report = graph, engines, report
        self.values, self.truths = dict(inputs), {name: doubled(array) for name, array in inputs.items()}
        self.sizes = {name: array.nbytes for name, array in inputs.items()}

    def run(self, globs: tuple[str, ...], say: Callable[[str], None]) -> bool:
        """Judge the nodes that the patterns fit; False if there is one behind which nothing could be computed."""
        try:
            self._run(globs, say)
        except _EndedError as error:
            at = error.line
            name = self._engines[0].name
            why = f"it comes behind {at.name!r} ({at.operator}), which neither {name} nor cnnx computes"
            for line in self._graph.lines[at.number :]:
                if wanted(line.name, line.operator, globs):
                    self._report.results.append(
                        Judged(line.number, line.name, line.operator, ISOLATED, self._engines[0].name, why=why)
                    )
            return False
        return True

    def _run(self, globs: tuple[str, ...], say: Callable[[str], None]) -> None:
        for line in self._graph.lines:
            given = self._graph.given(line, self.values)
            if self._graph.folded(line, given):
                self._report.constants += 1
            else:
                self._report.nodes += 1
                say(f"{ISOLATED}: node {line.number} of {len(self._graph.lines)}, {line.name} ({line.operator})")
                self._node(line, given, asked=wanted(line.name, line.operator, globs))
            self._graph.forget(line, self.values, self.truths)

    def _node(self, line: Line, given: list[Known | Array | None], *, asked: bool) -> None:
        why, step, run = "", None, None
        again = command(self._report, line.name)
        results = [
            Judged(line.number, line.name, line.operator, ISOLATED, engine.name, nodes=(line.name,))
            for engine in self._engines
        ]
        outputs = self._outputs(line, given, results, again)  # before anything in double needs memory
        try:
            step = Step(line.proto, given, self._graph.opset)
        except UnjudgedError as error:
            why = str(error)
        for number, (judged, found) in enumerate(zip(results, outputs, strict=True)):
            judged.why = judged.why or why
            if asked and found is not None and step is not None:
                run = run or self._judged_run(step, given, judged)
                self._judge(judged, step, given, run, line, found, again)
            if asked:
                self._report.results.append(judged)
            if number == 0:
                self._keep(line, given, step, found, run)
            judged.distance = self._distance(line, found)

    def _outputs(self, line: Line, given: Any, results: list[Judged], again: str) -> list[Values | None]:
        """What each engine makes of a node."""
        if any(each.HasField("g") or each.graphs for each in line.proto.attribute):
            for judged in results:
                judged.why = "it has a graph within it, which may take any value"
            return [None for _ in results]
        model, inputs = self._graph.alone(line, given)
        return [
            _outputs(engine, model, inputs, line.outputs, judged, again)
            for engine, judged in zip(self._engines, results, strict=True)
        ]

    def _judged_run(self, step: Step, given: list[Known | Array | None], judged: Judged) -> Run | None:
        """The equations on what the engine was given; None for a movement, which is of any dtype."""
        if step.moves:
            return None
        arrays = [one for one in given if isinstance(one, np.ndarray)]
        precision = Precision(np.result_type(*arrays))
        try:
            return step.run([(a, Given(a, precision)) for a in map(doubled, arrays)], precision)
        except UnjudgedError as error:
            judged.why = str(error)
            return None

    def _judge(
        self, judged: Judged, step: Step, given: Any, run: Run | None, line: Line, found: Values, again: str
    ) -> None:
        try:
            arrays = step.moved([given[i] for i in step.sources]) if step.moves else None
        except UnjudgedError as error:
            judged.why = str(error)
            return
        for i, name in enumerate(line.outputs):
            judged.output = name
            if arrays is not None:
                equal(judged, found[name], arrays, again)
            elif run is not None and i < len(run.arrays):
                judge(judged, found[name], run, i, self._report.elements, self._report.seed, again)

    def _keep(
        self, line: Line, given: list[Known | Array | None], step: Step | None, found: Values | None, run: Run | None
    ) -> None:
        """The engine's values for the nodes behind, and those of the network in double."""
        truths = self._in_double(line, given, step, run)
        if found is None:  # the engine has nothing: go on with what is right
            dtype = next((one.dtype for one in given if isinstance(one, np.ndarray)), DOUBLE)
            if any(name not in truths for name in line.outputs):
                raise _EndedError(line)
            found = {name: truths[name].astype(dtype) for name in line.outputs}
        for name, array in found.items():
            self.values[name], self.sizes[name] = array, array.nbytes
            truth = truths.get(name)
            # Where there is none, the network in double goes on from what the engine gave.
            self.truths[name] = truth if truth is not None and truth.shape == array.shape else doubled(array)

    def _in_double(self, line: Line, given: Any, step: Step | None, run: Run | None) -> Values:
        if step is None:
            return {}
        names = [line.proto.input[i] for i in step.sources]
        truths = [self.truths[name] for name in names]
        same = all(np.array_equal(a, given[i]) for a, i in zip(truths, step.sources, strict=True))
        if run is not None and same:
            return dict(zip(line.outputs, run.arrays, strict=False))
        try:
            with _backend.use_backend("optimized"):
                return dict(zip(line.outputs, step.arrays(truths), strict=False))
        except (UnjudgedError, TypeError, ValueError):  # of a shape that the engine's fault made
            return {}

    def _distance(self, line: Line, found: Values | None) -> float | None:
        if not found:
            return None
        name = line.outputs[0]
        return distance(found[name], self.truths.get(name))


class _EndedError(Exception):
    """Nothing goes on behind a node."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.name)
        self.line = line


def doubled(array: Array) -> Array:
    return array.astype(DOUBLE) if str(array.dtype) in FLOATS else array


def _outputs(
    engine: Engine, model: bytes, inputs: Values, names: list[str], judged: Judged, again: str
) -> Values | None:
    """What an engine gives; None where it does not have the node, or fails."""
    try:
        return dict(zip(names, map(np.asarray, engine.run(model, inputs, names)), strict=True))
    except NotImplementedError as error:
        judged.why = judged.why or f"{engine.name} does not compute it alone: {error}"
    except Exception as error:  # whatever an engine raises
        failed(judged, said(engine.name, error), again)
    return None
