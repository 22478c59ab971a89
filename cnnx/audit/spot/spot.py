"""Production shapes by spot check: a layer with a billion multiply-adds, judged in seconds.

The back end runs forward and backward on the whole problem. Of its output and of every gradient some elements are then
computed by the reference's element functions: every corner of the array and a point on each of its edges, and the rest
at random. On integers they must be equal; on real numbers the difference stays within the bound that the equation
itself gives: n u times the sum of its n terms' absolute values for a sum of products, else that of `Bounded` numbers.
"""

import itertools
import math
import os
import shlex
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import OPS
from ..compat import Compat, conventions
from ..data import Array, Mode, draw, draw_like, shape_of
from ..explain.explain import explain
from ..report.result import Discrepancy
from ..trace import KernelCall, Trace, backward_arguments, forward_arguments, traced
from .benchdnn import Problem
from .element import ElementTruth
from .result import Index, Spot, Tensor

ELEMENTS = 64
INTEGER = 3  # the largest of the integers that are drawn


def spot(
    problem: Problem,
    *,
    dtype: str = "float32",
    backend: str = "optimized",
    compat: str | None = None,
    seed: int = 0,
    elements: int = ELEMENTS,
    say: Callable[[], None] = lambda: None,
) -> Spot:
    """Judge a back end on one problem by spot checks.

    Parameters
    ----------
    problem : Problem
        As `benchdnn.parse` reads it.
    dtype : "float32" or "float64"
    backend : str
        Not the reference, whose equations are the truth here.
    compat : str or None
        The conventions to judge by, as `audit` takes them.
    seed : int
        Data and random elements come from it and from the problem's numbers.
    elements : int
        At least so many of each output are checked, as far as it has them.
    say : callable
        Called whenever something is done: before the back end runs and before each element.

    Returns
    -------
    Spot

    Raises
    ------
    ValueError
        The back end is unknown or the reference; the problem needs more memory than there is.

    Examples
    --------
    >>> from cnnx.audit.spot.benchdnn import parse
    >>> from cnnx.audit.spot.spot import spot
    >>> found = spot(parse("mb1ic8ih14oc16kh3ph1"))
    >>> [(t.output, t.checked, t.total) for t in found.tensors]
    [('Y', 64, 3136), ('dZ', 64, 1568), ('dF', 64, 1152), ('db', 16, 16)]
    >>> found.discrepancies, found.share < 1
    ([], True)
    """
    with _backend.use_backend(backend):
        pass  # an unknown name is an error now
    if backend == "reference":
        raise ValueError("backend: expected another than 'reference', whose equations spot checks hold it against")
    _check_memory(problem, dtype)
    run = _Run(problem, dtype, backend, conventions(backend, compat), seed, elements, say)
    start = time.perf_counter()
    with np.errstate(all="ignore"):
        run.judge()
    run.spot.seconds = time.perf_counter() - start
    return run.spot


def command(problem: Problem, dtype: str, backend: str, compat: str | None, seed: int, elements: int) -> str:
    """The command line that judges this problem again."""
    words = ["cnnx", "audit", "--op", problem.op, "--shape", problem.text, "--dtype", dtype]
    words += ["--backend", backend, "--seed", str(seed)]
    words += ["--compat", compat] if compat else []
    words += ["--elements", str(elements)] if elements != ELEMENTS else []
    return shlex.join(words)


def places(shape: Index, count: int, rng: np.random.Generator) -> list[Index]:
    """All corners of an array, a random point on each of its edges, and random elements up to `count`; each once."""
    size = math.prod(shape)
    if size <= count:
        return list(np.ndindex(shape))
    ends = [(0, n - 1) for n in shape]
    found = dict.fromkeys(itertools.product(*ends))
    for axis, n in enumerate(shape):
        for corner in itertools.product(*ends[:axis], (0,), *ends[axis + 1 :]):
            if n > 2:
                found[(*corner[:axis], int(rng.integers(1, n - 1)), *corner[axis + 1 :])] = None
    while len(found) < count:
        found[tuple(int(i) for i in rng.integers(0, shape))] = None
    return list(found)


