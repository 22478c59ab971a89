"""What pages work out: small calls of an op, forward and backward, and every element of their results to be looked at.

Arrays are given here or by the audit's figures; all that comes of them is computed when a site is built.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from .. import backend as _backend
from ..audit import Explanation, explain
from ..audit.figures import FIGURES, Figure
from ..audit.trace import KernelCall, backward_arguments, first, forward_arguments, gradients, traced
from ..audit.truth.arithmetic import UndecidedError
from ..audit.truth.error_bound import Comparison, Use
from ..ops import OPS, Case, Op

MOST = 36  # elements of an output that a page has one by one

Index = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """A worked call: one of an op's, or of a kernel alone.

    label : the key of a text that says what is special about it, "" for one that its op and options name.
    figure : where the audit has its results, worked by hand.
    """

    op: str
    arrays: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    grad_output: Any = None
    label: str = ""
    figure: Figure | None = None

    @property
    def numbers(self) -> str:
        """The options as a call has them."""
        return ", ".join(f"{name}={value!r}".replace(" ", "") for name, value in self.options.items())

    def run(self, backend: str = "reference", dtype: str = "float64") -> list[KernelCall]:
        """The kernel calls, forward and backward."""
        return [call for trace in self._traces(backend, dtype) for call in trace.calls]

    def gradients(self) -> dict[str, Any]:
        """What the public functions return: y, and the gradients by the name of their argument."""
        op, case = self._op(), self._case()
        forward, backward = self._traces("reference", "float64")
        return {"y": first(forward.result), **gradients(op, case, backward.result)}

    def _op(self) -> Op:
        return next(op for op in OPS if op.name == self.op)

    def _case(self) -> Case:
        return Case("page", {name: np.shape(a) for name, a in self.arrays.items()}, self.options, True)

    def _traces(self, backend: str, dtype: str) -> tuple[Any, Any]:
        op, case = self._op(), self._case()
        arrays = {n: a if isinstance(a, np.ndarray) else np.array(a, dtype) for n, a in self.arrays.items()}
        forward = traced(op.forward, forward_arguments(op, case, arrays), backend)
        if op.cost:
            delta = np.empty(0)
        elif self.grad_output is None:  # 1, 2, 3, 1, 2, ...: small numbers that can be told apart
            delta = np.resize(np.arange(1.0, 4.0), np.shape(first(forward.result))).astype(dtype)
        else:
            delta = np.array(self.grad_output, dtype)
        backward = traced(op.backward, backward_arguments(op, case, arrays, delta, forward.result), backend)
        return forward, backward


@dataclass(frozen=True)
class Alone(Call):
    """A call of one kernel: of an optimiser, or one that only a frozen layer has."""

    def run(self, backend: str = "reference", dtype: str = "float64") -> list[KernelCall]:
        """That one call."""
        inputs = tuple(np.array(a, dtype) for a in self.arrays.values())
        outputs = tuple(np.full(np.shape(a), np.nan, dtype) for a in self._outputs())
        _backend.kernel(self.op, dtype, backend)(*inputs, *outputs, **self.options)
        return [KernelCall(self.op, inputs, outputs, dict(self.options))]

    def _outputs(self) -> list[Any]:
        return [next(iter(self.arrays.values()))] * len(_backend.equations(self.op))


# ------------------------------------------------------------------------------------ windows on images

IMAGE = [[1, 2, 0, 3], [4, 1, 5, 2], [0, 3, 2, 6], [7, 1, 4, 2]]
LARGE = [[1, 2, 0, 3, 1], [4, 1, 5, 2, 0], [0, 3, 2, 6, 4], [7, 1, 4, 2, 5], [2, 0, 1, 3, 8]]
WEIGHTS = [[1, 10, 2], [3, -5, 4], [0, 6, -1]]
SMALL = [[1, 10], [100, -1]]


def _convolutions() -> Iterator[Call]:
    def call(label: str, image: Any, weights: Any, **options: Any) -> Call:
        return Call("conv2d", {"x": [[image]], "weight": [[weights]], "bias": [1]}, options, label=label)

    yield call("padding", IMAGE, WEIGHTS, padding=1)
    yield call("plain", IMAGE, WEIGHTS)
    yield call("stride", LARGE, WEIGHTS, stride=2, padding=1)
    yield call("dilation", LARGE, WEIGHTS, dilation=2, padding=1)
    yield call("gaps", LARGE, SMALL, stride=3)
    x = [[[1, 2, 0], [4, 1, 5], [0, 3, 2]], [[2, 1, 1], [0, 3, 2], [5, 0, 1]]]
    two = {"x": [x], "weight": [[SMALL, [[2, 0], [3, 5]]], [[[0, 1], [2, 4]], [[7, -2], [1, 3]]]], "bias": [1, -1]}
    yield Call("conv2d", two, label="channels")


def _poolings(op: str, **more: Any) -> Iterator[Call]:
    for label, image, options in (
        ("overlap", IMAGE, {"kernel_size": 2, "stride": 1}),
        ("apart", IMAGE, {"kernel_size": 2}),
        ("stride", LARGE, {"kernel_size": 3, "stride": 2, "padding": 1}),
        ("oblong", IMAGE, {"kernel_size": (1, 3), "stride": (1, 1)}),
    ):
        yield Call(op, {"x": [[image]]}, {**options, **more}, label=label)


TIED = [[3, 1, 2, 2], [0, 3, 2, 2], [5, 4, 1, 0], [5, 5, 0, 1]]

_OWN: dict[str, Callable[[], Iterable[Call]]] = {
    "conv2d": _convolutions,
    "max_pool2d": lambda: [
        *_poolings("max_pool2d"),
        Call("max_pool2d", {"x": [[TIED]]}, {"kernel_size": 2, "ties": "first"}, label="ties_first"),
        Call("max_pool2d", {"x": [[TIED]]}, {"kernel_size": 2, "ties": "all"}, label="ties_all"),
    ],
    "avg_pool2d": lambda: _poolings("avg_pool2d"),
    "lp_pool2d": lambda: _poolings("lp_pool2d", norm_type=2),
    "sgd": lambda: [
        Alone("sgd", {"w": [1.5, -4.2], "dE": [-0.2, 0.5]}, {"rate": 0.1, "decay": decay}) for decay in (0.0, 0.01)
    ],
    "sgd_momentum": lambda: [
        Alone(
            "sgd_momentum",
            {"w": [1.5, -4.2], "dE": [-0.2, 0.5], "v": [0.1, 1.0]},
            {"rate": 0.1, "momentum": 0.9, "decay": 0.0, "nesterov": nesterov},
        )
        for nesterov in (0, 1)
    ],
    "adam": lambda: [
        Alone(
            "adam",
            {"w": [1.5, -4.2], "dE": [-0.2, 0.5], "m1": [0.0, 0.0], "m2": [0.0, 0.0]},
            {"rate": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.0, "t": 1},
        )
    ],
}


@cache
def calls(op: str) -> tuple[Call, ...]:
    """The worked calls of an op or an optimiser's kernel: its own, and the audit's figures."""
    figures = (Call(f.op, f.arrays, f.options, f.grad_output, "", f) for f in FIGURES if f.op == op)
    return (*_OWN.get(op, list)(), *figures)


# ----------------------------------------------------------------------------------- elements, explained


@dataclass(frozen=True)
class Element:
    """One element of an output, explained."""

    index: Index
    explanation: Explanation


@dataclass(frozen=True)
class Worked:
    """An output of one kernel in one worked call, with its elements explained."""

    call: Call
    kernel: KernelCall
    output: str
    elements: tuple[Element, ...]

    @property
    def array(self) -> Any:
        """The output."""
        return self.kernel.outputs[list(_backend.equations(self.kernel.kernel)).index(self.output)]


@cache
def _run(call_of: str, i: int) -> tuple[KernelCall, ...]:
    return tuple(calls(call_of)[i].run())


def worked(op: str, kernel: str, output: str) -> Iterator[Worked]:
    """An output of a kernel in each of an op's worked calls that computes it."""
    for i, call in enumerate(calls(op)):
        for ran in _run(op, i):
            if ran.kernel == kernel:
                found = Worked(call, ran, output, ())
                yield Worked(call, ran, output, tuple(_elements(found)))
                break


