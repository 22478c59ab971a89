"""Are elements of a case that nobody wrote down within the bound of their equations?

A case is run on numbers of one kind and size, a standing one on real numbers and on integers; of each output some
elements are computed by the equation, from what the kernel was called with. So a case of a hundred thousand numbers is
judged in milliseconds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case, Op
from .._signature import signature
from ..data import Array, Arrays, Mode, draw, draw_like, frozen
from ..kinds import held
from ..search.search import first_cases
from ..search.standing import PREFIX
from ..spot.judged import judge_elements
from ..trace import Trace, backward_arguments, first, forward_arguments, traced
from ..trial import Check, Trial

# Kinds of numbers, and how often; and by which powers of two real ones are scaled. With the largest ones exponentials
# and powers would leave the range of their numbers, and of what has no bound nothing can be said.
MODES: tuple[Mode, ...] = ("real", "real", "real", "integer", "integer", "far")
SCALES = (0, 0, 0, -3, 4, -12, 12, -30, 30)
LARGEST, OF_FUNCTIONS, OF_FLOAT16 = 30, 4, 3
OTHERS = {"lp_pool2d": 3, "local_response_norm": 12, "batch_norm2d": 30, "group_norm": 30, "layer_norm": 30}

SAVED = ("return_winners", "return_statistics", "output")  # options by which the backward call takes what came forward


@dataclass(frozen=True)
class Search(Check):
    """The check of drawn cases. Of an op's own cases it takes none; the audit's self-test has the first drawn ones."""

    def cases(self, op: Op) -> tuple[Case, ...]:
        """The first cases that seed 0 draws."""
        return first_cases(op.name)


def _search(trial: Trial) -> None:
    standing = trial.case.name.startswith(PREFIX)
    for mode in ("real", "integer") if standing else (MODES[int(trial.rng.integers(len(MODES)))],):
        _judge(trial, mode)


def _judge(trial: Trial, mode: Mode) -> None:
    """One case on numbers of a kind."""
    rng, op, case = trial.rng, trial.op, trial.case
    least, most = -OTHERS.get(op.name, LARGEST), _most(op)
    if trial.dtype == "float16":
        least, most = max(least, -OF_FLOAT16), min(most, OF_FLOAT16)
    scales = [2.0 ** min(max(int(rng.choice(SCALES)), least), most) for _ in range(3)]
    arrays = draw(op, case, trial.dtype, mode, rng)
    if mode == "real":
        arrays = _scaled(op, arrays, scales, trial.dtype)
    forward = _traced(trial, op.forward, forward_arguments(op, case, arrays))
    if forward is None:
        return
    judge_elements(trial, "forward", forward, mode)
    if forward.lacking and any(case.options.get(name) for name in SAVED):
        return
    delta = np.empty(0)
    if not op.cost:
        delta = draw_like(first(forward.result), trial.dtype, mode, rng)
        delta = _times(delta, scales[2], trial.dtype) if mode == "real" else delta
    backward = _traced(trial, op.backward, backward_arguments(op, case, arrays, delta, forward.result))
    if backward is not None:
        judge_elements(trial, "backward", backward, mode)


def _most(op: Op) -> int:
    """The largest power of two by which an op's numbers are scaled."""
    elements = (element for kernel in op.kernels for element in _backend.equations(kernel).values())
    functions = any("m" in signature(element).parameters for element in elements)
    return OTHERS.get(op.name, OF_FUNCTIONS if functions else LARGEST)


def _scaled(op: Op, arrays: Arrays, scales: list[float], dtype: str) -> Arrays:
    """What an op is differentiated by, larger or smaller: the first array by one factor, the others by another."""
    scaled = dict(arrays)
    for i, name in enumerate(n for n in op.differentiable if n in arrays):
        scaled[name] = _times(arrays[name], scales[min(i, 1)], dtype)
    return scaled


def _times(a: Array, scale: float, dtype: str) -> Array:
    return frozen(held(np.asarray(a * a.dtype.type(scale)), dtype))


def _traced(trial: Trial, function: Any, arguments: dict[str, Any]) -> Trace | None:
    backend = trial.sides.backend
    return trial.noted(lambda: traced(function, arguments, backend, substitute=False), backend)


def _cannot(backend: str) -> str:
    return "its equations are the truth here" if backend == "reference" else ""


CHECK = Search("search", _search, why_not=lambda op: "" if op.kernels else "no kernels", why_not_of=_cannot, draws=True)
