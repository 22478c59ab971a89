"""Local response normalisation across channels (N6, N7)."""

from typing import Any

from .. import _check, ops
from .._check import Array
from ._arguments import not_negative, number
from ._layer import Layer


class LocalResponseNorm(Layer, settings=("size", "alpha", "beta", "k")):
    """Each element over a power of the sum of squares of neighbouring channels: `cnnx.local_response_norm`.

    N6, N7: standard. An even size has ONNX's window, of which torch's is the mirror image.

    Parameters
    ----------
    size : int
        How many channels a window has.
    alpha, beta, k : float
        Finite; alpha at least 0, beta and k above 0.
    backend : str or None
        A back end for this layer; None takes the chosen one.

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; forward and backward raise what the op does.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.LocalResponseNorm(3, alpha=3.0, beta=1.0).forward(np.array([[1.0, 2.0, 3.0]]))
    array([[0.16666667, 0.13333333, 0.21428571]])
    """

    _borrows = True

    def __init__(
        self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, backend: str | None = None
    ) -> None:
        super().__init__(backend=backend)
        self.size = _check.integer("size", size, 1)
        self.alpha = not_negative("alpha", alpha)
        self.beta = number("beta", beta, "a number above 0", lambda v: v > 0)
        self.k = number("k", k, "a number above 0", lambda v: v > 0)

    def _options(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "beta": self.beta, "k": self.k, "backend": self._back_end}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.local_response_norm(x, self.size, **self._options()), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return ops.local_response_norm_backward(grad_output, saved, self.size, **self._options())
