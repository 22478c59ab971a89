"""How onnxruntime computes a figure: as `cnnx bench --vs onnxruntime` does."""

import os
from typing import Any

import numpy as np
import onnxruntime

from cnnx.bench.peers import of_onnxruntime

from .figures import Call, Figure

of_onnxruntime.set_threads(int(os.environ["OMP_NUM_THREADS"]))


def about() -> dict[str, Any]:
    """What goes into the record."""
    return {"version": onnxruntime.__version__, "threads": int(os.environ["OMP_NUM_THREADS"])}


def prepare(figure: Figure, arrays: dict[str, np.ndarray]) -> Call:
    """The call to be timed."""
    public = figure.public()
    if public is None:
        raise NotImplementedError("onnxruntime has no gradients and no training here")
    op, direction, options = public
    return of_onnxruntime.prepare(op, direction, arrays, options)
