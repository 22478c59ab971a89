"""Max pooling (P1, P2)."""

from typing import Literal

from .. import _check
from .. import backend as _backend
from .._check import Array, Padding2d, Pair
from . import _plan, _pool, _winners
from ._spec import Case, Op


def max_pool2d(
    x: Array,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    return_winners: bool = False,
    backend: str | None = None,
) -> Array | tuple[Array, Array]:
    """Take the maximum of every window; padding never wins, NaN always does.

        Y[n,c,p,q] = max over (h,w) in R[p,q] of Z[n,c,h,w]

    P1. Sources: M17 (13); W15; U19; D19; CN (3).

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    kernel_size : int or (rows, columns)
    stride : int, (rows, columns) or None
        None takes kernel_size: windows that do not overlap.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
        It counts as minus infinity.
    ceil_mode : bool
        Round the output's size up; a last window must start inside the image or its top/left padding.
    return_winners : bool
        Also return where each maximum was found, for the backward call.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    y : array (N, C, P, Q), dtype of x
    winners : array (N, C, P, Q), int32; only with return_winners=True
        r S + s of each window's first maximum, counted from the unclipped window's corner.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, an option of the wrong type.
    ValueError
        Ranks that do not fit, a window larger than the padded image or wholly in padding, sizes or
        strides below 1, negative padding, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[1.0, 4.0, 2.0, 0.0], [3.0, 2.0, 5.0, 5.0]]]])
    >>> y, winners = cnnx.max_pool2d(x, 2, return_winners=True)
    >>> y
    array([[[[4., 5.]]]])
    >>> winners
    array([[[[1, 2]]]], dtype=int32)
    """
    if _check.flag("return_winners", return_winners):
        y, found = _winners.Winners.forward(x, kernel_size, stride, padding, ceil_mode, backend)
        return y, found.winners
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    y = _plan.new(pool.output, x.dtype)
    _backend.kernel("max_pool2d", _check.NAMES[x.dtype.char], backend)(x, y, **pool.numbers)
    return y


