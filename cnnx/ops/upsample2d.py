"""Two-dimensional resizing, to the nearest pixel or bilinear (R1-R5)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .. import _check
from .. import backend as _backend
from .._check import Array, Pair
from . import _plan
from ._spec import Case, Op, Shape

Mode = Literal["nearest", "bilinear"]
Coordinates = Literal["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
Rounding = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

LARGEST = 2**62  # of what a kernel computes on the way to a coordinate


def upsample2d(
    x: Array,
    size: int | Pair,
    *,
    mode: Mode = "nearest",
    coordinates: Coordinates = "half_pixel",
    rounding: Rounding = "round_prefer_floor",
    backend: str | None = None,
) -> Array:
    """Resize images: to the nearest pixel, or bilinear between the four around a place.

        nearest:   Y[n,c,p,q] = Z[n,c,h(p),w(q)]
        bilinear:  Y[n,c,p,q] = sum_{h,w} a[p,h] b[q,w] Z[n,c,h,w]

    R1-R5: standard; it is ONNX's Resize with `sizes`. Where output row p lies in x is a fraction, computed in integers:
    no rounding of a coordinate moves a pixel. Images may become smaller too: without antialiasing, so that pixels
    between those that are looked at do not count. Pixels with a weight of 0 do not count either, be they NaN.

    Parameters
    ----------
    x : array (N, C, H, W), float32 or float64
    size : int or (rows, columns)
        P and Q, from 1.
    mode : "nearest" or "bilinear"
    coordinates : "half_pixel", "align_corners", "asymmetric" or "pytorch_half_pixel"
        Where output row p lies: (p + 1/2) H/P - 1/2, p (H - 1)/(P - 1), or p H/P; with the last one as with the first,
        but 0 where P is 1. Align_corners with P = 1 is 0. Columns alike; what lies beyond an edge is on it.
    rounding : "round_prefer_floor", "round_prefer_ceil", "floor" or "ceil"
        Of mode "nearest" alone: which whole row stands for that place. The first two differ halfway between two.
        PyTorch's "nearest" is asymmetric with floor, its "nearest-exact" half_pixel with round_prefer_ceil.
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
        An x that is no (N, C, H, W), sizes below 1 or, with x's, beyond what integers of 64 bits count (H P above some
        10^17), unknown words, an unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x = np.array([[[[1.0, 3.0]]]])
    >>> cnnx.upsample2d(x, (1, 4))
    array([[[[1., 1., 3., 3.]]]])
    >>> cnnx.upsample2d(x, (1, 4), mode="bilinear")
    array([[[[1. , 1.5, 2.5, 3. ]]]])
    >>> cnnx.upsample2d(x, (1, 5), mode="bilinear", coordinates="align_corners")
    array([[[[1. , 1.5, 2. , 2.5, 3. ]]]])
    """
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    plan = _geometry((x.shape,), size, mode, coordinates, rounding)
    y = _plan.new(plan.output, x.dtype)
    _backend.kernel(plan.kernel, _check.NAMES[x.dtype.char], backend)(x, y, **plan.numbers)
    return y


def upsample2d_backward(
    grad_output: Array,
    x: Array,
    size: int | Pair,
    *,
    mode: Mode = "nearest",
    coordinates: Coordinates = "half_pixel",
    rounding: Rounding = "round_prefer_floor",
    backend: str | None = None,
) -> Array:
    """Gradient of a cost through `upsample2d`: each pixel's share in every output, times its gradient.

        nearest:   dZ[n,c,h,w] = sum of Delta[n,c,p,q] over the p, q with h(p) = h, w(q) = w
        bilinear:  dZ[n,c,h,w] = sum_{p,q} a[p,h] b[q,w] Delta[n,c,p,q]

    R3, R5: standard.

    Parameters
    ----------
    grad_output : array (N, C, P, Q), dtype of x
        dE/dY.
    x : array (N, C, H, W), float32 or float64
        Its shape counts, its numbers do not.
    size, mode, coordinates, rounding, backend
        As in the forward call.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `upsample2d` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> x, delta = np.zeros((1, 1, 1, 2)), np.array([[[[1.0, 2.0, 4.0, 8.0]]]])
    >>> cnnx.upsample2d_backward(delta, x, (1, 4))
    array([[[[ 3., 12.]]]])
    >>> cnnx.upsample2d_backward(delta, x, (1, 4), mode="bilinear")
    array([[[[ 3.5, 11.5]]]])
    """
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    plan = _geometry((x.shape,), size, mode, coordinates, rounding)
    _check.shape("grad_output", grad_output, plan.output, "(the output's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel(f"{plan.kernel}_grad_input", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output, grad_x, H=x.shape[2], W=x.shape[3], **plan.numbers)
    return grad_x


@dataclass(frozen=True, slots=True)
class _Resize:
    """What a call means: the output's shape, the kernel, and the coordinates as it takes them."""

    output: tuple[int, int, int, int]
    kernel: str
    numbers: dict[str, int]


