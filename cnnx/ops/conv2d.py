"""Two-dimensional convolution (C1-C6)."""

import math
from collections.abc import Mapping

from .. import _check
from .. import backend as _backend
from .._check import Array, Padding2d, Pair
from . import _plan, _winograd
from ._conv import Algorithm, geometry
from ._spec import Case, Op, Shape


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Pair = 1,
    padding: Padding2d = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    algorithm: Algorithm = "direct",
    backend: str | None = None,
) -> Array:
    """Convolve images with kernels (cross-correlation, as every source has it).

        Y[n,k,p,q] = b[k] + sum_{c,r,s} F[k,c,r,s] Z~[n,c, u p + d_h r - p_h, v q + d_w s - p_w]

    C1; the output's size is C2. Sources: M17 (4); W15; U19 u_ij; D19 Z^Fk_ij; CN (1), (2).

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    weight : array (K, C/groups, R, S), dtype of x
    bias : array (K,), dtype of x, or None
        None counts as zeros.
    stride, dilation : int or (rows, columns)
        At least 1.
    padding : int, (rows, columns), ((top, bottom), (left, right)), "same" or "valid"
        Zeros around the image. "same" gives ceil(H / stride) rows, the odd one at the bottom or right.
    groups : int
        Divides C and K; output channels see the input channels of their own group only.
    algorithm : "direct", "winograd" or "auto"
        Winograd's algorithm (W1-W3) takes 1/2.25 or 1/4 of the products where it fits: kernels of 3x3 and, with
        1/2.8 of them, 5x5 at stride 1, dilation 1. "auto" is the faster of the two by the shapes of x and weight
        alone, whatever batch and processor (`conv2d_algorithm` says which), so that its results are the same bits
        too. Tiles are 4 x 4 outputs where that takes fewer products than 2 x 2 (3 or 4 and from 7 rows and columns
        on, for square outputs); for 5x5 kernels always 2 x 2. A NaN or an infinity may spread within its tile. Errors
        in float32, relative to the largest output, for normally distributed numbers and 64 / 256 channels:

        =================  ================  ===============
        .                  root mean square  largest
        =================  ================  ===============
        direct, 3x3        0.9e-7 / 1.6e-7   1.1e-6 / 1.8e-6
        2 x 2 tiles        0.5e-7 / 1.0e-7   0.4e-6 / 0.7e-6
        4 x 4 tiles        3.4e-7 / 5.7e-7   6.4e-6 / 11e-6
        direct, 5x5        1.3e-7 / 2.6e-7   1.7e-6 / 3.7e-6
        2 x 2 tiles, 5x5   3.7e-7 / 7.2e-7   4.8e-6 / 9.3e-6
        =================  ================  ===============

        It needs memory for the transformed kernels, 16/9, 4 or, for 5x5, 36/25 times the weight's, and for each thread
        2 to 3 MiB (more beyond 1,100 input channels of a group); where that would pass 16 MiB for each thread, some
        kernels at a time.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (N, K, P, Q), dtype of x, C-contiguous
        What a weight that is not finite makes of an output beside padding is not specified, nor is the order of
        the sum: where a part of it overflows, the output may be infinite or NaN, though the whole would be a number.
        The same holds for the gradients.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes, an option of the wrong type.
    ValueError
        Ranks or channel counts that do not fit, groups that do not divide, a kernel larger than the
        padded image, stride or dilation below 1, negative padding, an unknown algorithm or back end, an algorithm
        that does not fit.

    Examples
    --------
    D19's first filter on the image of an o, without bias:

    >>> import cnnx, numpy as np
    >>> o = np.array([[[[1, 1, 1], [1, 0, 1], [1, 1, 1]]]], dtype="float32")
    >>> filter1 = np.array([[[[1, 1], [1, -1]]]], dtype="float32")
    >>> cnnx.conv2d(o, filter1)
    array([[[[3., 1.],
             [1., 1.]]]], dtype=float32)
    """
    given: object = weight
    kept = given if isinstance(given, _winograd.Kept) else None
    if kept is not None:
        weight = kept.weight
    if bias is None:
        if not _check.plain(x, weight):
            x, weight = _check.floats(x=x, weight=weight)
    elif not _check.plain(x, weight, bias):
        x, weight, bias = _check.floats(x=x, weight=weight, bias=bias)
    plan = geometry((x.shape, weight.shape), stride, padding, dilation, groups, algorithm)
    output, dtype = plan.output, x.dtype
    kind = _check.NAMES[dtype.char]
    if bias is None:
        bias = _plan.zeros(output[1], kind)
    else:
        _check.shape("bias", bias, output[1:2], "(one per output channel of weight)")
    y = _plan.new(output, dtype)
    if plan.algorithms[0] == "direct":
        _backend.kernel("conv2d", kind, backend)(x, weight, bias, y, **plan.numbers)
        return y
    numbers = plan.winograd(output[2], output[3], weight.shape[2])
    if kept is None:
        _backend.kernel("conv2d_winograd", kind, backend)(x, weight, bias, y, **numbers)
    else:
        transformed = kept.transformed(numbers["t"], numbers["groups"], backend)
        _backend.kernel("conv2d_winograd_frozen", kind, backend)(x, transformed, bias, y, **numbers)
    return y


