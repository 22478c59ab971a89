"""Some elements of what a back end's kernels gave, each held against its equation."""

from itertools import islice

import numpy as np

from ... import backend as _backend
from ..data import Array, Mode
from ..kinds import HALVES
from ..search.places import MOST, places
from ..trace import KernelCall, Trace, named_inputs
from ..trial import Trial
from ..truth.arithmetic import UndecidedError
from .element import SUMS, ElementTruth

# Numbers of the inputs that are read for an output's elements, after which no further one is begun: milliseconds.
READ = {True: 2500, False: 1500}  # for a sum of products; for what takes `Bounded` numbers


def judge_elements(trial: Trial, direction: str, trace: Trace, mode: Mode, most: int = MOST) -> None:
    """Hold elements of every output of a back end's own calls against their equations, so many of each."""
    judged = False
    for call in trace.calls:
        if call.missing or not all(np.isfinite(a).all() for a in call.inputs if a.dtype.kind == "f"):
            continue  # an earlier kernel is missing, or was found to be wrong
        for output, array in zip(_backend.equations(call.kernel), call.outputs, strict=True):
            judged |= _judge_output(trial, call, output, array, mode, most)
    if judged:
        trial.ran(direction)


def _judge_output(trial: Trial, call: KernelCall, output: str, array: Array, mode: Mode, most: int) -> bool:
    """Elements of an output until one is wrong; whether there were any."""
    # Of integers up to 3, and far fewer than 2^20 of them: no sum is rounded but at its end.
    exact = mode == "integer" and call.kernel in SUMS and trial.precision.accumulator not in HALVES
    truth = ElementTruth(call, output, trial.dtype, exact=exact, precision=trial.precision)
    judged = False
    for index in islice(places(array.shape, trial.rng), most):
        if truth.read > READ[call.kernel in SUMS]:
            break
        try:
            held = truth.hold(array, index)
        except UndecidedError:
            continue  # so near a kink that either side is right
        if not np.isfinite(held.error):
            continue
        judged = True
        trial.result.elements += 1
        if mode == "real":
            what = f"{call.kernel} {output}", trial.dtype
            trial.result.shares[what] = max(held.share, trial.result.shares.get(what, 0.0))
        if held.share > 1:
            trial.found(
                f"{call.kernel} at {output}{list(index)} of {array.shape}, on {mode} numbers: {held.words(' exactly')}",
                **vars(held),
                arrays=named_inputs(call),
                results={"got": array},
                numbers=call.numbers,
            )
            break
    return judged
