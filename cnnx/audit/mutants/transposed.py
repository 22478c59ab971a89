"""Bugs of transposed convolutions."""

from typing import Any

import numpy as np

from ..data import Array
from ._mutant import Mutants, right
from .convolution import flipped

BUGS = Mutants()


@BUGS.of(
    "conv_transpose2d", "conv_transpose2d", "the kernel is flipped", "a convolution of the image with zeros between"
)
def conv_transpose2d_flipped(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv_transpose2d")(Z, flipped(F), b, Y, **numbers)


@BUGS.of("conv_transpose2d", "conv_transpose2d", "the bias is dropped", "C5 has none")
def conv_transpose2d_without_bias(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv_transpose2d")(Z, F, np.zeros_like(b), Y, **numbers)


@BUGS.of("conv_transpose2d", "conv_transpose2d", "no bias where no pixel reaches", "gaps of a stride filled with zeros")
def conv_transpose2d_gaps_without_bias(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv_transpose2d")(Z, F, b, Y, **numbers)
    reached = np.empty_like(Y)
    right("conv_transpose2d")(np.ones_like(Z), np.ones_like(F), np.zeros_like(b), reached, **numbers)
    Y[reached == 0] = 0


@BUGS.of("conv_transpose2d", "conv_transpose2d", "padding adds rows and columns", "Conv2d's padding taken over")
def conv_transpose2d_padding_outside(
    Z: Array, F: Array, b: Array, Y: Array, *, p_h: int, p_w: int, **numbers: int
) -> None:
    uncut = np.empty((*Y.shape[:2], Y.shape[2] + p_h, Y.shape[3] + p_w), Y.dtype)
    right("conv_transpose2d")(Z, F, b, uncut, p_h=0, p_w=0, **numbers)
    Y[...] = uncut[:, :, : Y.shape[2], : Y.shape[3]]


@BUGS.of(
    "conv_transpose2d",
    "conv_transpose2d",
    "channels in and out are taken for each other where that fits",
    "weights (K, C, R, S) as Conv2d has them, and not (C, K, R, S)",
)
def conv_transpose2d_channels_swapped(Z: Array, F: Array, b: Array, Y: Array, *, groups: int, **numbers: int) -> None:
    C, K = F.shape[0] // groups, F.shape[1]
    swapped = F.reshape(groups, C, K, *F.shape[2:])
    if C == K:
        swapped = swapped.swapaxes(1, 2)
    right("conv_transpose2d")(Z, np.ascontiguousarray(swapped).reshape(F.shape), b, Y, groups=groups, **numbers)


@BUGS.of(
    "conv_transpose2d", "conv_transpose2d", "what output padding adds stays as it was", "rows beyond the last kernel"
)
def conv_transpose2d_added_rows_unset(Z: Array, F: Array, b: Array, Y: Array, **n: Any) -> None:
    kept = Y.copy()
    right("conv_transpose2d")(Z, F, b, Y, **n)
    rows = n["u"] * (Z.shape[2] - 1) + n["d_h"] * (F.shape[2] - 1) + 1 - n["p_h"]
    columns = n["v"] * (Z.shape[3] - 1) + n["d_w"] * (F.shape[3] - 1) + 1 - n["p_w"]
    Y[:, :, rows:], Y[:, :, :, columns:] = kept[:, :, rows:], kept[:, :, :, columns:]


@BUGS.of("conv_transpose2d", "conv_transpose2d_grad_input", "dZ is for stride 1 only")
def conv_transpose2d_grad_input_of_stride_one(
    Delta: Array, F: Array, dZ: Array, *, u: int, v: int, **numbers: int
) -> None:
    right("conv_transpose2d_grad_input")(Delta, F, dZ, u=1, v=1, **numbers)


@BUGS.of("conv_transpose2d", "conv_transpose2d_grad_weight", "dF is flipped")
def conv_transpose2d_grad_weight_flipped(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    right("conv_transpose2d_grad_weight")(Delta, Z, dF, **numbers)
    dF[...] = flipped(dF)


@BUGS.of("conv_transpose2d", "conv_transpose2d_grad_weight", "dF is of the first group's channels alone")
def conv_transpose2d_grad_weight_of_first_group(
    Delta: Array, Z: Array, dF: Array, *, groups: int, **numbers: int
) -> None:
    first = np.ascontiguousarray(np.tile(Delta[:, : dF.shape[1]], (1, groups, 1, 1)))
    right("conv_transpose2d_grad_weight")(first, Z, dF, groups=groups, **numbers)
