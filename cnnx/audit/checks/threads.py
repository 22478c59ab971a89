"""Does the number of threads change a result's bits?"""

from ... import backend as _backend
from ... import native as _native
from ..data import draw
from ..trial import Check, Trial
from ._compare import ulps

UNSAID = "it does not say how its number of threads is set"
ALONE = "this build or process has one thread only"


def _threads(trial: Trial) -> None:
    """The same bits from 1, 2 and 3 threads of the back end. Even the smallest work is split where it can be."""
    name = trial.sides.backend
    with_threads = _backend.with_threads(name)
    assert with_threads is not None  # _cannot
    with with_threads(1):
        one = trial.run(name, draw(trial.op, trial.case, trial.dtype, "bits", trial.rng), "bits")
    for count in (2, 3):
        with with_threads(count):
            more = trial.repeat(name, one)
        trial.ran(*(direction for direction, _, _ in more.pairs(one)), threads=("1", str(count)))
        if (apart := ulps(one, more)) is not None:
            trial.found(f"{count} threads give other bits than 1 thread", ulp=apart)


def _cannot(backend: str) -> str:
    """Why the threads of a back end cannot be varied, or ""."""
    with_threads = _backend.with_threads(backend)
    if with_threads is None:
        return UNSAID
    built = _native.build_info() if with_threads is _native.with_threads else {"openmp": True, "forked": False}
    return ALONE if built["forked"] or not built["openmp"] else ""


CHECK = Check(
    "threads", _threads, why_not=lambda op: "" if op.kernels else "no kernels", why_not_of=_cannot, bench=True
)
