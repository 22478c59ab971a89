"""Local response normalisation, across channels (N6, N7)."""

import math

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op, Shape


def local_response_norm(
    x: Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, backend: str | None = None
) -> Array:
    """Divide each element by a power of the sum of squares over neighbouring channels.

        Y[n,c,i] = Z[n,c,i] S[n,c,i]^-beta,  S[n,c,i] = k + (alpha/size) sum of Z[n,c',i]^2
        over the channels c' from c - floor((size-1)/2) to c + ceil((size-1)/2)

    N6: standard. It is ONNX's LRN; torch's LocalResponseNorm has for an even size the mirrored window, from c - size/2
    to c + size/2 - 1, and the same for an odd one. Sums and powers are taken in double, as they stand: where a square
    leaves its range, Y is 0. NaN in gives NaN out wherever the window holds it.

    Parameters
    ----------
    x : array (N, C, ...), float32 or float64
    size : int
        How many channels a window has. Beyond the first and the last channel there are none, yet alpha is divided
        by the whole size there too.
    alpha, beta, k : float
        Finite; alpha at least 0, beta and k above 0. ONNX calls k bias.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, an option of the wrong type.
    ValueError
        An x without channels, a size below 1, an alpha, beta or k out of its range, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> cnnx.local_response_norm(x, 3, alpha=3.0, beta=1.0)
    array([[0.16666667, 0.13333333, 0.21428571]])
    """
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    shape = _channels(x.shape)
    numbers = _numbers(size, alpha, beta, k)
    y = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel("local_response_norm", _check.NAMES[x.dtype.char], backend)
    kernel(x.reshape(shape), y.reshape(shape), **numbers)
    return y


def local_response_norm_backward(
    grad_output: Array,
    x: Array,
    size: int,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    backend: str | None = None,
) -> Array:
    """Gradient of a cost through `local_response_norm`.

        dZ[n,c,i] = Delta S^-beta - 2 (alpha/size) beta Z sum of Delta[n,c',i] Z[n,c',i] S[n,c',i]^(-beta-1)
        over the channels c' whose windows hold c

    N7: standard.

    Parameters
    ----------
    grad_output : array of x's shape and dtype
    x, size, alpha, beta, k, backend
        As in the forward call.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `local_response_norm` does; ValueError also for a grad_output of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[1.0, 2.0]])
    >>> cnnx.local_response_norm_backward(np.array([[0.0, 9.0]]), x, 3, alpha=3.0, beta=1.0)
    array([[-1. , -0.5]])
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    shape = _channels(x.shape)
    numbers = _numbers(size, alpha, beta, k)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel("local_response_norm_grad_input", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.reshape(shape), x.reshape(shape), grad_x.reshape(shape), **numbers)
    return grad_x


def _channels(x: Shape) -> Shape:
    """x's shape as (N, C, elements of a channel)."""
    if len(x) < 2:
        raise ValueError(f"x: expected shape (N, C, ...), got {x}")
    return x[0], x[1], math.prod(x[2:])


def _numbers(size: object, alpha: object, beta: object, k: object) -> dict[str, float]:
    numbers = {name: _check.real(name, value) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))}
    if numbers["alpha"] < 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {numbers['alpha']}")
    for name in ("beta", "k"):
        if numbers[name] <= 0:
            raise ValueError(f"{name}: expected a number above 0, got {numbers[name]}")
    return {"size": _check.integer("size", size, 1), **numbers}


def _case(name: str, x: Shape, size: int, **options: float) -> Case:
    return Case(name, {"x": x}, {"size": size, **options})


OP = Op(
    name="local_response_norm",
    forward=local_response_norm,
    backward=local_response_norm_backward,
    summary="each element over a power of the sum of squares of neighbouring channels",
    equations="N6, N7",
    kernels=("local_response_norm", "local_response_norm_grad_input"),
    differentiable=("x",),
    cases=(
        _case("defaults", (2, 7, 3, 2), 5),
        _case("size 3", (2, 5, 2, 3), 3, alpha=0.75, beta=0.75, k=2.0),
        _case("size 1", (2, 3, 2, 2), 1, alpha=1.0),
        _case("size 2", (1, 5, 2, 3), 2, alpha=1.0, beta=0.5),
        _case("size 4, beta 1", (2, 6, 3), 4, alpha=2.0, beta=1.0),
        _case("size beyond the channels", (1, 3, 2, 2), 11, alpha=5.0, beta=1.25, k=0.5),
        _case("even size beyond the channels", (1, 2, 3), 6, alpha=3.0, beta=2.0),
        _case("alpha 0", (1, 3, 4), 3, alpha=0.0, k=2.0),
        _case("small k", (1, 4, 3), 3, alpha=1.0, beta=0.5, k=1e-3),
        _case("one channel", (3, 1, 5), 3, alpha=1.0),
        _case("rows", (3, 7), 3, alpha=1.0),
        _case("wide", (1, 3, 3, 47), 3, alpha=0.5),  # more columns than kernels take at once
        _case("five axes", (1, 4, 2, 1, 3), 3, alpha=0.5),
        _case("empty batch", (0, 3, 2), 3),
        _case("empty channels", (2, 3, 0), 3),
    ),
    bench=(_case("images", (10, 16, 28, 28), 5),),
)