@_plan.remembered
def _geometry(shapes: _plan.Shapes, size: object, mode: object, coordinates: object, rounding: object) -> _Resize:
    (x,) = shapes
    _check.rank("x", x, _check.IMAGES)
    P, Q = _check.pair("size", size, 1)
    mode = _check.choice("mode", mode, get_args(Mode))
    coordinates = _check.choice("coordinates", coordinates, get_args(Coordinates))
    rounding = _check.choice("rounding", rounding, get_args(Rounding))
    N, C, H, W = x
    numbers = {}
    for axis, extent, count in (("h", H, P), ("w", W, Q)):
        A, B, D = place(extent, count, coordinates)
        if mode == "nearest":
            A, B, D = _rounded(A, B, D, rounding)
        common = math.gcd(A, B, D)
        A, B, D = A // common, B // common, D // common
        if A * count + abs(B) + D * (extent + 2) >= LARGEST:
            raise ValueError(f"size: expected fewer rows and columns, for integers of 64 bits, got {count} of {extent}")
        numbers.update({f"A_{axis}": A, f"B_{axis}": B, f"D_{axis}": D})
    return _Resize((N, C, P, Q), f"upsample2d_{mode}", numbers)


def place(extent: int, count: int, coordinates: str) -> tuple[int, int, int]:
    """R1: A, B and D, for which output p of `count` lies at (A p + B)/D of `extent` pixels."""
    if coordinates == "align_corners":
        return (extent - 1, 0, count - 1) if count > 1 else (0, 0, 1)
    if coordinates == "asymmetric":
        return extent, 0, count
    if coordinates == "pytorch_half_pixel" and count == 1:
        return 0, 0, 1
    return 2 * extent, extent - count, 2 * count


def _rounded(A: int, B: int, D: int, rounding: str) -> tuple[int, int, int]:
    """R2: the place whose floor is the rounded one."""
    if rounding == "floor":
        return A, B, D
    if rounding == "ceil":
        return A, B + D - 1, D
    return 2 * A, 2 * B + D - (rounding == "round_prefer_floor"), 2 * D


def _case(name: str, x: Shape, size: object, *, exact: bool = False, **options: object) -> Case:
    return Case(name, {"x": x}, {"size": size, **options}, exact=exact)


def _multiply_adds(shapes: Mapping[str, Shape], output: Shape) -> tuple[int, int]:
    """Four products for each output, as bilinear has them."""
    return 4 * math.prod(output), 4 * math.prod(output)


BILINEAR: dict[str, Any] = {"mode": "bilinear"}
CORNERS: dict[str, Any] = {"mode": "bilinear", "coordinates": "align_corners"}
ASYMMETRIC: dict[str, Any] = {"coordinates": "asymmetric"}
TORCH: dict[str, Any] = {"coordinates": "asymmetric", "rounding": "floor"}  # its "nearest"

