"""Global pooling: average or maximum of each map, which is P3 or P1 with the whole image as the one window."""

from typing import Any

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan, _pool, _winners
from ._spec import Case, Op


def global_avg_pool2d(x: Array, *, backend: str | None = None) -> Array:
    """Take the mean of every map.

        Y[n,c,0,0] = (1/(H W)) sum_{h,w} Z[n,c,h,w]

    P3 with the image as its window. Of float32 the mean is right up to the largest numbers; of float64 it is infinite
    where the sum is.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (N, C, 1, 1), dtype of x

    Raises
    ------
    TypeError
        An argument that is no array, another dtype.
    ValueError
        Another number of axes, an image without pixels, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.global_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3))
    array([[[[2.5]]]])
    """
    return _forward("avg_pool2d", x, backend, **NO_PADDING)


def global_avg_pool2d_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    """Gradient of a cost through `global_avg_pool2d`: the same share for each pixel.

        dZ[n,c,h,w] = Delta[n,c,0,0] / (H W)

    P3 with the image as its window.

    Parameters
    ----------
    grad_output : array (N, C, 1, 1), dtype of x
    x, backend
        As in the forward call.

    Returns
    -------
    array (N, C, H, W), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `global_avg_pool2d` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.global_avg_pool2d_backward(np.array([[[[4.0]]]]), np.zeros((1, 1, 2, 2)))
    array([[[[1., 1.],
             [1., 1.]]]])
    """
    return _backward("avg_pool2d_grad_input", grad_output, x, backend, **NO_PADDING)


def global_max_pool2d(
    x: Array, *, return_winners: bool = False, backend: str | None = None
) -> Array | tuple[Array, Array]:
    """Take the maximum of every map.

        Y[n,c,0,0] = max over h, w of Z[n,c,h,w]

    P1 with the image as its window. A NaN wins.

    Parameters
    ----------
    x, backend
        As `global_avg_pool2d` takes them.
    return_winners : bool
        Return too where each maximum is, for `global_max_pool2d_backward`, which then need not search.

    Returns
    -------
    array (N, C, 1, 1), dtype of x; with return_winners a tuple of that and the winners, (N, C, 1, 1), int32:
    each map's first maximum (or first NaN) as an offset h W + w in it

    Raises
    ------
    TypeError, ValueError
        As `global_avg_pool2d` raises them; ValueError also with return_winners for maps of more than 2^31 - 1 pixels.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[-3.0, -1.0], [-2.0, -4.0]]]])
    >>> cnnx.global_max_pool2d(x)
    array([[[[-1.]]]])
    >>> cnnx.global_max_pool2d(x, return_winners=True)[1]
    array([[[[1]]]], dtype=int32)
    """
    if not _check.flag("return_winners", return_winners):
        return _forward("max_pool2d", x, backend)
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    whole((x.shape,))  # which says what is wrong with x's axes
    y, found = _winners.Winners.forward(x, x.shape[2:], None, 0, False, backend)
    return y, found.winners


def global_max_pool2d_backward(
    grad_output: Array, x: Array, *, winners: Array | None = None, backend: str | None = None
) -> Array:
    """Gradient of a cost through `global_max_pool2d`: all of it for the maximum.

        dZ[n,c,h,w] = Delta[n,c,0,0] where Z[n,c,h,w] is the maximum, else 0

    P2 with the image as its window. Among equal maxima the first in row-major order receives it, as with
    `max_pool2d_backward` and ties="first".

    Parameters
    ----------
    grad_output : array (N, C, 1, 1), dtype of x
    x, backend
        As in the forward call.
    winners : array (N, C, 1, 1), int32, or None
        What the forward call returned: they need not be found again.

    Returns
    -------
    array (N, C, H, W), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `global_max_pool2d` does; ValueError also for a grad_output or winners of another shape than the output's,
        and winners outside their maps.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.global_max_pool2d_backward(np.array([[[[4.0]]]]), np.array([[[[1.0, 5.0], [5.0, 2.0]]]]))
    array([[[[0., 4.],
             [0., 0.]]]])
    """
    if winners is None:
        return _backward("max_pool2d_grad_input", grad_output, x, backend)
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    pool = whole((x.shape,))
    _check.shape("grad_output", grad_output, pool.output, "(the output's)")
    found = _winners.Winners(_winners.checked(winners, x.shape, pool), x.shape, x.dtype, pool)
    return found.backward(grad_output, backend)


NO_PADDING = {"p_b": 0, "p_r": 0, "include_pad": 0}


def _forward(name: str, x: Array, backend: str | None, **numbers: int) -> Array:
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    pool = whole((x.shape,))
    y = _plan.new(pool.output, x.dtype)
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(x, y, **pool.numbers, **numbers)
    return y


def _backward(name: str, grad_output: Array, x: Array, backend: str | None, **numbers: int) -> Array:
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    pool = whole((x.shape,))
    _check.shape("grad_output", grad_output, pool.output, "(the output's)")
    grad_x = _plan.new(x.shape, x.dtype)
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(grad_output, x, grad_x, **pool.numbers, **numbers)
    return grad_x


@_plan.remembered
def whole(shapes: _plan.Shapes) -> _pool.Pool:
    """The geometry of one window, the image."""
    _check.rank("x", shapes[0], _check.IMAGES)
    pool: _pool.Pool = _pool.geometry(shapes, shapes[0][2:], None, 0, False)
    return pool


def _op(name: str, *, summary: str, equations: str, kernel: str, exact: bool, winners: bool = False, **more: Any) -> Op:
    def case(label: str, x: tuple[int, ...], *, exact: bool = exact, **options: object) -> Case:
        return Case(label, {"x": x}, options, exact=exact)

    return Op(
        name=name,
        forward=globals()[name],
        backward=globals()[f"{name}_backward"],
        summary=summary,
        equations=equations,
        kernels=(
            kernel,
            f"{kernel}_grad_input",
            *((f"{kernel}_winners", f"{kernel}_grad_input_winners") if winners else ()),
        ),
        differentiable=("x",),
        cases=(
            case("one", (2, 3, 1, 1), exact=True),
            case("2x2", (2, 3, 2, 2), exact=True),
            case("4x8", (1, 2, 4, 8), exact=True),
            case("odd", (2, 3, 3, 5)),
            case("7x7", (1, 5, 7, 7)),
            case("long row", (1, 2, 1, 70)),
            case("tall", (1, 2, 37, 1)),
            case("wide", (1, 1, 3, 41)),
            case("many maps", (2, 40, 2, 3)),
            case("empty batch", (0, 2, 3, 4)),
            *((case("winners", (2, 3, 3, 5), return_winners=True),) if winners else ()),
            *((case("winners, many maps", (2, 40, 2, 3), return_winners=True),) if winners else ()),
            *((case("winners, long row", (1, 2, 1, 70), return_winners=True),) if winners else ()),
            *((case("winners, empty batch", (0, 2, 3, 4), return_winners=True),) if winners else ()),
        ),
        bench=(case("7x7", (10, 16, 7, 7)),),
        **more,
    )


OPS = (
    _op(
        "global_avg_pool2d",
        summary="mean of each map",
        equations="P3",
        kernel="avg_pool2d",
        exact=False,
        linear=("x",),
        edge=True,
    ),
    _op(
        "global_max_pool2d",
        summary="maximum of each map; ties to the first",
        equations="P1, P2",
        kernel="max_pool2d",
        exact=True,
        winners=True,
        kinks="ties",
    ),
)
