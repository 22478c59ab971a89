"""What must not change a result's bits: memory layout and thread count; and what must not be lost: NaN, infinities."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend as _backend
from .. import native as _native
from ..ops import Op
from .agreement import compare_kernels
from .data import LAYOUTS, Array, Arrays, draw, frozen
from .trial import Attempt, Check, Trial


def _layout(trial: Trial) -> None:
    """Fortran-ordered, strided, reversed, byte-swapped and unaligned input: the same bits as C-contiguous.

    And Fortran-ordered input of the kernels themselves: the same numbers, or an error.
    """
    plain = trial.run(trial.sides.backend, draw(trial.op, trial.case, trial.dtype, "real", trial.rng), "real")
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
    if not _same_bits(plain, again):
        trial.found(f"{name} input gives other numbers than C-contiguous input")
    for key, a in plain.arrays.items():
        if not np.array_equal(np.asarray(other[key]), a, equal_nan=True):
            trial.found(f"{name} input {key!r} was written to")


def _same_bits(a: Attempt, b: Attempt) -> bool:
    for _, left, right in a.pairs(b):
        lefts, rights = (v if isinstance(v, tuple) else (v,) for v in (left.result, right.result))
        for x, y in zip(lefts, rights, strict=True):
            if np.asarray(x).tobytes() != np.asarray(y).tobytes():
                return False
    return True


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
                if not _same_bits(one, more):
                    trial.found(f"{count} threads give other bits than 1 thread")
    finally:
        _native.set_num_threads(before)


def _no_threads(op: Op) -> str:
    if not op.kernels:
        return "no kernels"
    if not _native.build_info()["openmp"] or _native.build_info()["forked"]:
        return "this build or process has one thread only"
    return ""


def _special(trial: Trial) -> None:
    """A NaN or an infinity in an input or in grad_output: what comes out has the same kinds at the same
    places (finite, inf, -inf, NaN), and finite numbers stay within their bound."""
    where = trial.sides.compat.nonfinite
    if where == "nowhere" or (where == "forward" and trial.op.cost):
        trial.result.skipped = f"compat {trial.sides.compat.name}"
        return
    drawn = draw(trial.op, trial.case, trial.dtype, "real", trial.rng)
    inputs = [name for name in trial.op.differentiable if name in trial.case.arrays]
    for value in (np.nan, np.inf, -np.inf):
        _check_special(trial, drawn, inputs[int(trial.rng.integers(len(inputs)))], value)


def _check_special(trial: Trial, drawn: Arrays, name: str, value: float) -> None:
    if drawn[name].size == 0 or (name == "weight" and trial.case.options.get("padding", 0) != 0):
        return  # non-finite weights beside padding are unspecified
    rng, sides = trial.rng, trial.sides
    spoil_delta = not trial.op.cost and rng.random() < 0.5
    arrays = drawn if spoil_delta else {**drawn, name: _spoilt(drawn[name], value, rng)}
    theirs = trial.run(sides.against, arrays, "real")
    if spoil_delta and theirs.grad_output is not None and theirs.grad_output.size:
        theirs = trial.repeat(sides.against, theirs, delta=_spoilt(theirs.grad_output, value, rng))
    ours = trial.repeat(sides.backend, theirs)
    for direction, mine, other in ours.pairs(theirs):
        if direction == "backward" and name == "weight" and not spoil_delta and trial.op.name == "conv2d":
            continue  # there the gradient's own border takes the part of padding
        if direction == "backward" and sides.compat.nonfinite == "forward":
            continue
        trial.ran(direction)
        compare_kernels(trial, mine, other, finite=False)


def _spoilt(a: Array, value: float, rng: np.random.Generator) -> Array:
    """A copy with one number replaced."""
    spoilt: Any = a.copy()
    spoilt.flat[int(rng.integers(spoilt.size))] = value
    return frozen(spoilt)


layout = Check("layout", _layout)
special = Check("special", _special)
threads = Check("threads", _threads, why_not=_no_threads, bench=True)
