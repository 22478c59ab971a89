"""Do two back ends agree exactly, on integers?"""

import numpy as np

from ... import backend as _backend
from ..data import draw
from ..trace import Trace
from ..trial import Check, Trial
from ._compare import compare_results, where
from ._hint import of_examples


def _exact(trial: Trial) -> None:
    """Integer-valued data, on which every sum is exact: the results must be equal."""
    theirs = trial.run(trial.sides.against, draw(trial.op, trial.case, trial.dtype, "integer", trial.rng), "integer")
    ours = trial.repeat(trial.sides.backend, theirs)
    for direction, mine, other in ours.pairs(theirs):
        trial.ran(direction)
        compare_results(trial, direction, mine.result, other.result, equal=not _unequal_kernel(trial, mine, other))


def _unequal_kernel(trial: Trial, ours: Trace, theirs: Trace) -> bool:
    """Note the first kernel whose outputs differ; whether there is one."""
    if [c.kernel for c in ours.calls] != [c.kernel for c in theirs.calls]:
        return False  # what they come to is compared
    for mine, other in zip(ours.calls, theirs.calls, strict=True):
        for output, g, e in zip(_backend.equations(other.kernel), mine.outputs, other.outputs, strict=True):
            if mine.missing:
                continue
            trial.result.compared(f"{other.kernel} {output}", int(np.count_nonzero(e == 0)), e.size)
            if not np.array_equal(g, e, equal_nan=True):
                at = tuple(int(j) for j in np.argwhere(~((g == e) | (np.isnan(g) & np.isnan(e))))[0])
                expected, got = float(e[at]), float(g[at])
                trial.found(
                    f"{other.kernel} at {output}{list(at)}: expected {expected!r} exactly, got {got!r}"
                    f"{of_examples(other, g, e)}",
                    expected=expected,
                    got=got,
                    error=0.0,
                    **where(other, output, at, g, e),
                )
                return True
    return False


CHECK = Check(
    "exact",
    _exact,
    why_not=lambda op: "" if any(case.exact for case in op.cases) else "no case of this op is exact on integers",
    takes=lambda op, case: case.exact,
)
