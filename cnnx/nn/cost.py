"""Costs: how far outputs are from their targets, as layers with a memory (E1-E3)."""

from collections.abc import Callable
from typing import ClassVar, Literal

from .. import _check, ops
from .._check import Array
from ..ops._plan import lending
from ..ops.cross_entropy import Rows
from ._arguments import back_end
from ._layer import described
from ._reuse import Reuse


class Cost(Reuse):
    """A number for outputs and targets, and its gradient.

    Parameters
    ----------
    reduction : "mean" or "sum"
        Over the examples: M17's 1/N in front, or D19's total cost. `backward` has it in it already;
        layers sum (equations.md section 5).
    backend : str or None
        A back end for this cost; None takes the one chosen at each call.

    Raises
    ------
    TypeError, ValueError
        An unknown reduction or back end.
    """

    _borrows = True
    _functions: ClassVar[tuple[Callable[..., float], Callable[..., Array]]]
    _rows: ClassVar[type[Rows] | None]  # what does the work of both functions and checks its arrays only once

    def __init_subclass__(
        cls, *, forward: Callable[..., float], backward: Callable[..., Array], rows: type[Rows] | None = None
    ) -> None:
        cls._functions, cls._rows = (forward, backward), rows

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean", backend: str | None = None) -> None:
        super().__init__()
        self.reduction = _check.choice("reduction", reduction, ("mean", "sum"))
        self.backend = back_end(backend)
        self._saved: tuple[Array, Array] | Rows | None = None

    def forward(self, y: Array, target: Array) -> float:
        """The cost of outputs `y`, computed in double.

        Raises
        ------
        TypeError, ValueError
            As the op raises them.
        """
        self._saved = None
        value, self._saved = lending(self._forward_buffers, self._forward, y, target)
        return value

    def _forward(self, y: Array, target: Array) -> tuple[float, tuple[Array, Array] | Rows]:
        if self._rows is None:
            return self._functions[0](y, target, reduction=self.reduction, backend=self.backend), (y, target)
        rows = self._rows(y, target)
        return rows.cost(self.reduction, self.backend), rows

    def __call__(self, y: Array, target: Array) -> float:
        """The same as `forward`."""
        return self.forward(y, target)

    def backward(self) -> Array:
        """dE/dy of the last forward call, of y's shape and dtype.

        Raises
        ------
        RuntimeError
            No forward call came before.
        """
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward: expected a forward call first, got none")
        return lending(self._backward_buffers, self._backward, self._saved)

    def _backward(self, saved: tuple[Array, Array] | Rows) -> Array:
        if isinstance(saved, Rows):
            return saved.gradient(self.reduction, self.backend)
        return self._functions[1](*saved, reduction=self.reduction, backend=self.backend)

    def __repr__(self) -> str:
        return described(self)


class SquaredError(Cost, forward=ops.squared_error, backward=ops.squared_error_backward):
    """Half the squares' sum, (1/2) sum (t - y)^2 (E1; D19); y and target of one shape.

    Parameters, errors: see `Cost`.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> cost = nn.SquaredError()
    >>> cost.forward(np.array([[1.0, 4.0]]), np.array([[0.0, 2.0]]))
    2.5
    >>> cost.backward()
    array([[1., 2.]])
    """


class CrossEntropy(Cost, forward=ops.cross_entropy, backward=ops.cross_entropy_backward, rows=Rows):
    """Cross entropy of softmax(y): -sum_i t_i log softmax(y)_i (E3; U19, CN); the softmax is in it.

    `target` holds class indices (N,) or rows of probabilities (N, M). Parameters, errors: see `Cost`.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> cost = nn.CrossEntropy()
    >>> round(cost.forward(np.zeros((1, 4)), np.array([2])), 6)  # log 4
    1.386294
    >>> cost.backward()
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