def _elements(found: Worked) -> Iterator[Element]:
    """The elements of the first plane, in their order, as many as a page has."""
    shape = found.array.shape
    leading = (0,) * max(0, len(shape) - 2)
    plane = itertools.product(*map(range, shape[len(leading) :]))
    for last in itertools.islice(plane, MOST):
        ran = found.kernel
        yield Element((*leading, *last), explain(ran.kernel, found.output, ran.inputs, (*leading, *last), ran.numbers))


# ---------------------------------------------------------------------------------------------- budget


@dataclass(frozen=True)
class Held:
    """A figure that the audit holds kernels to, and how much of its error budget the worst element uses in float32.

    use : None where a number lies on a kink, or an option is infinite, so that the equation gives no bound.
    """

    figure: Figure
    use: Use | None


def held(op: str, kernel: str, output: str) -> Iterator[Held]:
    """The figures about an output, each with the budget that the optimised kernel uses of the equation's own bound."""
    for call in calls(op):
        if call.figure is None:
            continue
        reference, ours = call.run(dtype="float32"), call.run("optimized", "float32")
        pair = next(((t, m) for t, m in zip(reference, ours, strict=False) if t.kernel == kernel == m.kernel), None)
        if pair is not None:
            i = list(_backend.equations(kernel)).index(output)
            try:
                use = Comparison(reference, "float32").worst(pair[1].outputs[i], pair[0].outputs[i])
            except (UndecidedError, OverflowError):
                use = None
            yield Held(call.figure, use)
