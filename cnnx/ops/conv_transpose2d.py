"""Two-dimensional transposed convolution (T1-T4)."""

import math
from collections.abc import Mapping

from .. import _check
from .. import backend as _backend
from .._check import Array, Padding, Pair
from . import _plan
from ._conv import transposed_geometry
from ._spec import Case, Op, Shape


def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair | Padding = 0,
    output_padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    backend: str | None = None,
) -> Array:
    """Put a kernel, times the pixel, at each pixel's place and add up where they overlap.

        Y[n,k,p,q] = b[k] + sum of Z[n,c,h,w] F[c,k,r,s]
                     over c, h, w, r, s with u h + d_h r - p_h = p, v w + d_w s - p_w = q

    T1: standard; the output's size is T4. Without a bias it is what `conv2d_backward` makes of x, as the grad_output of
    a convolution with the same weight, stride, padding, dilation and groups.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    weight : array (C, K/groups, R, S), dtype of x
        As PyTorch and ONNX have it: input channels first.
    bias : array (K,), dtype of x, or None
        None counts as zeros.
    stride, dilation : int or (rows, columns)
        At least 1: how far pixels lie apart in the output, and how far a kernel's numbers do.
    padding : int, (rows, columns) or ((top, bottom), (left, right))
        Rows and columns that the output is cut by: those that a convolution the other way would add.
    output_padding : int or (rows, columns)
        Rows at the bottom and columns at the right that the output has more, of the several sizes that a strided
        convolution takes to this input's; fewer than the stride or the dilation.
    groups : int
        Divides C; output channels see the input channels of their own group only.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (N, K, P, Q), dtype of x, C-contiguous
        P = u (H - 1) + d_h (R - 1) + 1 - top - bottom + output_padding, Q alike. What a weight that is not finite makes
        of an output that not all of a kernel reaches is not specified, nor is the order of the sum: where a part
        of it overflows, the output may be infinite or NaN, though the whole would be a number. The same holds for the
        gradients.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes, an option of the wrong type.
    ValueError
        Ranks or channel counts that do not fit, groups that do not divide, stride or dilation below 1, negative
        padding or so much that no output is left, an output_padding that neither stride nor dilation exceeds, an
        unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[1.0, 2.0]]]])
    >>> weight = np.array([[[[1.0, 10.0, 100.0]]]])
    >>> cnnx.conv_transpose2d(x, weight)
    array([[[[  1.,  12., 120., 200.]]]])
    >>> cnnx.conv_transpose2d(x, weight, stride=2, padding=(0, 1))
    array([[[[ 10., 102.,  20.]]]])
    """
    if bias is None:
        if not _check.plain(x, weight):
            x, weight = _check.floats(x=x, weight=weight)
    elif not _check.plain(x, weight, bias):
        x, weight, bias = _check.floats(x=x, weight=weight, bias=bias)
    plan = transposed_geometry((x.shape, weight.shape), stride, padding, output_padding, dilation, groups)
    kind = _check.NAMES[x.dtype.char]
    if bias is None:
        bias = _plan.zeros(plan.output[1], kind)
    else:
        _check.shape("bias", bias, plan.output[1:2], "(one per output channel of weight)")
    y = _plan.new(plan.output, x.dtype)
    _backend.kernel("conv_transpose2d", kind, backend)(x, weight, bias, y, **plan.numbers)
    return y


