"""What an audit ran on: the machine and the versions, for its report."""

import os
import platform
from collections.abc import Callable

import numpy as np

import cnnx

from ... import native as _native


def facts(*, flushing: bool = False) -> dict[str, str]:
    """Facts by name, in words. What cannot be found out, as in a build without kernels, says why.

    flushing: whether flush-to-zero was switched on in the thread that asked for the audit.
    """
    look: dict[str, Callable[[], object]] = {
        "cnnx": lambda: cnnx.__version__,
        "Python": platform.python_version,
        "NumPy": lambda: np.__version__,
        "platform": platform.platform,
        "processor": _native.processor,
        "instruction set": _native.instruction_set,
        "compiler": lambda: "{compiler}, Cython {cython}".format(**_native.build_info()),
        "checked": lambda: "yes" if _native.build_info()["checked"] else "no",
        "OpenMP": lambda: "yes" if _native.build_info()["openmp"] else "no",
        "flush to zero": lambda: "yes, but while the audit ran" if flushing else "no",
        "threads": lambda: f"{_native.get_num_threads()} (of {os.cpu_count()} processors)",
    }
    return {name: _found(find) for name, find in look.items()}


def _found(find: Callable[[], object]) -> str:
    try:
        return str(find())
    except Exception as error:
        return f"not available: {' '.join(str(error).split())}"
