"""Do two back ends agree on real numbers, within a derived bound?"""

from ..data import Mode, draw
from ..trial import Check, Trial
from ._compare import compare_kernels, compare_results


def _bound(trial: Trial) -> None:
    """Real-valued data: both back ends within the bound that the equations themselves give.

    The reference's element functions run on `Bounded` numbers; for a sum of products that is
    eps * number of terms * sum of |terms|, for an elementwise function a few ulp. Each case runs on
    numbers about 1 and on numbers of all sizes, zeros among them; where an op promises so, up to float32's largest.
    """
    modes: tuple[Mode, ...] = ("real", "far")
    if trial.op.edge and trial.dtype == "float32" and trial.sides.compat.nonfinite == "everywhere":
        modes += ("edge",)
    for mode in modes:
        theirs = trial.run(trial.sides.against, draw(trial.op, trial.case, trial.dtype, mode, trial.rng), mode)
        ours = trial.repeat(trial.sides.backend, theirs)
        for direction, mine, other in ours.pairs(theirs):
            trial.ran(direction)
            # Without kernels nothing is computed: flatten's numbers stay what they were.
            compare_results(trial, direction, mine.result, other.result, equal=not trial.op.kernels)
            compare_kernels(trial, mine, other)


CHECK = Check("bound", _bound)