def conv_transpose2d_backward(
    grad_output: Array,
    x: Array,
    weight: Array,
    *,
    stride: int | Pair = 1,
    padding: int | Pair | Padding = 0,
    output_padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    input_grad: bool = True,
    backend: str | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a cost through `conv_transpose2d`, given the gradient with respect to its output.

        dE/dF[c,k,r,s] = sum_{n,h,w} Z[n,c,h,w] Delta~[n,k, u h + d_h r - p_h, v w + d_w s - p_w]
        dE/db[k]       = sum_{n,p,q} Delta[n,k,p,q]
        dE/dZ[n,c,h,w] = sum_{k,r,s} F[c,k,r,s] Delta~[n,k, u h + d_h r - p_h, v w + d_w s - p_w]

    T2, C4, T3: standard. dE/dZ is the convolution of grad_output that the forward call transposes.

    Parameters
    ----------
    grad_output : array (N, K, P, Q), dtype of x
        dE/dY.
    x, weight, stride, padding, output_padding, dilation, groups, backend
        As in the forward call.
    input_grad : bool
        False skips dE/dZ, as a first layer wants.

    Returns
    -------
    grad_x : array (N, C, H, W) or None with input_grad=False
        What a weight that is not finite makes of an element beside padding is not specified.
    grad_weight : array (C, K/groups, R, S)
    grad_bias : array (K,)

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose2d` does; also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, weight = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0]]]])
    >>> grad_x, grad_weight, grad_bias = cnnx.conv_transpose2d_backward(np.array([[[[1.0, 2.0, 3.0]]]]), x, weight)
    >>> grad_x, grad_weight, grad_bias
    (array([[[[21., 32.]]]]), array([[[[5., 8.]]]]), array([6.]))
    """
    if not _check.plain(grad_output, x, weight):
        grad_output, x, weight = _check.floats(grad_output=grad_output, x=x, weight=weight)
    plan = transposed_geometry((x.shape, weight.shape), stride, padding, output_padding, dilation, groups)
    _check.shape("grad_output", grad_output, plan.output, "(the output's)")
    dtype, kind, grad_x = x.dtype, _check.NAMES[x.dtype.char], None
    if _check.flag("input_grad", input_grad):
        grad_x = _plan.new(x.shape, dtype)
        kernel = _backend.kernel("conv_transpose2d_grad_input", kind, backend)
        kernel(grad_output, weight, grad_x, **plan.numbers)
    grad_weight = _plan.new(weight.shape, dtype)
    _backend.kernel("conv_transpose2d_grad_weight", kind, backend)(grad_output, x, grad_weight, **plan.numbers)
    grad_bias = _plan.new(plan.output[1:2], dtype)
    _backend.kernel("conv2d_grad_bias", kind, backend)(grad_output, grad_bias)
    return grad_x, grad_weight, grad_bias


def _case(name: str, x: Shape, weight: Shape, *, bias: bool = True, groups: int = 1, **options: object) -> Case:
    arrays = {"x": x, "weight": weight} | ({"bias": (weight[1] * groups,)} if bias else {})
    return Case(name, arrays, options | ({"groups": groups} if groups > 1 else {}), exact=True)


def _multiply_adds(shapes: Mapping[str, Shape], output: Shape) -> tuple[int, int]:
    """K, R and S for each pixel of each input channel; backward once for the images and once for the weights."""
    forward = math.prod(shapes["x"]) * math.prod(shapes["weight"][1:])
    return forward, 2 * forward


OP = Op(
    name="conv_transpose2d",
    forward=conv_transpose2d,
    backward=conv_transpose2d_backward,
    summary="transposed convolution with stride, padding by side, output padding, dilation and groups",
    equations="T1-T4, C4",
    kernels=(
        "conv_transpose2d",
        "conv_transpose2d_grad_input",
        "conv_transpose2d_grad_weight",
        "conv2d_grad_bias",
    ),
    differentiable=("x", "weight", "bias"),
    linear=("x", "weight", "bias"),
    cases=(
        _case("one", (1, 1, 1, 1), (1, 1, 1, 1)),
        _case("plain", (2, 3, 5, 4), (3, 4, 3, 2)),
        _case("no bias", (2, 2, 4, 5), (2, 3, 2, 3), bias=False),
        _case("1x1", (2, 3, 4, 5), (3, 5, 1, 1)),
        _case("stride", (1, 2, 4, 3), (2, 3, 3, 3), stride=(2, 3)),
        _case("stride of the kernel", (2, 3, 4, 3), (3, 2, 2, 2), stride=2),
        _case("stride 3", (1, 2, 3, 2), (2, 3, 3, 4), stride=3),
        _case("stride beyond kernel", (1, 2, 3, 4), (2, 2, 2, 1), stride=(4, 3)),
        _case("pad", (2, 2, 5, 4), (2, 3, 3, 3), padding=1),
        _case("pad by side", (1, 2, 4, 5), (2, 2, 3, 4), padding=((0, 2), (3, 1)), stride=(2, 1)),
        _case("pad beyond kernel", (1, 2, 6, 7), (2, 2, 2, 2), padding=(2, 3)),
        _case("doubled", (1, 2, 4, 5), (2, 3, 3, 3), stride=2, padding=1, output_padding=1),
        _case("output padding", (1, 2, 3, 4), (2, 2, 2, 3), stride=(3, 2), output_padding=(2, 1)),
        _case("dilation", (1, 2, 4, 5), (2, 2, 3, 2), dilation=(2, 5)),
        _case("output padding up to the dilation", (1, 1, 3, 2), (1, 2, 2, 2), dilation=3, output_padding=(2, 1)),
        _case("dilation stride pad", (2, 1, 4, 3), (1, 2, 2, 3), dilation=(3, 2), stride=(2, 3), padding=2),
        _case("groups", (2, 6, 4, 3), (6, 2, 2, 3), groups=2, padding=1),
        _case("groups stride", (1, 4, 3, 4), (4, 3, 3, 2), groups=2, stride=2, output_padding=1),
        _case("depthwise", (2, 3, 4, 5), (3, 1, 3, 3), groups=3, stride=2, padding=1),
        _case("depthwise, stride 1", (2, 4, 5, 6), (4, 1, 3, 3), groups=4, padding=1),
        _case("no pixel reaches", (2, 1, 1, 1), (1, 2, 1, 1), stride=3, padding=1, output_padding=2),
        _case("long row", (1, 1, 2, 150), (1, 2, 2, 5), padding=(0, 2)),
        _case("long row stride", (1, 1, 1, 90), (1, 2, 1, 3), stride=(1, 2)),
        _case("many channels", (3, 9, 3, 3), (9, 17, 2, 2), stride=2),
        _case("channels in vectors", (2, 1, 3, 4), (1, 33, 2, 2), padding=1),
        _case("empty batch", (0, 2, 4, 3), (2, 3, 2, 2), stride=2),
    ),
    bench=(_case("doubling", (10, 8, 7, 7), (8, 4, 2, 2), stride=2),),
    large=(_case("64 channels, doubled", (2, 64, 28, 28), (64, 32, 2, 2), stride=2),),
    multiply_adds=_multiply_adds,
)
