"""Average pooling (P3)."""

from .. import _check
from .. import backend as _backend
from .._check import Array, Padding2d, Pair
from . import _plan, _pool
from ._spec import Case, Op


def avg_pool2d(
    x: Array,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    backend: str | None = None,
) -> Array:
    """Take the mean of every window.

        Y[n,c,p,q] = (1/|R|) sum over (h,w) in R[p,q] of Z[n,c,h,w]

    P3. Sources: U19; D19; CN (3). Of float32 the mean is right up to the largest numbers; of float64 it is
    infinite where the sum is.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    kernel_size : int or (rows, columns)
    stride : int, (rows, columns) or None
        None takes kernel_size: windows that do not overlap.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
    ceil_mode : bool
        Round the output's size up; a last window must start inside the image or its top/left padding.
    count_include_pad : bool
        What |R| counts: the window's pixels within the image, or (True) within the padded image.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (N, C, P, Q), dtype of x

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
    >>> x = np.array([[[[1.0, 3.0], [5.0, 7.0]]]])
    >>> cnnx.avg_pool2d(x, 2)
    array([[[[4.]]]])
    >>> cnnx.avg_pool2d(x, 2, padding=((1, 0), (0, 0)), count_include_pad=True)
    array([[[[1.]]]])
    """
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    numbers = _numbers(pool, count_include_pad)
    y = _plan.new(pool.output, x.dtype)
    _backend.kernel("avg_pool2d", _check.NAMES[x.dtype.char], backend)(x, y, **numbers)
    return y


def avg_pool2d_backward(
    grad_output: Array,
    x: Array,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    backend: str | None = None,
) -> Array:
    """Gradient of a cost through `avg_pool2d`: Delta/|R| to each member of the window.

        dZ[n,c,h,w] = sum over the windows R[p,q] that hold (h,w) of Delta[n,c,p,q] / |R|

    P3. Sources: CN (4). The order of the sum is not specified: where windows overlap and a part of it overflows,
    dZ may be infinite or NaN, though the whole would be a number.

    Parameters
    ----------
    grad_output : array (N, C, P, Q), dtype of x
    x, kernel_size, stride, padding, ceil_mode, count_include_pad, backend
        As in the forward call.

    Returns
    -------
    array (N, C, H, W), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.avg_pool2d_backward(np.array([[[[4.0]]]]), np.zeros((1, 1, 2, 2)), 2)
    array([[[[1., 1.],
             [1., 1.]]]])
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    numbers = _numbers(pool, count_include_pad)
    _check.shape("grad_output", grad_output, pool.output, "(the output's)")
    grad_x = _plan.new(x.shape, x.dtype)
    _backend.kernel("avg_pool2d_grad_input", _check.NAMES[x.dtype.char], backend)(grad_output, x, grad_x, **numbers)
    return grad_x


def _numbers(pool: _pool.Pool, count_include_pad: object) -> dict[str, int]:
    include_pad = int(_check.flag("count_include_pad", count_include_pad))
    return pool.numbers | {"p_b": pool.rows[1], "p_r": pool.columns[1], "include_pad": include_pad}


def _case(name: str, x: tuple[int, ...], kernel_size: object, *, exact: bool = False, **options: object) -> Case:
    return Case(name, {"x": x}, {"kernel_size": kernel_size, **options}, exact=exact)


OP = Op(
    name="avg_pool2d",
    forward=avg_pool2d,
    backward=avg_pool2d_backward,
    summary="mean of windows; padding counted or not",
    equations="P3",
    kernels=("avg_pool2d", "avg_pool2d_grad_input"),
    differentiable=("x",),
    linear=("x",),
    edge=True,
    cases=(
        _case("one", (1, 1, 1, 1), 1, exact=True),
        _case("2x2", (2, 3, 4, 6), 2, exact=True),
        _case("4x2 overlapping", (1, 2, 7, 6), (4, 2), stride=1, exact=True),
        _case("gaps", (1, 2, 9, 8), 2, stride=(4, 3), exact=True),
        _case("pad included", (2, 2, 5, 6), (2, 4), stride=2, padding=1, count_include_pad=True, exact=True),
        _case("pad", (2, 2, 5, 6), 3, stride=2, padding=1),
        _case("pad included 3x3", (2, 2, 5, 6), 3, stride=2, padding=1, count_include_pad=True),
        _case("pad by side", (1, 2, 5, 4), (3, 4), stride=(2, 1), padding=((2, 0), (1, 3))),
        _case(
            "pad by side included",
            (1, 2, 5, 4),
            (3, 4),
            stride=(2, 1),
            padding=((0, 2), (3, 1)),
            count_include_pad=True,
        ),
        _case("ceil", (1, 2, 6, 5), 2, stride=(3, 2), ceil_mode=True),
        _case("ceil pad included", (1, 2, 5, 6), (2, 3), stride=2, padding=1, ceil_mode=True, count_include_pad=True),
        _case("same", (1, 2, 5, 6), (2, 3), stride=(2, 1), padding="same"),
        _case("overlapping", (2, 2, 7, 6), 3, stride=1),
        _case("whole image", (2, 2, 3, 5), (3, 5)),
        _case("long row", (1, 1, 3, 70), (2, 3), stride=(1, 2)),
        _case("wide rows", (1, 2, 2, 73), 2, stride=1, exact=True),
        # What kernels do in vectors: whole ones, the last one over columns done before, and strides and windows beyond.
        _case("vectors 2x2", (1, 2, 4, 70), 2, exact=True),
        _case("vectors 3x3", (1, 1, 7, 67), 3, stride=2, padding=1),
        _case("vectors stride 1", (1, 1, 4, 41), 3, stride=1, padding=1, count_include_pad=True),
        _case("vectors 2x4 ceil", (1, 1, 5, 65), (2, 4), stride=2, padding=((1, 0), (0, 1)), ceil_mode=True),
        _case("vectors stride 3", (1, 1, 4, 55), 3, padding=(0, 1)),
        _case("vectors stride 4", (1, 1, 3, 71), (2, 4), stride=(1, 4), exact=True),
        _case("stride 5", (1, 1, 2, 34), (2, 7), stride=(1, 5), padding=(0, 3)),
        _case("stride 17", (1, 1, 2, 40), 2, stride=(1, 17), exact=True),
        _case("17 columns", (1, 1, 2, 40), (2, 17), stride=(1, 3), padding=(0, 5)),
        _case("18 columns, stride 1", (1, 1, 2, 24), (1, 18), stride=1),
        _case("17 rows", (1, 1, 20, 3), (17, 2), stride=2),
        _case("empty batch", (0, 2, 4, 4), 2, exact=True),
    ),
    bench=(_case("2x2", (10, 4, 28, 28), 2),),
    large=(_case("64 channels", (2, 64, 112, 112), 2),),
)
