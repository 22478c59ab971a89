"""Resizing by tables of pixels and weights, one axis after the other."""

from typing import NamedTuple

import numpy as np

from .._kernels import Array
from ._set import kernel


class _Axis(NamedTuple):
    """Of each output: the pixel that it lies on or behind, the next one, and the weights of the two."""

    before: Array
    behind: Array
    first: Array
    second: Array


def _nearest(extent: int, count: int, numbers: dict[str, int], axis: str) -> Array:
    A, B, D = (numbers[f"{name}_{axis}"] for name in "ABD")
    return np.asarray(np.clip((A * np.arange(count) + B) // D, 0, extent - 1))


def _bilinear(extent: int, count: int, numbers: dict[str, int], axis: str) -> _Axis:
    A, B, D = (numbers[f"{name}_{axis}"] for name in "ABD")
    before, rest = np.divmod(np.clip(A * np.arange(count) + B, 0, (extent - 1) * D), D)
    return _Axis(before, before + (rest > 0), (D - rest) / D, rest / D)


def _blend(a: Array, axis: _Axis) -> Array:
    """Along the last axis, in double; where the next pixel has no weight, it is not looked at."""
    here, further = a[..., axis.before].astype(float), a[..., axis.behind]
    return np.where(axis.second == 0, here, axis.first * here + axis.second * further)


def _blend_back(delta: Array, axis: _Axis, extent: int) -> Array:
    """The adjoint of `_blend`."""
    made, some = np.zeros((extent, *delta.shape[:-1])), axis.second > 0
    np.add.at(made, axis.before, np.moveaxis(axis.first * delta, -1, 0))
    np.add.at(made, axis.behind[some], np.moveaxis(axis.second[some] * delta[..., some], -1, 0))
    return np.moveaxis(made, 0, -1)


def _turned(a: Array) -> Array:
    return a.swapaxes(2, 3)


@kernel
def upsample2d_nearest(Z: Array, Y: Array, **numbers: int) -> None:
    rows = _nearest(Z.shape[2], Y.shape[2], numbers, "h")
    columns = _nearest(Z.shape[3], Y.shape[3], numbers, "w")
    Y[...] = Z[:, :, rows[:, None], columns]


@kernel
def upsample2d_nearest_grad_input(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    rows, columns = _nearest(H, Delta.shape[2], numbers, "h"), _nearest(W, Delta.shape[3], numbers, "w")
    down = np.zeros((H, *Delta.shape[:2], Delta.shape[3]))
    np.add.at(down, rows, np.moveaxis(Delta, 2, 0))
    made = np.zeros((W, H, *Delta.shape[:2]))
    np.add.at(made, columns, np.moveaxis(down, 3, 0))
    dZ[...] = made.transpose(2, 3, 1, 0)


@kernel
def upsample2d_bilinear(Z: Array, Y: Array, **numbers: int) -> None:
    across = _blend(Z, _bilinear(Z.shape[3], Y.shape[3], numbers, "w"))
    Y[...] = _turned(_blend(_turned(across), _bilinear(Z.shape[2], Y.shape[2], numbers, "h")))


@kernel
def upsample2d_bilinear_grad_input(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    down = _turned(_blend_back(_turned(Delta), _bilinear(H, Delta.shape[2], numbers, "h"), H))
    dZ[...] = _blend_back(down, _bilinear(W, Delta.shape[3], numbers, "w"), W)
