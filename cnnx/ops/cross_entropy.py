"""Cross entropy of a softmax (E3), with class indices or rows of probabilities."""

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Draw, Op
from .squared_error import Reduction, divisor

_FLOAT64, _INT64, _UINT64 = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint64)


def cross_entropy(logits: Array, target: Array, *, reduction: Reduction = "mean", backend: str | None = None) -> float:
    """Cross entropy between targets and the softmax of the logits, with the maximum shifted out.

        E_n = -sum_i t_i log y_i, y = softmax(z),  E = (1/N) sum_n E_n ("mean") or sum_n E_n ("sum")

    E3, E2. Sources: U19 (softmax for classification); CN (MNIST classifier); M17 2.1.

    Parameters
    ----------
    logits : array (N, M), float32 or float64
    target : array (N,) of any integer dtype, or (N, M) of the logits' dtype
        Class indices from 0 to M - 1, or rows of probabilities (one-hot rows among them). A row's
        terms with t_i = 0 are left out (0 log 0 is 0).
    reduction : "mean" or "sum"
        "mean" divides by N.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    float
        Computed in double. 0.0 for N = 0.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype of the logits, a target of neither kind.
    ValueError
        Shapes that do not fit, an index outside 0 ... M - 1, an unknown reduction or back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> logits = np.log(np.array([[0.25, 0.75]]))
    >>> round(cnnx.cross_entropy(logits, np.array([0])), 6), round(float(np.log(4)), 6)
    (1.386294, 1.386294)
    """
    return Rows(logits, target).cost(reduction, backend)


def cross_entropy_backward(
    logits: Array, target: Array, *, reduction: Reduction = "mean", backend: str | None = None
) -> Array:
    """dE/dlogits of `cross_entropy`, with the reduction's 1/N in it.

        dz_i = y_i sum_j t_j - t_i

    E3.

    Parameters
    ----------
    logits, target, reduction, backend
        As in the forward call.

    Returns
    -------
    array (N, M), dtype of the logits

    Raises
    ------
    TypeError, ValueError
        As `cross_entropy` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.cross_entropy_backward(np.zeros((1, 2)), np.array([1]))
    array([[ 0.5, -0.5]])
    """
    return Rows(logits, target).gradient(reduction, backend)


class Rows:
    """Logits and their target, checked once for a cost and its gradient.

    Class indices are copied: the gradient is that of the indices the cost had.
    """

    __slots__ = ("given", "logits", "shapes", "suffix", "target")

    def __init__(self, logits: Array, target: Array) -> None:
        self.given = target
        self.logits, self.target, self.suffix = _checked(logits, target)
        self.shapes = self.logits.shape, self.target.shape

    def cost(self, reduction: object, backend: str | None) -> float:
        """E of them."""
        logits = self.logits
        E = _plan.new((1,), _FLOAT64)
        kernel = _backend.kernel(f"cross_entropy{self.suffix}", _check.NAMES[logits.dtype.char], backend)
        kernel(logits, self.target, E, divisor=divisor(reduction, logits.shape[0]))
        return float(E[0])

    def gradient(self, reduction: object, backend: str | None) -> Array:
        """dE/dlogits of them."""
        logits = self.logits
        if (logits.shape, self.target.shape) != self.shapes:  # somebody has given the arrays another shape meanwhile
            return Rows(logits, self.given).gradient(reduction, backend)
        grad_logits = _plan.new(logits.shape, logits.dtype)
        kernel = _backend.kernel(f"cross_entropy{self.suffix}_grad_input", _check.NAMES[logits.dtype.char], backend)
        kernel(logits, self.target, grad_logits, divisor=divisor(reduction, logits.shape[0]))
        return grad_logits


def _checked(logits: Array, target: Array) -> tuple[Array, Array, str]:
    """Logits, target and which kernel: "" for rows of probabilities, "_index" for class indices."""
    if not _check.plain(logits):
        (logits,) = _check.floats(logits=logits)
    N, M = _rows((logits.shape,))
    target = _check.array("target", target)
    if target.dtype.kind in "iu":
        _check.shape("target", target, (N,), "(one class index per row of logits)")
        # A copy: what was checked is what the kernel reads, whatever another thread writes meanwhile.
        indices = _plan.new((N,), _INT64)
        np.copyto(indices, target, casting="unsafe")
        # Indices below 0, and those of uint64 that were too large, are very large ones without a sign.
        unsigned = indices.view(_UINT64)
        if N and np.maximum.reduce(unsigned) >= M:
            n = int(np.argmax(unsigned >= M))
            raise ValueError(f"target: expected class indices from 0 to {M - 1}, got {target[n]} at {n}")
        return logits, indices.astype(np.intp, copy=False), "_index"
    if target.dtype != logits.dtype:
        raise TypeError(
            f"target: expected class indices of an integer dtype or probabilities of {logits.dtype}, got {target.dtype}"
        )
    _check.shape("target", target, (N, M), "(the logits')")
    return logits, target, ""


@_plan.remembered
def _rows(shapes: _plan.Shapes) -> tuple[int, int]:
    """The logits' shape."""
    (logits,) = shapes
    _check.rank("logits", logits, "(N, M)")
    return logits[0], logits[1]


def _cases() -> tuple[Case, ...]:
    cases = []
    for reduction in ("mean", "sum"):
        for name, (N, M) in {"rows": (4, 7), "one class": (3, 1), "many classes": (2, 70), "empty": (0, 4)}.items():
            for kind, target in (
                ("index", Draw((N,), "index", high=M)),
                ("probability", Draw((N, M), "probability")),
                ("number", Draw((N, M), "number")),
            ):
                cases.append(
                    Case(f"{name}, {kind}, {reduction}", {"logits": (N, M), "target": target}, {"reduction": reduction})
                )
    return tuple(cases)


OP = Op(
    name="cross_entropy",
    forward=cross_entropy,
    backward=cross_entropy_backward,
    summary="of a softmax, with class indices or rows of probabilities",
    equations="E3, E2",
    kernels=(
        "cross_entropy",
        "cross_entropy_grad_input",
        "cross_entropy_index",
        "cross_entropy_index_grad_input",
    ),
    differentiable=("logits",),
    cost=True,
    cases=_cases(),
    bench=(Case("64 x 10", {"logits": (64, 10), "target": Draw((64,), "index", high=10)}),),
    large=(Case("256 x 1000", {"logits": (256, 1000), "target": Draw((256,), "index", high=1000)}),),
)
