"""A model's gradients, added up over the processes that share a batch."""

from typing import Any

import numpy as np

from .._check import Array
from ._layer import Layer
from .parallel import Ranks


class GradientSum:
    """Sums over the ranks of a model's gradients, and of some numbers: one Allreduce, over one buffer for all of them.

    The buffer has the parameters' dtype; the gradients' arrays are overwritten. For exact sums the parts of this rank
    are put into it one by one, by copies of the model that share its parameters.
    """

    def __init__(self, ranks: Ranks, model: Layer, numbers: int) -> None:
        self._ranks, self._model = ranks, model
        parameters = model.parameters
        self._last = sum(w.size for w in parameters.values())
        dtype = np.result_type(*parameters.values()).newbyteorder("=") if parameters else np.float64
        self._flat, self._parts = np.zeros(self._last + numbers, dtype), dict[str, Array]()
        start = 0
        for name, w in parameters.items():
            self._parts[name] = self._flat[start : start + w.size].reshape(w.shape)
            start += w.size

    def __call__(self, weight: float, *numbers: float) -> list[float]:
        """This rank's gradients count `weight` times; returns the sums of the numbers."""
        self.fill(self._model, weight, *numbers)
        self._ranks.add_up(self._flat)
        return self._taken()

    def fill(self, model: Layer, weight: float, *numbers: float) -> Array:
        """The buffer with the gradients of a copy of the model, `weight` times, and the numbers."""
        gradients = model.gradients
        missing = [name for name in self._parts if name not in gradients]
        if missing:
            raise RuntimeError(f"ranks: expected gradients of all parameters, got none of {missing}")
        for name, part in self._parts.items():
            np.multiply(gradients[name], weight, out=part)
        self._flat[self._last :] = numbers
        return self._flat

    def of_parts(self, parts: Array) -> list[float]:
        """The gradients become the sums over all parts, given this rank's buffers; returns the numbers'."""
        self._flat[:] = self._ranks.add_parts(parts)
        return self._taken()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The buffer's."""
        return self._flat.dtype

    @property
    def width(self) -> int:
        """How many numbers the buffer has."""
        return len(self._flat)

    def _taken(self) -> list[float]:
        gradients = self._model.gradients
        for name, part in self._parts.items():
            np.copyto(gradients[name], part)
        return self._flat[self._last :].tolist()  # type: ignore[no-any-return]
