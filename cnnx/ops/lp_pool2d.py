"""Lp pooling (P4)."""

from .. import _check
from .. import backend as _backend
from .._check import Array, Padding2d, Pair
from . import _plan, _pool
from ._spec import Case, Op


def lp_pool2d(
    x: Array,
    norm_type: float,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    normalize: bool = True,
    backend: str | None = None,
) -> Array:
    """Take the p-norm of every window, its mean form as the sources have it.

        Y[n,c,p,q] = ((1/|R|) sum over (h,w) in R[p,q] of |Z[n,c,h,w]|^rho)^(1/rho)

    P4. Sources: U19; D19 (both without the absolute value, which is an erratum). The powers are taken in
    double, as they stand: where |Z|^rho leaves its range, Y is inf or 0.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    norm_type : float
        rho, finite and at least 1.
    kernel_size : int or (rows, columns)
    stride : int, (rows, columns) or None
        None takes kernel_size: windows that do not overlap.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
    ceil_mode : bool
        Round the output's size up; a last window must start inside the image or its top/left padding.
    normalize : bool
        False leaves out the 1/|R|, as ONNX and PyTorch do. |R| counts pixels within the image.
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
        norm_type below 1 or not finite, ranks that do not fit, a window larger than the padded image
        or wholly in padding, sizes or strides below 1, negative padding, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[3.0, -4.0]]]])
    >>> cnnx.lp_pool2d(x, 2, (1, 2), normalize=False)
    array([[[[5.]]]])
    >>> cnnx.lp_pool2d(x, 1, (1, 2))
    array([[[[3.5]]]])
    """
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    rho, mean = _options(norm_type, normalize)
    y = _plan.new(pool.output, x.dtype)
    _backend.kernel("lp_pool2d", _check.NAMES[x.dtype.char], backend)(x, y, **pool.numbers, rho=rho, normalize=mean)
    return y


def lp_pool2d_backward(
    grad_output: Array,
    x: Array,
    norm_type: float,
    kernel_size: int | Pair,
    *,
    stride: int | Pair | None = None,
    padding: Padding2d = 0,
    ceil_mode: bool = False,
    normalize: bool = True,
    backend: str | None = None,
) -> Array:
    """Gradient of a cost through `lp_pool2d`.

        dZ = sum over the windows of Delta (1/|R|) sign(Z) |Z|^(rho-1) Y^(1-rho), 0 where Y = 0

    P4. Where windows overlap, the order of the sum is not specified: where a part of it overflows, dZ may be infinite
    or NaN, though the whole would be a number.

    Parameters
    ----------
    grad_output : array (N, C, P, Q), dtype of x
    x, norm_type, kernel_size, stride, padding, ceil_mode, normalize, backend
        As in the forward call.

    Returns
    -------
    array (N, C, H, W), dtype of x

    Raises
    ------
    TypeError, ValueError
        As `lp_pool2d` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[3.0, -4.0]]]])
    >>> cnnx.lp_pool2d_backward(np.array([[[[1.0]]]]), x, 2, (1, 2), normalize=False)
    array([[[[ 0.6, -0.8]]]])
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
    rho, mean = _options(norm_type, normalize)
    _check.shape("grad_output", grad_output, pool.output, "(the output's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel("lp_pool2d_grad_input", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output, x, grad_x, **pool.numbers, rho=rho, normalize=mean)
    return grad_x


def _options(norm_type: object, normalize: object) -> tuple[float, int]:
    rho = _check.real("norm_type", norm_type)
    if rho < 1:
        raise ValueError(f"norm_type: expected a finite number of at least 1, got {rho}")
    return rho, int(_check.flag("normalize", normalize))


def _case(name: str, x: tuple[int, ...], norm_type: float, kernel_size: object, **options: object) -> Case:
    return Case(name, {"x": x}, {"norm_type": norm_type, "kernel_size": kernel_size, **options})


OP = Op(
    name="lp_pool2d",
    forward=lp_pool2d,
    backward=lp_pool2d_backward,
    summary="p-norm of windows, with or without the 1/|R|",
    equations="P4",
    kernels=("lp_pool2d", "lp_pool2d_grad_input"),
    differentiable=("x",),
    kinks="zero",
    cases=(
        _case("one", (1, 1, 1, 1), 2, 1),
        _case("rho 1", (2, 2, 4, 6), 1, 2),
        _case("rho 1 sum", (2, 2, 4, 6), 1, 2, normalize=False),
        _case("rho 2", (2, 3, 4, 6), 2, 2),
        _case("rho 2 sum", (2, 3, 4, 6), 2, 2, normalize=False),
        _case("rho 3", (1, 2, 5, 7), 3, (2, 3)),
        _case("rho 2.5 sum", (1, 2, 5, 7), 2.5, (3, 2), stride=1, normalize=False),
        _case("rho 10", (1, 2, 4, 4), 10, 2),
        _case("overlapping", (1, 2, 6, 5), 2, 3, stride=1),
        _case("gaps", (1, 2, 9, 8), 3, 2, stride=(4, 3)),
        _case("stride 3", (1, 2, 8, 9), 2, 3, stride=3),
        _case("pad", (2, 2, 5, 6), 2, 3, stride=2, padding=1),
        _case("pad by side sum", (1, 2, 5, 4), 3, (3, 4), stride=(2, 1), padding=((2, 0), (1, 3)), normalize=False),
        _case("ceil pad", (1, 2, 5, 6), 2, (2, 3), stride=2, padding=1, ceil_mode=True),
        _case("same", (1, 2, 5, 6), 1.5, (2, 3), stride=(2, 1), padding="same"),
        _case("wide rows", (1, 1, 2, 73), 2, 2, stride=1),
        # Whole vectors, the last one over columns done before, and strides and windows beyond.
        _case("vectors 2x2", (1, 1, 2, 70), 2, 2),
        _case("vectors 3x3", (1, 1, 3, 67), 2, 3, stride=2, padding=1, normalize=False),
        _case("vectors rho 1", (1, 1, 3, 41), 1, 3, stride=1, padding=1),
        _case("vectors rho 3", (1, 1, 2, 55), 3, (2, 3), padding=(0, 1)),
        _case("stride 5", (1, 1, 2, 34), 1, (2, 7), stride=(1, 5), padding=(0, 3)),
        _case("17 columns", (1, 1, 2, 24), 2, (2, 17), stride=(1, 3), padding=(0, 5)),
        _case("empty batch", (0, 2, 4, 4), 2, 2),
    ),
    bench=(_case("rho 2", (10, 4, 28, 28), 2, 2),),
)
