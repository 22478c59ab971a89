"""Is an isolated kernel right where nobody but it knows anything, and does it keep to its arrays?

Every array lies against a page that may not be touched, behind its last byte and then before its first one; each call
comes after one with other numbers at the same addresses, in the same objects; outputs hold something else each time.
"""

from ..data import Mode, draw
from ..isolation import hunting, is_isolated
from ..isolation.arena import END, START
from ..spot.judged import judge_elements
from ..trial import DIRECTIONS, Check, Trial

NAME = "isolation"
NOT_ISOLATED = "not asked: the back end runs in the process of the audit (isolated=True, --isolated)"


def _isolation(trial: Trial) -> None:
    """On numbers drawn for each call; what `hunting` finds is raised, and elements are held against their equations."""
    for where in (END, START):
        mode: Mode = "integer" if trial.case.exact and where == START else "real"
        arrays = draw(trial.op, trial.case, trial.dtype, mode, trial.rng)
        with hunting(where):
            attempt = trial.run(trial.sides.backend, arrays, mode)
        for direction in DIRECTIONS:
            trace = getattr(attempt, direction)
            if trace is not None:
                judge_elements(trial, direction, trace, mode)
        if trial.result.discrepancies:
            return  # what ends the process costs a new one each time


def _cannot(backend: str) -> str:
    return "" if is_isolated(backend) else NOT_ISOLATED


# Beside CHECKS, as it is asked of an isolated back end alone.
CHECK = Check(NAME, _isolation, why_not=lambda op: "" if op.kernels else "no kernels", why_not_of=_cannot, bench=True)
