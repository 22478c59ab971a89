"""Bugs of resizing."""

from typing import Any

import numpy as np

from ..data import Array
from ._mutant import Element, Mutants, right

BUGS = Mutants()

Number = Any


def weights(extent: int, count: int, numbers: dict[str, int], axis: str) -> Array:
    """R4: a[p,h] of one axis."""
    A, B, D = (numbers[f"{name}_{axis}"] for name in "ABD")
    places = np.clip((A * np.arange(count) + B) / D, 0, extent - 1)
    found: Array = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(extent)))
    return found


def both(Z: Array, Y: Array, numbers: dict[str, int]) -> tuple[Array, Array]:
    """The weights of rows and columns."""
    return weights(Z.shape[2], Y.shape[2], numbers, "h"), weights(Z.shape[3], Y.shape[3], numbers, "w")


@BUGS.of("upsample2d", "upsample2d_nearest", "halfway between two pixels it takes the next one", "round_prefer_ceil")
def upsample2d_nearest_ties_up(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_nearest")(Z, Y, **numbers | {name: numbers[name] + 1 for name in ("B_h", "B_w")})


@BUGS.of("upsample2d", "upsample2d_nearest", "coordinates of rows and columns are swapped")
def upsample2d_nearest_axes_swapped(Z: Array, Y: Array, **numbers: int) -> None:
    swapped = {f"{name}_{axis}": numbers[f"{name}_{other}"] for name in "ABD" for axis, other in ("hw", "wh")}
    right("upsample2d_nearest")(Z, Y, **swapped)


@BUGS.of("upsample2d", "upsample2d_nearest_grad_input", "a pixel gets the last of its gradients", "= for +=")
def upsample2d_nearest_grad_input_overwritten(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    dZ[...] = 0
    places = [
        np.clip((numbers[f"A_{a}"] * np.arange(count) + numbers[f"B_{a}"]) // numbers[f"D_{a}"], 0, extent - 1)
        for a, extent, count in (("h", H, Delta.shape[2]), ("w", W, Delta.shape[3]))
    ]
    dZ[:, :, places[0][:, None], places[1]] = Delta


@BUGS.of(
    "upsample2d", "upsample2d_bilinear", "what lies beyond an edge is drawn on from the two last pixels", "no clamp"
)
def upsample2d_bilinear_extrapolates(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_bilinear")(Z, Y, **numbers)
    A, B, D = (numbers[f"{name}_w"] for name in "ABD")
    if Z.shape[3] > 1:
        place = np.minimum((A * np.arange(Y.shape[3]) + B) / D, 0)
        slope = np.empty_like(Y[..., :1])
        right("upsample2d_bilinear")(np.ascontiguousarray(Z[..., 1:2] - Z[..., :1]), slope, **numbers)
        Y += (place * slope).astype(Y.dtype)


@BUGS.of("upsample2d", "upsample2d_bilinear", "beyond an edge there are zeros", "a texture's border")
def upsample2d_bilinear_zeros_outside(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_bilinear")(Z, Y, **numbers)
    A, B, D = (numbers[f"{name}_w"] for name in "ABD")
    Y *= np.minimum(1, 1 + (A * np.arange(Y.shape[3]) + B) / D).astype(Y.dtype)


@BUGS.of("upsample2d", "upsample2d_bilinear", "weights have eight bits", "textures of GPUs")
def upsample2d_bilinear_weights_of_eight_bits(Z: Array, Y: Array, **numbers: int) -> None:
    rows, columns = (np.round(each * 256) / 256 for each in both(Z, Y, numbers))
    Y[...] = rows @ Z.astype(float) @ columns.T


@BUGS.of("upsample2d", "upsample2d_bilinear", "a pixel of weight 0 counts, an infinite one as NaN", "PyTorch's")
def upsample2d_bilinear_counts_nothing(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_bilinear")(Z, Y, **numbers)
    with np.errstate(invalid="ignore"):
        Y += 0 * Z.sum(axis=(2, 3), keepdims=True)


@BUGS.of("upsample2d", "upsample2d_bilinear_grad_input", "all of a gradient goes to the pixel before", "nearest's")
def upsample2d_bilinear_grad_input_to_one(Delta: Array, dZ: Array, **numbers: int) -> None:
    right("upsample2d_nearest_grad_input")(Delta, dZ, **numbers)


@BUGS.of(
    "upsample2d", "upsample2d_bilinear_grad_input", "gradients of float32 are summed in half precision", "autocast"
)
def upsample2d_bilinear_grad_input_in_half(Delta: Array, dZ: Array, **numbers: int) -> None:
    right("upsample2d_bilinear_grad_input")(Delta, dZ, **numbers)
    if dZ.dtype == np.float32:
        dZ[...] = dZ.astype(np.float16)


def from_corner(right: Element, *arguments: Any, B_h: int, B_w: int, **numbers: int) -> Number:
    return right(*arguments, B_h=0, B_w=0, **numbers)


BUGS.shared(
    "shared_upsample2d_from_the_corner",
    "upsample2d",
    {"upsample2d_bilinear": {"Y": from_corner}, "upsample2d_bilinear_grad_input": {"dZ": from_corner}},
    "half_pixel is computed as asymmetric, forward and backward",
    "coordinates without the half",
)


def twice_at_first(right: Element, Delta: Any, n: int, c: int, h: int, w: int, **numbers: int) -> Number:
    value = right(Delta, n, c, h, w, **numbers)
    return 2 * value if h == 0 else value


BUGS.shared(
    "shared_upsample2d_grad_input_edge",
    "upsample2d",
    {"upsample2d_bilinear_grad_input": {"dZ": twice_at_first}},
    "what lies beyond the first row counts twice on the way back alone",
)
