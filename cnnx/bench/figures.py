"""What is timed: every op's bench cases, forward and backward; and the public call that a figure stands for."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import cnnx

from .. import backend as _backend
from .._text import expected_one_of
from ..audit.data import draw, draw_like
from ..audit.trace import backward_arguments, first, forward_arguments, traced
from ..ops import OPS, Case, Op
from .record import Figure

DIRECTIONS = ("forward", "backward")
TOLERANCE = 1e-4  # results differ by at most this share of their largest number, or are not compared
BY_NAME = {op.name: op for op in OPS}


def cases_of(op: Op) -> tuple[Case, ...]:
    """The cases of an op that are timed."""
    return (*op.bench, *op.large)


def chosen(
    ops: Iterable[str] | None = None,
    cases: Iterable[str] | None = None,
    directions: Iterable[str] | None = None,
    threads: Iterable[int] = (1,),
    dtypes: Iterable[str] = ("float32",),
) -> list[Figure]:
    """The figures of these ops, cases, directions, numbers of threads and dtypes; None: all of them.

    Raises
    ------
    ValueError
        There is no op or bench case of that name.
    """
    wanted_ops = among("op", ops, BY_NAME)
    names = [case.name for op in wanted_ops for case in cases_of(BY_NAME[op])]
    wanted_cases = among("case", cases, names)
    return [
        Figure(op, case.name, direction, count, dtype)
        for count in threads
        for dtype in dtypes
        for op in wanted_ops
        for case in cases_of(BY_NAME[op])
        if case.name in wanted_cases
        for direction in (directions or DIRECTIONS)
    ]


def among(what: str, names: Iterable[str] | None, known: Iterable[str]) -> list[str]:
    """The names, each once, if they are known."""
    known = list(dict.fromkeys(known))
    wanted = known if names is None else list(dict.fromkeys(names))
    for name in wanted:
        if name not in known:
            raise ValueError(f"{what}: {expected_one_of(known, name)}")
    return wanted


def parts(figure: Figure) -> tuple[Op, Case]:
    """The op and the case that a figure names."""
    op = BY_NAME[figure.op]
    return op, next(case for case in cases_of(op) if case.name == figure.case)


@dataclass(frozen=True)
class Call:
    """A call of a public function: its arrays and its options, by name; how far results may be apart."""

    figure: Figure
    function: Callable[..., Any]
    arrays: Mapping[str, np.ndarray]
    options: Mapping[str, Any]
    tolerance: float = TOLERANCE

    def __call__(self, **more: Any) -> Any:
        return self.function(**self.arrays, **self.options, **more)


def call_of(figure: Figure) -> Call:
    """The call that a figure stands for, its arrays drawn from one seed."""
    return call_of_case(figure, *parts(figure))


def call_of_case(figure: Figure, op: Op, case: Case, tolerance: float = TOLERANCE) -> Call:
    """The call of an op on a case, its arrays drawn from one seed.

    Backward calls, and gradients alone, have what a forward call gave (winners) among their arrays.
    """
    rng = np.random.default_rng(0)
    arrays = draw(op, case, figure.dtype, "real", rng)
    arguments = forward_arguments(op, case, arrays)
    function = op.forward
    if figure.direction not in ("forward", "both"):
        function = op.backward
        saving = "return_winners" in inspect.signature(op.forward).parameters  # as a layer that trains does
        with _backend.use_backend("optimized"):
            result = op.forward(**{**arguments, **({"return_winners": True} if saving else {})})
        grad_output = np.empty(0) if op.cost else draw_like(first(result), figure.dtype, "real", rng)
        arguments = backward_arguments(op, case, arrays, grad_output, result)
    return Call(
        figure,
        function,
        {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)},
        {name: value for name, value in arguments.items() if not isinstance(value, np.ndarray)},
        tolerance,
    )


def work(call: Call) -> tuple[int, int]:
    """What has to be done: multiply-adds of the equation, and bytes that are read or written at least once.

    Winograd's algorithm needs fewer multiply-adds than the equation, whose number counts all the same.
    """
    op, direction = BY_NAME[call.figure.op], call.figure.direction
    trace = traced(call.function, {**call.arrays, **call.options}, "optimized")
    results = trace.result if isinstance(trace.result, tuple) else (trace.result,)
    if not trace.calls:
        return 0, 0
    written = {_place(a) for kernel_call in trace.calls for a in kernel_call.outputs}
    read = {_place(a): a.nbytes for kernel_call in trace.calls for a in kernel_call.inputs}
    moved = sum(size for place, size in read.items() if place not in written)
    moved += sum(np.asarray(result).nbytes for result in results if result is not None)
    if op.multiply_adds is None:
        return 0, moved
    shapes = {name: a.shape for name, a in call.arrays.items()}
    output = call.arrays["grad_output"] if direction == "backward" else first(trace.result)
    return op.multiply_adds(shapes, output.shape)[DIRECTIONS.index(direction)], moved


def _place(a: np.ndarray) -> int:
    return int(a.__array_interface__["data"][0])


def same(ours: Iterable[np.ndarray], theirs: Iterable[np.ndarray], tolerance: float) -> bool:
    """Whether results agree to a share of their largest number."""
    ours, theirs = list(ours), list(theirs)
    return len(ours) == len(theirs) and all(_apart(a, b) <= tolerance for a, b in zip(ours, theirs, strict=True))


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference as a share of the largest number; infinite for other shapes, NaN or infinities."""
    if a.shape != b.shape:
        return math.inf
    a, b = a.astype(float), b.astype(float)
    largest, apart = (float(np.max(np.abs(x), initial=0.0)) for x in (b, a - b))
    if not (math.isfinite(largest) and math.isfinite(apart)):
        return math.inf
    return apart / largest if largest else (0.0 if apart == 0 else math.inf)


def usable_threads() -> int:
    """How many threads the optimized kernels use when nobody says anything."""
    return cnnx.get_num_threads()
