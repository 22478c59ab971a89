"""Does a memory layout change a result's bits?"""

from collections.abc import Callable

import numpy as np

from ... import backend as _backend
from ..data import LAYOUTS, Array, draw, frozen
from ..trial import Attempt, Check, Trial
from ._compare import ulps


def _layout(trial: Trial) -> None:
    """Fortran-ordered, strided, reversed, byte-swapped and unaligned input: the same bits as C-contiguous.

    And Fortran-ordered input of the kernels themselves: the same numbers, or an error.
    """
    plain = trial.run(trial.sides.backend, draw(trial.op, trial.case, trial.dtype, "bits", trial.rng), "bits")
    names = [case.name for case in trial.op.cases]
    i = names.index(trial.case.name) if trial.case.name in names else 0
    for j, (name, lay_out) in enumerate(LAYOUTS.items()):
        if (i + j) % len(LAYOUTS) > 1 and i >= len(LAYOUTS):
            continue  # every layout on the first cases, two of them on each further case
        _check_layout(trial, plain, trial.sides.backend, name, lay_out)
    if trial.case.exact:
        _check_kernels(trial)


def _check_kernels(trial: Trial) -> None:
    """The public functions put arrays in order, but a kernel may be called past them.

    On integers, since what heeds an array's strides may well add in another order. Only Fortran order is tried: a
    kernel that takes the strides for granted still reads within such an array, and may crash on others.
    """
    plain = trial.run(trial.sides.backend, draw(trial.op, trial.case, trial.dtype, "integer", trial.rng), "integer")
    for trace in (plain.forward, plain.backward):
        for call in () if trace is None else trace.calls:
            inputs = [frozen(np.array(a, order="F")) for a in call.inputs]
            if call.missing or all(a.flags.c_contiguous for a in inputs):
                continue
            outputs = [np.zeros(a.shape, a.dtype) for a in call.outputs]
            try:
                _backend.kernel(call.kernel, trial.dtype, trial.sides.backend)(*inputs, *outputs, **call.numbers)
            except Exception:
                continue  # refused, as a kernel may
            trial.result.ran += 1
            if not all(map(np.array_equal, outputs, call.outputs)):
                trial.found(f"kernel {call.kernel}: Fortran-ordered input gives other numbers, and no error")


def _check_layout(trial: Trial, plain: Attempt, backend: str, name: str, lay_out: Callable[[Array], Array]) -> None:
    other = {key: frozen(lay_out(a)) for key, a in plain.arrays.items()}
    delta = None if plain.grad_output is None else frozen(lay_out(plain.grad_output))
    again = trial.repeat(backend, plain, other, delta)
    trial.ran(*(direction for direction, _, _ in again.pairs(plain)), layout=name)
    if (apart := ulps(plain, again)) is not None:
        trial.found(f"{name} input gives other numbers than C-contiguous input", ulp=apart)
    for key, a in plain.arrays.items():
        if not np.array_equal(np.asarray(other[key]), a, equal_nan=True):
            trial.found(f"{name} input {key!r} was written to")


CHECK = Check("layout", _layout)
