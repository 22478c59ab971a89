"""Bugs of convolutions by Winograd's algorithm."""

import numpy as np

from ..data import Array
from ._mutant import Mutants, right, truncated
from .convolution import flipped

BUGS = Mutants()


@BUGS.of("conv2d", "conv2d_winograd", "one number of A is wrong: the last row of each tile is off by a little")
def conv2d_winograd_tile_wrong(Z: Array, F: Array, b: Array, Y: Array, *, t: int, **numbers: int) -> None:
    right("conv2d_winograd")(Z, F, b, Y, t=t, **numbers)
    Y[:, :, t - 1 :: t] *= 1 + 2.0**-12


@BUGS.of("conv2d", "conv2d_winograd", "one number of G is 1/23 and not 1/24", "tables of transforms typed by hand")
def conv2d_winograd_of_other_points(Z: Array, F: Array, b: Array, Y: Array, *, t: int, **numbers: int) -> None:
    right("conv2d_winograd")(Z, F * F.dtype.type(1 + (t == 4) * 1e-3), b, Y, t=t, **numbers)


@BUGS.of("conv2d", "conv2d_winograd", "a column of G for 5x5 kernels is off by a thousandth", "tables typed by hand")
def conv2d_winograd_of_5x5_wrong(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    if F.shape[2] == 5:
        F = F.copy()
        F[..., 1] *= F.dtype.type(0.999)
    right("conv2d_winograd")(Z, F, b, Y, **numbers)


@BUGS.of("conv2d", "conv2d_winograd", "float32 weights lack 12 bits: ten times the bound", "near TF32, for transforms")
def conv2d_winograd_weight_of_11_bits(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d_winograd")(Z, truncated(F, 11), b, Y, **numbers)


@BUGS.of("conv2d", "conv2d_winograd", "a NaN is swallowed on its way into the tiles")
def conv2d_winograd_loses_nan(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d_winograd")(np.nan_to_num(Z), F, b, Y, **numbers)


@BUGS.of("conv2d", "conv2d_winograd_grad_input", "dZ uses the kernel without turning it")
def conv2d_winograd_grad_input_not_turned(Delta: Array, F: Array, dZ: Array, **numbers: int) -> None:
    right("conv2d_winograd_grad_input")(Delta, flipped(F), dZ, **numbers)
