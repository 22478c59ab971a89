"""NumPy as a peer: cnnx's own functions, with the back end that computes everything by array operations."""

import os
from functools import partial
from typing import Any

import numpy as np

from ...audit.trace import known
from ...backend import MissingKernelError
from ._asked import BY_NAME, Array, Arrays, Call, Options, flat, public

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def about() -> dict[str, str]:
    """Versions."""
    return {"numpy": np.__version__}


def set_threads(n: int) -> None:
    """Nothing but a check: NumPy's matrix products read their number of threads when they are loaded.

    Raises
    ------
    ValueError
        The environment asks for another number.
    """
    for name in VARIABLES:
        if os.environ.get(name) != str(n):
            raise ValueError(f"{name}: expected {n} before NumPy is imported, got {os.environ.get(name)!r}")


def prepare(op: str, direction: str, arrays: Arrays, options: Options) -> Call:
    """The call to be timed: cnnx's public function, its kernels NumPy's."""
    if not BY_NAME[op].kernels:
        raise NotImplementedError("cnnx's own is NumPy's")
    function = public(op, direction)
    chosen = {name: value for name, value in options.items() if name != "algorithm"}  # it has one
    call = partial(function, **known(BY_NAME[op], function, {**arrays, **chosen}), backend="numpy")
    try:
        call()  # a kernel that is missing is noticed now
    except MissingKernelError as error:
        raise NotImplementedError(error.why) from None
    return call


def result(returned: Any) -> list[Array]:
    """The arrays that a call returned."""
    return [np.asarray(part) for part in flat(returned)]
