"""Does the same call give the same bits again, and did the first one of the process?"""

from contextlib import nullcontext

from ... import backend as _backend
from .. import known
from ..data import draw
from ..elsewhere import FRESH, Job, kernels_to_send, refusal, run
from ..report.axes import AGAIN, FIRST_CALL
from ..trial import Check, Trial
from ._compare import ulps
from .isa import attempt

OF_A_CONTRACT = "a function with a contract is called in one process alone"
NO_FORK = "first calls of a process need fork(), which this platform lacks"


def _repeat(trial: Trial) -> None:
    """Twice here; and the op's first cases in a process in which they are the first calls, and the second."""
    name = trial.sides.backend
    once = trial.run(name, draw(trial.op, trial.case, trial.dtype, "bits", trial.rng), "bits")
    for _ in range(2):
        again = trial.repeat(name, once)
        trial.ran(*(direction for direction, _, _ in again.pairs(once)), call=AGAIN)
        if (apart := ulps(once, again)) is not None:
            trial.found("the same call gives other bits again", ulp=apart)
    if once.forward is None or not _is_first(trial):
        return
    why = OF_A_CONTRACT if known.own(name) is not None else refusal(name) if FRESH else NO_FORK
    if why:
        trial.result.notes.add(why)
        return
    saved = once.forward.result
    job = Job(name, kernels_to_send(name), trial.op.name, trial.case, once.arrays, once.grad_output, saved, 2)
    first, second = (attempt(once, results) for results in run(job, {}, fresh=True))
    with_threads = _backend.with_threads(name)
    with nullcontext() if with_threads is None else with_threads(1):  # as many as the child of a fork has
        once = trial.repeat(name, once)
    trial.ran(*(direction for direction, _, _ in first.pairs(second)), call=FIRST_CALL)
    for a, b, what in (
        (first, second, "the first call of a process gives other bits than the second"),
        (second, once, "another process gives other bits"),
    ):
        if (apart := ulps(a, b)) is not None:
            trial.found(what, ulp=apart)


def _is_first(trial: Trial) -> bool:
    """Of the op's own cases the first ones alone, as each takes a process; of others every one."""
    own = [case.name for cases in (trial.op.cases, trial.op.bench) for case in cases[1:]]
    return trial.case.name not in own


CHECK = Check("repeat", _repeat, bench=True)
