"""Is the backward call of a linear op its adjoint?"""

from fractions import Fraction

import numpy as np

from ... import backend as _backend
from ...ops import Case, Op
from ..data import Array, Arrays, draw, draw_like
from ..trace import backward_arguments, forward_arguments, gradients
from ..trial import Check, Trial


def _adjoint(trial: Trial) -> None:
    """<A x, d> = <x, A* d> for an op that is linear in x: exactly, on integers.

    A x is f(x) - f(0), so that a bias does not disturb.
    """
    for name in (n for n in trial.op.linear if n in trial.case.arrays):
        arrays = draw(trial.op, trial.case, trial.dtype, "integer", trial.rng)
        if arrays[name].size == 0:
            continue
        try:
            with _backend.use_backend(trial.sides.backend):
                left, right = _adjoint_case(trial.op, trial.case, arrays, name, trial.dtype, trial.rng)
        except _backend.MissingKernelError as error:
            trial.result.lacks(error.what, error.why)
            continue
        trial.ran("forward", "backward")
        if left != right:
            trial.found(f"<A {name}, d> = {float(left)}, <{name}, A* d> = {float(right)}")


def _adjoint_case(
    op: Op, case: Case, arrays: Arrays, name: str, dtype: str, rng: np.random.Generator
) -> tuple[Fraction, Fraction]:
    y = op.forward(**forward_arguments(op, case, arrays))
    zero = op.forward(**forward_arguments(op, case, {**arrays, name: np.zeros_like(arrays[name])}))
    d = draw_like(y, dtype, "integer", rng)
    gradient = gradients(op, case, op.backward(**backward_arguments(op, case, arrays, d, None)))[name]
    return _inner(y, d) - _inner(zero, d), _inner(arrays[name], gradient)


def _inner(a: Array, b: Array) -> Fraction:
    pairs = zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True)
    return sum((Fraction(x) * Fraction(y) for x, y in pairs), Fraction(0))


CHECK = Check(
    "adjoint",
    _adjoint,
    why_not=lambda op: "" if op.linear else "not linear",
    takes=lambda op, case: case.exact,
)