OP = Op(
    name="upsample2d",
    forward=upsample2d,
    backward=upsample2d_backward,
    summary="images of another size: the nearest pixel or bilinear, by ONNX's and PyTorch's coordinates",
    equations="R1-R5",
    kernels=(
        "upsample2d_nearest",
        "upsample2d_nearest_grad_input",
        "upsample2d_bilinear",
        "upsample2d_bilinear_grad_input",
    ),
    differentiable=("x",),
    linear=("x",),
    cases=(
        _case("one", (1, 1, 1, 1), 1, exact=True),
        _case("doubled", (2, 3, 4, 5), (8, 10), exact=True),
        _case("3 x 2 times", (1, 2, 3, 4), (9, 8), exact=True, **ASYMMETRIC, rounding="floor"),
        _case("nearest, 5 of 3", (2, 2, 3, 4), (5, 7), exact=True),
        _case("prefer ceil", (1, 2, 4, 3), (6, 9), exact=True, rounding="round_prefer_ceil"),
        _case("asymmetric floor", (1, 2, 3, 5), (7, 3), exact=True, **ASYMMETRIC, rounding="floor"),
        _case("asymmetric ceil", (1, 2, 3, 5), (4, 8), exact=True, **ASYMMETRIC, rounding="ceil"),
        _case("half_pixel floor", (1, 1, 5, 3), (9, 7), exact=True, rounding="floor"),
        _case("corners, nearest", (1, 2, 3, 4), (6, 7), exact=True, coordinates="align_corners"),
        _case("corners ceil", (1, 1, 4, 2), (6, 5), exact=True, coordinates="align_corners", rounding="ceil"),
        _case("ties", (1, 1, 6, 6), 3, exact=True),
        _case("ties, prefer ceil", (1, 1, 6, 6), 3, exact=True, rounding="round_prefer_ceil"),
        _case("smaller, nearest", (2, 2, 9, 7), (4, 3), exact=True),
        _case("wide, nearest", (1, 1, 1, 40), (2, 530), exact=True),  # more columns than kernels take at once
        _case("bilinear doubled", (2, 3, 4, 5), (8, 10), exact=True, **BILINEAR),
        _case("bilinear, 5 of 3", (2, 2, 3, 4), (5, 7), **BILINEAR),
        _case("bilinear smaller", (1, 2, 9, 8), (4, 3), **BILINEAR),
        _case("bilinear halved", (1, 2, 8, 6), (4, 3), exact=True, **BILINEAR),
        _case("bilinear asymmetric", (1, 2, 3, 4), (6, 12), **BILINEAR, **ASYMMETRIC),
        _case("bilinear corners", (2, 2, 3, 4), (5, 9), **CORNERS),
        _case("bilinear corners, smaller", (1, 2, 7, 9), (3, 4), **CORNERS),
        _case("bilinear, one row and column", (1, 2, 3, 4), 1, exact=True, **BILINEAR),
        _case("bilinear corners, one row", (1, 2, 3, 4), (1, 7), exact=True, **CORNERS),
        _case("pytorch_half_pixel, one row", (1, 2, 3, 4), (1, 8), exact=True, coordinates="pytorch_half_pixel"),
        _case(
            "bilinear pytorch_half_pixel",
            (1, 1, 3, 4),
            (6, 1),
            **BILINEAR,
            coordinates="pytorch_half_pixel",
        ),
        _case("bilinear of one pixel", (2, 1, 1, 1), (3, 4), **BILINEAR),
        _case("bilinear of a row", (1, 2, 1, 5), (3, 11), **BILINEAR),
        _case("bilinear, one axis alone", (1, 2, 5, 6), (9, 6), **BILINEAR),
        _case("bilinear, as large", (1, 2, 3, 5), (3, 5), exact=True, **BILINEAR),
        _case("bilinear far larger", (1, 1, 2, 2), (19, 23), **BILINEAR),
        _case("bilinear wide", (1, 1, 2, 40), (3, 530), **BILINEAR),
        _case("empty batch", (0, 2, 3, 4), (6, 8), exact=True),
        _case("bilinear, empty batch", (0, 2, 3, 4), (6, 8), exact=True, **BILINEAR),
    ),
    bench=(_case("nearest", (10, 8, 14, 14), 28, **TORCH), _case("bilinear", (10, 8, 14, 14), 28, **BILINEAR)),
    large=(
        _case("nearest, 64 channels", (2, 64, 56, 56), 112, **TORCH),
        _case("bilinear, 64 channels", (2, 64, 56, 56), 112, **BILINEAR),
    ),
    multiply_adds=_multiply_adds,
)
