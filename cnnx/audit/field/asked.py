"""What a probe may ask an engine: calls by name, on NumPy's arrays, with the engine's own defaults."""

import importlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


ADAPTERS = "cnnx.adapters"  # whose modules are loaded when an engine is asked


def adapter(name: str) -> Any:
    """The module of an engine's adapter, which knows how it is run."""
    return importlib.import_module(f"{ADAPTERS}.{name}")


class LacksError(Exception):
    """An engine does not have what was asked for: that is an answer."""


class Asked:
    """An engine as the probes see it.

    A subclass has methods by the names of calls, on its own arrays: relu(x), leaky_relu(x, slope=...), elu(x, alpha),
    clip(x, low, high), gelu(x), sigmoid(x), hard_sigmoid(x), softmax(x) along the last axis, matmul(a, b),
    conv2d(x, w, padding), max_pool(x, kernel, stride, padding, ceil), avg_pool(..., include), lp_pool(x, p, kernel),
    resize(x, size, mode); and, of NumPy's arrays, batch_norm(x, momentum) -> (y, running mean, running variance) in
    training, and cross_entropy(logits, target, weight, smoothing), the mean. Images are (N, C, H, W), padding is a
    number of pixels or "same", an option that is None is left to the engine. A method that is missing is something that
    the engine does not have.
    """

    distribution = ""

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            self.set_threads(threads)

    def set_threads(self, n: int) -> None:
        """Use n threads, or raise `LacksError`."""
        raise LacksError("its number of threads cannot be set")

    def array(self, a: Array) -> Any:
        """The engine's array of one of NumPy's."""
        return a

    def call(self, name: str, *arrays: Array, **options: Any) -> Array:
        """What a call gives."""
        return np.asarray(self._method(name)(*(self.array(a) for a in arrays), **options))

    def gradient(self, name: str, x: Array, **options: Any) -> Array:
        """The gradient of the sum of what a call gives."""
        return np.asarray(self.backward(lambda t: self._method(name)(t, **options), self.array(x)))

    def backward(self, function: Any, x: Any) -> Any:
        """The gradient for x of the sum of function(x)."""
        raise LacksError("no gradients")

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        """Of a training step: the result, the running mean and the running variance, which began as 0 and 1."""
        raise LacksError("no batch normalisation that trains")

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        """The mean over the rows, for class indices."""
        raise LacksError("no cross entropy")

    @staticmethod
    def lacks(why: str) -> LacksError:
        """The error of a call that the engine cannot do."""
        return LacksError(why)

    def no_ceil(self, ceil: bool) -> None:
        """Raise where ceil mode is asked for."""
        if ceil:
            raise LacksError("no ceil mode")

    def _method(self, name: str) -> Any:
        found = getattr(self, name, None)
        if found is None:
            raise LacksError(f"no {name}")
        return found


def by_side(padding: Any) -> list[tuple[int, int]]:
    """A number of pixels, for both axes before and behind."""
    return [(int(padding), int(padding))] * 2


def given(**options: Any) -> dict[str, Any]:
    """The options that are not left to the engine."""
    return {name: value for name, value in options.items() if value is not None}
