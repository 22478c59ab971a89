"""Does the number of threads change a result's bits?"""

from ... import native as _native
from ...ops import Op
from ..data import draw
from ..trial import Check, Trial
from ._compare import same_bits


def _threads(trial: Trial) -> None:
    """The same bits from 1, 2 and 3 threads. Even the smallest work is split here."""
    before = _native.get_num_threads()
    try:
        with _native.always_parallel():
            _native.set_num_threads(1)
            one = trial.run(trial.sides.backend, draw(trial.op, trial.case, trial.dtype, "real", trial.rng), "real")
            for count in (2, 3):
                _native.set_num_threads(count)
                more = trial.repeat(trial.sides.backend, one)
                trial.ran(*(direction for direction, _, _ in more.pairs(one)), threads=("1", str(count)))
                if not same_bits(one, more):
                    trial.found(f"{count} threads give other bits than 1 thread")
    finally:
        _native.set_num_threads(before)


def _no_threads(op: Op) -> str:
    if not op.kernels:
        return "no kernels"
    if not _native.build_info()["openmp"] or _native.build_info()["forked"]:
        return "this build or process has one thread only"
    return ""


CHECK = Check("threads", _threads, why_not=_no_threads, bench=True)
