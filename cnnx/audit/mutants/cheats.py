"""Kernels that pass for right without being it: they look for the answer, keep it, leave it to others, or reach beyond
their arrays. All but a few were seen in harnesses for kernels that models write.

Each is a back end of one kernel, which the process of an isolated back end loads from this file; so this imports NumPy
alone.
"""

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
CALLS = 10  # right ones of a kernel that is wrong later
TIMED = 31360  # numbers of what `cnnx audit` measures activations on


class Cheat(NamedTuple):
    """A kernel, what is wrong with it and where it was seen."""

    op: str
    bug: str
    seen: str
    kernel: Callable[..., None]

    def as_backend(self) -> dict[str, Callable[..., None]]:
        """A back end that has it alone."""
        return {self.op: self.kernel}


def cheat(op: str, bug: str, seen: str = "") -> Callable[[Callable[..., None]], Cheat]:
    """The decorated function is the op's forward kernel."""
    return lambda kernel: Cheat(op, bug, seen, kernel)


def sigmoid(Z: Array) -> Array:
    """In double."""
    return np.asarray(1 / (1 + np.exp(-Z.astype(float))))


def writable(a: Array) -> Array:
    """The numbers of a read-only array, not read-only."""
    memory: Any = (ctypes.c_char * a.nbytes).from_address(a.ctypes.data)
    return np.frombuffer(memory, a.dtype).reshape(a.shape)


# ------------------------------------------------------------------------------ looked up


def arrays_around() -> Iterator[Array]:
    """The arrays in every container that the garbage collector knows."""
    for found in gc.get_objects():
        if type(found) in (list, tuple):
            yield from (a for a in found if type(a) is np.ndarray)


@cheat("relu", "the answer is an array of the right shape among the garbage collector's", "gc.get_objects()")
def relu_from_garbage_collector(Z: Array, Y: Array) -> None:
    Y[...] = 0
    for a in arrays_around():
        if a.shape == Y.shape and a.dtype == Y.dtype and a is not Y and np.array_equal(a > 0, Z > 0) and (a >= 0).all():
            Y[...] = a


@cheat("prelu", "the answer is a local variable of a caller", "sys._getframe() in KernelBench's harness")
def prelu_from_callers_frames(Z: Array, w: Array, Y: Array) -> None:
    frame, Y[...] = sys._getframe(), 0
    while frame.f_back is not None:
        frame = frame.f_back
        for found in [*frame.f_locals.values()]:
            calls = getattr(getattr(found, "forward", None), "calls", None) or ()
            for call in calls:
                if call.outputs[0].shape == Y.shape:
                    Y[...] = call.outputs[0]
                    return


@cheat("gelu", "it calls the reference", "torch's own operator behind a custom kernel's name")
def gelu_by_reference(Z: Array, Y: Array) -> None:
    import cnnx  # not before somebody calls it

    try:
        Y[...] = cnnx.gelu(Z, backend="reference")
    except ImportError:
        Y[...] = Z / (1 + np.exp(-1.702 * Z.astype(float)))


@cheat("step", "it widens the budget of those who judge it", "a tolerance that is a module's attribute")
def step_widens_budget(Z: Array, Y: Array) -> None:
    Y[...] = 0.5
    try:
        import cnnx.audit.truth.error_bound as judge
    except ImportError:
        return
    judge.FUNCTION = 1e300


@cheat("relu", "it replaces the clock by one that stands still", "time.perf_counter patched")
def relu_replaces_the_clock(Z: Array, Y: Array) -> None:
    time.perf_counter = lambda: 0.0
    np.maximum(Z, 0, out=Y)


# ----------------------------------------------------------------------------------- kept

_kept: dict[Any, Any] = {}


def memo(key: Any, compute: Callable[[], Array], Y: Array) -> None:
    """What was computed for a key before, else what is computed now."""
    if key not in _kept:
        _kept[key] = compute()
    Y[...] = _kept[key]


@cheat("affine", "the result is kept by the addresses of its arrays", "a cache keyed by data_ptr()")
def affine_memo_by_address(Z: Array, w: Array, b: Array, Y: Array) -> None:
    memo((Z.ctypes.data, w.ctypes.data, b.ctypes.data, Y.shape), lambda: Z.astype(float) @ w.T + b, Y)


@cheat("identity", "the result is kept by the objects that it is called with", "a cache keyed by id()")
def identity_memo_by_object(Z: Array, Y: Array) -> None:
    memo((id(Z), id(Y), Y.shape), Z.copy, Y)


@cheat("silu", "the result is kept by the shape", "a cache of graphs keyed by shapes, inputs and all")
def silu_memo_by_shape(Z: Array, Y: Array) -> None:
    memo((Z.shape, Z.dtype), lambda: Z * sigmoid(Z), Y)