def max_pool2d_backward(
    grad_output: Array,
    x: Array,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    ties: Literal["first", "all"] = "first",
    winners: Array | None = None,
    backend: str | None = None,
) -> Array:
    """Gradient of a cost through `max_pool2d`.

        dZ[n,c,h,w] = sum_{p,q} Delta[n,c,p,q] B, B = 1 where (h,w) is the winner of R[p,q], else 0

    P2. Sources: M17 (14); W15; D19 (7); CN (4), all of which give every tied maximum the whole
    Delta, which is no derivative: that is ties="all". Where windows overlap, the order of the sum is not specified:
    where a part of it overflows, dZ may be infinite or NaN, though the whole would be a number.

    Parameters
    ----------
    grad_output : array (N, C, P, Q), dtype of x
    x, kernel_size, stride, padding, ceil_mode, backend
        As in the forward call.
    ties : "first" or "all"
        Who wins among equal maxima: the first in row-major order, or all (as printed).
    winners : array (N, C, P, Q), int32, or None
        What the forward call saved: it need not be found again. Only with ties="first".

    Returns
    -------
    array (N, C, H, W), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d` does; ValueError also for a grad_output or winners of another shape than the
        output's, winners outside their windows, and winners together with ties="all".

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[1.0, 5.0], [5.0, 2.0]]]])
    >>> delta = np.array([[[[1.0]]]])
    >>> cnnx.max_pool2d_backward(delta, x, 2)
    array([[[[0., 1.],
             [0., 0.]]]])
    >>> cnnx.max_pool2d_backward(delta, x, 2, ties="all")
    array([[[[0., 1.],
             [1., 0.]]]])
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    _check.shape("grad_output", grad_output, pool.output, "(the output's)")
    _check.choice("ties", ties, ("first", "all"))
    if winners is not None:
        if ties == "all":
            raise ValueError('winners: expected None with ties="all", which needs every tied maximum, got an array')
        found = _winners.Winners(_winners.checked(winners, x.shape, pool), x.shape, x.dtype, pool)
        return found.backward(grad_output, backend)
    grad_x = _plan.new(x.shape, x.dtype)
    name = "max_pool2d_grad_input" if ties == "first" else "max_pool2d_grad_input_all"
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(grad_output, x, grad_x, **pool.numbers)
    return grad_x


def _case(name: str, x: tuple[int, ...], kernel_size: object, **options: object) -> Case:
    return Case(name, {"x": x}, {"kernel_size": kernel_size, **options}, exact=True)


CASES = (
    _case("one", (1, 1, 1, 1), 1),
    _case("2x2", (2, 3, 4, 6), 2),
    _case("odd image", (2, 2, 5, 7), 2),
    _case("rectangular", (1, 2, 6, 8), (3, 2), stride=(1, 2)),
    _case("overlapping", (2, 2, 7, 6), 3, stride=1),
    _case("gaps", (1, 2, 9, 8), 2, stride=(4, 3)),
    _case("pad", (2, 2, 5, 6), 3, stride=2, padding=1),
    _case("pad by side", (1, 2, 5, 4), (3, 4), stride=(2, 1), padding=((2, 0), (1, 3))),
    _case("ceil", (1, 2, 6, 5), 2, stride=(3, 2), ceil_mode=True),
    _case("ceil pad", (1, 2, 5, 6), (2, 3), stride=2, padding=1, ceil_mode=True),
    _case("same", (1, 2, 5, 6), (2, 3), stride=(2, 1), padding="same"),
    _case("whole image", (2, 2, 3, 4), (3, 4)),
    _case("long row", (1, 1, 3, 70), (2, 3), stride=(1, 2)),
    _case("wide rows", (1, 2, 2, 73), 2, stride=1),
    # What kernels do in vectors: whole ones, the last one over columns done before, and strides and windows beyond.
    _case("vectors 2x2", (1, 2, 4, 70), 2),
    _case("small images 2x2", (3, 2, 6, 28), 2),
    _case("smaller images 2x2", (3, 4, 4, 14), 2),
    _case("odd small images 2x2", (3, 2, 7, 15), 2),
    _case("vectors 3x3", (1, 1, 7, 67), 3, stride=2, padding=1),
    _case("vectors stride 1", (1, 1, 4, 41), 3, stride=1, padding=1),
    _case("vectors 3x4 ceil", (1, 1, 5, 65), (3, 4), stride=2, padding=((1, 0), (0, 1)), ceil_mode=True),
    _case("vectors stride 3", (1, 1, 4, 55), 3, padding=(0, 1)),
    _case("vectors stride 4", (1, 1, 3, 71), (2, 5), stride=(1, 4), padding=(0, 2)),
    _case("stride 5", (1, 1, 2, 34), (2, 7), stride=(1, 5), padding=(0, 3)),
    _case("stride 17", (1, 1, 2, 40), 2, stride=(1, 17)),
    _case("17 columns", (1, 1, 2, 40), (2, 17), stride=(1, 3), padding=(0, 5)),
    _case("18 columns, stride 1", (1, 1, 2, 24), (1, 18), stride=1),
    _case("5 rows", (1, 1, 11, 17), (5, 2), stride=1, padding=(2, 0)),
    _case("empty batch", (0, 2, 4, 4), 2),
)

OP = Op(
    name="max_pool2d",
    forward=max_pool2d,
    backward=max_pool2d_backward,
    summary="maximum of windows; ties to the first or to all",
    equations="P1, P2",
    kernels=(
        "max_pool2d",
        "max_pool2d_winners",
        "max_pool2d_grad_input",
        "max_pool2d_grad_input_all",
        "max_pool2d_grad_input_winners",
    ),
    differentiable=("x",),
    kinks="ties",
    cases=(
        *CASES,
        _case("winners", (2, 2, 5, 6), 3, stride=2, padding=1, return_winners=True),
        _case("winners overlapping", (1, 2, 7, 6), (2, 3), stride=1, return_winners=True),
        _case("ties all", (2, 2, 6, 5), 3, stride=2, padding=1, ties="all"),
        _case("winners 2x2", (1, 1, 4, 70), 2, return_winners=True),
        _case("winners 2x2, small images", (3, 2, 6, 28), 2, return_winners=True),
        _case("winners 2x2, smaller images", (3, 4, 4, 14), 2, return_winners=True),
        _case("winners 2x2, odd small images", (3, 2, 7, 15), 2, return_winners=True),
        _case("winners 3x3", (1, 1, 5, 67), 3, stride=2, padding=1, return_winners=True),
        _case("winners stride 1", (1, 1, 4, 34), 3, stride=1, padding=1, return_winners=True),
        _case("winners stride 3", (1, 1, 3, 55), 3, padding=(0, 1), return_winners=True),
        _case("winners stride 4", (1, 1, 2, 71), (2, 5), stride=(1, 4), padding=(0, 2), return_winners=True),
        _case("winners 17 columns", (1, 1, 2, 40), (2, 17), stride=(1, 3), padding=(0, 5), return_winners=True),
        _case("winners stride 17", (1, 1, 2, 40), 2, stride=(1, 17), return_winners=True),
        _case("ties all overlapping", (1, 2, 5, 6), 2, stride=1, ties="all"),
        _case("ties all 2x2", (1, 1, 4, 70), 2, ties="all"),
        _case("ties all 3x3", (1, 1, 5, 67), 3, stride=2, padding=1, ties="all"),
        _case("ties all stride 1", (1, 1, 3, 34), 3, stride=1, padding=1, ties="all"),
        _case("ties all stride 3", (1, 1, 3, 55), 3, padding=(0, 1), ties="all"),
        _case("ties all stride 17", (1, 1, 2, 40), 2, stride=(1, 17), ties="all"),
    ),
    bench=(_case("cn layer 1", (10, 4, 28, 28), 2), _case("3x3 stride 2", (4, 8, 28, 28), 3, stride=2, padding=1)),
    large=(_case("64 channels", (2, 64, 112, 112), 2),),
)