def conv2d_backward(
    grad_output: Array,
    x: Array,
    weight: Array,
    *,
    stride: int | Pair = 1,
    padding: Padding2d = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    algorithm: Algorithm = "direct",
    input_grad: bool = True,
    backend: str | None = None,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a cost through `conv2d`, given the gradient with respect to its output.

        dE/dF[k,c,r,s] = sum_{n,p,q} Delta[n,k,p,q] Z~[n,c, u p + d_h r - p_h, v q + d_w s - p_w]
        dE/db[k]       = sum_{n,p,q} Delta[n,k,p,q]
        dE/dZ[n,c,h,w] = sum_{k,p,q} Delta[n,k,p,q] F[k,c,r,s], d_h r = h + p_h - u p, d_w s = w + p_w - v q

    C3, C4, C5 with the bounds C6. Sources: M17 (5)-(9); W15; D19 (9), (10); CN. They sum: a mean over
    the batch is already in grad_output (equations.md section 5).

    Parameters
    ----------
    grad_output : array (N, K, P, Q), dtype of x
        dE/dY.
    x, weight, stride, padding, dilation, groups, algorithm, backend
        As in the forward call. "winograd" is for dE/dZ alone, with tiles by the shape of x; "auto" may choose
        another algorithm for it than for the output.
    input_grad : bool
        False skips dE/dZ, as a first layer wants.

    Returns
    -------
    grad_x : array (N, C, H, W) or None with input_grad=False
        What a weight that is not finite makes of an element that not all of a kernel reaches is not specified.
    grad_weight : array (K, C/groups, R, S)
    grad_bias : array (K,)

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does; also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> weight = np.full((1, 1, 1, 1), 10.0)
    >>> grad_x, grad_weight, grad_bias = cnnx.conv2d_backward(np.ones((1, 1, 2, 2)), x, weight)
    >>> grad_x
    array([[[[10., 10.],
             [10., 10.]]]])
    >>> grad_weight, grad_bias
    (array([[[[6.]]]]), array([4.]))
    """
    if not _check.plain(grad_output, x, weight):
        grad_output, x, weight = _check.floats(grad_output=grad_output, x=x, weight=weight)
    plan = geometry((x.shape, weight.shape), stride, padding, dilation, groups, algorithm)
    _check.shape("grad_output", grad_output, plan.output, "(the output's)")
    dtype, kind, grad_x = x.dtype, _check.NAMES[x.dtype.char], None
    if _check.flag("input_grad", input_grad):
        grad_x = _plan.new(x.shape, dtype)
        direct = plan.algorithms[1] == "direct"
        name = "conv2d_grad_input" if direct else "conv2d_winograd_grad_input"
        numbers = plan.numbers if direct else plan.winograd(x.shape[2], x.shape[3], weight.shape[2])
        _backend.kernel(name, kind, backend)(grad_output, weight, grad_x, **numbers)
    grad_weight = _plan.new(weight.shape, dtype)
    _backend.kernel("conv2d_grad_weight", kind, backend)(grad_output, x, grad_weight, **plan.numbers)
    grad_bias = _plan.new(weight.shape[:1], dtype)
    _backend.kernel("conv2d_grad_bias", kind, backend)(grad_output, grad_bias)
    return grad_x, grad_weight, grad_bias


def _case(name: str, x: tuple[int, ...], weight: tuple[int, ...], *, bias: bool = True, **options: object) -> Case:
    arrays = {"x": x, "weight": weight} | ({"bias": (weight[0],)} if bias else {})
    algorithms = {options.get("algorithm", "direct")}
    if algorithms == {"auto"}:
        numbers = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | options
        algorithms = {*geometry((x, weight), *numbers.values()).algorithms}
    # Winograd's kernels hold thirds: no binary number is one.
    return Case(name, arrays, options, exact=algorithms == {"direct"})


def _winograd_case(
    name: str, x: tuple[int, ...], K: int, R: int = 3, *, groups: int = 1, bias: bool = True, **options: object
) -> Case:
    weight = (K, x[1] // groups, R, R)
    return _case(f"Winograd, {name}", x, weight, bias=bias, algorithm="winograd", groups=groups, **options)


def _multiply_adds(shapes: Mapping[str, Shape], output: Shape) -> tuple[int, int]:
    """K, C, R and S at each position of each output; backward once for the images and once for the weights."""
    forward = math.prod(output) * math.prod(shapes["weight"][1:])
    return forward, 2 * forward


OP = Op(
    name="conv2d",
    forward=conv2d,
    backward=conv2d_backward,
    summary="convolution with stride, padding by side, dilation and groups",
    equations="C1-C6, W1-W3",
    kernels=(
        "conv2d",
        "conv2d_grad_input",
        "conv2d_grad_weight",
        "conv2d_grad_bias",
        "conv2d_winograd",
        "conv2d_winograd_grad_input",
    ),
    frozen_kernels=("conv2d_winograd_weight", "conv2d_winograd_frozen"),
    differentiable=("x", "weight", "bias"),
    linear=("x", "weight", "bias"),
    cases=(
        _case("one", (1, 1, 1, 1), (1, 1, 1, 1)),
        _case("plain", (2, 3, 7, 5), (4, 3, 3, 2)),
        _case("no bias", (2, 3, 5, 6), (2, 3, 2, 3), bias=False),
        _case("1x1", (2, 3, 4, 5), (5, 3, 1, 1)),
        _case("whole image", (2, 2, 4, 3), (3, 2, 4, 3)),
        _case("stride", (1, 2, 9, 8), (3, 2, 3, 3), stride=(2, 3)),
        _case("stride beyond kernel", (1, 2, 11, 10), (2, 2, 2, 1), stride=(4, 3)),
        _case("stride 3", (1, 2, 11, 10), (3, 2, 3, 3), stride=3, padding=1),
        _case("pad", (2, 2, 5, 4), (3, 2, 3, 3), padding=1),
        _case("pad wide", (1, 2, 3, 2), (2, 2, 3, 3), padding=(3, 4)),
        _case("pad by side", (1, 2, 6, 5), (2, 2, 3, 4), padding=((0, 2), (3, 1)), stride=(2, 1)),
        _case("same odd", (1, 2, 7, 6), (2, 2, 2, 4), padding="same", stride=(2, 3)),
        _case("valid", (1, 2, 5, 6), (2, 2, 3, 2), padding="valid"),
        _case("dilation", (1, 2, 9, 11), (2, 2, 3, 2), dilation=(2, 5)),
        _case("dilation 2", (1, 2, 9, 8), (2, 2, 3, 3), dilation=2, padding=2),
        _case("dilation stride pad", (2, 1, 8, 9), (2, 1, 2, 3), dilation=(3, 2), stride=(2, 3), padding=2),
        _case("groups", (2, 6, 5, 4), (4, 3, 2, 3), groups=2, padding=1),
        _case("depthwise", (2, 3, 6, 5), (6, 1, 3, 3), groups=3, padding=1, stride=2),
        _case("depthwise, stride 1", (2, 4, 5, 6), (4, 1, 3, 3), groups=4, padding=1),
        _case("long row", (1, 1, 2, 150), (2, 1, 2, 5), padding=(0, 2)),
        _case("long row stride", (1, 1, 3, 200), (1, 1, 2, 3), stride=(1, 2), padding=(1, 1)),
        _case("many channels", (5, 3, 4, 4), (9, 3, 2, 2)),
        _case(
            "many channels in groups",
            (3, 4, 5, 6),
            (10, 2, 3, 2),
            groups=2,
            padding=((1, 0), (0, 2)),
            dilation=(1, 2),
            stride=(1, 2),
        ),
        _case("wide rows", (2, 2, 2, 72), (5, 2, 2, 3), padding=((0, 1), (2, 1)), dilation=(1, 3)),
        _case("wide rows stride", (1, 2, 1, 140), (2, 2, 1, 3), stride=(1, 2)),
        # Gradients with respect to weights: vectors over 1, 2 or 4 times 16 channels, or few channels and positions.
        _case("channels in vectors", (2, 1, 4, 5), (33, 1, 2, 2), padding=1),
        _case("channels in pairs of vectors", (2, 2, 3, 5), (32, 2, 2, 2), stride=(1, 2), dilation=(2, 1)),
        _case("channels in fours of vectors", (1, 1, 4, 3), (64, 1, 2, 2), padding=(1, 0)),
        _case("channels in vectors and groups", (2, 4, 5, 5), (24, 2, 2, 2), groups=2, padding=1, stride=2),
        _case("few channels, columns apart", (1, 1, 7, 40), (3, 1, 2, 2), stride=2, dilation=(1, 3), padding=(0, 2)),
        _case("few channels, 1x1", (2, 2, 5, 7), (5, 2, 1, 1)),
        _case("rows in parts", (1, 1, 41, 30), (2, 1, 2, 2)),
        _case("columns in parts", (1, 1, 1, 2300), (1, 1, 1, 3), padding=(0, 1)),
        _case("empty batch", (0, 2, 5, 4), (3, 2, 2, 2), padding=1),
        _winograd_case("one", (1, 1, 3, 3), 1),
        _winograd_case("tiles of 4", (1, 3, 8, 9), 9, padding=1),
        _winograd_case("tiles of 2", (3, 2, 6, 5), 3, padding=1, bias=False),
        _winograd_case("odd", (1, 2, 13, 11), 2, padding="same"),
        _winograd_case("pad by side", (2, 2, 5, 7), 2, padding=((0, 3), (2, 0))),
        _winograd_case("pad wide", (1, 2, 3, 2), 2, padding=(4, 5)),
        _winograd_case("groups", (1, 4, 6, 4), 10, groups=2, padding=(1, 2)),
        _winograd_case("depthwise", (1, 3, 6, 5), 3, groups=3, padding=1),
        _winograd_case("long row", (1, 1, 3, 210), 1, padding=(0, 1)),
        _winograd_case("many small images", (9, 2, 4, 4), 2),
        _winograd_case("many channels", (1, 5, 3, 2), 17, padding=1),
        _winograd_case("empty batch", (0, 2, 5, 4), 3, padding=1),
        _winograd_case("5x5", (2, 3, 9, 8), 9, 5, padding=2),
        _winograd_case("5x5, one", (1, 1, 5, 5), 1, 5),
        _winograd_case("5x5, pad by side, groups", (1, 4, 6, 7), 6, 5, groups=2, padding=((0, 3), (5, 1)), bias=False),
        _winograd_case("5x5, many channels", (3, 5, 5, 6), 17, 5, padding="same"),
        _case("auto, direct", (2, 3, 5, 6), (4, 3, 3, 3), padding=1, algorithm="auto"),
        _case("auto, another kernel", (1, 2, 7, 6), (3, 2, 3, 2), stride=(2, 1), dilation=(1, 2), algorithm="auto"),
    ),
    bench=(
        _case("cn layer 2", (10, 4, 14, 14), (4, 4, 3, 3), padding=1),
        _case("cn layer 1", (10, 1, 28, 28), (4, 1, 3, 3), padding=1),
    ),
    large=(
        _case("3x3, 64 channels", (2, 64, 56, 56), (64, 64, 3, 3), padding=1),
        _case("1x1, 256 channels", (1, 256, 56, 56), (64, 256, 1, 1)),
        _case("depthwise, 128 channels", (1, 128, 56, 56), (128, 1, 3, 3), padding=1, groups=128),
        _winograd_case("64 channels", (2, 64, 56, 56), 64, padding=1),
    ),
    multiply_adds=_multiply_adds,
)
