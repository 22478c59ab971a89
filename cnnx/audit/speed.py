"""How many times as fast as another a back end is."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from .. import backend as _backend
from ..ops import Op
from .data import draw
from .sides import Sides
from .trace import forward_arguments


def speed_up(op: Op, sides: Sides, seed: int) -> float | None:
    """How many times as fast the back end is on the op's first benchmark case, forward, float32, on one thread."""
    arrays = draw(op, op.bench[0], "float32", "real", np.random.default_rng(seed))
    arguments = forward_arguments(op, op.bench[0], arrays)
    try:
        with on_one_thread(sides.backend, sides.against):
            seconds(op, arguments, sides.backend, 0.0)  # loads what has to be loaded
            slow = seconds(op, arguments, sides.against, 0.05)
            return slow / seconds(op, arguments, sides.backend, 0.05)
    except Exception:
        return None  # what cannot be called was found by the checks already


def seconds(op: Op, arguments: dict[str, Any], backend: str, budget: float) -> float:
    """The median time of a call of the op's forward function, of as many as fit into a budget."""
    times: list[float] = []
    with _backend.use_backend(backend):
        while not times or (sum(times) < budget and len(times) < 50):
            start = time.perf_counter()
            op.forward(**arguments)
            times.append(time.perf_counter() - start)
    return float(np.median(times))


@contextmanager
def on_one_thread(*backends: str) -> Iterator[None]:
    """Have these back ends use one thread, as far as they say how."""
    with ExitStack() as stack:
        for name in backends:
            with_threads = _backend.with_threads(name)
            if with_threads is not None:
                stack.enter_context(with_threads(1))
        yield
