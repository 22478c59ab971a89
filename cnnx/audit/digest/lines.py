"""What is digested: by op, dtype and direction all cases of an op, small, measured and large ones; and trainings."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ... import backend as _backend
from ...ops import OPS, Case, Op
from ..data import Array
from ..trace import backward_arguments, first, forward_arguments, gradients
from .numbers import drawn
from .training import TRAININGS

DTYPES = ("float32", "float64")
TRAINING = "training"
LINES: tuple[str, ...] = (*(op.name for op in OPS), TRAINING)  # what can be asked for


class Line(NamedTuple):
    """The digest of one op in one dtype and direction: "forward", or the argument that a gradient is of."""

    op: str
    dtype: str
    direction: str
    digest: str
    missing: str = ""  # what the back end lacks, so that there is no digest

    @property
    def name(self) -> str:
        """Under which the expected one stands."""
        return f"{self.op} {self.dtype} {self.direction}"


def computed(op: str, backend: str) -> Iterator[Line]:
    """The lines of one of LINES, computed by a back end on the number of threads that is set.

    Raises
    ------
    Exception
        What the back end raises, but for kernels that it lacks.
    """
    if op == TRAINING:
        for name, (dtype, train) in TRAININGS.items():
            yield _line(name, dtype, backend, train)
        return
    (known,) = (one for one in OPS if one.name == op)
    for dtype in DTYPES:
        yield from _lines(known, (*known.cases, *known.bench, *known.large), dtype, backend)


def short(backend: str = "optimized") -> dict[str, str]:
    """One digest per op, of its small cases in both dtypes and all directions: what `cnnx doctor` has time for."""
    found = {}
    for op in OPS:
        total = hashlib.sha256()
        for dtype in DTYPES:
            for line in _lines(op, op.cases, dtype, backend):
                total.update(line.digest.encode())
        found[op.name] = total.hexdigest()
    return found


def _line(name: str, dtype: str, backend: str, train: Any) -> Line:
    digest = hashlib.sha256()
    try:
        with _backend.use_backend(backend):
            for key, array in train().items():
                _add(digest, key, array)
    except _backend.MissingKernelError as error:
        return Line(TRAINING, dtype, name, "", error.what)
    return Line(TRAINING, dtype, name, digest.hexdigest())


def _lines(op: Op, cases: tuple[Case, ...], dtype: str, backend: str) -> list[Line]:
    directions = ["forward", *(f"gradient of {name}" for name in op.differentiable)]
    digests = {name: hashlib.sha256() for name in directions}
    missing: dict[str, str] = {}
    with _backend.use_backend(backend), np.errstate(all="ignore"):
        for case in cases:
            try:
                result = _forward(op, case, dtype)
            except _backend.MissingKernelError as error:
                return [Line(op.name, dtype, name, "", error.what) for name in directions]
            for i, array in enumerate(result if isinstance(result, tuple) else (result,)):
                _add(digests["forward"], f"{case.name} {i}", np.asarray(array))
            try:
                for name, gradient in _backward(op, case, dtype, result).items():
                    _add(digests[f"gradient of {name}"], case.name, gradient)
            except _backend.MissingKernelError as error:
                missing |= dict.fromkeys(directions[1:], error.what)
    return [
        Line(op.name, dtype, name, "" if name in missing else digest.hexdigest(), missing.get(name, ""))
        for name, digest in digests.items()
    ]


def _arrays(op: Op, case: Case, dtype: str) -> dict[str, Array]:
    return {name: drawn(f"{op.name} {case.name} {name}", spec, dtype) for name, spec in case.arrays.items()}


def _forward(op: Op, case: Case, dtype: str) -> Any:
    return op.forward(**forward_arguments(op, case, _arrays(op, case, dtype)))


def _backward(op: Op, case: Case, dtype: str, result: Any) -> dict[str, Array]:
    delta = np.empty(0) if op.cost else drawn(f"{op.name} {case.name} grad_output", np.shape(first(result)), dtype)
    arguments = backward_arguments(op, case, _arrays(op, case, dtype), delta, result)
    return gradients(op, case, op.backward(**arguments))


def _add(digest: Any, name: str, array: Array) -> None:
    """An array's name, dtype, shape and numbers, in little-endian order; what is NaN is one NaN."""
    array = np.asarray(array, order="C")
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    digest.update(f"{name} {array.dtype.name} {array.shape};".encode())
    digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