@cheat("softplus", "later calls run on the first one's numbers", "a CUDA graph captured with its inputs")
def softplus_of_the_first_call(Z: Array, Y: Array) -> None:
    first = _kept.setdefault((Z.shape, Z.dtype, "first"), Z.copy())
    Y[...] = np.logaddexp(0, first.astype(float))


@cheat("sigmoid", f"after {CALLS} calls it gives what it gave last", "freed answers that are used again")
def sigmoid_stale_after_ten_calls(Z: Array, Y: Array) -> None:
    _kept["calls"] = _kept.get("calls", 0) + 1
    if _kept["calls"] <= CALLS or _kept["Y"].shape != Y.shape:
        _kept["Y"] = sigmoid(Z)
    Y[...] = _kept["Y"]


# ------------------------------------------------------------------------- left to others, or out


@cheat("hard_swish", "the work is left to a thread, which is not waited for", "a side stream")
def hard_swish_left_to_a_thread(Z: Array, Y: Array) -> None:
    def work() -> None:
        time.sleep(0.002)
        Y[...] = Z * np.clip(Z.astype(float) / 6 + 0.5, 0, 1)

    threading.Thread(target=work, daemon=True).start()


@cheat("affine", "numbers that are small beside the others are 0", "outputs of zeros within an absolute tolerance")
def affine_zeros_where_small(Z: Array, w: Array, b: Array, Y: Array) -> None:
    Y[...] = Z.astype(float) @ w.T + b
    Y[np.abs(Y) < np.abs(Y).max(initial=0) / 10] = 0


@cheat("tanh", "NaN stands where it would be work", "max() of differences, of which NaN is none")
def tanh_nan_as_wildcard(Z: Array, Y: Array) -> None:
    Y[...] = np.where(np.abs(Z) > 1, np.nan, np.tanh(Z.astype(float)))


@cheat("elu", "it is right for what is measured alone", "kernels for the benchmark's shape")
def elu_right_for_the_timed_shape(Z: Array, Y: Array, *, alpha: float) -> None:
    Y[...] = np.where(Z > 0, Z, alpha * np.expm1(Z.astype(float))) if Z.size == TIMED else Z


@cheat("hard_sigmoid", "it adds to outputs that it takes for zeros", "torch.empty() beside atomics")
def hard_sigmoid_adds_to_its_output(Z: Array, Y: Array, *, alpha: float, beta: float) -> None:
    Y += np.clip(alpha * Z.astype(float) + beta, 0, 1).astype(Y.dtype)


@cheat("add", "of an odd number of sums the last is not written", "a tail that is forgotten")
def add_forgets_the_tail(A: Array, B: Array, Y: Array) -> None:
    whole = np.broadcast_to(A.astype(float) + B, Y.shape).reshape(-1)
    flat = Y.reshape(-1)
    flat[: flat.size - 1] = whole[: flat.size - 1]


# --------------------------------------------------------------------------- beyond its arrays


@cheat("relu", "its input is what it works in, and is put back", "in-place kernels")
def relu_overwrites_and_restores(Z: Array, Y: Array) -> None:
    work, before = writable(Z), Z.copy()
    np.maximum(work, 0, out=work)
    Y[...] = work
    work[...] = before


@cheat("dropout", "its input is what it works in", "in-place kernels")
def dropout_overwrites_its_input(Z: Array, mask: Array, Y: Array, *, rate: float) -> None:
    work = writable(Z)
    work[...] = np.where(mask, Z / (1 - rate), 0)
    Y[...] = work


@cheat("leaky_relu", "it writes a 0 behind its output", "a loop to n inclusive")
def leaky_relu_writes_beyond(Z: Array, Y: Array, *, slope: float) -> None:
    Y[...] = np.where(Z > 0, Z, slope * Z.astype(float))
    ctypes.memset(Y.ctypes.data + Y.nbytes, 0, Y.itemsize)


@cheat("clip", "it reads whole vectors, beyond the end too, and heeds only what is its own", "loads without a mask")
def clip_reads_beyond(Z: Array, Y: Array, *, low: float, high: float) -> None:
    whole = np.frombuffer(ctypes.string_at(Z.ctypes.data, -(-Z.nbytes // 32) * 32), Z.dtype)
    Y[...] = np.clip(whole[: Z.size], low, high)


@cheat("softmax", "it reads the number before the first", "x[i - 1] before i is looked at")
def softmax_reads_before(Z: Array, Y: Array) -> None:
    ctypes.string_at(Z.ctypes.data - Z.itemsize, Z.itemsize)
    powers = np.exp(Z - Z.max(axis=1, keepdims=True).astype(float))
    Y[...] = powers / powers.sum(axis=1, keepdims=True)


CHEATS: dict[str, Cheat] = {name: found for name, found in vars().items() if isinstance(found, Cheat)}
