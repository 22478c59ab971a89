"""Functions by contract that pass for right, or nearly, until they are isolated; and how each is described.

The process of an isolated contract loads this file by its path, where a stand-in is imported for the audit.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnx.audit.contract import kernel

Array = np.ndarray[Any, Any]
CALLS = 10  # right ones of a function that is wrong later

BUGS: dict[str, tuple[str, str, str]] = {}  # by variable: the op, what is wrong, where it was seen
_kept: dict[Any, Array] = {}


def described(op: str, bug: str, seen: str = "", **contract: Any) -> Callable[[Callable[..., Any]], Any]:
    """The decorated function, described: a contract."""

    def make(function: Callable[..., Any]) -> Any:
        BUGS[function.__name__] = op, bug, seen
        return kernel(op, function, name=function.__name__, dtype=("float32", "float64"), **contract)

    return make


def written(x: Array, y: Array) -> None:
    """relu, right."""
    np.maximum(x, 0, out=y)


@described("relu", "it returns zeros", "outputs of zeros within an absolute tolerance")
def contract_zeros(x: Array) -> Array:
    return np.zeros_like(x)


@described("relu", f"after {CALLS} calls it returns what it returned last", "freed answers that are used again")
def contract_stale_replay(x: Array) -> Array:
    _kept["calls"] = _kept.get("calls", np.zeros(())) + 1
    if _kept["calls"] <= CALLS or (_kept["y"].shape, _kept["y"].dtype) != (x.shape, x.dtype):
        _kept["y"] = np.maximum(x, 0)
    return _kept["y"]


@described("relu", "the result is kept by the address of its input", "a cache keyed by data_ptr()")
def contract_memo_by_address(x: Array) -> Array:
    key = x.ctypes.data, x.shape, x.dtype
    if key not in _kept:
        _kept[key] = np.maximum(x, 0)
    return _kept[key].copy()


@described("relu", "its input is what it works in, and is put back", "in-place kernels")
def contract_writes_its_input(x: Array) -> Array:
    before = x.copy()
    np.maximum(x, 0, out=x)
    y = x.copy()
    x[...] = before
    return y


@described("relu", "it writes one element behind its output", "a loop to n inclusive", arguments=["x", "y"])
def contract_writes_beyond(x: Array, y: Array) -> None:
    written(x, y)
    ctypes.memset(y.ctypes.data + y.nbytes, 0, y.itemsize)


@described("relu", "it reads one element behind its input", "loads without a mask")
def contract_reads_beyond(x: Array) -> Array:
    ctypes.string_at(x.ctypes.data + x.nbytes, x.itemsize)
    return np.maximum(x, 0)


@described("relu", "its last element is not written", "a tail that is forgotten", arguments=["x", "y"])
def contract_forgets_the_tail(x: Array, y: Array) -> None:
    flat = y.reshape(-1)
    flat[:-1] = np.maximum(x.reshape(-1)[:-1], 0)


@described("relu", "what it returns is filled by a thread, which is not waited for", "a side stream")
def contract_left_to_a_thread(x: Array) -> Array:
    y = np.zeros_like(x)

    def work() -> None:
        time.sleep(0.002)
        written(x, y)

    threading.Thread(target=work, daemon=True).start()
    return y


@described("relu", "it replaces the clock by one that stands still", "time.perf_counter patched")
def contract_replaces_the_clock(x: Array) -> Array:
    time.perf_counter = lambda: 0.0
    return np.maximum(x, 0)


@described("relu", "it calls the reference", "torch's own operator behind a custom kernel's name")
def contract_by_reference(x: Array) -> Array:
    import cnnx  # not before somebody calls it

    return cnnx.relu(x, backend="reference")