class _Run:
    """One problem through one back end."""

    def __init__(
        self,
        problem: Problem,
        dtype: str,
        backend: str,
        compat: Compat,
        seed: int,
        elements: int,
        say: Callable[[], None],
    ):
        self.spot = Spot(problem, dtype)
        self._op = next(op for op in OPS if op.name == problem.op)
        self._case = compat.adapted(self._op, problem.case) or problem.case
        self._backend, self._compat, self._seed, self._elements = backend, compat.name, seed, elements
        self._say = say

    def judge(self) -> None:
        """Real numbers, and integers where the equation has no rounding on them."""
        problem, digits = self.spot.problem, np.finfo(self.spot.dtype).nmant + 1
        modes: list[Mode] = ["real"]
        if not self._case.exact:
            self.spot.note = "no integers: the equation divides"
        elif INTEGER**2 * problem.longest_sum >= 2**digits:
            self.spot.note = f"no integers: a sum of {problem.longest_sum:,} products may pass 2^{digits}"
        else:
            modes.append("integer")
        for mode in modes:
            rng = np.random.default_rng([self._seed, *problem.op.encode(), *problem.text.encode(), *mode.encode()])
            self._judge_mode(mode, rng)

    def _judge_mode(self, mode: Mode, rng: np.random.Generator) -> None:
        op, problem, dtype = self._op, self.spot.problem, self.spot.dtype
        arrays = draw(op, self._case, dtype, mode, rng)
        forward = self._traced(op.forward, forward_arguments(op, self._case, arrays))
        delta = draw_like(np.broadcast_to(np.float32(0), problem.output), dtype, mode, rng)
        backward = self._traced(op.backward, backward_arguments(op, self._case, arrays, delta, None))
        for direction, trace in (("forward", forward), ("backward", backward)):
            for call in trace.calls if trace is not None else ():
                if not call.missing:
                    for output, array in zip(_backend.equations(call.kernel), call.outputs, strict=True):
                        self._judge_output(direction, call, output, array, mode, rng)

    def _traced(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Trace | None:
        self._say()
        try:
            trace = traced(function, arguments, self._backend, substitute=False)
        except Exception as error:
            self._found(f"back end {self._backend!r} raised {type(error).__name__}: {error}")
            return None
        self.spot.lacking |= {lack.what: lack.why for lack in trace.lacking}
        return trace

    def _judge_output(
        self, direction: str, call: KernelCall, output: str, array: Array, mode: Mode, rng: np.random.Generator
    ) -> None:
        chosen = places(array.shape, self._elements, rng)
        tensor = next((t for t in self.spot.tensors if (t.kernel, t.output) == (call.kernel, output)), None)
        if tensor is None:
            tensor = Tensor(call.kernel, output, len(chosen), array.size)
            self.spot.tensors.append(tensor)
        tensor.exact |= mode == "integer"
        truth = ElementTruth(call, output, self.spot.dtype, exact=mode == "integer")
        for index in chosen:
            self._say()
            held = truth.hold(array, index)
            if mode == "real" and (tensor.worst is None or held.share > tensor.share):
                tensor.share, tensor.worst = held.share, index
            if held.share > 1:
                self._found(
                    f"{direction}, {call.kernel}, {output} at {index} of {array.shape}, on {mode} numbers: "
                    f"{held.words()}",
                    **vars(held),
                    terms=self._terms(call, output, index),
                )

    def _terms(self, call: KernelCall, output: str, index: Index) -> tuple[str, ...]:
        """The equation with its numbers, for an output's first wrong element."""
        if any((d.kernel, d.output) == (call.kernel, output) for d in self.spot.discrepancies):
            return ()
        return tuple(explain(call.kernel, output, call.inputs, index, call.numbers).text().splitlines())

    def _found(self, what: str, **where: Any) -> None:
        problem, dtype = self.spot.problem, self.spot.dtype
        repro = command(problem, dtype, self._backend, self._compat, self._seed, self._elements)
        self.spot.discrepancies.append(
            Discrepancy(problem.op, "spot", problem.case.name, dtype, what, repro=repro, **where)
        )


def _check_memory(problem: Problem, dtype: str) -> None:
    """Refuse what this machine cannot hold, before the system ends the process for it."""
    sizes = [math.prod(shape_of(problem.case, name)) for name in problem.case.arrays]
    # Inputs and results, the copies by which a changed input is found out, and one input as it is drawn, in doubles.
    needed = (3 * sum(sizes) + 3 * math.prod(problem.output)) * np.dtype(dtype).itemsize + 16 * max(sizes)
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such figure on this system
        return
    if needed > there:
        raise ValueError(
            f"shape {problem.text!r}: it takes about {needed / 2**30:,.1f} GiB of memory, and there are "
            f"{there / 2**30:,.1f}; a smaller mb takes less"
        )
