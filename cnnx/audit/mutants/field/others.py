"""Bugs that libraries had in sums and products, dropout and resizing."""

from typing import Any

import numpy as np

from ...data import Array
from .._mutant import right
from ._bug import Bugs
from .usual import resize

BUGS = Bugs()


@BUGS.of("add", "add_grad_input", "apache/tvm#2465", "what was repeated gets one place's gradient, not the sum")
def add_grad_input_not_summed(Delta: Array, A: Array, dA: Array) -> None:
    dA[...] = Delta[tuple(slice(n) for n in A.shape)]


@BUGS.of(
    "multiply",
    "multiply_grad_input",
    "deeplearning4j/deeplearning4j#5978",
    "the gradient that comes from behind is left out where one operand is repeated",
)
def multiply_grad_input_without_delta(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    ones = np.ones_like(Delta) if A.shape != B.shape else Delta
    right("multiply_grad_input")(ones, A, B, dA)


@BUGS.of(
    "affine", "affine_grad_bias", "mlpack/mlpack#3679", "the bias's gradient is one example's, not the batch's sum"
)
def affine_grad_bias_of_one_example(Delta: Array, db: Array) -> None:
    db[...] = Delta[0] if len(Delta) else 0


@BUGS.of("dropout", "dropout", "ooples/AiDotNet.Tensors#732", "everything is dropped")
def dropout_of_everything(Z: Array, mask: Array, Y: Array, *, rate: float) -> None:
    Y[...] = 0


def _placed(extents: tuple[int, int], counts: tuple[int, int], place: Any) -> dict[str, int]:
    return {
        f"{name}_{axis}": number
        for axis, extent, count in zip("hw", extents, counts, strict=True)
        for name, number in zip("ABD", place(extent, count), strict=True)
    }


def _corners(extent: int, count: int) -> tuple[int, int, int]:
    return (extent - 1, 0, count - 1) if count > 1 else (0, 0, 1)


@BUGS.of("upsample2d", "upsample2d_bilinear", "pytorch/pytorch#5511", "corners are aligned, asked for or not")
def upsample2d_aligns_corners(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_bilinear")(Z, Y, **_placed(Z.shape[2:], Y.shape[2:], _corners))


@BUGS.of(
    "upsample2d", "upsample2d_bilinear", "antimora/burn-flex#5", "coordinates lack the half pixel: asymmetric ones"
)
def upsample2d_without_half_pixel(Z: Array, Y: Array, **numbers: int) -> None:
    right("upsample2d_bilinear")(Z, Y, **numbers | {"B_h": 0, "B_w": 0})


@BUGS.of(
    "upsample2d",
    "upsample2d_nearest",
    "tensorflow/tensorflow#10989",
    "nearest with aligned corners rounds down",
    usual=resize(coordinates="align_corners"),
)
def upsample2d_nearest_corners_rounded_down(Z: Array, Y: Array, **numbers: int) -> None:
    for axis, extent, count in (("h", Z.shape[2], Y.shape[2]), ("w", Z.shape[3], Y.shape[3])):
        A, D = numbers[f"A_{axis}"], numbers[f"D_{axis}"]
        if count > 1 and A * (count - 1) == D * (extent - 1):
            numbers[f"B_{axis}"] = 0
    right("upsample2d_nearest")(Z, Y, **numbers)


@BUGS.of(
    "upsample2d",
    "upsample2d_nearest",
    "apache/tvm#18835",
    "asymmetric coordinates of whole factors are divided as integers, also where they are to be rounded up",
    usual=resize(coordinates="asymmetric", rounding="ceil"),
)
def upsample2d_nearest_divides_integers(Z: Array, Y: Array, **numbers: int) -> None:
    for axis, extent, count in (("h", Z.shape[2], Y.shape[2]), ("w", Z.shape[3], Y.shape[3])):
        A, B, D = (numbers[f"{name}_{axis}"] for name in "ABD")
        if count % extent == 0 and A * count == D * extent and B >= 0:
            numbers[f"B_{axis}"] = 0
    right("upsample2d_nearest")(Z, Y, **numbers)


@BUGS.of(
    "upsample2d",
    "upsample2d_nearest",
    "tensorflow/tfjs#221",
    "asymmetric coordinates are rounded to the nearest, not down",
    usual=resize(coordinates="asymmetric", rounding="floor"),
)
def upsample2d_nearest_rounds(Z: Array, Y: Array, **numbers: int) -> None:
    for axis in "hw":
        if numbers[f"B_{axis}"] == 0:
            numbers |= {f"{n}_{axis}": 2 * numbers[f"{n}_{axis}"] for n in "AD"}
            numbers[f"B_{axis}"] = numbers[f"D_{axis}"] // 2
    right("upsample2d_nearest")(Z, Y, **numbers)


@BUGS.of(
    "upsample2d",
    "upsample2d_bilinear_grad_input",
    "intel/torch-xpu-ops#1627",
    "outputs that lie beyond the centre of the outermost pixels give them a part of their gradient",
)
def upsample2d_bilinear_grad_input_edge(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    """What they would interpolate, if there were pixels outside."""

    def unclamped(extent: int, count: int, axis: str) -> Array:
        A, B, D = (numbers[f"{name}_{axis}"] for name in "ABD")
        places = (A * np.arange(count) + B) / D
        found: Array = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(extent)))
        return found

    rows, columns = unclamped(H, Delta.shape[2], "h"), unclamped(W, Delta.shape[3], "w")
    dZ[...] = rows.T @ Delta.astype(float) @ columns
