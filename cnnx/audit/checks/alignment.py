"""Does it change a result's bits where in memory arrays begin?"""

import numpy as np

from ... import backend as _backend
from ..data import Array, draw, frozen
from ..report.axes import OFF_LINE, ON_LINE
from ..trace import KernelCall
from ..trial import DIRECTIONS, Check, Trial
from ._compare import farther, ulps_between

LINE = 64  # bytes of a cache line, and of the widest vector
# How many numbers beyond the start of a line inputs begin, and outputs.
PLACES = ((1, 1), (2, 2), (7, 7), (0, 3), (5, 0))


def _alignment(trial: Trial) -> None:
    """Kernel by kernel, on copies that begin at a cache line or beside one: what `ops` hands over is as the caller has
    it, but for arrays that are not aligned to their numbers."""
    plain = trial.run(trial.sides.backend, draw(trial.op, trial.case, trial.dtype, "bits", trial.rng), "bits")
    for direction in DIRECTIONS:
        trace = getattr(plain, direction)
        calls = [] if trace is None else [call for call in trace.calls if not call.missing]
        for call in calls:
            expected = _placed(trial, call, 0, 0)
            for inputs, outputs in PLACES:
                got = _placed(trial, call, inputs, outputs)
                apart = None
                for a, b in zip(expected, got, strict=True):
                    apart = farther(apart, ulps_between(a, b))
                if apart is not None:
                    where = f"{inputs} and {outputs} numbers beside a cache line"
                    trial.found(f"kernel {call.kernel}: inputs and outputs {where} give other bits", ulp=apart)
                    break
        if calls:
            trial.ran(direction, alignment=ON_LINE)
            trial.ran(direction, alignment=OFF_LINE)


def _placed(trial: Trial, call: KernelCall, inputs: int, outputs: int) -> list[Array]:
    """The outputs of a call whose arrays begin so many numbers beyond cache lines."""
    ins = [frozen(_at(a, inputs)) for a in call.inputs]
    outs = [_at(np.zeros_like(a), outputs) for a in call.outputs]
    _backend.kernel(call.kernel, trial.dtype, trial.sides.backend)(*ins, *outs, **call.numbers)
    return outs


def _at(a: Array, numbers: int) -> Array:
    """A copy that begins so many numbers beyond a cache line."""
    memory = np.empty(a.nbytes + 2 * LINE, np.uint8)
    start = -memory.ctypes.data % LINE + numbers * a.itemsize
    view = memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


CHECK = Check("alignment", _alignment, why_not=lambda op: "" if op.kernels else "no kernels", bench=True)
