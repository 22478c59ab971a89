"""Bugs that libraries had in pooling."""

from typing import Any

import numpy as np

from ...data import Array
from .._mutant import right
from ..pooling import members
from ._bug import Bugs
from .usual import pool

BUGS = Bugs()


@BUGS.of("max_pool2d", "max_pool2d", "pytorch/pytorch#7645", "NaN never wins, and a window of NaN gives -FLT_MAX")
def max_pool2d_ignores_nan(Z: Array, Y: Array, **numbers: int) -> None:
    lowest = np.finfo(Z.dtype).min
    right("max_pool2d")(np.where(np.isnan(Z), lowest, Z), Y, **numbers)


def _windows(Z: Array, Y: Array, numbers: dict[str, int]) -> Any:
    for p, q in np.ndindex(Y.shape[2:]):
        rows, columns = members(Z, p, q, **numbers)
        window = Z[:, :, rows, columns]
        yield (slice(None), slice(None), p, q), window.reshape(*Z.shape[:2], window.shape[2] * window.shape[3])


@BUGS.of("max_pool2d", "max_pool2d", "tracel-ai/burn#5662", "NaN is kept only where it is a window's first member")
def max_pool2d_keeps_nan_that_is_first(Z: Array, Y: Array, **numbers: int) -> None:
    for at, window in _windows(Z, Y, numbers):
        Y[at] = np.where(np.isnan(window[..., 0]), np.nan, np.fmax.reduce(window, axis=-1))


@BUGS.of(
    "max_pool2d",
    "max_pool2d_grad_input",
    "pytorch/executorch#21686",
    "gradients are added to what the memory of the result holds, which is never set to zero",
    also={"max_pool2d_grad_input_winners": lambda Delta, B, dZ, **n: _added(dZ, "_winners", Delta, B, n)},
)
def max_pool2d_grad_input_of_old_memory(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    _added(dZ, "", Delta, Z, numbers)


def _added(dZ: Array, kind: str, Delta: Array, other: Array, numbers: dict[str, int]) -> None:
    gradient = np.empty_like(dZ)
    right(f"max_pool2d_grad_input{kind}")(Delta, other, gradient, **numbers)
    dZ += gradient


@BUGS.of(
    "max_pool2d",
    "max_pool2d_grad_input",
    "ahrefs/ocannl#512",
    "where windows overlap, whether a pixel won is known of its last window alone",
    usual=pool(3, stride=1),
)
def max_pool2d_grad_input_by_last_window(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    won, sums = np.zeros(Z.shape, bool), np.zeros_like(dZ)
    for p, q in np.ndindex(Delta.shape[2:]):
        rows, columns = members(Z, p, q, **numbers)
        window = Z[:, :, rows, columns]
        won[:, :, rows, columns] = window == window.max(axis=(2, 3), keepdims=True)
        sums[:, :, rows, columns] += Delta[:, :, p : p + 1, q : q + 1]
    dZ[...] = np.where(won, sums, 0)


CEIL: dict[str, Any] = {"ceil_mode": True, "stride": 2, "padding": 1, "count_include_pad": True}


@BUGS.of(
    "avg_pool2d",
    "avg_pool2d",
    "microsoft/onnxruntime#16203",
    "a last window that leaves the padded image is divided by its whole size",
    usual=pool(3, **CEIL),
)
def avg_pool2d_last_window_by_its_size(Z: Array, Y: Array, *, include_pad: int, **numbers: int) -> None:
    right("avg_pool2d")(Z, Y, include_pad=include_pad, **numbers)
    if include_pad:  # as if there were padding enough below and at the right
        right("avg_pool2d")(Z, Y, include_pad=1, **numbers | {"p_b": 2**20, "p_r": 2**20})


@BUGS.of(
    "avg_pool2d",
    "avg_pool2d",
    "microsoft/onnxruntime#27375",
    "the padding at the left is taken for that below, where padding is counted",
    usual=pool(2, stride=1, padding=((0, 1), (0, 1)), count_include_pad=True),
)
def avg_pool2d_left_for_below(Z: Array, Y: Array, *, p_b: int, **numbers: int) -> None:
    right("avg_pool2d")(Z, Y, p_b=numbers["p_w"] if numbers["include_pad"] else p_b, **numbers)


@BUGS.of(
    "avg_pool2d",
    "avg_pool2d_grad_input",
    "tracel-ai/burn#5604",
    "forward divides a last window by its members, backward by its whole size",
    usual=pool(3, **CEIL),
)
def avg_pool2d_grad_input_by_whole_window(
    Delta: Array, Z: Array, dZ: Array, *, include_pad: int, p_b: int, p_r: int, **numbers: int
) -> None:
    if include_pad:
        p_b, p_r = 2**20, 2**20
    right("avg_pool2d_grad_input")(Delta, Z, dZ, include_pad=include_pad, p_b=p_b, p_r=p_r, **numbers)


@BUGS.of(
    "avg_pool2d",
    "avg_pool2d_grad_input",
    "pytorch/pytorch#188345",
    "backward leaves the padding out when it looks for the windows of a pixel",
    usual=pool(3, stride=2, padding=1),
)
def avg_pool2d_grad_input_without_offset(
    Delta: Array, Z: Array, dZ: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, **numbers: int
) -> None:
    """The windows of a pixel are those that would hold it if the image began at its padding."""
    spread = np.zeros((*Z.shape[:2], Z.shape[2] + p_h, Z.shape[3] + p_w), Z.dtype)
    right("avg_pool2d_grad_input")(Delta, Z, dZ, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w, **numbers)
    for p, q in np.ndindex(Delta.shape[2:]):
        rows, columns = members(Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w)
        count = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
        spread[:, :, u * p : u * p + R, v * q : v * q + S] += Delta[:, :, p : p + 1, q : q + 1] / count
    if p_h or p_w:
        dZ[...] = spread[:, :, : Z.shape[2], : Z.shape[3]]


@BUGS.of(
    "avg_pool2d",
    "avg_pool2d",
    "tenstorrent/tt-metal#14459",
    "channels beyond 256 are wrong",
    usual=pool(2, x=(1, 320, 6, 6)),
)
def avg_pool2d_of_256_channels(Z: Array, Y: Array, **numbers: int) -> None:
    """They are taken for those 256 before."""
    right("avg_pool2d")(Z, Y, **numbers)
    Y[:, 256:] = Y[:, : max(0, Y.shape[1] - 256)].copy() if Y.shape[1] <= 512 else 0
