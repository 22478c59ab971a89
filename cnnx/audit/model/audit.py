"""Which node of a deployed model diverges, and is that more than rounding?"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ... import _check
from ... import native as _native
from ..._check import Array
from .engines import Apart, Engine, engine
from .graph import Graph
from .inputs import drawn, fitting, read
from .isolated import Isolated
from .place import InPlace
from .result import ModelReport

ELEMENTS = 64


def audit_model(
    path: str | os.PathLike[str],
    *,
    inputs: Mapping[str, Array] | Array | str | os.PathLike[str] | None = None,
    backend: str = "onnxruntime",
    against: str | None = None,
    nodes: str | Sequence[str] = (),
    elements: int = ELEMENTS,
    in_place: bool = True,
    exact: bool = True,
    threads: int | None = None,
    timeout: float | None = None,
    seed: int = 0,
    size: Sequence[int] = (),
    progress: Callable[[str], None] = lambda words: None,
) -> ModelReport:
    """Judge every node of an ONNX model by its equation, on the inputs that it really got.

    Twice: isolated, each node as a model of its own, on what the nodes before it gave; and in place, the engine's
    optimised whole, from which values are taken between the groups of nodes that it fuses. Some elements of each output
    (corners, edges, the largest, random ones, those that differ most from double) are computed by the equation and held
    to its own error bound: there is no tolerance to choose, and no error of the nodes before counts. A movement of data
    is compared with NumPy's, all of it.

    Parameters
    ----------
    path : str or path
        An ONNX file of opset 7 or newer.
    inputs : array, mapping of name to array, path or None
        What goes in. A path is a file, .npy or .npz, or a folder of pictures (PNG, JPEG; Pillow has to be there) of the
        input's size, whose numbers are from 0 to 1. None draws normal numbers of the shapes that the graph declares,
        with `size` where these are open, and the report says so.
    backend : str
        The engine: "onnxruntime", "openvino", or a back end of cnnx, which computes node by node.
    against : str or None
        A second engine, judged on the same inputs of the same nodes.
    nodes : str or sequence of str
        Patterns ("conv*") of the names or operators to be judged; all others only run.
    elements : int
        About so many elements of each output.
    in_place : bool
        False leaves the second run out.
    exact : bool
        False lets the engine choose the precision in which it computes; whatever it is, it is held to the model's.
    threads : int or None
        Of the engine; None: as many as cnnx uses.
    timeout : float or None
        Seconds that a call of an engine may take, in a process of its own: one that hangs or dies is a finding about
        the node, and the audit goes on. None: no limit, and no process.
    seed : int
        Random inputs and elements come from it.
    size : sequence of int
        Of random inputs, the extents behind the first axis that the graph leaves open, in their order: (rows, columns).
    progress : callable
        Hears what is done next.

    Returns
    -------
    ModelReport

    Raises
    ------
    ModuleNotFoundError
        onnx or the engine is not installed.
    TypeError, ValueError
        An argument is another; the file is no valid ONNX model; the inputs do not fit it.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from cnnx import io, nn
    >>> from cnnx.audit import audit_model
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, seed=0), nn.ReLU(), nn.MaxPool2d(2))
    >>> with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
    ...     io.export_onnx(model, file.name, (1, 8, 8))
    ...     report = audit_model(file.name, backend="optimized")
    >>> [(one.operator, one.outcome) for one in report.results]
    [('Conv', 'agrees'), ('Relu', 'agrees'), ('MaxPool', 'agrees')]
    >>> report.ok
    True
    """
    elements, seed = _check.integer("elements", elements, 1), _check.integer("seed", seed, 0)
    threads = _native.get_num_threads() if threads is None else _check.integer("threads", threads, 1)
    globs = (nodes,) if isinstance(nodes, str) else tuple(nodes)
    if timeout is not None and not 0 < timeout < math.inf:
        raise ValueError(f"timeout: expected a number of seconds above 0, or None, got {timeout}")
    if against == backend:
        raise ValueError(f"against: expected another engine than {backend!r}, got it again")
    graph = _graph(path)
    sizes = [_check.integer(f"size[{i}]", extent, 1) for i, extent in enumerate(size)]
    if sizes and inputs is not None:
        raise ValueError("size: expected none with inputs, whose shapes are what they are, got some")
    random, given, data = _inputs(inputs, graph, seed, sizes)
    with _engines(filter(None, (backend, against)), threads=threads, exact=exact, timeout=timeout) as engines:
        report = ModelReport(
            os.fspath(path),
            {one.name: one.version for one in engines},
            data,
            os.fspath(inputs) if isinstance(inputs, (str, os.PathLike)) else "",
            random,
            seed,
            threads,
            elements,
            size=sizes,
        )
        try:
            isolated = Isolated(graph, engines, report, given)
            whole = isolated.run(globs, progress)
            if in_place and not whole:
                report.notes.append("no run in place: behind some node nothing could be computed")
            for one in engines if in_place and whole else ():
                if one.whole:
                    InPlace(graph, one, report, given, isolated.sizes).run(globs, progress)
                else:
                    report.notes.append(f"{one.name} computes node by node: there is no run in place")
        except KeyboardInterrupt:
            report.interrupted = True
    if globs and not report.results and not report.interrupted:
        raise ValueError(f"nodes: expected a pattern that a node's name or operator fits, got {' '.join(globs)!r}")
    return report


@contextmanager
def _engines(names: Iterable[str], **options: Any) -> Iterator[list[Engine]]:
    """The engines, whose processes end with the block."""
    engines: list[Engine] = []
    with ExitStack() as ending:
        for name in names:
            engines.append(engine(name, **options))
            if isinstance(engines[-1], Apart):
                ending.callback(engines[-1].close)
        yield engines


def _inputs(inputs: Any, graph: Graph, seed: int, size: Sequence[int]) -> tuple[bool, dict[str, Array], str]:
    """Whether they are random, the arrays by name, and both in words."""
    if inputs is None:
        words = f"random: normal numbers of seed {seed}"
        given = drawn(graph.inputs, np.random.default_rng(seed), size)
    elif isinstance(inputs, (str, os.PathLike)):
        words = os.fspath(inputs)
        given = fitting(graph.inputs, read(words, graph.inputs))
    else:
        words = "given"
        given = fitting(graph.inputs, inputs)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in given.items())
    return inputs is None, given, f"{words}; {shapes}"


def _graph(path: Any) -> Graph:
    try:
        return Graph(path)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: expected a valid ONNX model: {' '.join(str(error).split())}") from None
