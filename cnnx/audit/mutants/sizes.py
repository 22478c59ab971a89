"""Bugs that only some sizes or settings have: what cases that somebody wrote down do not meet, and a search does."""

from typing import Any

import numpy as np

from ..data import Array
from ._mutant import Mutants, right

BUGS = Mutants()


@BUGS.of("conv2d", "conv2d", "input channels beyond 40 are left out", "an accumulator's length taken for all channels")
def conv2d_of_40_channels(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    kept = F.copy()
    kept[:, 40:] = 0
    right("conv2d")(Z, kept, b, Y, **numbers)


@BUGS.of("conv2d", "conv2d_grad_input", "images from the 21st on are those before", "a block of images is read twice")
def conv2d_grad_input_of_20_images(Delta: Array, F: Array, dZ: Array, **numbers: int) -> None:
    right("conv2d_grad_input")(Delta, F, dZ, **numbers)
    dZ[20:] = dZ[19:-1].copy() if len(dZ) > 20 else dZ[20:]


@BUGS.of("max_pool2d", "max_pool2d", "members of a window beyond the 90th are not seen", "a window in a fixed buffer")
def max_pool2d_of_90_members(Z: Array, Y: Array, *, R: int, S: int, **numbers: Any) -> None:
    right("max_pool2d")(Z, Y, R=max(1, min(R, 90 // S)), S=min(S, 90), **numbers)


@BUGS.of("softmax", "softmax", "rows of 128 numbers or more are summed in two halves, of which one is lost")
def softmax_of_half_a_row(Z: Array, Y: Array) -> None:
    right("softmax")(Z, Y)
    if Z.shape[1] >= 128:
        with np.errstate(all="ignore"):
            Y /= Y[:, : Z.shape[1] // 2].sum(axis=1, keepdims=True)
