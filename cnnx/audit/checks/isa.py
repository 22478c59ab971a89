"""Does the instruction set change a result's bits?"""

from ... import backend as _backend
from ...ops import Op
from ..data import draw
from ..elsewhere import Job, Results, kernels_to_send, refusal, run
from ..report.axes import OTHER_ISA
from ..trace import Trace
from ..trial import Attempt, Check, Trial
from ._compare import ulps

UNSAID = "cannot be asked: the back end names no environment variable that holds it to another instruction set"
NO_OTHER = "this build and this processor have no other instruction set that has to give the same bits"


def _isa(trial: Trial) -> None:
    """In a process of its own for each instruction set that the back end can be held to: the bits of a process that is
    held to none."""
    name = trial.sides.backend
    here = trial.run(name, draw(trial.op, trial.case, trial.dtype, "bits", trial.rng), "bits")
    if here.forward is None:
        return
    saved = here.forward.result
    job = Job(name, kernels_to_send(name), trial.op.name, trial.case, here.arrays, here.grad_output, saved, 1)
    free = attempt(here, run(job, {})[0])
    for isa, environment in (_backend.instruction_sets(name) or {}).items():
        held = attempt(here, run(job, environment)[0])
        trial.ran(*(direction for direction, _, _ in held.pairs(free)), isa=OTHER_ISA)
        if (apart := ulps(held, free)) is not None:
            trial.found(f"held to {isa} it gives other bits", ulp=apart)


def attempt(like: Attempt, results: Results) -> Attempt:
    """What another process gave; whose work it is, the same call tells that ran here."""
    made = Attempt(like.arrays, like.grad_output)
    for direction, result in zip(("forward", "backward"), results, strict=True):
        mine: Trace | None = getattr(like, direction)
        if mine is not None:
            setattr(made, direction, Trace(result, mine.calls))
    return made


def _cannot(backend: str) -> str:
    sets = _backend.instruction_sets(backend)
    if sets is None:
        return UNSAID
    return refusal(backend) if sets else NO_OTHER


def _no_kernels(op: Op) -> str:
    return "" if op.kernels else "no kernels"


CHECK = Check("isa", _isa, why_not=_no_kernels, why_not_of=_cannot, bench=True)
